"""A served language model: any OpenAI-compatible server that reports log-probabilities.

The server keeps its tokenizer to itself, so this is an approximation in three places: token counts are
estimates, a label or answer is recognised by its text, and of each next-token distribution only the
``TOP`` likeliest tokens are seen. What is missing there gets a floor, and is counted.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np

from tastemaker.agent.llm_http import JsonClient, RefusedError
from tastemaker.errors import ModelError
from tastemaker.protocols import FloatArray
from tastemaker.types import Prompt

T = TypeVar("T")
R = TypeVar("R")

TOP = 20
"""Alternatives asked for per position: the most that the API allows."""

FLOOR_STEP = 1.0
"""Nats below the least likely reported token at which an unreported one is placed."""

LABEL_CHARS = 1
"""Choices of this length are taken for labels, which are one token in every vocabulary."""

CHARS_PER_TOKEN = 3
"""Estimate for ``count_tokens``. English has about 4, so budgets stay on the safe side."""

MAX_CHOICE_CHARS = 1_000
"""Longer choices are cut, as the model in process cuts long ones by tokens."""

DEFAULT_CONTEXT = 8_192
"""Assumed where the server's model list does not tell."""


class ServerLM:
    """The ``LanguageModel`` protocol over HTTP.

    Labels cost one chat completion per prompt; choices with answers one per choice; longer choices
    (titles) one text completion with ``echo`` and ``logprobs`` per choice, which vLLM and SGLang support.
    At most ``concurrency`` requests run at once.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 3,
        pause: float = 0.5,
        concurrency: int = 8,
    ) -> None:
        """Ask the server for its models.

        Args:
            url: ``http://host:port``, with or without ``/v1``.
            model: empty for the first one that the server lists.
            api_key: by default the environment variable TASTEMAKER_API_KEY.
            timeout: seconds for one request.
            retries: after HTTP 429, 502, 503 and 504, first after ``pause`` seconds or as the server says.

        Raises:
            ModelError: no such server, key or model.
        """
        base = url.rstrip("/")
        base = base if base.endswith("/v1") else base + "/v1"
        key = api_key if api_key is not None else os.environ.get("TASTEMAKER_API_KEY")
        self._client = JsonClient(base, api_key=key, timeout=timeout, retries=retries, pause=pause)
        self._concurrency = concurrency
        self._repairs = 0
        self._lock = threading.Lock()
        self._name, self._context_length = self._find_model(base, model)

    def close(self) -> None:
        self._client.close()

    @property
    def name(self) -> str:
        return self._name

    @property
    def adapter(self) -> str | None:
        return None

    @property
    def context_length(self) -> int:
        return self._context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate: one token per ``CHARS_PER_TOKEN`` characters, and one per character beyond ASCII."""
        return [_estimate(text) for text in texts]

    def take_repairs(self) -> int:
        """How many scores since the last call were floors, since the server did not report their token."""
        with self._lock:
            taken, self._repairs = self._repairs, 0
        return taken

    def score(self, prompts: Sequence[Prompt]) -> list[FloatArray]:
        """See ``LanguageModel.score``.

        Raises:
            ModelError: also when the server reports no log-probabilities, or none of the prompt's own
                tokens although titles are to be scored.
        """
        plans = [self._jobs(prompt) for prompt in prompts]
        rows = iter(self._parallel(lambda job: job(), [job for plan in plans for job in plan]))
        return [np.array([value for _ in plan for value in next(rows)], dtype=np.float32) for plan in plans]

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int) -> list[str]:
        """See ``LanguageModel.generate``. Blank space around a reply is removed."""
        if max_new_tokens < 1:
            raise ModelError(f"max_new_tokens is {max_new_tokens}; at least 1 is wanted")

        def reply(prompt: Prompt) -> str:
            found = self._chat(prompt, prompt.user, max_tokens=max_new_tokens)
            content = (found.get("message") or {}).get("content")
            if not isinstance(content, str):
                raise ModelError(f"{self._name} sent a reply without text: {found!r:.120}")
            return content.strip()

        return self._parallel(reply, prompts)

    def _jobs(self, prompt: Prompt) -> list[Callable[[], list[float]]]:
        """The requests that score one prompt; each gives the scores of one or all of its choices."""
        if not prompt.choices:
            return []
        choices = [choice[:MAX_CHOICE_CHARS] for choice in prompt.choices]
        self._require_fit(prompt, max(choices, key=len))
        if prompt.answers is not None:
            return [partial(self._answer, prompt, choice, prompt.answers) for choice in choices]
        if all(len(choice.strip()) == LABEL_CHARS for choice in choices):
            return [partial(self._labels, prompt, choices)]
        return [partial(self._title, prompt, choice) for choice in choices]

    def _labels(self, prompt: Prompt, choices: Sequence[str]) -> list[float]:
        return self._find(self._next_tokens(prompt, prompt.user), choices)

    def _answer(self, prompt: Prompt, choice: str, answers: tuple[str, str]) -> list[float]:
        yes, no = self._find(self._next_tokens(prompt, prompt.user + choice), answers)
        return [yes - no]

    def _find(self, tokens: Mapping[str, float], wanted: Sequence[str]) -> list[float]:
        """Log-probability of each wanted text among the reported tokens, or a floor below all of them."""
        floor = min(tokens.values()) - FLOOR_STEP
        found = [tokens.get(text.strip()) for text in wanted]
        with self._lock:
            self._repairs += sum(value is None for value in found)
        return [floor if value is None else value for value in found]

    def _next_tokens(self, prompt: Prompt, user: str) -> dict[str, float]:
        """Stripped text -> log-probability of the reply's first token.

        ``"A"`` and ``" A"`` both stand for A: their probabilities are added.
        """
        found = self._chat(prompt, user, max_tokens=1, logprobs=True, top_logprobs=TOP)
        tokens: dict[str, float] = {}
        try:
            for entry in found["logprobs"]["content"][0]["top_logprobs"]:
                text, value = str(entry["token"]).strip(), float(entry["logprob"])
                if not math.isfinite(value):
                    continue
                tokens[text] = float(np.logaddexp(tokens.get(text, -math.inf), value))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise self._no_logprobs() from error
        if not tokens:
            raise self._no_logprobs()
        return tokens

    def _no_logprobs(self) -> ModelError:
        return ModelError(
            f"{self._name} reports no usable log-probabilities of its reply's first token",
            hint="start the server so that chat completions return top_logprobs",
        )

    def _chat(self, prompt: Prompt, user: str, *, max_tokens: int, **options: Any) -> dict[str, Any]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages = [*system, {"role": "user", "content": user}]
        body = {"model": self._name, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        return self._first(self._client.post("/chat/completions", body | options))

    def _title(self, prompt: Prompt, choice: str) -> list[float]:
        """Summed log-probability of ``choice`` after the plain prompt, from an echoed text completion."""
        if not choice:
            return [0.0]
        before = f"{prompt.system}\n\n{prompt.user}\n" if prompt.system else f"{prompt.user}\n"
        body = {"model": self._name, "prompt": before + choice, "max_tokens": 1, "temperature": 0}
        try:
            found = self._first(self._client.post("/completions", body | {"echo": True, "logprobs": 1}))
            logprobs = found["logprobs"]
            ends = [*logprobs["text_offset"][1:], math.inf]
            spans = zip(logprobs["text_offset"], ends, logprobs["token_logprobs"], strict=True)
            last = len(before) + len(choice)
            # A token may hold the prompt's last characters and the choice's first: it counts.
            own = [value for start, end, value in spans if end > len(before) and start < last]
            if not str(found["text"]).startswith(before) or not own:
                raise ValueError("the prompt is not echoed")
            return [sum(map(float, own))]
        except (RefusedError, KeyError, TypeError, ValueError) as error:
            detail = f": {error.message}" if isinstance(error, RefusedError) else ""
            raise ModelError(
                f"{self._name} cannot score titles: its text completions give no log-probabilities of the "
                f"prompt (echo with logprobs){detail}",
                hint="set scoring to labels or answer, which need chat completions only",
            ) from error

    def _first(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise ModelError(f"{self._name} sent a malformed reply without choices: {dict(reply)!r:.120}")
        return choices[0]

    def _find_model(self, base: str, wanted: str) -> tuple[str, int]:
        listed = self._client.get("/models").get("data")
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise ModelError(f"{base}/models lists no models")
        known = {str(entry.get("id")): entry for entry in listed}
        if not known or (wanted and wanted not in known):
            raise ModelError(
                f"{base} serves no model {wanted!r}; it serves {', '.join(known) or 'none'}",
                hint="choose one with llm_model",
            )
        name = wanted or next(iter(known))
        told = known[name].get("max_model_len")
        return name, told if isinstance(told, int) and told > 0 else DEFAULT_CONTEXT

    def _require_fit(self, prompt: Prompt, longest: str) -> None:
        [size] = self.count_tokens([prompt.system + prompt.user + longest])
        if size > self._context_length:
            raise ModelError(
                f"a prompt of about {size:,} tokens does not fit into the {self._context_length:,} "
                f"tokens of {self._name}",
                hint="lower prompt_tokens or history_length",
            )

    def _parallel(self, work: Callable[[T], R], inputs: Sequence[T]) -> list[R]:
        if len(inputs) < 2:
            return [work(one) for one in inputs]
        with ThreadPoolExecutor(max_workers=min(self._concurrency, len(inputs))) as pool:
            futures = [pool.submit(work, one) for one in inputs]
            try:
                return [future.result() for future in futures]
            finally:
                # After an error the requests that have not begun are not worth sending.
                pool.shutdown(wait=False, cancel_futures=True)


def _estimate(text: str) -> int:
    ascii_chars = sum(character.isascii() for character in text)
    return -(-ascii_chars // CHARS_PER_TOKEN) + len(text) - ascii_chars
