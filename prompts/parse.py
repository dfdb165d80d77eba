"""From whatever a model wrote to a permutation of the labels it was given."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# "I think B fits" and "A film like B": a pronoun and an article, not labels. Joining words do follow labels.
_PROSE = re.compile(r"\b(?:I(?='|\s+[a-z])|A(?=\s+(?!(?:and|or|then|over|is|before|beats|first)\b)[a-z]))")


def parse_order(text: str, labels: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return the labels in the order in which ``text`` names them, and how much had to be repaired.

    Every string gives a permutation: a label named again is ignored and one that is missing is appended in
    its given order; each of both counts as one repair. When no label is found, lower case is read too and
    counts as one more. Case, brackets, numbering words and separators do not matter.

    Args:
        text: the reply, e.g. ``B > A > C`` or ``[B], [A]``; full-width letters are understood.
        labels: distinct, in the order shown; upper case or digits.
    """
    plain = _PROSE.sub(" ", unicodedata.normalize("NFKC", text))
    named = _labels_in(plain, labels)
    repairs = 0
    if not named and (named := _labels_in(plain.upper(), labels)):
        repairs = 1
    order = tuple(dict.fromkeys(named))
    missing = tuple(label for label in labels if label not in order)
    return order + missing, repairs + len(named) - len(order) + len(missing)


def _labels_in(text: str, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    longest_first = sorted(labels, key=len, reverse=True)
    either = "|".join(re.escape(label) for label in longest_first)
    # ASCII neighbours only: in Chinese text letters stand beside characters without a blank.
    return re.findall(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])", text)
