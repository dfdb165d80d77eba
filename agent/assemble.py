"""From a workspace and settings to a running pipeline: the only place that chooses implementations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tastemaker.agent.counterfactual import Counterfactuals
from tastemaker.agent.explain import EvidenceExplainer
from tastemaker.agent.influence import FusedInfluence
from tastemaker.agent.llm_load import load_language_model
from tastemaker.agent.pipeline import Pipeline
from tastemaker.agent.rankers import adapters_fusion, ranking_settings
from tastemaker.agent.rerank import LLMReranker, RetrievalReranker
from tastemaker.artifacts import recover_folder
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.finetune.ranker.files import adapter_hash
from tastemaker.fusion import DEFAULT_FUSION, Fusion
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.embeddings import SentenceTransformerEmbedder, load_embedder
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, build_retriever
from tastemaker.index.sequential import SequentialRetriever, load_sequential, training_fingerprint
from tastemaker.index.store import ItemIndex
from tastemaker.prompts.domains import load_domain
from tastemaker.prompts.render import PromptRenderer
from tastemaker.protocols import LanguageModel, ProgressCallback
from tastemaker.workspace import Workspace

NO_LLM = "no language model is configured (llm: none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What ``load_parts`` put together. ``model`` words explanations, ``ranker`` scores; often the same."""

    dataset: Dataset
    embedder: SentenceTransformerEmbedder
    index: ItemIndex
    retriever: HybridRetriever
    model: LanguageModel | None
    ranker: LanguageModel | None
    reranker: LLMReranker | RetrievalReranker
    pipeline: Pipeline
    probe: FusedInfluence
    counterfactuals: Counterfactuals


def load_parts(
    workspace: Workspace,
    settings: Settings,
    progress: ProgressCallback | None = None,
    *,
    train: Dataset | None = None,
) -> Parts:
    """Load everything a workspace needs to answer.

    Args:
        train: a part of the workspace's interactions over the same items; what counts behaviour is built
            from it alone, as evaluation wants. None: from all.

    Raises:
        WorkspaceError: data or index are missing.
        ArtifactError: a part is damaged, or was made for other data or another embedding model.
        WeightsError: model files are missing and cannot be fetched.
    """
    dataset = Dataset.load(workspace.require_data())
    workspace.require_index()
    embedder = load_embedder(settings.embedder, progress=progress)
    index = ItemIndex.load(
        workspace.index,
        embedder_fingerprint=embedder.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
    )
    whole, dataset = dataset, train if train is not None else dataset
    # Counted as behaviour is only what does not speak against its item; histories stay as they are.
    pack = load_domain(settings.domain)
    behaviour = dataset.without_events({name for name in dataset.event_names if pack.weight(name) < 0})
    retriever = build_retriever(
        behaviour,
        index,
        embedder,
        load_hybrid_weights(workspace),
        weigh=pack.weight,
        repeats=pack.repeats,
        more=load_encoders(workspace, whole, index, behaviour),
    )
    ranking = ranking_settings(settings, workspace)
    ranker = load_model(ranking, progress)
    fusion = load_fusion(workspace, ranking)
    reranker = make_reranker(ranker, ranking, fusion)
    model = ranker
    if ranking is not settings and settings.explain == "llm":
        model = load_model(settings, progress)
    renderer = make_renderer(model, settings)
    scorer = reranker if isinstance(reranker, LLMReranker) else None
    probe = FusedInfluence(retriever, scorer, fusion)
    explainer = None
    if settings.explain != "none":
        explainer = EvidenceExplainer(
            model=model if settings.explain == "llm" else None,
            renderer=renderer,
            probe=probe,
            dataset=dataset,
            domain=settings.domain,
            max_readings=None if settings.evidence_readings == "all" else settings.evidence_readings,
        )
    pipeline = Pipeline(
        retriever=retriever,
        reranker=reranker,
        explainer=explainer,
        candidates=ranking.candidates,
        index=index.fingerprint,
    )
    return Parts(
        dataset=dataset,
        embedder=embedder,
        index=index,
        retriever=retriever,
        model=model,
        ranker=ranker,
        reranker=reranker,
        pipeline=pipeline,
        probe=probe,
        counterfactuals=Counterfactuals(dataset, pipeline, probe=probe, rescorer=retriever, fusion=fusion),
    )


