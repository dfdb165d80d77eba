"""From a data set to an index on disk, embedding only what has not been embedded before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ArtifactError
from tastemaker.index.cache import EmbeddingCache, text_key
from tastemaker.index.embeddings import ENGLISH_ONLY, has_non_latin, load_embedder
from tastemaker.index.store import EXACT_LIMIT, ItemIndex
from tastemaker.index.text import item_text
from tastemaker.protocols import Embedder, ProgressCallback

MAX_DEAD_SHARE = 1 / 3
"""A graph with more dead rows than this is built anew: they cost memory and steps of every search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The index and what making it took: texts embedded now, items whose vectors were there already.

    ``warning`` is a line for the user, or None.
    """

    index: ItemIndex
    embedded: int
    reused: int
    warning: str | None = None


def index_texts(dataset: Dataset) -> list[str]:
    """The text of every item in the order of ``dataset.item_ids``."""
    return [item_text(item) for item in dataset.iter_items()]


def build_index(
    dataset: Dataset,
    folder: Path,
    source: str | Embedder,
    *,
    exact_limit: int = EXACT_LIMIT,
    progress: ProgressCallback | None = None,
) -> BuildReport:
    """Embed the items of ``dataset`` and write their index to ``folder`` (``Workspace.index``).

    Vectors are kept in ``embeddings`` beside ``folder``, by content: building again embeds only texts that
    are new, and an interrupted build goes on where it stopped. A graph that is there is changed, not
    rebuilt. The new index replaces the old one in one step.

    Args:
        source: an embedding model's source (``load_embedder``) or an embedder.

    Raises:
        WeightsError: the embedding model cannot be had.
        ModelError: it fails.
        StorageError: the disk is full or read-only. What lay in ``folder`` is unharmed.
    """
    embedder = load_embedder(source, progress=progress) if isinstance(source, str) else source
    texts = index_texts(dataset)
    cache = EmbeddingCache(folder.with_name("embeddings"), embedder.dimension)
    index = _start(dataset, folder, embedder, exact_limit)
    embedded = index.add(dataset.item_ids, texts, embedder, cache=cache, progress=progress)
    index.dataset_fingerprint = dataset.fingerprint
    index.save(folder)
    cache.keep(text_key(embedder.fingerprint, text) for text in texts)
    return BuildReport(
        index=index,
        embedded=embedded,
        reused=len(texts) - embedded,
        warning=language_warning(embedder.name, texts[:1_000]),
    )


def _start(dataset: Dataset, folder: Path, embedder: Embedder, exact_limit: int) -> ItemIndex:
    """The graph in ``folder`` without the items that are gone, where it can be kept; else an empty index."""
    empty = ItemIndex.empty(embedder, len(dataset.item_ids), exact_limit=exact_limit)
    if empty.kind == "exact":
        return empty
    try:
        index = ItemIndex.load(folder, embedder_fingerprint=embedder.fingerprint, dataset_fingerprint=None)
    except ArtifactError:
        return empty
    index.remove([item_id for item_id in index.ids if not dataset.has_item(item_id)])
    dead = index.rows - len(index)
    fits = index.kind == empty.kind and index.exact_limit == exact_limit
    return index if fits and dead <= MAX_DEAD_SHARE * index.rows else empty


def language_warning(embedder: str, texts: list[str]) -> str | None:
    """A line for the user when an English-only model meets text in another script, else None."""
    if embedder not in ENGLISH_ONLY or not has_non_latin(texts):
        return None
    return (
        f"{embedder} reads English only and this text is in another script: meanings will not match. "
        "Choose a multilingual model, e.g. embedder: hf:intfloat/multilingual-e5-small in config.yaml"
    )
