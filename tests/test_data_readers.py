"""Whatever dialect a table is written in, the same data set comes out, and the guess is said."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastemaker.data.dataset import Dataset
from tastemaker.data.readers import ReadResult, read
from tastemaker.data.texts import clean_text
from tastemaker.data.values import MISSING
from tastemaker.errors import DataError
from tastemaker.types import Context

ITEMS = [
    {"item_id": "i1", "title": "Green tea", "genres": "Tea|Green", "price": 4.5, "year": 2001},
    {"item_id": "i2", "title": 'The "Great" cup, big; blue', "genres": "Ware", "price": 12.0, "year": 2002},
    {"item_id": "i3", "title": "茶壶", "genres": "Ware|Tea", "price": 30.25, "year": 2003},
]
EVENTS = [
    {"user_id": "u1", "item_id": "i1", "rating": 4.0, "timestamp": 1_600_000_000, "company": "family"},
    {"user_id": "u1", "item_id": "i3", "rating": 2.5, "timestamp": 1_600_000_100, "company": "alone"},
    {"user_id": "u2", "item_id": "i2", "rating": 5.0, "timestamp": 1_600_000_200, "company": "friends, old"},
]
Rows = list[dict[str, Any]]
Writer = Callable[[Path, Rows], Path]


def delimited(delimiter: str, suffix: str, encoding: str = "utf-8") -> Writer:
    def write(stem: Path, rows: Rows) -> Path:
        path = stem.with_suffix(suffix)
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(
                {key: "|".join(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows
            )
        return path

    return write


def json_lines(stem: Path, rows: Rows) -> Path:
    path = stem.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def json_array(stem: Path, rows: Rows) -> Path:
    path = stem.with_suffix(".json")
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return path


def parquet(stem: Path, rows: Rows) -> Path:
    path = stem.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def zipped(writer: Writer) -> Writer:
    def write(stem: Path, rows: Rows) -> Path:
        path = writer(stem, rows)
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        return packed

    return write


WRITERS: dict[str, Writer] = {
    "csv": delimited(",", ".csv"),
    "csv, BOM": delimited(",", ".csv", "utf-8-sig"),
    "csv, utf-16": delimited(",", ".csv", "utf-16"),
    "csv, gb18030": delimited(",", ".csv", "gb18030"),
    "csv that is tsv": delimited("\t", ".csv"),
    "tsv": delimited("\t", ".tsv"),
    "semicolons": delimited(";", ".csv"),
    "bars": delimited("|", ".txt"),
    "json lines": json_lines,
    "json": json_array,
    "parquet": parquet,
    "csv.gz": zipped(delimited(",", ".csv")),
    "jsonl.gz": zipped(json_lines),
    "parquet.gz": zipped(parquet),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_dialect_reads_the_same(name: str, tmp_path: Path) -> None:
    writer = WRITERS[name]
    result = read(writer(tmp_path / "events", EVENTS), writer(tmp_path / "items", ITEMS))
    dataset = result.dataset
    assert dataset.interactions.to_pylist() == [
        {
            "user_id": row["user_id"],
            "item_id": row["item_id"],
            "timestamp": float(str(row["timestamp"])),
            "event": "interaction",
            "value": row["rating"],
            "company": row["company"],
        }
        for row in EVENTS
    ]
    assert [dict(item.attributes) for item in dataset.iter_items()] == [
        {"genres": ("Tea", "Green"), "year": 2001, "price": 4.5},
        {"genres": ("Ware",), "year": 2002, "price": 12.0},
        {"genres": ("Ware", "Tea"), "year": 2003, "price": 30.25},
    ]
    assert [item.title for item in dataset.iter_items()] == [row["title"] for row in ITEMS]
    assert result.report.lost == 0
    assert "context: company" in result.guesses[1]
    assert "value=rating (2.5..5)" in result.guesses[1]
    assert "timestamp=timestamp (seconds)" in result.guesses[1]


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(clean_text)
texts = words.filter(lambda text: text and text not in MISSING and not text.endswith(".0"))
names = st.text("abcdefgh", min_size=1, max_size=6)
item_rows = st.lists(
    st.fixed_dictionaries(
        {
            "item_id": texts,
            "title": texts,
            "description": texts,
            "genres": st.lists(names, min_size=1, max_size=3, unique=True),
            "year": st.integers(1900, 2030),
            "price": st.integers(1, 10**6).map(lambda cents: cents / 100),
            "brand": names.filter(lambda name: name not in MISSING),
        }
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row["item_id"],
)
event_facts = st.tuples(st.integers(0, 7), texts, st.integers(2, 10), st.integers(10**9, 17 * 10**8), texts)


@pytest.mark.parametrize("name", ["csv", "tsv", "semicolons", "json lines", "parquet"])
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(items=item_rows, facts=st.lists(event_facts, min_size=1, max_size=8, unique=True))
def test_any_table_reads_back(name: str, items: Rows, facts: list[tuple[Any, ...]], tmp_path: Path) -> None:
    events = [
        {
            "user_id": user,
            "item_id": items[at % len(items)]["item_id"],
            "rating": half / 2,
            "timestamp": seconds,
            "place": place,
        }
        for at, user, half, seconds, place in facts
    ]
    events = list({json.dumps(event): event for event in events}.values())
    writer = WRITERS[name]
    result = read(writer(tmp_path / "events", events), writer(tmp_path / "items", items), merge_items=False)
    assert result.dataset.interactions.to_pylist() == [
        {
            "user_id": event["user_id"],
            "item_id": event["item_id"],
            "timestamp": float(event["timestamp"]),
            "event": "interaction",
            "value": event["rating"],
            "place": event["place"],
        }
        for event in events
    ]
    columns = ("title", "description", "genres", "year", "price", "brand")
    assert result.dataset.items.to_pylist() == [
        {"id": item["item_id"], **{column: item[column] for column in columns}} for item in items
    ]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def history(result: ReadResult, user: str) -> list[tuple[str | None, float | None, float | None]]:
    return [(entry.item_id, entry.value, entry.timestamp) for entry in result.dataset.history(user)]


def test_recbole_atomic_files(tmp_path: Path) -> None:
    events = write(
        tmp_path / "x.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t3\t881250949\n1\t11\t4\t881250950\n",
    )
    items = write(
        tmp_path / "x.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        '10\t"Great" Toy Story\t1995\tAnimation Children\'s Film-Noir\n11\tHeat\t\t\n',
    )
    users = write(tmp_path / "x.user", "user_id:token\tage:token\tzip_code:token\n1\t24\t01234\n")
    result = read(events, items, users)
    assert history(result, "1") == [("10", 3.0, 881250949.0), ("11", 4.0, 881250950.0)]
    item = result.dataset.item("10")
    assert item.title == '"Great" Toy Story'
    assert item.genres == ("Animation", "Children's", "Film-Noir")
    assert item.year == 1995
    assert result.dataset.users is not None
    assert result.dataset.users.to_pylist() == [{"user_id": "1", "age": 24, "zip_code": "01234"}]
    assert all("RecBole" in line for line in result.guesses)


def test_movielens_1m(tmp_path: Path) -> None:
    events = write(tmp_path / "ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n")
    items = write(
        tmp_path / "movies.dat",
        "1193::One Flew Over: Nest (1975)::Drama\n661::Amélie, a (1996)::Comedy|Drama\n",
        "latin-1",
    )
    users = write(tmp_path / "users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n")
    result = read(events, items, users)
    assert history(result, "1") == [("1193", 5.0, 978300760.0), ("661", 3.0, 978302109.0)]
    assert [(item.title, item.year, item.genres) for item in result.dataset.iter_items()] == [
        ("One Flew Over: Nest (1975)", 1975, ("Drama",)),
        ("Amélie, a (1996)", 1996, ("Comedy", "Drama")),
    ]
    assert result.dataset.users is not None
    assert result.dataset.users.column_names == ["user_id", "gender", "age", "occupation", "zip_code"]


def test_movielens_100k_as_published(tmp_path: Path) -> None:
    events = write(tmp_path / "u.data", "196\t242\t3\t881250949\n186\t243\t4\t881250950\n")
    flags = {0: "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0", 1: "1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0"}
    items = write(
        tmp_path / "u.item",
        f"242|Misérables, Les (1995)|01-Jan-1995||http://x/y?a|{flags[0]}\n243|unknown||||{flags[1]}\n",
        "latin-1",
    )
    users = write(tmp_path / "u.user", "196|49|M|writer|55105\n186|39|F|executive|00000\n")
    result = read(events, items, users)
    assert history(result, "196") == [("242", 3.0, 881250949.0)]
    item = result.dataset.item("242")
    assert (item.title, item.year) == ("Misérables, Les (1995)", 1995)
    assert item.genres == ("Animation", "Children's", "Comedy")
    assert result.dataset.item("243").genres == ()
    assert "latin-1" in result.guesses[0]


def test_chinese_headers(tmp_path: Path) -> None:
    events = write(tmp_path / "e.csv", "用户,商品,评分,时间\n小王,茶,5,2024-03-01 20:00:00\n", "gb18030")
    items = write(tmp_path / "i.csv", "商品id,标题,类型,价格\n茶,龙井茶,饮料、绿茶,￥38\n")
    result = read(events, items)
    assert history(result, "小王") == [("茶", 5.0, 1709323200.0)]
    assert dict(result.dataset.item("茶").attributes) == {"genres": ("饮料", "绿茶"), "price": 38.0}


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        (("1600000000", "1600000001"), "seconds"),
        (("1600000000000", "1600000001000"), "ms"),
        (("1600000000000000", "1600000001000000"), "us"),
        (("2020-09-13T12:26:40", "2020-09-13T12:26:41Z"), "dates"),
        (("2020-09-13 14:26:40+02:00", "2020-09-13 12:26:41"), "dates"),
        (("2020/09/13 12:26:40", "2020/09/13 12:26:41"), "dates"),
    ],
)
def test_times_in_any_unit(cells: tuple[str, str], unit: str, tmp_path: Path) -> None:
    rows = "".join(f"u,i{n},{cell}\n" for n, cell in enumerate(cells))
    result = read(write(tmp_path / "e.csv", f"uid,iid,time\n{rows}"), None)
    assert [when for _, _, when in history(result, "u")] == [1_600_000_000.0, 1_600_000_001.0]
    assert f"timestamp=time ({unit})" in result.guesses[0]


def test_a_time_of_day_is_context_and_no_clock(tmp_path: Path) -> None:
    events = write(tmp_path / "e.csv", "userID,itemID,rating,time\n1,2,5,3\n1,3,4,1\n")
    result = read(events, None)
    dataset = result.dataset
    assert dataset.context_columns == ("time_of_day",)
    assert "context: time_of_day" in result.guesses[0]
    assert dataset.interactions["timestamp"].null_count == 2


def test_identifiers_are_no_situation_and_are_named(tmp_path: Path) -> None:
    rows = "".join(
        f"u{n % 9},i{n % 7},{1_600_000_000 + n},company {n % 2},s{n // 3},note {n},c{n % 120}\n"
        for n in range(600)
    )
    header = "user_id,item_id,timestamp,company,session_id,remark,city\n"
    result = read(write(tmp_path / "e.csv", header + rows), None)
    assert result.dataset.context_columns == ("company", "city")
    assert "context: company city" in result.guesses[0]
    told = [line for line in result.report.lines() if "no situation" in line]
    assert told == [
        "interactions: 600 values in column 'session_id', which is left out as no situation: "
        "200 identifiers, e.g. s0",
        "interactions: 600 values in column 'remark', which is left out as no situation: "
        "600 nearly all different, e.g. note 0",
    ]
    assert result.report.lost == 0


def test_of_a_few_rows_every_column_is_kept(tmp_path: Path) -> None:
    rows = "".join(f"u{n},i{n},s{n}\n" for n in range(99))
    events = write(tmp_path / "e.csv", f"user_id,item_id,session_id\n{rows}")
    assert read(events, None).dataset.context_columns == ("session_id",)


def test_columns_that_a_situation_could_not_tell_apart_get_names_of_their_own(tmp_path: Path) -> None:
    events = write(tmp_path / "e.csv", "user_id,item_id,company,Company,Time\nu,i,alone,kids,morning\n")
    dataset = read(events, None).dataset
    assert dataset.context_columns == ("company", "Company_2", "time_of_day")
    (entry,) = dataset.history("u")
    assert Context.from_mapping(entry.context).extra == {"company_2": "kids", "time_of_day": "morning"}


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        ("$1,299.00", 1299.0),
        ("1.299,00 €", 1299.0),
        ("US$ 3.50", 3.5),
        ("¥20", 20.0),
        ("4,5", 4.5),
        ("12,999", 12999.0),
        ("$10.00 - $20.00", 10.0),
        ("free", None),
        (".a-box-inner{background-color:#fff}#alohaBuyBoxWidget{padding:3px}", None),
    ],
)
def test_prices(cell: str, price: float | None, tmp_path: Path) -> None:
    items = json_lines(tmp_path / "i", [{"sku": "a", "name": "A", "price": cell}])
    assert read(None, items).dataset.item("a").attributes.get("price") == price


def test_attributes_get_their_types(tmp_path: Path) -> None:
    items = write(
        tmp_path / "i.csv",
        "id,title,pages,weight,zip,colour,cast,day\n"
        "1,A,100,1.5,01234,red,Ann|Bob,2020-01-02\n2,B,,2,99999,NA,Cy,2021-02-03\n",
    )
    dataset = read(None, items).dataset
    assert dict(dataset.item("1").attributes) == {
        "pages": 100,
        "weight": 1.5,
        "zip": "01234",
        "colour": "red",
        "cast": ("Ann", "Bob"),
        "day": "2020-01-02",
    }
    assert "colour" not in dataset.item("2").attributes


def test_columns_can_be_named(tmp_path: Path) -> None:
    events = write(tmp_path / "e.csv", "who,what,note\nann,tea,nice\n")
    with pytest.raises(
        DataError, match=r"no column for the user id; its columns are who, what, note.*--column user"
    ):
        read(events, None)
    result = read(events, None, overrides={"user": "who", "item": "what"})
    assert history(result, "ann") == [("tea", None, None)]
    with pytest.raises(DataError, match="no column 'whom'"):
        read(events, None, overrides={"user": "whom", "item": "what"})
    with pytest.raises(DataError, match="unknown role 'person'"):
        read(events, None, overrides={"person": "who"})


def test_the_encoding_can_be_named(tmp_path: Path) -> None:
    items = write(tmp_path / "i.csv", "id,title\n1,é茶\n", "gb18030")
    assert read(None, items, overrides={"encoding": "gb18030"}).dataset.item("1").title == "é茶"
    with pytest.raises(DataError, match="no known encoding"):
        read(None, items, overrides={"encoding": "klingon"})
    with pytest.raises(DataError, match="is not utf-8"):
        read(None, items, overrides={"encoding": "utf-8"})


def test_items_may_be_missing(tmp_path: Path) -> None:
    bare = read(write(tmp_path / "a.csv", "user,item\nu,x\nu,y\n"), None).dataset
    assert [(item.id, item.title) for item in bare.iter_items()] == [("x", "x"), ("y", "y")]
    titled = read(write(tmp_path / "b.csv", "user,item,title\nu,x,Tea\nu,y,Cup\n"), None).dataset
    assert [item.title for item in titled.iter_items()] == ["Tea", "Cup"]
    assert titled.context_columns == ()


def test_a_stray_quote_costs_one_row_not_the_rest_of_the_file(tmp_path: Path) -> None:
    items = write(tmp_path / "i.csv", 'id,title\n1,"Tea\n2,Cup\n3,"Pot, big"\n')
    result = read(None, items)
    assert [item.title for item in result.dataset.iter_items()] == ["Tea", "Cup", "Pot, big"]


def test_line_breaks_inside_quotes_and_trailing_delimiters(tmp_path: Path) -> None:
    items = write(
        tmp_path / "i.csv", 'id,title,description\r\n1,Tea,"two\r\nlines",\r\n2,Cup,"say ""hi""",\r\n'
    )
    dataset = read(None, items).dataset
    assert [item.description for item in dataset.iter_items()] == ["two lines", 'say "hi"']
    assert dataset.items.column_names == ["id", "title", "description"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", "is empty"),
        ("e.csv", b"user,item\n", "has no rows"),
        ("e.json", b'[{"user": 1, "item"', "broken JSON"),
        ("e.jsonl", b'{"user": 1, "item": 2}\n{"user": 1,\n', "broken JSON in 1 of 2 lines, e.g. line 2"),
        ("e.json", b"[1, 2]", "row 1 is a int"),
        ("e.json", b"3", "a list of objects is wanted"),
        ("e.csv.gz", gzip.compress(b"user,item\n1,2\n" * 50)[:-20], "damaged gzip"),
        ("e.parquet", b"PAR1 no more", "damaged Parquet"),
        ("e.zip", b"PK\x03\x04....", "zip archive"),
        ("e.npy", b"\x80\x04\x95rest", "pickle"),
        ("e.bin", bytes(range(256)) * 9, "binary|no column"),
        ("e.csv", b"user,item,value\n1,2\n1,3\n1,4,5,6\n", "rows that cannot be read"),
    ],
)
def test_unreadable_files_end_in_one_clear_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path, None)
    assert "\n" not in str(caught.value)


def test_missing_files_and_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read(tmp_path / "none.csv", None)
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path, None)
    with pytest.raises(DataError, match="neither interactions nor items"):
        read(None, None)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("x.csv", "x.json", "x"):
        path = tmp_path / name
        path.write_bytes(content)
        with contextlib.suppress(DataError):
            read(None, path)


def test_reading_needs_no_dataset_of_ours(tmp_path: Path) -> None:
    """Own CSVs to a stored data set and back."""
    result = read(WRITERS["csv"](tmp_path / "events", EVENTS), WRITERS["csv"](tmp_path / "items", ITEMS))
    result.dataset.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").fingerprint == result.dataset.fingerprint
