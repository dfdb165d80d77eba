from __future__ import annotations

from collections.abc import Sequence

import pytest

from tastemaker.errors import ModelError
from tastemaker.prompts.labels import LABELS, MAX_LABELS, check_single_tokens


def test_twenty_distinct_letters() -> None:
    assert len(set(LABELS)) == MAX_LABELS == 20
    assert (LABELS[0], LABELS[-1]) == ("A", "T")


def test_labels_that_are_split_are_refused_by_name() -> None:
    def count(texts: Sequence[str]) -> list[int]:
        return [2 if text in ("Q", "T") else 1 for text in texts]

    with pytest.raises(ModelError, match="splits 'Q', 'T'; one token each"):
        check_single_tokens(count, LABELS)
    check_single_tokens(count, LABELS[:10])
