"""Exported files are what TRL and LLaMA-Factory document, and read like our own prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from tastemaker.agent.cli.train_export import export
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.examples import ExampleSet, choose_events, seen_items_only
from tastemaker.finetune.ranker.export import FORMATS, Turn, turns, write_export
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import tiny_model_folder
from tastemaker.testing.retrievers import RandomRetriever

RENDERER = PromptRenderer(lambda texts: [len(text.split()) for text in texts], domain="films")


@pytest.fixture(scope="module")
def examples() -> ExampleSet:
    train = seen_items_only(leave_one_out(film_data()).train)
    events = choose_events(train, Recipe())
    table = retrieve_candidates(
        train, events, RetrieverSource(build=RandomRetriever, fingerprint="random"), 6
    )
    return ExampleSet(train, events, table, Recipe(), needs_target=False)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_replies_name_what_came_next_against_the_hardest_other(examples: ExampleSet) -> None:
    told = [one for one in examples if one.shares is not None]
    assert 0 < len(told) < len(examples)
    for one in examples:
        if one.shares is None:
            assert turns(one, RENDERER, "title") == []
            continue
        first = next(c.item for c in one.candidates if c.item.id != one.target.id)
        [title] = turns(one, RENDERER, "title")
        assert (title.chosen, title.rejected) == (
            f"- {one.target.display_title}",
            f"- {first.display_title}",
        )
        [label] = turns(one, RENDERER, "labels")
        assert f"\n{label.chosen}. {one.target.display_title}" in label.user
        assert f"\n{label.rejected}. {first.display_title}" in label.user
        right, wrong = turns(one, RENDERER, "answer")
        assert (right.chosen, right.rejected, wrong.chosen, wrong.rejected) == ("Yes", "No", "No", "Yes")
        assert one.target.display_title in right.user.splitlines()[-1]
        assert first.display_title in wrong.user.splitlines()[-1]


@pytest.mark.parametrize("form", ["labels", "answer", "title"])
def test_a_chat_template_makes_our_own_prompt_of_an_exported_row(
    examples: ExampleSet, form: Any, tmp_path: Path
) -> None:
    """What TRL does with a conversational prompt: apply the tokenizer's template and ask for a reply."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_folder(tmp_path / "model"))
    found = [turn for one in examples for turn in turns(one, RENDERER, form)]
    assert write_export(tmp_path / "sft.jsonl", found, "trl-sft") == len(found)
    layout = ChatLayout(tokenizer)
    for row, turn in zip(rows(tmp_path / "sft.jsonl"), found, strict=True):
        read = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        assert read == layout.before_reply(turn.system, turn.user)
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]


def test_columns_are_those_that_the_trainers_document(tmp_path: Path) -> None:
    turn = Turn(system="You rank 电影.", user="Which?\nA. x", chosen="A", rejected="B")
    for name in FORMATS:
        write_export(tmp_path / name, [turn], name)
    asked = [{"role": "system", "content": turn.system}, {"role": "user", "content": turn.user}]
    yes, no = ([{"role": "assistant", "content": text}] for text in "AB")
    assert rows(tmp_path / "trl-sft") == [{"prompt": asked, "completion": yes}]
    assert rows(tmp_path / "trl-dpo") == [{"prompt": asked, "chosen": yes, "rejected": no}]
    assert rows(tmp_path / "llama-factory") == [
        {"system": turn.system, "instruction": turn.user, "input": "", "output": "A"}
    ]
    assert "电影" in (tmp_path / "trl-sft").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="format is 'csv'; known are trl-sft, trl-dpo, llama-factory"):
        write_export(tmp_path / "x", [turn], "csv")


def test_the_command_writes_a_workspaces_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "tastemaker.agent.cli.ranker_parts.load_embedder", lambda source, progress=None: HashEmbedder()
    )
    place = tmp_path / "w"
    film_data().save(place / "data")
    model = tiny_model_folder(tmp_path / "tiny")
    (place / "config.yaml").write_text(f"llm: {model}\nscoring: labels\ndomain: films\n")
    capsys.readouterr()
    export(format_="trl-dpo", save=tmp_path / "dpo.jsonl", workspace=place, json_=True)
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == len(rows(tmp_path / "dpo.jsonl")) > 30
    assert told["scoring"] == "labels"
