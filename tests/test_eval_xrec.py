"""XRec's rows: what is compared with the references, the figures it gets, and bad files by name."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app
from tastemaker.errors import DataError, MissingExtraError, TastemakerError
from tastemaker.eval.xrec import (
    CONSTANT,
    REFERENCES,
    Row,
    load_rows,
    measure_xrec,
    systems_of,
    template_texts,
)

DATA = Path(os.environ.get("TASTEMAKER_DATA") or "/nowhere")
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="TASTEMAKER_DATA names no folder with the data sets"
)
TACOS = {
    "uid": 1,
    "iid": 10,
    "title": "Taco Corner",
    "user_summary": "The user is likely to enjoy businesses that offer spicy sauces, live music, and a quiet "
    "garden.",
    "item_summary": "Fans of fresh fish tacos, many spicy sauces, a view of the sea, and live music at night "
    "would enjoy Taco Corner in Reno for its large terrace. It is not ideal for a quiet garden party.",
    "explanation": "The user would enjoy Taco Corner because the waiter sang.",
}
BAR = {
    **TACOS,
    "uid": 2,
    "title": "Bar (No. 5)",
    "item_summary": "Those who don't mind long queues would enjoy Bar (No. 5).",
    "explanation": "The user would enjoy the business for its delicious food and cozy atmosphere.",
}


def write(folder: Path, *rows: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "yelp.test.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def test_a_row_is_read_field_by_field(tmp_path: Path) -> None:
    (row,) = load_rows(write(tmp_path, TACOS))
    assert row == Row(
        user="1",
        title="Taco Corner",
        user_text=TACOS["user_summary"],
        item_text=TACOS["item_summary"],
        reference=TACOS["explanation"],
    )


def test_our_template_answers_a_wish_and_invents_nothing(tmp_path: Path) -> None:
    rows = load_rows(write(tmp_path, *[{**TACOS, "uid": number} for number in range(6)]))
    assert set(template_texts(rows)) == {"Your wish speaks for it.", "What you asked for speaks for it."}
    short = [replace(row, user_text="spicy sauces") for row in rows]
    assert all("“spicy sauces”" in text for text in template_texts(short))


def test_only_the_control_of_other_rows_reads_references(tmp_path: Path) -> None:
    rows = load_rows(write(tmp_path, TACOS, BAR))
    ours, theirs = systems_of(rows), systems_of([replace(row, reference="Something else") for row in rows])
    assert {name for name in ours if ours[name] != theirs[name]} == {"next row's reference"}
    assert ours["next row's reference"] == [BAR["explanation"], TACOS["explanation"]]
    assert all(len(texts) == len(rows) for texts in ours.values())


def test_figures_are_those_of_the_texts(tmp_path: Path) -> None:
    sentence = CONSTANT.format("the business")
    exact = {**TACOS, "explanation": sentence, "item_summary": sentence}
    other = {**exact, "uid": 2, "title": "Bar (No. 5)"}
    found = measure_xrec(load_rows(write(tmp_path, exact, other)))
    systems = found["systems"]
    assert sentence not in json.dumps(found), "the terms of the data do not let a result quote them"
    for name in ("one sentence for all", "item profile", "next row's reference"):
        figures = systems[name]
        assert (figures["bleu1"], figures["bleu4"]) == (100.0, 100.0)
        assert (figures["rouge1"], figures["rouge_l"], figures["rouge_l_ci95"]) == (1.0, 1.0, [1.0, 1.0])
        assert (figures["usr"], figures["skeleton_repeats"], figures["words"]) == (0.5, 1.0, 15.0)
    titled = systems["that with the title"]
    assert (titled["usr"], titled["skeleton_repeats"]) == (1.0, 1.0), "a title is all that differs"
    assert systems["our template"]["rouge_l"] < 0.5
    assert "rouge_l" not in systems[REFERENCES]
    assert (found["rows"], found["users"]) == (2, 2)
    assert found["bleu"].startswith("order:4|nrefs:1|")


def test_one_users_rows_do_not_repeat_another_users(tmp_path: Path) -> None:
    systems = measure_xrec(load_rows(write(tmp_path, TACOS, TACOS)))["systems"]
    assert (systems["item profile"]["usr"], systems["item profile"]["skeleton_repeats"]) == (0.5, 0.0)


@pytest.mark.parametrize("module", ["sacrebleu.metrics.bleu", "rouge_score.rouge_scorer"])
def test_a_missing_library_is_told_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"tastemaker\[eval\]"):
        measure_xrec(load_rows(write(tmp_path, TACOS)))


def test_rows_are_a_seeded_sample_in_order(tmp_path: Path) -> None:
    write(tmp_path, *[{**TACOS, "title": f"Place {i:02}"} for i in range(20)])

    def titles(**asked: int) -> list[str]:
        return [row.title for row in load_rows(tmp_path, **asked)]

    assert len(titles()) == len(titles(rows=50)) == 20
    assert titles(rows=5, seed=1) == titles(rows=5, seed=1) == sorted(titles(rows=5, seed=1))
    assert titles(rows=5, seed=1) != titles(rows=5, seed=2)
    assert len(set(titles(rows=5))) == 5


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", r"has no rows"),
        (json.dumps(TACOS).encode() + b"\n{half", r"line 2 of .*yelp\.test\.jsonl is no JSON"),
        (b"[1]", r"line 1 of .* is no JSON object .*wanted are title, user_summary, item_summary"),
        (json.dumps({**TACOS, "item_summary": 3}).encode(), r"line 1 of .* has no text in item_summary"),
        (json.dumps({**TACOS, "explanation": " "}).encode(), r"has no text in explanation, the reference"),
        (json.dumps({**TACOS, "uid": None}).encode(), r"line 1 of .* has no number in uid, the user"),
        (b"\xff\xfe", r"cannot be read: .*unchanged file"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "yelp.test.jsonl").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        load_rows(tmp_path)


@pytest.mark.parametrize("raw", [b"no gzip", gzip.compress(b"{}" * 99)[:-12]])
def test_a_damaged_archive_is_an_error_of_ours(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "yelp.test.jsonl.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"yelp\.test\.jsonl\.gz cannot be read"):
        load_rows(tmp_path)


Eval = Callable[..., Result]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Eval:
    """Run ``tastemaker eval xrec ...``; errors of the tree come through as they are."""
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/tastemaker", "eval", "xrec"])

    def run(*asked: object) -> Result:
        done = CliRunner().invoke(app, ["eval", "xrec", *map(str, asked)])
        if isinstance(done.exception, TastemakerError):
            raise done.exception
        return done

    return run


def test_json_and_results_are_one_document(evaluate: Eval, tmp_path: Path) -> None:
    write(tmp_path / "data", TACOS, BAR, TACOS)
    target = tmp_path / "out" / "xrec.json"
    done = evaluate("--data", tmp_path / "data", "--rows", 2, "--seed", 3, "--results", target, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads(target.read_text(encoding="utf-8"))
    assert (found["rows"], found["seed"], found["command"]) == (2, 3, "tastemaker eval xrec")
    assert str(tmp_path) not in target.read_text(encoding="utf-8")


def test_the_table_says_what_it_does_not_say(
    evaluate: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "explain-xrec", TACOS, BAR)
    monkeypatch.setenv("TASTEMAKER_DATA", str(tmp_path))
    done = evaluate()
    assert done.exit_code == 0, done.output
    for part in ("our template", "one sentence for all", "R-L", "USR", "skel", "2 rows", "looks at truth"):
        assert part in " ".join(done.stdout.split())


def test_an_absent_file_is_asked_for_by_name_and_place(
    evaluate: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEMAKER_DATA", str(tmp_path / "sets"))
    with pytest.raises(DataError, match=r"yelp\.test\.jsonl of explain-xrec is not in .*sets.*XRec.*--data"):
        evaluate()


@needs_data
def test_the_real_rows() -> None:
    rows = load_rows()
    assert (len(rows), len({row.user for row in rows})) == (3_000, 2_228)
    assert len({row.reference for row in rows}) == 3_000
    assert set(template_texts(rows)) == {"Your wish speaks for it.", "What you asked for speaks for it."}
