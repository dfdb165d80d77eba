"""Situations that contradict each other are asked about once; what only corrects or adds is not."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat, Reply
from tastemaker.agent.chat.lexicon import load_chat_words
from tastemaker.agent.chat.situations import Situations
from tastemaker.agent.chat.state import ChatState
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.store import Store
from tastemaker.prompts.domains import load_domain

NOW = {"time": datetime(2026, 11, 30, 9)}
"""A Monday."""

TONIGHT = {"part_of_day": "evening", "weekday": "monday"}
TOMORROW = {"part_of_day": "morning", "weekday": "tuesday"}
KIDS, FRIENDS, PARTNER = ({"company": one} for one in ("kids", "friends", "partner"))


@pytest.fixture(scope="module")
def chat(film_rec: Recommender) -> Chat:
    return Chat(film_rec)


def talk(chat: Chat, *texts: str) -> list[Reply]:
    replies, state = [], ChatState()
    for text in texts:
        replies.append(chat.turn(state, text, Asker(k=5, context=NOW)))
        state = replies[-1].state
    return replies


@pytest.mark.parametrize(
    ("turns", "before", "after"),
    [
        (["for my kids, without kids"], KIDS, {}),
        (["something for my kids", "without kids"], KIDS, {}),
        (["with my kids", "not with my kids tonight"], {**KIDS, **TONIGHT}, TONIGHT),
        (["with my wife", "without my husband"], PARTNER, {}),
        (["tonight something for tomorrow morning"], TONIGHT, TOMORROW),
        (["a comedy for tonight", "tomorrow morning"], TONIGHT, TOMORROW),
        (
            ["something for friday night", "saturday night please"],
            {"part_of_day": "night", "weekday": "friday"},
            {"part_of_day": "night", "weekday": "saturday"},
        ),
        (["带孩子看，不带孩子"], KIDS, {}),
        (["和朋友一起看的喜剧", "不和朋友看"], FRIENDS, {}),
        (["今晚看的，明天早上看的"], TONIGHT, TOMORROW),
    ],
)
def test_a_contradiction_is_asked_about_and_settled_by_the_answer(
    chat: Chat, turns: list[str], before: dict[str, str], after: dict[str, str]
) -> None:
    yes, no = ("是的", "不") if any("\u4e00" <= one <= "\u9fff" for one in turns[0]) else ("yes", "no")
    *_, asked = talk(chat, *turns)
    assert asked.asks
    assert asked.text.splitlines()[0].endswith(("?", "？", "吗？"))
    assert dict(asked.state.context) == before, "until it is settled the old word counts"
    assert asked.recommendation is not None
    assert asked.state.exclude == (), "who is not there is nothing that an item must not have"
    for answer, wanted in ((yes, after), (no, before)):
        *_, settled = talk(chat, *turns, answer)
        assert not settled.asks
        assert settled.state.doubt is None
        assert dict(settled.state.context) == wanted


def test_the_question_names_both_and_is_asked_once(chat: Chat) -> None:
    _, asked, again = talk(chat, "tonight", "tomorrow morning", "tomorrow morning")
    assert "in the evening, Monday" in asked.text
    assert "Shall I go by “in the morning, Tuesday”?" in asked.text
    assert not again.asks, "said again, it is the answer"
    assert dict(again.state.context) == TOMORROW
    *_, other = talk(chat, "tonight", "tomorrow morning", "a comedy")
    assert (other.asks, other.state.doubt, dict(other.state.context)) == (False, None, TONIGHT)


def test_beside_a_contradiction_of_conditions_one_answer_settles_both(chat: Chat) -> None:
    _, asked, settled = talk(chat, "a comedy for tonight", "no comedies, tomorrow morning", "yes")
    assert asked.text.splitlines()[0].count("?") == 2
    assert settled.state.exclude == ("comedy",)
    assert dict(settled.state.context) == TOMORROW


@pytest.mark.parametrize(
    ("turns", "context"),
    [
        (["with my husband", "no, with my wife"], PARTNER),
        (["with friends", "no, with my kids"], KIDS),
        (["with friends, no, with my kids"], KIDS),
        (["with my kids", "no, without my kids"], {}),
        (["tonight", "actually tomorrow morning"], TOMORROW),
        (["tonight", "tomorrow morning instead"], TOMORROW),
        (["tonight, no wait, tomorrow morning"], TOMORROW),
        (["今晚看的，不对，明天早上看"], TOMORROW),
        (["和朋友看", "说错了，和孩子看"], KIDS),
    ],
)
def test_a_correction_is_no_question(chat: Chat, turns: list[str], context: dict[str, str]) -> None:
    *_, answer = talk(chat, *turns)
    assert not answer.asks
    assert dict(answer.state.context) == context
    assert not [wish for wish in answer.state.wishes if "wait" in wish or "不对" in wish]


@pytest.mark.parametrize(
    ("turns", "context"),
    [
        (["with friends", "my wife is here too"], PARTNER),
        (["for tonight and tomorrow morning"], TONIGHT),
        (["monday or tuesday"], {"weekday": "monday"}),
        (["good morning, something for tonight"], TONIGHT),
        (["tonight, late at night"], None),
        (["something for tonight", "a comedy with a breakfast in it"], None),
        (["something for tonight", "a comedy for tonight"], TONIGHT),
        (["today was long, something for tomorrow"], {"weekday": "tuesday"}),
        (["not with my kids"], {}),
        (["date night without the kids"], PARTNER),
        (["a comedy without kids"], {}),
    ],
)
def test_what_goes_together_is_not_asked_about(
    chat: Chat, turns: list[str], context: dict[str, str] | None
) -> None:
    *_, answer = talk(chat, *turns)
    assert not answer.asks
    assert context is None or dict(answer.state.context) == context


def test_the_next_day_tonight_is_another_day(chat: Chat) -> None:
    first = chat.turn(ChatState(), "a comedy for tonight", Asker(context=NOW))
    later = Asker(context={"time": datetime(2026, 12, 1, 9)})
    again = chat.turn(first.state, "something for tonight", later)
    assert not again.asks
    assert again.state.context["weekday"] == "tuesday"


def test_the_last_day_of_all_has_a_morrow(chat: Chat) -> None:
    fields = chat.recommender.recogniser.fields
    situations = Situations(fields, load_domain("films"), load_chat_words("en"))
    heard = situations.hear("tomorrow", {"weekday": "monday"}, datetime(9999, 12, 31))
    assert heard.asks == {"weekday": "saturday"}


def test_a_question_is_kept_with_its_conversation(film_rec: Recommender, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "state.db")
    asker = Asker(context=NOW)
    assert Conversations(film_rec, store).turn("s", "for my kids, without kids", asker).asks
    settled = Conversations(film_rec, store).turn("s", "yes", asker)
    assert settled.state.context == {}
    old = {"doubt": {"filters": [], "exclude": [], "ends_filters": ["year < 1990"], "ends_exclude": []}}
    assert ChatState.from_dict(old).doubt is not None, "a question of an earlier version is read"
    store.close()


def test_a_correction_asks_for_no_other_list(chat: Chat) -> None:
    for text in ("with friends, no, with my kids", "with friends. No, with my kids", "和朋友，不，带孩子"):
        first, reply = talk(chat, "a comedy", text)
        assert dict(reply.state.context) == KIDS
        assert reply.state.passed == ()
        assert reply.state.shown == first.state.shown


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("not tonight, tomorrow", {"weekday": "tuesday"}),
        ("not for tonight but for tomorrow morning", TOMORROW),
        ("不是今晚，是明天", {"weekday": "tuesday"}),
        ("good evening, a comedy please", {}),
    ],
)
def test_times_that_are_denied_or_only_greet_are_neither_kept_nor_asked_about(
    chat: Chat, text: str, context: dict[str, str]
) -> None:
    (reply,) = talk(chat, text)
    assert not reply.asks
    assert (dict(reply.state.context), reply.state.exclude) == (context, ())
