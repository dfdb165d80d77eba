"""``tastemaker train``: fit on a workspace's own validation data what a workspace can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
from tastemaker.agent.cli.train_export import export
from tastemaker.agent.cli.train_merge import merge
from tastemaker.agent.cli.train_ranker import ranker
from tastemaker.agent.cli.train_retriever import retriever
from tastemaker.errors import ConfigError, DataError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Fit what a workspace can learn from its own behaviour data."""


app.command()(retriever)
app.command()(ranker)
app.command()(merge)
app.command()(export)


@app.command()
def fusion(
    workspace: WorkspaceOption = Path("workspace"),
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
    from tastemaker.agent.assemble import load_model, make_reranker, read_fusions
    from tastemaker.agent.rankers import ranking_settings
    from tastemaker.agent.rerank import LLMReranker
    from tastemaker.artifacts import write_json
    from tastemaker.config import resolve
    from tastemaker.data.dataset import Dataset
    from tastemaker.eval.fusion_data import fusion_examples, reachable
    from tastemaker.eval.protocols import make_protocol
    from tastemaker.eval.systems import build_retrievers
    from tastemaker.finetune.fit_fusion import fit_fusion
    from tastemaker.fusion import Fusion
    from tastemaker.workspace import Workspace

    place = Workspace(workspace)
    settings = ranking_settings(resolve(place.config, setting_flags(set_, llm=llm))[0], place)
    if settings.llm == "none":
        raise ConfigError("there is no language model to weigh; the setting llm is none")
    with progress_bars() as progress:
        protocol = make_protocol(Dataset.load(place.require_data()), "loo-validation")
        retriever = build_retrievers(protocol.train, settings, progress)["hybrid"]
        reached = reachable(protocol, retriever, settings.candidates, users=users, seed=seed)
        if len(reached) < 2:
            raise DataError(
                f"only {len(reached)} validation items are among the first {settings.candidates} candidates; "
                "at least 2 are needed to fit weights",
                hint="use more data, or --set candidates=50",
            )
        reranker = make_reranker(load_model(settings, progress), settings, Fusion())
        assert isinstance(reranker, LLMReranker)
        fit = fit_fusion(list(fusion_examples(reached, reranker, progress)))
    found = Fusion(retrieval=round(fit.retrieval, 4), llm=round(fit.llm, 4))
    path = place.ranker / "fusion.json"
    write_json(path, {**read_fusions(place), settings.scoring: found.to_dict()})
    gain = fit.log_likelihood - fit.log_likelihood_retrieval_only
    if json_:
        print_json(
            {**found.to_dict(), "users": fit.users, "log_likelihood_gain": round(gain, 5), "seed": seed}
        )
        return
    out.print(
        f"Fitted on {fit.users} users: retrieval {found.retrieval}, llm {found.llm}. The language model "
        f"adds {gain:.4f} nats per user. Written to {path}."
    )
