"""The letters that stand for candidates in a label prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tastemaker.errors import ModelError

CountTokens = Callable[[Sequence[str]], list[int]]
"""``LanguageModel.count_tokens``: tokens of each text, without special tokens."""

LABELS = tuple("ABCDEFGHIJKLMNOPQRST")
"""Twenty letters: each one token in every tokenizer met so far, and none of them a digit that could be
taken for a year or a rating."""

MAX_LABELS = len(LABELS)


def check_single_tokens(count_tokens: CountTokens, texts: Sequence[str]) -> None:
    """Raise ModelError unless each text is exactly one token, as scoring by the next token needs.

    The spelling matters: "A" follows the line break of a chat template's assistant header, " A" a colon in
    a plain prompt, and they are different tokens.
    """
    bad = [text for text, count in zip(texts, count_tokens(texts), strict=True) if count != 1]
    if bad:
        raise ModelError(
            f"this model's tokenizer splits {', '.join(map(repr, bad))}; one token each is wanted",
            hint="use scoring=title, which needs no labels",
        )
