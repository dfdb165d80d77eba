"""The store: what was kept is there, bounded and deletable, and an acknowledged event survives a kill."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tastemaker.agent import store as module
from tastemaker.agent.store import Impression, SessionConflictError, Store, StoredEvent, StoredSession
from tastemaker.errors import ConfigError, RequestError, StorageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "state.db")


def event(number: int, **more: object) -> StoredEvent:
    values = {"id": f"e{number}", "item_id": "50", "event": "like", "time": float(number), **more}
    return StoredEvent(**values)  # type: ignore[arg-type]


def test_the_same_event_again_counts_once(store: Store) -> None:
    assert store.add_events([event(1), event(2)]) == [True, True]
    assert store.add_events([event(2), event(3), event(3)]) == [False, True, False]
    assert [one.id for one in store.events()] == ["e1", "e2", "e3"]
    assert [one.id for one in store.events(after=store.events()[0].number)] == ["e2", "e3"]


def test_ids_are_each_clients_own(store: Store) -> None:
    mine, other, nobodys = event(1, client="shop"), event(1, client="other"), event(1)
    assert store.add_events([mine, other, nobodys, mine]) == [True, True, True, False]
    assert [(one.id, one.client) for one in store.events()] == [("e1", "shop"), ("e1", "other"), ("e1", None)]
    assert store.known_events([mine, event(2)]) == {mine.key}


def test_everything_comes_back_as_it_was_kept(tmp_path: Path, store: Store) -> None:
    shown = Impression(
        request_id="r", items=("1", "2"), time=5.0, user_id="u", session_id="s", context={"a": "b"}, wish="雨"
    )
    session = StoredSession(
        id="s", user_id="u", state={"wishes": ["雨"]}, turns=({"text": "雨"},), created=1.0
    )
    store.add_impressions([shown])
    store.save_session(session)
    store.add_events([event(1, value=4.5, user_id="u", session_id="s", request_id="r")])
    store.close()
    again = Store.at(tmp_path / "state.db")
    assert again.impression("r") == shown
    found = again.session("s")
    assert found is not None
    assert (found.state, found.turns, found.created) == (session.state, session.turns, 1.0)
    assert again.events()[0].value == 4.5
    assert again.impression("other") is None
    assert again.session("other") is None


def test_sessions_are_bounded_in_number_and_length(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS_PER_USER", 3)
    monkeypatch.setattr(module, "MAX_TURNS", 2)
    for number in range(5):
        turns = tuple({"text": str(turn)} for turn in range(4))
        store.save_session(StoredSession(id=f"s{number}", user_id="u", state={}, turns=turns))
    store.save_session(StoredSession(id="other", user_id="v", state={}))
    assert [one.id for one in store.sessions_of("u")] == ["s4", "s3", "s2"]
    assert [one["text"] for one in store.sessions_of("u")[0].turns] == ["2", "3"]
    assert store.session("other") is not None


def told_to_nobody(*times: float, **more: object) -> list[Impression]:
    return [Impression(request_id=f"r{at}", items=("1",), time=at, **more) for at in times]  # type: ignore[arg-type]


def test_lists_that_nobody_reacts_to_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTS_OF_NOBODY", 3)
    monkeypatch.setattr(module, "MAX_LISTS_PER_USER", 2)
    monkeypatch.setattr(module, "TIDY_EVERY", 1)
    now = time.time()
    old = now - module.MAX_LIST_AGE - 60
    store.add_events([event(1, request_id=f"r{now - 9}"), event(2, request_id=f"r{old}")])
    store.add_impressions(told_to_nobody(old, old + 1, now - 9, now - 8))
    left = [one.time for one in store.impressions()]
    assert left == [old, now - 9, now - 8], "of the old ones the one with an event"
    for one in told_to_nobody(*(now - 7 + at for at in range(6))):
        store.add_impressions([one])
    left = [one.time for one in store.impressions()]
    assert left == [old, now - 9, *(now - 4 + at for at in range(3))], "and of many the latest"
    for one in told_to_nobody(*(now + at for at in range(1, 6)), user_id="u"):
        store.add_impressions([one])
    assert [one.time for one in store.impressions()][-2:] == [now + 4, now + 5]
    assert store.counts()["impressions"] == 7


def test_lists_of_a_conversation_without_a_user_are_bounded_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TURNS", 2)
    monkeypatch.setattr(module, "MAX_LISTS_OF_NOBODY", 0)
    monkeypatch.setattr(module, "TIDY_EVERY", 1)
    kept = StoredSession(id="s", user_id=None, state={})
    for shown in told_to_nobody(1.0, 2.0, 3.0, session_id="s"):
        kept = store.save_session(kept, shown=[shown])
    assert [one.request_id for one in store.impressions()] == ["r2.0", "r3.0"], (
        "however old: the session stands"
    )
    store.delete_session("s")
    store.add_impressions(told_to_nobody(4.0, session_id="gone"))
    assert store.impressions() == []


def test_who_saves_what_has_changed_meanwhile_is_told(tmp_path: Path, store: Store) -> None:
    """Two processes: what one of them saved is not lost under the other's older reading."""
    other = Store.at(tmp_path / "state.db")
    first = store.save_session(StoredSession(id="s", user_id=None, state={"wishes": ["a"]}))
    assert other.session("s") == first
    other.save_session(replace(first, state={"wishes": ["a", "b"]}))
    late = replace(first, state={"wishes": ["a", "c"]})
    lists, events = told_to_nobody(time.time(), session_id="s"), [event(1, session_id="s")]
    with pytest.raises(SessionConflictError, match="changed by somebody else"):
        store.save_session(late, shown=lists, said=events)
    with pytest.raises(SessionConflictError):
        store.save_session(StoredSession(id="s", user_id=None, state={}))
    assert store.counts() == {"sessions": 1, "impressions": 0, "events": 0}, "nothing of the turn was kept"
    found = store.session("s")
    assert found is not None
    assert found.state == {"wishes": ["a", "b"]}
    store.save_session(found, shown=lists, said=events)
    assert store.counts() == {"sessions": 1, "impressions": 1, "events": 1}
    other.delete_session("s")
    with pytest.raises(SessionConflictError):
        store.save_session(replace(found, version=found.version + 1))
    assert store.session("s") is None, "what was deleted does not come back"
    other.close()


