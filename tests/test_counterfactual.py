"""Why, why not, what if: on numbers known by construction, and on a workspace without a language model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from tastemaker import Recommender
from tastemaker.agent.cli.app import app
from tastemaker.agent.counterfactual import Counterfactuals
from tastemaker.agent.influence import FusedInfluence
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.rerank import fuse
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, RequestError, TastemakerError
from tastemaker.fusion import Fusion, Scores, log_odds
from tastemaker.index.build import build_index
from tastemaker.protocols import FloatArray
from tastemaker.testing.data import film_data, next_film
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Candidate, HistoryEntry, Ranking, Request, UserHistory
from tastemaker.workspace import Workspace

LETTERS = "abcdef"
FUSION = Fusion(retrieval=2.0, llm=0.5)
RETRIEVAL = dict(zip(LETTERS, [3.0, 2.0, 1.5, 1.0, 0.5, -4.0], strict=True))
LLM = dict(zip(LETTERS, [0.0, 1.0, 4.0, 0.0, 2.0, 9.0], strict=True))


class Letters:
    """Retrieves a to e by fixed scores, and never f; with "h" in the history b has one nat more."""

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        out = []
        for one in requests:
            scores = dict(zip(LETTERS, self.scores(one), strict=True))
            shown = sorted(set(LETTERS[:5]) - one.unwanted_ids, key=lambda id_: -scores[id_])
            out.append(tuple(Candidate(item=DATA.item(id_), score=scores[id_]) for id_ in shown[:n]))
        return out

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        places = [LETTERS.index(one.item.id) for one in candidates]
        return [np.array(self.scores(one), np.float32)[places] for one in altered]

    @staticmethod
    def scores(request: Request) -> list[float]:
        more = "h" in request.history.item_ids
        return [RETRIEVAL[id_] + (id_ == "b" and more) for id_ in LETTERS]


class Reader:
    """A model with fixed opinions."""

    reads_once = False

    def rerank(self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]) -> list[Ranking]:
        scored = self.scores(requests, candidates)
        return [
            fuse(found, scores, FUSION, Ranking(items=(), model="reader"))
            for found, (scores, _) in zip(candidates, scored, strict=True)
        ]

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        return [(np.array([LLM[one.item.id] for one in found]), "") for found in candidates]


DATA = Dataset.from_records(
    [{"user_id": "u", "item_id": "h", "timestamp": 1}],
    [{"id": one, "title": f"Film {one}", "year": 1990 + i} for i, one in enumerate([*LETTERS, "h", "z"])],
)
HAD = UserHistory(entries=tuple(HistoryEntry(title=f"Film {one}", item_id=one) for one in "hz"))


@pytest.fixture
def letters() -> Counterfactuals:
    retriever, reader = Letters(), Reader()
    pipeline = Pipeline(retriever=retriever, reranker=reader, explainer=None, candidates=5)
    probe = FusedInfluence(retriever, reader, FUSION)
    return Counterfactuals(DATA, pipeline, probe=probe, rescorer=retriever, fusion=FUSION)


def logits(more: float) -> list[float]:
    return [2 * (RETRIEVAL[id_] + more * (id_ == "b")) + 0.5 * LLM[id_] for id_ in LETTERS[:5]]


def test_why_measures_every_piece_and_puts_the_strongest_first(letters: Counterfactuals) -> None:
    found = letters.why(Request(history=HAD, k=2), "b")
    assert (found.ranked.rank, found.candidates, found.unmeasured) == (1, 5, 0)
    assert [piece.ref for piece in found.evidence] == ["h", "z"]
    with_it, without_it = (log_odds(np.array(logits(more)))[1] for more in (1.0, 0.0))
    assert found.evidence[0].influence == pytest.approx(with_it - without_it, abs=1e-5)
    assert found.evidence[1].influence == pytest.approx(0.0, abs=1e-6)


def test_why_tells_what_speaks_against_an_item(letters: Counterfactuals) -> None:
    piece = letters.why(Request(history=HAD), "a").evidence[0]
    assert piece.ref == "h"
    assert piece.influence is not None
    assert piece.influence < -0.1, "what helps the rival b is against a"


def test_a_disliked_film_is_measured_too(letters: Counterfactuals) -> None:
    hated = UserHistory(entries=(HistoryEntry(title="Film h", item_id="h", value=1.0),), value_range=(1, 5))
    assert [piece.ref for piece in letters.why(Request(history=hated), "b").evidence] == ["h"]


def test_an_outranked_item_lies_behind_the_last_of_the_list_by_two_parts(letters: Counterfactuals) -> None:
    # Logits: a 6, b 4.5, c 5, d 2, e 2.
    found = letters.why_not(Request(k=2), "b")
    assert (found.standing, found.rank) == ("outranked", 3)
    assert found.gap is not None
    assert found.gap.ahead.id == "c"
    assert found.gap.retrieval == pytest.approx(2 * (1.5 - 2.0))
    assert found.gap.llm == pytest.approx(0.5 * (4.0 - 1.0))
    assert found.gap.total == pytest.approx(0.5)


def test_what_was_not_retrieved_lacks_so_much_of_the_last_candidate(letters: Counterfactuals) -> None:
    found = letters.why_not(Request(), "f")
    assert (found.standing, found.rank) == ("not_retrieved", None)
    assert found.gap is not None
    assert (found.gap.ahead.id, found.gap.llm) == ("e", None)
    assert found.gap.total == pytest.approx(2 * 4.5)
    with pytest.raises(RequestError, match=r"'Film f \(1995\)' is not among the 5 candidates"):
        letters.why(Request(), "f")


@pytest.mark.parametrize(
    ("request_", "item", "standing"),
    [
        (Request(k=2), "a", "recommended"),
        (Request(history=HAD), "h", "in_history"),
        (Request(exclude=frozenset("a")), "a", "excluded"),
    ],
)
def test_other_standings(letters: Counterfactuals, request_: Request, item: str, standing: str) -> None:
    assert letters.why_not(request_, item).standing == standing


def test_an_unknown_item_is_refused(letters: Counterfactuals) -> None:
    for ask in (letters.why, letters.why_not):
        with pytest.raises(DataError, match="no item has the id 'nothing'"):
            ask(Request(), "nothing")


# On a workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Workspace(tmp_path_factory.mktemp("films") / "workspace")
    film_data().save(place.data)
    build_index(film_data(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\n")
    return place.root


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )


@pytest.fixture
def rec(workspace: Path) -> Recommender:
    return Recommender.load(workspace)


USER = "thriller-fan-3"


def test_forgetting_what_speaks_for_the_first_film_lowers_it(rec: Recommender) -> None:
    first = rec.recommend(user_id=USER, k=1).items[0]
    reasons = rec.why(first.title, user_id=USER).evidence
    strongest = reasons[0]
    assert (strongest.influence or 0.0) > 0.05
    changed = rec.what_if({"without": [strongest.ref]}, user_id=USER, k=5)
    [move] = [one for one in changed.moves if one.item.id == first.id]
    assert move.before == 1
    assert [ranked.item.id for ranked in changed.before] == [
        one.id for one in rec.recommend(user_id=USER, k=5)
    ]
    # Entries, not ids: what is known of their ratings and situations counts in retrieval.
    kept = [entry for entry in rec.dataset.history(USER) if entry.item_id != strongest.ref]
    alike = rec.recommend(history=kept, k=5)
    assert [ranked.item.id for ranked in changed.after] == [one.id for one in alike]


def test_a_change_of_the_situation_is_laid_over_it(rec: Recommender) -> None:
    found = rec.what_if(
        {"context": {"company": None, "mood": "calm"}, "wish": "space"},
        user_id=USER,
        context={"company": "family", "place": "home"},
    )
    assert found.altered.context.as_mapping() == {"place": "home", "mood": "calm"}
    assert (found.request.wish, found.altered.wish) == ("", "space")


def test_a_filter_is_named(rec: Recommender) -> None:
    name = next_film(rec.dataset.history(USER).item_ids[-1])
    year = rec.dataset.item(name).year
    assert year is not None
    found = rec.why_not(name, user_id=USER, filters=[f"year>{year}"])
    assert found.standing == "filtered"
    assert found.conditions == (f"year > {year}",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wihs": "space"}, "change holds 'wihs'; known are user_id"),
        ({"without": ["no such film"]}, "no item has the id"),
        ({"context": "family"}, "context is a str"),
    ],
)
def test_a_change_that_cannot_be_made_is_told(rec: Recommender, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TastemakerError, match=says):
        rec.what_if(change, user_id=USER)


def test_only_what_is_in_the_history_can_be_forgotten(rec: Recommender) -> None:
    name = next_film(rec.dataset.history(USER).item_ids[-1])
    with pytest.raises(RequestError, match="is not in the history"):
        rec.what_if({"without": [name]}, user_id=USER)


def cli(*words: object) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, TastemakerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_the_commands_print_for_people_and_programs(workspace: Path, rec: Recommender) -> None:
    first = rec.recommend(user_id=USER, k=1, context={}).items[0]
    who = ("-w", workspace, "--user", USER, "--context", "time=")
    told = cli("why", first.title, *who).stdout
    assert "stands at place 1 of 15 candidates" in told
    found = json.loads(cli("why", first.id, *who, "--json").stdout)
    assert (found["id"], found["rank"]) == (first.id, 1)
    assert found["evidence"][0]["influence"] > 0
    last = json.loads(cli("why-not", first.id, *who, "-k", 1, "--json").stdout)
    assert last["standing"] == "recommended"
    assert "is in the history already" in cli("why-not", rec.dataset.history(USER).item_ids[0], *who).stdout
    changed = json.loads(cli("what-if", *who, "--if-wish", "space", "-k", 3, "--json").stdout)
    assert len(changed["before"]) == len(changed["after"]) == 3
    assert "before" in cli("what-if", *who, "--if-context", "company=family", "-k", 3).stdout
    with pytest.raises(RequestError, match="nothing is changed"):
        cli("what-if", *who)
