"""Turns of a conversation: what each is taken for, what it changes, and what the list after it holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker import Recommender
from tastemaker.agent.chat.chat import Asker, Chat, Reply
from tastemaker.agent.chat.state import MAX_PAST, ChatState, Event
from tastemaker.errors import FilterError, RequestError
from tastemaker.types import Filter

FAN = Asker(user_id="comedy-fan-3", k=5)


@pytest.fixture(scope="module")
def chat(film_rec: Recommender) -> Chat:
    return Chat(film_rec)


def talk(chat: Chat, *turns: str, state: ChatState | None = None, asker: Asker = FAN) -> list[Reply]:
    replies = []
    for text in turns:
        replies.append(chat.turn(state or ChatState(), text, asker))
        state = replies[-1].state
    return replies


def years(chat: Chat, reply: Reply) -> list[int]:
    found = [chat.recommender.dataset.item(one).year for one in reply.state.shown]
    return [year for year in found if year is not None]


def genres(chat: Chat, reply: Reply) -> list[tuple[str, ...]]:
    return [chat.recommender.dataset.item(one).genres for one in reply.state.shown]


def test_conditions_of_earlier_turns_still_hold(chat: Chat) -> None:
    _, _, last = talk(chat, "a thriller from before 2000", "not from the eighties", "something for tonight")
    assert last.state.shown
    assert all("Thriller" in one for one in genres(chat, last))
    assert all(year < 2000 for year in years(chat, last))
    assert last.state.context["part_of_day"] in ("evening", "night")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("why the second one", 2),
        ("why number 2?", 2),
        ("why 2", 2),
        ("why the last one", 5),
        ("why the second to last one", 4),
        ("what makes the 3rd one good", 3),
        ("为什么推荐第二部", 2),
        ("为什么是最后一部", 5),
        ("倒数第二个为什么", 4),
    ],
)
def test_references_point_into_the_list_last_shown(chat: Chat, said: str, place: int) -> None:
    first, answer = talk(chat, "a thriller", said)
    assert answer.about == (first.state.shown[place - 1],)
    assert answer.kind == "why"
    assert answer.state.shown == first.state.shown


@pytest.mark.parametrize(("said", "sign"), [("older than the second one", -1), ("比第二部更新一点的", 1)])
def test_a_critique_moves_from_the_item_it_names(chat: Chat, said: str, sign: int) -> None:
    first, answer = talk(chat, "a comedy", said)
    than = years(chat, first)[1]
    assert answer.kind == "critique"
    assert all((year - than) * sign > 0 for year in years(chat, answer))


def test_a_critique_of_the_list_moves_from_its_middle(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "older please")
    middle = sorted(years(chat, first))[2]
    assert years(chat, answer)
    assert max(years(chat, answer)) < middle


def test_a_quality_that_the_catalogue_lacks_is_said_so(chat: Chat) -> None:
    _, answer = talk(chat, "a comedy", "shorter than the first one")
    assert "does not say the length" in answer.text
    assert answer.state.shown


@pytest.mark.parametrize(
    ("said", "event"),
    [
        ("not that one", "not_now"),
        ("i hated the first one", "dislike"),
        ("seen the first one", "seen"),
        ("第一部看过了", "seen"),
        ("不喜欢第一部", "dislike"),
        ("不要第一部", "not_now"),
    ],
)
def test_what_is_turned_down_never_comes_back(chat: Chat, said: str, event: str) -> None:
    replies = talk(chat, "a comedy", said, "more", "something newer", "start over", "a comedy")
    gone = replies[0].state.shown[0]
    assert replies[1].state.events[0].name == event
    assert replies[1].state.events[0].item == gone
    assert all(gone not in one.state.shown for one in replies[1:])


def test_two_items_in_one_turn(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "seen the first one, and i hated number 3")
    told = {(one.name, one.item) for one in answer.state.events}
    assert told == {("seen", first.state.shown[0]), ("dislike", first.state.shown[2])}


def test_more_like_one_but_not_of_a_kind(chat: Chat) -> None:
    first, answer = talk(chat, "something nice", "like the second one but no classics")
    assert answer.kind == "more_like"
    assert [(one.name, one.item) for one in answer.state.events] == [("more_like", first.state.shown[1])]
    assert all("Classic" not in one for one in genres(chat, answer))


@pytest.mark.parametrize("name", ["The Amber Thriller", "amber thriller", "the ambr thriller"])
def test_a_title_is_found_however_it_is_written(chat: Chat, name: str) -> None:
    _, answer = talk(chat, "a comedy", f"why not {name}")
    assert answer.about == ("thriller-0",)
    assert answer.text == "The Amber Thriller (1981) does not fit what you asked for: Comedy."


def test_what_was_only_paged_past_was_not_turned_down(chat: Chat) -> None:
    first, _ = talk(chat, "a comedy", "more")
    name = chat.recommender.dataset.item(first.state.shown[0]).title
    *_, answer = talk(chat, "a comedy", "more", f"why not {name}?")
    assert "was in an earlier list" in answer.text
    *_, answer = talk(chat, "a comedy", "not the first one", f"why not {name}?")
    assert "you turned it down" in answer.text


def test_a_contradiction_is_asked_about_once(chat: Chat) -> None:
    _, asked, agreed = talk(chat, "a comedy", "no comedies", "yes")
    assert asked.asks
    assert all("Comedy" in one for one in genres(chat, asked)), "until it is settled the old word counts"
    assert not agreed.asks
    assert agreed.state.shown
    assert all("Comedy" not in one for one in genres(chat, agreed))
    kept = talk(chat, "no", state=asked.state)[0]
    assert all("Comedy" in one for one in genres(chat, kept))
    passed_over = talk(chat, "something for tonight", state=asked.state)[0]
    assert passed_over.state.doubt is None
    assert not passed_over.asks


def test_who_changes_their_mind_is_not_asked(chat: Chat) -> None:
    _, answer = talk(chat, "a comedy", "actually no comedies, thrillers instead")
    assert not answer.asks
    assert all("Thriller" in one and "Comedy" not in one for one in genres(chat, answer))


@pytest.mark.parametrize(
    "said", ["forget the year", "any year is fine", "the year doesn't matter", "年代无所谓", "不限年代"]
)
def test_a_condition_is_lifted_in_words(chat: Chat, said: str) -> None:
    first, answer = talk(chat, "a comedy before 1990", said)
    assert (
        first.state.filters[-1] == Filter(field="year", op="<", value=1990.0) or len(first.state.filters) == 2
    )
    assert [one.field for one in answer.state.filters] == ["genres"]


def test_an_exclusion_is_lifted_in_words(chat: Chat) -> None:
    first, answer = talk(chat, "something nice, no thrillers", "thrillers are fine after all")
    assert first.state.exclude
    assert answer.state.exclude == ()


def test_undo_goes_back_list_and_all(chat: Chat) -> None:
    first, second, back, nothing = talk(chat, "a comedy", "before 1990", "undo", "undo")
    assert second.state.shown != first.state.shown
    assert back.state.shown == first.state.shown
    assert back.state.filters == first.state.filters
    assert nothing.state.shown == ()


def test_nothing_can_be_taken_back_before_anything_was_said(chat: Chat) -> None:
    (answer,) = talk(chat, "undo")
    assert answer.text == "There is nothing to take back."


@pytest.mark.parametrize(
    "said", ["what's the weather like", "2+2", "hi", "thanks!", "今天天气怎么样", "谢谢"]
)
def test_what_is_no_wish_changes_nothing(chat: Chat, said: str) -> None:
    first, answer = talk(chat, "a comedy before 1990", said)
    assert answer.recommendation is None
    assert (answer.state.filters, answer.state.shown) == (first.state.filters, first.state.shown)
    assert answer.kind in ("small_talk", "off_topic")


def test_a_number_that_the_list_lacks_is_asked_about(chat: Chat) -> None:
    first, answer = talk(chat, "a comedy", "why the seventh one")
    assert answer.asks
    assert answer.text == "The list has 5; there is no number 7 in it."
    assert answer.state.shown == first.state.shown


def test_it_is_the_item_last_spoken_of(chat: Chat) -> None:
    first, _, answer = talk(chat, "a comedy", "why the third one", "seen it")
    assert answer.state.events[0].item == first.state.shown[2]


def test_the_list_comes_first_and_the_words_only_add(chat: Chat) -> None:
    first, last = chat.stream(ChatState(), "a comedy", FAN)
    assert last.text.startswith(first.text)
    assert len(last.text) > len(first.text)
    assert first.state.shown == last.state.shown
    assert first.recommendation is not None
    assert all(item.explanation is None for item in first.recommendation)
    whole = chat.turn(ChatState(), "a comedy", FAN)
    assert (whole.text, whole.state.shown) == (last.text, last.state.shown)


def test_bad_turns_are_refused(chat: Chat) -> None:
    for text in ("", "   ", "x" * 2_001):
        with pytest.raises(RequestError):
            chat.turn(ChatState(), text, FAN)


def test_what_left_the_catalogue_cannot_be_pointed_at(chat: Chat) -> None:
    state = ChatState(shown=("no-such", "comedy-3"), events=(Event(name="like", item="no-such", time=1.0),))
    (answer,) = talk(chat, "why the first one", state=state)
    assert answer.about == ("comedy-3",)


# The state


def test_a_state_reads_back_what_it_wrote(chat: Chat) -> None:
    *_, last = talk(chat, "a comedy before 1990, nothing scary", "seen the first one", "no comedies")
    assert last.state.doubt is not None
    assert ChatState.from_dict(last.state.to_dict()) == last.state


def test_only_so_many_turns_can_be_taken_back(chat: Chat) -> None:
    state = ChatState()
    for number in range(MAX_PAST + 5):
        state = ChatState(wishes=(str(number),)).remembering(state)
    assert len(state.past) == MAX_PAST


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"filter": []}, "the state holds 'filter'"),
        ({"filters": "year>1990"}, "filters is a str"),
        ({"wishes": [1]}, "wishes holds 1"),
        ({"events": [{"event": "like"}]}, "an event is"),
        ({"context": []}, None),
        ({"focus": 3}, "focus is 3"),
    ],
)
def test_a_state_that_people_typed_is_checked(values: dict[str, object], told: str | None) -> None:
    if told is None:
        assert ChatState.from_dict(values) == ChatState()
        return
    with pytest.raises(RequestError, match=told):
        ChatState.from_dict(values)
    with pytest.raises(FilterError):
        ChatState.from_dict({"filters": ["year is nice"]})


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_turn_breaks_the_conversation(chat: Chat, texts: list[str]) -> None:
    state = ChatState()
    for text in texts:
        try:
            step = chat.plan(state, text, Asker(k=3))
        except RequestError:
            assert not text.strip()
            continue
        state = ChatState.from_dict(step.state.to_dict())
        assert state == step.state
