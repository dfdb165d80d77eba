"""The main job with the shipped adapter, the real language and embedding models and real MovieLens-100K."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tastemaker import Recommender, Reranker
from tastemaker.testing.reranker_contract import AWKWARD_TITLES

pytestmark = pytest.mark.weights

EVIDENCE_KEYS = {"kind", "ref", "text", "influence", "retrieval_influence", "rank_change"}
ITEM_KEYS = {"rank", "id", "title", "score", "retrieval_score", "llm_score", "explanation"}
TRACE_KEYS = {"model", "adapter", "template", "index", "candidates", "repairs", "degraded", "timings_ms"}


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender.demo(explain="none")


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    return Reranker.load()


def ids(recommender: Recommender, **question: Any) -> list[str]:
    return [item.id for item in recommender.recommend(**question)]


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("recommender", "reranker")
def test_demo_prints_ten_explained_films_without_a_network() -> None:
    """``recommender`` and ``reranker`` have filled the cache: the command must get by without any network."""
    command = [sys.executable, "-m", "tastemaker", "demo", "--json"]
    # A proxy that nobody listens on: whatever is fetched in spite of --offline fails at once.
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    environment = {**os.environ, **closed, "TASTEMAKER_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == {
        "request_id",
        "user_id",
        "wish",
        "context",
        "understood",
        "notes",
        "items",
        "trace",
    }
    assert answer["user_id"] == "196"
    assert [item["rank"] for item in answer["items"]] == list(range(1, 11))
    for item in answer["items"]:
        assert set(item) == ITEM_KEYS
        explanation = item["explanation"]
        assert explanation["text"]
        assert explanation["verified"] is True
        for evidence in explanation["evidence"]:
            assert set(evidence) == EVIDENCE_KEYS
            # A fact is looked up; everything else is measured, with what the retriever has in it.
            measured = (evidence["influence"], evidence["retrieval_influence"], evidence["rank_change"])
            assert (None in measured) == (evidence["kind"] == "fact")
    trace = answer["trace"]
    assert set(trace) >= TRACE_KEYS
    assert trace["model"] == "gemma-3-270m"
    assert trace["adapter"].startswith("films@")
    assert trace["candidates"] == 100
    assert trace["degraded"] is None
    assert 0.0 < trace["llm_share"] < 1.0
    assert set(trace["timings_ms"]) == {"retrieve", "rerank", "explain", "total"}


def test_the_list_follows_the_wish_and_the_moment(recommender: Recommender) -> None:
    calm = {"time": "2026-11-29T09:00", "company": "children"}
    late = {"time": "2026-11-28T23:30", "company": "alone", "mood": "wants to be scared"}
    usual = ids(recommender, user_id="196", context=calm)
    assert usual == ids(recommender, user_id="196", context=calm)
    assert usual != ids(recommender, user_id="196", context=late)
    western = recommender.recommend(user_id="196", context=calm, wish="a western with cowboys")
    assert usual != [item.id for item in western]
    assert any("Western" in item.ranked.item.genres for item in western)


def test_filters_and_history_hold(recommender: Recommender) -> None:
    seen = set(recommender.dataset.history("196").item_ids)
    answer = recommender.recommend(user_id="196", filters=["year>=1990", "genres has Comedy"], k=10)
    assert len(answer) == 10
    for item in answer:
        assert item.id not in seen
        assert "Comedy" in item.ranked.item.genres
        assert (item.ranked.item.year or 0) >= 1990


def test_nobody_and_typed_titles(recommender: Recommender) -> None:
    assert len(recommender.recommend(k=3)) == 3
    typed = recommender.recommend(history=["Star Wars (1977)", "A film nobody knows"], k=5)
    assert "50" not in [item.id for item in typed]


@pytest.mark.parametrize("n", [1, 3, 20, 75])
def test_rerank_titles_the_catalogue_has_never_seen(reranker: Reranker, n: int) -> None:
    titles = [f"Unheard-of film {i}: {word}" for i in range(n) for word in ("dawn",)]
    result = reranker.rerank(history=["Alien (1979)"], candidates=titles, wish="science fiction")
    assert sorted(row.index for row in result.results) == list(range(n))
    assert result.trace.degraded is None
    assert all(row.llm_score is not None for row in result.results)


def test_rerank_awkward_titles(reranker: Reranker) -> None:
    candidates = [{"id": "same", "text": title} for title in AWKWARD_TITLES]
    result = reranker.rerank(history=list(AWKWARD_TITLES), candidates=candidates, wish="{wish} 🎈")
    assert sorted(row.index for row in result.results) == list(range(len(AWKWARD_TITLES)))
    assert {row.id for row in result.results} == {"same"}
    for row in result.results:
        assert row.text == AWKWARD_TITLES[row.index]


def test_the_model_knows_what_belongs_together(reranker: Reranker) -> None:
    """Not a measure of quality (that is `tastemaker eval`): the scoring arithmetic must carry meaning."""
    fiction = ["The Empire Strikes Back (1980)", "Return of the Jedi (1983)"]
    others = ["Sense and Sensibility (1995)", "Cooking with Vegetables"]
    result = reranker.rerank(history=["Star Wars (1977)"], candidates=[*others, *fiction])
    scores = {row.text: row.llm_score for row in result.results}
    assert min(scores[title] or 0 for title in fiction) > max(scores[title] or 0 for title in others)
    assert {row.text for row in result.results[:2]} == set(fiction)
