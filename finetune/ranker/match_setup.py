"""Everything that the objective ``match`` needs before its first step: item features, factors, a head."""

from __future__ import annotations

import torch
from torch import Tensor

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.factors import crossfit_factors
from tastemaker.finetune.ranker.lora import TunedNetwork
from tastemaker.finetune.ranker.match_head import MatchHead, MatchShape, item_key
from tastemaker.finetune.ranker.match_objective import MatchObjective
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Tools
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.stretches import StretchSet
from tastemaker.finetune.ranker.text_features import lead_of, pooled_states, text_ids
from tastemaker.prompts.render import match_text

CALIBRATION = 24
"""Stretches whose states give the means and spreads that the head removes."""


def set_up_match(
    train: Dataset, stretches: StretchSet, recipe: Recipe, tools: Tools, tuned: TunedNetwork, pad_id: int
) -> MatchObjective:
    """Give ``tuned`` a head for the items of ``train``, and return the loss that trains both.

    Raises:
        ConfigError: LoRA leaves no layer alone, so that item texts have no fixed features.
    """
    causal = tuned.causal
    layers = len(causal.base_model.layers)
    layer = layers - recipe.lora_layers
    if not recipe.lora_layers or layer < 1:
        raise ConfigError(
            f"lora_layers is {recipe.lora_layers}; the objective match needs 1 to {layers - 1}, since item "
            "texts are read by the layers below"
        )
    network = TrainedNetwork(causal, pad_id)
    names = [match_text(item) for item in train.iter_items()]
    texts = pooled_states(
        causal.base_model, text_ids(tools.layout, names), lead=lead_of(tools.layout), layer=layer
    )
    factors = torch.from_numpy(crossfit_factors(train, recipe.factors))
    shape = MatchShape(
        state=causal.config.get_text_config().hidden_size,
        text=texts.shape[1],
        factors=recipe.factors,
        layer=layer,
        history=recipe.stretch,
    )
    known = {item_key(name): row for name, row in zip(names, factors[0], strict=True) if bool(row.any())}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        head = MatchHead(shape, known=known)
    objective = MatchObjective(tools, head, texts, factors)
    head.calibrate(_sample_states(objective, network, tuned, stretches), texts)
    tuned.head = head.to(network.device)
    return objective


@torch.no_grad()
def _sample_states(
    objective: MatchObjective, network: TrainedNetwork, tuned: TunedNetwork, stretches: StretchSet
) -> Tensor:
    """States of the untrained network where the first stretches ask."""
    tuned.train(False)
    found = []
    for place in range(min(CALIBRATION, len(stretches))):
        encoded = objective.encode(stretches[place])
        found.append(network.hidden([encoded.rows[0]])[0, list(encoded.marks[0])].cpu())
    return torch.cat(found)
