"""The verifier against hand-labelled statements, and against any text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.agent.verify import MAX_CHARS, Verdict, Verifier
from tastemaker.types import Context, Evidence, HistoryEntry, Item, Language, Request, UserHistory

LABELLED = yaml.safe_load(
    (Path(__file__).parent / "labelled" / "explanations.yaml").read_text(encoding="utf-8")
)


class Shelf:
    """A catalogue in memory."""

    def __init__(self, items: list[Item]) -> None:
        self._items = {item.id: item for item in items}

    def has_item(self, item_id: str) -> bool:
        return item_id in self._items

    def item(self, item_id: str) -> Item:
        return self._items[item_id]

    def iter_items(self) -> Iterator[Item]:
        return iter(self._items.values())


def make_item(item_id: str, row: Mapping[str, Any]) -> Item:
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Item(id=item_id, title=attributes.pop("title"), attributes=attributes)


SHELF = Shelf([make_item(item_id, row) for item_id, row in LABELLED["catalogue"].items()])


def entries(item_id: str, told: Any) -> list[HistoryEntry]:
    if isinstance(told, list):
        return [entry for one in told for entry in entries(item_id, one)]
    facts = told if isinstance(told, dict) else {"event": "rating", "value": float(told)}
    return [HistoryEntry(title=SHELF.item(item_id).display_title, item_id=item_id, **facts)]


class Scene:
    """One scenario of the labelled file, ready to be asked."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.item = SHELF.item(raw["item"])
        self.language: Language = raw["language"]
        past = [entry for item_id, told in raw["history"].items() for entry in entries(item_id, told)]
        self.request = Request(
            history=UserHistory(user_id="u", entries=tuple(past), value_range=(1.0, 5.0)),
            context=Context.from_mapping(raw.get("context", {})),
            wish=raw.get("wish", ""),
            language=self.language,
        )
        pieces = [("history", ref, SHELF.item(ref).display_title) for ref in raw["cite"]]
        pieces += [("context", name, name) for name in raw.get("cite_context", [])]
        pieces += [("wish", "wish", raw["wish"])] if raw.get("cite_wish") else []
        self.evidence = tuple(
            Evidence(kind=kind, ref=ref, text=text, influence=0.5) for kind, ref, text in pieces
        )
        titles = [item.title for item in SHELF.iter_items()]
        self.verifier = Verifier(catalogue=SHELF, titles=titles, domain=raw["domain"])

    def ask(self, text: str) -> Verdict:
        return self.verifier.verify(
            text,
            item=self.item,
            request=self.request,
            evidence=self.evidence,
            language=self.language,
        )


SCENES = {raw["name"]: Scene(raw) for raw in LABELLED["scenarios"]}
TRUE = [(raw["name"], text) for raw in LABELLED["scenarios"] for text in raw["true"]]
FALSE = [(raw["name"], row["kind"], row["text"]) for raw in LABELLED["scenarios"] for row in raw["false"]]


def test_the_labelled_set_is_large_and_varied() -> None:
    assert len(TRUE) + len(FALSE) >= 300
    for language, domain in (("en", "films"), ("zh", "films"), ("en", "products"), ("zh", "products")):
        told = [
            raw
            for raw in LABELLED["scenarios"]
            if (raw["language"], raw["domain"]) == (language, domain) and raw["true"] and raw["false"]
        ]
        assert told, (language, domain)
    assert {kind for _, kind, _ in FALSE} >= {
        "wrong year",
        "wrong decade",
        "wrong genre",
        "swapped item",
        "invented liking",
        "invented award",
        "invented quality",
        "negation",
        "other director",
        "wrong person",
        "wrong context",
        "wrong wish",
        "wrong count",
        "comparison",
        "sharing",
        "history time",
        "uncited cause",
        "over-claim",
        "half true",
    }


@pytest.mark.parametrize(("scene", "kind", "text"), FALSE)
def test_a_false_statement_is_rejected_with_a_reason(scene: str, kind: str, text: str) -> None:
    verdict = SCENES[scene].ask(text)
    assert not verdict.supported
    assert any(one.reason for one in verdict.statements if not one.supported)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_recall_and_false_alarms_stay_within_their_bounds(language: str) -> None:
    missed = [
        (scene, text)
        for scene, _, text in FALSE
        if SCENES[scene].language == language and SCENES[scene].ask(text).supported
    ]
    false = sum(SCENES[scene].language == language for scene, _, _ in FALSE)
    cut = [
        (scene, text)
        for scene, text in TRUE
        if SCENES[scene].language == language and not SCENES[scene].ask(text).supported
    ]
    true = sum(SCENES[scene].language == language for scene, _ in TRUE)
    assert len(missed) <= 0.02 * false, missed
    assert len(cut) <= 0.05 * true, cut


def test_a_sentence_is_judged_alone_and_the_text_stays_whole() -> None:
    text = "You liked Alien (1979). Mr. Nobody won an Oscar! It is a thriller; it came out in 1986."
    verdict = SCENES["aliens"].ask(text)
    assert [one.supported for one in verdict.statements] == [True, False, False, True]
    assert " ".join(one.text for one in verdict.statements) == text


def test_a_stop_inside_a_title_ends_no_sentence() -> None:
    verdict = SCENES["titles with stops, and repeated events"].ask(
        "You watched L.A. Confidential. Mars Attacks! is a comedy."
    )
    assert [one.text for one in verdict.statements] == [
        "You watched L.A. Confidential.",
        "Mars Attacks! is a comedy.",
    ]


