"""What nobody can understand is told, once and shortly; what merely nobody knows is searched for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat, Reply
from tastemaker.agent.chat.lexicon import load_chat_words
from tastemaker.agent.chat.sense import Sense
from tastemaker.agent.chat.state import ChatState
from tastemaker.data.dataset import Dataset


@pytest.fixture(scope="module")
def chat(film_rec: Recommender) -> Chat:
    return Chat(film_rec)


def talk(chat: Chat, *texts: str) -> list[Reply]:
    replies, state = [], ChatState()
    for text in texts:
        replies.append(chat.turn(state, text, Asker(k=5)))
        state = replies[-1].state
    return replies


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("asdf", "I did not understand “asdf”. Tell me"),
        ("Qwerty zxcv!!", "I did not understand “Qwerty zxcv!!”."),
        ("show me sdkfjh", "I did not understand"),
        ("???", "I did not understand “???”."),
        ("...", "I did not understand"),
        ("blah blah blah", "I did not understand"),
        ("asdf " * 30, "…”. Tell me"),
        ("？？？", "没看懂“？？？”。"),
        ("的的的", "没看懂“的的的”。"),
    ],
)
def test_it_is_told_with_what_can_be_said(chat: Chat, said: str, told: str) -> None:
    [answer] = talk(chat, said)
    assert told in answer.text
    assert ("下雨的周日" if "没看懂" in told else "rainy Sunday") in answer.text, "an example to go by"
    assert (answer.kind, answer.recommendation, answer.asks) == ("unclear", None, False)
    assert answer.state == ChatState()


@pytest.mark.parametrize(
    ("first", "said", "told"),
    [
        ("a comedy before 1995", "asdf", "The last list still stands"),
        ("给我看喜剧", "???", "刚才的列表还在"),
        ("a comedy before 1995", "yes", "The last list still stands"),
        ("a comedy before 1995", "？", "The last list still stands"),
    ],
)
def test_nothing_is_lost(chat: Chat, first: str, said: str, told: str) -> None:
    before, unclear, after = talk(
        chat, first, said, "not the second one" if first[0] == "a" else "不要第二个"
    )
    assert told in unclear.text
    assert unclear.state == before.state
    assert [one.item for one in after.state.events] == [before.state.shown[1]]
    assert after.state.wishes == before.state.wishes


def test_a_question_that_stands_still_stands(chat: Chat) -> None:
    _, asked, unclear, agreed = talk(chat, "a comedy", "no comedies", "zxcvb", "yes")
    assert asked.asks
    assert unclear.state.doubt == asked.state.doubt
    assert agreed.state.exclude == ("comedy",)


def test_beside_what_is_understood_it_is_read_over(chat: Chat) -> None:
    _, answer = talk(chat, "a comedy", "not the second one. asdfgh")
    assert (answer.kind, answer.state.wishes) == ("reject", ("a comedy",))


@pytest.mark.parametrize(
    "said",
    [
        "giallo",
        "mumblecore",
        "Krzysztof Kieslowski",
        "kpop",
        "Wajda",
        "wuxia",
        "lgbtq",
        "imdb top",
        "wtf",
        "brrr",
        "1984",
        "7",
        "霸王别姬",
        "romcom asdf",
        "quiero una comedia",
    ],
)
def test_rare_words_names_and_slang_are_wishes(chat: Chat, said: str) -> None:
    [answer] = talk(chat, said)
    assert answer.kind != "unclear"
    assert answer.recommendation is not None


@pytest.mark.parametrize("said", ["哈哈哈", "👍", "hello", "hmm", "ok"])
def test_chatter_is_no_nonsense(chat: Chat, said: str) -> None:
    [answer] = talk(chat, said)
    assert answer.kind == "small_talk"


def test_what_the_catalogue_holds_is_no_nonsense() -> None:
    items = pa.table(
        {
            "id": ["1", "2"],
            "title": ["Qwerty", "A Quiet Year"],
            "about": ["", "A hacker called asdf breaks in; code 90210."],
            "tags": [["fghj"], []],
        }
    )
    sense = Sense(Dataset.from_tables(items), load_chat_words("en"))
    assert not any(map(sense.has_none, ("qwerty", "ASDF", "90210", "fghj", "qwerty zxcv")))
    assert all(map(sense.has_none, ("zxcv", "fghfgh fghjk", "90211", "sdfgh")))
