"""Does the situation help? Four public data sets that know it, with and without."""
