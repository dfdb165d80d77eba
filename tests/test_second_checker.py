"""The second checker: claims known by construction, the hand-labelled set, and any text."""

from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.eval.second_checker.checker import Checked, Claim, SecondChecker
from tastemaker.types import Context, HistoryEntry, Item, Language, Request, UserHistory


class Catalogue:
    """Items in memory."""

    def __init__(self, items: list[Item]) -> None:
        self.by_id = {item.id: item for item in items}

    def iter_items(self) -> Iterator[Item]:
        return iter(self.by_id.values())


def make(item_id: str, title: str, **attributes: Any) -> Item:
    return Item(id=item_id, title=title, description=attributes.pop("description", ""), attributes=attributes)


FILMS = Catalogue(
    [
        make("heat", "Heat",
             year=1995, genres=("Action", "Crime", "Thriller"), director="Michael Mann",
             cast=("Al Pacino", "Robert De Niro"), runtime=170),
        make("fargo", "Fargo", year=1996, genres=("Crime", "Drama", "Thriller"), director="Joel Coen",
             runtime=98),
        make("usual", "Usual Suspects, The", year=1995, genres=("Crime", "Thriller"),
             director="Bryan Singer"),
        make("liar", "Liar Liar", year=1997, genres=("Comedy",)),
        make("god", "Godfather, The", year=1972, genres=("Action", "Crime", "Drama"),
             cast=("Al Pacino",)),
        make("it", "It", year=1990, genres=("Horror",)),
        make("friday", "Friday", year=1995, genres=("Comedy",)),
        make("die", "Die Hard", year=1988, genres=("Action", "Thriller")),
        make("mars", "Mars Attacks!", year=1996, genres=("Comedy", "Sci-Fi")),
        make("titanic", "Titanic", year=1997, genres=("Drama", "Romance")),
        make("titanic53", "Titanic", year=1953, genres=("Action", "Drama")),
    ]
)  # fmt: skip
SHOP = Catalogue(
    [
        make("lip", "Velvet Matte Lipstick", description="A long-lasting lipstick.",
             categories=("Makeup", "Lips"), brand="Rosalind", price=12.5),
        make("cream", "Hydrating Face Cream", categories=("Skin Care",), brand="Rosalind", price=20.0),
        make("mascara", "Volume Mascara", categories=("Makeup", "Eyes"), brand="Ombra", price=9.0),
    ]
)  # fmt: skip
SATURDAY = {"time": "2026-11-28T21:30", "company": "friends", "device": "tv"}


def entry(catalogue: Catalogue, item_id: str, value: float | None, event: str = "rating") -> HistoryEntry:
    title = catalogue.by_id[item_id].display_title
    return HistoryEntry(title=title, item_id=item_id, value=value, event=event)


RATED = UserHistory(
    user_id="u",
    entries=(
        entry(FILMS, "liar", 2.0),
        entry(FILMS, "god", 5.0),
        entry(FILMS, "usual", 4.0),
        entry(FILMS, "fargo", 5.0),
    ),
    value_range=(1.0, 5.0),
)
FILM_CHECKER, SHOP_CHECKER = SecondChecker(FILMS), SecondChecker(SHOP)
ASKED = Request(
    history=RATED, context=Context.from_mapping(SATURDAY), wish="a tense crime film, nothing romantic"
)
ASKED_ZH = Request(history=RATED, context=ASKED.context, wish="紧张的犯罪片", language="zh")
BOUGHT = Request(
    history=UserHistory(
        entries=(entry(SHOP, "cream", None, "purchase"), entry(SHOP, "mascara", None, "view"))
    ),
)


def of_film(text: str, request: Request = ASKED, item: str = "heat") -> tuple[Checked, ...]:
    return FILM_CHECKER.check(text, item=FILMS.by_id[item], request=request)


def wrong(told: tuple[Checked, ...]) -> list[Claim]:
    return [claim for one in told for claim in one.claims if not claim.holds]


