"""What a clause does, by its likeness to clauses that people have labelled.

The labelled clauses are ``prompts/packs/turns.<language>.jsonl``, lines that anybody can add to. A linear
support vector machine over their character and word n-grams is fitted when a language is first used (under
half a second), so there is no model file that could fall out of step with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeVar, cast, get_args

from tastemaker.agent.recognise.recogniser import plain_text
from tastemaker.types import Language

ItemKind = Literal["why_not", "why", "compare", "more_like", "seen", "dislike", "like", "reject"]
ClauseKind = ItemKind | Literal["ask", "critique", "lift", "more", "undo", "reset", "small_talk", "off_topic"]
ITEM_KINDS: tuple[ItemKind, ...] = get_args(ItemKind)
"""What is done with an item that was shown or is named."""

_NGRAMS: Mapping[Language, dict[str, Any]] = {
    "en": {"analyzer": "char_wb", "ngram_range": (1, 5)},
    # Chinese is not written in words: whole lines are cut.
    "zh": {"analyzer": "char", "ngram_range": (1, 4)},
}
_WORDS = r"[\w']+"
_REGULARISATION = 0.1
"""Of .05, .1 and .2 the best on the first set of labelled conversations, by half a point."""

Scores = Mapping[ClauseKind, float]
Some = TypeVar("Some", bound=ClauseKind)


class KindReader:
    """Reads what clauses of one language do. Safe to share between threads."""

    def __init__(self, texts: list[str], kinds: list[str], language: Language) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline, make_union
        from sklearn.svm import LinearSVC

        self._model = make_pipeline(
            make_union(
                TfidfVectorizer(sublinear_tf=True, lowercase=False, **_NGRAMS[language]),
                TfidfVectorizer(sublinear_tf=True, lowercase=False, token_pattern=_WORDS, ngram_range=(1, 3)),
            ),
            LinearSVC(C=_REGULARISATION, random_state=0),
        ).fit([plain_text(text) for text in texts], kinds)
        self._kinds = [cast(ClauseKind, str(kind)) for kind in self._model.classes_]

    def scores(self, clause: str) -> Scores:
        """For each kind its distance from the others: about -1 where nothing speaks for it."""
        found = self._model.decision_function([plain_text(clause)])[0]
        return dict(zip(self._kinds, map(float, found), strict=True))


@cache
def load_kinds(language: Language) -> KindReader:
    text = (files("tastemaker.prompts") / "packs" / f"turns.{language}.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return KindReader([row["text"] for row in rows], [row["kind"] for row in rows], language)


def best(scores: Scores, among: Iterable[Some]) -> Some:
    """The likeliest kind, the first of equals."""
    return max(among, key=lambda kind: scores[kind])
