"""The public recommender over a real workspace on disk, without a language model or model weights."""

from __future__ import annotations

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tastemaker import Recommender
from tastemaker.agent.assemble import NO_LLM
from tastemaker.answers import Recommendation
from tastemaker.errors import (
    ArtifactError,
    ConfigError,
    FilterError,
    RequestError,
    UnknownUserError,
    WorkspaceError,
)
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data, next_film, taste_of
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.types import Context
from tastemaker.workspace import Workspace


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder()
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Workspace(tmp_path_factory.mktemp("films") / "workspace")
    dataset = film_data()
    dataset.save(place.data)
    build_index(dataset, place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\ncandidates: 15\n")
    return place.root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "workspace"))


@pytest.fixture
def rec(made: Path) -> Recommender:
    return Recommender.load(made)


def ids(answer: Recommendation) -> list[str]:
    return [item.id for item in answer]


def test_a_known_user(rec: Recommender) -> None:
    answer = rec.recommend(user_id="thriller-fan-3", k=5)
    seen = rec.dataset.history("thriller-fan-3").item_ids
    assert ids(answer)[0] == next_film(seen[-1])
    assert {taste_of(name) for name in ids(answer)} == {"thriller"}
    assert not set(seen) & set(ids(answer))
    assert len(answer) == 5
    assert all(item.explanation is not None and item.explanation.verified for item in answer)


def test_why_names_the_latest_that_was_liked(rec: Recommender) -> None:
    """The films just before are what makes the first film likely, and the measured influence says so."""
    history = rec.dataset.history("thriller-fan-3")
    first = rec.recommend(user_id="thriller-fan-3", k=1).items[0]
    assert first.explanation is not None
    assert first.explanation.evidence[0].ref == [e.item_id for e in history if e.value == 5.0][-1]
    assert first.explanation.evidence[0].influence is not None
    assert first.explanation.evidence[0].influence > 0.05
    assert rec.dataset.item(first.explanation.evidence[0].ref).display_title in first.explanation.text


def test_a_typed_history(rec: Recommender) -> None:
    answer = rec.recommend(history=["The Amber Comedy", {"id": "comedy-1", "rating": 5}, "Unheard Of"], k=4)
    # The next one of the circle; texts that the fake embedder finds alike may put one step more before it.
    assert "comedy-2" in ids(answer)[:2]
    assert {taste_of(name) for name in ids(answer)} == {"comedy"}
    assert answer.request.user_id is None
    assert answer.to_dict()["user_id"] is None


def test_titles_that_nobody_knows(rec: Recommender) -> None:
    answer = rec.recommend(history=["A thriller of olive trees"], k=5)
    assert "thriller-14" in ids(answer)


def test_nobody_at_all_gets_what_is_popular(rec: Recommender) -> None:
    answer = rec.recommend(k=3)
    assert len(answer) == 3
    counts = dict(zip(rec.dataset.item_ids, rec.dataset.item_counts.tolist(), strict=True))
    assert all(counts[name] == max(counts.values()) for name in ids(answer))


def test_the_wish_changes_the_list(rec: Recommender) -> None:
    plain = ids(rec.recommend(user_id="comedy-fan-2", k=5))
    wished = ids(rec.recommend(user_id="comedy-fan-2", wish="a thriller about teal", k=5))
    assert "thriller-19" in wished
    assert wished != plain


def test_the_context_changes_what_is_popular(rec: Recommender) -> None:
    assert {taste_of(name) for name in ids(rec.recommend(context={"company": "family"}, k=5))} == {"comedy"}
    assert {taste_of(name) for name in ids(rec.recommend(context=Context(company="alone"), k=5))} == {
        "thriller"
    }


def test_filters_and_exclusions(rec: Recommender) -> None:
    old = rec.recommend(user_id="comedy-fan-0", filters=["year < 1990", "genres has Thriller"], k=40)
    assert sorted(ids(old)) == [f"thriller-{place}" for place in range(5)]
    best = ids(rec.recommend(user_id="comedy-fan-0", k=3))
    # Places further down may change: votes are measured against the mean of what is allowed.
    without = ids(rec.recommend(user_id="comedy-fan-0", k=2, exclude=best[:1]))
    assert without[0] == best[1]
    assert best[0] not in without
    assert ids(rec.recommend(filters=["year > 3000"])) == []
    everything = rec.recommend(user_id="comedy-fan-0", k=1_000)
    assert set(ids(everything)) == set(rec.dataset.item_ids) - {f"comedy-{place}" for place in range(8)}