# (kind of the claim, a sentence that holds, a sentence that does not)
PAIRS = [
    ("year", "Heat (1995) is a thriller.", "Heat (1996) is a thriller."),
    ("year", "It came out in 1995.", "It came out in 1994."),
    ("year", "This is a film of the nineties.", "This is a film of the eighties."),
    ("year", "You liked Fargo, a film from 1996.", "You liked Fargo, a film from 1995."),
    (
        "label",
        "Because you liked The Usual Suspects, you might enjoy Heat, an action film from 1995.",
        "Because you liked The Usual Suspects, you might enjoy Heat, a comedy from 1995.",
    ),
    (
        "year",
        "Since you liked Fargo and it is Saturday, you could like Heat, a crime film from 1995.",
        "Since you liked Fargo and it is Saturday, you could like Heat, a crime film from 1996.",
    ),
    ("label", "It is a crime film.", "It is a comedy."),
    ("label", "It is not a comedy.", "It is not a crime film."),
    ("label", "It is neither a comedy nor a western.", "It is neither a comedy nor a thriller."),
    ("label", "Heat and Fargo are both thrillers.", "Heat and Fargo are both dramas."),
    ("label", "Like Fargo, it is a thriller.", "Like Fargo, it is an action film."),
    ("label", "Unlike Fargo, it is an action film.", "Unlike Fargo, it is a crime film."),
    ("label", "You liked the drama Fargo.", "You liked the comedy Fargo."),
    ("label", "Fargo is a crime film, and so is Heat.", "Fargo is a drama, and so is Heat."),
    ("name", "It was directed by Michael Mann.", "It was directed by Joel Coen."),
    ("name", "It stars Al Pacino, as does The Godfather.", "It stars Michael Mann."),
    ("shared", "It came out in the same year as The Usual Suspects.", "It has the same director as Fargo."),
    ("similar", "It is similar to Fargo.", "It is nothing like Fargo."),
    ("number", "It lasts 170 minutes.", "It lasts 120 minutes."),
    ("history", "You liked Fargo.", "You liked Liar Liar."),
    ("history", "You loved The Godfather.", "You loved The Usual Suspects."),
    ("history", "You watched Fargo.", "You watched Die Hard."),
    ("history", "You have not seen Heat.", "You have not seen Fargo."),
    ("history", "You did not like Liar Liar.", "You did not like Fargo."),
    ("rating", "You gave Fargo 5 out of 5.", "You gave Fargo 4 out of 5."),
    ("rating", "You gave Fargo five stars.", "You gave Fargo 5 out of 10."),
    ("rating", "You gave The Godfather top marks.", "You gave The Usual Suspects top marks."),
    ("count", "You watched Fargo once.", "You watched Fargo twice."),
    ("count", "You liked three crime films.", "You liked four crime films."),
    ("taste", "You like crime films.", "You like comedies."),
    ("comparison", "It is older than Fargo.", "It is newer than Fargo."),
    ("comparison", "It came out one year before Fargo.", "It came out two years before Fargo."),
    ("comparison", "It is longer than Fargo.", "It is shorter than Fargo."),
    ("comparison", "It is not as new as Fargo.", "It is as new as Fargo."),
    ("comparison", "It came out between The Godfather and Fargo.", "It came out after Fargo."),
    ("context", "It suits a Saturday.", "It suits a Sunday."),
    ("context", "It suits your evening.", "It suits your morning."),
    ("context", "It is a pick for the weekend.", "It is a pick for a summer evening."),
    ("context", "It is for you and your friends.", "It is for you and your family."),
    ("context", "It fits your TV.", "It fits your phone."),
    ("circumstance", "It is Saturday evening.", "You watched Fargo on Saturday evening."),
    ("wish", "You asked for a tense crime film.", "You asked for a tense war film."),
    ("wish", "You wanted something tense.", "You wanted something romantic."),
    ("quotation", "It fits your wish “a tense crime film”.", "It fits your wish “a quiet film”."),
    ("recommended", "We recommend Heat.", "We recommend Fargo."),
    ("recommended", "You might like Heat.", "You might like The Godfather."),
    ("title", "Heat is a good pick.", "Die Hard is a good pick."),
    ("award", "Heat is a thriller.", "Heat won an Oscar."),
    ("acclaim", "Heat is a thriller.", "Heat is a classic."),
    ("third party", "You liked Fargo.", "Everyone liked Fargo."),
    ("third party", "It is for your friends.", "Your friends love Fargo."),
    ("over-claim", "You may enjoy it.", "You will love it."),
    ("superlative", "Heat is a crime film.", "Heat is the best crime film."),
    ("unknown", "It has Robert De Niro in it.", "It has Val Kilmer in it."),
    ("quality", "It is a good choice.", "It is a gripping choice."),
    ("quality", "It is a crime film with action.", "It is a crime film with stunning pictures."),
    ("time", "You liked Fargo.", "You watched Fargo last week."),
]
CHINESE_PAIRS = [
    ("year", "它是1995年的犯罪片。", "它是1996年的犯罪片。"),
    ("year", "它来自九十年代。", "它来自八十年代。"),
    ("label", "它是一部惊悚片。", "它是一部喜剧片。"),
    ("label", "它不是喜剧片。", "它不是犯罪片。"),
    ("label", "《Fargo》和它都是犯罪片。", "《Fargo》和它都是剧情片。"),
    ("label", "与《Fargo》不同，它是动作片。", "与《Fargo》不同，它是犯罪片。"),
    ("name", "它由Michael Mann执导。", "它由Joel Coen执导。"),
    ("unknown", "它由Michael Mann执导。", "它由张艺谋执导。"),
    ("history", "因为你喜欢《Fargo》，所以推荐它。", "因为你喜欢《Liar Liar》，所以推荐它。"),
    ("history", "你非常喜欢《The Godfather》。", "你非常喜欢《The Usual Suspects》。"),
    ("history", "你看过《Fargo》。", "你没看过《Fargo》。"),
    ("rating", "你给《Fargo》打了5分。", "你给《Fargo》打了4分。"),
    ("rating", "你给《Fargo》打了满分。", "你给《The Usual Suspects》打了满分。"),
    ("count", "你看过《Fargo》一次。", "你看过《Fargo》两次。"),
    ("taste", "你喜欢犯罪片。", "你喜欢喜剧片。"),
    ("comparison", "它比《Fargo》早一年。", "它比《Fargo》晚一年。"),
    ("comparison", "它比《The Godfather》新。", "它比《The Godfather》旧。"),
    ("context", "它适合周六晚上。", "它适合周日早上。"),
    ("context", "适合你和朋友一起看。", "适合你和家人一起看。"),
    ("wish", "你想要紧张的犯罪片。", "你想要浪漫的犯罪片。"),
    ("recommended", "推荐《Heat》。", "推荐《Fargo》。"),
    ("title", "推荐《Heat》。", "《Die Hard》是动作片。"),
    ("award", "它是犯罪片。", "它获得了奥斯卡奖。"),
    ("third party", "你喜欢《Fargo》。", "大家都喜欢它。"),
    ("quality", "它是惊悚片。", "它的画面十分精美。"),
]
SHOP_PAIRS = [
    ("history", "You bought Hydrating Face Cream.", "You bought Volume Mascara."),
    ("history", "You viewed Volume Mascara.", "You liked Hydrating Face Cream."),
    ("name", "Its brand is Rosalind.", "Its brand is Ombra."),
    ("shared", "It shares its brand with Hydrating Face Cream.", "It shares its brand with Volume Mascara."),
    ("number", "It costs 12.50.", "It costs 15.00."),
    ("comparison", "It is cheaper than Hydrating Face Cream.", "It costs less than Volume Mascara."),
    ("comparison", "It costs 3.50 more than Volume Mascara.", "It costs 4.50 more than Volume Mascara."),
    ("label", "It is listed under Makeup.", "It is listed under Eyes."),
    ("quality", "It is a long-lasting lipstick.", "It is a waterproof lipstick."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "true", "false"), PAIRS)
