"""Any ``LanguageModel`` of ours as LangChain's chat model, so that even a small one can drive an agent.

A model of half a billion parameters writes broken tool calls more often than not. So nothing is left to
write: which tool is called, and every argument that is a choice, is what the model finds likeliest among all
that are possible; texts are the person's own words.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field

from tastemaker.errors import RequestError
from tastemaker.protocols import LanguageModel
from tastemaker.types import Prompt

MAX_TOLD = 10
"""Messages before the last that the model reads."""

CALLING = (
    "You answer with one call of a tool, as JSON. The tools:\n{tools}\n"
    'Example: {{"name": "{first}", "arguments": {{…}}}}'
)


class ChatLanguageModel(BaseChatModel):
    """A language model of ``load_language_model``, in this process or served, as a LangChain chat model.

    With tools bound it calls one of them for every message of a person, and repeats what the tool said
    as it stands. Without tools it writes freely.

    Args:
        language_model: who is asked; ``score`` decides on calls, ``generate`` writes.
        max_new_tokens: the most that is written.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    language_model: LanguageModel
    max_new_tokens: int = Field(default=200, ge=1)

    @property
    def _llm_type(self) -> str:
        return "tastemaker-language-model"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; ``tool_choice`` names the only one that may be called.

        Raises:
            RequestError: a tool wants an argument that is neither a text nor a choice, or has no such name.
        """
        found = [convert_to_openai_tool(tool)["function"] for tool in tools]
        if tool_choice not in (None, "auto", "any", "required"):
            found = [one for one in found if one["name"] == tool_choice]
        if not found:
            raise RequestError(f"there is no tool {tool_choice!r} to bind")
        for one in found:
            for name, schema in _required(one).items():
                if "enum" not in schema and schema.get("type") != "string":
                    raise RequestError(
                        f"the tool {one['name']!r} wants {name!r}, which is neither a text nor a choice",
                        hint="give it a default, or use a model that writes tool calls",
                    )
        return self.bind(offered=found, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if not messages:
            raise RequestError("there are no messages")
        last, offered = messages[-1], kwargs.get("offered")
        if isinstance(last, ToolMessage):
            reply = AIMessage(content=last.text)
        elif offered:
            reply = AIMessage(content="", tool_calls=[self._call(messages, offered)])
        else:
            prompt = Prompt(system=_system(messages), user=_told(messages))
            [text] = self.language_model.generate([prompt], max_new_tokens=self.max_new_tokens)
            reply = AIMessage(content=_until(text, stop or ()))
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _call(self, messages: Sequence[BaseMessage], offered: Sequence[Mapping[str, Any]]) -> ToolCall:
        people = [one for one in messages if isinstance(one, HumanMessage)]
        if not people:
            raise RequestError("no message is a person's; a HumanMessage is wanted")
        tools = "\n".join(json.dumps(_shown(one), ensure_ascii=False) for one in offered)
        system = CALLING.format(tools=tools, first=offered[0]["name"])
        system = "\n\n".join(filter(None, (_system(messages), system)))
        prompt = Prompt(system=system, user=_told(messages))
        opening = [f'{{"name": "{one["name"]}"' for one in offered]
        chosen = self._likeliest(prompt, "", [f"{one}," for one in opening])
        said = f'{opening[chosen]}, "arguments": {{'
        arguments: dict[str, Any] = {}
        for name, schema in _required(offered[chosen]).items():
            value = people[-1].text
            if "enum" in schema:
                values = [json.dumps(one, ensure_ascii=False) for one in schema["enum"]]
                value = schema["enum"][self._likeliest(prompt, f'{said}"{name}": ', values)]
            arguments[name] = value
            said += f'"{name}": {json.dumps(value, ensure_ascii=False)}, '
        return ToolCall(name=offered[chosen]["name"], args=arguments, id=f"call_{uuid.uuid4().hex[:16]}")

    def _likeliest(self, prompt: Prompt, said: str, options: Sequence[str]) -> int:
        """Position of the likeliest option after what was said; the first of equals."""
        if len(options) == 1:
            return 0
        choices = tuple(said + one for one in options)
        asked = Prompt(system=prompt.system, user=prompt.user, choices=choices)
        return int(np.argmax(self.language_model.score([asked])[0]))


def _until(text: str, stop: Sequence[str]) -> str:
    return text[: min([at for one in stop if (at := text.find(one)) >= 0], default=len(text))]


def _required(tool: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    schema = tool["parameters"]
    return {name: schema["properties"][name] for name in schema.get("required", ())}


def _shown(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Of a tool what a small model can read: name, what it is for, and what it needs."""
    needs = {name: schema.get("description", "") for name, schema in _required(tool).items()}
    return {"name": tool["name"], "description": tool["description"], "arguments": needs}


def _system(messages: Sequence[BaseMessage]) -> str:
    return "\n\n".join(one.text for one in messages if isinstance(one, SystemMessage))


def _told(messages: Sequence[BaseMessage]) -> str:
    """The last message; where there are earlier ones, all with who said them."""
    said = [one for one in messages if isinstance(one, (HumanMessage, AIMessage)) and one.text]
    said = said[-MAX_TOLD - 1 :]
    if len(said) < 2:
        return said[0].text if said else ""
    return "\n".join(f"{'User' if isinstance(one, HumanMessage) else 'You'}: {one.text}" for one in said)
