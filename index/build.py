"""From a data set to an index on disk, embedding only what has not been embedded before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tastemaker.data.dataset import Dataset
from tastemaker.index.cache import EmbeddingCache, embed_missing, text_key
from tastemaker.index.embeddings import ENGLISH_ONLY, has_non_latin, load_embedder
from tastemaker.index.store import EXACT_LIMIT, ItemIndex
from tastemaker.index.text import item_text
from tastemaker.protocols import Embedder, ProgressCallback

_CHUNK = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The index and what making it took. ``warning`` is a line for the user, or None."""

    index: ItemIndex
    embedded: int
    reused: int
    warning: str | None = None


def build_index(
    dataset: Dataset, folder: Path, source: str | Embedder, *, progress: ProgressCallback | None = None
) -> BuildReport:
    """Embed the items of ``dataset`` and write their index to ``folder`` (usually ``Workspace.index``).

    Vectors are kept in ``embeddings`` beside ``folder``, by content: building again embeds only texts that
    are new, and an interrupted build goes on where it stopped. The index replaces the old one in one step.

    Args:
        source: an embedding model's source (``load_embedder``) or an embedder.

    Raises:
        WeightsError, ModelError: the embedding model cannot be had or fails.
        StorageError: the disk is full or read-only. What lay in ``folder`` is unharmed.
    """
    embedder = load_embedder(source, progress=progress) if isinstance(source, str) else source
    texts = [item_text(item) for item in dataset.iter_items()]
    keys = [text_key(embedder.fingerprint, text) for text in texts]
    cache = EmbeddingCache(folder.with_name("embeddings"), embedder.dimension)
    embedded = embed_missing(texts, embedder, cache, progress)
    index = ItemIndex(
        embedder.dimension,
        kind="exact" if len(texts) <= EXACT_LIMIT else "hnsw",
        embedder_name=embedder.name,
        embedder_fingerprint=embedder.fingerprint,
    )
    index.dataset_fingerprint = dataset.fingerprint
    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        index.add(dataset.item_ids[start : start + len(part)], cache.get(part), keys=part)
        if progress is not None:
            progress("indexing items", start + len(part), len(keys))
    index.save(folder)
    cache.keep(keys)
    return BuildReport(
        index=index,
        embedded=embedded,
        reused=len(texts) - embedded,
        warning=language_warning(embedder.name, texts[:1_000]),
    )


def language_warning(embedder: str, texts: list[str]) -> str | None:
    """A line for the user when an English-only model meets text in another script, else None."""
    if embedder not in ENGLISH_ONLY or not has_non_latin(texts):
        return None
    return (
        f"{embedder} reads English only and this text is in another script: meanings will not match. "
        "Choose a multilingual model: embedder: hf:intfloat/multilingual-e5-small in config.yaml"
    )
