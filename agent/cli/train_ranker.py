"""``tastemaker train ranker``: a LoRA adapter from a workspace's own behaviour data."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    err,
    out,
    pairs,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.errors import ConfigError

if TYPE_CHECKING:
    from tastemaker.agent.cli.ranker_parts import RankerParts
    from tastemaker.data.dataset import Dataset
    from tastemaker.finetune.ranker.dry_run import DryRun
    from tastemaker.finetune.ranker.engine import Outcome, StepReport
    from tastemaker.finetune.ranker.recipe import Recipe

REPORT_SECONDS = 10.0
"""A line is printed at most this often, and for every evaluation."""


def ranker(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Data, settings and hybrid weights.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="How data are split: loo, or a public one such as llamarec or temporal.")
    ] = "loo",
    data: Annotated[Path | None, typer.Option(help="Folder of the protocol's public data set.")] = None,
    save: Annotated[
        Path | None, typer.Option("--out", help="Adapter folder; default WORKSPACE/ranker/adapter.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="match, labels, answer, title (scoring forms) or next-title.")
    ] = None,
    lm_weight: Annotated[
        float | None, typer.Option(help="Weight of next-title language modelling beside it.")
    ] = None,
    lora_layers: Annotated[int | None, typer.Option(help="Adapt only so many uppermost layers.")] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing", help="Less memory, a third more time.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="Any training option, e.g. rank=8."),
    ] = None,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", help="YAML file of training options.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="none, or nf4 (QLoRA).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    start_from: Annotated[
        Path | None, typer.Option(help="Adapter folder whose weights are trained on.")
    ] = None,
    eval_users: Annotated[
        int, typer.Option(min=0, help="Validation users whose next item was retrieved; 0: none.")
    ] = 100,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show examples, lengths and time only.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves beside the checkpoint (extra 'train').")
    ] = False,
    data_name: Annotated[str | None, typer.Option(help="Name of the data, for the model card.")] = None,
    data_terms: Annotated[
        str, typer.Option(help="Terms of the data, for the model card.")
    ] = "not stated; ask whoever brought the data",
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Train a LoRA adapter that reranks, on training events alone.

    Each user's last two events (or the protocol's) stay untouched; the last but one picks the best adapter.
    """
    from tastemaker.agent.cli.ranker_parts import TrainingPlan, prepare, require_local
    from tastemaker.config import resolve
    from tastemaker.workspace import Workspace

    flags = {
        "objective": objective,
        "lm_weight": lm_weight,
        "lora_layers": lora_layers,
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "gradient_checkpointing": gradient_checkpointing,
        "seed": seed,
    }
    recipe = read_recipe(recipe_file, {**pairs(option, "option"), **_given(flags)})
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; auto, cpu or cuda is wanted")
    place = Workspace(workspace) if workspace is not None else None
    if save is None and place is None:
        raise ConfigError("there is no place for the adapter", hint="give --workspace or --out FOLDER")
    folder = save or (place.ranker / "adapter" if place is not None else Path())
    with progress_bars() as progress:
        dataset, name, domain = training_data(protocol, workspace, data)
        given = setting_flags(set_, llm=llm)
        settings, _ = resolve(
            place.config if place is not None else None,
            {**({"domain": domain} if domain and place is None else {}), **_given(given),
             "quantization": quantization or given.get("quantization")},
        )  # fmt: skip
        require_local(settings)
        work = folder.with_name(f"{folder.name}.run")
        if not dry_run:
            _require_fresh(work / "checkpoint", resume)
        parts = prepare(
            TrainingPlan(
                dataset=dataset,
                protocol=protocol,
                settings=settings,
                recipe=recipe,
                workspace=place,
                folder=work,
                eval_users=0 if dry_run else eval_users,
                data_name=data_name or name,
                data_terms=data_terms,
                command=shlex.join(["tastemaker", *(word for word in sys.argv[1:] if word != "--resume")]),
                device=device,  # type: ignore[arg-type]  # checked above
                start_from=start_from,
                dry_run=dry_run,
            ),
            progress,
        )
    if dry_run:
        _show_dry_run(_dry_run(parts, recipe), json_)
        return
    outcome = _train(parts, recipe, work, resume, tensorboard)
    _finish(parts, recipe, outcome, folder, work, json_)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def read_recipe(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """The recipe of a YAML file, with ``given`` over it.

    Raises:
        ConfigError: the file cannot be read or is no mapping, or an option is unknown or impossible.
    """
    from tastemaker.finetune.ranker.recipe import make_recipe
    from tastemaker.finetune.ranker.registry import NAMES

    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read the recipe {path}: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path} holds a {type(values).__name__}; lines of 'option: value' are wanted")
    recipe = make_recipe({**{str(name): value for name, value in values.items()}, **given})
    if recipe.objective not in NAMES:
        raise ConfigError(f"objective is {recipe.objective!r}; known are {', '.join(NAMES)}")
    return recipe