def test_a_claim_of_each_kind(kind: str, true: str, false: str) -> None:
    assert not wrong(of_film(true))
    assert kind in {claim.kind for claim in wrong(of_film(false))}


@pytest.mark.parametrize(("kind", "true", "false"), CHINESE_PAIRS)
def test_a_chinese_claim_of_each_kind(kind: str, true: str, false: str) -> None:
    assert not wrong(of_film(true, ASKED_ZH))
    assert kind in {claim.kind for claim in wrong(of_film(false, ASKED_ZH))}


@pytest.mark.parametrize(("kind", "true", "false"), SHOP_PAIRS)
def test_a_claim_about_a_product(kind: str, true: str, false: str) -> None:
    item = SHOP.by_id["lip"]
    assert not wrong(SHOP_CHECKER.check(true, item=item, request=BOUGHT))
    assert kind in {claim.kind for claim in wrong(SHOP_CHECKER.check(false, item=item, request=BOUGHT))}


def test_every_claim_has_a_reason_and_false_sentences_are_marked() -> None:
    good, bad = of_film("Heat is a thriller. Heat is a comedy.")
    assert (good.false, good.read, bad.false, bad.read) == (False, True, True, True)
    assert all(claim.reason for claim in (*good.claims, *bad.claims))


def test_a_sentence_without_anything_to_check_is_not_read() -> None:
    (only,) = of_film("Here you go.")
    assert (only.read, only.false, only.claims) == (False, False, ())
    assert of_film("  ") == ()


