"""Did feedback help? Later events asked before and after learning, of pipelines whose answers are known."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from tastemaker.agent.cli.app import run
from tastemaker.agent.feedback import with_events
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.store import Store, StoredEvent
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError
from tastemaker.eval.replay import MIN_EVENTS, replay
from tastemaker.index.build import build_index
from tastemaker.prompts.domains import load_domain
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Candidate, Ranked, Ranking, Request
from tastemaker.workspace import Workspace

FILMS = load_domain("films")
USERS = 60
OLD = 12
"""Films that were had before, each by five users."""

NEW = [f"new-{number}" for number in range(30)]
LATER = 1_000.0


def films() -> Dataset:
    """User n has seen film n mod 12, at second n; nobody has seen "hit" or a new one."""
    ids = [*(f"old-{number}" for number in range(OLD)), "hit", *NEW]
    return Dataset.from_tables(
        pa.table({"id": ids, "title": [f"Film {name}" for name in ids]}),
        pa.table(
            {
                "user_id": [f"u{number}" for number in range(USERS)],
                "item_id": [f"old-{number % OLD}" for number in range(USERS)],
                "timestamp": [float(number) for number in range(USERS)],
            }
        ),
    )


def event(number: int, item: str, user: str | None, name: str = "like") -> StoredEvent:
    """The event that happens as number ``number``."""
    return StoredEvent(id=f"e{number}", item_id=item, event=name, user_id=user, time=LATER + number)


class Fixed:
    """Ranks the same items for everybody, and notes what it was made from and asked."""

    def __init__(self, data: Dataset, order: Sequence[str]) -> None:
        self.data, self.asked = data, list[Request]()
        self._items = tuple(
            Ranked(rank=rank, candidate=Candidate(item=data.item(name), score=-rank), score=0.5)
            for rank, name in enumerate(order, start=1)
        )

    def rank_batch(self, requests: Sequence[Request]) -> list[Ranking]:
        self.asked += requests
        return [Ranking(items=self._items) for _ in requests]


Replayed = tuple[dict[str, Any], list[Fixed]]


def replayed(
    events: Sequence[StoredEvent], before: Sequence[str], after: Sequence[str], *, later: float = 0.5
) -> Replayed:
    """What is found, and the pipelines before and after."""
    made: list[Fixed] = []

    def pipeline_of(data: Dataset) -> Pipeline:
        made.append(Fixed(data, after if made else before))
        return cast(Pipeline, made[-1])

    return replay(DATA, events, FILMS, pipeline_of, later=later), made


DATA = films()


# What is asked


def test_both_are_asked_the_same_and_only_one_has_learned_the_earlier_events() -> None:
    early = [event(number, NEW[number], f"u{number}") for number in range(25)]
    late = [event(100 + number, "hit", f"u{number}") for number in range(25)]
    # The order in which they come is not the order in which they happened.
    found, (before, after) = replayed([*late, *early], ["hit"], ["hit"])
    assert (found["learned_from"], found["replayed"], found["users"]) == (25, 25, 25)
    assert before.data is DATA
    assert after.data.interactions.slice(0, USERS).equals(DATA.interactions)
    learned = after.data.interactions.slice(USERS).to_pylist()
    assert [(one["user_id"], one["item_id"], one["timestamp"], one["event"]) for one in learned] == [
        (f"u{number}", NEW[number], LATER + number, "like") for number in range(25)
    ]
    assert before.asked == after.asked
    assert [one.user_id for one in before.asked] == [f"u{number}" for number in range(25)]
    for number, request in enumerate(before.asked):
        assert request.history.item_ids == (f"old-{number % OLD}", NEW[number])


def test_a_later_event_is_asked_with_all_before_it_and_nothing_after() -> None:
    """Of one user: the answer to a question is history in the next."""
    events = [event(number, NEW[number], "u0") for number in range(30)]
    found, (before, after) = replayed(events, NEW, NEW, later=0.8)
    assert (found["learned_from"], found["replayed"], found["users"]) == (6, 24, 1)
    assert [one.history.item_ids for one in before.asked] == [
        ("old-0", *NEW[:number]) for number in range(6, 30)
    ]
    assert after.data.counts["interactions"] == USERS + 6


def test_events_that_entered_the_data_already_are_not_known_before() -> None:
    early = [event(number, NEW[number], f"u{number}") for number in range(25)]
    late = [event(100 + number, "hit", f"u{number}") for number in range(25)]
    gone = event(500, "no such film", "u1")
    synced_data = with_events(DATA, [*early, *late])
    made: list[Dataset] = []

    def pipeline_of(data: Dataset) -> Pipeline:
        made.append(data)
        return cast(Pipeline, Fixed(data, ["hit"]))

    found = replay(synced_data, [*early, *late, gone], FILMS, pipeline_of, later=0.5)
    assert (found["learned_from"], found["replayed"]) == (25, 25)
    assert [one.counts["interactions"] for one in made] == [USERS, USERS + 25]


def test_what_is_no_question_is_not_asked() -> None:
    asked = [event(100 + number, "hit", f"u{number}") for number in range(20)]
    others = [
        event(200, "hit", None),
        event(201, "hit", "u30", "dislike"),
        event(202, "hit", "u31", "skip"),
        event(203, "old-8", "u32"),
        event(204, "hit", "u3"),
    ]
    # The one without a user is not among those that are cut in two.
    found, (before, _) = replayed([event(0, NEW[0], "u59"), *asked, *others], ["hit"], ["hit"], later=0.95)
    assert found["learned_from"] == 1
    assert [one.user_id for one in before.asked] == [f"u{number}" for number in range(20)]


# What is found


def test_before_and_after_by_hand() -> None:
    events = [event(number, NEW[0], f"u{20 + number}") for number in range(20)]
    events += [event(100 + number, "hit", f"u{number}") for number in range(20)]
    found, _ = replayed(events, ["old-0", "hit"], ["hit", "old-0"])
    second = round(1 / math.log2(3), 4)
    gain = round(1 - 1 / math.log2(3), 4)
    assert found["recall@10"] == {
        "before": 1.0,
        "after": 1.0,
        "difference_ci95": [0.0, 0.0],
        "p_value": 1.0,
    }
    assert found["ndcg@10"] == {
        "before": second,
        "after": 1.0,
        "difference_ci95": [gain, gain],
        # Of 10,000 draws of 20 signs none has all alike; the one observed counts too.
        "p_value": 0.0001,
    }


@pytest.mark.parametrize(
    ("before", "after", "values"),
    [
        ([*NEW[:9], "hit"], [*NEW[:10], "hit"], [1.0, 0.0]),
        (["hit"], NEW, [1.0, 0.0]),
        ([], ["hit"], [0.0, 1.0]),
    ],
)
def test_what_is_not_among_the_first_ten_counts_nothing(
    before: list[str], after: list[str], values: list[float]
) -> None:
    events = [event(number, NEW[29], f"u{20 + number}") for number in range(20)]
    events += [event(100 + number, "hit", f"u{number}") for number in range(20)]
    found, _ = replayed(events, before, after)
    assert [found["recall@10"]["before"], found["recall@10"]["after"]] == values
    assert found["ndcg@10"]["before"] == pytest.approx(values[0] and 1 / math.log2(len(before) + 1), abs=1e-4)


def test_every_user_counts_alike_however_many_events() -> None:
    events = [event(number, "hit", f"u{number}") for number in range(10, 15)]
    events += [event(100 + number, NEW[number], "u0") for number in range(5)]
    events += [event(200 + number, NEW[10 + number], "u1") for number in range(15)]
    # u0 likes what stands among the first ten, u1 what does not: a quarter of the events, half of the users.
    found, _ = replayed(events, NEW[:10], NEW[:10], later=0.8)
    assert (found["learned_from"], found["replayed"], found["users"]) == (5, 20, 2)
    assert found["recall@10"]["before"] == found["recall@10"]["after"] == 0.5
    assert found["recall@10"]["difference_ci95"] == [0.0, 0.0]


def test_too_few_events_are_refused() -> None:
    events = [event(number, "hit", f"u{number}") for number in range(2 * MIN_EVENTS - 2)]
    with pytest.raises(DataError, match="19 later events can be replayed; at least 20 are wanted") as refused:
        replayed(events, ["hit"], ["hit"])
    assert "collect more feedback" in str(refused.value.hint)
    more = [*events, *(event(100 + number, NEW[0], f"u{number}") for number in range(2))]
    assert replayed(more, ["hit"], ["hit"])[0]["replayed"] == MIN_EVENTS
    with pytest.raises(DataError, match="0 later events"):
        replayed([], [], [])


# The command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Nothing but popularity decides: "hit" stands behind the eleven old films until somebody likes it."""
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )
    place = Workspace(tmp_path / "w")
    DATA.save(place.data)
    build_index(DATA, place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\nexplain: template\ncandidates: 20\n")
    place.retriever.mkdir()
    cases = {case: {"popularity": 1.0} for case in ("history", "both", "words", "nobody")}
    (place.retriever / "weights.json").write_text(json.dumps(cases))
    return place


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``tastemaker feedback`` in this process; exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tastemaker", "feedback", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


def keep(place: Workspace, item: str = "hit", users: int = USERS) -> None:
    store = Store.at(place.state)
    store.add_events([event(number, item, f"u{number}") for number in range(users)])
    store.close()


def content(place: Workspace) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in place.root.rglob("*")
        if path.is_file() and not path.name.startswith("state.db")
    }


