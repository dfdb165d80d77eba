"""Shipped fakes and contract test classes, for our tests and for those of people who add a part.

Fakes are for speed in unit tests only; every path they cover is also covered by a test on real parts.
"""