def test_a_missing_model_is_said(rec: Recommender) -> None:
    answer = rec.recommend(user_id="comedy-fan-0", k=2)
    assert answer.trace.degraded == NO_LLM
    assert answer.to_dict()["trace"]["degraded"] == NO_LLM
    assert (answer.trace.llm_share, answer.trace.candidates) == (0.0, 15)
    assert answer.trace.index == rec.parts.index.fingerprint
    assert json.loads(json.dumps(answer.to_dict()))["items"][0]["llm_score"] is None


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ({"user_id": "nobody"}, UnknownUserError),
        ({"user_id": 3}, RequestError),
        ({"history": "Alien"}, RequestError),
        ({"filters": ["colour == red"]}, FilterError),
        ({"k": 0}, RequestError),
        ({"context": {"time": "soon"}}, RequestError),
        ({"exclude": "comedy-1"}, RequestError),
        ({"language": "fr"}, RequestError),
    ],
)
def test_wrong_questions(rec: Recommender, question: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rec.recommend(**question)
    with pytest.raises(kind):
        asyncio.run(rec.arecommend(**question))


def test_a_batch_threads_and_async_give_what_one_call_gives(rec: Recommender) -> None:
    asked: list[dict[str, Any]] = [
        {"user_id": user, "k": 1 + place % 4, "wish": "amber" * (place % 2)}
        for place, user in enumerate(rec.dataset.user_ids[:12])
    ]
    alone = [rec.recommend(**question).items for question in asked]
    together = rec.recommend_batch([rec.request(**question) for question in asked])
    assert [answer.items for answer in together] == alone
    with ThreadPoolExecutor(6) as pool:
        assert [found.items for found in pool.map(lambda one: rec.recommend(**one), asked)] == alone

    async def gather() -> list[Recommendation]:
        return await asyncio.gather(*(rec.arecommend(**question) for question in asked))

    assert [answer.items for answer in asyncio.run(gather())] == alone


def test_settings_override_the_file(made: Path) -> None:
    rec = Recommender.load(made, candidates=3, explain="none")
    assert (rec.settings.candidates, rec.settings.domain, rec.settings.llm) == (3, "films", "none")
    answer = rec.recommend(k=2)
    assert answer.trace.candidates == 3
    assert [item.explanation for item in answer] == [None, None]
    assert rec.recommend(k=9).trace.candidates == 9
    with pytest.raises(ConfigError, match="unknown setting 'colour' \\(in a flag\\)"):
        Recommender.load(made, colour="red")


def test_chinese_wishes_get_chinese_words(rec: Recommender) -> None:
    answer = rec.recommend(user_id="comedy-fan-0", wish="轻松的喜剧", k=1)
    assert answer.request.language == "zh"
    text = answer.items[0].explanation.text if answer.items[0].explanation else ""
    assert any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_a_language_model_takes_part(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that loves one title wins against the retriever once its weight is large."""
    model = ScriptedLanguageModel(
        score=lambda prompt, choice: 9.0 if "Teal" in choice and "Amber" in prompt.user else 0.0
    )
    monkeypatch.setattr("tastemaker.agent.assemble.load_language_model", lambda settings, progress: model)
    rec = Recommender.load(made, llm="scripted", explain="template")
    answer = rec.recommend(history=["The Amber Comedy", "The Silver Comedy"], k=15)
    place = ids(answer).index("comedy-19")
    assert answer.items[place].ranked.llm_score == pytest.approx(9.0)
    assert answer.trace.degraded is None
    assert answer.trace.model == "scripted"
    assert 0.0 < answer.trace.llm_share < 1.0


def test_fitted_weights_are_used_for_ranking_and_for_influence(workspace: Path) -> None:
    question: dict[str, Any] = {"user_id": "comedy-fan-0", "k": 1}
    before = Recommender.load(workspace).recommend(**question).items[0]
    (workspace / "ranker").mkdir()
    weights = {"title": {"retrieval": 8.0, "llm": 0.05}}
    (workspace / "ranker" / "fusion.json").write_text(json.dumps(weights))
    after = Recommender.load(workspace).recommend(**question).items[0]
    assert after.ranked.score > before.ranked.score
    assert before.explanation is not None
    assert after.explanation is not None
    assert (after.explanation.evidence[0].influence or 0) > 1.2 * (
        before.explanation.evidence[0].influence or 9
    )


def test_no_workspace_no_index(tmp_path: Path, workspace: Path) -> None:
    with pytest.raises(WorkspaceError, match="no workspace"):
        Recommender.load(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    shutil.rmtree(workspace / "index")
    with pytest.raises(WorkspaceError, match="has no index"):
        Recommender.load(workspace)


@pytest.mark.parametrize("name", ["data/items.parquet", "data/interactions.parquet", "index/manifest.json"])
def test_damaged_parts_are_refused_by_name(workspace: Path, name: str) -> None:
    path = workspace / name
    path.write_bytes(path.read_bytes()[:-7] + b"damaged")
    with pytest.raises(ArtifactError, match=path.name.replace(".", r"\.")):
        Recommender.load(workspace)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ranker/fusion.json", "{"),
        ("ranker/fusion.json", "[]"),
        ("ranker/fusion.json", '{"title": {"retrieval": -1, "llm": 0}}'),
        ("ranker/fusion.json", '{"title": 3}'),
        ("retriever/weights.json", "3"),
    ],
)
def test_damaged_weights_are_refused(workspace: Path, name: str, text: str) -> None:
    path = workspace / name
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ArtifactError, match="damaged"):
        Recommender.load(workspace)


def test_another_embedding_model_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder(seed=1)
    )
    with pytest.raises(ArtifactError, match="embed"):
        Recommender.load(workspace)


def test_a_swap_of_data_that_was_cut_short_is_undone_at_loading(workspace: Path) -> None:
    (workspace / "data").rename(workspace / ".data.old")
    (workspace / "index").rename(workspace / ".index.old")
    assert len(Recommender.load(workspace).recommend(k=2)) == 2
