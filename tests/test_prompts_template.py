"""Template files are checked when loaded, and any change of their words changes their id."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.prompts.template import TemplateName, load_template, parse_template
from tastemaker.types import Language

GOOD = """
name: t
description: d
output: answer
placeholders: [noun, profile]
choice_placeholders: [text]
languages:
  en: {system: "About ${noun}.", user: "${profile}Good?", choice: "${text}", answers: ["Yes", "No"]}
"""


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("name", get_args(TemplateName))
def test_every_template_exists_in_every_language(name: str, language: Language) -> None:
    template = load_template(name, language)
    assert (template.name, template.language) == (name, language)
    assert re.fullmatch(rf"{name}\.{language}@[0-9a-f]{{8}}", template.id)
    assert load_template(name, language) == template


def test_the_id_changes_with_the_words_and_not_with_the_description() -> None:
    base = parse_template(GOOD, "t", "en")
    assert base.answers == ("Yes", "No")
    assert parse_template(GOOD.replace("description: d", "description: e"), "t", "en").id == base.id
    for old, new in [("About", "On"), ("Good?", "Fine?"), ('"${text}"', '": ${text}"'), ('"No"', '"Nope"')]:
        assert parse_template(GOOD.replace(old, new), "t", "en").id != base.id


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[noun, profile]", "[profile]", "noun used but not declared in placeholders"),
        ("[noun, profile]", "[noun, profile, wish]", "wish declared in placeholders but not used"),
        ("choice_placeholders: [text]", "choice_placeholders: []", "text used but not declared"),
        ("Good?", "Good {x}?", "a brace or dollar sign outside"),
        ("output: answer", "output: labels", "answers belong to the output form"),
        ("output: answer", "output: poem", "output"),
        ("description: d", "descripton: d", "descri"),
        ("name: t", "name: other", "it is called 'other'"),
        ('["Yes", "No"]', '["Yes"]', "answers"),
        ("languages:", "languages: [", "template t"),
    ],
)
def test_a_damaged_file_is_refused_by_name(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ArtifactError, match=re.escape(message)):
        parse_template(GOOD.replace(old, new), "t", "en")


def test_unknown_names_and_languages_are_refused_with_what_is_known() -> None:
    with pytest.raises(ConfigError, match="'poem' is unknown; known are rerank-labels"):
        load_template("poem", "en")
    with pytest.raises(ConfigError, match="has no 'zh'; it has en"):
        parse_template(GOOD, "t", "zh")
