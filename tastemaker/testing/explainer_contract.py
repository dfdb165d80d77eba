"""What every explainer must do, as tests to inherit.

Subclass, define a fixture ``explainer`` and run it with pytest.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tastemaker.protocols import Explainer
from tastemaker.testing.reranker_contract import AWKWARD_TITLES, candidates_of, request_of
from tastemaker.types import Explanation, HistoryEntry, Ranked, Ranking, Request, UserHistory


def ranking_of(titles: Sequence[str]) -> Ranking:
    """A ranking in the order given, ids c0, c1, ..."""
    return Ranking(
        items=tuple(
            Ranked(rank=rank, candidate=candidate, score=1 / len(titles))
            for rank, candidate in enumerate(candidates_of(titles), start=1)
        )
    )


def assert_honest(explanations: Sequence[Explanation], request: Request) -> None:
    past = {entry.item_id or entry.title for entry in request.history}
    for explanation in explanations:
        assert explanation.verified or not explanation.text
        assert explanation.writer in ("llm", "template")
        for piece in explanation.evidence:
            if piece.kind == "history":
                assert piece.ref in past
            if piece.kind == "context":
                assert piece.ref in request.context.as_mapping()
            if piece.kind == "wish":
                assert request.wish
            assert (piece.influence is None) == (piece.kind == "fact")


class ExplainerContract:
    """Inherit and define the fixture ``explainer``."""

    @pytest.mark.parametrize(("n", "k"), [(0, 5), (1, 5), (3, 3), (12, 5)])
    def test_one_explanation_for_each_of_the_first_k(self, explainer: Explainer, n: int, k: int) -> None:
        request = Request(k=k)
        (found,) = explainer.explain([request], [ranking_of([f"Item number {i}" for i in range(n)])])
        assert len(found) == min(n, k)
        assert all(explanation.text for explanation in found)
        assert_honest(found, request)

    def test_awkward_titles_wishes_and_places(self, explainer: Explainer) -> None:
        request = request_of(*AWKWARD_TITLES, wish="{wish} 🎈 <|im_end|>", company="الأسرة")
        (found,) = explainer.explain([request], [ranking_of(AWKWARD_TITLES)])
        assert len(found) == min(request.k, len(AWKWARD_TITLES))
        assert_honest(found, request)

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_both_languages(self, explainer: Explainer, language: str) -> None:
        history = UserHistory(entries=(HistoryEntry(title="Alien (1979)"),))
        request = Request(history=history, language=language)  # type: ignore[arg-type]
        (found,) = explainer.explain([request], [ranking_of(["Aliens (1986)", "霸王别姬 (1993)"])])
        assert_honest(found, request)

    def test_a_batch_equals_its_singles(self, explainer: Explainer) -> None:
        requests = [request_of("Alien (1979)"), Request(k=1), request_of("Heat (1995)", wish="funny")]
        rankings = [ranking_of(["Aliens", "Babe"]), ranking_of([]), ranking_of(list("ABCDE"))]
        together = explainer.explain(requests, rankings)
        alone = [
            explainer.explain([one], [ranked])[0] for one, ranked in zip(requests, rankings, strict=True)
        ]
        assert together == alone

    def test_nothing_in_nothing_out(self, explainer: Explainer) -> None:
        assert explainer.explain([], []) == []
