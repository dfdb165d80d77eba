"""Known answers get known scores; what is served is what is measured; run files come back whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from tastemaker.agent.rerank import LLMReranker
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, ModelError, RequestError, StorageError
from tastemaker.eval.fusion_data import fusion_examples, reachable
from tastemaker.eval.protocols import Protocol, Question, make_protocol
from tastemaker.eval.run import Reranked, Run, ScoredList, pool_draws, run_system
from tastemaker.eval.runfile import load_run, save_run
from tastemaker.eval.systems import (
    SYSTEMS,
    Retrievers,
    build_retrievers,
    build_system,
    facts_of,
    measure,
)
from tastemaker.finetune.sequential_train import SequentialTraining
from tastemaker.fusion import Fusion
from tastemaker.index.hybrid import HybridWeights
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import SEEN, film_data, next_film
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel, word_overlap
from tastemaker.types import Prompt, Request
from tastemaker.workspace import Workspace

SETTINGS = Settings(llm="none", candidates=10)
CUTOFFS = (5, 10, 20, 50)


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return make_protocol(film_data(), "loo")


@pytest.fixture(scope="module")
def retrievers(protocol: Protocol) -> Iterator[Retrievers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.eval.systems.load_embedder", lambda source, progress=None: HashEmbedder())
        yield build_retrievers(protocol.train, SETTINGS, None)


class Fixed:
    """Gives every question the same scores, with the target at ``place`` (None: absent)."""

    def __init__(self, protocol: Protocol, scores: Sequence[float], place: int | None) -> None:
        self._targets = {question.request.request_id: question.target for question in protocol.questions}
        self._scores, self._place = scores, place
        self.sizes: list[int] = []

    def __call__(self, requests: Sequence[Request]) -> list[ScoredList]:
        self.sizes.append(len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> ScoredList:
        names = [f"other-{i}" for i in range(len(self._scores))]
        if self._place is not None:
            names[self._place] = self._targets[request.request_id]
        return list(zip(names, self._scores, strict=True))


@pytest.mark.parametrize(
    ("scores", "place", "rank"),
    [
        ([3, 2, 1], 0, 1),
        ([3, 2, 1], 2, 3),
        ([1, 1, 1], 0, 3),
        ([2, 1, 1, 0], 1, 3),
        ([0.0] * 50, 0, 50),
        ([0.0] * 51, 0, 51),
        ([3, 2, 1], None, 0),
        ([], None, 0),
    ],
)
def test_ranks_are_pessimistic_and_absence_scores_nothing(
    protocol: Protocol, scores: list[float], place: int | None, rank: int
) -> None:
    run = run_system("fixed", Fixed(protocol, scores, place), protocol)
    assert set(run.ranks) == {rank}
    for k in CUTOFFS:
        hit = 1 <= rank <= k
        metrics = run.summary()["metrics"]
        assert metrics[f"recall@{k}"] == float(hit)
        assert metrics[f"mrr@{k}"] == (round(1 / rank, 5) if hit else 0.0)
        assert metrics[f"ndcg@{k}"] == (round(1 / float(np.log2(rank + 1)), 5) if hit else 0.0)


def test_a_system_that_knows_the_answer_is_perfect(protocol: Protocol) -> None:
    """Everybody's next film follows in the circle."""

    def oracle(requests: Sequence[Request]) -> list[ScoredList]:
        return [[(next_film(request.history.item_ids[-1]), 1.0), ("x", 0.5)] for request in requests]

    summary = run_system("oracle", oracle, protocol).summary()
    assert set(summary["metrics"].values()) == {1.0}
    assert all(ends == [1.0, 1.0] for ends in summary["ci95"].values())