def test_sentences_end_at_stops_but_not_inside_titles_and_abbreviations() -> None:
    text = "Mars Attacks! is a comedy. You liked Fargo (1996). Dr. Who did not."
    request = Request(history=RATED)
    told = FILM_CHECKER.check(text, item=FILMS.by_id["mars"], request=request)
    assert [one.sentence for one in told] == [
        "Mars Attacks! is a comedy. ",
        "You liked Fargo (1996). ",
        "Dr. Who did not.",
    ]


@pytest.mark.parametrize("text", ["It suits your Saturday.", "It is a thriller.", "You liked it on Friday."])
def test_a_title_of_a_common_word_is_not_read_into_a_sentence(text: str) -> None:
    assert "title" not in {claim.kind for one in of_film(text) for claim in one.claims}


def test_a_title_of_a_common_word_is_read_in_quotes_or_with_its_year() -> None:
    assert "title" in {claim.kind for claim in wrong(of_film("You might know “It”."))}
    assert "title" in {claim.kind for claim in wrong(of_film("You saw Friday (1995)."))}


def test_a_past_title_of_a_common_word_is_read_by_its_capital() -> None:
    history = UserHistory(entries=(entry(FILMS, "it", 5.0),), value_range=(1.0, 5.0))
    assert not wrong(of_film("You liked It, and it is a thriller.", Request(history=history)))
    assert wrong(of_film("You gave It 4 stars.", Request(history=history)))


def test_the_year_tells_items_of_one_title_apart() -> None:
    history = UserHistory(entries=(entry(FILMS, "titanic53", 5.0),), value_range=(1.0, 5.0))
    request = Request(history=history)
    assert not wrong(of_film("You liked Titanic (1953).", request, item="titanic"))
    assert wrong(of_film("You liked Titanic (1997).", request, item="titanic"))


