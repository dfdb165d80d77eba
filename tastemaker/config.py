"""Settings: resolved once at the edge (defaults < file < environment < flags), then passed as a value.

Every setting can stand in the workspace's ``config.yaml``, in an environment variable
(``TASTEMAKER_CANDIDATES=40``) or in a flag. Unknown keys are refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from tastemaker.errors import ConfigError

ENV_PREFIX = "TASTEMAKER_"
ScoringForm = Literal["labels", "answer", "title", "match"]


class Settings(BaseSettings):
    """All that changes what is computed. Saved beside every output."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    llm: str = Field(
        default="qwen2.5-coder-0.5b-instruct",
        description="a built-in name, hf:org/name[@revision], a model folder, or the http(s) URL of an "
        "OpenAI-compatible server; 'none' serves the retriever's order",
    )
    llm_model: str = Field(default="", description="model name to ask a server for; empty: its first model")
    ranker: str = Field(
        default="auto",
        description="adapter that ranks, with the base model and scoring form that it names: a folder, a "
        "shipped one (films), 'none', or 'auto': the workspace's own, else the domain's, unless llm, adapter "
        "or scoring are set",
    )
    adapter: Path | None = Field(default=None, description="folder of a LoRA adapter (peft) for llm")
    quantization: Literal["none", "int8", "nf4"] = Field(default="none", description="bitsandbytes weights")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the processor multiplies it natively, else float32"
    )
    embedder: str = Field(default="all-minilm-l6-v2", description="model that turns texts into vectors")
    scoring: ScoringForm = Field(
        default="title",
        description="labels: one letter per candidate; answer: yes/no after each candidate; title: how much "
        "likelier the title becomes by history, context and wish; match: how well the model's state fits the "
        "candidate's vector (needs an adapter trained for it)",
    )
    candidates: int = Field(default=20, ge=1, le=1_000, description="items the LLM reads per request")
    history_length: int = Field(default=15, ge=0, le=200, description="most recent entries in the prompt")
    prompt_tokens: int = Field(default=1_536, ge=256, description="token budget of a prompt's shared part")
    title_tokens: int = Field(default=32, ge=4, description="longer candidate titles are cut")
    domain: str = Field(
        default="generic",
        description="what the catalogue is about: generic, films, music, products, news, courses, home, or a "
        "folder with a domain.yaml of one's own; says what items are called, what events weigh, what "
        "situations there are",
    )
    explain: Literal["llm", "template", "none"] = Field(default="llm", description="who words explanations")
    evidence_readings: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        default=8,
        description="altered requests per answer that the LLM reads at most to measure what each piece of "
        "history, situation and wish does; pieces beyond them are not cited; 'all': every piece",
    )
    seed: int = Field(default=0, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def resolve(
    config_file: Path | None = None, flags: Mapping[str, Any] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Return the settings and, per key, where its value came from: default, file, environment or flag.

    ``flags`` with the value None count as not given.

    Raises:
        ConfigError: the file is not YAML, a key is unknown or a value impossible.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    from_file = _read_yaml(config_file)
    file = SettingsConfigDict(yaml_file=config_file, yaml_file_encoding="utf-8")
    layered = type("Settings", (Settings,), {"model_config": file})
    try:
        found = layered(**given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        place = {"file": str(config_file), "flag": "a flag"}
        origin = _origin(name, given, from_file)
        raise ConfigError(_explain(error, name, place.get(origin, f"the {origin}"))) from error
    origins = {name: _origin(name, given, from_file) for name in Settings.model_fields}
    return Settings.model_construct(**found.model_dump()), origins


def _origin(name: str, flags: Mapping[str, Any], from_file: Mapping[str, Any]) -> str:
    if name in flags:
        return "flag"
    if any(value and key.upper() == f"{ENV_PREFIX}{name}".upper() for key, value in os.environ.items()):
        return "environment"
    return "file" if name in from_file else "default"


def _read_yaml(path: Path | None) -> dict[str, Any]:
    if path is None or not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; lines of 'key: value' are wanted")
    for name in values:
        if not isinstance(name, str):
            raise ConfigError(f"unknown setting {name!r} (in {path}); known are {_known()}")
    return values


def _explain(error: ValidationError, name: str, place: str) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r} (in {place}); known are {_known()}"
    return f"setting {name!r} is {first['input']!r} (in {place}): {first['msg']}"


def _known() -> str:
    return ", ".join(sorted(Settings.model_fields))
