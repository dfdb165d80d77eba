"""``tastemaker train fusion``: how much the language model weighs beside the retriever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tastemaker.agent.cli.options import (
    JsonOption,
    LLMOption,
    SetOption,
    WorkspaceOption,
    out,
    print_json,
    progress_bars,
    setting_flags,
)
from tastemaker.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tastemaker.config import Settings
    from tastemaker.data.dataset import Dataset
    from tastemaker.finetune.fit_fusion import FittedFusion
    from tastemaker.protocols import ProgressCallback
    from tastemaker.workspace import Workspace


def fusion(
    workspace: WorkspaceOption = Path("workspace"),
    protocol: Annotated[
        str, typer.Option(help="How data are split: loo, or a public one such as llamarec.")
    ] = "loo",
    data: Annotated[Path | None, typer.Option(help="Folder of the protocol's public data set.")] = None,
    users: Annotated[int, typer.Option(min=2, help="Validation users whose item was retrieved.")] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    llm: LLMOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Weigh the language model against the retriever by the second last item of each user.

    The last items stay untouched for `tastemaker eval run`. The weights are written to
    ranker/fusion.json and used from then on for this scoring form.
    """
    from tastemaker.agent.assemble import fusion_key, read_fusions
    from tastemaker.agent.cli.public_data import protocol_settings
    from tastemaker.agent.cli.train_ranker import training_data
    from tastemaker.artifacts import write_json
    from tastemaker.eval.protocols import rules_of
    from tastemaker.finetune.ranker.files import adapter_hash
    from tastemaker.fusion import Fusion
    from tastemaker.workspace import Workspace

    place, public = Workspace(workspace), not rules_of(protocol).any_data
    dataset, _, _ = training_data(protocol, workspace, data)
    flags = setting_flags(set_, llm=llm)
    settings = protocol_settings(rules_of(protocol), place, flags, public=public)
    if settings.llm == "none":
        raise ConfigError("there is no language model to weigh; the setting llm is none")
    with progress_bars() as progress:
        fit = _fit(dataset, protocol, settings, None if public else place, users, seed, progress)
    found = Fusion(retrieval=round(fit.retrieval, 4), llm=round(fit.llm, 4))
    path = place.ranker / "fusion.json"
    made_for = {} if settings.adapter is None else {"adapter": adapter_hash(settings.adapter)}
    key = fusion_key(settings, rules_of(protocol).benchmark if public else None)
    write_json(path, {**read_fusions(place), key: {**found.to_dict(), **made_for}})
    gain = fit.log_likelihood - fit.log_likelihood_retrieval_only
    if json_:
        print_json(
            {**found.to_dict(), "users": fit.users, "log_likelihood_gain": round(gain, 5), "seed": seed}
        )
        return
    out.print(
        f"Fitted on {fit.users} users: retrieval {found.retrieval}, llm {found.llm}. The language model "
        f"adds {gain:.4f} nats per user. Written to {escape(str(path))}."
    )


def _fit(
    dataset: Dataset,
    protocol: str,
    settings: Settings,
    place: Workspace | None,
    users: int,
    seed: int,
    progress: ProgressCallback | None,
) -> FittedFusion:
    from tastemaker.agent.assemble import load_model, make_reranker
    from tastemaker.agent.rerank import LLMReranker
    from tastemaker.eval.fusion_data import fusion_examples, reachable
    from tastemaker.eval.protocols import VALIDATION, make_protocol
    from tastemaker.eval.systems import Retrievers
    from tastemaker.finetune.fit_fusion import fit_fusion
    from tastemaker.fusion import Fusion

    asked = make_protocol(dataset, protocol + VALIDATION, seed=settings.seed)
    held = asked.validation if place is None else ()
    hybrid = Retrievers(asked.train, settings, progress, validation=held, workspace=place)["hybrid"]
    reached = reachable(asked, hybrid, settings.candidates, users=users, seed=seed)
    if len(reached) < 2:
        raise DataError(
            f"only {len(reached)} validation items are among the first {settings.candidates} candidates; "
            "at least 2 are needed to fit weights",
            hint=f"use more data, or --set candidates={2 * settings.candidates}",
        )
    reranker = make_reranker(load_model(settings, progress), settings, Fusion())
    assert isinstance(reranker, LLMReranker)
    return fit_fusion(list(fusion_examples(reached, reranker, progress)))
