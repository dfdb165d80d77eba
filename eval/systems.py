"""The systems that a table compares, by name. Each is built from a protocol's training part alone.

Nothing is made before it is needed: asking for ``ease`` loads no embedding model. Three kinds are known:
the baselines of ``tastemaker.eval.baselines`` with the settings tuned for the protocol, the retrievers of
``RETRIEVERS``, and what reorders the hybrid's candidates (``RERANKED``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from tastemaker.agent.assemble import load_hybrid_weights, load_model, make_reranker
from tastemaker.agent.rankers import data_name, require_unseen
from tastemaker.agent.rerank import LLMReranker, mend
from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout
from tastemaker.errors import DataError, RequestError
from tastemaker.eval.baselines.registry import BASELINES
from tastemaker.eval.protocols import make_protocol, rules_of
from tastemaker.eval.run import Reranked, Run, ScoredList, System, pool_draws, run_system
from tastemaker.finetune.ranker.examples import seen_items_only
from tastemaker.finetune.ranker.files import adapter_hash
from tastemaker.fusion import Fusion
from tastemaker.home import home
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.embeddings import load_embedder
from tastemaker.index.hybrid import HybridRetriever, HybridWeights, build_retriever
from tastemaker.index.popularity import PopularityRetriever
from tastemaker.index.sequential import SequentialRetriever, load_sequential, training_fingerprint
from tastemaker.index.store import ItemIndex
from tastemaker.index.text_retriever import TextRetriever
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.prompts.domains import load_domain
from tastemaker.protocols import Embedder, ProgressCallback, Reranker, Retriever
from tastemaker.types import Candidate, Request
from tastemaker.workspace import Workspace

DEPTH = 100
"""Items that a retriever lists: twice the largest cutoff, so that ties at its end change no metric."""


class Retrievers(Mapping[str, Retriever]):
    """The retrievers of ``RETRIEVERS`` over one training part, each made when it is first asked for.

    The hybrid is a workspace's own (``workspace``), or is fitted on ``validation`` with a user encoder that
    is trained for this training part and kept in the cache, or has its default weights.
    """

    def __init__(
        self,
        train: Dataset,
        settings: Settings,
        progress: ProgressCallback | None = None,
        *,
        validation: Sequence[Holdout] = (),
        workspace: Workspace | None = None,
    ) -> None:
        self.train = train
        self.settings = settings
        self.progress = progress
        self.validation = validation
        self.workspace = workspace
        self._made: dict[str, Retriever] = {}

    def __getitem__(self, name: str) -> Retriever:
        if name not in self._made:
            self._made[name] = RETRIEVERS[name](self)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(RETRIEVERS)

    def __len__(self) -> int:
        return len(RETRIEVERS)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.train)

    @cached_property
    def embedder(self) -> Embedder:
        return load_embedder(self.settings.embedder, progress=self.progress)

    @cached_property
    def index(self) -> ItemIndex:
        texts = index_texts(self.train)
        return ItemIndex.build(self.train.item_ids, texts, self.embedder, progress=self.progress)

    @cached_property
    def encoder(self) -> SequentialRetriever | None:
        """The workspace's user encoder, or one trained on this training part; None without either.

        Raises:
            ArtifactError: the workspace's encoder was trained on other interactions than this training part.
        """
        if self.workspace is not None:
            folder = self.workspace.sequential
            if not folder.is_dir():
                return None
        elif self.validation:
            from tastemaker.finetune.sequential import SequentialRun
            from tastemaker.finetune.sequential_train import SequentialTraining

            config = SequentialTraining(seed=self.settings.seed)
            run = SequentialRun(self.train, self.validation, self.index, config)
            folder = run.ensure(home() / "encoders", progress=self.progress)
        else:
            return None
        trained_on = training_fingerprint(self.train)
        return load_sequential(folder, self.catalogue, self.index, trained_on=trained_on)

    def facts(self) -> dict[str, Any]:
        """What a run file says of the hybrid: its weights, where it was made."""
        hybrid = self._made.get("hybrid")
        return {"hybrid": hybrid.weights.to_dict()} if isinstance(hybrid, HybridRetriever) else {}


def _hybrid(parts: Retrievers) -> Retriever:
    encoder = parts.encoder
    weights = HybridWeights() if parts.workspace is None else load_hybrid_weights(parts.workspace)
    if parts.workspace is None and encoder is not None:
        from tastemaker.finetune.fit_validation import weigh_encoder

        try:
            weights = weigh_encoder(
                parts.train,
                parts.validation,
                encoder,
                parts.index,
                seed=parts.settings.seed,
                progress=parts.progress,
            )
        except ValueError as error:
            raise DataError(f"the hybrid cannot be fitted: {error}") from error
    more = [] if encoder is None else [encoder]
    pack = load_domain(parts.settings.domain)
    return build_retriever(
        parts.train, parts.index, parts.embedder, weights, more, weigh=pack.weight, repeats=pack.repeats
    )


def _sequential(parts: Retrievers) -> Retriever:
    if parts.encoder is None:
        raise RequestError("there is no user encoder here", hint="tastemaker train retriever")
    return parts.encoder


RETRIEVERS: Mapping[str, Callable[[Retrievers], Retriever]] = {
    "popularity": lambda parts: PopularityRetriever(parts.catalogue),
    "transitions": lambda parts: TransitionRetriever(parts.catalogue),
    "text": lambda parts: TextRetriever(parts.catalogue, parts.index, parts.embedder),
    "sequential": _sequential,
    "hybrid": _hybrid,
}
RERANKED = ("random", "llm", "fused")
SYSTEMS = tuple(dict.fromkeys((*BASELINES, *RETRIEVERS, *RERANKED)))


def build_retrievers(
    train: Dataset, settings: Settings, progress: ProgressCallback | None = None
) -> Retrievers:
    """All retrievers over the training data, by name; see ``Retrievers``."""
    return Retrievers(train, settings, progress)


def require_system(name: str) -> None:
    """Raise RequestError when no system has this name."""
    if name not in SYSTEMS:
        raise RequestError(f"unknown system {name!r}; known are {', '.join(SYSTEMS)}")


def build_system(
    name: str, retrievers: Retrievers, fusion: Fusion | None = None, *, protocol: str = "loo"
) -> System:
    """Build one of ``SYSTEMS``; a baseline with the settings that were tuned for ``protocol``.

    ``random``, ``llm`` and ``fused`` reorder the hybrid's first ``settings.candidates`` items: at random,
    by the language model alone, and by the fusion that is served.

    Raises:
        RequestError: the name is unknown, or the system needs a language model and the settings have none.
        MissingExtraError: a baseline's library is not installed.
    """
    require_system(name)
    settings, progress = retrievers.settings, retrievers.progress
    if name in BASELINES:
        return BASELINES[name](
            retrievers.train,
            protocol=protocol,
            seed=settings.seed,
            embedder=settings.embedder,
            progress=progress,
        )
    if name in RETRIEVERS:
        return _retrieval(retrievers[name])
    hybrid, n = retrievers["hybrid"], settings.candidates
    if name == "random":
        return _shuffled(hybrid, n, settings.seed)
    reranker = make_reranker(load_model(settings, progress), settings, fusion or Fusion())
    if not isinstance(reranker, LLMReranker):
        raise RequestError(f"system {name!r} needs a language model; the setting llm is none")
    return _llm_alone(hybrid, reranker, n) if name == "llm" else Fused(hybrid, reranker, n)


def measure(
    name: str,
    dataset: Dataset,
    protocol: str,
    settings: Settings,
    *,
    fusion: Fusion,
    workspace: Workspace | None = None,
    users: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Run:
    """Build a system for every draw of a protocol, from that draw's training part, and ask it everything.

    ``workspace``: the hybrid is the one that this workspace serves, over the training part. Without, it is
    fitted on the protocol's validation events; on a ``-validation`` protocol that flatters it.

    Raises:
        RequestError: the system or the protocol is unknown.
        ConfigError: the ranker's adapter was trained on another part of these data.
    """
    require_system(name)
    source = data_name(workspace) if workspace is not None else str(rules_of(protocol).benchmark)
    runs = []
    for draw in range(rules_of(protocol).draws):
        asked = make_protocol(dataset, protocol, users=users, seed=seed, draw=draw)
        if name in ("llm", "fused"):
            require_unseen(settings, source, dataset.fingerprint, seen_items_only(asked.train).fingerprint)
        started = time.perf_counter()
        validation = asked.validation if workspace is None else ()
        retrievers = Retrievers(asked.train, settings, progress, validation=validation, workspace=workspace)
        system = build_system(name, retrievers, fusion, protocol=protocol)
        build_seconds = time.perf_counter() - started
        facts = partial(facts_of, system, name, settings, fusion, retrievers)
        runs.append(
            run_system(
                name, system, asked, seed=seed, build_seconds=build_seconds, progress=progress, facts=facts
            )
        )
    return pool_draws(runs)


def _retrieval(retriever: Retriever) -> System:
    def answer(requests: Sequence[Request]) -> list[ScoredList]:
        return [[(c.item.id, c.score) for c in found] for found in retriever.retrieve(requests, DEPTH)]

    return answer


def _shuffled(retriever: Retriever, n: int, seed: int) -> System:
    generator = np.random.default_rng(seed)

    def answer(requests: Sequence[Request]) -> list[Reranked]:
        return [
            _reranked(found, generator.random(len(found)).tolist())
            for found in retriever.retrieve(requests, n)
        ]

    return answer


class Fused:
    """What is served: the retriever's first ``n``, reranked. ``degraded`` counts answers of a fallback."""

    def __init__(self, retriever: Retriever, reranker: Reranker, n: int) -> None:
        self.degraded = 0
        self._retriever, self._reranker, self._n = retriever, reranker, n

    def __call__(self, requests: Sequence[Request]) -> list[Reranked]:
        candidates = self._retriever.retrieve(requests, self._n)
        rankings = self._reranker.rerank(requests, candidates)
        self.degraded += sum(ranking.degraded is not None for ranking in rankings)
        return [
            Reranked(
                items=[(entry.item.id, entry.score) for entry in ranking.items],
                candidates=tuple(candidate.item.id for candidate in found),
            )
            for found, ranking in zip(candidates, rankings, strict=True)
        ]


