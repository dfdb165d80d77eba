"""The hybrid that a ranker is trained beside, made again for every fold of users.

With its user encoder the hybrid is what serving uses, and the ranker learns what that hybrid does not know;
but the encoder has to be trained once per fold, which takes minutes to hours. Without it the ranker also
learns what the encoder knows already, and promises more than it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tastemaker.artifacts import digest_of
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import Holdout
from tastemaker.finetune.crossfit import deal, moments
from tastemaker.finetune.fit_hybrid import (
    LAST,
    HybridExample,
    equal_weights,
    fit_weights,
    hybrid_examples,
    weigh_parts,
    with_history,
)
from tastemaker.finetune.ranker.candidates import RetrieverSource
from tastemaker.finetune.sequential import SequentialRun
from tastemaker.finetune.sequential_train import SequentialTraining
from tastemaker.index.catalogue import Catalogue, CatalogueRetriever
from tastemaker.index.hybrid import (
    HybridRetriever,
    HybridWeights,
    behaviour_parts,
    build_retriever,
    text_parts,
)
from tastemaker.index.sequential import load_sequential, training_fingerprint
from tastemaker.index.store import ItemIndex
from tastemaker.protocols import Embedder, ProgressCallback

WEIGHED_ON = 1_500
"""Users of the first fold whose latest events weigh the hybrid's parts, at most."""

PATIENCE = 4
"""Epochs without a better NDCG@10 before a fold's encoder stops; the serving one is given twice as many."""


def plain_source(
    train: Dataset, index: ItemIndex, embedder: Embedder, *, seed: int, progress: ProgressCallback | None
) -> RetrieverSource:
    """The hybrid without its encoder, weighed on users that its parts never saw.

    Raises:
        ValueError: too few users, or no item that came next is in any pool.
    """
    weights = weigh_parts(train, index, embedder, seed=seed, progress=progress)
    return RetrieverSource(
        build=lambda part: build_retriever(part, index, embedder, weights),
        fingerprint=digest_of(["hybrid", weights.to_dict(), embedder.fingerprint]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedHybrids:
    """Hybrids with a user encoder each, over parts of one training set.

    ``validation``: events after the training set; those of a part's own users stop its encoder.
    ``folder``: where encoders are kept, by what they were trained on.
    """

    train: Dataset
    validation: Sequence[Holdout]
    index: ItemIndex
    embedder: Embedder
    folder: Path
    seed: int
    progress: ProgressCallback | None = None

    def source(self, folds: int) -> RetrieverSource:
        """Weighed on the users of the first of ``folds``, whom its parts have not seen.

        Raises:
            ValueError: too few users, or no item that came next is in any pool.
            DataError: a fold has nothing to train an encoder on.
        """
        weights = self._weigh(folds)
        made = ["hybrid", weights.to_dict(), self.embedder.fingerprint, asdict(self._config)]
        return RetrieverSource(build=lambda part: self._hybrid(part, weights), fingerprint=digest_of(made))

    @property
    def _config(self) -> SequentialTraining:
        return SequentialTraining(seed=self.seed, patience=PATIENCE)

    def _parts(self, part: Dataset) -> list[CatalogueRetriever[Any]]:
        known, users = set(self.train.item_ids), part.user_positions
        held = [one for one in self.validation if one.user_id in users and one.item_id in known]
        run = SequentialRun(part, held, self.index, self._config)
        folder, catalogue = run.ensure(self.folder, progress=self.progress), Catalogue(part)
        encoder = load_sequential(folder, catalogue, self.index, trained_on=training_fingerprint(part))
        return [*behaviour_parts(catalogue), *text_parts(catalogue, self.index, self.embedder), encoder]

    def _hybrid(self, part: Dataset, weights: HybridWeights) -> HybridRetriever:
        parts = self._parts(part)
        return HybridRetriever(parts[0].catalogue, parts, weights)

    def _weigh(self, folds: int) -> HybridWeights:
        others, users = next(deal(self.train, folds, self.seed))
        parts = self._parts(others)
        names = [part.name for part in parts]
        retriever = HybridRetriever(parts[0].catalogue, parts, equal_weights(names))
        examples: list[HybridExample] = []
        events = 0
        for user in users[:WEIGHED_ON]:
            asked = moments(self.train, user, LAST)
            events += len(asked)
            requests, targets = [one.request for one in asked], [one.target for one in asked]
            examples += hybrid_examples(retriever, requests, targets, names)
        return with_history(fit_weights(examples, names, events).weights)
