"""The adapter folder: LoRA weights, peft's configuration, a manifest that names what it was made for, a card.

Any program that reads peft adapters reads it; ours also checks the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tastemaker.artifacts import atomic_folder, write_json, write_manifest
from tastemaker.data.dataset import refuse_foreign_folder
from tastemaker.finetune.ranker.engine import Outcome
from tastemaker.finetune.ranker.files import ADAPTER_CONFIG, ADAPTER_KIND, ADAPTER_WEIGHTS, HEAD_FILE
from tastemaker.finetune.ranker.lora import Base, TunedNetwork
from tastemaker.finetune.ranker.match_head import PREFIX
from tastemaker.finetune.ranker.recipe import Recipe

_MEASURES = {
    "ndcg@10": "NDCG@10, language model alone",
    "nll": "negative log-likelihood of the next item (nats), language model alone",
    "fused_ndcg@10": "NDCG@10, fused with the retriever",
    "fused_nll": "negative log-likelihood (nats), fused with the retriever",
    "retrieval_ndcg@10": "NDCG@10, retriever alone",
    "retrieval_nll": "negative log-likelihood (nats), retriever alone",
    "retrieval_weight": "logits per unit of the retriever's score in that fusion",
    "llm_weight": "logits per nat of the language model's score in that fusion",
    "users": "validation users, those whose next item was retrieved",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an adapter comes from.

    ``data``: name, fingerprint, terms, split and counts; ``settings``: those of the prompts; ``command``
    makes it again.
    """

    base: Base
    tokenizer_fingerprint: str
    template: str
    scoring: str
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    command: str


def write_adapter(
    folder: Path, tuned: TunedNetwork, outcome: Outcome, recipe: Recipe, source: Provenance
) -> dict[str, Any]:
    """Write the adapter in one step and return its manifest. The same training writes the same bytes.

    Raises:
        StorageError: ``folder`` holds something else, or cannot be written.
    """
    refuse_foreign_folder(folder, ADAPTER_KIND)
    facts = {
        "base": source.base.name,
        "base_fingerprint": source.base.fingerprint,
        "tokenizer_fingerprint": source.tokenizer_fingerprint,
        "template": source.template,
        "scoring": source.scoring,
        "data": dict(source.data),
        "settings": dict(source.settings),
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "tokens": outcome.tokens,
        "metrics": dict(outcome.metrics),
        "licence": source.base.licence,
        "command": source.command,
    }
    with atomic_folder(folder) as staged:
        dtype = torch.float32 if recipe.adapter_dtype == "float32" else torch.bfloat16
        save_file(
            tuned.adapter_tensors(outcome.weights, dtype), staged / ADAPTER_WEIGHTS, metadata={"format": "pt"}
        )
        write_json(staged / ADAPTER_CONFIG, peft_config(tuned))
        if tuned.head is not None:
            learned = {
                name.removeprefix(PREFIX): value
                for name, value in outcome.weights.items()
                if name.startswith(PREFIX)
            }
            tuned.head.save(staged / HEAD_FILE, learned)
        (staged / "README.md").write_text(model_card(facts), encoding="utf-8")
        return write_manifest(staged, ADAPTER_KIND, facts)


def peft_config(tuned: TunedNetwork) -> dict[str, Any]:
    """The content of ``adapter_config.json``; sets are written in order, so that bytes can be compared."""
    config: Any = tuned.config
    values = {**config.to_dict(), "inference_mode": True}
    return {
        name: sorted(value) if isinstance(value, set) else value for name, value in sorted(values.items())
    }


def _training(facts: Mapping[str, Any]) -> str:
    passes = facts["recipe"]["head_epochs"] if facts["scoring"] == "match" else 0
    alone = f"{passes} passes of the head over the frozen network's states" if passes else ""
    steps = (
        f"{facts['steps']} steps, {facts['tokens']:,} tokens; the adapter of step {facts['best_step']} kept"
    )
    if not facts["steps"] or (alone and not facts["best_step"]):
        tried = f" ({steps})" if facts["steps"] else ""
        return f"{alone}; LoRA is zero, the network is as it was{tried}"
    return f"{alone}, then {steps}" if alone else steps


def model_card(facts: Mapping[str, Any]) -> str:
    """The adapter's README: what it is, on what it stands, how it was made, how well it does."""
    data = facts["data"]
    rows = [f"| {_MEASURES.get(name, name)} | {value:g} |" for name, value in facts["metrics"].items()]
    measured = ["| on validation users | |", "|---|---|", *rows] if rows else ["Nothing was measured."]
    header = [
        "---",
        "library_name: peft",
        f"base_model: {facts['base']}",
        "tags: [lora, recommendation]",
        "---",
    ]
    lines = [
        *header,
        f"# LoRA adapter of {facts['base']} that reranks recommendations",
        "",
        f"It scores candidates in the form `{facts['scoring']}` after the prompt `{facts['template']}`.",
        "",
        "## Made from",
        "",
        f"- Base model: {facts['base']} (fingerprint {facts['base_fingerprint']})",
        f"- Licence of the base model: {facts['licence']}",
        f"- Data: {data['name']} (fingerprint {data['fingerprint']}), {data['examples']:,} examples of "
        f"{data['users']:,} users",
        f"- Terms of the data: {data['terms']}",
        f"- Split: {data['split']}",
        f"- Training: {_training(facts)}",
        "",
        "## Make it again",
        "",
        f"```\n{facts['command']}\n```",
        "",
        "## Measured",
        "",
        *measured,
        "",
    ]
    return "\n".join(lines)