def test_a_database_of_an_earlier_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as raw:
        raw.execute(
            "CREATE TABLE sessions (id VARCHAR(200) NOT NULL PRIMARY KEY, user_id VARCHAR(200), "
            "state TEXT NOT NULL, turns TEXT NOT NULL, created FLOAT NOT NULL, touched FLOAT NOT NULL)"
        )
        raw.execute("""INSERT INTO sessions VALUES ('s', 'u', '{"wishes": ["a"]}', '[]', 1.0, 2.0)""")
        raw.execute(
            "CREATE TABLE events (number INTEGER NOT NULL PRIMARY KEY, id VARCHAR(200) NOT NULL UNIQUE, "
            "request_id VARCHAR(200), session_id VARCHAR(200), user_id VARCHAR(200), "
            "item_id VARCHAR(200) NOT NULL, event VARCHAR(200) NOT NULL, value FLOAT, time FLOAT NOT NULL)"
        )
        raw.execute("INSERT INTO events VALUES (1, 'e1', NULL, NULL, 'u', '50', 'like', NULL, 1.0)")
    raw.close()
    store = Store.at(path)
    found = store.session("s")
    assert found is not None
    assert (found.state, found.client, found.created) == ({"wishes": ["a"]}, None, 1.0)
    store.save_session(replace(found, client="shop"))
    assert store.add_events([event(1), event(1, client="shop")]) == [False, True]
    assert [(one.id, one.client) for one in store.events()] == [("e1", None), ("e1", "shop")]
    store.close()
    again = Store.at(path).session("s")
    assert again is not None
    assert again.client == "shop"