def training_data(
    protocol: str, workspace: Path | None, data: Path | None
) -> tuple[Dataset, str, str | None]:
    """The data of a protocol, their name, and the domain of a public set."""
    from tastemaker.agent.rankers import data_name
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.benchmarks import BENCHMARKS, load_benchmark
    from tastemaker.eval.protocols import VALIDATION, rules_of
    from tastemaker.workspace import Workspace

    if protocol.endswith(VALIDATION):
        raise ConfigError(
            f"protocol is {protocol!r}; its last events would be trained on",
            hint=f"use {protocol.removesuffix(VALIDATION)}",
        )
    rules = rules_of(protocol)
    if rules.benchmark is not None and (workspace is None or data is not None or not rules.any_data):
        return load_benchmark(rules.benchmark, data), rules.benchmark, BENCHMARKS[rules.benchmark].domain
    if workspace is None:
        raise ConfigError(f"protocol {protocol} reads a workspace", hint="give --workspace FOLDER")
    place = Workspace(workspace)
    return Dataset.load(place.require_data()), data_name(place), None


def _require_fresh(checkpoint: Path, resume: bool) -> None:
    if checkpoint.is_dir() and not resume:
        raise ConfigError(
            f"{checkpoint} holds a training that was not finished",
            hint=f"add --resume, or remove {checkpoint} to start anew",
        )


def _train(parts: RankerParts, recipe: Recipe, work: Path, resume: bool, tensorboard: bool) -> Outcome:
    from tastemaker.finetune.ranker.engine import Trainer
    from tastemaker.finetune.ranker.tensorboard import TensorBoardLog

    log = TensorBoardLog(work / "tensorboard") if tensorboard else None
    lines = StepLines()

    def report(step: StepReport) -> None:
        lines(step)
        if log is not None:
            log(step)

    trainer = Trainer(
        parts.tuned,
        parts.objective,
        parts.examples,
        recipe,
        pad_id=parts.base.pad_id,
        identity=parts.identity,
        folder=work,
        evaluate=parts.evaluate,
        report=report,
    )
    err.print(f"[dim]{len(parts.examples):,} examples of {parts.events:,} events, {trainer.steps:,} steps[/]")
    try:
        return trainer.run(resume=resume)
    finally:
        if log is not None:
            log.close()


class StepLines:
    """One line on stderr now and then: loss, speed, time left, measures."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, step: StepReport) -> None:
        import time

        now = time.monotonic()
        if not step.metrics and step.step < step.steps and now - self._last < REPORT_SECONDS:
            return
        self._last = now
        measured = "".join(f"  {name} {value:.4f}" for name, value in step.metrics.items())
        err.print(
            f"step {step.step}/{step.steps}  loss {step.loss:.4f}  {step.tokens_per_second:,.0f} tokens/s  "
            f"{duration(step.seconds_left)} left{measured}",
            soft_wrap=True,
        )


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``; hours from one hour on."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _finish(
    parts: RankerParts, recipe: Recipe, outcome: Outcome, folder: Path, work: Path, json_: bool
) -> None:
    from accelerate import PartialState

    from tastemaker.finetune.ranker.adapter import write_adapter

    if not PartialState().is_main_process:
        return
    manifest = write_adapter(folder, parts.tuned, outcome, recipe, parts.provenance)
    shutil.rmtree(work / "checkpoint", ignore_errors=True)
    if json_:
        print_json({"adapter": str(folder), **{name: manifest[name] for name in manifest if name != "files"}})
        return
    measured = ", ".join(f"{name} {value:.4f}" for name, value in outcome.metrics.items())
    out.print(f"Written to {escape(str(folder))} (step {outcome.best_step} of {outcome.steps}). {measured}")
    out.print(
        f"[dim]Use it: --set ranker={escape(str(folder))} (a workspace finds its own), after fitting its "
        "weight with tastemaker train fusion[/]",
        soft_wrap=True,
    )


def _dry_run(parts: RankerParts, recipe: Recipe) -> DryRun:
    from tastemaker.finetune.ranker.dry_run import dry_run
    from tastemaker.finetune.ranker.network import TrainedNetwork

    return dry_run(
        parts.examples,
        parts.objective,
        TrainedNetwork(parts.tuned.causal, parts.base.pad_id),
        recipe,
        parts.base.tokenizer,
        parts.reports,
        events=parts.events,
        retrieved=parts.examples.retrieved,
    )


def _show_dry_run(found: DryRun, json_: bool) -> None:
    if json_:
        print_json(found.to_dict())
        return
    for number, rows in enumerate(found.rendered, start=1):
        for row in rows:
            out.print(f"[bold]example {number}[/]", escape(row), sep="\n", soft_wrap=True)
    out.print(
        f"{found.examples:,} examples ({found.retrieved:,} of {found.events:,} events had the next item "
        f"among the candidates); tokens per example: mean {found.tokens_mean:.0f}, 95 % under "
        f"{found.tokens_p95:.0f}, longest {found.tokens_max}; {found.truncated:.1%} of the prompts "
        f"truncated; {found.tokens_per_epoch:,} tokens per epoch; {found.steps:,} steps, about "
        f"{duration(found.seconds)} at {found.tokens_per_second:,.0f} tokens/s without evaluations. "
        "Nothing was trained."
    )
