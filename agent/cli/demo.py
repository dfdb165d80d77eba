"""``tastemaker demo``: the main job on real input, from nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from tastemaker.agent.cli.options import (
    ContextOption,
    ExplainOption,
    JsonOption,
    KOption,
    LanguageOption,
    LLMOption,
    SetOption,
    WishOption,
    context_of,
    err,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.agent.cli.show import show_items, show_request, show_trace
from tastemaker.agent.requests import LanguageChoice

DEFAULT_USER = "196"
DEFAULT_WISH = "something funny and light"


def demo(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Default: a folder in the cache.")
    ] = None,
    user: Annotated[str, typer.Option("--user", help="A MovieLens-100K user, 1 to 943.")] = DEFAULT_USER,
    wish: WishOption = DEFAULT_WISH,
    context: ContextOption = None,
    k: KOption = 10,
    explain: ExplainOption = None,
    language: LanguageOption = "auto",
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Fetch real weights and data, build the index, and print explained recommendations."""
    from tastemaker.agent.demo_data import prepare_demo
    from tastemaker.agent.recommender import Recommender
    from tastemaker.weights.fetch import ensure

    flags = setting_flags(set_, llm=llm, explain=explain)
    started = time.perf_counter()
    terms: list[str] = []
    with progress_bars() as progress:
        for name in _sources(flags):
            found = ensure(name, progress=progress)
            state = "cached" if found.from_cache else f"{found.downloaded_bytes / 2**20:,.0f} MiB fetched"
            err.print(f"[dim]{name:<28} {state:<18} {found.path}[/]")
            terms += found.notes
        fetched = time.perf_counter()
        folder = prepare_demo(workspace, progress)
        indexed = time.perf_counter()
        recommender = Recommender.load(folder, progress=progress, **flags)
        loaded = time.perf_counter()
        request = recommender.request(
            user_id=user,
            wish=wish,
            context=context_of(context or ["company=family"]),
            k=k,
            language=cast(LanguageChoice, language),
        )
        answer = recommender.recommend_batch([request])[0]
    if json_:
        print_json(answer.to_dict())
        return
    for note in terms:
        err.print(f"[dim]{note}[/]")
    err.print()
    show_request(out, request, recommender.pack(request.language))
    show_items(out, answer)
    setup = (("fetch", fetched - started), ("index", indexed - fetched), ("load", loaded - indexed))
    show_trace(out, answer.trace, setup)
    out.print(
        "\n[dim]Try another moment:[/] tastemaker demo --wish 'a dark thriller' --context company=alone"
    )


def _sources(flags: dict[str, Any]) -> list[str]:
    """What this run needs: data, embedding model, and the models that rank and word."""
    from tastemaker.agent.demo_data import DEMO_CONFIG
    from tastemaker.agent.rankers import ranking_settings
    from tastemaker.config import resolve

    settings, _ = resolve(None, {**DEMO_CONFIG, **flags})
    ranking = ranking_settings(settings)
    models = [ranking.llm, settings.llm if settings.explain == "llm" else "none"]
    local = [name for name in models if name != "none" and not name.startswith(("http://", "https://"))]
    return list(dict.fromkeys(["ml-100k", settings.embedder, *local]))
