"""``tastemaker train export``: the ranker's training examples for people who train elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    out,
    pairs,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.agent.cli.train_ranker import read_recipe, training_data
from tastemaker.errors import ConfigError


def export(
    format_: Annotated[str, typer.Option("--format", help="trl-sft, trl-dpo or llama-factory.")],
    save: Annotated[Path, typer.Option("--out", help="JSONL file to write.")],
    workspace: Annotated[Path | None, typer.Option("--workspace", "-w", help="Data and settings.")] = None,
    protocol: Annotated[str, typer.Option(help="How data are split; see train ranker.")] = "loo",
    data: Annotated[Path | None, typer.Option(help="Folder of the protocol's public data set.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="Any training option, e.g. per_user=5."),
    ] = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Write training examples as prompts and replies in the workspace's scoring form. Trains nothing.

    They are made of training events alone, with out-of-sample candidates, as for `train ranker`. The
    tokenizer of the setting llm counts the tokens of prompts.
    """
    from tastemaker.agent.cli.ranker_parts import TrainingPlan, gather, load_tokenizer, renderer_for
    from tastemaker.config import resolve
    from tastemaker.finetune.ranker.export import FORMATS, turns, write_export
    from tastemaker.prompts.chat import ChatLayout
    from tastemaker.workspace import Workspace

    if format_ not in FORMATS:
        raise ConfigError(f"format is {format_!r}; known are {', '.join(FORMATS)}")
    recipe = read_recipe(None, pairs(option, "option"))
    place = Workspace(workspace) if workspace is not None else None
    with progress_bars() as progress, tempfile.TemporaryDirectory() as scratch:
        dataset, name, domain = training_data(protocol, workspace, data)
        flags = {key: value for key, value in setting_flags(set_, llm=llm).items() if value is not None}
        if place is None and domain is not None:
            flags = {"domain": domain, **flags}
        settings, _ = resolve(place.config if place is not None else None, flags)
        if settings.scoring == "match":
            raise ConfigError(
                "scoring is 'match', whose answers are no words",
                hint="--set scoring=labels, answer or title",
            )
        plan = TrainingPlan(
            dataset=dataset,
            protocol=protocol,
            settings=settings,
            recipe=recipe,
            workspace=place,
            folder=Path(scratch),
        )
        material = gather(plan, progress)
        examples = material.examples(recipe, needs_target=True)
        renderer = renderer_for(ChatLayout(load_tokenizer(settings, progress)), settings, [])
        found = (turn for example in examples for turn in turns(example, renderer, settings.scoring))
        written = write_export(save, found, format_)
    if json_:
        print_json({"file": str(save), "format": format_, "rows": written, "scoring": settings.scoring})
        return
    out.print(
        f"{written:,} rows of {escape(name)} in the form {settings.scoring} written to {escape(str(save))}."
    )
