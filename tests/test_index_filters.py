"""Filters: what parses, what it means, and that columns and single items agree."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.errors import FilterError
from tastemaker.index.columns import ItemColumns
from tastemaker.index.filters import (
    FieldKind,
    field_kinds,
    format_filter,
    holds,
    parse_filter,
    parse_filters,
)
from tastemaker.types import Filter, FilterOp, Item

FIELDS: dict[str, FieldKind] = {
    "id": "text",
    "title": "text",
    "year": "number",
    "price": "number",
    "genres": "values",
    "brand": "text",
    "导演": "text",
}


@pytest.mark.parametrize(
    ("text", "field", "op", "value"),
    [
        ("year>=1990", "year", ">=", 1990.0),
        ("  year  <  1990.5 ", "year", "<", 1990.5),
        ("price<20", "price", "<", 20.0),
        ("price > -1e3", "price", ">", -1000.0),
        ("genres has Comedy", "genres", "has", "Comedy"),
        ('genres has "Science Fiction"', "genres", "has", "Science Fiction"),
        ("genres has Science Fiction", "genres", "has", "Science Fiction"),
        ("id not in 1,2, 3", "id", "not in", ("1", "2", "3")),
        ("id NOT  IN 1", "id", "not in", ("1",)),
        ('brand in "A, B", "say \\"C\\""', "brand", "in", ("A, B", 'say "C"')),
        ('brand == "Acme"', "brand", "==", "Acme"),
        ("brand = Acme", "brand", "==", "Acme"),
        ("brand != not in stock", "brand", "!=", "not in stock"),
        ("year == 1990", "year", "==", 1990.0),
        ('brand == "1990"', "brand", "==", "1990"),
        ("id == 007", "id", "==", "007"),
        ("YEAR > 3", "year", ">", 3.0),
        ('导演 == "王家卫"', "导演", "==", "王家卫"),
        ("title has 🎬", "title", "has", "🎬"),
        ("anything lacks zombies", "anything", "lacks", "zombies"),
        ("genres LACKS 1990", "genres", "lacks", "1990"),
    ],
)
def test_conditions_that_parse(text: str, field: str, op: FilterOp, value: object) -> None:
    found = parse_filter(text, FIELDS)
    assert (found.field, found.op, found.value) == (field, op, value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not FIELD OP VALUE"),
        ("year", "not FIELD OP VALUE"),
        ("year >=", "not FIELD OP VALUE"),
        (">= 1990", "not FIELD OP VALUE"),
        ("year >= soon", "'soon', which is no number"),
        ("year >= nan", "no number"),
        ("year > = 3", "two operators"),
        ("yeer > 3", "did you mean year?"),
        ("colour == red", "known are brand, genres, id, price, title, year, 导演"),
        ("genres > 3", "several texts per item, which has no order"),
        ("brand < 3", "text, which has no order"),
        ('brand == "Acme', "not closed"),
        ("id in 1,,2", "empty place"),
        ("id in 1,", "empty place"),
        ('id in "1" 2', "list breaks"),
        ("anything == x", "has no one value"),
    ],
)
def test_conditions_that_do_not_parse_say_why(text: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, FIELDS)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_without_a_schema_any_field_is_read() -> None:
    assert parse_filters(["colour == red"]) == (Filter(field="colour", op="==", value="red"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year == 1990", True),
        ("year == 1990.0", True),
        ("year != 1990", False),
        ("year in 1989,1990", True),
        ("year not in 1989,1990", False),
        ("year <= 1989.5", False),
        ("genres has comedy", True),
        ("genres has com", False),
        ("genres == DRAMA", True),
        ("genres != Drama", False),
        ("genres not in Horror,War", True),
        ("title has HARRY", True),
        ("title == harry", False),
        ("brand != Acme", False),  # it has no brand: nothing holds of it
        ("brand not in Acme", False),
        ("brand has A", False),
        ("brand lacks Acme", True),  # and so what it lacks it lacks
        ("genres lacks horror", True),
        ("genres lacks drama", False),
        ("genres lacks dram", True),  # whole words
        ("title lacks Harrys", False),  # but for a plural
        ("anything lacks comedies", True),
        ("anything lacks comedy", False),
        ("anything lacks met sally", False),
        ("anything has when harry", True),
        ("anything lacks 僵尸", True),
        ("id == 01", False),  # ids are compared exactly
        ("id in 1,2", True),
    ],
)
def test_meaning(text: str, expected: bool) -> None:
    item = Item(
        id="1",
        title="When Harry Met Sally",
        attributes={"year": 1990, "genres": ("Comedy", "Drama"), "brand": ""},
    )
    assert holds(item, parse_filter(text, FIELDS)) is expected


words = st.text(min_size=1, max_size=8).filter(lambda text: text == text.strip() and bool(text))
OPS: tuple[FilterOp, ...] = ("==", "!=", "<", "<=", ">", ">=", "has", "lacks", "in", "not in")


@st.composite
def conditions(draw: st.DrawFn, values: st.SearchStrategy[str] = words) -> Filter:
    op = draw(st.sampled_from(OPS))
    field = draw(
        st.sampled_from(
            ["id", "title", "description", "year", "price", "genres", "brand", "none", "anything"]
        )
    )
    numbers = st.sampled_from([-1.5, 0.0, 1.0, 1990.0, 2000.0])
    if field == "anything":
        return Filter(field=field, op=draw(st.sampled_from(["has", "lacks"])), value=draw(values))
    if op in ("in", "not in"):
        many = draw(st.lists(values, min_size=1, max_size=3))
        return Filter(field=field, op=op, value=tuple(many))
    if op in ("<", "<=", ">", ">="):
        return Filter(field=field, op=op, value=draw(numbers))
    return Filter(
        field=field,
        op=op,
        value=draw(values if op in ("has", "lacks") or field == "id" else values | numbers),
    )


@given(conditions())
def test_what_is_formatted_parses_back(condition: Filter) -> None:
    assert parse_filter(format_filter(condition)) == condition


@given(st.text(max_size=30))
def test_any_text_parses_or_is_a_filter_error(text: str) -> None:
    try:
        found = parse_filter(text, FIELDS)
    except FilterError:
        return
    assert found.field in {*FIELDS, "anything"}


few = st.sampled_from(["Acme", "ACME", "acme corp", "1990", "1990.0", "x", "", "straße", "STRASSE", "0"])


@st.composite
def catalogues(draw: st.DrawFn) -> Dataset:
    n = draw(st.integers(1, 6))

    def some(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(st.none() | values, min_size=n, max_size=n))

    number = st.sampled_from([1990.0, 1990.5, -1.5, 0.0, float("nan"), float("inf")])
    return Dataset.from_tables(
        pa.table(
            {
                "id": [str(row) for row in range(n)],
                "title": [str(one) for one in draw(st.lists(few, min_size=n, max_size=n))],
                "description": pa.array(some(few), pa.string()),
                "year": pa.array(some(st.sampled_from([1990, 2000, 0])), pa.int64()),
                "price": pa.array(some(number), pa.float64()),
                "genres": pa.array(some(st.lists(few, max_size=3)), pa.list_(pa.string())),
                "brand": pa.array(some(few), pa.string()),
            }
        )
    )


@given(catalogues(), st.lists(conditions(few.filter(bool)), max_size=2))
def test_columns_agree_with_single_items(dataset: Dataset, filters: list[Filter]) -> None:
    mask = ItemColumns(dataset.items).mask(filters)
    assert mask.tolist() == [
        all(holds(item, condition) for condition in filters) for item in dataset.iter_items()
    ]


def test_field_kinds_follow_the_table() -> None:
    table = pa.table({"id": ["1"], "title": ["A"], "year": [1], "price": [0.5], "tags": [["x"]]})
    dataset = Dataset.from_tables(table)
    assert field_kinds(dataset.items.schema) == {
        "id": "text", "title": "text", "description": "text", "year": "number", "price": "number",
        "tags": "values",
    }  # fmt: skip
