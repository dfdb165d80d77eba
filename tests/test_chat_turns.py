"""What turns mean: titles in free text, many things in one turn, contradictions, what is taken back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat, Reply
from tastemaker.agent.chat.lexicon import load_chat_words
from tastemaker.agent.chat.state import MAX_EVENTS, ChatState, Event
from tastemaker.agent.chat.titles import TitleFinder
from tastemaker.data.dataset import Dataset
from tastemaker.prompts.domains import load_domain
from tastemaker.types import Filter

TITLES = (
    "Usual Suspects, The (1995)",
    "Casablanca (1942)",
    "Heat (1995)",
    "Alien (1979)",
    "Star Trek: First Contact (1996)",
    "Star Trek: Generations (1994)",
    "Terminator 2: Judgment Day (1991)",
    "Shawshank Redemption, The (1994)",
    "When Harry Met Sally... (1989)",
)


@pytest.fixture(scope="module")
def finder() -> TitleFinder:
    items = pa.table({"id": [str(at) for at in range(len(TITLES))], "title": list(TITLES)})
    return TitleFinder(Dataset.from_tables(items), load_domain("films"), load_chat_words("en"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("usual suspects rocks", ["Usual Suspects, The (1995)"]),
        ("she knows casablanca by heart", ["Casablanca (1942)"]),
        ("why isn't Heat here", ["Heat (1995)"]),
        ("the heat is on", []),
        ("Alien is the best film ever made", ["Alien (1979)"]),
        ("no Star Trek please", []),
        ("terminator 2 was loud", ["Terminator 2: Judgment Day (1991)"]),
        ("shawshank is my favourite", ["Shawshank Redemption, The (1994)"]),
        ("When Harry Met Sally we could recite", ["When Harry Met Sally... (1989)"]),
        ("为什么没有 Casablanca？", ["Casablanca (1942)"]),
        ("a comedy, nothing else", []),
    ],
)
def test_titles_are_found_as_people_say_them(finder: TitleFinder, text: str, wanted: list[str]) -> None:
    found = list(finder.find(text))
    assert [TITLES[int(item)] for _, _, item in found] == wanted
    assert all(text[start:end].strip() == text[start:end] for start, end, _ in found)


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
    ("said", "kind", "places"),
    [
        ("the second one's cute", "like", [2]),
        ("number 3 looks dull", "dislike", [3]),
        ("she's had the first one before", "seen", [1]),
        ("what made you choose the third one?", "why", [3]),
        ("which is scarier, the second or the fifth?", "compare", [2, 5]),
        ("first: no. third: no.", "reject", [1, 3]),
        ("teh secnd one i have seen", "seen", [2]),
        ("cheers, I'll take the last one", "like", [5]),
        ("第二部挺好的", "like", [2]),
        ("2和4都不要", "reject", [2, 4]),
        ("第一个和第三个都不要", "reject", [1, 3]),
        ("第一部和第五部都看过了", "seen", [1, 5]),
    ],
)
def test_what_is_said_of_items(chat: Chat, said: str, kind: str, places: list[int]) -> None:
    first = chat.turn(ChatState(), "a comedy", Asker(k=5))
    step = chat.plan(first.state, said, Asker(k=5))
    acts = [act for act in step.turn.acts if act.items]
    assert kind in {act.kind for act in acts}
    assert {item for act in acts for item in act.items} == {first.state.shown[at - 1] for at in places}


def test_the_second_but_older_moves_from_the_second(chat: Chat, film_rec: Recommender) -> None:
    first, answer = talk(chat, "a comedy", "the second one, but older")
    year = film_rec.dataset.item(first.state.shown[1]).attributes["year"]
    assert answer.state.filters[-1] == Filter(field="year", op="<", value=float(str(year)))
    assert answer.recommendation is not None


@pytest.mark.parametrize("yes", ["yes", "yeah go ahead", "yes, I changed my mind", "对对，就这样"])
def test_a_number_against_what_stands_is_asked_about(chat: Chat, yes: str) -> None:
    _, asked, settled = talk(chat, "a comedy, nothing before 2000", "show me ones from the eighties", yes)
    assert asked.asks
    assert asked.state.filters[0] == Filter(field="year", op=">=", value=2000.0)
    years = [one for one in settled.state.filters if one.field == "year"]
    assert years == [Filter(field="year", op=">=", value=1980.0), Filter(field="year", op="<=", value=1989.0)]


def test_a_correction_is_not_asked_about(chat: Chat) -> None:
    _, answer = talk(chat, "a comedy from the eighties", "sorry, i meant the nineties")
    assert not answer.asks
    assert {one.value for one in answer.state.filters if one.field == "year"} == {1990.0, 1999.0}


def test_undo_may_be_followed_by_a_wish(chat: Chat) -> None:
    *_, answer = talk(chat, "a comedy", "before 1990", "undo that, make it a thriller instead")
    assert [str(one.value) for one in answer.state.filters] == ["Thriller"]


def test_what_is_lifted_is_no_demand(chat: Chat) -> None:
    *_, answer = talk(chat, "no comedies, something tense", "comedy is fine after all")
    assert answer.state.exclude == ()
    assert answer.state.filters == ()


def test_a_number_that_is_a_limit_is_no_place(chat: Chat) -> None:
    _, answer = talk(chat, "a comedy", "25 or less of that")
    assert answer.state.shown
    assert "25" not in answer.text


@pytest.mark.parametrize("said", ["not the seventies", "不要七十年代的"])
def test_a_decade_may_be_ruled_out(chat: Chat, said: str) -> None:
    _, answer = talk(chat, "a comedy", said.replace("seventies", "eighties").replace("七十", "八十"))
    assert answer.recommendation is not None
    years = [item.attributes["year"] for item in (row.ranked.item for row in answer.recommendation)]
    assert years
    assert not [year for year in years if 1980 <= int(str(year)) <= 1989]


def test_situations_are_told_in_the_language_of_the_reply(chat: Chat) -> None:
    [answer] = talk(chat, "周末晚上和家人一起看的喜剧")
    assert "晚上" in answer.text
    assert "evening" not in answer.text


@pytest.mark.parametrize(
    "said", ["I haven't seen the first one", "i don't hate the first one", "我不讨厌第一部", "第一部没看过"]
)
def test_what_is_denied_is_not_noted(chat: Chat, said: str) -> None:
    *_, answer = talk(chat, "a comedy", said)
    assert answer.state.events == ()


def test_no_alone_turns_nothing_down(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "no")
    assert answer.state.events == ()
    assert not set(answer.state.shown) & set(first.state.shown), "other ones are shown"


@pytest.mark.parametrize("said", ["horror is fine after all", "恐怖片也可以"])
def test_what_was_not_ruled_out_is_not_demanded_when_it_is_allowed(chat: Chat, said: str) -> None:
    *_, answer = talk(chat, "a comedy", said)
    assert [str(one.value) for one in answer.state.filters] == ["Comedy"]
    assert answer.state.wishes == ("a comedy",)


def test_beside_a_question_the_rest_of_a_turn_counts(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "seen the second, why the third?")
    assert [one.item for one in answer.state.events] == [first.state.shown[1]]
    assert answer.about == (first.state.shown[2],)


def test_of_places_those_that_exist_count_and_the_others_are_told(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "hated 2 and seen 9")
    assert [one.item for one in answer.state.events] == [first.state.shown[1]]
    assert "there is no number 9" in answer.text


def test_three_things_said_in_one_breath(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "I like the first one, hate the second and have seen the third")
    told = {one.item: one.name for one in answer.state.events}
    assert told == dict(zip(first.state.shown[:3], ("like", "dislike", "seen"), strict=True))


def test_what_was_turned_down_stays_out_however_much_is_said_later() -> None:
    state = ChatState().noting([Event(name="not_now", item="first", time=0.0)])
    state = state.noting([Event(name="like", item=str(number), time=1.0) for number in range(MAX_EVENTS + 5)])
    assert len(state.events) == MAX_EVENTS
    assert state.gone == {"first"}
    assert ChatState.from_dict(state.to_dict()) == state
    assert state.noting([Event(name="like", item="first", time=2.0)]).gone == set()
