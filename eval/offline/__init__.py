"""The offline explanation report: many requests answered, checked, measured and shown on one page."""
