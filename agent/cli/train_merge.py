"""``tastemaker train merge``: an adapter and its base become one 16-bit model, with proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tastemaker.agent.cli.options import JsonOption, LLMOption, out, print_json, progress_bars
from tastemaker.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from tastemaker.agent.llm import TransformersLM
    from tastemaker.types import Prompt
    from tastemaker.weights.fetch import LocalSource

PROMPTS = 100
CHOICES = 10
MERGED_FORMS = ("labels", "answer", "title")
"""Forms whose scores are the network's alone; ``match`` has a head beside it."""


def merge(
    adapter: Annotated[Path, typer.Option(help="Adapter folder of `train ranker`.")],
    save: Annotated[Path, typer.Option("--out", help="Folder for the merged model.")],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Prompts for the proof; default: invented films.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16 or float16.")] = "bfloat16",
    llm: LLMOption = None,
    json_: JsonOption = False,
) -> None:
    """Write base + adapter as one 16-bit model, if it scores 100 prompts as the adapter does.

    Both are scored in float32, so that only the rounding of the weights is measured.
    """
    from tastemaker.agent.llm_files import load_files, quiet_libraries
    from tastemaker.artifacts import atomic_folder, read_manifest, sha256_of, write_manifest
    from tastemaker.data.dataset import refuse_foreign_folder
    from tastemaker.finetune.ranker.files import ADAPTER_KIND
    from tastemaker.finetune.ranker.merge import KIND, agreement, merge_adapter
    from tastemaker.weights.fetch import ensure

    if dtype not in ("bfloat16", "float16"):
        raise ConfigError(f"dtype is {dtype!r}; bfloat16 or float16 is wanted")
    manifest = read_manifest(adapter, ADAPTER_KIND)
    if manifest["scoring"] not in MERGED_FORMS:
        raise ConfigError(
            f"the adapter scores in the form {manifest['scoring']!r}; {', '.join(MERGED_FORMS)} can be merged"
        )
    refuse_foreign_folder(save, KIND)
    with progress_bars() as progress:
        source = ensure(llm or str(manifest["base"]), progress=progress)
    prompts = proof_prompts(workspace, manifest)
    before = _load(source, source.path, adapter).score(prompts)
    with atomic_folder(save) as staged:
        base = load_files(
            source.path,
            name=source.name,
            fingerprint=source.fingerprint,
            adapter=None,
            quantization="none",
            dtype="float32",
            device="cpu",
        )
        with quiet_libraries():
            merge_adapter(base.causal, adapter, staged, dtype)  # type: ignore[arg-type]  # checked above
            base.tokenizer.save_pretrained(staged)
        del base
        merged = _load(source, staged, None)
        if merged.tokenizer_fingerprint != manifest["tokenizer_fingerprint"]:
            raise ArtifactError("the tokenizer changed while it was saved; nothing was written")
        found = agreement(before, merged.score(prompts))
        found.require()
        facts = {
            "base": source.name,
            "base_fingerprint": source.fingerprint,
            "licence": source.licence,
            "adapter_sha256": sha256_of(adapter / "adapter_model.safetensors"),
            "template": manifest["template"],
            "dtype": dtype,
            "agreement": asdict(found),
        }
        write_manifest(staged, KIND, facts)
    if json_:
        print_json({"model": str(save), **facts})
        return
    out.print(
        f"Written to {escape(str(save))}. On {found.prompts} prompts scores move by at most "
        f"{found.max_difference:.4f} nats ({found.mean_difference:.4f} on average); Kendall tau is "
        f"{found.kendall_tau:.4f}."
    )


def _load(source: LocalSource, path: Path, adapter: Path | None) -> TransformersLM:
    from tastemaker.agent.llm import TransformersLM

    return TransformersLM.load(
        path, name=source.name, fingerprint=source.fingerprint, adapter=adapter, dtype="float32"
    )


def proof_prompts(workspace: Path | None, manifest: dict[str, Any]) -> list[Prompt]:
    """``PROMPTS`` prompts of the adapter's form: random users, histories and candidates, always the same."""
    import numpy as np

    from tastemaker.data.dataset import Dataset
    from tastemaker.prompts.render import PromptRenderer
    from tastemaker.testing.data import film_data
    from tastemaker.types import Candidate, Request, UserHistory
    from tastemaker.workspace import Workspace

    data = film_data() if workspace is None else Dataset.load(Workspace(workspace).require_data())
    settings = manifest["settings"]
    renderer = PromptRenderer(
        lambda texts: [len(text.split()) for text in texts],
        history_length=settings["history_length"],
        domain=settings["domain"],
    )
    forms: dict[str, Callable[[Request, Sequence[Candidate]], Prompt]] = {
        "labels": lambda request, found: renderer.labels_prompt(request, found).prompt,
        "answer": renderer.answer_prompt,
        "title": renderer.title_prompt,
    }
    make = forms[manifest["scoring"]]
    draw = np.random.default_rng(0)
    users = list(data.sequences())
    prompts = []
    for _ in range(PROMPTS):
        history = data.history(users[draw.integers(len(users))])
        cut = int(draw.integers(1, len(history) + 1))
        items = draw.choice(len(data.item_ids), min(CHOICES, len(data.item_ids)), replace=False)
        found = [Candidate(item=data.item(data.item_ids[item]), score=0.0) for item in items]
        past = UserHistory(entries=history.entries[:cut], value_range=history.value_range)
        prompts.append(make(Request(history=past), found))
    return prompts