def test_a_typed_title_that_the_catalogue_lacks_is_part_of_the_history() -> None:
    typed = HistoryEntry(title="Quiet Harbour (2001)", event="watch")
    request = Request(history=UserHistory(entries=(typed,)))
    assert not wrong(of_film("You watched Quiet Harbour, and this is a thriller.", request))
    assert wrong(of_film("You watched Quiet Harbour twice.", request))


def test_recent_times_are_compared_with_the_clock_of_the_request() -> None:
    day = 86_400.0
    now = Context.from_mapping(SATURDAY)
    assert now.time is not None
    last_week = HistoryEntry(
        title="Fargo (1996)", item_id="fargo", value=5.0, event="rating", timestamp=1_795_901_400.0 - 5 * day
    )
    history = UserHistory(entries=(last_week,), value_range=(1.0, 5.0))
    assert not wrong(of_film("You watched Fargo last week.", Request(history=history, context=now)))
    assert wrong(of_film("You watched Fargo yesterday.", Request(history=history, context=now)))


def test_a_season_told_replaces_that_of_the_clock() -> None:
    southern = Context.from_mapping({"time": "2026-11-28T21:30", "season": "spring"})
    assert not wrong(of_film("It suits a spring evening.", Request(history=RATED, context=southern)))
    assert wrong(of_film("It suits an autumn evening.", Request(history=RATED, context=southern)))


def test_popularity_is_counted_in_the_data_set() -> None:
    items = [{"item_id": "a", "title": "Silver Lake"}, {"item_id": "b", "title": "Copper Hill"}]
    events = [{"user_id": f"u{n}", "item_id": "a" if n < 3 else "b"} for n in range(4)]
    dataset = Dataset.from_records(events, items)
    checker, item = SecondChecker(dataset), dataset.item("a")
    request = Request(history=dataset.history("u3"))
    assert not wrong(checker.check("It is more popular than Copper Hill.", item=item, request=request))
    assert wrong(checker.check("It is less popular than Copper Hill.", item=item, request=request))
    assert wrong(of_film("It is more popular than Fargo."))  # nothing was counted


# The hand-labelled set

LABELLED = yaml.safe_load(
    (Path(__file__).parent / "labelled" / "explanations.yaml").read_text(encoding="utf-8")
)
SHELF = Catalogue(
    [
        make(
            item_id, **{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        )
        for item_id, row in LABELLED["catalogue"].items()
    ]
)


def past_entries(item_id: str, told: Any) -> Iterator[HistoryEntry]:
    for one in told if isinstance(told, list) else [told]:
        if isinstance(one, dict):
            yield entry(SHELF, item_id, None, one["event"])
        else:
            yield entry(SHELF, item_id, float(one))


def scene_request(scene: Mapping[str, Any]) -> Request:
    entries = [one for item_id, told in scene["history"].items() for one in past_entries(item_id, told)]
    return Request(
        history=UserHistory(user_id="u", entries=tuple(entries), value_range=(1.0, 5.0)),
        context=Context.from_mapping(scene.get("context", {})),
        wish=scene.get("wish", ""),
        language=scene["language"],
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_recall_and_false_alarms_on_the_labelled_set(language: Language) -> None:
    """The set also labels false what only the measured evidence tells; that is beyond this checker."""
    checker = SecondChecker(SHELF)
    found: dict[bool, list[bool]] = {True: [], False: []}
    unread = 0
    for scene in LABELLED["scenarios"]:
        if scene["language"] != language:
            continue
        request, item = scene_request(scene), SHELF.by_id[scene["item"]]
        rows = [(text, False) for text in scene["true"]] + [(row["text"], True) for row in scene["false"]]
        for text, false in rows:
            told = checker.check(text, item=item, request=request)
            found[false].append(any(one.false for one in told))
            unread += not any(one.read for one in told)
    assert sum(found[True]) / len(found[True]) >= 0.87
    assert sum(found[False]) / len(found[False]) <= 0.03
    assert unread / (len(found[True]) + len(found[False])) <= 0.05


# Any text

PIECES = """Heat Fargo you liked like unlike it is not 1995 5 stars because , . ! “ ” 《 》 ‹ › ( ) and both
    than newer comedy crime 你 喜欢 比 都 是 不 打了5分 。 ， same director by Al Pacino Mars Attacks!
    1990s 九十年代 [ ] \\ ^ - * + which also of between twice three films gave"""
WORDS = st.sampled_from(PIECES.split())


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join)), st.booleans())
def test_any_text_is_checked_and_the_sentences_cover_it(text: str, chinese: bool) -> None:
    told = of_film(text, ASKED_ZH if chinese else ASKED)
    assert "".join(one.sentence for one in told) == (text if text.strip() else "")
    assert all(one.sentence.strip() for one in told)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(min_size=1, max_size=30).filter(str.strip), st.text(max_size=40))
