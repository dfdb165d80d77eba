"""Training examples as the files that other trainers read: TRL's and LLaMA-Factory's.

The texts are those of our prompts before any chat template: each trainer applies the model's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tastemaker.artifacts import atomic_file
from tastemaker.config import ScoringForm
from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.examples import Example
from tastemaker.prompts.render import PromptRenderer
from tastemaker.types import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A prompt, the reply that should have been given, and one that should not."""

    system: str
    user: str
    chosen: str
    rejected: str


def turns(example: Example, renderer: PromptRenderer, form: ScoringForm) -> list[Turn]:
    """What ``example`` teaches in a scoring form, as replies in words.

    The wrong candidate is the one that the retriever lists first beside the right one: the hardest.
    labels, title: one turn with the right letter or title against the wrong. answer: the first answer against
    the second after the right candidate, and the other way round after the wrong one. [] where the target was
    not retrieved, or nothing else was.
    """
    if example.shares is None or len(example.candidates) < 2:
        return []
    right = max(range(len(example.shares)), key=lambda i: example.shares[i] if example.shares else 0.0)
    wrong = 1 if right == 0 else 0
    if form == "labels":
        shown = renderer.labels_prompt(example.request, example.candidates, example.order)
        letters = shown.prompt.choices
        return [_turn(shown.prompt, letters[shown.order.index(right)], letters[shown.order.index(wrong)])]
    if form == "title":
        prompt = renderer.title_prompt(example.request, example.candidates)
        return [_turn(prompt, prompt.choices[right].rstrip("\n"), prompt.choices[wrong].rstrip("\n"))]
    prompt = renderer.answer_prompt(example.request, example.candidates)
    assert prompt.answers is not None  # the template has them
    yes, no = prompt.answers
    return [
        _turn(prompt, yes, no, prompt.choices[right]),
        _turn(prompt, no, yes, prompt.choices[wrong]),
    ]


def _turn(prompt: Prompt, chosen: str, rejected: str, candidate: str = "") -> Turn:
    return Turn(system=prompt.system, user=prompt.user + candidate, chosen=chosen, rejected=rejected)


def _messages(turn: Turn) -> list[dict[str, str]]:
    return [{"role": "system", "content": turn.system}, {"role": "user", "content": turn.user}]


def _reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _trl_sft(turn: Turn) -> dict[str, Any]:
    """TRL's conversational prompt-completion set (``SFTTrainer``): loss on the completion."""
    return {"prompt": _messages(turn), "completion": _reply(turn.chosen)}


def _trl_dpo(turn: Turn) -> dict[str, Any]:
    """TRL's conversational preference set with an explicit prompt (``DPOTrainer``)."""
    return {"prompt": _messages(turn), "chosen": _reply(turn.chosen), "rejected": _reply(turn.rejected)}


def _llama_factory(turn: Turn) -> dict[str, Any]:
    """LLaMA-Factory's alpaca format."""
    return {"system": turn.system, "instruction": turn.user, "input": "", "output": turn.chosen}


FORMATS: dict[str, Callable[[Turn], dict[str, Any]]] = {
    "trl-sft": _trl_sft,
    "trl-dpo": _trl_dpo,
    "llama-factory": _llama_factory,
}


def write_export(path: Path, found: Iterable[Turn], name: str) -> int:
    """Write one JSON object per turn, UTF-8; return their number.

    Raises:
        ConfigError: the format is unknown. StorageError: ``path`` cannot be written.
    """
    if name not in FORMATS:
        raise ConfigError(f"format is {name!r}; known are {', '.join(FORMATS)}")
    written = 0
    with atomic_file(path) as staged, staged.open("w", encoding="utf-8") as file:
        for line in _lines(found, FORMATS[name]):
            file.write(line + "\n")
            written += 1
    return written


def _lines(found: Iterable[Turn], shape: Callable[[Turn], dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(shape(turn), ensure_ascii=False) for turn in found)
