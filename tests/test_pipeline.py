"""The straight line, its requests, its influence and its evaluation, on data known by construction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from tastemaker.agent.explain import EvidenceExplainer
from tastemaker.agent.influence import FusedInfluence
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.requests import as_history, as_language, build_request
from tastemaker.agent.rerank import LLMReranker, RetrievalReranker
from tastemaker.agent.reranker import Reranker
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, FilterError, RequestError, UnknownUserError
from tastemaker.eval.compare import compare_runs, holm
from tastemaker.eval.protocols import Protocol, make_protocol
from tastemaker.eval.run import ScoredList, load_ranks, run_system, save_run
from tastemaker.fusion import Fusion, Scores
from tastemaker.index.build import index_texts
from tastemaker.index.hybrid import HybridRetriever, build_retriever
from tastemaker.index.store import ItemIndex
from tastemaker.prompts.render import PromptRenderer
from tastemaker.protocols import FloatArray
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.testing.reranker_contract import AWKWARD_TITLES
from tastemaker.testing.retriever_contract import contract_dataset
from tastemaker.types import Candidate, Context, Item, Ranked, Ranking, Request, UserHistory


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return contract_dataset()


@pytest.fixture(scope="module")
def retriever(dataset: Dataset) -> HybridRetriever:
    embedder = HashEmbedder()
    index = ItemIndex.build(dataset.item_ids, index_texts(dataset), embedder)
    return build_retriever(dataset, index, embedder)


@pytest.fixture(scope="module")
def pipeline(dataset: Dataset, retriever: HybridRetriever) -> Pipeline:
    model = ScriptedLanguageModel()
    renderer = PromptRenderer(model.count_tokens, domain="films")
    reranker = LLMReranker(model, renderer, form="title", fusion=Fusion())
    probe = FusedInfluence(retriever, reranker, reranker.fusion)
    explainer = EvidenceExplainer(model=None, renderer=renderer, probe=probe, dataset=dataset, domain="films")
    return Pipeline(retriever=retriever, reranker=reranker, explainer=explainer, candidates=8, index="hash")


# --- requests -------------------------------------------------------------------------------------------


def test_a_request_from_plain_values(dataset: Dataset) -> None:
    request = build_request(
        dataset,
        user_id="horror-fan-0",
        history=["comedy-1", "the COMEDY film number 2", {"title": "Unheard Of", "rating": 4}],
        wish="  something \n light ",
        context={"time": "2026-11-28T21:30", "company": "family"},
        filters=["year>=1990"],
        exclude=["comedy-3"],
        k=3,
    )
    assert request.history.item_ids[-2:] == ("comedy-1", "comedy-2")
    assert request.history.entries[-1].title == "Unheard Of"
    assert request.history.entries[-1].item_id is None
    assert request.wish == "something light"
    assert request.context.time == datetime(2026, 11, 28, 21, 30)
    assert str(request.filters[0]) == "year >= 1990.0"
    assert "comedy-3" in request.unwanted_ids
    assert request.language == "en"


def test_what_cannot_be_a_request(dataset: Dataset) -> None:
    with pytest.raises(UnknownUserError, match="nobody"):
        build_request(dataset, user_id="nobody")
    with pytest.raises(FilterError, match="colour"):
        build_request(dataset, filters=["colour == red"])
    with pytest.raises(RequestError, match="wish is a int"):
        build_request(dataset, wish=3)  # type: ignore[arg-type]
    for history, says in [("Alien", "a list"), ([3], "neither"), ([""], "empty"), ([{}], "neither an id")]:
        with pytest.raises(RequestError, match=says):
            as_history(history, dataset)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="no number"):
        as_history([{"title": "x", "rating": "good"}])
    with pytest.raises(RequestError, match="one of auto, en, zh"):
        as_language("fr", "", Context())  # type: ignore[arg-type]


def test_the_script_of_the_wish_decides_the_language(dataset: Dataset) -> None:
    assert build_request(dataset, wish="轻松的喜剧").language == "zh"
    assert build_request(dataset, context={"company": "家人"}).language == "zh"
    assert build_request(dataset, wish="轻松的喜剧", language="en").language == "en"


# --- the pipeline ---------------------------------------------------------------------------------------


def questions(dataset: Dataset) -> list[Request]:
    fan = dataset.history("western-fan-1")
    return [
        Request(history=fan, k=3),
        Request(history=fan, k=12, wish="a comedy film"),
        Request(wish="horror", k=1, context=Context(company="family")),
        Request(k=5, exclude=frozenset({"comedy-0"})),
    ]


def test_a_batch_equals_its_singles_whatever_the_neighbours_ask(pipeline: Pipeline, dataset: Dataset) -> None:
    together = pipeline.recommend_batch(questions(dataset))
    for request, answer in zip(questions(dataset), together, strict=True):
        alone = pipeline.recommend_batch([request])[0]
        assert [item.id for item in answer] == [item.id for item in alone]
        assert [item.explanation for item in answer] == [item.explanation for item in alone]
        assert answer.trace.candidates == alone.trace.candidates == max(8, request.k)
        assert len(answer) == request.k
    assert pipeline.recommend_batch([]) == []


def test_seen_and_excluded_items_never_come_back(pipeline: Pipeline, dataset: Dataset) -> None:
    for request, answer in zip(questions(dataset), pipeline.recommend_batch(questions(dataset)), strict=True):
        assert not request.unwanted_ids & {item.id for item in answer}


def test_every_item_is_explained_and_the_trace_is_filled(pipeline: Pipeline, dataset: Dataset) -> None:
    answer = pipeline.recommend_batch(questions(dataset))[0]
    assert all(item.explanation is not None and item.explanation.verified for item in answer)
    trace = answer.trace
    assert (trace.model, trace.index, trace.degraded) == ("scripted", "hash", None)
    assert set(trace.timings_ms) == {"retrieve", "rerank", "explain", "total"}
    assert trace.timings_ms["total"] >= trace.timings_ms["rerank"]


def test_a_fallback_reaches_the_trace(retriever: HybridRetriever, dataset: Dataset) -> None:
    bare = Pipeline(retriever=retriever, reranker=RetrievalReranker("no model"), explainer=None, candidates=8)
    answer = bare.recommend_batch(questions(dataset))[0]
    assert answer.trace.degraded == "no model"
    assert answer.to_dict()["trace"]["degraded"] == "no model"
    assert all(item.explanation is None for item in answer)


# --- influence ------------------------------------------------------------------------------------------


class OneForOne:
    """A retriever whose score of an item is 1 when its namesake stands in the history, else 0."""

    def rescore(
        self, request: Request, altered: Sequence[Request], candidates: Sequence[Candidate]
    ) -> list[FloatArray]:
        return [
            np.array([float(c.item.id in one.history.item_ids) for c in candidates], dtype=np.float32)
            for one in altered
        ]


class WishReader:
    """A model that gives 2 nats to items whose title the wish holds."""

    def scores(
        self, requests: Sequence[Request], candidates: Sequence[Sequence[Candidate]]
    ) -> list[tuple[Scores, str]]:
        return [
            (np.array([2.0 * (c.item.title in one.wish) for c in found]), "t")
            for one, found in zip(requests, candidates, strict=True)
        ]


def test_influence_is_the_fall_of_log_odds() -> None:
    history = as_history([{"id": "a", "title": "a"}, {"id": "b", "title": "b"}])
    entries = tuple(type(e)(title=e.title, item_id=name) for e, name in zip(history, ("a", "b"), strict=True))
    request = Request(history=UserHistory(entries=entries), wish="like c")
    items = [Item(id=letter, title=letter) for letter in "abcd"]
    retrieval, llm = [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]
    ranking = Ranking(
        items=tuple(
            Ranked(rank=i + 1, candidate=Candidate(item=item, score=r), score=0.25, llm_score=m)
            for i, (item, r, m) in enumerate(zip(items, retrieval, llm, strict=True))
        )
    )
    without_a = Request(history=request.history.without(0), wish=request.wish)
    without_wish = Request(history=request.history)
    probe = FusedInfluence(OneForOne(), WishReader(), Fusion(retrieval=1.0, llm=1.0))
    nothing, a, wish = probe.influence(request, ranking, [request, without_a, without_wish])
    np.testing.assert_allclose(nothing, 0.0, atol=1e-6)
    assert a[0] == pytest.approx(1.0, abs=1e-5)  # its own logit falls by 1, nobody else's moves
    assert max(a[1:]) < 0
    assert wish[2] == pytest.approx(2.0, abs=1e-5)
    assert max(wish[[0, 1, 3]]) < 0
    assert [row.size for row in probe.influence(request, Ranking(items=()), [without_a])] == [0]


# --- the public reranker --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    model = ScriptedLanguageModel()
    renderer = PromptRenderer(model.count_tokens)
    return Reranker(HashEmbedder(), LLMReranker(model, renderer, form="title", fusion=Fusion()))


@pytest.mark.parametrize("n", [0, 1, 3, 20, 75])
def test_rerank_returns_a_permutation(reranker: Reranker, n: int) -> None:
    texts = [f"{AWKWARD_TITLES[i % len(AWKWARD_TITLES)]}" for i in range(n)]
    given = [{"id": "same", "text": text} for text in texts]
    result = reranker.rerank(candidates=given, history=["Alien"], wish="evil")
    assert given == [{"id": "same", "text": text} for text in texts]
    assert sorted(row.index for row in result) == list(range(n))
    assert [row.rank for row in result] == list(range(1, n + 1))
    assert all(row.text == texts[row.index] and row.id == "same" for row in result)
    assert len(reranker.rerank(candidates=given, top_n=2)) == min(n, 2)
    assert len(reranker.rerank(candidates=given, top_n=1_000)) == n


def test_rerank_prefers_what_was_wished_for(reranker: Reranker) -> None:
    result = reranker.rerank(candidates=["a quiet garden", "loud engines"], wish="quiet garden")
    assert [row.index for row in result] == [0, 1]
    again = asyncio.run(reranker.arerank(candidates=["loud engines", "a quiet garden"], wish="quiet garden"))
    assert [row.id for row in again.results] == ["1", "0"]


# --- evaluation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loo", "loo-validation"])
def test_no_question_shows_its_answer(dataset: Dataset, name: str) -> None:
    protocol = make_protocol(dataset, name)
    assert len(protocol.questions) == len(dataset.user_ids)
    for question in protocol.questions:
        user = str(question.request.user_id)
        everything = dataset.history(user).item_ids
        position = -1 if name == "loo" else -2
        assert question.target == everything[position]
        assert question.request.history.item_ids == everything[:position]
        assert protocol.train.history(user).item_ids == everything[:-2]


def test_samples_are_seeded_and_protocols_known(dataset: Dataset) -> None:
    users = [[q.target for q in make_protocol(dataset, "loo", users=5, seed=s).questions] for s in (1, 1, 2)]
    assert users[0] == users[1]
    assert len(users[0]) == 5
    assert users[0] != users[2]
    with pytest.raises(RequestError, match="known are loo"):
        make_protocol(dataset, "magic")


def answering(protocol: Protocol, scores: Sequence[float], place: int | None) -> list[ScoredList]:
    """For every question the same scores, the target at ``place`` (None: absent)."""
    names = [f"other-{i}" for i in range(len(scores))]
    lists: list[ScoredList] = []
    for question in protocol.questions:
        ids = [question.target if i == place else name for i, name in enumerate(names)]
        lists.append(list(zip(ids, scores, strict=True)))
    return lists


@pytest.mark.parametrize(
    ("scores", "place", "rank"),
    [([3, 2, 1], 0, 1), ([3, 2, 1], 2, 3), ([1, 1, 1], 0, 3), ([3, 2, 1], None, 0), ([], None, 0)],
)
def test_ranks_are_pessimistic_and_absence_scores_nothing(
    dataset: Dataset, scores: list[float], place: int | None, rank: int
) -> None:
    protocol = make_protocol(dataset, "loo", users=6)
    lists = answering(protocol, scores, place)
    run = run_system("fixed", lambda requests: [lists.pop(0) for _ in requests], protocol)
    assert set(run.ranks) == {rank}
    summary = run.summary()
    assert summary["metrics"]["mrr@10"] == (round(1 / rank, 5) if rank else 0.0)
    low, high = summary["ci95"]["ndcg@10"]
    assert low == high


def test_run_files_come_back_and_are_compared(dataset: Dataset, tmp_path: Path) -> None:
    protocol = make_protocol(dataset, "loo")
    for name, place in [("good", 0), ("bad", 2)]:
        lists = answering(protocol, [3, 2, 1], place)
        run = run_system(name, lambda requests, left=lists: [left.pop(0) for _ in requests], protocol)
        save_run(run, tmp_path / name)
        assert load_ranks(tmp_path / name)[1] == dict(zip(run.users, run.ranks, strict=True))
    base, other = compare_runs([tmp_path / "bad", tmp_path / "good"])
    assert base["p"] is None
    assert other["metrics"]["ndcg@10"] == 1.0
    assert other["p"] < 0.01
    few = make_protocol(dataset, "loo", users=3)
    lists = answering(few, [1.0], 0)
    save_run(run_system("few", lambda requests: [lists.pop(0) for _ in requests], few), tmp_path / "few")
    with pytest.raises(DataError, match="different questions"):
        compare_runs([tmp_path / "bad", tmp_path / "few"])
    (tmp_path / "text").write_text("no run\n")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(DataError):
            load_ranks(path)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
