"""From a model folder, and maybe an adapter folder, to a network and a tokenizer in memory.

Only safetensors are read; code that comes with a model is never run.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError, safe_open

from tastemaker.artifacts import MANIFEST, read_manifest
from tastemaker.errors import ArtifactError, ModelError
from tastemaker.finetune.peft_library import peft
from tastemaker.finetune.ranker.files import (
    ADAPTER_CONFIG,
    ADAPTER_KIND,
    ADAPTER_WEIGHTS,
    HEAD_FILE,
    adapter_hash,
)
from tastemaker.finetune.ranker.lora import keep_unpacked
from tastemaker.finetune.ranker.match_head import MatchHead
from tastemaker.machine import native_bfloat16
from tastemaker.prompts.chat import ChatLayout

hf: Any = transformers
"""transformers is typed in parts only."""

Quantization = Literal["none", "int8", "nf4"]
Dtype = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model ready to compute. ``adapter`` is ``name@hash``; ``pad_id`` is any id, it is always masked.

    ``head``: of an adapter for the scoring form ``match``.
    """

    name: str
    causal: Any
    tokenizer: Any
    pad_id: int
    context_length: int
    adapter: str | None
    adapter_template: str | None
    head: MatchHead | None = None


def load_files(
    path: Path,
    *,
    name: str,
    fingerprint: str | None,
    adapter: Path | None,
    quantization: Quantization,
    dtype: Dtype,
    device: Device,
) -> Loaded:
    """Load everything; arguments and errors as in ``TransformersLM.load``."""
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} holds no model: config.json is missing")
    place = choose_device(device)
    manifest = None
    with quiet_libraries():
        try:
            tokenizer = hf.AutoTokenizer.from_pretrained(path, local_files_only=True)
            if adapter is not None:
                manifest = check_adapter(adapter, name, fingerprint, ChatLayout(tokenizer).fingerprint)
            causal = _load_network(path, quantization, choose_dtype(dtype, place), place)
            if adapter is not None and not changes_nothing(adapter):
                causal = peft.PeftModel.from_pretrained(causal, adapter, is_trainable=False).get_base_model()
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
            source = path if adapter is None else f"{path} with adapter {adapter}"
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"model {name} in {source} cannot be loaded: {reason}") from error
    causal.eval()
    pad_id = _set_stops(causal, tokenizer)
    return Loaded(
        name=name,
        causal=causal,
        tokenizer=tokenizer,
        pad_id=pad_id,
        context_length=int(causal.config.get_text_config().max_position_embeddings),
        adapter=None if adapter is None else f"{adapter.name}@{adapter_hash(adapter)}",
        adapter_template=None if manifest is None else manifest.get("template"),
        head=None if adapter is None else load_head(adapter),
    )


def changes_nothing(adapter: Path) -> bool:
    """Whether all LoRA updates are zero, as where a head was trained alone: the network is faster without."""
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as file:
        return not any(file.get_tensor(name).any() for name in file.keys() if ".lora_B." in name)  # noqa: SIM118


def load_head(folder: Path) -> MatchHead | None:
    """The head that an adapter of the scoring form ``match`` brings."""
    path = folder / HEAD_FILE
    return MatchHead.load(path) if path.is_file() else None


def choose_device(device: Device) -> str:
    """``auto`` is the GPU when torch sees one."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA GPU is visible; device cpu or auto is wanted")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def choose_dtype(dtype: Dtype, device: str) -> torch.dtype:
    """``auto``: on a processor without bfloat16 arithmetic float32 scores four times as fast."""
    if dtype != "auto":
        return torch.float32 if dtype == "float32" else torch.bfloat16
    native = torch.cuda.is_bf16_supported() if device == "cuda" else native_bfloat16()
    return torch.bfloat16 if native else torch.float32


def check_adapter(
    folder: Path, base: str, base_fingerprint: str | None, tokenizer_fingerprint: str
) -> dict[str, Any] | None:
    """Refuse an adapter that is not plain LoRA in safetensors, or was made for something else.

    Returns its manifest, or None where it has none (an adapter that was trained elsewhere).
    """
    for needed in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / needed).is_file():
            raise ArtifactError(f"{folder} holds no LoRA adapter: {needed} is missing")
    try:
        kind = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))["peft_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / ADAPTER_CONFIG} is damaged: {error!r}") from error
    if kind != "LORA":
        raise ArtifactError(f"{folder} holds a {kind} adapter; a LORA adapter is wanted")
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder, ADAPTER_KIND)
    wanted = {"tokenizer_fingerprint": tokenizer_fingerprint}
    if base_fingerprint is None:
        wanted["base"] = base
    else:
        wanted["base_fingerprint"] = base_fingerprint
    for field, value in wanted.items():
        if manifest.get(field) != value:
            raise ArtifactError(
                f"adapter {folder} was trained with {field} {manifest.get(field)!r} (base "
                f"{manifest.get('base')!r}); the model {base} has {value!r}",
                hint="choose the model that the adapter was trained on, or train it again",
            )
    return manifest


def _load_network(path: Path, quantization: Quantization, dtype: torch.dtype, device: str) -> Any:
    options: dict[str, Any] = {}
    if quantization == "nf4":
        options["quantization_config"] = hf.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    elif quantization == "int8":
        # Says at every product that int8 rounds its inputs to float16 first.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        options["quantization_config"] = hf.BitsAndBytesConfig(load_in_8bit=True)
    causal = hf.AutoModelForCausalLM.from_pretrained(
        path,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=dtype,
        device_map={"": device},
        attn_implementation="sdpa",
        **options,
    )
    if quantization == "nf4":
        keep_unpacked(causal)
    return causal


def _set_stops(causal: Any, tokenizer: Any) -> int:
    """Make generation greedy, with the stop tokens of model and tokenizer; return the padding id.

    A model folder may bring sampling settings, which would otherwise be mixed into ours.
    """
    told = causal.generation_config.eos_token_id
    stops = {tokenizer.eos_token_id, *(told if isinstance(told, (list, tuple)) else [told])} - {None}
    pad = tokenizer.pad_token_id
    if pad is None:
        pad = min(stops, default=0)
    causal.generation_config = hf.GenerationConfig(
        do_sample=False, eos_token_id=sorted(stops) or None, pad_token_id=pad
    )
    return int(pad)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence loading bars, deprecation notes between peft and transformers, and what is harmless of
    bitsandbytes: that an optional processor kernel is missing.
    """
    logger = hf.utils.logging
    bars, verbosity = logger.is_progress_bar_enabled(), logger.get_verbosity()
    quantiser = logging.getLogger("bitsandbytes")
    level = quantiser.level
    logger.disable_progress_bar()
    logger.set_verbosity_error()
    quantiser.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        quantiser.setLevel(level)
        logger.set_verbosity(verbosity)
        if bars:
            logger.enable_progress_bar()
