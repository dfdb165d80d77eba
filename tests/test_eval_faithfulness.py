"""Deletion by construction: a probe that knows what each piece is worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tastemaker.agent.evidence import without_piece
from tastemaker.answers import Recommendation, RecommendedItem, Trace
from tastemaker.data.dataset import Dataset
from tastemaker.eval.faithfulness import (
    Deletion,
    DeletionTest,
    Stability,
    only_pieces,
    shuffled,
    stability,
    summary,
    without_pieces,
)
from tastemaker.protocols import Effect
from tastemaker.types import (
    Candidate,
    Context,
    Evidence,
    Explanation,
    HistoryEntry,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)

NAMES = "abcdef"
DATA = Dataset.from_records(
    [{"user_id": "u", "item_id": one, "timestamp": 1} for one in NAMES],
    [{"id": one, "title": one} for one in [*NAMES, "x"]],
)
REQUEST = Request(
    history=UserHistory(entries=tuple(HistoryEntry(title=one, item_id=one) for one in NAMES)),
    context=Context(company="family"),
    wish="light",
)
RANKING = Ranking(items=(Ranked(rank=1, candidate=Candidate(item=DATA.item("x"), score=1.0), score=1.0),))
WORTH = {"a": 2.0, "wish": 1.0, "b": -0.5}


class Worth:
    """Influence by construction: the sum of what the missing pieces are worth."""

    def must_read(self, request: Request, altered: Request) -> bool:
        return False

    def effects(
        self,
        request: Request,
        ranking: Ranking,
        altered: Sequence[Request],
        *,
        read: Collection[int] | None = None,
    ) -> list[Effect]:
        falls = []
        for one in altered:
            missing = set(request.history.item_ids) - set(one.history.item_ids)
            missing |= {"wish"} if one.wish != request.wish else set()
            falls.append(np.array([sum(WORTH.get(name, 0.0) for name in missing)], np.float32))
        return [Effect(fall=fall, retrieval=fall, ranks=np.array([1])) for fall in falls]


def answer(*cited: Evidence) -> Recommendation:
    explanation = Explanation(text="Because.", verified=True, evidence=cited)
    item = RecommendedItem(ranked=RANKING.items[0], explanation=explanation)
    return Recommendation(request=REQUEST, items=(item,), trace=Trace())


A = Evidence(kind="history", ref="a", text="a", influence=2.0)
WISH = Evidence(kind="wish", ref="wish", text="light", influence=1.0)
GENRE = Evidence(kind="fact", ref="genres", text="Comedy")


def test_the_cited_pieces_go_together_and_as_many_others_are_drawn() -> None:
    [found] = DeletionTest(Worth(), DATA).deletions(REQUEST, RANKING, answer(A, WISH, GENRE))
    assert found.cited == (("history", "a"), ("wish", "wish"))
    assert found.fall_cited == 3.0
    assert len(set(found.drawn)) == 2
    assert not set(found.drawn) & set(found.cited)
    assert found.fall_drawn == (-0.5 if ("history", "b") in found.drawn else 0.0)
    assert found.won


def test_draws_follow_the_seed() -> None:
    drawn = {
        seed: [DeletionTest(Worth(), DATA, seed=seed).deletions(REQUEST, RANKING, answer(A)) for _ in "12"]
        for seed in range(6)
    }
    assert all(one == again for one, again in drawn.values())
    assert len({found[0].drawn for found, _ in drawn.values()}) > 1


def test_what_cites_nothing_or_everything_is_not_tested() -> None:
    test = DeletionTest(Worth(), DATA)
    assert test.deletions(REQUEST, RANKING, answer(GENRE)) == []
    cited = [Evidence(kind="history", ref=one, text=one, influence=1.0) for one in NAMES]
    assert test.deletions(REQUEST, RANKING, answer(*cited)) == []


def test_sufficiency_keeps_nothing_but_the_pieces() -> None:
    only_a = only_pieces(REQUEST, [("history", "a")])
    assert only_a.history.item_ids == ("a",)
    assert (only_a.wish, only_a.context) == ("", Context())
    rest = only_pieces(REQUEST, [("wish", "wish"), ("context", "company")])
    assert (rest.history.item_ids, rest.wish, rest.context) == ((), "light", REQUEST.context)
    [found] = DeletionTest(Worth(), DATA).deletions(REQUEST, RANKING, answer(A, WISH))
    # a and the wish are worth 3 and all others together -.5: gone with everything else, or with these.
    assert found.kept_cited == -0.5
    assert found.kept_drawn == 2.5 - found.fall_drawn
    assert found.sufficient


def test_a_draw_is_the_same_whatever_else_is_asked() -> None:
    other = replace(REQUEST, request_id="other")
    alone = DeletionTest(Worth(), DATA).deletions(REQUEST, RANKING, answer(A))
    test = DeletionTest(Worth(), DATA)
    test.deletions(other, RANKING, answer(A))
    assert test.deletions(REQUEST, RANKING, answer(A)) == alone


def test_shuffling_keeps_the_times_and_the_items() -> None:
    entries = tuple(HistoryEntry(title=one, item_id=one, timestamp=at) for at, one in enumerate(NAMES))
    request = replace(REQUEST, history=UserHistory(entries=entries))
    moved = shuffled(request, np.random.default_rng(0)).history.entries
    assert [entry.timestamp for entry in moved] == list(range(len(NAMES)))
    assert sorted(str(entry.item_id) for entry in moved) == list(NAMES)
    assert moved != entries


def test_stability_compares_lists_and_what_their_items_cite() -> None:
    b = replace(A, ref="b")
    before = [("x", (A, b)), ("y", (A,)), ("z", (GENRE,)), ("gone", (A,))]
    after = [("y", (A,)), ("x", (A, WISH)), ("z", (GENRE,)), ("new", (b,))]
    found = stability(before, after)
    assert found == Stability(listed=0.75, cited=0.75)
    assert stability([("x", (GENRE,))], [("x", (GENRE,))]).cited is None


def test_pieces_are_taken_away_one_and_all() -> None:
    assert without_piece(REQUEST, "context", "company").context == Context()
    bare = without_pieces(REQUEST, [("history", "a"), ("history", "c"), ("wish", "wish")])
    assert bare.history.item_ids == ("b", "d", "e", "f")
    assert (bare.wish, bare.context) == ("", REQUEST.context)
    with pytest.raises(ValueError, match="a fact cannot be taken away"):
        without_piece(REQUEST, "fact", "genres")


def deletion(cited: float, drawn: float, kept_cited: float = 0.0, kept_drawn: float = 0.0) -> Deletion:
    return Deletion(
        item_id="x",
        cited=(),
        drawn=(),
        fall_cited=cited,
        fall_drawn=drawn,
        kept_cited=kept_cited,
        kept_drawn=kept_drawn,
    )


def test_ties_count_against_the_explanation_and_falls_in_either_direction_for_the_others() -> None:
    found = summary(
        [
            deletion(2.0, 0.5, kept_cited=0.2, kept_drawn=1.0),
            deletion(1.0, -0.5, kept_cited=0.5, kept_drawn=0.5),
            deletion(0.5, 0.5, kept_cited=2.0, kept_drawn=1.0),
            deletion(0.5, 1.0, kept_cited=0.1, kept_drawn=0.3),
        ]
    )
    assert found == {
        "deletions": 4,
        "faithfulness_win_rate": 0.5,
        "faithfulness_ratio": 1.6,
        "sufficiency_win_rate": 0.5,
        "sufficiency_fall": 0.7,
        "sufficiency_fall_uncited": 0.7,
    }
    assert set(summary([])) == set(found)
    assert summary([])["faithfulness_win_rate"] is None
