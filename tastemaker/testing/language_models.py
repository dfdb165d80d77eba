"""Language models for tests: a scripted fake, and tiny real model and adapter folders.

The tiny ones have random weights but take every real code path (tokenizer, chat template, attention
cache, LoRA) in milliseconds. Their words mean nothing.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import ModelError
from tastemaker.protocols import FloatArray
from tastemaker.types import Prompt

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_CORPUS = (
    "The user liked Alien (1979), Heat (1995) and Toy Story (1995). Which film fits? Answer yes or no.",
    "A light comedy for a Friday night with the family, please. The candidates are A, B, C, D and E.",
    "你好，推荐一部电影。是 否",
)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def word_overlap(prompt: Prompt, choice: str) -> float:
    """log((1 + words of the choice that the prompt holds) / (1 + words of the choice)): at most 0."""
    known, asked = set(words(prompt.user)), words(choice)
    return math.log((1 + sum(word in known for word in asked)) / (1 + len(asked)))


class ScriptedLanguageModel:
    """Answers from a queue, scores by a function, remembers every prompt in ``prompts``.

    A token is a word. ``generate`` takes the next reply per prompt; when none is left it gives
    ``default_reply``, or raises ModelError where that is None.
    """

    def __init__(
        self,
        replies: Iterable[str] = (),
        *,
        score: Callable[[Prompt, str], float] = word_overlap,
        default_reply: str | None = None,
        name: str = "scripted",
        adapter: str | None = None,
        context_length: int = 4_096,
    ) -> None:
        self.prompts: list[Prompt] = []
        self._replies = deque(replies)
        self._score = score
        self._default = default_reply
        self._name, self._adapter, self._context_length = name, adapter, context_length

    @property
    def name(self) -> str:
        return self._name

    @property
    def adapter(self) -> str | None:
        return self._adapter

    @property
    def context_length(self) -> int:
        return self._context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(words(text)) for text in texts]

    def score(self, prompts: Sequence[Prompt]) -> list[FloatArray]:
        self.prompts += prompts
        for prompt in prompts:
            [size] = self.count_tokens([f"{prompt.system} {prompt.user}"])
            if size > self._context_length:
                raise ModelError(f"a prompt of {size:,} words; {self._context_length:,} are wanted at most")
        return [
            np.array([self._score(prompt, choice) for choice in prompt.choices], dtype=np.float32)
            for prompt in prompts
        ]

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        self.prompts += prompts
        return [self._next_reply(max_new_tokens) for _ in prompts]

    def take_repairs(self) -> int:
        return 0

    def _next_reply(self, max_new_tokens: int) -> str:
        reply = self._replies.popleft() if self._replies else self._default
        if reply is None:
            raise ModelError("the scripted language model has no reply left")
        return " ".join(reply.split(" ")[:max_new_tokens])


def tiny_model_folder(
    path: Path,
    *,
    seed: int = 0,
    chat_template: str | None = CHAT_TEMPLATE,
    pad_token: bool = True,
    context_length: int = 2_048,
    sliding_window: int | None = None,
) -> Path:
    """Write a two-layer Qwen2 with random weights and a byte-level tokenizer of 400 tokens; return ``path``.

    ``sliding_window`` lets every other layer see that many tokens only, as Gemma's do.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _tiny_tokenizer(chat_template, pad_token)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context_length,
        # Large enough that logits differ by nats and a wrong mask or position shows.
        initializer_range=0.4,
        use_sliding_window=sliding_window is not None,
        sliding_window=sliding_window,
        max_window_layers=1,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Qwen2ForCausalLM(config)
    network.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _tiny_tokenizer(chat_template: str | None, pad_token: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    wrapper: Any = PreTrainedTokenizerFast
    return wrapper(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>" if pad_token else None,
        chat_template=chat_template,
    )


def tiny_adapter_folder(path: Path, model: Path, *, seed: int = 1) -> Path:
    """Write a LoRA adapter for the tiny model in ``model`` that moves its scores; return ``path``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, local_files_only=True, use_safetensors=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            # peft 0.21 reads an attribute that transformers 5.24 has renamed.
            warnings.simplefilter("ignore", FutureWarning)
            tuned = get_peft_model(network, config)
        for name, weights in tuned.named_parameters():
            # LoRA starts with B = 0, which changes nothing.
            if "lora_B" in name:
                torch.nn.init.normal_(weights, std=0.5)
    tuned.save_pretrained(str(path))
    return path
