"""The one way in which words are put into a pattern: single pass, strict, never reading what it inserts.

A pattern is plain text with ``${name}`` where something goes. Braces that belong to no placeholder are
refused, so that a forgotten dollar sign is found when the file is loaded and not in a prompt.
"""

from __future__ import annotations

import re
from string import Template as _Pattern

_PLACEHOLDER = re.compile(r"\$\{[a-z_]+\}")


def placeholders(pattern: str) -> frozenset[str]:
    """Return the names used in ``pattern``.

    Raises:
        ValueError: a brace or dollar sign stands outside ``${name}``.
    """
    rest = _PLACEHOLDER.sub("", pattern)
    if any(sign in rest for sign in "{}$"):
        raise ValueError(f"a brace or dollar sign outside ${{name}} in {pattern!r}")
    return frozenset(name[2:-1] for name in _PLACEHOLDER.findall(pattern))


def fill(pattern: str, **values: str) -> str:
    """Return ``pattern`` with every ``${name}`` replaced; values are inserted as they are, braces and all.

    Raises:
        KeyError: a placeholder has no value.
    """
    return _Pattern(pattern).substitute(values)