def test_the_summary_is_the_contract(protocol: Protocol) -> None:
    system = Fixed(protocol, [2, 1], 1)
    calls: list[tuple[str, int, int | None]] = []
    run = run_system(
        "fixed",
        system,
        protocol,
        seed=4,
        progress=lambda *call: calls.append(call),
        facts=lambda: {"more": len(system.sizes)},
    )
    summary = run.summary()
    assert json.loads(json.dumps(summary)) == summary
    names = {f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in CUTOFFS}
    assert set(summary["metrics"]) == set(summary["ci95"]) == names
    assert (summary["users"], summary["seed"], summary["degraded"]) == (30, 4, 0)
    assert (summary["system"], summary["protocol"]) == ("fixed", "loo")
    assert summary["description"] == protocol.description
    assert summary["more"] == len(system.sizes) == 2, "facts are taken when all has been asked"
    assert calls == [("evaluating fixed", 16, 30), ("evaluating fixed", 30, 30)]
    assert run.users == tuple(str(question.request.user_id) for question in protocol.questions)


def test_intervals_come_from_the_seed(protocol: Protocol) -> None:
    halves = iter([1, 0] * 100)

    def half(requests: Sequence[Request]) -> list[ScoredList]:
        system = Fixed(protocol, [1.0], 0)
        return [found if next(halves) else [] for found in system(requests)]

    run = run_system("half", half, protocol)
    low, high = run.summary()["ci95"]["recall@10"]
    assert 0.25 < low < 0.5 < high < 0.75
    assert run.summary()["ci95"] == run.summary()["ci95"]


def test_nothing_to_ask_and_too_few_answers(protocol: Protocol) -> None:
    empty = Protocol(name="loo", description="", train=protocol.train, questions=())
    with pytest.raises(DataError, match="nothing to evaluate"):
        run_system("fixed", Fixed(protocol, [], None), empty)
    with pytest.raises(ValueError, match="short gave 1 lists for 16 requests"):
        run_system("short", lambda requests: [[]], protocol)


# --- draws and candidates --------------------------------------------------------------------------------


def test_draws_are_averaged_per_user_and_spread_over_draws(protocol: Protocol) -> None:
    first, nothing = (run_system("f", Fixed(protocol, [1.0], place), protocol) for place in (0, None))
    pooled = pool_draws([first, nothing, nothing, first])
    summary = pooled.summary()
    assert (summary["draws"], summary["users"]) == (4, 30)
    assert summary["metrics"]["recall@10"] == 0.5
    assert summary["sd"]["recall@10"] == pytest.approx(float(np.std([1, 0, 0, 1], ddof=1)), abs=1e-5)
    assert summary["ci95"]["recall@10"] == [0.5, 0.5], "every user has the same mean"
    assert pooled.values()["mrr@5"].tolist() == [0.5] * 30
    assert pooled.questions not in (first.questions, pool_draws([first, first]).questions)
    assert pooled.seconds == pytest.approx(2 * first.seconds + 2 * nothing.seconds)
    assert pool_draws([first]) is first
    assert "sd" not in first.summary()


def test_draws_of_other_users_are_no_draws(protocol: Protocol) -> None:
    fewer = Protocol(name="loo", description="", train=protocol.train, questions=protocol.questions[:5])
    runs = [run_system("f", Fixed(asked, [1.0], 0), asked) for asked in (protocol, fewer)]
    with pytest.raises(ValueError, match="different users"):
        pool_draws(runs)


def test_outcomes_say_where_the_retriever_had_the_target(protocol: Protocol) -> None:
    targets = {question.request.request_id: question.target for question in protocol.questions}

    def reverse(requests: Sequence[Request]) -> list[Reranked]:
        answers = []
        for request in requests:
            ids = ["x", "y", targets[request.request_id]]
            ids = ids if request.user_id != "comedy-fan-0" else ["x", "y"]
            items = [(item_id, float(place)) for place, item_id in enumerate(ids)][::-1]
            answers.append(Reranked(items=items, candidates=tuple(ids)))
        return answers

    outcomes = run_system("reverse", reverse, protocol).outcomes[0]
    assert (outcomes[0].rank, outcomes[0].position) == (0, 0)
    assert {(one.rank, one.position) for one in outcomes[1:]} == {(1, 3)}
    assert {one.history for one in outcomes} == {SEEN - 1}
    assert not any(one.new_user for one in outcomes)
    counts = dict(zip(protocol.train.item_ids, protocol.train.item_counts.tolist(), strict=True))
    assert [one.popularity for one in outcomes] == [counts[targets[one.user]] for one in outcomes]
    plain = run_system("plain", Fixed(protocol, [1.0], 0), protocol)
    assert {one.position for one in plain.outcomes[0]} == {None}