def test_what_earlier_users_liked_is_found_for_later_ones(place: Workspace, tmp_path: Path, cli: Cli) -> None:
    keep(place)
    before = content(place)
    words = ("replay", "-w", place.root, "--later", "0.5")
    code, out, err = cli(*words, "--json", "--results", tmp_path / "r.json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["learned_from"], found["replayed"], found["users"]) == (30, 30, 30)
    gained = {"before": 0.0, "after": 1.0, "difference_ci95": [1.0, 1.0], "p_value": 0.0001}
    assert found["recall@10"] == found["ndcg@10"] == gained
    assert json.loads((tmp_path / "r.json").read_text()) == found
    assert found["command"].startswith("tastemaker feedback replay")
    # Nothing is learned while it is asked: neither by the workspace nor by the next replay.
    assert content(place) == before
    told, _, *table = cli(*words)[1].splitlines()
    assert told == "learned from 30 events; 30 asked, 30 users"
    values = ["0.0000", "1.0000", "+1.0000", "to", "+1.0000", "0.0001"]
    assert [line.split() for line in table] == [["recall@10", *values], ["ndcg@10", *values]]


def test_learning_what_nobody_asks_for_changes_nothing(place: Workspace, cli: Cli) -> None:
    store = Store.at(place.state)
    store.add_events([event(number, NEW[0], f"u{number}", "dislike") for number in range(20)])
    store.add_events([event(100 + number, "hit", f"u{number}") for number in range(20)])
    store.close()
    found = json.loads(cli("replay", "-w", place.root, "--later", "0.5", "--json")[1])
    same = {"before": 0.0, "after": 0.0, "difference_ci95": [0.0, 0.0], "p_value": 1.0}
    assert found["recall@10"] == found["ndcg@10"] == same


def test_too_little_feedback_ends_in_one_line(place: Workspace, tmp_path: Path, cli: Cli) -> None:
    keep(place, users=30)
    code, out, err = cli("replay", "-w", place.root, "--results", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: 9 later events can be replayed; at least 20 are wanted")
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["replay", "--later", "1"], "Invalid value for '--later'"),
        (["replay", "--later", "0"], "Invalid value for '--later'"),
        (["replay", "--later", "some"], "Invalid value for '--later'"),
        (["replay", "--seed", "-1"], "Invalid value for '--seed'"),
        (["replay", "--set", "colour=red"], "unknown setting 'colour'"),
        (["replay", "--set", "candidates"], "set 'candidates' is not KEY=VALUE"),
        (["replay", "--set", "candidates=many"], "candidates"),
        (["export"], "Missing option '--out'"),
        (["import"], "No such command 'import'"),
    ],
)
def test_options_that_make_no_sense(place: Workspace, cli: Cli, words: list[str], says: str) -> None:
    keep(place)
    where = ["-w", place.root] if words != ["import"] else []
    code, out, err = cli(*words, *where)
    assert (code, out) == (2, "")
    assert says in err


def test_a_workspace_without_an_index_cannot_be_replayed(place: Workspace, cli: Cli) -> None:
    keep(place)
    place.index.rename(place.root / "elsewhere")
    code, out, err = cli("replay", "-w", place.root, "--later", "0.5")
    assert (code, out) == (2, "")
    assert "has no index" in err
