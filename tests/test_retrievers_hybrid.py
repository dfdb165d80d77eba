"""The hybrid: who is served by what, what a wish does, and that altered requests are scored on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError
from tastemaker.index.build import index_texts
from tastemaker.index.hybrid import FLOOR, SITUATED, HybridRetriever, HybridWeights, Scale, build_retriever
from tastemaker.index.store import ItemIndex
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset, typed
from tastemaker.types import Candidate, Context, Filter, Item, Request

DATASET = contract_dataset()


def make(dataset: Dataset, weights: HybridWeights | None = None) -> HybridRetriever:
    embedder = HashEmbedder(64)
    return build_retriever(
        dataset, ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder), embedder, weights
    )


def sources_of(request: Request) -> set[str]:
    found = make(DATASET).retrieve([request], 3)[0]
    assert found
    return set().union(*(candidate.sources for candidate in found))


class TestHybridRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> HybridRetriever:
        return make(dataset)


BEHAVIOUR = set(HybridWeights().history) - {"recency", *SITUATED}
THEN = Context.from_mapping({"time": "1970-02-01T21:30"})  # soon after the contract's users were active


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        (Request(history=DATASET.history("horror-fan-0")), BEHAVIOUR),
        (Request(history=DATASET.history("horror-fan-0"), context=THEN), {*BEHAVIOUR, "recency"}),
        (Request(history=DATASET.history("horror-fan-0"), wish="western"), BEHAVIOUR),
        (Request(wish="western"), {"text", "popularity"}),
        (Request(history=typed("horror horror")), {"text", "popularity"}),
        (Request(), {"popularity"}),
    ],
)
def test_the_parts_that_can_read_a_request_speak(request_: Request, parts: set[str]) -> None:
    assert sources_of(request_) == parts


def test_a_fan_gets_what_other_fans_had_and_a_wish_moves_the_list() -> None:
    fan = DATASET.history("horror-fan-0")
    plain, wished = make(DATASET).retrieve([Request(history=fan), Request(history=fan, wish="western")], 3)
    assert {c.item.genres[0] for c in plain} == {"horror"}
    assert {c.item.genres[0] for c in wished} == {"western"}


def test_typed_titles_count_more_than_popularity() -> None:
    found = make(DATASET).retrieve([Request(history=typed("horror horror"))], 3)[0]
    assert {c.item.genres[0] for c in found} == {"horror"}


def test_scores_are_the_weighted_sum_of_the_parts_logits() -> None:
    weights = HybridWeights(history={"transitions": 2.0, "text": 0.5, "popularity": 0.25})
    request = Request(history=DATASET.history("comedy-fan-1"))
    found = make(DATASET, weights).retrieve([request], 99)[0]
    assert len(found) == 20  # everything but the four of the history
    for candidate in found:
        expected = sum(weight * candidate.sources[name] for name, weight in weights.history.items())
        assert candidate.score == pytest.approx(expected, abs=1e-6)


def test_votes_are_compared_by_ratio_and_logits_by_difference() -> None:
    request = Request(history=DATASET.history("comedy-fan-1"))
    weights = HybridWeights(history={"transitions": 1.0, "popularity": 1.0})
    found = make(DATASET, weights).retrieve([request], 99)[0]
    ids = [candidate.item.id for candidate in found]
    votes = {c.item.id: c.score for c in TransitionRetriever(DATASET).retrieve([request], 99)[0]}
    shares = np.array([votes.get(id_, 0.0) for id_ in ids]) / (sum(votes.values()) / len(ids))
    expected = np.log((shares + FLOOR) / (1 + FLOOR))
    np.testing.assert_allclose([c.sources["transitions"] for c in found], expected, atol=1e-6)
    events = np.log1p([DATASET.item_counts[DATASET.item_positions[id_]] for id_ in ids])
    np.testing.assert_allclose([c.sources["popularity"] for c in found], events - events.mean(), atol=1e-6)


def test_twice_the_votes_of_everybody_change_nothing() -> None:
    scores = np.array([0.0, 1.0, 3.0, -1.0], np.float32)
    once, twice = (Scale.over(factor * scores, "votes", 1.0).apply(factor * scores) for factor in (1, 2))
    np.testing.assert_allclose(once, twice, atol=1e-6)
    assert once[0] == once[3]  # a negative vote is no vote
    assert Scale.over(scores * 0, "votes", 1.0).apply(scores * 0).tolist() == [0.0] * 4


def test_a_part_without_weight_neither_names_nor_scores() -> None:
    weights = HybridWeights(words={"text": 1.0})
    found = make(DATASET, weights).retrieve([Request(wish="western")], 3)[0]
    assert all(set(candidate.sources) == {"text"} for candidate in found)


def test_where_all_are_alike_everyone_gets_0() -> None:
    only = Request(filters=(Filter(field="id", op="in", value=("horror-1", "comedy-1")),))
    found = make(DATASET).retrieve([only], 9)[0]
    assert [(c.item.id, c.score) for c in found] == [("comedy-1", 0.0), ("horror-1", 0.0)]


REQUESTS = (
    Request(history=DATASET.history("western-fan-2")),
    Request(history=DATASET.history("western-fan-2"), wish="comedy", exclude=frozenset({"comedy-2"})),
    Request(wish="comedy", context=Context.from_mapping({"time": "2026-11-28T21:30"})),
    Request(),
)


@pytest.mark.parametrize("request_", REQUESTS)
def test_rescoring_the_request_itself_gives_its_scores_back(request_: Request) -> None:
    retriever = make(DATASET)
    found = retriever.retrieve([request_], 7)[0]
    (scores,) = retriever.rescore(request_, [request_], found)
    np.testing.assert_allclose(scores, [candidate.score for candidate in found], atol=1e-6)
    backwards = retriever.rescore(request_, [request_], found[::-1])[0]
    np.testing.assert_allclose(backwards[::-1], scores, atol=1e-6)


def test_rescoring_measures_what_was_taken_away() -> None:
    retriever = make(DATASET)
    fan = DATASET.history("comedy-fan-0")
    request = Request(history=fan, wish="western")
    western = make(DATASET).retrieve([request], 1)[0]
    comedy = [Candidate(item=DATASET.item("comedy-5"), score=0.0)]
    without_wish = replace(request, wish="")
    without_history = replace(request, history=typed())
    kept, wishless, historyless = retriever.rescore(
        request, [request, without_wish, without_history], [*western, *comedy]
    )
    assert wishless[0] < kept[0]
    assert historyless[1] < kept[1]


def test_each_dropped_entry_is_scored_on_the_same_scale() -> None:
    retriever = make(DATASET)
    request = Request(history=DATASET.history("comedy-fan-0"))
    found = retriever.retrieve([request], 5)[0]
    altered = [replace(request, history=request.history.without(at)) for at in range(len(request.history))]
    together = retriever.rescore(request, altered, found)
    assert [scores.shape for scores in together] == [(5,)] * 4
    for one, scores in zip(altered, together, strict=True):
        np.testing.assert_array_equal(retriever.rescore(request, [one], found)[0], scores)


def test_when_all_is_taken_away_silent_parts_give_0() -> None:
    retriever = make(DATASET, HybridWeights(history={"transitions": 1.0, "popularity": 0.5}))
    request = Request(history=DATASET.history("comedy-fan-0"))
    found = retriever.retrieve([request], 5)[0]
    (scores,) = retriever.rescore(request, [Request()], found)
    expected = [retriever.weights.history["popularity"] * c.sources["popularity"] for c in found]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_rescoring_nothing_or_the_unknown() -> None:
    retriever = make(DATASET)
    stranger = Candidate(item=Item(id="stranger", title="S"), score=0.0)
    assert retriever.rescore(REQUESTS[0], [], [stranger]) == []
    assert retriever.rescore(REQUESTS[0], [REQUESTS[0]], [stranger])[0].tolist() == [0.0]
    assert retriever.rescore(REQUESTS[0], [REQUESTS[0]], [])[0].shape == (0,)
    nothing_left = Request(wish="x", exclude=frozenset(DATASET.item_ids))
    assert retriever.rescore(nothing_left, [nothing_left], [stranger])[0].tolist() == [0.0]


def test_weights_are_read_back_from_plain_values() -> None:
    weights = HybridWeights(history={"transitions": 1, "mine": 2.5})
    assert HybridWeights.from_dict(weights.to_dict()) == weights
    assert HybridWeights.from_dict({"nobody": {"popularity": 2}}).history == HybridWeights().history
    with pytest.raises(TypeError):
        weights.history["text"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize(
    "values",
    [
        {"evening": {"text": 1.0}},
        {"history": 3},
        {"history": {}},
        {"history": {"text": 0}},
        {"history": {"text": -1.0}},
        {"history": {"text": float("nan")}},
        {"history": {"text": "much"}},
    ],
)
def test_impossible_weights_are_refused(values: Mapping[str, object]) -> None:
    with pytest.raises(ConfigError, match="hybrid weights"):
        HybridWeights.from_dict(values)
