"""Kept conversations: nobody waits for who stops reading, nothing is lost or counted twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Reply
from tastemaker.agent.chat.state import ChatState, Event
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.feedback import standing
from tastemaker.agent.store import SessionConflictError, Store, StoredEvent
from tastemaker.errors import RequestError, UnknownSessionError
from tastemaker.prompts.domains import load_domain

FAN = "comedy-fan-3"
ASKER = Asker(user_id=FAN)


def in_time(work: Any) -> Any:
    """What it gives, within five seconds."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(5)
    assert found, "it waits for ever"
    return found[0]


def test_a_stream_that_nobody_reads_on_blocks_nobody(film_talk: Conversations) -> None:
    stream = film_talk.stream("s", "a comedy", ASKER)
    first = next(stream)
    assert first.state.shown
    second = in_time(lambda: film_talk.turn("s", "not the second one", ASKER))
    gone = first.state.shown[1]
    assert gone not in second.state.shown, "the list that was seen was kept, so its second can be spoken of"
    # Who reads on after all gets the words, and takes nothing back of what was said meanwhile.
    *_, last = stream
    assert last.text.startswith(first.text)
    kept = film_talk.known_session("s")
    assert [turn["reply"] for turn in kept.turns] == [last.text, second.text]
    assert [one["id"] for one in kept.to_dict()["state"]["events"]] == [gone]


def test_a_stream_is_kept_like_a_turn(film_talk: Conversations) -> None:
    *_, streamed = film_talk.stream("streamed", "a comedy", ASKER)
    whole = film_talk.turn("whole", "a comedy", ASKER)
    assert streamed.text == whole.text
    turns = [film_talk.known_session(name).turns[0]["reply"] for name in ("streamed", "whole")]
    assert turns == [whole.text, whole.text]
    [question] = film_talk.stream("streamed", "why the first one", ASKER)
    assert question.about == (streamed.state.shown[0],)


def test_a_stream_into_a_deleted_session_does_not_bring_it_back(film_talk: Conversations) -> None:
    stream = film_talk.stream("s", "a comedy", ASKER)
    next(stream)
    film_talk.store.delete_session("s")
    list(stream)
    assert film_talk.store.session("s") is None


