"""LoRA on the linear layers of a loaded network, and its weights as plain tensors by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tastemaker.errors import ConfigError
from tastemaker.finetune.peft_library import peft
from tastemaker.finetune.ranker.match_head import PREFIX, MatchHead
from tastemaker.finetune.ranker.recipe import Recipe

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A loaded base model. ``fingerprint`` is that of its weights; ``licence`` is for the model card."""

    name: str
    fingerprint: str
    licence: str
    causal: Any
    tokenizer: Any
    pad_id: int


class TunedNetwork:
    """A base network under LoRA. The base is frozen and stays as it was on disk."""

    def __init__(self, base: Base, recipe: Recipe) -> None:
        causal = base.causal
        keep_unpacked(causal)
        layers = len(causal.base_model.layers)
        if recipe.lora_layers > layers:
            raise ConfigError(f"lora_layers is {recipe.lora_layers}; {base.name} has {layers} layers")
        self.config = peft.LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.dropout,
            target_modules=linear_names(causal),
            layers_to_transform=list(range(layers - recipe.lora_layers, layers))
            if recipe.lora_layers
            else None,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # peft 0.21 reads an attribute that transformers 5.24 has renamed.
            warnings.simplefilter("ignore", FutureWarning)
            # The adapter is to name the model by its source, not by the folder it lies in.
            warnings.filterwarnings("ignore", message="The PEFT config's", category=UserWarning)
            torch.manual_seed(recipe.seed)
            self.model = peft.get_peft_model(causal, self.config)
        # peft writes the folder of the weights there, which means nothing elsewhere.
        self.config.base_model_name_or_path = base.name
        self.causal = causal
        self.head: MatchHead | None = None
        if recipe.gradient_checkpointing:
            causal.activation_checkpointing_enable({"use_reentrant": False})

    @property
    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """The LoRA matrices by their names in the network, then the head's, in a fixed order."""
        own = {name: value for name, value in self.causal.named_parameters() if value.requires_grad}
        learned = {} if self.head is None else self.head.learned
        return {**own, **{f"{PREFIX}{name}": value for name, value in learned.items()}}

    def train(self, mode: bool = True) -> None:
        """Turn dropout on or off, in network and head."""
        for module in filter(None, (self.causal, self.head)):
            module.train(mode)

    def weights(self) -> Weights:
        """Copies of what is trained, on the processor."""
        return {name: value.detach().cpu().clone() for name, value in self.trainable.items()}

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.trainable.items():
            value.copy_(weights[name])

    def load_adapter(self, path: Path) -> None:
        """Start from the weights of an adapter file with the same layers and rank.

        Raises:
            ConfigError: the file holds other layers or another rank.
        """
        found = load_file(path)
        wanted = self.adapter_tensors(self.weights(), torch.float32)
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in wanted.items()}:
            raise ConfigError(
                f"{path} holds {len(found)} LoRA matrices that do not fit the recipe's {len(wanted)}",
                hint="use the rank and lora_layers that the adapter was trained with",
            )
        names = [name for name in self.trainable if not name.startswith(PREFIX)]
        own = dict(zip(wanted, names, strict=True))
        self.set_weights({**self.weights(), **{own[name]: value for name, value in found.items()}})

    def load_head(self, path: Path) -> None:
        """Start the head from one with the same shape: its learned weights, means and spreads.

        Raises:
            ArtifactError: the file is damaged. ConfigError: there is no head here, or it has another shape.
        """
        found = MatchHead.load(path)
        if self.head is None or found.shape != self.head.shape:
            raise ConfigError(
                f"{path} holds a head of {found.shape}, which does not fit the recipe",
                hint="use the stretch, factors and lora_layers that the adapter was trained with",
            )
        self.head.load_state_dict(found.state_dict())

    def adapter_tensors(self, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Weights:
        """``weights`` of the LoRA matrices under the names of peft's adapter file."""
        return {
            f"base_model.model.{name.replace('.default.', '.')}": value.to(dtype).contiguous()
            for name, value in weights.items()
            if not name.startswith(PREFIX)
        }


def linear_names(causal: Any) -> list[str]:
    """Last name parts of all linear layers but the head: q_proj, ..., down_proj."""
    return sorted(
        {
            name.rsplit(".", 1)[-1]
            for name, module in causal.base_model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
    )


def keep_unpacked(causal: Any) -> None:
    """Keep bitsandbytes from packing 4-bit weights for its processor kernel.

    It does so at the first forward pass in evaluation mode on processors with AVX-512 bfloat16. The kernel
    has no gradient, and it fails where a layer's width is no multiple of 64.
    """
    for module in causal.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