# --- run files ------------------------------------------------------------------------------------------


@pytest.fixture
def run(protocol: Protocol) -> Run:
    return run_system("fixed", Fixed(protocol, [3, 2, 1], 1), protocol)


def test_a_run_file_comes_back(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "deep" / "run.jsonl")
    stored = load_run(tmp_path / "deep" / "run.jsonl")
    assert (stored.summary, stored.outcomes) == (run.summary(), run.outcomes)
    assert {name: v.tolist() for name, v in stored.values().items()} == {
        name: v.tolist() for name, v in run.values().items()
    }
    assert len((tmp_path / "deep" / "run.jsonl").read_text().splitlines()) == 31


def drop_last(lines: list[str]) -> list[str]:
    return lines[:-1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop_last, "29 users; 30 are wanted"),
        (lambda lines: [*lines[:-1], lines[-1][:10]], "no run file"),
        (lambda lines: lines[1:], "no run file"),
        (lambda lines: [], "no run file"),
        (lambda lines: ["no run"], "no run file"),
        (lambda lines: ["[]", *lines[1:]], "no run file"),
        (lambda lines: [lines[0], '{"user": "x"}'], "no run file"),
    ],
)
def test_what_is_no_whole_run_file(
    run: Run, tmp_path: Path, change: Callable[[list[str]], list[str]], says: str
) -> None:
    path = tmp_path / "run.jsonl"
    save_run(run, path)
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=says):
        load_run(path)