def test_words_that_cannot_be_kept_do_not_fail_a_turn_that_is(
    film_talk: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = film_talk.stream("s", "a comedy", ASKER)
    first = next(stream)

    def conflict(*_: Any, **__: Any) -> None:
        raise SessionConflictError("changed")

    monkeypatch.setattr(film_talk.store, "save_session", conflict)
    *_, last = stream
    assert last.text != first.text
    assert film_talk.known_session("s").turns[0]["reply"] == first.text


@pytest.fixture
def two(film_talk: Conversations, tmp_path: Path, film_rec: Recommender) -> Iterator[list[Conversations]]:
    """Two processes over one store: neither knows the other's locks."""
    store = Store.at(tmp_path / "state.db")
    yield [film_talk, Conversations(film_rec, store)]
    store.close()


def test_turns_of_two_processes_do_not_overwrite_each_other(
    two: list[Conversations], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = two
    first = mine.turn("s", "a comedy", ASKER)
    ranked = mine.recommender.recommend_batch
    between = iter([lambda: other.turn("s", "not the second one", ASKER)])

    def slow(requests: Any) -> Any:
        next(between, lambda: None)()
        return ranked(requests)

    monkeypatch.setattr(Recommender, "recommend_batch", lambda _, requests: slow(requests))
    reply = mine.turn("s", "before 1990", ASKER)
    gone = first.state.shown[1]
    assert gone in reply.state.gone
    assert gone not in reply.state.shown, "what the other process was told counts in this answer"
    assert [turn["text"] for turn in mine.known_session("s").turns] == [
        "a comedy",
        "not the second one",
        "before 1990",
    ]
    assert mine.store.counts() == {"sessions": 1, "impressions": 3, "events": 1}


def test_a_session_that_never_rests_is_told(
    two: list[Conversations], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = two
    mine.turn("s", "a comedy", ASKER)
    end = Conversations.end

    def disturbed(talk: Conversations, *args: Any, **more: Any) -> Reply:
        if talk is mine:
            found = other.known_session("s")
            other.store.save_session(replace(found, turns=(*found.turns, {"text": "x"})))
        return end(talk, *args, **more)

    monkeypatch.setattr(Conversations, "end", disturbed)
    with pytest.raises(SessionConflictError, match="say it once more"):
        mine.turn("s", "before 1990", ASKER)


def test_a_history_that_is_said_again_stores_no_event_again(film_talk: Conversations) -> None:
    """Each request of a client whose history nobody knows begins a session anew."""
    said = ["a comedy", "seen the first one", "i hated the second one"]
    for number in range(3):
        film_talk.replay(f"s{number}", said, ASKER)
        reply = film_talk.turn(f"s{number}", "before 1995", ASKER)
        assert len(reply.state.events) == 2, "what was said counts in the conversation"
    assert film_talk.store.events() == []
    assert film_talk.store.counts()["impressions"] == 3, "of the lists that were shown"
    film_talk.turn("s0", "not the first one", ASKER)
    assert [one.event for one in film_talk.store.events()] == ["not_now"]


def test_of_a_history_what_cannot_be_said_is_left_out(film_talk: Conversations) -> None:
    film_talk.replay("s", ["", " ", "x" * 5_000, "a comedy"], ASKER)
    assert [turn["text"] for turn in film_talk.known_session("s").turns] == ["a comedy"]


def test_a_session_is_its_clients_alone(film_talk: Conversations) -> None:
    mine, other = (replace(ASKER, client=name) for name in ("shop", "other"))
    film_talk.turn("s", "a comedy", mine)
    with pytest.raises(UnknownSessionError, match="there is no session 's'"):
        film_talk.turn("s", "a thriller", other)
    with pytest.raises(UnknownSessionError):
        film_talk.known_session("s", None, "other")
    with pytest.raises(UnknownSessionError):
        film_talk.edit("s", {"wishes": []}, "other")
    assert film_talk.known_session("s", None, "shop").turns == film_talk.known_session("s").turns
    said = [("user", "a comedy"), ("assistant", "x")]
    film_talk.remember(said, "s", FAN, "shop")
    assert film_talk.known_as(said, FAN, "other") is None
    assert film_talk.known_as(said, FAN, "shop") is not None


def test_a_session_from_before_there_were_keys_becomes_its_next_clients(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    film_talk.turn("s", "before 1990", replace(ASKER, client="shop"))
    with pytest.raises(UnknownSessionError):
        film_talk.known_session("s", None, "other")


def told(number: object, name: str, item: str, **more: Any) -> StoredEvent:
    values = {"id": f"e{number}", "item_id": item, "event": name, "time": 1.0, "session_id": "s", **more}
    return StoredEvent(**values)


def counting(talk: Conversations) -> list[str]:
    return [one["event"] for one in talk.known_session("s").to_dict()["state"]["events"]]


@pytest.mark.parametrize("weak", ["flargle", "purchase", "watch"])
def test_what_says_little_lifts_no_rejection(film_talk: Conversations, weak: str) -> None:
    first = film_talk.turn("s", "a comedy", ASKER).state.shown[0]
    film_talk.turn("s", "not the first one", ASKER)
    for number in range(2):
        film_talk.feedback([told(number, weak, first)])
        assert counting(film_talk) == ["not_now", weak]
    assert first not in film_talk.turn("s", "what else?", ASKER).state.shown
    film_talk.feedback([told("f", "like", first)])
    assert counting(film_talk) == ["like"], "a clear yes does"


def test_each_domain_says_itself_what_lifts_a_rejection() -> None:
    before = ChatState(out=("y",)).noting([Event(name="dislike", item="x", time=1.0)])
    for domain, name, gone in (("music", "view", True), ("products", "purchase", False)):
        told = [Event(name=name, item=one, time=2.0) for one in ("x", "y")]
        assert bool(before.noting(told, load_domain(domain)).gone) == gone
    hated = [Event(name="hate", item="x", time=1.0), Event(name="view", item="x", time=2.0)]
    assert [one.name for one in ChatState().noting(hated, load_domain("music")).events] == ["hate", "view"]
    both = [Event(name=one, item="x", time=1.0) for one in ("not_now", "like")]
    assert ChatState().noting(both, load_domain("films")).gone == set(), "also within one batch"


def test_an_event_that_is_sent_again_does_not_count_again(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    liked = told(1, "like", "comedy-1")
    assert film_talk.feedback([liked, liked]).new == (True, False)
    film_talk.feedback([told(2, "not_now", "comedy-1", time=2.0)])
    assert film_talk.feedback([liked]).new == (False,)
    assert counting(film_talk) == ["not_now"], "what was said later stands"
    film_talk.feedback([told(3, "dislike", "comedy-1", time=2.0)])
    assert counting(film_talk) == ["dislike"], "another event of the same moment counts"
    film_talk.turn("s", "undo", ASKER)
    assert counting(film_talk) == ["not_now"], "each is one step back"


def test_an_event_is_kept_with_its_session_or_not_at_all(
    film_talk: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    film_talk.turn("s", "a comedy", ASKER)

    def fails(*_: Any) -> None:
        raise SessionConflictError("changed")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_put", fails)
        with pytest.raises(SessionConflictError):
            film_talk.feedback([told(1, "like", "comedy-1")])
    assert film_talk.store.events() == []
    assert film_talk.feedback([told(1, "like", "comedy-1")]).new == (True,), "its sender tries again"
    assert counting(film_talk) == ["like"]


def test_what_was_undone_is_not_learned(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    film_talk.feedback([told(1, "not_now", "comedy-1")])
    film_talk.feedback([told(2, "like", "comedy-1", time=2.0, value=4.0)])
    film_talk.turn("s", "undo", ASKER)
    left = standing(film_talk.store.events())
    assert [(one.event, one.time, one.user_id) for one in left] == [("not_now", 1.0, None)]
    film_talk.edit("s", {"events": []})
    assert standing(film_talk.store.events()) == []
    film_talk.turn("s", "undo", ASKER)
    assert [one.event for one in standing(film_talk.store.events())] == ["not_now"]
    with pytest.raises(RequestError, match="the service's own"):
        film_talk.edit("s", {"events": [{"event": "taken_back", "id": "comedy-1"}]})


def test_an_edit_that_keeps_an_event_takes_only_the_others_back(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    film_talk.feedback([told(1, "like", "comedy-1"), told(2, "like", "comedy-2")])
    kept = film_talk.known_session("s").to_dict()["state"]["events"][:1]
    film_talk.edit("s", {"events": kept})
    film_talk.edit("s", {"wishes": ["x"]})
    assert [one.id for one in standing(film_talk.store.events())] == ["e1"]
    assert film_talk.store.counts()["events"] == 3


def test_a_situation_is_edited_under_the_names_that_turns_give_it(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    edited = film_talk.edit("s", {"context": {"Company": "kids"}})
    assert edited.state["context"] == {"company": "kids"}
    film_talk.turn("s", "something for me alone", ASKER)
    with pytest.raises(RequestError, match="says 'company' twice"):
        film_talk.edit("s", {"context": {"Company": "kids", "company": "family"}})


def test_what_an_edit_settles_is_no_longer_open(film_talk: Conversations) -> None:
    film_talk.turn("s", "a comedy", ASKER)
    assert film_talk.turn("s", "no comedies", ASKER).state.doubt is not None
    assert film_talk.edit("s", {"context": {"mood": "calm"}}).state["doubt"] is not None
    found = film_talk.edit("s", {"filters": [], "exclude": [], "wishes": []})
    assert found.state["doubt"] is None
