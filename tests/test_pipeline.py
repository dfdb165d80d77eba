"""The straight line on data known by construction: batches, exclusions, traces, fallbacks, the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tastemaker.agent.explain import EvidenceExplainer
from tastemaker.agent.influence import FusedInfluence
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.requests import build_request
from tastemaker.agent.rerank import LLMReranker, RetrievalReranker
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ModelError
from tastemaker.fusion import Fusion
from tastemaker.index.build import index_texts
from tastemaker.index.hybrid import HybridRetriever, build_retriever
from tastemaker.index.store import ItemIndex
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import film_data, next_film, taste_of
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.types import Candidate, Context, Explanation, Filter, Item, Prompt, Ranking, Request

CANDIDATES = 8


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return film_data()


@pytest.fixture(scope="module")
def retriever(dataset: Dataset) -> HybridRetriever:
    embedder = HashEmbedder()
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
    return build_retriever(dataset, index, embedder)


def pipeline_of(
    dataset: Dataset, retriever: HybridRetriever, model: ScriptedLanguageModel, writer: bool = False
) -> Pipeline:
    renderer, fusion = PromptRenderer(model.count_tokens, domain="films"), Fusion()
    reranker = LLMReranker(model, renderer, form="title", fusion=fusion)
    explainer = EvidenceExplainer(
        model=model if writer else None,
        renderer=renderer,
        probe=FusedInfluence(retriever, reranker, fusion),
        dataset=dataset,
        domain="films",
    )
    return Pipeline(
        retriever=retriever, reranker=reranker, explainer=explainer, candidates=CANDIDATES, index="hash"
    )


@pytest.fixture(scope="module")
def pipeline(dataset: Dataset, retriever: HybridRetriever) -> Pipeline:
    model = ScriptedLanguageModel(adapter="taste@1")
    return pipeline_of(dataset, retriever, model)


def questions(dataset: Dataset) -> list[Request]:
    fan = dataset.history("thriller-fan-1")
    return [
        Request(history=fan, k=3),
        Request(history=fan, k=12, wish="a comedy"),
        Request(wish="thriller", k=1, context=Context(company="family")),
        Request(k=5, exclude=frozenset({"comedy-0"})),
        Request(k=40, filters=(Filter(field="year", op=">", value=3000.0),)),
        Request(k=40, filters=(Filter(field="genres", op="has", value="Classic"),)),
    ]


def test_a_fan_gets_what_fans_see_next(pipeline: Pipeline, dataset: Dataset) -> None:
    users = dataset.user_ids[::4]
    answers = pipeline.recommend_batch([build_request(dataset, user_id=user, k=5) for user in users])
    for user, answer in zip(users, answers, strict=True):
        assert answer.items[0].id == next_film(dataset.history(user).item_ids[-1])
        assert {taste_of(item.id) for item in answer} == {taste_of(user)}


def test_a_batch_equals_its_singles_whatever_the_neighbours_ask(pipeline: Pipeline, dataset: Dataset) -> None:
    asked = questions(dataset)
    for request, answer in zip(asked, pipeline.recommend_batch(asked), strict=True):
        alone = pipeline.recommend_batch([request])[0]
        assert answer.items == alone.items
        assert answer.request is request
        assert replace(answer.trace, timings_ms={}) == replace(alone.trace, timings_ms={})
        assert answer.trace.candidates <= max(CANDIDATES, request.k)
    assert [len(answer) for answer in pipeline.recommend_batch(asked)] == [3, 12, 1, 5, 0, 10]
    assert pipeline.recommend_batch([]) == []
    assert pipeline.rank_batch([]) == []


def test_ranking_alone_is_the_same_ranking(pipeline: Pipeline, dataset: Dataset) -> None:
    asked = questions(dataset)
    for ranking, answer in zip(pipeline.rank_batch(asked), pipeline.recommend_batch(asked), strict=True):
        assert tuple(item.ranked for item in answer) == ranking.top(answer.request.k)


class LongListsDiffer:
    """A retriever whose long list does not begin with its short one, as a hybrid's beyond its pool."""

    name = "long-lists-differ"

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
        self.asked.append((len(requests), n))
        items = [Item(id=f"{n}-{i}", title=f"{n}-{i}") for i in range(n)]
        return [tuple(Candidate(item=item, score=0.0) for item in items)] * len(requests)


def test_a_long_list_beside_it_changes_nothing() -> None:
    retriever = LongListsDiffer()
    pipeline = Pipeline(
        retriever=retriever, reranker=RetrievalReranker("none"), explainer=None, candidates=10
    )
    answers = pipeline.recommend_batch([Request(k=2), Request(k=30), Request(k=5)])
    assert [answer.items[0].id for answer in answers] == ["10-0", "30-0", "10-0"]
    assert retriever.asked == [(2, 10), (1, 30)]


def test_seen_excluded_and_filtered_items_never_come_back(pipeline: Pipeline, dataset: Dataset) -> None:
    for k in (1, 40):
        asked = [replace(request, k=k) for request in questions(dataset)]
        for request, answer in zip(asked, pipeline.recommend_batch(asked), strict=True):
            ids = {item.id for item in answer}
            assert not request.unwanted_ids & ids
            assert len(ids) == len(answer)
    classics = pipeline.recommend_batch([questions(dataset)[-1]])[0]
    assert {item.ranked.item.year for item in classics} == set(range(1980, 1990))


