"""``tastemaker eval`` from the command line: contracts on stdout, files on disk, mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app
from tastemaker.artifacts import atomic_folder, write_manifest
from tastemaker.errors import ConfigError, DataError, RequestError, TastemakerError
from tastemaker.eval import benchmarks
from tastemaker.eval.protocols import PROTOCOLS
from tastemaker.eval.runfile import load_run
from tastemaker.testing.data import FANS, SEEN, film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel

METRICS = {f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (5, 10, 20, 50)}
USERS = 2 * FANS

Eval = Callable[..., Result]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    film_data().save(folder / "data")
    return folder


@pytest.mark.parametrize("trained_on", [{"fingerprint": "other"}, {"parts": ["other", "third"]}])
def test_an_adapter_that_saw_other_parts_of_the_data_is_refused(
    evaluate: Eval, small_movielens: Path, tmp_path: Path, trained_on: dict[str, Any]
) -> None:
    adapter = tmp_path / "adapter"
    facts = {"base": "tiny", "scoring": "title", "data": {"name": "ml-latest-small", **trained_on}}
    with atomic_folder(adapter) as staged:
        write_manifest(staged, "lora-adapter", facts)
    words = ("run", "--protocol", "llamarec-tiesafe", "--data", small_movielens)
    ranked = ("--set", f"ranker={adapter}")
    with pytest.raises(ConfigError, match="was trained on another part of ml-latest-small"):
        evaluate(*words, "--system", "fused", *ranked)
    assert evaluate(*words, "--system", "transitions", *ranked).exit_code == 0, "it is not asked"


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Eval:
    """Run ``tastemaker eval ...``; errors of the tree come through as they are."""
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/tastemaker", "eval", "..."])
    monkeypatch.setattr("tastemaker.eval.systems.load_embedder", lambda source, progress=None: HashEmbedder())
    monkeypatch.setattr("tastemaker.eval.systems.load_model", lambda *_: ScriptedLanguageModel())

    def run(*words: object) -> Result:
        done = CliRunner().invoke(app, ["eval", *map(str, words)])
        if isinstance(done.exception, TastemakerError):
            raise done.exception
        return done

    return run


def test_json_is_the_contract_and_nothing_else(evaluate: Eval, shop: Path) -> None:
    done = evaluate("run", "--system", "transitions", "-w", shop, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["metrics"]) == set(found["ci95"]) == METRICS
    assert (found["users"], found["draws"], found["degraded"]) == (USERS, 1, 0)
    assert found["metrics"]["recall@5"] == 1.0, "what comes next is known by construction"
    assert set(found["lists"]) == {"coverage@10", "novelty@10", "popularity@10", "popularity_history"}
    assert {"history", "popularity", "new_user"} <= set(found["buckets"])
    assert found["data"]["interactions"] == USERS * SEEN
    assert found["command"].startswith("tastemaker eval")
    assert "setting" in found, "a baseline says with which settings it ran"


def test_text_tells_rules_figures_and_costs(evaluate: Eval, shop: Path) -> None:
    text = evaluate("run", "--system", "popularity", "-w", shop).stdout
    for part in ("leave one out", "ndcg@10", "of the catalogue", "popularity percentile", "peak memory"):
        assert part in " ".join(text.split()), part


def test_rerankers_report_the_ceiling_and_the_test_against_the_retriever(
    evaluate: Eval, shop: Path, tmp_path: Path
) -> None:
    base, results = tmp_path / "hybrid.jsonl", tmp_path / "docs" / "fused.json"
    assert evaluate("run", "--system", "hybrid", "-w", shop, "--out", base).exit_code == 0
    words = ("--system", "random", "-w", shop, "--set", "candidates=15", "--out", tmp_path / "r.jsonl")
    done = evaluate("run", *words, "--results", results, "--against", base)
    assert done.exit_code == 0, done.output
    assert "against hybrid" in done.stdout
    found = json.loads(results.read_text(encoding="utf-8"))
    assert {"command", "commit", "machine", "seed", "date", "metrics", "ci95", "users"} <= set(found)
    assert found["ceiling"]["10"] >= found["metrics"]["recall@10"]
    assert sum(row["questions"] for row in found["buckets"]["position"]) == USERS
    test = found["against"]["tests"]["ndcg@10"]
    assert found["against"]["system"] == "hybrid"
    assert test["p"] < 0.01
    assert test["difference"][0] < 0
    assert test["gain"] < 0
    stored = load_run(tmp_path / "r.jsonl")
    assert stored.summary["metrics"] == found["metrics"]
    assert stored.summary["command"] == found["command"]


def test_fused_counts_its_fallbacks(evaluate: Eval, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> float:
        from tastemaker.errors import ModelError

        raise ModelError("gone")

    monkeypatch.setattr("tastemaker.eval.systems.load_model", lambda *_: ScriptedLanguageModel(score=fail))
    text = evaluate("run", "--system", "fused", "-w", shop, "--users", "5").stdout
    assert "5 answers came from a fallback" in text


@pytest.fixture
def small_movielens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The film data as MovieLens files with numeric ids, in place of the benchmark; all times are equal."""
    dataset = film_data()
    number = {item_id: str(place) for place, item_id in enumerate(dataset.item_ids, start=1)}
    events = dataset.interactions.to_pylist()
    films = [
        f"{number[item.id]},{item.title} ({1950 + n}),Drama" for n, item in enumerate(dataset.iter_items())
    ]
    ratings = [f"{e['user_id']},{number[e['item_id']]},{e['value']},1000000000" for e in events]
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(films))
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(ratings))
    small = replace(benchmarks.BENCHMARKS["ml-latest-small"], counts=(USERS, len(films), len(events)))
    monkeypatch.setitem(benchmarks.BENCHMARKS, "ml-latest-small", small)
    return folder


