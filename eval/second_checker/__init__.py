"""A second checker of explanations, written without sight of the first (``tastemaker.agent.verify``).

The verifier knows a closed set of words and cuts what it does not know; this one reads any text. Names,
labels and numbers are masked (``mask``), clauses are read by a grammar per language (``grammar``,
``reader``), and every claim is held against catalogue, history and request (``items``, ``users``).
"""
