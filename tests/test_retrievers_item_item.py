"""EASE, item neighbours, alike texts and recency: values known by construction or from a plain formula."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tastemaker.data.dataset import Dataset
from tastemaker.index.alike import AlikeRetriever
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.ease import EaseRetriever, ease_weights, user_item_matrix
from tastemaker.index.item_item import ItemItemRetriever, keep_largest
from tastemaker.index.item_knn import ItemKNNRetriever
from tastemaker.index.recency import RecencyRetriever
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import FloatArray
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset, typed
from tastemaker.types import Context, HistoryEntry, Request, UserHistory

LETTERS = "abcdefgh"
DAY = 86_400.0


class TestEaseRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> EaseRetriever:
        return EaseRetriever(dataset, l2=1.0)


class TestItemKNNRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> ItemKNNRetriever:
        return ItemKNNRetriever(dataset)


class TestRecencyRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> RecencyRetriever:
        return RecencyRetriever(dataset)


def history_of(*item_ids: str) -> Request:
    return Request(history=UserHistory(entries=tuple(HistoryEntry(title=i, item_id=i) for i in item_ids)))


def dataset_of(*sequences: str, timed: bool = True) -> Dataset:
    """One user per text, one event per letter, a day apart; items a..h."""
    events = [
        (f"u{user}", letter, step * DAY if timed else None)
        for user, letters in enumerate(sequences)
        for step, letter in enumerate(letters)
    ]
    users, items, times = zip(*events, strict=True)
    return Dataset.from_tables(
        pa.table({"id": list(LETTERS), "title": list(LETTERS)}),
        pa.table({"user_id": users, "item_id": items, "timestamp": pa.array(times, pa.float64())}),
    )


def found_by(retriever: ItemItemRetriever | RecencyRetriever, request: Request) -> dict[str, float]:
    return {c.item.id: c.score for c in retriever.retrieve([request], 99)[0]}


class TestItemItem:
    MATRIX = sparse.csr_array(np.array([[0, 3, 0], [0, 0, 5], [1, 0, 0]], np.float32))

    def make(self, length: int, decay: float) -> ItemItemRetriever:
        items = pa.table({"id": list("abc"), "title": list("abc")})
        catalogue = Catalogue(Dataset.from_tables(items))
        return ItemItemRetriever(catalogue, self.MATRIX, name="x", length=length, decay=decay)

    def test_votes_fall_with_age(self) -> None:
        assert found_by(self.make(9, 0.5), history_of("a")) == {"b": 3.0}
        state = self.make(9, 0.5).prepare([history_of("a", "gone", "b")])[0]
        assert state is not None
        assert state.tolist() == [0.0, 1.5, 5.0]

    def test_only_the_latest_known_items_vote(self) -> None:
        assert found_by(self.make(1, 0.5), history_of("a", "b", "gone")) == {"c": 5.0}

    def test_another_reading_of_the_history_shares_the_matrix(self) -> None:
        other = self.make(9, 0.5).with_history("y", length=1, decay=1.0)
        assert other.name == "y"
        assert found_by(other, history_of("a", "b")) == {"c": 5.0}

    def test_the_largest_of_each_row_stay(self) -> None:
        kept = keep_largest(np.array([[1, -5, 2, 0], [0, 0, 0, 3]], np.float32), 2)
        assert kept.toarray().tolist() == [[0, -5, 2, 0], [0, 0, 0, 3]]
        assert kept.nnz == 3
        assert keep_largest(np.eye(2, dtype=np.float32), 9).toarray().tolist() == [[1, 0], [0, 1]]


@settings(deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=7), min_size=1, max_size=6))
def test_ease_equals_the_regression_of_each_item_on_the_others(sequences: list[str]) -> None:
    interactions = user_item_matrix(dataset_of(*sequences)).toarray().astype(np.float64)
    found = ease_weights(sparse.csr_array(interactions, dtype=np.float32), 0.5)
    for item in range(len(LETTERS)):
        others = [other for other in range(len(LETTERS)) if other != item]
        rest = interactions[:, others]
        ridge = np.linalg.solve(rest.T @ rest + 0.5 * np.eye(len(others)), rest.T @ interactions[:, item])
        np.testing.assert_allclose(found[others, item], ridge, atol=1e-4)
        assert found[item, item] == 0


def test_ease_over_several_blocks_is_symmetric_before_scaling() -> None:
    # 2,100 items: more than two blocks of rows that are mirrored one by one.
    rng = np.random.default_rng(0)
    interactions = sparse.csr_array((rng.random((300, 2_100)) < 0.05).astype(np.float32))
    found = ease_weights(interactions, 50.0)
    gram = (interactions.T @ interactions).toarray() + 50.0 * np.eye(2_100)
    inverse = np.linalg.inv(gram)
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_takes_the_most_popular_items_beyond_its_limit() -> None:
    dataset = dataset_of("abc", "abc", "abd", "ae")
    assert set(found_by(EaseRetriever(dataset, l2=1.0, max_items=3), history_of("a"))) == {"b", "c"}
    assert {"b", "c", "d", "e"} <= set(found_by(EaseRetriever(dataset, l2=1.0), history_of("a")))


def test_a_rare_item_of_the_history_is_passed_over() -> None:
    retriever = EaseRetriever(dataset_of("abc", "abc", "abd", "ae"), l2=1.0, max_items=3)
    assert found_by(retriever, history_of("e")) == {}


@pytest.mark.parametrize("wrong", [{"l2": 0.0}, {"neighbours": 0}, {"max_items": 0}])
def test_impossible_settings_of_ease_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        EaseRetriever(contract_dataset(), **wrong)  # type: ignore[arg-type]


def test_neighbours_are_shrunken_cosines() -> None:
    # a and b share two of their three and two users: 2 / (sqrt(3) * sqrt(2) + 4).
    retriever = ItemKNNRetriever(dataset_of("ab", "ab", "ac"), shrinkage=4.0, idf=False)
    found = found_by(retriever, history_of("a"))
    assert found == pytest.approx({"b": 2 / (6**0.5 + 4), "c": 1 / (3**0.5 + 4)})


def test_a_user_of_few_items_says_more() -> None:
    retriever = ItemKNNRetriever(dataset_of("ab", "acdefgh"), shrinkage=0.0)
    found = found_by(retriever, history_of("a"))
    assert found["b"] > found["c"]


def test_the_nearest_neighbours_stay_and_the_item_itself_is_none() -> None:
    retriever = ItemKNNRetriever(dataset_of("ab", "ab", "ac"), neighbours=1, idf=False)
    assert list(found_by(retriever, history_of("a"))) == ["b"]
    assert list(found_by(retriever, history_of("c"))) == ["a"]


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"shrinkage": -1.0}])
def test_impossible_settings_of_neighbours_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        ItemKNNRetriever(contract_dataset(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [EaseRetriever, ItemKNNRetriever, RecencyRetriever])
def test_without_interactions_all_are_silent(kind: type[EaseRetriever | ItemKNNRetriever]) -> None:
    retriever = kind(Dataset.from_tables(pa.table({"id": ["a"], "title": ["A"]})))
    context = Context(time=datetime(2026, 1, 1, tzinfo=UTC))
    assert retriever.prepare([history_of("a"), Request(context=context)]) == [None, None]


@pytest.mark.parametrize("kind", [EaseRetriever, ItemKNNRetriever])
def test_only_shared_behaviour_is_known(kind: type[EaseRetriever | ItemKNNRetriever]) -> None:
    retriever = kind(contract_dataset())
    silent = [Request(), Request(history=typed("x")), Request(wish="horror"), history_of("horror-7")]
    assert retriever.retrieve(silent, 9) == [()] * 4


def at(day: float) -> Request:
    return Request(context=Context(time=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)))


def test_what_was_had_just_before_the_time_is_lifted() -> None:
    dataset = dataset_of("a" * 5 + "b" * 5, "c" * 10)
    retriever = RecencyRetriever(dataset, days=1.0, prior=1.0)
    early, late = found_by(retriever, at(2)), found_by(retriever, at(10))
    assert early["a"] > 0 > early["b"]
    assert late["b"] > 0 > late["a"]
    assert abs(early["c"]) < abs(early["a"]) / 3  # had evenly all the time
    assert early["h"] == 0.0


def test_nothing_after_the_moment_counts() -> None:
    # Two futures after day 3: only what everybody had overall differs, and the shares of a, b and c do not.
    sequences = (["abc" + rest] * 2 for rest in ("abcdef", "fedcba"))
    one, other = (RecencyRetriever(dataset_of(*users), days=1.0) for users in sequences)
    for first, second in zip(one.prepare([at(2.2), at(3)]), other.prepare([at(2.2), at(3)]), strict=True):
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(first, second)


def test_the_lift_is_the_formula_s() -> None:
    # Bins of four hours: a's event in bin 0, b's in bin 6; the request two hours after the end of bin 6.
    dataset = dataset_of("ab")
    bins = RecencyRetriever(dataset, days=1.0, prior=2.0)
    near_a, near_b = (np.exp(-0.5 * (steps / 6) ** 2) for steps in (7, 1))
    found = found_by(bins, at((7 + 0.5) / 6))
    for letter, near in (("a", near_a), ("b", near_b)):
        wanted = np.log((near + 2 * 0.5) / (near_a + near_b + 2) / 0.5)
        assert found[letter] == pytest.approx(wanted, abs=1e-5)


def test_without_time_or_far_from_all_events_recency_is_silent() -> None:
    retriever = RecencyRetriever(dataset_of("abc"), days=1.0)
    assert retriever.prepare([Request(), at(20_000), at(-20_000), at(0)]) == [None] * 4
    assert RecencyRetriever(dataset_of("abc", timed=False)).prepare([at(1)]) == [None]


def test_a_time_without_zone_is_read_as_utc() -> None:
    retriever = RecencyRetriever(dataset_of("abc", "abc"), days=1.0)
    naive = Request(context=Context(time=datetime(1970, 1, 4)))
    first, second = retriever.prepare([naive, at(3)])
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("wrong", [{"days": 0.0}, {"prior": 0.0}])
def test_impossible_settings_of_recency_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        RecencyRetriever(contract_dataset(), **wrong)


class Painter:
    """An embedder of known vectors: a text is an angle in degrees."""

    name, fingerprint, dimension = "painter", "painter-1", 2

    def encode(self, texts: Sequence[str]) -> FloatArray:
        angles = np.radians([float(text) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def angles(*degrees: int, indexed: int | None = None) -> tuple[Catalogue, ItemIndex]:
    """Items whose ids are letters and whose texts point into the given directions; the first ones indexed."""
    ids = list(LETTERS[: len(degrees)])
    catalogue = Catalogue(Dataset.from_tables(pa.table({"id": ids, "title": ids})))
    texts = [str(angle) for angle in degrees]
    return catalogue, ItemIndex.build(ids[:indexed], texts[:indexed], Painter())


class TestAlikeRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> AlikeRetriever:
        embedder = HashEmbedder(64)
        index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
        return AlikeRetriever(Catalogue(dataset), index)


def test_texts_vote_by_their_cosine_without_any_behaviour() -> None:
    retriever = AlikeRetriever(*angles(0, 60, 0, 180), softness=0.5)
    assert found_by(retriever, history_of("a")) == pytest.approx(
        {"b": np.exp(-1.0), "c": 1.0, "d": np.exp(-4.0)}, abs=1e-5
    )


def test_each_history_item_names_its_own_nearest() -> None:
    retriever = AlikeRetriever(*angles(0, 5, 90, 95, 45), neighbours=1, decay=0.5)
    assert set(found_by(retriever, history_of("a", "c"))) == {"b", "d"}  # and not the mean of them, e


def test_what_the_index_lacks_neither_votes_nor_is_voted_for() -> None:
    retriever = AlikeRetriever(*angles(0, 1, 2, indexed=2))
    assert set(found_by(retriever, history_of("a"))) == {"b"}
    assert found_by(retriever, history_of("c")) == {}


def test_a_catalogue_beyond_the_limit_does_without() -> None:
    assert AlikeRetriever(*angles(0, 1, 2), max_items=2).prepare([history_of("a")]) == [None]


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"softness": 0.0}])
def test_impossible_settings_of_alike_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        AlikeRetriever(*angles(0, 1), **wrong)  # type: ignore[arg-type]
