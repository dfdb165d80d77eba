from __future__ import annotations

import numpy as np

from tastemaker.data.dataset import Dataset
from tastemaker.index.build import index_texts
from tastemaker.index.store import ItemIndex
from tastemaker.index.text_retriever import TextProfile, TextRetriever, profile_vector
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset, typed
from tastemaker.types import HistoryEntry, Request, UserHistory


def make(dataset: Dataset, *, profile: TextProfile | None = None) -> TextRetriever:
    embedder = HashEmbedder(64)
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
    return TextRetriever(dataset, index, embedder, profile)


def genres_of(retriever: TextRetriever, request: Request, n: int = 5) -> set[str]:
    return {c.item.genres[0] for c in retriever.retrieve([request], n)[0]}


class TestTextRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> TextRetriever:
        return make(dataset)


class TestGraphTextRetriever(RetrieverContract):
    """The same over an hnsw index whose rows stand in another order and of which some are dead."""

    def make(self, dataset: Dataset) -> TextRetriever:
        embedder = HashEmbedder(64)
        ids, texts = list(dataset.item_ids), index_texts(dataset)
        index = ItemIndex.build(ids[::-1], texts, embedder, exact_limit=4)
        index.update(ids, texts, embedder)
        index.add(["stranger"], ["horror horror comedy western film"], embedder)
        return TextRetriever(dataset, index, embedder)


def test_a_history_finds_its_like() -> None:
    dataset = contract_dataset()
    assert genres_of(make(dataset), Request(history=dataset.history("western-fan-1")), n=4) == {"western"}


def test_typed_titles_are_read_by_their_words() -> None:
    assert genres_of(make(contract_dataset()), Request(history=typed("horror horror night"))) == {"horror"}


def test_a_wish_alone_and_against_a_history() -> None:
    dataset = contract_dataset()
    retriever = make(dataset)
    assert genres_of(retriever, Request(wish="horror")) == {"horror"}
    fan = dataset.history("comedy-fan-0")
    assert genres_of(retriever, Request(history=fan, wish="horror")) == {"horror"}
    alone = make(dataset, profile=TextProfile(wish_share=0.0))
    assert genres_of(alone, Request(history=fan, wish="horror"), n=4) == {"comedy"}


def test_neither_wish_nor_history_finds_nothing() -> None:
    assert make(contract_dataset()).retrieve([Request(), Request(wish="   "), Request(wish="horror")], 3)[
        :2
    ] == [(), ()]


def test_disliked_entries_weigh_less_and_the_latest_most() -> None:
    dataset = contract_dataset()
    retriever = make(dataset)

    def history(*rated: tuple[str, float]) -> Request:
        entries = tuple(HistoryEntry(title=id_, item_id=id_, value=value) for id_, value in rated)
        return Request(history=UserHistory(entries=entries, value_range=(1.0, 5.0)))

    assert genres_of(retriever, history(("comedy-0", 5), ("horror-0", 1)), n=3) == {"comedy"}
    assert genres_of(retriever, history(("comedy-0", 1), ("horror-0", 5)), n=3) == {"horror"}
    quick = make(dataset, profile=TextProfile(decay=0.3))
    assert genres_of(quick, history(("comedy-0", 5), ("horror-0", 5)), n=3) == {"horror"}


def test_the_query_is_the_weighted_mean_of_unit_vectors() -> None:
    embedder = HashEmbedder()
    request = Request(history=typed("old one", "new one"), wish="a wish")
    old, new, wish = embedder.encode(["old one", "new one", "a wish"])
    profile = new + 0.5 * old
    expected = 0.75 * wish + 0.25 * profile / np.linalg.norm(profile)
    found = profile_vector(request, embedder, TextProfile(decay=0.5, wish_share=0.75))
    assert found is not None
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_a_batch_asks_the_model_once() -> None:
    dataset = contract_dataset()
    embedder = HashEmbedder()
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
    before = embedder.calls
    requests = [Request(wish=wish, history=typed("Unheard Of")) for wish in ("a", "b", "a")]
    TextRetriever(dataset, index, embedder).retrieve(requests, 3)
    assert (embedder.calls - before, embedder.texts - len(dataset.item_ids)) == (1, 3)


def test_items_that_the_index_lacks_are_not_found_but_do_no_harm() -> None:
    dataset = contract_dataset()
    embedder = HashEmbedder()
    ids, texts = list(dataset.item_ids), index_texts(dataset)
    retriever = TextRetriever(dataset, ItemIndex.build(ids[1:], texts[1:], embedder), embedder)
    found = retriever.retrieve([Request(wish="comedy")], 50)[0]
    assert len(found) == 23
    history = UserHistory(entries=(HistoryEntry(title="horror horror", item_id=ids[0]),))
    assert genres_of(retriever, Request(history=history), n=3) == {"horror"}
