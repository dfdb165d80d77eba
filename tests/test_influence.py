"""Influence by construction: who is moved by what is known, so the fall of log-odds is known too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tastemaker.agent.influence import FusedInfluence
from tastemaker.fusion import Fusion, Scores, log_odds
from tastemaker.protocols import FloatArray
from tastemaker.types import Candidate, Context, HistoryEntry, Item, Ranked, Ranking, Request, UserHistory

LETTERS = "abcd"


class OneForOne:
    """A retriever whose score of an item is 1 when it stands in the history, else 0."""

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        return [
            np.array([float(c.item.id in one.history.item_ids) for c in candidates], dtype=np.float32)
            for one in altered
        ]


class WishReader:
    """A model that gives 2 nats to items whose title the wish holds. Counts what it is asked."""

    def __init__(self, spoilt: float | None = None, *, reads_once: bool = False) -> None:
        self.asked = 0
        self._spoilt = spoilt
        self.reads_once = reads_once

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        self.asked += len(requests)
        out = [
            (np.array([2.0 * (c.item.title in one.wish) for c in found]), "t")
            for one, found in zip(requests, candidates, strict=True)
        ]
        if self._spoilt is not None:
            for scores, _ in out:
                scores[0] = self._spoilt
        return out


def ranking_of(retrieval: Sequence[float], llm: Sequence[float] | None) -> Ranking:
    return Ranking(
        items=tuple(
            Ranked(
                rank=i + 1,
                candidate=Candidate(item=Item(id=letter, title=letter), score=retrieval[i]),
                score=0.25,
                llm_score=None if llm is None else llm[i],
            )
            for i, letter in enumerate(LETTERS)
        )
    )


REQUEST = Request(
    history=UserHistory(entries=tuple(HistoryEntry(title=name, item_id=name) for name in "abz")),
    wish="like c",
    context=Context(company="family"),
)
WITHOUT_A = replace(REQUEST, history=REQUEST.history.without(0))
WITHOUT_Z = replace(REQUEST, history=REQUEST.history.without(2))
WITHOUT_WISH = replace(REQUEST, wish="")
WITHOUT_COMPANY = replace(REQUEST, context=Context())
RANKING = ranking_of([1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0])


def falls(probe: FusedInfluence, ranking: Ranking, altered: Sequence[Request]) -> list[FloatArray]:
    return [effect.fall for effect in probe.effects(REQUEST, ranking, altered)]


def test_a_piece_moves_exactly_its_item_by_exactly_its_weight() -> None:
    probe = FusedInfluence(OneForOne(), WishReader(), Fusion(retrieval=3.0, llm=0.5))
    a, wish = falls(probe, RANKING, [WITHOUT_A, WITHOUT_WISH])
    # An item's own log-odds fall by its logit's fall; the others' rise, for their rival got weaker.
    assert a[0] == pytest.approx(3.0, abs=1e-5)
    assert max(a[1:]) < 0
    assert wish[2] == pytest.approx(0.5 * 2.0, abs=1e-5)
    assert max(wish[[0, 1, 3]]) < 0
    assert a.dtype == wish.dtype == np.float32


def test_irrelevant_pieces_have_no_influence() -> None:
    probe = FusedInfluence(OneForOne(), WishReader(), Fusion())
    for row in falls(probe, RANKING, [REQUEST, WITHOUT_Z, WITHOUT_COMPANY]):
        np.testing.assert_allclose(row, 0.0, atol=1e-6)


def test_the_values_are_falls_of_log_odds() -> None:
    fusion = Fusion(retrieval=2.0, llm=0.3)
    probe = FusedInfluence(OneForOne(), WishReader(), fusion)
    (both,) = falls(probe, RANKING, [replace(WITHOUT_A, wish="")])
    shares = np.exp([2.0, 2.0, 0.6, 0.0]) / np.exp([2.0, 2.0, 0.6, 0.0]).sum()
    after = np.exp([0.0, 2.0, 0.0, 0.0]) / np.exp([0.0, 2.0, 0.0, 0.0]).sum()
    want = np.log(shares / (1 - shares)) - np.log(after / (1 - after))
    np.testing.assert_allclose(both, want, atol=1e-5)


class TitleReader(WishReader):
    """A model that gives 1 nat to items of the history."""

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        self.asked += len(requests)
        return [
            (np.array([float(c.item.id in one.history.item_ids) for c in found]), "t")
            for one, found in zip(requests, candidates, strict=True)
        ]


def test_a_model_that_reads_a_history_once_is_asked_what_an_entry_does() -> None:
    ranking = ranking_of([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    fusion = Fusion(retrieval=3.0, llm=0.5)
    for model, effect in ((TitleReader(), 3.0), (TitleReader(reads_once=True), 3.5)):
        a, z = falls(FusedInfluence(OneForOne(), model, fusion), ranking, [WITHOUT_A, WITHOUT_Z])
        assert a[0] == pytest.approx(effect, abs=1e-5)
        np.testing.assert_allclose(z, 0.0, atol=1e-6)
        assert model.asked == 2 * model.reads_once


def test_the_model_reads_again_only_what_it_can_see_changed() -> None:
    model = WishReader()
    altered = [WITHOUT_A, WITHOUT_Z, WITHOUT_WISH, WITHOUT_COMPANY]
    falls(FusedInfluence(OneForOne(), model, Fusion()), RANKING, altered)
    assert model.asked == 2


def test_without_a_model_the_retriever_alone_is_measured_by_the_weights_that_ranked() -> None:
    fusion = Fusion(retrieval=7.0, llm=0.5)
    ranking = ranking_of([1.0, 1.0, 0.0, 0.0], None)
    a, wish = falls(FusedInfluence(OneForOne(), None, fusion), ranking, [WITHOUT_A, WITHOUT_WISH])
    assert a[0] == pytest.approx(7.0, abs=1e-4)
    np.testing.assert_allclose(wish, 0.0, atol=1e-6)


def test_a_degraded_ranking_is_measured_as_it_was_made() -> None:
    """The model failed while ranking: what it would say now has no part in the order that is explained."""
    model = WishReader()
    ranking = ranking_of([1.0, 1.0, 0.0, 0.0], None)
    (wish,) = falls(FusedInfluence(OneForOne(), model, Fusion()), ranking, [WITHOUT_WISH])
    np.testing.assert_allclose(wish, 0.0, atol=1e-6)
    assert model.asked == 0


@pytest.mark.parametrize("spoilt", [float("nan"), float("-inf"), float("inf")])
def test_scores_that_are_no_numbers_do_not_spread(spoilt: float) -> None:
    probe = FusedInfluence(OneForOne(), WishReader(spoilt), Fusion(retrieval=1.0, llm=1.0))
    (wish,) = falls(probe, RANKING, [WITHOUT_WISH])
    assert np.isfinite(wish).all()
    assert wish[2] == pytest.approx(2.0, abs=1e-5)


def test_nothing_to_measure() -> None:
    probe = FusedInfluence(OneForOne(), WishReader(), Fusion())
    assert [row.shape for row in falls(probe, Ranking(items=()), [WITHOUT_A])] == [(0,)]
    assert falls(probe, RANKING, []) == []


def test_a_certain_item_has_finite_influence() -> None:
    ranking = ranking_of([1_000.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])
    (row,) = falls(FusedInfluence(OneForOne(), None, Fusion()), ranking, [WITHOUT_A])
    assert np.isfinite(row).all()
    assert row[0] > 0
    assert log_odds(np.array([4_000.0, 0.0])).max() < 31


def test_the_retrievers_part_is_told_apart() -> None:
    ranking = ranking_of([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    probe = FusedInfluence(OneForOne(), TitleReader(reads_once=True), Fusion(retrieval=3.0, llm=0.5))
    (a,) = probe.effects(REQUEST, ranking, [WITHOUT_A])
    assert a.fall[0] == pytest.approx(3.5, abs=1e-5)
    assert a.retrieval[0] == pytest.approx(3.0, abs=1e-5)
    # "a" and "b" led with equal logits; without "a" in the history "b" leads, and the rest keep their order.
    assert a.ranks.tolist() == [2, 1, 3, 4]


def test_the_model_reads_only_what_it_is_told_to() -> None:
    ranking = ranking_of([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0])
    model = TitleReader(reads_once=True)
    probe = FusedInfluence(OneForOne(), model, Fusion(retrieval=3.0, llm=0.5))
    altered = [WITHOUT_A, replace(REQUEST, history=REQUEST.history.without(1))]
    a, b = probe.effects(REQUEST, ranking, altered, read=[1])
    assert model.asked == 1
    assert a.fall[0] == pytest.approx(3.0, abs=1e-5)
    assert b.fall[1] == pytest.approx(3.5, abs=1e-5)
    assert [probe.must_read(REQUEST, one) for one in (WITHOUT_A, WITHOUT_WISH, REQUEST)] == [
        True,
        True,
        False,
    ]
    assert not FusedInfluence(OneForOne(), WishReader(), Fusion()).must_read(REQUEST, WITHOUT_A)