def load_encoders(
    workspace: Workspace, whole: Dataset, index: ItemIndex, dataset: Dataset
) -> list[SequentialRetriever]:
    """The user encoder that ``tastemaker train retriever`` wrote, if there is one.

    Args:
        whole: all data of the workspace, a training part of which it has learned from.
        dataset: what it serves beside.

    Raises:
        ArtifactError: it is damaged, or was trained on other interactions or another embedding model.
    """
    recover_folder(workspace.sequential)
    if not workspace.sequential.is_dir():
        return []
    trained_on = training_fingerprint(leave_one_out(whole).train)
    return [load_sequential(workspace.sequential, Catalogue(dataset), index, trained_on=trained_on)]


def load_model(settings: Settings, progress: ProgressCallback | None) -> LanguageModel | None:
    return None if settings.llm == "none" else load_language_model(settings, progress)


def make_renderer(model: LanguageModel | None, settings: Settings) -> PromptRenderer:
    """The renderer that training and serving share; without a model, words are counted as tokens.

    For the scoring form ``match`` it shows as much history as the adapter was trained with.
    """
    trained = getattr(model, "match_history", None) if settings.scoring == "match" else None
    return PromptRenderer(
        model.count_tokens if model is not None else lambda texts: [len(text.split()) for text in texts],
        history_length=trained or settings.history_length,
        prompt_tokens=settings.prompt_tokens,
        title_tokens=settings.title_tokens,
        domain=settings.domain,
    )


def make_reranker(
    model: LanguageModel | None, settings: Settings, fusion: Fusion
) -> LLMReranker | RetrievalReranker:
    if model is None:
        return RetrievalReranker(NO_LLM, fusion)
    if settings.scoring == "match" and getattr(model, "match_history", None) is None:
        raise ConfigError(
            f"scoring is 'match', and {model.name} has no head for it",
            hint="choose an adapter of tastemaker train ranker --objective match, or another scoring",
        )
    return LLMReranker(model, make_renderer(model, settings), form=settings.scoring, fusion=fusion)


def load_fusion(workspace: Workspace | None, settings: Settings, benchmark: str | None = None) -> Fusion:
    """The weights fitted for this workspace (or public data), scoring form and adapter.

    Without any, those of the adapter's own last evaluation, else the form's defaults.
    """
    key = fusion_key(settings, benchmark)
    fitted = read_fusions(workspace).get(key) if workspace is not None else None
    if isinstance(fitted, dict) and fitted.get("adapter") != adapter_hash(settings.adapter):
        fitted = None  # another adapter's scores have other units
    if fitted is not None:
        return Fusion.from_dict(fitted)
    return adapters_fusion(settings.adapter) or DEFAULT_FUSION[settings.scoring]


def fusion_key(settings: Settings, benchmark: str | None) -> str:
    """The name of fitted weights in ``fusion.json``: what public data gave is not for the workspace's own."""
    return settings.scoring if benchmark is None else f"{benchmark}:{settings.scoring}"


def read_fusions(workspace: Workspace) -> dict[str, object]:
    """The fitted weights by scoring form, as ``tastemaker train fusion`` wrote them."""
    return _read_json(workspace.ranker / "fusion.json")


def load_hybrid_weights(workspace: Workspace) -> HybridWeights:
    values = _read_json(workspace.retriever / "weights.json")
    return HybridWeights.from_dict(values) if values else HybridWeights()


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    hint = "delete it to use the defaults"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}", hint=hint) from error
    if not isinstance(values, dict):
        raise ArtifactError(f"{path} is damaged: it holds a {type(values).__name__}", hint=hint)
    return values