def test_nothing_is_not_supported() -> None:
    assert not SCENES["aliens"].ask("").supported
    assert not SCENES["aliens"].ask(" … ").supported
    assert not SCENES["aliens"].ask("It is a thriller. " * MAX_CHARS).supported


def test_claims_are_counted() -> None:
    (empty,) = SCENES["aliens"].ask("It is recommended.").statements
    (full,) = SCENES["aliens"].ask("You liked Alien, and this is an action thriller.").statements
    assert (empty.supported, empty.claims) == (True, 0)
    assert (full.supported, full.claims) == (True, 3)


def test_influence_must_be_positive_for_a_cause() -> None:
    scene = Scene(next(raw for raw in LABELLED["scenarios"] if raw["name"] == "aliens"))
    scene.evidence = tuple(
        Evidence(kind=piece.kind, ref=piece.ref, text=piece.text, influence=-0.1) for piece in scene.evidence
    )
    assert scene.ask("You liked Alien.").supported
    assert not scene.ask("Recommended because you liked Alien.").supported


@pytest.mark.parametrize(
    "wish", ["a funny film!", "film", "a horror film", "horror", "funny films, no horror"]
)
def test_a_word_for_the_item_stays_one_when_the_wish_has_it_too(wish: str) -> None:
    scene = Scene(next(raw for raw in LABELLED["scenarios"] if raw["name"] == "aliens"))
    scene.request = replace(scene.request, wish=wish)
    assert scene.ask("You liked Alien, and this film is an action thriller.").supported
    assert not scene.ask("This film is a horror film.").supported
    assert not scene.ask("This is a funny film.").supported


def test_evidence_that_is_not_in_the_history_is_not_believed() -> None:
    scene = Scene(next(raw for raw in LABELLED["scenarios"] if raw["name"] == "aliens"))
    scene.evidence = (Evidence(kind="history", ref="313", text="Titanic (1997)", influence=1.0),)
    assert not scene.ask("You liked Titanic.").supported


def test_a_title_shared_by_the_item_and_a_past_item_needs_its_year() -> None:
    hamlets = [Item(id=str(year), title="Hamlet", attributes={"year": year}) for year in (1948, 1996)]
    shelf = Shelf(hamlets)
    entry = HistoryEntry(title="Hamlet (1948)", item_id="1948", event="rating", value=5.0)
    request = Request(history=UserHistory(entries=(entry,), value_range=(1.0, 5.0)))
    evidence = (Evidence(kind="history", ref="1948", text="Hamlet (1948)", influence=0.5),)
    verifier = Verifier(catalogue=shelf, titles=["Hamlet"], domain="films")

    def supported(text: str) -> bool:
        return verifier.verify(
            text, item=hamlets[1], request=request, evidence=evidence, language="en"
        ).supported

    assert supported("You liked Hamlet (1948).")
    assert not supported("You liked Hamlet (1996).")
    assert not supported("You liked Hamlet.")


FRAMES = (
    "You liked {}.",
    "Recommended because you liked Alien and {}.",
    "It is similar to {}.",
    "{} is a thriller.",
    "Both {} and this film are thrillers.",
    "“{}” fits.",
    "Like {}, it is from 1986.",
    "{}",
)
UNCITED = [item for item in SHELF.iter_items() if item.id not in ("176", "183", "195")]
PIECES = st.sampled_from(
    [
        *(
            "You liked",
            "Alien",
            "Aliens",
            "(1979)",
            "1986",
            "both",
            "and",
            "not",
            "because",
            "is a",
            "thriller",
        ),
        *(
            ".",
            "“",
            "”",
            "《",
            "（",
            "90s",
            "$5",
            "twice",
            "you",
            "it's",
            "\n",
            "Mars Attacks!",
            "than",
            "🎬",
        ),
        *("You gave", "You rated", "stars", "out of", "its price is", "1.2.3"),
        *("你喜欢", "科幻", "它", "两部", "不是"),
    ]
)


@given(
    item=st.sampled_from(UNCITED), frame=st.sampled_from(FRAMES), scene=st.sampled_from(["aliens", "异形"])
)
def test_naming_a_title_that_is_not_cited_is_always_rejected(item: Item, frame: str, scene: str) -> None:
    assert not SCENES[scene].ask(frame.format(item.title)).supported
    assert not SCENES[scene].ask(frame.format(item.display_title)).supported


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=15).map(" ".join)))
def test_any_text_gets_a_verdict_and_no_text_is_lost(text: str) -> None:
    for scene in SCENES.values():
        verdict = scene.ask(text)
        joined = "".join("".join(one.text.split()) for one in verdict.statements)
        assert joined == "".join(text.split())
        assert all(one.supported or one.reason for one in verdict.statements)


@settings(deadline=None)
@given(
    wish=st.text(max_size=60), value=st.text(min_size=1, max_size=20), language=st.sampled_from(["en", "zh"])
)
def test_any_wish_and_context_can_be_cited_without_a_crash(wish: str, value: str, language: Language) -> None:
    scene = SCENES["aliens"]
    context = Context.from_mapping({"company": value, "lamp": value})
    request = Request(wish=wish, context=context, language=language)
    evidence = [Evidence(kind="wish", ref="wish", text=wish, influence=1.0)]
    evidence += [
        Evidence(kind="context", ref=name, text=value, influence=1.0) for name in ("company", "lamp")
    ]
    verdict = scene.verifier.verify(
        f"You asked for “{wish}” with {value}.",
        item=scene.item,
        request=request,
        evidence=evidence,
        language=language,
    )
    assert all(one.supported or one.reason for one in verdict.statements)
