"""From a prompt's two texts to what a chat model reads, and to token ids, for training and serving alike.

The model's own chat template is used where it has one; a base model without one reads the plain texts.
The prompt is tokenised in two pieces, what is shared and what differs, so that the boundary between them
never moves with the second piece and a cached first piece fits every second one.

This module knows a tokenizer by the few members named in ``ChatTokenizer``; it imports no model library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from tastemaker.artifacts import digest_of
from tastemaker.errors import ModelError
from tastemaker.types import Prompt

MARKER = "\ue000"
"""A private-use character that no template writes: where the user's text ends in the rendered one."""

MAX_CHOICE_TOKENS = 256
"""Longer choices are cut to this many tokens before they are scored, so that none can crowd out the rest."""

Ids = tuple[int, ...]


class ChatTokenizer(Protocol):
    """The members of a Hugging Face tokenizer that are used here."""

    chat_template: Any
    bos_token_id: int | None
    added_tokens_decoder: Any

    def __call__(
        self, text: list[str], *, add_special_tokens: bool, return_offsets_mapping: bool = False
    ) -> Any: ...

    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any: ...

    def get_vocab(self) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptIds:
    """A prompt as token ids: each of ``choices`` follows ``prefix`` without seeing the others.

    ``answers`` are the tokens compared after each choice; None where the choice itself is scored.
    """

    prefix: Ids
    choices: tuple[Ids, ...]
    answers: tuple[int, int] | None


class ChatLayout:
    """Renders and tokenises for one tokenizer. Text of users and catalogues cannot write special tokens."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        control = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        special = sorted(control - {""}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        self._templated = bool(tokenizer.chat_template)
        self._takes_system = self._templated and self._system_survives()
        empty = tokenizer([""], add_special_tokens=True)["input_ids"][0]
        starts = tokenizer.bos_token_id is not None and tokenizer.bos_token_id in empty[:1]
        # A chat template writes the start token itself.
        self._lead = (int(empty[0]),) if starts and not self._templated else ()

    @property
    def fingerprint(self) -> str:
        """Changes when any token's id or the chat template does (16 hex characters)."""
        return digest_of([sorted(self._tokenizer.get_vocab().items()), self._tokenizer.chat_template])

    def encode(self, prompt: Prompt) -> PromptIds:
        """What a model reads to score ``prompt.choices``, which are cut to ``MAX_CHOICE_TOKENS``.

        Raises:
            ModelError: both answers start with the same token.
        """
        choices = self.ids([self.harmless(choice) for choice in prompt.choices])
        choices = [ids[:MAX_CHOICE_TOKENS] for ids in choices]
        head, tail = self.around_user_end(prompt.system, prompt.user)
        if prompt.match:
            [prefix] = self.prefix_ids([head])
            return PromptIds(prefix=prefix, choices=tuple(choices), answers=None)
        if prompt.answers is None:
            [prefix] = self.prefix_ids([head + tail])
            return PromptIds(prefix=prefix, choices=tuple(choices), answers=None)
        [prefix], [rest] = self.prefix_ids([head]), self.ids([tail])
        return PromptIds(
            prefix=prefix,
            choices=tuple(ids + rest for ids in choices),
            answers=self._answer_ids(prompt.answers),
        )

    def _answer_ids(self, answers: tuple[str, str]) -> tuple[int, int]:
        yes, no = self.ids(answers)
        if not yes or not no or yes[0] == no[0]:
            raise ModelError(
                f"the answers {answers[0]!r} and {answers[1]!r} start with the same token of this model; "
                "two that differ from the first token are wanted"
            )
        return yes[0], no[0]

    def before_reply(self, system: str, user: str) -> str:
        """The text up to where the model's reply starts."""
        head, tail = self.around_user_end(system, user)
        return head + tail

    def around_user_end(self, system: str, user: str) -> tuple[str, str]:
        """The text up to the end of the user's words, and the rest up to where the reply starts."""
        system, user = self.harmless(system), self.harmless(user)
        if not self._templated:
            return (f"{system}\n\n{user}" if system else user), "\n"
        head, _, tail = self._render(system, user + MARKER, self._takes_system).rpartition(MARKER)
        return head, tail

    def harmless(self, text: str) -> str:
        """``text`` with a blank inside everything that the tokenizer would read as a special token."""
        if self._special is None:
            return text
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def prefix_ids(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of texts that start a sequence, with the start token where the model wants one."""
        return [self._lead + ids for ids in self.ids(texts)]

    def prefix_spans(self, text: str) -> list[tuple[int, int]]:
        """For each of the ``prefix_ids`` of ``text`` the characters (from, to) that it stands for."""
        encoded = self._tokenizer([text], add_special_tokens=False, return_offsets_mapping=True)
        return [(0, 0)] * len(self._lead) + [(start, end) for start, end in encoded["offset_mapping"][0]]

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of texts that stand alone or continue a sequence."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [tuple(ids) for ids in encoded]

    def _render(self, system: str, user: str, takes_system: bool) -> str:
        if takes_system and system:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        else:
            messages = [{"role": "user", "content": f"{system}\n\n{user}" if system else user}]
        # Qwen3's template reads enable_thinking; templates that do not know it ignore it.
        rendered = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return str(rendered)

    def _system_survives(self) -> bool:
        """False for templates that refuse or drop a system message: its text then opens the user's."""
        try:
            return "be brief" in self._render("be brief", "hello", takes_system=True)
        except TemplateError:
            return False