def test_tie_safe_protocols_report_their_spread(
    evaluate: Eval, small_movielens: Path, tmp_path: Path
) -> None:
    words = ("run", "--protocol", "llamarec-tiesafe", "--system", "transitions", "--data", small_movielens)
    done = evaluate(*words, "--json", "--out", tmp_path / "run.jsonl")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["draws"], found["users"]) == (5, USERS)
    assert set(found["sd"]) == METRICS
    assert found["sd"]["ndcg@10"] > 0
    assert found["settings"]["domain"] == "films"
    assert [len(draw) for draw in load_run(tmp_path / "run.jsonl").outcomes] == [USERS] * 5
    assert "over 5 draws" in evaluate(*words).stdout
    again = json.loads(evaluate(*words, "--json").stdout)
    assert (again["metrics"], again["questions"]) == (found["metrics"], found["questions"])


def test_trained_parts_come_from_a_workspace_and_data_from_the_benchmark(
    evaluate: Eval, small_movielens: Path, shop: Path
) -> None:
    words = ("run", "--protocol", "llamarec", "--system", "popularity", "--data", small_movielens)
    found = json.loads(evaluate(*words, "-w", shop, "--json").stdout)
    assert found["settings"]["domain"] == "films", "the data's own, since the workspace names none"
    (shop / "config.yaml").write_text("domain: products\n")
    try:
        told = json.loads(evaluate(*words, "-w", shop, "--seed", 3, "--json").stdout)
    finally:
        (shop / "config.yaml").unlink()
    assert told["settings"]["domain"] == "products", "the workspace's settings hold"
    assert told["seed"] == told["settings"]["seed"] == 3
    assert found["data"]["items"] == len(film_data().item_ids)


def saved_runs(evaluate: Eval, shop: Path, folder: Path) -> list[Path]:
    paths = [folder / f"{name}.jsonl" for name in ("popularity", "transitions", "random")]
    for path in paths:
        assert evaluate("run", "--system", path.stem, "-w", shop, "--out", path).exit_code == 0
    return paths


def test_compare_is_one_table_of_80_columns(evaluate: Eval, shop: Path, tmp_path: Path) -> None:
    paths = saved_runs(evaluate, shop, tmp_path)
    text = evaluate("compare", *paths).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text, "nothing is cut"
    for part in ("popularity", "transitions", "random", "N@10", "R@20", "s/user", "MiB", "base", "Holm"):
        assert part in text, part
    rows = json.loads(evaluate("compare", *paths, "--json", "--metric", "recall@5").stdout)
    assert (rows["base"], rows["metric"]) == ("popularity", "recall@5")
    base, better, _ = rows["systems"]
    assert (base["p"], base["difference"], base["gain"]) == (None, None, None)
    assert better["p"] < 0.01
    low, high = better["difference"][1:]
    assert low <= better["difference"][0] <= high


def test_report_writes_a_page(evaluate: Eval, shop: Path, tmp_path: Path) -> None:
    paths = saved_runs(evaluate, shop, tmp_path)
    done = evaluate("report", *paths, "--out", tmp_path / "report", "--json")
    written = [Path(path) for path in json.loads(done.stdout)["written"]]
    assert written[0] == tmp_path / "report" / "report.html"
    assert all(path.is_file() for path in written)
    assert "7 more files" not in evaluate("report", paths[0], "--out", tmp_path / "one").stdout


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("run", "--system", "magic"), RequestError, "unknown system 'magic'; known are"),
        (("run", "--system", "ease", "--protocol", "magic"), RequestError, ", ".join(PROTOCOLS)),
        (("run", "--system", "text", "--against", "/nowhere"), DataError, "cannot read /nowhere"),
        (("run", "--system", "text", "--protocol", "llamarec", "--data", "/nowhere"), DataError, "grouplens"),
        (("compare", "/one"), DataError, "one run file cannot be compared"),
        (("compare", "/one", "/two"), DataError, "cannot read /one"),
        (("report", "/one", "--out", "/tmp/none"), DataError, "cannot read /one"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    evaluate: Eval,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    error: type[TastemakerError],
    says: str,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was loaded")

    monkeypatch.setattr("tastemaker.agent.demo_data.prepare_demo", refuse)
    with pytest.raises(error) as caught:
        evaluate(*words)
    assert says in str(caught.value)


def test_more_mistakes(evaluate: Eval, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="loo reads a workspace"):
        evaluate("run", "--system", "popularity", "-w", shop, "--data", tmp_path)
    assert evaluate("run", "--system", "popularity", "--users", "0").exit_code == 2
    assert evaluate("run").exit_code == 2
    other = tmp_path / "few.jsonl"
    evaluate("run", "--system", "popularity", "-w", shop, "--users", "3", "--out", other)
    with pytest.raises(DataError, match="asked different questions"):
        evaluate("run", "--system", "transitions", "-w", shop, "--against", other)
