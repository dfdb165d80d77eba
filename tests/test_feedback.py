"""Feedback closes the loop: events enter the data once and become training material; the deleted leave."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker import Recommender
from tastemaker.agent.cli.app import run
from tastemaker.agent.feedback import (
    examples,
    forget_user,
    preferences,
    standing,
    sync,
    synced,
    without_user,
    write_lines,
)
from tastemaker.agent.store import TAKEN_BACK, Impression, Store, StoredEvent
from tastemaker.data.dataset import Dataset
from tastemaker.errors import UnknownUserError
from tastemaker.prompts.domains import load_domain
from tastemaker.testing.data import DAY, FANS, FIRST_DAY, SEEN, film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace

LATER = FIRST_DAY + 100 * DAY
FAN = "comedy-fan-3"
"""Has seen comedy-4 to comedy-11."""

FILMS = load_domain("films")
ROWS = 2 * FANS * SEEN


@pytest.fixture
def place(film_place: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(film_place.root, tmp_path / "w")))


@pytest.fixture
def store(place: Workspace) -> Iterator[Store]:
    kept = Store.at(place.state)
    yield kept
    kept.close()


@pytest.fixture(autouse=True)
def _hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("agent.assemble", "index.embeddings"):
        monkeypatch.setattr(
            f"tastemaker.{module}.load_embedder", lambda source, progress=None: HashEmbedder()
        )


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process; exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tastemaker", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stopped.value.code or 0), out, err

    return call


def event(number: int, item: str, name: str = "like", user: str | None = FAN, **more: Any) -> StoredEvent:
    values = {"id": f"e{number}", "time": LATER + number, **more}
    return StoredEvent(item_id=item, event=name, user_id=user, **values)


def shown(name: str, *items: str, time: float = LATER, user: str | None = FAN, **more: Any) -> Impression:
    return Impression(request_id=name, items=items, time=time, user_id=user, **more)


def content(folder: Path) -> dict[str, bytes]:
    """All files but the store's, which is opened by whoever reads it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("state.db")
    }


