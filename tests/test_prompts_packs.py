"""Language packs are complete, strict and the same in shape."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import cast

import pytest
import yaml

from tastemaker.errors import ArtifactError, ConfigError
from tastemaker.prompts.packs import load_pack, parse_pack
from tastemaker.types import Language

EN = (files("tastemaker.prompts") / "packs/en.yaml").read_text(encoding="utf-8")


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ("known", "events")}
    return type(value).__name__ if not isinstance(value, list) else len(value)


def test_both_languages_have_the_same_keys() -> None:
    zh = (files("tastemaker.prompts") / "packs/zh.yaml").read_text(encoding="utf-8")
    assert shape(yaml.safe_load(EN)) == shape(yaml.safe_load(zh))
    assert yaml.safe_load(EN)["events"].keys() == yaml.safe_load(zh)["events"].keys()


def test_the_domain_chooses_the_words() -> None:
    assert [load_pack("en", domain).domain.noun for domain in ("generic", "films", "products")] == [
        "item",
        "film",
        "product",
    ]
    assert load_pack("zh", "films").domain.verb == "看过"


def test_packs_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        load_pack("en").events["buy"] = "x"  # type: ignore[index]


def test_any_change_of_words_changes_the_hash() -> None:
    assert parse_pack(EN, "x").hash == load_pack("en").hash
    assert parse_pack(EN.replace("loved", "adored"), "x").hash != load_pack("en").hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wish_line:", "wish_lime:", "wish_line: Field required"),
        ('"Now: ${value}"', '"Now: {value}"', "context_line|outside"),
        ('"Now: ${value}"', '"Now: ${wish}"', "context_line is"),
        ("[hated, disliked, okay, liked, loved]", "[bad, good]", "ratings"),
        ("Saturday, ", "", "weekdays"),
        ("  mood:", "  moood:", "context has"),
        ("{gap} later", "{gapp} later", "gaps.later"),
        ("night: night", "noon: noon", "time.parts"),
    ],
)
def test_a_damaged_pack_is_refused_by_key(old: str, new: str, message: str) -> None:
    assert old in EN
    with pytest.raises(ArtifactError, match=message):
        parse_pack(EN.replace(old, new), "packs/en.yaml")


def test_unknown_languages_and_domains_are_refused_with_what_is_known() -> None:
    with pytest.raises(ConfigError, match=re.escape("'fr' is unknown; known are en, zh")):
        load_pack(cast(Language, "fr"))
    with pytest.raises(ConfigError, match="known are courses, films, generic, home, music, news, products"):
        load_pack("en", "songs")
