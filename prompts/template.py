"""Prompt templates: YAML files with declared placeholders, an output grammar and a content hash.

A file that uses an undeclared placeholder, declares one that it does not use, or holds a stray brace is
refused when it is loaded, in every language it has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.prompts.filling import placeholders
from tastemaker.prompts.packs import load_pack
from tastemaker.types import Language

TemplateName = Literal[
    "rerank-labels", "rerank-answer", "rerank-title", "rerank-title-prior", "rerank-match", "explain"
]
OutputForm = Literal["labels", "answer", "title", "match", "sentences"]
"""What the model's reply is: one label; one of two answers; a title on a line; its state is read; one or
two sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template in one language, unfilled.

    ``choice`` is the pattern of one candidate ("" where there is none): a labelled line of the prompt
    (labels), a text that follows the prompt (answer), or the reply itself (title). ``id`` is
    ``name.language@hash8``; the hash covers this text, the output form and the words of the language pack.
    """

    name: str
    language: Language
    description: str
    output: OutputForm
    system: str
    user: str
    choice: str
    answers: tuple[str, str] | None
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wording:
    __pydantic_config__ = ConfigDict(extra="forbid")
    system: str
    user: str
    choice: str = ""
    answers: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    __pydantic_config__ = ConfigDict(extra="forbid")
    name: str
    description: str
    output: OutputForm
    placeholders: frozenset[str]
    languages: Mapping[Language, _Wording]
    choice_placeholders: frozenset[str] = frozenset()


@cache
def load_template(name: str, language: Language) -> Template:
    """Return a shipped template.

    Raises:
        ConfigError: no such template or language.
        ArtifactError: the file is damaged; the message says what was found and wanted.
    """
    known = get_args(TemplateName)
    if name not in known:
        raise ConfigError(f"prompt template {name!r} is unknown; known are {', '.join(known)}")
    text = (files("tastemaker.prompts") / f"templates/{name}.yaml").read_text(encoding="utf-8")
    return parse_template(text, name, language)


def parse_template(text: str, name: str, language: Language) -> Template:
    """Read the template ``name`` from YAML and check it in all its languages."""
    try:
        file = TypeAdapter(_File).validate_python(yaml.safe_load(text))
        if file.name != name:
            raise ValueError(f"it is called {file.name!r}")
        for wording in file.languages.values():
            _check(file, wording)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(f"template {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ArtifactError(f"template {name}: {' '.join(str(error).split())}") from error
    pack_hash = load_pack(language).hash
    if language not in file.languages:
        raise ConfigError(f"template {name} has no {language!r}; it has {', '.join(file.languages)}")
    wording = file.languages[language]
    return Template(
        name=name,
        language=language,
        description=file.description,
        output=file.output,
        system=wording.system,
        user=wording.user,
        choice=wording.choice,
        answers=wording.answers,
        id=f"{name}.{language}@{_hash8(file.output, wording, pack_hash)}",
    )


def _check(file: _File, wording: _Wording) -> None:
    _compare("placeholders", file.placeholders, placeholders(wording.system) | placeholders(wording.user))
    _compare("choice_placeholders", file.choice_placeholders, placeholders(wording.choice))
    if (wording.answers is not None) != (file.output == "answer"):
        raise ValueError("answers belong to the output form 'answer', and it needs them")


def _compare(what: str, declared: frozenset[str], used: frozenset[str]) -> None:
    if undeclared := used - declared:
        raise ValueError(f"{', '.join(sorted(undeclared))} used but not declared in {what}")
    if unused := declared - used:
        raise ValueError(f"{', '.join(sorted(unused))} declared in {what} but not used")


def _hash8(output: OutputForm, wording: _Wording, pack_hash: str) -> str:
    parts = [output, wording.system, wording.user, wording.choice, list(wording.answers or ()), pack_hash]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:8]