def rows_of(place: Workspace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Dataset.load(place.data).interactions.to_pylist()
    return rows


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def row(user: str, item: str, time: float, name: str, value: float | None, who: str | None) -> dict[str, Any]:
    told = {"user_id": user, "item_id": item, "timestamp": time, "event": name, "value": value}
    return {**told, "company": who}


# Events enter the data


def test_events_become_interactions_with_the_situation_of_their_list(place: Workspace, store: Store) -> None:
    said = {"company": "alone", "mood": "sad", "time": "2026-11-28T21:30:00"}
    store.add_impressions([shown("r", "comedy-1", "thriller-2", context=said), shown("bare", "comedy-3")])
    store.add_events(
        [
            event(1, "thriller-2", request_id="r"),
            event(2, "comedy-3", "dislike", request_id="bare"),
            event(3, "comedy-12", "rate", "newcomer", value=4.5),
            event(4, "comedy-13", request_id="gone"),
        ]
    )
    found = sync(place, store, HashEmbedder())
    assert (found.added, found.known, found.nobodys, found.unknown) == (4, 0, 0, 0)
    assert rows_of(place)[:ROWS] == film_data().interactions.to_pylist()
    assert rows_of(place)[ROWS:] == [
        row(FAN, "thriller-2", LATER + 1, "like", None, "alone"),
        row(FAN, "comedy-3", LATER + 2, "dislike", None, None),
        row("newcomer", "comedy-12", LATER + 3, "rate", 4.5, None),
        row(FAN, "comedy-13", LATER + 4, "like", None, None),
    ]
    assert found.dataset.fingerprint == Dataset.load(place.data).fingerprint


def test_the_next_recommendations_know_of_them(place: Workspace, store: Store) -> None:
    with pytest.raises(UnknownUserError):
        Recommender.load(place.root).recommend(user_id="newcomer")
    store.add_events([event(place_, f"thriller-{place_}", user="newcomer") for place_ in range(4)])
    sync(place, store, HashEmbedder())
    after = Recommender.load(place.root)
    assert after.dataset.history("newcomer").item_ids == tuple(f"thriller-{number}" for number in range(4))
    answer = after.recommend(user_id="newcomer", k=3)
    # What follows in the circle; what was had is not offered again.
    assert [item.id for item in answer] == ["thriller-4", "thriller-5", "thriller-6"]


def test_a_situation_finds_its_column_whatever_its_case(store: Store) -> None:
    events = film_data().interactions.append_column("Mood", pa.array(["calm"] * ROWS))
    store.add_impressions([shown("r", "comedy-1", context={"mood": "sad"})])
    store.add_events([event(1, "comedy-1", request_id="r")])
    found = synced(Dataset.from_tables(film_data().items, events), store)
    assert found.dataset.interactions["Mood"][-1].as_py() == "sad"


def test_an_event_that_nobody_knows_does_not_count_for_its_item(place: Workspace, store: Store) -> None:
    store.add_events([event(1, "thriller-2", "flargle"), event(2, "comedy-3", "hate")])
    found = sync(place, store, HashEmbedder())
    assert (found.added, found.unheard) == (1, 1)
    assert rows_of(place)[-1]["event"] == "hate"


def test_each_event_enters_once_however_often_it_is_sent_or_synced(place: Workspace, store: Store) -> None:
    store.add_events([event(1, "comedy-1"), event(2, "comedy-2"), event(1, "comedy-1")])
    assert sync(place, store, HashEmbedder()).added == 2
    before = content(place.root)
    for _ in range(2):
        again = sync(place, store, HashEmbedder())
        assert (again.added, again.known) == (0, 2)
    assert content(place.root) == before
    store.add_events([event(3, "comedy-3"), event(2, "comedy-2")])
    assert [sync(place, store, HashEmbedder()).added for _ in range(2)] == [1, 0]
    assert [one["item_id"] for one in rows_of(place)[ROWS:]] == ["comedy-1", "comedy-2", "comedy-3"]


def test_what_is_nobodys_or_about_nothing_is_left_out(place: Workspace, store: Store) -> None:
    store.add_events([event(1, "comedy-1", user=None), event(2, "no-such-film"), event(3, "gone", user=None)])
    before = content(place.root)
    found = sync(place, store, HashEmbedder())
    assert (found.added, found.known, found.nobodys, found.unknown) == (0, 0, 2, 1)
    assert content(place.root) == before


def test_nobody_takes_back_what_others_said(store: Store) -> None:
    store.add_events(
        [event(1, "comedy-1"), event(2, "comedy-1", user="other"), event(3, "comedy-1", user=None)]
    )
    store.add_events([event(4, "comedy-1", session_id="s"), event(5, "comedy-1", TAKEN_BACK, None)])
    assert [one.id for one in standing(store.events())] == ["e1", "e2", "e3", "e4"]
    store.add_events([event(6, "comedy-1", TAKEN_BACK)])
    assert [one.id for one in standing(store.events())] == ["e2", "e3", "e4"]
    store.add_events([event(7, "comedy-1", TAKEN_BACK, None, session_id="s")])
    assert [one.id for one in standing(store.events())] == ["e2", "e3"]


def test_no_text_is_embedded_again(place: Workspace, store: Store) -> None:
    embedder = HashEmbedder()
    store.add_events([event(1, "comedy-1")])
    assert sync(place, store, embedder).added == 1
    assert forget_user(place, embedder, FAN) == SEEN + 1
    assert embedder.texts == 0


def test_an_index_that_an_interrupted_sync_left_behind_is_brought_up(
    place: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_events([event(1, "comedy-15"), event(2, "comedy-15"), event(3, "comedy-16", time=LATER + 1)])

    def fails(*_: Any) -> None:
        raise OSError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr("tastemaker.agent.feedback.build_index", fails)
        with pytest.raises(OSError, match="plug"):
            sync(place, store, HashEmbedder())
    assert sync(place, store, HashEmbedder()).added == 0
    assert Recommender.load(place.root).recommend(user_id=FAN).items


def test_the_same_film_at_another_time_is_another_event(place: Workspace, store: Store) -> None:
    store.add_events([event(1, "comedy-1"), event(2, "comedy-1"), event(3, "comedy-1", "skip")])
    assert sync(place, store, HashEmbedder()).added == 3


told = st.lists(
    st.tuples(
        st.sampled_from([FAN, "newcomer", None]),
        st.sampled_from(["comedy-1", "comedy-2", "no-such-film"]),
        st.sampled_from(["like", "skip"]),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(told, st.integers(0, 12))
@settings(deadline=None, max_examples=50)
def test_every_event_is_counted_and_enters_once(
    rows: list[tuple[str | None, str, str, int]], first: int
) -> None:
    store = Store("sqlite://")
    try:
        events = [
            event(number, item, name, user, time=float(time))
            for number, (user, item, name, time) in enumerate(rows)
        ]
        store.add_events(events[:first])
        early = synced(film_data(), store)
        assert early.added + early.known + early.nobodys + early.unknown == len(events[:first])
        store.add_events(events[first:])
        later = synced(early.dataset, store)
        assert later.nobodys == sum(user is None for user, *_ in rows)
        again = synced(later.dataset, store)
        assert (again.added, again.dataset) == (0, later.dataset)
        entered = {(user, item, name, time) for user, item, name, time in rows if user and item[-1].isdigit()}
        columns = later.dataset.interactions.slice(ROWS).select(["user_id", "item_id", "event", "timestamp"])
        assert {tuple(one.values()) for one in columns.to_pylist()} == entered
    finally:
        store.close()


def test_the_command_says_what_it_did_and_the_second_time_nothing(
    place: Workspace, store: Store, cli: Cli
) -> None:
    store.add_events([event(1, "comedy-1"), event(2, "comedy-2", user=None), event(3, "no-such-film")])
    code, out, err = cli("data", "sync", "-w", place.root, "--json")
    counts = {"known": 0, "without_user": 1, "unknown_items": 1, "unknown_events": 0}
    counts["interactions"] = ROWS + 1
    assert (code, json.loads(out), err) == (0, {"added": 1, **counts}, "")
    code, out, _ = cli("data", "sync", "-w", place.root, "--json")
    assert (code, json.loads(out)) == (0, {"added": 0, **counts, "known": 1})
    code, out, _ = cli("data", "sync", "-w", place.root)
    assert out.splitlines() == [
        f"0 new interactions, {ROWS + 1} in all",
        "left out: 1 without a user, 1 about unknown items, 0 of unknown names",
    ]


def test_another_store_may_be_named(place: Workspace, tmp_path: Path, cli: Cli) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    other = Store(url)
    other.add_impressions([shown("r", "comedy-1", "comedy-2")])
    other.add_events([event(1, "comedy-1", request_id="r")])
    other.close()
    told = cli("feedback", "export", "-w", place.root, "--out", tmp_path / "out", "--store", url, "--json")
    assert json.loads(told[1]) == {"examples": 1, "preferences": 0, "folder": str(tmp_path / "out")}
    assert json.loads(cli("data", "sync", "-w", place.root, "--store", url, "--json")[1])["added"] == 1
    assert not place.state.exists()


def test_an_encoder_that_learned_before_is_told_of_once(place: Workspace, store: Store, cli: Cli) -> None:
    place.sequential.mkdir(parents=True)
    store.add_events([event(1, "comedy-1")])
    assert "tastemaker train retriever" in cli("data", "sync", "-w", place.root)[2]
    assert cli("data", "sync", "-w", place.root)[2] == ""


# What it teaches


def taught(store: Store, domain: str = "films") -> tuple[list[dict[str, Any]], list[tuple[str, str, bool]]]:
    """The examples; and the pairs as what was chosen, what rejected, and whether that was passed over."""
    pack = load_domain(domain)
    pairs = [(one["chosen"], one["rejected"], one["passed_over"]) for one in preferences(store, pack)]
    return list(examples(store, pack)), pairs


def listed(store: Store, items: str, said: dict[str, str]) -> None:
    """One list with events on some of it."""
    store.add_impressions([shown("r", *items)])
    store.add_events(
        [event(number, item, name, request_id="r") for number, (item, name) in enumerate(said.items())]
    )


@pytest.mark.parametrize(
    ("said", "chosen", "pairs"),
    [
        # Above c stand a and b, unsaid; e was turned down; of d below nobody knows whether it was seen.
        ({"c": "like", "e": "dislike"}, "c", [("c", "a", True), ("c", "b", True), ("c", "e", False)]),
        ({"b": "like", "d": "finish"}, "bd", [("b", "a", True), ("d", "a", True), ("d", "c", True)]),
        ({"a": "like"}, "a", []),
        ({"a": "skip", "b": "not_now", "c": "like"}, "c", [("c", "a", False), ("c", "b", False)]),
        # What the domain does not know, or what was known before, is no choice.
        ({"d": "shared with a friend", "a": "like"}, "a", []),
        ({"d": "seen", "b": "like"}, "b", [("b", "a", True)]),
        ({"d": "more_like"}, "d", [("d", "a", True), ("d", "b", True), ("d", "c", True)]),
        ({"a": "dislike", "b": "skip"}, "", []),
        ({}, "", []),
        ({"z": "like"}, "", []),
        ({"z": "dislike", "b": "Like"}, "b", [("b", "a", True)]),
    ],
)
def test_pairs_and_examples_by_hand(
    store: Store, said: dict[str, str], chosen: str, pairs: list[tuple[str, str, bool]]
) -> None:
    listed(store, "abcde", said)
    found, told = taught(store)
    assert told == pairs
    assert [one["chosen"] for one in found] == ([[*chosen]] if chosen else [])
    assert all(one["candidates"] == [*"abcde"] for one in found)


def test_of_an_item_the_latest_event_counts(store: Store) -> None:
    store.add_impressions([shown("r", "a", "b"), shown("s", "a", "b", time=LATER + 1)])
    names = [("r", "like"), ("r", "dislike"), ("s", "dislike"), ("s", "like")]
    store.add_events([event(number, "b", name, request_id=to) for number, (to, name) in enumerate(names)])
    found, pairs = taught(store)
    assert [(one["request_id"], one["chosen"]) for one in found] == [("s", ["b"])]
    assert pairs == [("b", "a", True)]


def test_an_event_teaches_of_no_list_but_its_own(store: Store) -> None:
    store.add_impressions([shown("r", "a", "b"), shown("s", "b", "a", time=LATER - 1)])
    store.add_events([event(1, "a", request_id="s"), event(2, "a"), event(3, "b", request_id="gone")])
    found, pairs = taught(store)
    assert [one["request_id"] for one in found] == ["s"]
    assert pairs == [("a", "b", True)]


def test_the_domain_says_what_speaks_for_an_item(store: Store) -> None:
    listed(store, "abc", {"c": "purchase", "a": "return"})
    assert taught(store, "products")[1] == [("c", "a", False), ("c", "b", True)]
    # Films know neither purchase nor return.
    assert taught(store, "films")[1] == []


def test_the_files_hold_what_was_asked_the_oldest_list_first(
    place: Workspace, store: Store, tmp_path: Path, cli: Cli
) -> None:
    situation, wish = {"company": "alone", "weather": "下雨"}, "温暖的\u2028film"
    store.add_impressions(
        [shown("new", "a", "b", time=9.0), shown("old", "c", "d", time=3.0, context=situation, wish=wish)]
    )
    store.add_events([event(1, "b", request_id="new"), event(2, "d", request_id="old")])
    code, out, _ = cli("feedback", "export", "-w", place.root, "--out", tmp_path / "out", "--json")
    told = {"examples": 2, "preferences": 2, "folder": str(tmp_path / "out")}
    assert (code, json.loads(out)) == (0, told)
    first, second = lines_of(tmp_path / "out" / "examples.jsonl")
    asked = {"request_id": "old", "user_id": FAN, "context": situation, "wish": wish}
    assert first == {**asked, "time": 3.0, "candidates": ["c", "d"], "chosen": ["d"]}
    assert (second["request_id"], second["context"], second["wish"]) == ("new", {}, "")
    pairs = lines_of(tmp_path / "out" / "preferences.jsonl")
    assert pairs[0] == {**asked, "chosen": "d", "rejected": "c", "passed_over": True}
    assert "下雨" in (tmp_path / "out" / "examples.jsonl").read_text(encoding="utf-8")
    before = content(tmp_path / "out")
    assert (
        "2 examples and 2 pref" in cli("feedback", "export", "-w", place.root, "--out", tmp_path / "out")[1]
    )
    assert content(tmp_path / "out") == before


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"new": 1}
        raise RuntimeError("the disk is on fire")

    assert write_lines(iter([{"old": 1}, {"old": 2}]), tmp_path / "deep" / "x.jsonl") == 2
    with pytest.raises(RuntimeError, match="on fire"):
        write_lines(broken(), tmp_path / "deep" / "x.jsonl")
    assert content(tmp_path) == {"deep/x.jsonl": b'{"old": 1}\n{"old": 2}\n'}


# A user is deleted


def test_a_deleted_user_leaves_no_trace_in_data_export_and_store(
    place: Workspace, store: Store, tmp_path: Path, cli: Cli
) -> None:
    user, wish, out = "user-marker-7391", "wish-marker-2846", tmp_path / "out"
    for name in (user, FAN):
        store.add_impressions([shown(f"r {name}", "comedy-1", "comedy-2", user=name, wish=f"{wish} {name}")])
        store.add_events([event(1, "comedy-2", user=name, id=f"e {name}", request_id=f"r {name}")])
    sync(place, store, HashEmbedder())
    assert cli("feedback", "export", "-w", place.root, "--out", out)[0] == 0
    assert user in (out / "examples.jsonl").read_text()
    assert store.delete_user(user)["events"] == 1
    assert forget_user(place, HashEmbedder(), user) == 1
    assert cli("feedback", "export", "-w", place.root, "--out", out)[0] == 0
    for name, kind in (("examples.jsonl", "chosen"), ("preferences.jsonl", "rejected")):
        [one] = lines_of(out / name)
        assert (one["user_id"], kind in one) == (FAN, True)
    assert json.loads(cli("data", "sync", "-w", place.root, "--json")[1])["added"] == 0
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert FAN.encode() in left
    assert user.encode() not in left
    with pytest.raises(UnknownUserError):
        Dataset.load(place.data).history(user)


def test_everybody_else_stays_as_they_were_and_is_served(place: Workspace) -> None:
    assert forget_user(place, HashEmbedder(), FAN) == SEEN
    others = [one for one in film_data().interactions.to_pylist() if one["user_id"] != FAN]
    assert rows_of(place) == others
    after = Recommender.load(place.root)
    assert len(after.recommend(user_id="comedy-fan-4", k=3).items) == 3
    with pytest.raises(UnknownUserError):
        after.recommend(user_id=FAN)


def test_a_stranger_is_forgotten_without_a_change(place: Workspace) -> None:
    before = content(place.root)
    assert forget_user(place, HashEmbedder(), "nobody") == 0
    assert forget_user(place, HashEmbedder(), FAN.upper()) == 0
    assert content(place.root) == before


def test_what_is_known_of_a_user_goes_too(place: Workspace) -> None:
    data = film_data()
    users = pa.table({"user_id": [FAN, "quiet", "comedy-fan-4"], "job": ["baker", "smith-marker", "cook"]})
    Dataset.from_tables(data.items, data.interactions, users).save(place.data)
    assert forget_user(place, HashEmbedder(), FAN) == SEEN
    assert forget_user(place, HashEmbedder(), "quiet") == 0, "there were facts, and no interactions"
    left = Dataset.load(place.data)
    assert left.users is not None
    assert left.users.to_pylist() == [{"user_id": "comedy-fan-4", "job": "cook"}]
    assert not {FAN, "quiet"} & set(left.user_ids)


def test_nothing_else_is_taken_away() -> None:
    left = without_user(film_data(), FAN)
    assert left.users is None
    assert left.items.equals(film_data().items)
    assert left.interactions.schema.equals(film_data().interactions.schema)
    assert left.counts == {"items": 40, "interactions": ROWS - SEEN, "users": 2 * FANS - 1}


# Wrong input


COMMANDS = [("data", "sync"), ("feedback", "export"), ("feedback", "replay")]


def words_of(command: tuple[str, str], folder: Path) -> list[str]:
    out = ["--out", str(folder.with_name("out"))] if command[1] == "export" else []
    return [*command, "-w", str(folder), *out]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_no_workspace(command: tuple[str, str], tmp_path: Path, cli: Cli) -> None:
    code, out, err = cli(*words_of(command, tmp_path / "none"))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'none'} is no workspace: it has no data")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_without_an_index(place: Workspace, store: Store, cli: Cli) -> None:
    shutil.rmtree(place.index)
    store.add_events([event(1, "comedy-1")])
    before = content(place.root)
    code, out, err = cli("data", "sync", "-w", place.root)
    assert (code, out) == (2, "")
    assert "has no index" in err
    assert "tastemaker index build" in err
    assert content(place.root) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_setting_that_cannot_be(command: tuple[str, str], place: Workspace, cli: Cli) -> None:
    place.config.write_text("colour: red\n")
    code, out, err = cli(*words_of(command, place.root))
    assert (code, out) == (2, "")
    assert "colour" in err
    assert not place.root.with_name("out").exists()


def test_a_domain_that_nobody_knows(place: Workspace, tmp_path: Path, cli: Cli) -> None:
    place.config.write_text("domain: dreams\n")
    code, _, err = cli("feedback", "export", "-w", place.root, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("error: domain 'dreams' is unknown; known are courses, films")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_cannot_be_opened_is_named_without_its_password(
    command: tuple[str, str], place: Workspace, tmp_path: Path, cli: Cli
) -> None:
    before = content(place.root)
    for url, name in ((f"sqlite:///{tmp_path}/no/x.db", "/no/x.db"), ("odd://me:secret@host/x", "host/x")):
        code, out, err = cli(*words_of(command, place.root), "--store", url)
        assert code
        assert out == ""
        assert err.startswith("error: the store ")
        assert name in err
        assert "secret" not in err
    assert content(place.root) == before
    assert not (tmp_path / "out").exists()
