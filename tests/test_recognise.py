"""Wishes taken apart: situation, numbers, musts and exclusions; and nothing is dropped."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.agent.recognise.amounts import amounts, chinese_number
from tastemaker.agent.recognise.lexicon import load_words
from tastemaker.agent.recognise.recogniser import Recogniser
from tastemaker.agent.requests import build_request
from tastemaker.data.dataset import Dataset
from tastemaker.index.filters import holds
from tastemaker.prompts.packs import load_pack
from tastemaker.prompts.words import describe_context
from tastemaker.testing.wishes import wish_catalogue
from tastemaker.types import Context, Filter
from tastemaker.understanding import Understanding

NOW = datetime(2026, 11, 25, 18, 30)  # a Wednesday
RECOGNISERS = {
    name: Recogniser(name, wish_catalogue(name)) for name in ("films", "music", "products", "courses")
}


def read(wish: str, domain: str = "films") -> Understanding:
    return RECOGNISERS[domain].read(wish, now=NOW)


def told(found: Understanding) -> tuple[dict[str, str], list[str], list[str]]:
    return dict(found.context), [str(one) for one in found.filters], list(found.exclude)


def test_the_example_of_the_readme() -> None:
    found = read("rainy Sunday with the kids, something funny, nothing scary, under two hours")
    assert told(found) == (
        {"weather": "rainy", "weekday": "sunday", "company": "kids"},
        ["runtime < 120.0"],
        ["horror"],
    )
    assert found.wish == "something funny"
    assert [one.text for one in found.passages] == [
        "rainy",
        "Sunday",
        "with the kids",
        "nothing scary",
        "under two hours",
    ]


@pytest.mark.parametrize(
    ("wish", "context"),
    [
        ("tonight", {"part_of_day": "evening", "weekday": "wednesday"}),
        ("the day after tomorrow", {"weekday": "friday"}),
        ("late at night on my phone", {"part_of_day": "night", "device": "phone"}),
        ("a sad film", {}),
        ("i'm sad", {"mood": "sad"}),
        ("a romantic movie for date night", {"company": "partner"}),
        ("movie for me and my two daughters", {"company": "kids"}),
        ("Christmas eve at home", {"day_type": "holiday", "place": "home"}),
        ("in the gym, feeling pumped", {"place": "gym", "mood": "energetic"}),
        ("明天下午和爸妈一起", {"weekday": "thursday", "part_of_day": "afternoon", "company": "parents"}),
        ("外面下着大雨，一个人窝在家里", {"weather": "rainy", "company": "alone", "place": "home"}),
        ("心情不好", {"mood": "sad"}),
        ("一部悲伤的电影", {}),
    ],
)
def test_situations(wish: str, context: dict[str, str]) -> None:
    assert dict(read(wish).context) == context


def test_a_gift_is_no_company_and_cooking_no_activity_of_a_shopper() -> None:
    assert dict(read("a gift for my wife", "products").context) == {}
    assert dict(read("something for cooking", "products").context) == {}
    assert dict(read("music for cooking", "music").context) == {"activity": "cooking"}


@pytest.mark.parametrize(
    ("wish", "domain", "filters"),
    [
        ("at most an hour and a half", "films", ["runtime <= 90.0"]),
        ("no longer than 1h45", "films", ["runtime <= 105.0"]),
        ("nothing over 100 mins", "films", ["runtime <= 100.0"]),
        ("about two hours", "films", []),
        ("from the 90s", "films", ["year >= 1990.0", "year <= 1999.0"]),
        ("80s vibes", "films", []),
        ("before the eighties", "films", ["year < 1980.0"]),
        ("nothing from before 1990", "films", ["year >= 1990.0"]),
        ("the last five years", "films", ["year >= 2021.0"]),
        ("2000 to 2010", "films", ["year >= 2000.0", "year <= 2010.0"]),
        ("between 1 and 2 hours", "films", ["runtime >= 60.0", "runtime <= 120.0"]),
        ("songs 3 to 5 minutes", "music", ["duration >= 180.0", "duration <= 300.0"]),
        ("under $1,200", "products", ["price < 1200.0"]),
        ("a blender under 80 bucks", "products", ["price < 80.0"]),
        ("max 50", "products", ["price <= 50.0"]),
        ("at least 5 hours but no more than 20", "courses", ["hours >= 5.0", "hours <= 20.0"]),
        ("90 minutes", "courses", []),
        ("at most 90 minutes", "courses", ["hours <= 1.5"]),
        ("cheap, short, recent", "products", []),
        ("两个半小时以内", "films", ["runtime <= 150.0"]),
        ("九十年代", "films", ["year >= 1990.0", "year <= 1999.0"]),
        ("2000年以后", "films", ["year >= 2000.0"]),
        ("1998年以前", "films", ["year < 1998.0"]),
        ("一百到两百美元", "products", ["price >= 100.0", "price <= 200.0"]),
        ("不超过五十块", "products", ["price <= 50.0"]),
        ("只要喜剧", "films", ["genres has Comedy"]),
        ("only comedies", "films", ["genres has Comedy"]),
        ("it must be a western", "films", ["genres has Western"]),
        ("a western", "films", []),
        ("not only comedies", "films", []),
        ("only Acme", "products", ["brand has Acme"]),
        ("a kettle from Lumo", "products", ["brand has Lumo"]),
    ],
)
def test_conditions(wish: str, domain: str, filters: list[str]) -> None:
    assert [str(one) for one in read(wish, domain).filters] == filters


@pytest.mark.parametrize(
    ("wish", "exclude"),
    [
        ("no horror or war films", ["horror", "war"]),
        ("nothing scary or sad", ["horror", "sad"]),
        ("without Adam Sandler please", ["adam sandler"]),
        ("not Titanic", ["titanic"]),
        ("no horror, something funny", ["horror"]),
        ("no guns and no gore", ["guns", "gore"]),
        ("I hate musicals", ["musical"]),
        ("not too long", []),
        ("I don't mind horror", []),
        ("not only comedies", []),
        ("no idea what to watch", []),
        ("anything but those", []),
        ("a horror film but nothing scary", ["horror"]),
        ("no horor", ["horror"]),
        ("别太恐怖", ["horror"]),
        ("不要爱情片和恐怖片", ["romance", "horror"]),
        ("不要僵尸", ["僵尸"]),
        ("不要太长", []),
        ("不介意恐怖片", []),
        ("没有想好看什么", []),
    ],
)
def test_exclusions(wish: str, exclude: list[str]) -> None:
    assert list(read(wish).exclude) == exclude


@pytest.mark.parametrize("wish", ["suprise me", "looking for a horse film", "The Rainmaker", "Singles"])
def test_words_that_only_look_like_known_ones_are_left_alone(wish: str) -> None:
    found = read(wish)
    assert (told(found), found.wish) == (({}, [], []), wish)


def test_what_the_catalogue_does_not_say_stays_in_the_wish_and_is_told() -> None:
    found = RECOGNISERS["courses"].read("a western film from the 90s, under 2 hours", now=NOW)
    assert [str(one) for one in found.filters] == ["hours < 2.0"]
    assert "90s" in found.wish
    bare = Recogniser("films", wish_catalogue("courses")).read("under two hours, from 1994", now=NOW)
    assert bare.filters == ()
    assert bare.wish == "under two hours, from 1994"
    assert any("runtime" in note for note in bare.notes)


def test_of_two_values_the_first_counts_and_the_other_stays() -> None:
    found = read("with my wife and with the kids")
    assert found.context["company"] == "partner"
    assert "kids" in found.wish


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("an hour and a half", [(1.5, "hours")]),
        ("two and a half hours", [(2.5, "hours")]),
        ("half an hour", [(30.0, "minutes")]),
        ("1 hour 20 minutes", [(80.0, "minutes")]),
        ("1h30", [(90.0, "minutes")]),
        ("a hundred and twenty dollars", [(120.0, "money")]),
        ("$2.5k", [(2500.0, "money")]),
        ("mp3, a film", []),
    ],
)
def test_amounts(text: str, values: list[tuple[float, str]]) -> None:
    assert [(one.value, one.unit) for one in amounts(text, load_words("en"))] == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("九十", 90),
        ("一百五", 150),
        ("一百零五", 105),
        ("二〇一五", 2015),
        ("两千", 2000),
        ("三万二", 32_000),
        ("十二", 12),
    ],
)
def test_chinese_numbers(text: str, value: float) -> None:
    assert chinese_number(text) == value


PIECES = (
    *("no", "horror", "with", "the kids", "under", "2 hours", ",", "and", "nothing", "but", "tonight", "not"),
    *(
        "w/o",
        "without",
        "my wife",
        "I am not",
        "tired",
        "at home",
        "last night",
        "born in",
        "I have",
        "except",
    ),
    *(
        "I have",
        "except",
        "1985",
        "9" * 20,
        "a film about",
        "good evening",
        "不在",
        "家",
        "今晚",
        "九",
        "昨晚",
        "关于",
        "的电影",
    ),
    *(
        "不要",
        "恐怖片",
        "两小时",
        "以内",
        "from",
        "the 90s",
        "\u200b",
        "“",
        "$5",
        "only",
        "Acme",
        "僵尸",
        "。",
        "a",
    ),
)


@pytest.mark.parametrize(
    ("wish", "filters"),
    [
        ("not from 1985", ["year not in 1985"]),
        ("no films from 1994", ["year not in 1994"]),
        ("from 1995 but not from 1996", ["year == 1995.0", "year not in 1996"]),
        ("the 80s, but not 1985", ["year >= 1980.0", "year <= 1989.0", "year not in 1985"]),
        ("a western, except 1994", ["year not in 1994"]),
        ("不要1995年的", ["year not in 1995"]),
        ("1995年的不要", ["year not in 1995"]),
        ("90年代的，不要1995年", ["year >= 1990.0", "year <= 1999.0", "year not in 1995"]),
        ("not only from the 90s", ["year >= 1990.0", "year <= 1999.0"]),
        ("between 1990 and 1980", ["year >= 1980.0", "year <= 1990.0"]),
        ("pre-1970", ["year < 1970.0"]),
        ("I've only got 90 minutes", ["runtime <= 90.0"]),
        ("i was born in 1990", []),
        ("in the last 3000 years", []),
        (f"under {'9' * 320} minutes", []),
        ("九" * 309, []),
    ],
)
def test_years_and_lengths_that_are_hard_to_read(wish: str, filters: list[str]) -> None:
    assert [str(one) for one in read(wish).filters] == filters


@pytest.mark.parametrize(
    ("wish", "filters"),
    [
        ("a lamp, at least 4 stars", []),
        ("at least 20", ["price >= 20.0"]),
        ("50$ max", ["price <= 50.0"]),
        ("20-30 euros", ["price >= 20.0", "price <= 30.0"]),
    ],
)
def test_prices_that_are_hard_to_read(wish: str, filters: list[str]) -> None:
    assert [str(one) for one in read(wish, "products").filters] == filters


@pytest.mark.parametrize(
    ("wish", "denied"),
    [
        ("a film, not at home", "place=home"),
        ("not for kids", "company=kids"),
        ("not on a weekend", "day_type=weekend"),
        ("I am not tired", "mood=tired"),
        ("it is not raining", "weather=rainy"),
        ("don't feel happy", "mood=happy"),
        ("I do not want to be alone", "company=alone"),
        ("without the kids", "company=kids"),
        ("w/o the kids", "company=kids"),
        ("a film w/o my wife", "company=partner"),
        ("今天不下雨", "weather=rainy"),
        ("我不累", "mood=tired"),
        ("非周末", "day_type=weekend"),
    ],
)
def test_a_situation_that_is_denied_is_neither_set_nor_ruled_out(wish: str, denied: str) -> None:
    found = read(wish)
    assert f"not {denied}" in [one.meaning for one in found.passages]
    assert denied.split("=")[0] not in found.context
    assert found.exclude == ()


@pytest.mark.parametrize(
    ("wish", "context"),
    [
        ("a film about a lonely man on a plane", {}),
        ("一部关于下雨天的电影", {}),
        ("a film set in winter", {}),
        ("last night I saw Heat", {}),
        ("昨晚看了盗火线", {}),
        ("broke up with my girlfriend", {"mood": "sad"}),
        ("跟女朋友分手了", {"mood": "sad"}),
        ("a film about a dog for my kids", {"company": "kids"}),
    ],
)
def test_stories_and_the_past_are_not_the_present_situation(wish: str, context: dict[str, str]) -> None:
    found = read(wish)
    assert found.context == context
    assert context or found.wish == wish


def test_what_a_wish_says_twice_or_against_itself_is_told() -> None:
    assert read("monday or tuesday").notes == ("“tuesday”: weekday is monday already, which came first",)
    assert read("only horror, no horror").notes == ("the wish asks for Horror and rules it out",)
    (note,) = read("before 1990, after 2000").notes
    assert "year > 2000.0 and for year < 1990.0" in note
    assert read("after 1990, before 2000").notes == ()
    assert read("no comedies except romantic ones").exclude == ("comedy",)


def test_titles_are_kept_as_they_were_written() -> None:
    titles = ["Singin' in the Rain (1952)", "Winter Guest, The (1997)"]
    data = Dataset.from_tables(
        pa.table({"id": ["1", "2"], "title": titles}), pa.table({"user_id": ["u"], "item_id": ["1"]})
    )
    recogniser = Recogniser("films", data)
    for wish in ("something like Singin' in the Rain", "Winter Guest", "the winter guest"):
        found = recogniser.read(wish, now=NOW)
        assert (dict(found.context), found.wish) == ({}, wish)


def test_control_characters_leave_a_wish() -> None:
    assert build_request(wish_catalogue("films"), wish="see \x1b[2J this").wish == "see [2J this"


WISHES = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map(" ".join)


@settings(deadline=None)
@given(WISHES, st.sampled_from(["en", "zh", None]))
def test_any_text_is_read_and_nothing_of_it_is_dropped(wish: str, language: object) -> None:
    found = RECOGNISERS["films"].read(wish, now=NOW, language=language)  # type: ignore[arg-type]
    covered = bytearray(len(wish))
    for one in found.passages:
        assert wish[one.start : one.end] == one.text
        covered[one.start : one.end] = b"\1" * (one.end - one.start)
    left = {char for char, inside in zip(wish, covered, strict=True) if not inside and char.isalnum()}
    # Joints ("and", "for a") go with what they joined; letters and digits of anything else stay.
    assert {char for char in left if char.isdigit()} <= set(found.wish)
    assert found == RECOGNISERS["films"].read(wish, now=NOW, language=language)  # type: ignore[arg-type]


def test_a_request_is_made_of_what_was_understood() -> None:
    dataset = wish_catalogue("films")
    wish = "with the kids, no horror, no zombies, under two hours, something funny"
    asked = build_request(
        dataset,
        wish=wish,
        context={"time": NOW.isoformat(), "company": "alone"},
        recogniser=RECOGNISERS["films"],
    )
    assert (asked.wish, asked.said) == ("something funny", wish)
    assert asked.filters == (
        Filter(field="runtime", op="<", value=120.0),
        Filter(field="genres", op="lacks", value="Horror"),
        Filter(field="title", op="lacks", value="Horror"),
        Filter(field="anything", op="lacks", value="zombies"),
    )
    # What was given counts, and the difference is told.
    assert asked.context.company == "alone"
    assert asked.understanding is not None
    assert asked.understanding.notes == ("company is 'alone' as given; the wish says 'kids'",)
    assert asked.notes == asked.understanding.notes
    kept = [item for item in dataset.iter_items() if all(holds(item, one) for one in asked.filters)]
    assert 0 < len(kept) < len(dataset.item_ids)
    assert not any("Horror" in item.genres or "zombies" in item.description for item in kept)


def test_a_wish_with_nothing_to_take_apart_stays_as_it_is() -> None:
    asked = build_request(wish_catalogue("films"), wish="like Heat", recogniser=RECOGNISERS["films"])
    assert (asked.wish, asked.said, asked.understanding) == ("like Heat", "like Heat", None)


def test_the_time_that_is_said_counts_before_the_clock() -> None:
    pack = load_pack("en")
    clock = {"time": NOW.isoformat()}

    def told_as(**said: str) -> list[str]:
        return describe_context(Context.from_mapping({**clock, **said}), pack)

    assert told_as() == ["Wednesday evening", "autumn"]
    assert told_as(weekday="sunday") == ["autumn", "Sunday"]
    assert told_as(part_of_day="night") == ["Wednesday", "autumn", "at night"]
    # A Wednesday is no weekend: another day is meant, at an hour that nobody has said.
    assert told_as(season="summer", day_type="weekend") == ["summer", "weekend"]