def _llm_alone(retriever: Retriever, reranker: LLMReranker, n: int) -> System:
    def answer(requests: Sequence[Request]) -> list[Reranked]:
        found = retriever.retrieve(requests, n)
        scored = reranker.scores(requests, found)
        return [
            _reranked(candidates, mend(scores)[0].tolist())
            for candidates, (scores, _) in zip(found, scored, strict=True)
        ]

    return answer


def _reranked(candidates: Sequence[Candidate], scores: Sequence[float]) -> Reranked:
    """The candidates by score, best first; equal ones keep the retriever's order."""
    ids = [candidate.item.id for candidate in candidates]
    order = sorted(range(len(ids)), key=lambda i: -scores[i])
    return Reranked(items=[(ids[i], scores[i]) for i in order], candidates=tuple(ids))


def facts_of(
    system: System, name: str, settings: Settings, fusion: Fusion, retrievers: Retrievers | None = None
) -> dict[str, Any]:
    """What a run file says beside the figures; a baseline adds its setting and who chose it from what."""
    return {
        "settings": _settings_of(name, settings),
        "fusion": fusion.to_dict() if name in RERANKED else None,
        **getattr(system, "facts", {}),
        **(retrievers.facts() if retrievers is not None else {}),
    }


def _settings_of(name: str, settings: Settings) -> dict[str, Any]:
    """The settings, without a model where none answers; an adapter as ``films@hash``, not as a path."""
    folder = settings.adapter
    adapter = None if folder is None else f"{folder.name}@{adapter_hash(folder)}"
    asked = {} if name in ("llm", "fused") else {"llm": "none", "adapter": None}
    return {**settings.as_dict(), "adapter": adapter, **asked}
