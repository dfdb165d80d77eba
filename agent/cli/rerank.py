"""``tastemaker rerank``: a history, a situation and candidates as JSON in, an order as JSON out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.errors import RequestError

MAX_INPUT_BYTES = 64 * 2**20
EXAMPLE = '{"history": ["Alien (1979)"], "wish": "funny", "candidates": [{"id": "1", "text": "Toy Story"}]}'


def rerank(
    source: Annotated[str, typer.Option("--input", "-i", metavar="FILE|-", help="JSON; - reads stdin.")],
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="Use this workspace's settings and adapter."),
    ] = None,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Rerank hand-written candidates for a history, a situation and a wish.

    The input: {"history": [...], "context": {...}, "wish": "...", "candidates": [...], "top_n": n}
    """
    from tastemaker.agent.reranker import Reranker

    asked = read_input(source)
    flags = setting_flags(set_, llm=llm)
    with progress_bars() as progress:
        reranker = Reranker.load(workspace, progress=progress, **flags)
        result = reranker.rerank(**asked)
    if json_ or not out.is_terminal:
        print_json(result.to_dict())
        return
    for row in result.results:
        out.print(f"{row.rank:>3}  {100 * row.score:5.1f}  [{row.index}] {row.text}", markup=False)
    if result.trace.degraded:
        out.print(f"[bold red]degraded:[/] {result.trace.degraded}")


def read_input(source: str) -> dict[str, Any]:
    """The arguments of ``Reranker.rerank`` from a JSON file or stdin.

    Raises:
        RequestError: the file is missing, too large, no UTF-8, broken JSON, or lacks candidates.
    """
    text = _read(source)
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise RequestError(f"the input is broken JSON: {error}", hint=EXAMPLE) from error
    if not isinstance(asked, dict) or "candidates" not in asked:
        raise RequestError("the input is no object with 'candidates'", hint=EXAMPLE)
    known = {"history", "context", "wish", "candidates", "top_n", "language"}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise RequestError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return asked


def _read(source: str) -> str:
    try:
        if source == "-":
            raw = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                raw = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise RequestError(f"cannot read {source}: {error.strerror}") from error
    if len(raw) > MAX_INPUT_BYTES:
        raise RequestError(f"{source} is larger than {MAX_INPUT_BYTES // 2**20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{source} is no UTF-8 text: {error.reason} at byte {error.start}") from error