def test_missing_files_and_forbidden_places(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        load_run(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save_run(run, tmp_path / "file" / "run.jsonl")


# --- the systems ----------------------------------------------------------------------------------------


def measured(name: str, protocol: Protocol, retrievers: Retrievers) -> Run:
    return run_system(name, build_system(name, retrievers, Fusion()), protocol)


def test_systems_that_learn_find_what_is_there_to_learn(protocol: Protocol, retrievers: Retrievers) -> None:
    found = {
        name: measured(name, protocol, retrievers).summary()["metrics"]
        for name in ("popularity", "transitions", "hybrid")
    }
    assert found["transitions"]["recall@5"] == 1.0
    assert found["hybrid"]["mrr@5"] == 1.0
    assert found["popularity"]["mrr@5"] < 0.5


def test_random_is_seeded_and_keeps_the_candidates(protocol: Protocol, retrievers: Retrievers) -> None:
    first, again = (measured("random", protocol, retrievers).ranks for _ in range(2))
    assert first == again
    assert all(1 <= rank <= SETTINGS.candidates for rank in first)
    assert len(set(first)) > 3


def with_model(
    monkeypatch: pytest.MonkeyPatch, score: Callable[[Prompt, str], float] = word_overlap
) -> ScriptedLanguageModel:
    model = ScriptedLanguageModel(score=score)
    monkeypatch.setattr("tastemaker.eval.systems.load_model", lambda settings, progress: model)
    return model


def test_fused_and_llm_go_by_the_same_scores_as_serving(
    protocol: Protocol, retrievers: Retrievers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_model(monkeypatch)
    requests = [question.request for question in protocol.questions[:5]]
    candidates = retrievers["hybrid"].retrieve(requests, SETTINGS.candidates)
    for fusion, name in [
        (Fusion(retrieval=4.0, llm=0.0), "fused"),
        (Fusion(retrieval=0.0, llm=1.0), "fused"),
    ]:
        system = build_system(name, retrievers, fusion)
        model = ScriptedLanguageModel()
        renderer = PromptRenderer(
            model.count_tokens,
            history_length=SETTINGS.history_length,
            prompt_tokens=SETTINGS.prompt_tokens,
            title_tokens=SETTINGS.title_tokens,
        )
        served = LLMReranker(model, renderer, form="title", fusion=fusion).rerank(requests, candidates)
        assert system(requests) == [
            Reranked(
                items=[(entry.item.id, entry.score) for entry in ranking.items],
                candidates=tuple(candidate.item.id for candidate in found),
            )
            for found, ranking in zip(candidates, served, strict=True)
        ]
    alone = build_system("llm", retrievers, Fusion())(requests)
    for found, ranking in zip(alone, served, strict=True):
        assert isinstance(found, Reranked)
        assert dict(found.items) == {entry.item.id: entry.llm_score for entry in ranking.items}


def test_answers_of_a_fallback_are_counted(
    protocol: Protocol, retrievers: Retrievers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(prompt: Prompt, choice: str) -> float:
        raise ModelError("gone")

    with_model(monkeypatch, fail)
    system = build_system("fused", retrievers, Fusion())
    for _ in range(2):
        run = run_system("fused", system, protocol)
        assert run.summary()["degraded"] == 30
    with pytest.raises(ModelError, match="gone"):
        run_system("llm", build_system("llm", retrievers, Fusion()), protocol)


@pytest.mark.usefixtures("retrievers")
def test_scores_that_are_no_numbers_do_not_help(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' scores are all NaN: the target must not be first for that."""
    targets = {question.target for question in protocol.questions}
    titles = [protocol.train.item(target).title for target in targets]
    with_model(monkeypatch, lambda prompt, choice: -5.0 if any(t in choice for t in titles) else float("nan"))
    settings = SETTINGS.model_copy(update={"scoring": "answer"})
    run = run_system("llm", build_system("llm", build_retrievers(protocol.train, settings)), protocol)
    assert set(run.ranks) == {SETTINGS.candidates}


def test_unknown_systems_and_systems_without_a_model(retrievers: Retrievers) -> None:
    with pytest.raises(RequestError, match=f"known are {', '.join(SYSTEMS)}"):
        build_system("magic", retrievers, Fusion())
    for name in ("llm", "fused"):
        with pytest.raises(RequestError, match="needs a language model"):
            build_system(name, retrievers, Fusion())


def test_only_what_is_asked_for_is_made() -> None:
    """In a process of its own: behaviour alone needs neither torch nor an embedding model."""
    code = """
import sys
from tastemaker.config import Settings
from tastemaker.eval import systems
from tastemaker.eval.protocols import make_protocol
from tastemaker.testing.data import film_data
def refuse(*words, **named): raise SystemExit("an embedding model was loaded")
systems.load_embedder = refuse
for name in ("popularity", "transitions"):
    protocol = make_protocol(film_data(), "loo")
    system = systems.build_system(name, systems.Retrievers(protocol.train, Settings()))
    system([protocol.questions[0].request])
print(sorted({"torch", "transformers", "sentence_transformers", "matplotlib", "cornac"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.usefixtures("retrievers")
def test_the_hybrid_is_fitted_on_validation_with_an_encoder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    short = partial(SequentialTraining, epochs=2)
    monkeypatch.setattr("tastemaker.finetune.sequential_train.SequentialTraining", short)
    found = measure("hybrid", film_data(), "loo", SETTINGS, fusion=Fusion()).summary()
    assert found["hybrid"]["history"]["sequential"] > 0
    assert found["hybrid"]["history"] != dict(HybridWeights().history)
    assert found["metrics"]["recall@5"] == 1.0
    (encoder,) = (tmp_path / "encoders").iterdir()
    written = (encoder / "weights.safetensors").stat().st_mtime_ns
    alone = measure("sequential", film_data(), "loo", SETTINGS, fusion=Fusion()).summary()
    assert alone["build_seconds"] < found["build_seconds"]
    assert (encoder / "weights.safetensors").stat().st_mtime_ns == written, "trained once"


@pytest.mark.usefixtures("retrievers")
def test_a_workspace_is_measured_as_it_serves(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    weights = HybridWeights(history={"popularity": 1.0})
    place.retriever.mkdir()
    (place.retriever / "weights.json").write_text(json.dumps(weights.to_dict()))
    found = measure("hybrid", film_data(), "loo", SETTINGS, fusion=Fusion(), workspace=place).summary()
    assert found["hybrid"]["history"] == {"popularity": 1.0}
    assert found["metrics"]["mrr@5"] < 0.5, "popularity alone does not know what comes next"
    with pytest.raises(RequestError, match=r"no user encoder here.*train retriever"):
        measure("sequential", film_data(), "loo", SETTINGS, fusion=Fusion(), workspace=place)


def test_facts_say_what_was_measured() -> None:
    silent = lambda requests: []  # noqa: E731
    assert facts_of(silent, "hybrid", SETTINGS, Fusion()) == {"settings": SETTINGS.as_dict(), "fusion": None}
    assert facts_of(silent, "fused", SETTINGS, Fusion())["fusion"] == Fusion().to_dict()


# --- examples for the fusion fit ------------------------------------------------------------------------


def test_reachable_questions_hold_their_target(protocol: Protocol, retrievers: Retrievers) -> None:
    found = reachable(protocol, retrievers["hybrid"], 5, users=8, seed=1)
    assert len({question.request.user_id for question, _, _ in found}) == 8
    for question, candidates, place in found:
        assert candidates[place].item.id == question.target
        assert len(candidates) == 5
    again = reachable(protocol, retrievers["hybrid"], 5, users=8, seed=1)
    assert [question.target for question, _, _ in again] == [question.target for question, _, _ in found]
    assert len(reachable(protocol, retrievers["hybrid"], 5, users=1_000, seed=1)) == 30
    few = reachable(protocol, retrievers["popularity"], 2, users=1_000, seed=1)
    assert len(few) < 30, "targets that are not retrieved say nothing about the order"


def test_examples_are_what_serving_would_see(protocol: Protocol, retrievers: Retrievers) -> None:
    reached = reachable(protocol, retrievers["hybrid"], 4, users=6, seed=0)
    model = ScriptedLanguageModel(score=lambda prompt, choice: float("nan") if "Amber" in choice else -1.0)
    reranker = LLMReranker(model, PromptRenderer(model.count_tokens), form="answer", fusion=Fusion())
    calls: list[int] = []
    examples = list(fusion_examples(reached, reranker, lambda stage, done, total: calls.append(done)))
    assert calls == [4, 6]
    for (_, candidates, place), example in zip(reached, examples, strict=True):
        np.testing.assert_array_equal(example.retrieval, [c.score for c in candidates])
        np.testing.assert_array_equal(example.llm, [-1.0] * 4)
        assert example.target == place


def test_a_question_is_known_by_all_that_is_asked(protocol: Protocol) -> None:
    def digest(questions: Sequence[Question]) -> str:
        asked = Protocol(name="loo", description="", train=protocol.train, questions=tuple(questions))
        return run_system("fixed", Fixed(asked, [1.0], 0), asked).questions

    first, second = protocol.questions[:2]
    other_target = Question(request=first.request, target="thriller-19")
    shorter = Question(
        request=Request(history=first.request.history.without(0), request_id=first.request.request_id),
        target=first.target,
    )
    digests = [digest(asked) for asked in ([first], [second], [first, second], [other_target], [shorter])]
    assert len(set(digests)) == 5
    assert digest([first]) == digests[0]


@pytest.mark.usefixtures("retrievers")
def test_events_weigh_in_measurements_as_the_domain_says(tmp_path: Path) -> None:
    seen = [(f"u{n}", "seen", "view") for n in range(6)]
    bought = [(f"v{n}", "bought", "purchase") for n in range(3)]
    data = Dataset.from_tables(
        pa.table({"id": ["seen", "bought"], "title": ["Seen", "Bought"]}),
        pa.table(dict(zip(("user_id", "item_id", "event"), zip(*seen, *bought, strict=True), strict=True))),
    )
    place = Workspace(tmp_path)
    place.retriever.mkdir()
    weights = HybridWeights(nobody={"popularity": 1.0})
    (place.retriever / "weights.json").write_text(json.dumps(weights.to_dict()))

    def first(domain: str) -> str:
        settings = SETTINGS.model_copy(update={"domain": domain})
        hybrid = Retrievers(data, settings, workspace=place)["hybrid"]
        (found,) = hybrid.retrieve([Request()], 2)
        return found[0].item.id

    flat = tmp_path / "flat"
    flat.mkdir()
    shop = yaml.safe_load((files("tastemaker.prompts") / "domains" / "products" / "domain.yaml").read_text())
    (flat / "domain.yaml").write_text(yaml.safe_dump({**shop, "events": {}}))
    assert (first("products"), first(str(flat))) == ("bought", "seen")
