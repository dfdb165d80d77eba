"""Text metrics give the values of the papers that define them, or values known by construction."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.agent.explain_words import TemplateWriter
from tastemaker.errors import MissingExtraError
from tastemaker.eval.names import names_of
from tastemaker.eval.text_metrics import (
    MASK,
    ROUGE_KINDS,
    bleu,
    bleu_signature,
    distinct,
    mean_words,
    readability,
    rouge,
    skeleton,
    skeleton_repeat_rate,
    syllables,
    unique_sentence_ratio,
    words,
)
from tastemaker.testing.influence import MemoryCatalogue
from tastemaker.types import Candidate, Evidence, HistoryEntry, Item, Language, Ranked, Request, UserHistory

TEXTS = st.lists(st.text("ab 想看.", max_size=8), min_size=1, max_size=8)


def test_words_are_words_and_chinese_characters() -> None:
    assert words("It's 想看 Se7en, co-written!") == ["it", "'s", "想", "看", "se7en", "co", "written"]
    assert words("4.5 of the 1990s for $9.99") == ["4.5", "of", "the", "1990s", "for", "$9.99"]
    assert mean_words(["one two", "想看电影", "..."]) == 2.0


def test_identical_texts_agree_fully_and_disjoint_ones_not_at_all() -> None:
    texts, others = ["a b c d", "e f g h"], ["i j k l", "m n o p"]
    assert bleu(texts, texts) == pytest.approx(100.0)
    assert bleu(texts, others) == 0.0
    for kind in ROUGE_KINDS:
        assert rouge(texts, texts)[kind].tolist() == [1.0, 1.0]
        assert rouge(texts, others)[kind].tolist() == [0.0, 0.0]


def test_bleu_1_of_papinenis_example() -> None:
    # "the" seven times: two of seven are clipped hits, and no penalty for being short.
    assert bleu(["the the the the the the the"], ["the cat is on the mat"], order=1) == pytest.approx(200 / 7)


@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("a b c d e", "a b c d e", 100.0),
        ("a b c d e", "a b c d f", 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25),
        ("a b c d", "a b c d e f g h", 100 * math.exp(1 - 8 / 4)),
    ],
)
def test_bleu_4_by_hand(text: str, reference: str, value: float) -> None:
    assert bleu([text], [reference]) == pytest.approx(value)


def test_bleu_counts_over_the_corpus() -> None:
    # 1 of 1 and 1 of 3 words: 2/4 over both, not the mean of 100 and 33.
    assert bleu(["a", "b x y"], ["a", "b c d"], order=1) == pytest.approx(50.0)


def test_bleu_of_chinese_needs_its_language() -> None:
    texts, references = ["我喜欢电影"], ["我喜欢书影"]
    assert bleu(texts, references, order=1, language="zh") == pytest.approx(80.0)
    assert bleu(texts, references, order=1) == 0.0, "one long word without spaces"


def test_the_signature_says_how_bleu_counts() -> None:
    assert bleu_signature().startswith("order:4|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "order:1|" in bleu_signature(order=1)
    assert "tok:zh" in bleu_signature(language="zh")


def test_rouge_of_lins_example() -> None:
    # Lin (2004): ROUGE-2 cannot tell the two apart, ROUGE-L can: 3/4 against 2/4.
    reference = "police killed the gunman"
    found = rouge(["police kill the gunman", "the gunman kill police"], [reference, reference])
    assert found["rougeL"] == pytest.approx([3 / 4, 2 / 4])
    assert found["rouge2"] == pytest.approx([1 / 3, 1 / 3])
    assert found["rouge1"] == pytest.approx([3 / 4, 3 / 4]), "no stemming: killed is not kill"


def test_rouge_is_f1_and_reads_chinese() -> None:
    found = rouge(["想看", "a b", "..."], ["想看电影", "A b c d e f", "..."])
    # P = 1; R = 2/4 and 2/6.
    assert found["rougeL"] == pytest.approx([2 * 0.5 / 1.5, 2 * (1 / 3) / (4 / 3), 0.0])


def test_unique_sentence_ratio() -> None:
    assert unique_sentence_ratio(["a", "b", "a", "c"]) == 0.75
    assert unique_sentence_ratio(["a b", "a  b ", "A b", "c"]) == 0.75, "white space tells nothing, case does"
    assert unique_sentence_ratio(["same"] * 4) == 0.25


def test_distinct_divides_by_words() -> None:
    texts = ["a b a", "b c"]
    assert distinct(texts, 1) == 3 / 5
    assert distinct(texts, 2) == 3 / 5, "ab, ba, bc; none across the texts"
    assert distinct(["想看想看"], 2) == 2 / 4
    assert distinct(["", "?"], 2) == 0.0


@pytest.mark.parametrize(
    ("word", "count"),
    [
        *[(word, 1) for word in ("the", "cat", "cakes", "jumped", "rhythm", "served", "smiles", "hmm")],
        *[
            (word, 2)
            for word in ("table", "tables", "wanted", "dishes", "prices", "Café", "watches", "pizza")
        ],
        *[(word, 3) for word in ("delicious", "beautiful", "restaurant")],
    ],
)
def test_syllables(word: str, count: int) -> None:
    assert syllables(word) == count


def test_readability_of_a_known_sentence() -> None:
    found = readability(["The cat sat on the mat."])
    assert found is not None
    assert found.reading_ease == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    assert found.grade == pytest.approx(0.39 * 6 + 11.8 - 15.59)


def test_readability_reads_all_texts_as_one() -> None:
    # Seven words of eight syllables in three sentences; a number, its full stop and 's do not count.
    found = readability(["The cat sat! It ate", "Nice pizza's, 4.5 想看"])
    assert found is not None
    assert found.reading_ease == pytest.approx(206.835 - 1.015 * 7 / 3 - 84.6 * 8 / 7)


def test_readability_has_no_formula_for_chinese() -> None:
    assert readability(["我想看电影。", "1984"]) is None


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("You liked Aliens, so  ALIEN may please", ["Alien"], "you liked aliens so _ may please"),
        ("Alien's crew", ["Alien"], "_ 's crew"),
        ("Toy Story 2 and Toy Story", ["Toy Story", "Toy  Story 2"], "_ and _"),
        ("Se7en and 7", [], "se7en and _"),
        ("for $9.99 in the 1990s, 7th", [], "for _ in the _ 7th"),
        ("Heat (1995), from 1995", ["Heat"], "_ from _"),
        ("You liked Heat.", ["Heat"], "you liked _"),
        ("It is an action film", ["Action"], "it is a _ film"),
        ("It is a drama film", ["Drama"], "it is a _ film"),
        ("a sci-fi, not a “Children’s” film", ["sci fi", "children's"], "a _ not a _ film"),
        ("因为你喜欢《重庆森林》（1994）和Alien", ["重庆森林", "alien"], "因 为 你 喜 欢 _ 和 _"),
        ("Because? (a+b)", ["?", "", "a+b"], "because _"),
        ("...", ["Heat"], ""),
    ],
)
def test_a_skeleton_hides_names_and_numbers(text: str, names: list[str], found: str) -> None:
    assert skeleton(text, names) == found.replace("_", MASK)


TOLD = [
    "Because you liked Heat (1995).",
    "Because you liked Alien.",
    "A horror film",
    "Because you liked it.",
]
NAMED = [["Heat"], ["Alien"], ["horror"], []]


def test_repeats_are_another_users_text_with_only_names_changed() -> None:
    assert skeleton_repeat_rate(TOLD, NAMED, ["u", "v", "w", "x"]) == 0.5, "both of two alike count"
    assert skeleton_repeat_rate(TOLD, NAMED, ["u", "u", "w", "x"]) == 0.0, "the same user's do not"
    assert skeleton_repeat_rate(TOLD, [[], [], [], []], ["u", "v", "w", "x"]) == 0.0, (
        "a title makes it its own"
    )
    assert skeleton_repeat_rate(TOLD[:2] * 2, NAMED[:2] * 2, ["u", "u", "v", "u"]) == 1.0
    assert unique_sentence_ratio(TOLD) == 1.0, "which is why USR is not enough"


def film(title: str, year: int, *genres: str) -> Item:
    return Item(id=title, title=title, attributes={"year": year, "genres": genres, "brand": "Acme"})


def test_names_of_films() -> None:
    names = names_of(
        [film("Matrix, The (1999)", 1999, "Sci-Fi", "Comedy"), film("Seven (Se7en)", 1995)], "en"
    )
    assert {"Matrix, The", "The Matrix", "Seven", "Se7en", "Comedy", "comedies", "Acme"} < names
    assert not any("1999" in name for name in names), "a skeleton hides numbers by itself"
    assert "喜剧片" in names_of([film("霸王别姬", 1993, "Comedy")], "zh")
    assert names_of([Item(id="1", title="Up", attributes={"categories": "Garden"})], "en") == {"Up", "Garden"}
    assert names_of([], "zh") == frozenset()


@pytest.mark.parametrize(
    "title",
    ["The Matrix", "Matrix, The (1999)", "the matrix (1999)", "“The Matrix” (1999)", "《Matrix, The》"],
)
def test_every_way_to_show_a_title_is_masked(title: str) -> None:
    names = names_of([film("Matrix, The (1999)", 1999)], "en")
    assert skeleton(f"so {title} it is", names) == f"so {MASK} it is"


GENRES = ("Action", "Children's", "Comedy", "Documentary", "Film-Noir", "Sci-Fi", "War", "Western")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_template_texts_of_all_genres_have_one_skeleton(language: Language) -> None:
    past = film("Usual Suspects, The", 1995, "Crime")
    films = [film(f"Film {place} of {genre}", 1950 + place, genre) for place, genre in enumerate(GENRES)]
    writer = TemplateWriter(catalogue=MemoryCatalogue((past, *films)), domain="films")
    found = set()
    for one in films:
        entry = HistoryEntry(title=past.display_title, item_id=past.id, event="rating", value=5.0)
        history = UserHistory(user_id="u", entries=(entry,), value_range=(1.0, 5.0))
        cited = (
            Evidence(kind="history", ref=past.id, text=past.display_title),
            Evidence(kind="fact", ref="genres", text=one.genres[0]),
            Evidence(kind="fact", ref="year", text=str(one.year)),
        )
        ranked = Ranked(rank=1, candidate=Candidate(item=one, score=0.0), score=1.0)
        text = next(writer.texts(Request(history=history, language=language), ranked, cited))
        assert "Usual Suspects" in text
        assert str(one.year) in text
        found.add(skeleton(text, names_of([one, past], language)))
    assert len(found) == 1


@given(TEXTS)
def test_ranges(texts: list[str]) -> None:
    assert 0.0 < unique_sentence_ratio(texts) <= 1.0
    assert 0.0 <= distinct(texts, 2) <= distinct(texts, 1) + 1.0 <= 2.0
    assert distinct(texts + texts, 1) <= distinct(texts, 1)
    names, users = [["a"]] * len(texts), [str(place) for place in range(2 * len(texts))]
    assert 0.0 <= skeleton_repeat_rate(texts, names, users[: len(texts)]) <= 1.0
    assert skeleton_repeat_rate(texts + texts, names + names, users) == 1.0


@given(TEXTS)
def test_a_text_agrees_with_itself(texts: list[str]) -> None:
    for text, score in zip(texts, rouge(texts, texts)["rougeL"], strict=True):
        assert score == (1.0 if words(text) else 0.0)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="no text to measure"):
        unique_sentence_ratio([])
    with pytest.raises(ValueError, match="1 texts cannot be paired with 2"):
        bleu(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="2 texts cannot be paired with 1"):
        skeleton_repeat_rate(["a", "b"], [[]], ["u", "v"])
    with pytest.raises(ValueError, match="2 texts cannot be paired with 1"):
        skeleton_repeat_rate(["a", "b"], [[], []], ["u"])


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(MissingExtraError, match=r"sacrebleu is not installed .*tastemaker\[eval\]"):
        bleu(["a"], ["a"])
    with pytest.raises(MissingExtraError, match=r"rouge-score is not installed .*tastemaker\[eval\]"):
        rouge(["a"], ["a"])


def test_the_libraries_are_loaded_on_use_and_fetch_nothing() -> None:
    code = """
import socket, sys
def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from tastemaker.eval import text_metrics
print(sorted({"sacrebleu", "rouge_score", "nltk"} & set(sys.modules)))
text_metrics.bleu(["a b"], ["a c"]), text_metrics.rouge(["a b"], ["a c"]), text_metrics.readability(["a b"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
