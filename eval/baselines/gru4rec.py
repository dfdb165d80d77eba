"""GRU4Rec (Hidasi et al. 2016) as Cornac trains it: one recurrent step at a time, sampled softmax, Adagrad.

Cornac scores whole histories for anyone, so a request's present history is the query. Its users are our
users, one session each.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from tastemaker.errors import DataError, MissingExtraError
from tastemaker.eval.baselines.dense import DenseRetriever
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.training import seeded
from tastemaker.index.catalogue import Catalogue
from tastemaker.protocols import FloatArray
from tastemaker.types import Request


class GRU4RecRetriever(DenseRetriever):
    """Score: the model's score of every item after the last ``length`` items of the history."""

    name = "gru4rec"

    def __init__(self, catalogue: Catalogue, model: Any, length: int) -> None:
        super().__init__(catalogue)
        self._model = model
        self._length = length

    def dense(self, request: Request) -> FloatArray | None:
        history = self.catalogue.positions(request.history.item_ids)[-self._length :]
        if not len(history):
            return None
        return np.asarray(self._model.score(0, history.tolist()), np.float32)


def gru4rec(
    material: Material,
    seed: int,
    *,
    dimension: int,
    epochs: int,
    learning_rate: float,
    dropout: float,
    batch_size: int,
    negatives: int,
    length: int,
) -> GRU4RecRetriever:
    """Train on every user with two events or more, ``batch_size`` of them side by side.

    Raises:
        MissingExtraError: cornac is not installed.
        DataError: no user has two events.
    """
    try:
        from cornac.data import SequentialDataset
        from cornac.models import GRU4Rec
    except ImportError as error:
        raise MissingExtraError(package="cornac", extra="eval") from error
    trainable = [items for items in material.sequences if len(items) > 1]
    if not trainable:
        raise DataError("no user has two events or more; there is nothing to train GRU4Rec on")
    # Cornac numbers items as they come; given the numbers, it keeps ours. It wants a time per event, too.
    numbers = OrderedDict((position, position) for position in range(len(material.catalogue)))
    events = [
        (session, int(item), step)
        for session, items in enumerate(trainable)
        for step, item in enumerate(items)
    ]
    model = GRU4Rec(
        layers=[dimension],
        n_epochs=epochs,
        learning_rate=learning_rate,
        dropout_p_embed=dropout,
        batch_size=min(batch_size, len(trainable)),  # more than there are sessions and fit fails
        n_sample=negatives,
        seed=seed,
    )
    with seeded(seed):  # its own seed is for batches and negatives only
        model.fit(SequentialDataset.build(events, fmt="SIT", global_iid_map=numbers))
    return GRU4RecRetriever(material.catalogue, model, length)
