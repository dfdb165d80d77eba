"""Routes by what they are about; each module makes a router over an engine and a guard."""
