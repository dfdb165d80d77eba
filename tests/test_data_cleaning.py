"""Every fault is counted with an example, and nothing else is touched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tastemaker.data.readers import ReadResult, read
from tastemaker.errors import DataError

ITEMS = "id,title\na,Tea\nb,Cup\nc,Pot\n"


def load(folder: Path, events: str | None, items: str | None = ITEMS, *, merge: bool = True) -> ReadResult:
    paths: list[Path | None] = []
    for name, text in (("events.csv", events), ("items.csv", items)):
        path = folder / name
        if text is not None:
            path.write_text(text, encoding="utf-8")
        paths.append(path if text is not None else None)
    return read(paths[0], paths[1], merge_items=merge)


def found(result: ReadResult) -> dict[str, tuple[int, str]]:
    return {finding.what: (finding.count, finding.example) for finding in result.report.findings}


def test_clean_data_have_no_findings(tmp_path: Path) -> None:
    result = load(tmp_path, "user_id,item_id,timestamp\nu,a,1600000000\nu,b,1600000001\n")
    assert result.report.findings == ()
    assert result.report.lines() == ("items: 3 of 3 rows kept", "interactions: 2 of 2 rows kept")


def test_faulty_interactions_are_left_out_and_counted(tmp_path: Path) -> None:
    future = int(time.time() + 2 * 366 * 86_400)
    result = load(
        tmp_path,
        "user_id,item_id,rating,timestamp\n"
        "u,a,5,1600000000\n"
        "u,a,5,1600000000\n"  # repeats the row above
        "u,a,4,1600000000\n"  # another value: an event of its own
        ",a,5,1600000001\n"
        "u,NaN,5,1600000001\n"
        "u,zzz,5,1600000002\n"
        "u,b,5,-7\n"
        f"u,b,5,{future}\n"
        "u,b,5,yesterday\n"
        "u,b,5,\n"  # no time is no impossible time
        "u,c,five,1600000009\n"
        "u,c\n",
    )
    assert found(result) == {
        "ragged rows (another number of fields) left out": (1, "u,c"),
        "values that are no number, kept without value": (
            1,
            "user_id=u, item_id=c, rating=five, timestamp=1600000009",
        ),
        "rows with an unreadable time left out": (1, "user_id=u, item_id=b, rating=5, timestamp=yesterday"),
        "rows before 1970 left out": (
            1,
            "user_id=u, item_id=b, timestamp=-7.0, event=interaction, value=5.0",
        ),
        "rows more than a year in the future left out": (
            1,
            f"user_id=u, item_id=b, timestamp={float(future)}, event=interaction, value=5.0",
        ),
        "rows without a user id left out": (
            1,
            "item_id=a, timestamp=1600000001.0, event=interaction, value=5.0",
        ),
        "rows without an item id left out": (
            1,
            "user_id=u, timestamp=1600000001.0, event=interaction, value=5.0",
        ),
        "interactions with unknown items left out": (
            1,
            "user_id=u, item_id=zzz, timestamp=1600000002.0, event=interaction, value=5.0",
        ),
        "exact repetitions of another row left out": (
            1,
            "user_id=u, item_id=a, timestamp=1600000000.0, event=interaction, value=5.0",
        ),
    }
    assert [(entry.item_id, entry.value) for entry in result.dataset.history("u")] == [
        ("b", 5.0),
        ("a", 5.0),
        ("a", 4.0),
        ("c", None),
    ]
    assert "interactions: 4 of 12 rows kept" in result.report.lines()
    assert result.report.lost == 8
    assert result.report.to_dict()["rows"]["interactions"] == {"read": 12, "kept": 4}


def test_one_film_under_two_ids_is_one_film(tmp_path: Path) -> None:
    result = load(
        tmp_path,
        "user,item,rating\nu,1,5\nu,2,3\nv,2,4\n",
        "id,title,genres\n1,Chasing Amy (1997),Drama\n2,chasing amy (1997),Romance\n3,Chasing Amy (2010),\n",
    )
    assert found(result) == {
        "items merged into one with the same title": (1, "'chasing amy (1997)': 2 into 1")
    }
    assert result.dataset.item_ids == ("1", "3")
    assert result.dataset.history("u").item_ids == ("1", "1")
    assert result.dataset.history("v").item_ids == ("1",)


def test_goods_of_one_name_that_differ_stay_apart(tmp_path: Path) -> None:
    items = "id,title,colour,link\n1,Shirt,red,x1\n2,Shirt,blue,x2\n3,Shirt,red,x3\n4,Shoe,red,x4\n"
    assert load(tmp_path, None, items).dataset.item_ids == ("1", "2", "4")
    assert load(tmp_path, None, items, merge=False).dataset.item_ids == ("1", "2", "3", "4")


def test_the_second_row_of_an_item_id_is_left_out(tmp_path: Path) -> None:
    result = load(tmp_path, None, "id,title\n1,Tea\n1,Coffee\n,Nothing\n2,\n")
    assert found(result) == {
        "rows without an item id left out": (1, "title=Nothing"),
        "further rows of an item id left out": (1, "id=1, title=Coffee"),
    }
    assert [(item.id, item.title) for item in result.dataset.iter_items()] == [("1", "Tea"), ("2", "2")]


def test_texts_are_stripped_and_cut_with_a_count(tmp_path: Path) -> None:
    result = load(
        tmp_path,
        None,
        f"id,title,description\n1,Te\u200ba\u202e,fine\n2,{'x' * 600},{'y' * 6000}\n3,Ignore the above,ok\n",
    )
    assert found(result) == {
        "titles with control or invisible characters, stripped": (1, "id=1"),
        "titles cut to 500 characters": (1, "id=2"),
        "descriptions cut to 5,000 characters": (1, "id=2"),
    }
    titles = [item.title for item in result.dataset.iter_items()]
    assert titles == ["Tea", "x" * 500, "Ignore the above"]
    assert len(result.dataset.item("2").description) == 5_000
    assert result.report.lost == 0


def test_ids_that_became_floats_meet_their_items(tmp_path: Path) -> None:
    result = load(tmp_path, "user_id,item_id\nu,1.0\nu,2.0\nv,\n", "id,title\n1,Tea\n2,Cup\n")
    assert result.dataset.history("u").item_ids == ("1", "2")


def test_nothing_left_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no interactions are left after cleaning: .*2 interactions with unknown"
    ):
        load(tmp_path, "user,item\nu,x\nu,y\n")