def test_any_item_history_and_wish_are_checked(wish: str, title: str, value: str) -> None:
    item = make("x", title, genres=(value,) if value else (), brand=value or "none")
    history = UserHistory(entries=(HistoryEntry(title=title), HistoryEntry(title=f"{title} II")))
    request = Request(history=history, wish=wish, context=Context.from_mapping({"mood": value, "k": title}))
    checker = SecondChecker(Catalogue([item]))
    text = f"You liked {title} II, and {title} by {value} fits your wish “{wish}”."
    assert "".join(one.sentence for one in checker.check(text, item=item, request=request)) == text


def test_a_long_text_takes_no_long_time() -> None:
    for text in (", " * 2_500, "Heat and " * 600, "a. " * 1_700, "1995 " * 1_000, "x" * 6_000, "不" * 5_000):
        started = time.perf_counter()
        of_film(text)
        assert time.perf_counter() - started < 10


def films_of(path: Path) -> list[Item]:
    """The rows of a MovieLens ``movies.csv``, years apart from titles."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    items = []
    for row in rows:
        match = re.fullmatch(r"(.+?)\s*\((\d{4})\)\s*", row["title"])
        if match is not None:
            genres = tuple(row["genres"].split("|"))
            items.append(make(row["movieId"], match[1], year=int(match[2]), genres=genres))
    return items


def test_real_titles_are_indexed_quickly_and_read_in_any_sentence() -> None:
    folder = os.environ.get("TASTEMAKER_DATA")
    path = Path(folder or ".") / "ml-latest-small" / "movies.csv"
    if folder is None or not path.is_file():
        pytest.skip("TASTEMAKER_DATA holds no ml-latest-small")
    items = films_of(path)
    started = time.perf_counter()
    checker = SecondChecker(Catalogue(items))
    assert time.perf_counter() - started < 10
    alarms = misses = asked = 0
    for number in range(0, len(items) - 40, 40):
        item, past, other = items[number], items[number + 13], items[number + 27]
        entries = (HistoryEntry(title=past.display_title, item_id=past.id, value=5.0, event="rating"),)
        request = Request(history=UserHistory(entries=entries, value_range=(0.5, 5.0)))
        genre = item.genres[0].lower()
        true = (
            f"You might like this film from {item.year}, because you gave {past.display_title} 5 out of 5.",
            f"Because you liked {past.display_title}, you might enjoy this {genre} film.",
            f"你可能会喜欢《{item.display_title}》，因为你给《{past.display_title}》打了5分。",
        )
        false = (
            f"You might like this film, because you gave {past.display_title} 3 out of 5.",
            f"Because you liked {other.display_title}, you might enjoy this film.",
            f"你喜欢《{other.title}》，所以推荐它。",
        )
        asked += len(true)
        alarms += sum(bool(wrong(checker.check(text, item=item, request=request))) for text in true)
        misses += sum(not wrong(checker.check(text, item=item, request=request)) for text in false)
    assert asked > 600
    assert alarms / asked <= 0.02
    assert misses / asked <= 0.02