def test_a_deleted_session_takes_what_was_shown_in_it(store: Store) -> None:
    store.save_session(StoredSession(id="s", user_id=None, state={}))
    store.set_alias("name", "s", None)
    store.add_impressions([Impression(request_id="r", items=("1",), time=1.0, session_id="s")])
    store.add_events([event(1, session_id="s"), event(2)])
    assert store.delete_session("s")
    assert not store.delete_session("s")
    assert store.alias("name") is None
    assert store.impression("r") is None
    assert [one.id for one in store.events()] == ["e2"]


def test_a_deleted_user_leaves_no_byte_behind(tmp_path: Path, store: Store) -> None:
    user, wish = "user-marker-7391", "wish-marker-2846"
    store.save_session(StoredSession(id="s", user_id=user, state={"wishes": [wish]}))
    store.set_alias("name", "s", user)
    store.add_impressions([Impression(request_id="r", items=("1",), time=1.0, user_id=user, wish=wish)])
    store.add_events([event(1, user_id=user), event(2, user_id="other")])
    told = store.export_user(user)
    assert [len(told[part]) for part in ("sessions", "impressions", "events")] == [1, 1, 1]
    assert store.delete_user(user) == {"sessions": 1, "aliases": 1, "impressions": 1, "events": 1}
    assert [len(store.export_user(user)[part]) for part in ("sessions", "impressions", "events")] == [0, 0, 0]
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert user.encode() not in left
    assert wish.encode() not in left
    assert [one.id for one in store.events()] == ["e2"]


def test_what_was_said_before_the_user_was_known_is_the_users(store: Store) -> None:
    store.save_session(StoredSession(id="s", user_id=None, state={}))
    store.set_alias("name", "s", None)
    store.add_impressions([Impression(request_id="r", items=("1",), time=1.0, session_id="s", wish="secret")])
    store.add_events([event(1, user_id=None, session_id="s"), event(2, user_id=None, session_id="t")])
    before = store.session("s")
    assert before is not None
    store.save_session(replace(before, user_id="u"))
    told = store.export_user("u")
    assert [len(told[part]) for part in ("sessions", "impressions", "events")] == [1, 1, 1]
    store.delete_user("u")
    assert store.impressions() == []
    assert store.alias("name") is None
    assert [one.id for one in store.events()] == ["e2"]


@pytest.mark.parametrize(
    ("url", "says"),
    [("postgresql+psycopg://u:secret@h/d", "psycopg"), ("mysql+pymysql://h/d", "pymysql")],
)
def test_a_database_without_its_driver_names_the_package(url: str, says: str) -> None:
    with pytest.raises(StorageError, match=says) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_what_is_no_database_url_is_wrong_input() -> None:
    with pytest.raises(ConfigError, match="no database URL"):
        Store("not a url")


def test_half_a_character_is_refused_in_words(store: Store) -> None:
    with pytest.raises(RequestError, match="half a character"):
        store.add_events([event(1, user_id="u\ud800")])


@pytest.mark.parametrize("name", ["id", "item_id", "event", "user_id"])
def test_an_event_without_a_name_is_refused(name: str) -> None:
    for wrong in ("", " ", "x" * 201):
        with pytest.raises(RequestError, match=name):
            event(1, **{name: wrong})


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match="the store"):
        Store.at(tmp_path / "state.db")
    with pytest.raises(StorageError):
        Store.at(tmp_path / "no-such-folder" / "state.db")


WRITER = """
import sys
import time
from dataclasses import replace
from pathlib import Path
from tastemaker.agent.store import Store, StoredEvent
store = Store.at(Path(sys.argv[1]))
for number in range(100_000):
    store.add_events([StoredEvent(id=str(number), item_id="50", event="like", time=1.0)])
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(next(writer.stdout)) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    kept = {int(one.id) for one in Store.at(path).events()}
    assert set(acknowledged) <= kept
    with sqlite3.connect(path) as raw:
        assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
    raw.close()


def test_another_process_sees_what_this_one_kept(tmp_path: Path, store: Store) -> None:
    store.add_events([event(1)])
    code = "import sys, json; from pathlib import Path; from tastemaker.agent.store import Store; "
    code += "print(json.dumps([one.id for one in Store.at(Path(sys.argv[1])).events()]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state.db")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["e1"]
