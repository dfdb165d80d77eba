"""Evidence: which pieces are measured, and which are cited."""

from __future__ import annotations

from datetime import datetime

import pytest

from tastemaker.agent.evidence import EvidencePicker, relating_facts, without_field
from tastemaker.testing.influence import MemoryCatalogue, TableInfluence
from tastemaker.types import (
    Candidate,
    Context,
    HistoryEntry,
    Item,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)

ITEMS = tuple(
    Item(id=f"i{n}", title=f"Item {n}", attributes={"year": 1980 + n, "genres": genres})
    for n, genres in enumerate((("Comedy",), ("Comedy", "Drama"), ("War",), ("Drama", "War"), ("Western",)))
)
CATALOGUE = MemoryCatalogue(ITEMS)


def history(*values: float | None) -> UserHistory:
    """Entries i0, i1, ... with these ratings, oldest first."""
    return UserHistory(
        value_range=(1.0, 5.0),
        entries=tuple(
            HistoryEntry(title=f"Item {n} ({1980 + n})", item_id=f"i{n}", value=value)
            for n, value in enumerate(values)
        ),
    )


def ranking(*items: Item) -> Ranking:
    return Ranking(
        items=tuple(
            Ranked(rank=rank, candidate=Candidate(item=item, score=0.0), score=0.5)
            for rank, item in enumerate(items, start=1)
        )
    )


def pick(request: Request, table: dict[str | tuple[str, str], float], *items: Item, **limits: int):  # type: ignore[no-untyped-def]
    probe = TableInfluence(table)
    picker = EvidencePicker(probe=probe, catalogue=CATALOGUE, **limits)
    return picker.pick(request, ranking(*items)), probe


def cited(pieces: object, kind: str) -> list[str]:
    return [piece.ref for piece in pieces if piece.kind == kind]  # type: ignore[attr-defined]


def test_every_piece_is_taken_away_once_and_alone() -> None:
    request = Request(
        history=history(5, 4),
        wish="calm",
        context=Context(time=datetime(2026, 11, 27, 20), company="family", extra={"lamp": "on"}),
    )
    picker = EvidencePicker(probe=TableInfluence({}), catalogue=CATALOGUE)
    removals = picker.removals(request)
    assert [(one.kind, one.ref) for one in removals] == [
        ("history", "i1"),
        ("history", "i0"),
        ("context", "time"),
        ("context", "company"),
        ("context", "lamp"),
        ("wish", "wish"),
    ]
    assert removals[0].altered.history.item_ids == ("i0",)
    assert removals[2].altered.context.as_mapping() == {"company": "family", "lamp": "on"}
    assert removals[5].altered.wish == ""
    for one in removals:
        assert one.altered.request_id == request.request_id
        assert (one.altered.wish == "calm") or one.kind == "wish"


def test_the_number_of_probes_is_bounded_and_the_most_recent_entries_go_first() -> None:
    request = Request(
        history=history(*[5] * 5), context=Context(company="a", place="b", mood="c", device="d")
    )
    _, probe = pick(request, {}, ITEMS[4], history_probes=2, context_probes=1)
    assert probe.calls == [3]


def test_the_strongest_entry_is_cited_and_a_second_only_if_it_comes_near() -> None:
    request = Request(history=history(5, 5, 5))
    (near, far), _ = pick(
        request,
        {("i0", "i3"): 1.0, ("i1", "i3"): 0.6, ("i2", "i3"): 0.59, ("i0", "i4"): 1.0, ("i1", "i4"): 0.4},
        ITEMS[3],
        ITEMS[4],
    )
    assert cited(near, "history") == ["i0", "i1"]
    assert cited(far, "history") == ["i0"]
    assert near[0].influence == pytest.approx(1.0)


def test_disliked_and_harmful_entries_are_not_cited() -> None:
    request = Request(history=history(1, 5, 5))
    (found,), probe = pick(request, {"i0": 3.0, "i1": -1.0, "i2": 0.0}, ITEMS[4])
    assert cited(found, "history") == []
    assert probe.calls == [2]


def test_a_past_item_met_twice_is_taken_away_whole() -> None:
    twice = UserHistory(entries=(*history(5, 4).entries, HistoryEntry(title="Item 0", item_id="i0")))
    removal = EvidencePicker(probe=TableInfluence({}), catalogue=CATALOGUE).removals(Request(history=twice))[
        0
    ]
    assert removal.ref == "i0"
    assert removal.altered.history.item_ids == ("i1",)


