"""Deletion by construction: a probe that knows what each piece is worth; and the command on a workspace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app
from tastemaker.agent.evidence import without_piece
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, RequestError
from tastemaker.eval.explanations import sample_requests, shares
from tastemaker.eval.faithfulness import Deletion, DeletionTest, summary, without_pieces
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import (
    Candidate,
    Context,
    Evidence,
    Explanation,
    HistoryEntry,
    Ranked,
    Ranking,
    Recommendation,
    RecommendedItem,
    Request,
    Trace,
    UserHistory,
)
from tastemaker.workspace import Workspace

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

    def influence(
        self, request: Request, ranking: Ranking, altered: Sequence[Request]
    ) -> list[NDArray[np.float32]]:
        falls = []
        for one in altered:
            missing = set(request.history.item_ids) - set(one.history.item_ids)
            missing |= {"wish"} if one.wish != request.wish else set()
            falls.append(np.array([sum(WORTH.get(name, 0.0) for name in missing)], np.float32))
        return falls


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


def test_pieces_are_taken_away_one_and_all() -> None:
    assert without_piece(REQUEST, "context", "company").context == Context()
    bare = without_pieces(REQUEST, [("history", "a"), ("history", "c"), ("wish", "wish")])
    assert bare.history.item_ids == ("b", "d", "e", "f")
    assert (bare.wish, bare.context) == ("", REQUEST.context)
    with pytest.raises(ValueError, match="a fact cannot be taken away"):
        without_piece(REQUEST, "fact", "genres")


def deletion(cited: float, drawn: float) -> Deletion:
    return Deletion(item_id="x", cited=(), drawn=(), fall_cited=cited, fall_drawn=drawn)


def test_ties_count_against_the_explanation_and_falls_in_either_direction_for_the_others() -> None:
    found = summary([deletion(2.0, 0.5), deletion(1.0, -0.5), deletion(0.5, 0.5), deletion(0.5, 1.0)])
    assert found == {"deletions": 4, "faithfulness_win_rate": 0.5, "faithfulness_ratio": 1.6}
    assert summary([])["faithfulness_win_rate"] is None


def test_shares_are_of_what_is_explained() -> None:
    told = Explanation(text="One.", verified=True, evidence=(A,), writer="llm")
    fallback = Explanation(text="One.", verified=True, evidence=(GENRE,), fallback=True)
    silent = Explanation(text="", verified=False)
    assert shares([told, fallback, silent, None]) == {
        "items": 4,
        "explained_share": 0.5,
        "verified_share": 1.0,
        "fallback_share": 0.5,
        "llm_share": 0.5,
        "evidence_share": 0.5,
        "unique_sentence_ratio": 0.5,
    }
    assert shares([None]) == {"items": 1, "explained_share": 0.0}


def test_users_are_asked_for_at_the_time_of_their_last_event() -> None:
    data = film_data()
    found = sample_requests(data, 4, 3, seed=1)
    assert found == sample_requests(data, 4, 3, seed=1) != sample_requests(data, 4, 3, seed=2)
    for request in found:
        assert request.user_id is not None
        assert request.history == data.history(request.user_id)
        assert request.context.time is not None
        assert request.context.time.timestamp() == request.history.entries[-1].timestamp
    with pytest.raises(DataError, match="nobody in the data"):
        sample_requests(Dataset.from_records([], [{"id": "a", "title": "a"}]), 1, 1, 0)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )
    place = Workspace(tmp_path / "w")
    film_data().save(place.data)
    build_index(film_data(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\nexplain: template\n")
    words = ["eval", "explanations", "-w", str(place.root), "--users", "6", "-k", "3", "--json"]
    done = CliRunner().invoke(app, [*words, "--results", str(tmp_path / "found.json")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["users"], found["items"], found["explained_share"]) == (6, 18, 1.0)
    assert found["faithfulness_win_rate"] > 0.5
    assert json.loads((tmp_path / "found.json").read_text())["seed"] == 0
    refused = CliRunner().invoke(app, [*words, "--set", "explain=none"])
    assert isinstance(refused.exception, RequestError)
