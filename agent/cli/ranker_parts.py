"""Puts together what a ranker training needs: data, candidates, base model, losses, validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.llm_files import (
    Device,
    Loaded,
    check_adapter,
    hf,
    load_files,
    quiet_libraries,
)
from tastemaker.agent.rerank import LLMReranker
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError, DataError
from tastemaker.eval.fusion_data import fusion_examples, reachable
from tastemaker.eval.protocols import VALIDATION, Protocol, make_protocol, safe_training_part
from tastemaker.finetune.crossfit import FOLDS
from tastemaker.finetune.ranker.adapter import Provenance
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.examples import (
    CandidateTable,
    Event,
    ExampleSet,
    choose_events,
    seen_items_only,
)
from tastemaker.finetune.ranker.files import ADAPTER_WEIGHTS, HEAD_FILE, adapter_hash
from tastemaker.finetune.ranker.hybrid_source import EncodedHybrids, plain_source
from tastemaker.finetune.ranker.lora import Base, TunedNetwork
from tastemaker.finetune.ranker.match_objective import MatchObjective
from tastemaker.finetune.ranker.match_setup import set_up_match
from tastemaker.finetune.ranker.measures import measures
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Objective, Tools
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.registry import MATCH, make_objective
from tastemaker.finetune.ranker.stretches import StretchSet
from tastemaker.finetune.ranker.warm_head import warmed
from tastemaker.fusion import Fusion
from tastemaker.index.build import index_texts
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.store import ItemIndex
from tastemaker.machine import settle_threads
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.labels import MAX_LABELS
from tastemaker.prompts.render import PromptRenderer, RenderReport
from tastemaker.prompts.template import load_template
from tastemaker.protocols import ProgressCallback
from tastemaker.weights.fetch import LocalSource, ensure
from tastemaker.workspace import Workspace

PROMPT_SETTINGS = (
    "llm", "candidates", "history_length", "prompt_tokens", "title_tokens", "domain", "quantization", "dtype"
)  # fmt: skip
"""Settings that change what an adapter is trained on."""


def prompt_settings(settings: Settings) -> dict[str, Any]:
    return {name: settings.as_dict()[name] for name in PROMPT_SETTINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What to train: on which data and split, from which model, and where the work is kept."""

    dataset: Dataset
    protocol: str
    settings: Settings
    recipe: Recipe
    workspace: Workspace | None
    folder: Path
    eval_users: int = 0
    data_name: str = ""
    data_terms: str = ""
    command: str = ""
    device: Device = "auto"
    start_from: Path | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerParts:
    """Everything ready to train. ``reports`` fills while prompts are rendered."""

    base: Base
    tuned: TunedNetwork
    objective: Objective[Any]
    examples: ExampleSet | StretchSet
    events: int
    provenance: Provenance
    identity: dict[str, Any]
    evaluate: Callable[[], Mapping[str, float]] | None
    reports: list[RenderReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Training data and out-of-sample candidates: all that needs no language model.

    ``parts``: fingerprints of the training parts that all of ``train`` belongs to.
    """

    protocol: Protocol
    train: Dataset
    parts: tuple[str, ...]
    source: RetrieverSource
    events: list[Event]
    table: CandidateTable

    def examples(self, recipe: Recipe, *, needs_target: bool) -> ExampleSet:
        """The examples; DataError when there are none."""
        made = ExampleSet(self.train, self.events, self.table, recipe, needs_target=needs_target)
        self._require(len(made))
        return made

    def stretches(self, recipe: Recipe) -> StretchSet:
        """The same events as stretches; DataError when there are none."""
        made = StretchSet(self.train, self.events, self.table, recipe, length=recipe.stretch)
        self._require(len(made))
        return made

    def _require(self, examples: int) -> None:
        if not examples:
            raise DataError(
                f"no item that came next is among the first {self.table.items.shape[1]} candidates of "
                f"{len(self.events):,} events",
                hint="raise candidates, bring more data, or train the objective next-title",
            )


def gather(plan: TrainingPlan, progress: ProgressCallback | None = None) -> Material:
    """Choose training events and retrieve their candidates out of sample.

    The hybrid's weights are fitted on users that its parts never saw, so that its scores stay calibrated.

    Raises:
        DataError: there are too few users or events to fit it.
    """
    settle_threads()
    settings, seed = plan.settings, plan.recipe.seed
    protocol = make_protocol(plan.dataset, plan.protocol + VALIDATION, seed=seed)
    safe, parts = safe_training_part(plan.dataset, plan.protocol + VALIDATION, seed=seed)
    train = seen_items_only(safe)
    embedder = load_embedder(settings.embedder, progress=progress)
    index = ItemIndex.build(train.item_ids, index_texts(train), embedder, progress=progress)
    folds = plan.recipe.encoder_folds
    try:
        if folds:
            hybrids = EncodedHybrids(
                train=train,
                validation=protocol.validation,
                index=index,
                embedder=embedder,
                folder=plan.folder / "encoders",
                seed=seed,
                progress=progress,
            )
            source = hybrids.source(folds)
        else:
            source = plain_source(train, index, embedder, seed=seed, progress=progress)
    except ValueError as error:
        raise DataError(f"the hybrid cannot be fitted: {error}", hint="bring more data") from error
    events = choose_events(train, plan.recipe)
    table = retrieve_candidates(
        train,
        events,
        source,
        settings.candidates,
        folds=folds or FOLDS,
        seed=seed if folds else 0,
        cache=plan.folder / "candidates",
        progress=progress,
    )
    return Material(
        protocol=protocol,
        train=train,
        parts=tuple(seen_items_only(part).fingerprint for part in parts),
        source=source,
        events=events,
        table=table,
    )


def prepare(plan: TrainingPlan, progress: ProgressCallback | None = None) -> RankerParts:
    """Choose events, retrieve their candidates out of sample, load and adapt the base model.

    Raises:
        ConfigError: an option is impossible. DataError: nothing can be learned from the data.
        WeightsError, ModelError: the base model cannot be had or loaded.
    """
    recipe = plan.recipe
    if recipe.objective == MATCH:
        # A stretch is a history: the renderer must show all of it.
        plan = replace(plan, settings=plan.settings.model_copy(update={"history_length": recipe.stretch}))
    settings = plan.settings
    require_local(settings)
    if recipe.objective == "labels" and (recipe.list_size or settings.candidates) > MAX_LABELS:
        raise ConfigError(
            f"candidates is {settings.candidates}; the objective labels shows at most {MAX_LABELS}",
            hint=f"add -o list_size={MAX_LABELS}",
        )
    material = gather(plan, progress)
    local, loaded = load_base(settings, plan.device, progress)
    base = as_base(local, loaded)
    layout, reports = ChatLayout(loaded.tokenizer), list[RenderReport]()
    tools = Tools(
        layout=layout,
        renderer=renderer_for(layout, settings, reports),
        retrieval_weight=recipe.retrieval_weight,
    )
    tuned = TunedNetwork(base, recipe)
    if plan.start_from is not None:
        check_adapter(plan.start_from, base.name, base.fingerprint, layout.fingerprint)
        tuned.load_adapter(plan.start_from / ADAPTER_WEIGHTS)
    objective, examples = _objective(recipe, material, tools, tuned, base.pad_id)
    if isinstance(objective, MatchObjective) and isinstance(examples, StretchSet):
        _prepare_head(plan, objective, examples, tuned, material, base, progress)
    evaluate = None
    if plan.eval_users:
        evaluate = validation(plan, material, replace(loaded, head=tuned.head), objective)
    provenance = _provenance(plan, base, layout, objective, material, len(examples))
    return RankerParts(
        base=base,
        tuned=tuned,
        objective=objective,
        examples=examples,
        events=len(material.events),
        provenance=provenance,
        identity=_identity(plan, provenance, material.source),
        evaluate=evaluate,
        reports=reports,
    )


def _objective(
    recipe: Recipe, material: Material, tools: Tools, tuned: TunedNetwork, pad_id: int
) -> tuple[Objective[Any], ExampleSet | StretchSet]:
    """The loss and what it learns from."""
    if recipe.objective == MATCH:
        stretches = material.stretches(recipe)
        return set_up_match(material.train, stretches, recipe, tools, tuned, pad_id), stretches
    objective = make_objective(recipe, tools)
    return objective, material.examples(recipe, needs_target=objective.needs_target)


def _prepare_head(
    plan: TrainingPlan,
    objective: MatchObjective,
    stretches: StretchSet,
    tuned: TunedNetwork,
    material: Material,
    base: Base,
    progress: ProgressCallback | None,
) -> None:
    """Start the head from that of another adapter, or train it alone first."""
    if plan.start_from is not None and (plan.start_from / HEAD_FILE).is_file():
        tuned.load_head(plan.start_from / HEAD_FILE)
    elif plan.recipe.head_epochs and not plan.dry_run and tuned.head is not None:
        identity = {
            "recipe": plan.recipe.as_dict(),
            "data": material.train.fingerprint,
            "retriever": material.source.fingerprint,
            "base": base.fingerprint,
            "template": load_template(f"rerank-{objective.form}", "en").id,
            **prompt_settings(plan.settings),
        }
        network = TrainedNetwork(tuned.causal, base.pad_id)
        tuned.train(False)
        warmed(
            plan.folder / "head", identity, objective, tuned.head, network, stretches, plan.recipe, progress
        )


def require_local(settings: Settings) -> None:
    if settings.llm == "none" or settings.llm.startswith(("http://", "https://")):
        raise ConfigError(
            f"llm is {settings.llm!r}; training needs weights: a built-in name, hf:org/name or a folder"
        )
    if settings.quantization == "int8":
        raise ConfigError("quantization is 'int8'; training knows none and nf4 (QLoRA)")


def load_base(
    settings: Settings, device: Device, progress: ProgressCallback | None
) -> tuple[LocalSource, Loaded]:
    """The base model without any adapter."""
    local = ensure(settings.llm, progress=progress)
    loaded = load_files(
        local.path,
        name=local.name,
        fingerprint=local.fingerprint,
        adapter=None,
        quantization=settings.quantization,
        dtype=settings.dtype,
        device=device,
    )
    return local, loaded


def load_tokenizer(settings: Settings, progress: ProgressCallback | None) -> Any:
    """The base model's tokenizer alone."""
    require_local(settings)
    path = ensure(settings.llm, progress=progress).path
    with quiet_libraries():
        return hf.AutoTokenizer.from_pretrained(path, local_files_only=True)


def as_base(local: LocalSource, loaded: Loaded) -> Base:
    return Base(
        name=local.name,
        fingerprint=local.fingerprint,
        licence=local.licence,
        causal=loaded.causal,
        tokenizer=loaded.tokenizer,
        pad_id=loaded.pad_id,
    )


def renderer_for(layout: ChatLayout, settings: Settings, reports: list[RenderReport]) -> PromptRenderer:
    """The renderer of ``assemble.make_renderer`` for a model that is not served yet."""
    return PromptRenderer(
        lambda texts: [len(ids) for ids in layout.ids(texts)],
        history_length=settings.history_length,
        prompt_tokens=settings.prompt_tokens,
        title_tokens=settings.title_tokens,
        domain=settings.domain,
        on_report=reports.append,
    )


def validation(
    plan: TrainingPlan,
    material: Material,
    loaded: Loaded,
    objective: Objective[Any],
) -> Callable[[], dict[str, float]]:
    """Measures of the network as it then is, through the reranker that serves, on validation users."""
    retriever = material.source.build(material.train)
    reached = reachable(
        material.protocol,
        retriever,
        plan.settings.candidates,
        users=plan.eval_users,
        seed=plan.recipe.seed,
    )
    if not reached:
        raise DataError(
            f"no validation item is among the first {plan.settings.candidates} candidates; there is "
            "nothing to evaluate on",
            hint="raise candidates, or --eval-users 0",
        )

    def evaluate() -> dict[str, float]:
        model = TransformersLM(loaded)
        renderer = renderer_for(ChatLayout(loaded.tokenizer), plan.settings, [])
        # A new reranker each time: it remembers what titles were worth without the person.
        reranker = LLMReranker(model, renderer, form=objective.form, fusion=Fusion())
        return measures(list(fusion_examples(reached, reranker)))

    return evaluate


def _provenance(
    plan: TrainingPlan,
    base: Base,
    layout: ChatLayout,
    objective: Objective[Any],
    material: Material,
    examples: int,
) -> Provenance:
    return Provenance(
        base=base,
        tokenizer_fingerprint=layout.fingerprint,
        template=load_template(f"rerank-{objective.form}", "en").id,
        scoring=objective.form,
        data={
            "name": plan.data_name,
            "terms": plan.data_terms,
            "whole": plan.dataset.fingerprint,
            "fingerprint": material.train.fingerprint,
            "parts": list(material.parts),
            "protocol": plan.protocol,
            "split": material.protocol.description.partition("; asked")[0],
            "users": len(material.train.sequences()),
            "examples": examples,
        },
        settings=prompt_settings(plan.settings),
        command=plan.command,
    )


def _identity(plan: TrainingPlan, made: Provenance, source: RetrieverSource) -> dict[str, Any]:
    """What must not change between beginning and resuming a training, by the names that users know."""
    return {
        **made.settings,
        **plan.recipe.as_dict(),
        "protocol": plan.protocol,
        "eval_users": plan.eval_users,
        "start_from": adapter_hash(plan.start_from),
        "data": made.data["fingerprint"],
        "retriever": source.fingerprint,
        "base_fingerprint": made.base.fingerprint,
        "tokenizer_fingerprint": made.tokenizer_fingerprint,
        "template": made.template,
    }