def test_a_typed_title_is_cited_by_its_title() -> None:
    request = Request(history=UserHistory(entries=(HistoryEntry(title="Heat (1995)"),)))
    (found,), _ = pick(request, {"Heat (1995)": 0.5}, ITEMS[4])
    assert cited(found, "history") == ["Heat (1995)"]


def test_wish_and_context_need_a_positive_influence_and_context_is_cited_once() -> None:
    request = Request(wish="calm", context=Context(company="family", mood="sad"))
    (found,), _ = pick(request, {"wish": -0.1, "company": 0.1, "mood": 0.4}, ITEMS[4])
    assert cited(found, "wish") == []
    assert cited(found, "context") == ["mood"]


def test_facts_tie_the_item_to_what_is_cited() -> None:
    shared = relating_facts(ITEMS[3], [ITEMS[1]], Request())
    assert [(fact.ref, fact.text, fact.influence) for fact in shared] == [
        ("genres", "Drama", None),
        ("year", "1983", None),
    ]
    alone = relating_facts(ITEMS[3], [], Request())
    assert alone[0].text == "Drama, War"


def test_a_genre_named_in_the_wish_comes_before_others() -> None:
    assert relating_facts(ITEMS[1], [], Request(wish="some dramas please"))[0].text == "Drama"
    assert relating_facts(ITEMS[1], [], Request(wish="想看喜剧", language="zh"))[0].text == "Comedy"


def test_an_item_without_attributes_has_no_facts() -> None:
    assert relating_facts(Item(id="x", title="X"), [ITEMS[0]], Request()) == ()


def test_nobody_and_nothing_ask_no_probe() -> None:
    (found,), probe = pick(Request(), {}, ITEMS[0])
    assert sum(probe.calls) == 0
    assert [piece.kind for piece in found] == ["fact", "fact"]
    nothing, _ = pick(Request(history=history(5)), {})
    assert nothing == []


@pytest.mark.parametrize("name", ["time", "company", "lamp"])
def test_without_field_leaves_the_rest(name: str) -> None:
    context = Context(time=datetime(2026, 1, 1, 9), company="family", extra={"lamp": "on"})
    kept = without_field(context, name).as_mapping()
    assert kept == {key: value for key, value in context.as_mapping().items() if key != name}


def test_a_budget_reads_the_situation_and_what_the_retriever_finds_strongest() -> None:
    request = Request(history=history(5, 5, 5, 5), wish="calm", context=Context(company="family"))
    table: dict[str | tuple[str, str], float] = {"i0": 1.0, "i1": 3.0, "i2": 0.5, "i3": 2.0, "wish": 0.4}
    probe = TableInfluence(table, reads=True)
    picker = EvidencePicker(probe=probe, catalogue=CATALOGUE, max_readings=4)
    [found] = picker.pick(request, ranking(ITEMS[4]))
    assert probe.calls == [0, 4]
    assert cited(found, "history") == ["i1", "i3"]
    # Fewer pieces than the budget: nothing is looked at twice.
    probe.calls.clear()
    EvidencePicker(probe=probe, catalogue=CATALOGUE, max_readings=6).pick(request, ranking(ITEMS[4]))
    assert probe.calls == [6]


def test_what_was_not_read_is_not_cited() -> None:
    request = Request(history=history(5, 5, 5), wish="calm")
    probe = TableInfluence({"i0": 1.0, "i1": 1.0, "i2": 1.0, "wish": 1.0}, reads=True)
    [found] = EvidencePicker(probe=probe, catalogue=CATALOGUE, max_readings=1).pick(
        request, ranking(ITEMS[4])
    )
    assert cited(found, "history") == []
    assert cited(found, "wish") == ["wish"]
    [found] = EvidencePicker(probe=probe, catalogue=CATALOGUE, max_readings=0).pick(
        request, ranking(ITEMS[4])
    )
    assert {piece.kind for piece in found} == {"fact"}


def test_evidence_tells_the_retrievers_part_and_the_places_lost() -> None:
    [[piece, *_]], _ = pick(Request(history=history(5)), {"i0": 1.5}, ITEMS[4])
    assert (piece.influence, piece.retrieval_influence, piece.rank_change) == (1.5, 1.5, 0)