def test_every_item_is_explained_and_the_trace_is_filled(pipeline: Pipeline, dataset: Dataset) -> None:
    answer = pipeline.recommend_batch(questions(dataset))[1]
    assert all(item.explanation is not None and item.explanation.verified for item in answer)
    trace = answer.trace
    assert (trace.model, trace.adapter, trace.index) == ("scripted", "taste@1", "hash")
    assert "@" in trace.template
    assert (trace.degraded, trace.repairs, trace.explanation_fallbacks) == (None, 0, 0)
    assert 0.0 < trace.llm_share < 1.0
    assert set(trace.timings_ms) == {"retrieve", "rerank", "explain", "total"}
    stages = sum(value for name, value in trace.timings_ms.items() if name != "total")
    assert 0.0 < stages <= trace.timings_ms["total"]


def test_the_whole_json_contract(pipeline: Pipeline, dataset: Dataset) -> None:
    request = build_request(dataset, user_id="comedy-fan-0", wish="amber", context={"company": "family"}, k=3)
    found = pipeline.recommend_batch([request])[0].to_dict()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"request_id", "user_id", "wish", "context", "understood", "notes", "items", "trace"}
    assert (found["user_id"], found["wish"], found["context"]) == (
        "comedy-fan-0",
        "amber",
        {"company": "family"},
    )
    wanted = {"rank", "id", "title", "score", "retrieval_score", "llm_score", "explanation"}
    assert [set(item) for item in found["items"]] == [wanted] * 3
    assert [item["rank"] for item in found["items"]] == [1, 2, 3]
    for item in found["items"]:
        assert set(item["explanation"]) == {"text", "verified", "writer", "evidence"}
        for piece in item["explanation"]["evidence"]:
            assert set(piece) == {"kind", "ref", "text", "influence", "retrieval_influence", "rank_change"}
    trace = {"model", "adapter", "template", "index", "candidates", "repairs", "degraded", "timings_ms"}
    assert set(found["trace"]) == trace | {"llm_share", "explanation_fallbacks"}
    assert set(found["trace"]["timings_ms"]) == {"retrieve", "rerank", "explain", "total"}


def test_a_fallback_of_the_ranking_reaches_the_trace(retriever: HybridRetriever, dataset: Dataset) -> None:
    bare = Pipeline(retriever=retriever, reranker=RetrievalReranker("no model"), explainer=None, candidates=8)
    answer = bare.recommend_batch(questions(dataset))[0]
    assert answer.trace.degraded == "no model"
    assert answer.to_dict()["trace"]["degraded"] == "no model"
    assert answer.to_dict()["items"][0]["explanation"] is None
    assert answer.to_dict()["items"][0]["llm_score"] is None
    assert (answer.trace.llm_share, answer.trace.model) == (0.0, "")


def test_a_model_that_fails_leaves_the_retrievers_order(retriever: HybridRetriever, dataset: Dataset) -> None:
    def fail(prompt: Prompt, choice: str) -> float:
        raise ModelError("out of memory")

    broken = pipeline_of(dataset, retriever, ScriptedLanguageModel(score=fail))
    asked = questions(dataset)[0]
    answer = broken.recommend_batch([asked])[0]
    assert [item.id for item in answer] == [c.item.id for c in retriever.retrieve([asked], 3)[0]]
    assert "out of memory" in str(answer.trace.degraded)
    assert all(item.explanation is not None for item in answer)


def test_a_model_that_ranks_and_then_fails(retriever: HybridRetriever, dataset: Dataset) -> None:
    """The server dies between ranking and explaining: the ranking stays, the trace says what is missing."""
    limit, calls = 2 * CANDIDATES, 0  # titles with the person, titles without

    def dies(prompt: Prompt, choice: str) -> float:
        nonlocal calls
        calls += 1
        if calls > limit:
            raise ModelError("connection lost")
        return -1.0

    pipeline = pipeline_of(dataset, retriever, ScriptedLanguageModel(score=dies))
    request = Request(wish="thriller", k=3)
    answer = pipeline.recommend_batch([request])[0]
    assert calls == limit + 1
    assert len(answer) == 3
    assert answer.items[0].ranked.llm_score is not None
    assert answer.trace.degraded == "no explanations: language model failed: connection lost"
    assert [item.explanation for item in answer] == [None] * 3


class Refuses:
    def explain(
        self, requests: Sequence[Request], rankings: Sequence[Ranking]
    ) -> list[tuple[Explanation, ...]]:
        raise ModelError("no words")


def test_two_failures_are_both_said(retriever: HybridRetriever) -> None:
    pipeline = Pipeline(
        retriever=retriever, reranker=RetrievalReranker("no model"), explainer=Refuses(), candidates=8
    )
    (answer,) = pipeline.recommend_batch([Request()])
    assert answer.trace.degraded == "no model; no explanations: language model failed: no words"


def test_explanations_that_had_to_fall_back_are_counted(retriever: HybridRetriever, dataset: Dataset) -> None:
    model = ScriptedLanguageModel(default_reply="It won nine Oscars.")
    answer = pipeline_of(dataset, retriever, model, writer=True).recommend_batch(
        [build_request(dataset, user_id="comedy-fan-0", k=4)]
    )[0]
    fallbacks = [item.explanation.fallback for item in answer if item.explanation is not None]
    # The model is asked only where there is evidence to word.
    assert fallbacks[0]
    assert answer.trace.explanation_fallbacks == sum(fallbacks) == len(model.prompts) - 2
    assert "Oscar" not in json.dumps(answer.to_dict())
