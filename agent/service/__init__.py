"""The HTTP service: the same answers as in Python, for any program that speaks HTTP."""
