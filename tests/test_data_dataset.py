"""A data set answers what it was made from, survives the disk, and refuses what is unsound."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError, DataError, StorageError, UnknownUserError

ITEMS = pa.table(
    {
        "id": ["m1", "m2", "m3", "m4"],
        "title": ["Matrix, The", "Emma", "Emma", "Seven (a.k.a. Se7en)"],
        "description": ["A hacker wakes.", None, "", "Two detectives."],
        "genres": [["Action", "Sci-Fi"], ["Comedy"], None, ["Crime"]],
        "year": [1999, 1996, 2020, 1995],
        "price": [9.99, None, None, 5.0],
    }
)
EVENTS = pa.table(
    {
        "user_id": ["ann", "bob", "ann", "ann", "bob"],
        "item_id": ["m3", "m3", "m1", "m2", "m4"],
        "timestamp": [30.0, 7.0, 10.0, 30.0, None],
        "value": [5.0, 3.0, 1.0, 4.0, 2.0],
        "mood": ["calm", None, "tired", None, "calm"],
    }
)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.from_tables(ITEMS, EVENTS, pa.table({"user_id": ["cleo", "ann"], "age": [30, 40]}))


def test_history_is_oldest_first_with_ties_in_file_order(dataset: Dataset) -> None:
    history = dataset.history("ann")
    assert history.item_ids == ("m1", "m3", "m2")
    assert [entry.value for entry in history] == [1.0, 5.0, 4.0]
    assert [entry.title for entry in history] == ["Matrix, The (1999)", "Emma (2020)", "Emma (1996)"]
    assert history.value_range == (1.0, 5.0)
    assert dataset.history("ann", limit=2).item_ids == ("m3", "m2")
    assert dataset.history("ann", limit=0).item_ids == ()


def test_events_without_a_time_come_first(dataset: Dataset) -> None:
    assert dataset.history("bob").item_ids == ("m4", "m3")


def test_a_user_of_the_users_table_alone_has_an_empty_history(dataset: Dataset) -> None:
    assert dataset.user_ids == ("ann", "bob", "cleo")
    assert len(dataset.history("cleo")) == 0


def test_an_unknown_user_is_refused_with_near_ids(dataset: Dataset) -> None:
    with pytest.raises(UnknownUserError, match=r"'bobb'.*known are bob") as caught:
        dataset.history("bobb")
    assert caught.value.exit_code == 2


def test_items_are_values(dataset: Dataset) -> None:
    item = dataset.item("m1")
    assert (item.id, item.title, item.year, item.genres) == ("m1", "Matrix, The", 1999, ("Action", "Sci-Fi"))
    assert dict(dataset.item("m2").attributes) == {"genres": ("Comedy",), "year": 1996}
    assert [one.id for one in dataset.iter_items()] == list(dataset.item_ids)
    assert list(dataset.iter_items()) == [dataset.item(one) for one in dataset.item_ids]
    assert dataset.has_item("m4")
    assert not dataset.has_item("m5")
    with pytest.raises(DataError, match="m5"):
        dataset.item("m5")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the matrix", "m1"),
        ("Matrix, The (1999)", "m1"),
        ("The Matrix (1998)", None),
        ("emma", "m3"),  # seen twice, the other once
        ("Emma (1996)", "m2"),
        ("se7en", "m4"),
        ("Seven", "m4"),
        ("Matri", None),
        ("", None),
    ],
)
def test_titles_are_found(dataset: Dataset, text: str, wanted: str | None) -> None:
    assert dataset.find_title(text) == wanted


def test_codes_and_sequences_agree_with_histories(dataset: Dataset) -> None:
    codes = dataset.codes()
    assert (codes.user.dtype, codes.item.dtype, codes.timestamp.dtype) == (np.int32, np.int32, np.float64)
    assert codes.user.tolist() == [0, 0, 0, 1, 1]
    assert codes.item.tolist() == [0, 2, 1, 3, 2]
    assert codes.row.tolist() == [2, 0, 3, 4, 1]
    assert np.isnan(codes.timestamp[3])
    for user_id, sequence in dataset.sequences().items():
        assert tuple(dataset.item_ids[at] for at in sequence) == dataset.history(user_id).item_ids
    assert "cleo" not in dataset.sequences()
    assert dataset.item_counts.tolist() == [1, 1, 2, 1]


def test_counts_are_no_rating_scale() -> None:
    plays = EVENTS.set_column(3, "value", pa.array([1.0, 13_883.0, 2.0, 7.0, 9.0]))
    assert Dataset.from_tables(ITEMS, plays).value_range is None


def test_a_saved_data_set_comes_back_whole(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "data")
    again = Dataset.load(tmp_path / "data")
    assert again.items.to_pylist() == dataset.items.to_pylist()
    assert again.interactions.to_pylist() == dataset.interactions.to_pylist()
    assert again.users is not None
    assert again.users.to_pylist() == [{"user_id": "cleo", "age": 30}, {"user_id": "ann", "age": 40}]
    rebuilt = Dataset.from_tables(again.items, again.interactions, again.users)
    assert rebuilt.fingerprint == again.fingerprint == dataset.fingerprint


def test_the_fingerprint_is_of_the_content(dataset: Dataset) -> None:
    chunked = pa.concat_tables([EVENTS.slice(0, 2), EVENTS.slice(2)])
    assert Dataset.from_tables(ITEMS, chunked, dataset.users).fingerprint == dataset.fingerprint
    prints = {
        dataset.fingerprint,
        Dataset.from_tables(ITEMS, EVENTS).fingerprint,
        Dataset.from_tables(ITEMS, EVENTS.slice(1), dataset.users).fingerprint,
        Dataset.from_tables(ITEMS.rename_columns([*ITEMS.column_names[:-1], "cost"]), EVENTS).fingerprint,
        Dataset.from_tables(ITEMS.take([1, 0, 2, 3]), EVENTS).fingerprint,
    }
    assert len(prints) == 5
    assert Dataset.from_tables(ITEMS, EVENTS.slice(1)).items_fingerprint == dataset.items_fingerprint


def test_a_damaged_file_is_refused_by_name(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "data")
    path = tmp_path / "data" / "items.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"items\.parquet"):
        Dataset.load(tmp_path / "data")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"items\.parquet is missing"):
        Dataset.load(tmp_path / "data")


def test_saving_never_replaces_a_folder_of_something_else(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StorageError, match="holds no dataset"):
        dataset.save(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("items", "events", "message"),
    [
        (pa.table({"title": ["a"]}), None, "no column 'id'"),
        (pa.table({"id": ["a", "a"]}), None, "more than one row"),
        (pa.table({"id": ["a", None]}), None, "no item id"),
        (ITEMS, pa.table({"user_id": ["u"]}), "no column 'item_id'"),
        (ITEMS, pa.table({"user_id": ["u"], "item_id": ["m9"]}), "'m9'"),
        (ITEMS, pa.table({"user_id": [" "], "item_id": ["m1"]}), "no user id"),
        (ITEMS, EVENTS.set_column(2, "timestamp", pa.array(list("abcde"))), "'timestamp' holds string"),
    ],
)
def test_unsound_tables_are_refused(items: pa.Table, events: pa.Table | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_tables(items, events)


def test_a_catalogue_alone_is_a_data_set() -> None:
    dataset = Dataset.from_tables(ITEMS)
    assert dataset.counts == {"items": 4, "interactions": 0, "users": 0}
    assert dataset.sequences() == {}
    assert dataset.value_range is None
    assert dataset.find_title("emma") == "m2"
    assert dataset.describe()["time"] is None


def test_records_make_a_data_set_and_stay_as_they_are() -> None:
    events = [
        {"user": 7, "item": 1, "rating": 4, "timestamp": "2024-03-01T20:00:00", "company": "family"},
        {"user": 7, "item": 2, "rating": 5.0, "timestamp": "2024-03-02T20:00:00"},
    ]
    items = [
        {"id": 1, "name": "Tea", "tags": ["green", "loose"]},
        {"id": 2, "name": "Cup", "price": "€ 4,50"},
    ]
    before = copy.deepcopy((events, items))
    dataset = Dataset.from_records(events, items)
    assert (events, items) == before
    assert dataset.history("7").item_ids == ("1", "2")
    assert dataset.context_columns == ("company",)
    assert dataset.item("1").attributes["tags"] == ("green", "loose")
    assert dataset.item("2").attributes["price"] == 4.5


class Frame:
    """What pandas shows of a data frame."""

    def __init__(self, rows: list[dict[str, object]]) -> None:
        self.rows = rows

    def to_dict(self, orient: str = "dict") -> list[dict[str, object]]:
        assert orient == "records"
        return self.rows


def test_data_frames_and_arrow_tables_are_records_too() -> None:
    events = {"user_id": ["a", "a"], "item_id": ["x", "y"], "timestamp": [1_600_000_000, 1_600_000_001]}
    rows = [dict(zip(events, row, strict=True)) for row in zip(*events.values(), strict=True)]
    items = [{"id": "x", "title": "X"}, {"id": "y", "title": "Y"}]
    made = [Dataset.from_records(shape, items) for shape in (rows, events, pa.table(events), Frame(rows))]
    assert len({one.fingerprint for one in made}) == 1
    with pytest.raises(DataError, match="interactions is a int"):
        Dataset.from_records(3, items)


def test_arrow_types_of_other_libraries_are_read() -> None:
    events = pa.table(
        {
            "user_id": pa.array(["a", "a"]).cast(pa.string_view()),
            "item_id": pa.array([1, 2], pa.uint8()),
            "device": pa.array(["tv", "phone"]).dictionary_encode(),
            "timestamp": pa.array([1_600_000_000, 1_600_000_001]).cast(pa.timestamp("s", "Asia/Tokyo")),
            "rating": [True, False],
            "nothing": pa.nulls(2),
        }
    )
    items = pa.table(
        {
            "id": pa.array([1.0, 2.0]),
            "title": pa.array(["X", "Y"], pa.large_string()),
            "tags": pa.array([["a", "b"], None], pa.large_list(pa.large_string())),
            "size": [{"Size": " XL"}, None],
            "parts": [[{"n": 1}], []],
        }
    )
    dataset = Dataset.from_records(events, items)
    assert [(entry.item_id, entry.value, entry.timestamp) for entry in dataset.history("a")] == [
        ("1", 1.0, 1_600_000_000.0),
        ("2", 0.0, 1_600_000_001.0),
    ]
    assert dict(dataset.item("1").attributes) == {"tags": ("a", "b"), "size": "Size: XL", "parts": ("n: 1",)}
    assert dict(dataset.item("2").attributes) == {}
    assert dataset.interactions["device"].to_pylist() == ["tv", "phone"]


def test_records_that_are_left_out_are_told() -> None:
    events = [{"user_id": "a", "item_id": "x"}, {"user_id": None, "item_id": "x"}]
    with pytest.warns(UserWarning, match="1 rows were left out: interactions: 1 rows without a user id"):
        Dataset.from_records(events, [{"id": "x", "title": "X"}])


def test_large_catalogues_are_quick_to_open() -> None:
    count = 100_000
    items = pa.table({"id": [str(n) for n in range(count)], "title": [f"title {n}" for n in range(count)]})
    dataset = Dataset.from_tables(items, pa.table({"user_id": ["u"] * 3, "item_id": ["5", "6", "99999"]}))
    assert dataset.item("99999").title == "title 99999"
    assert dataset.find_title("Title 12345") == "12345"
    assert dataset.sequences()["u"].tolist() == [5, 6, 99_999]
