"""Domain packs: every shipped one is whole, one's own is a folder, and what is damaged says where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tastemaker.agent.cli.app import app
from tastemaker.agent.explain_words import TemplateWriter
from tastemaker.agent.verify import Verifier
from tastemaker.config import resolve
from tastemaker.errors import ArtifactError, ConfigError, TastemakerError
from tastemaker.prompts.domains import load_domain, parse_domain, shipped_domains
from tastemaker.prompts.packs import load_pack
from tastemaker.testing.data import film_data
from tastemaker.types import (
    Candidate,
    Evidence,
    HistoryEntry,
    Item,
    Language,
    Ranked,
    Request,
    UserHistory,
)

RECIPES = {
    "words": {
        "en": {
            "noun": "recipe",
            "nouns": "recipes",
            "verb": "cooked",
            "history_line": "Cooked:",
            "candidate": "Recipe",
        },
        "zh": {
            "noun": "菜谱",
            "nouns": "菜谱",
            "verb": "做过",
            "history_line": "做过的：",
            "candidate": "菜谱",
        },
    },
    "nouns": {"en": ["recipe", "recipes", "dish"], "zh": ["菜谱", "菜"]},
    "repeats": True,
    "events": {"cook": 1, "view": 0.2, "spit_out": -1},
    "context": {"company": ["alone", "family"]},
    "fields": {"minutes": {"columns": ["minutes"], "unit": "minutes"}},
    "concepts": {"en": {"Dessert": ["sweet"]}, "zh": {"Dessert": ["甜"]}},
}


def own(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "domain.yaml").write_text(yaml.safe_dump({**RECIPES, **changes}), encoding="utf-8")
    return folder


def test_events_are_ordered_as_people_mean_them() -> None:
    shop, music = load_domain("products"), load_domain("music")
    assert shop.weight("view") < shop.weight("cart") < shop.weight("purchase")
    assert music.weight("play") < music.weight("finish") < music.weight("like")
    assert shop.weight("return") < 0 > music.weight("skip")
    assert shop.weight("Add to Cart") == shop.weight("add-to-cart") == 0.6


def test_what_nobody_knows_counts_in_data_and_says_nothing_in_a_session() -> None:
    shop = load_domain("products")
    assert shop.weight("unheard of") == 1.0
    assert shop.said("unheard of") is None
    assert shop.said("rating") == shop.said("interaction") == 1.0
    assert shop.said("Add to Cart") == 0.6
    assert shop.takes_back("Purchase")
    assert not shop.takes_back("view")


def test_what_holds_anywhere_stands_behind_a_pack_s_own(tmp_path: Path) -> None:
    recipes = load_domain(str(own(tmp_path / "recipes", lifts=["cook", "eat"])))
    assert recipes.weight("view") == RECIPES["events"]["view"] == 0.2  # type: ignore[index]
    assert recipes.weight("dislike") == -1
    assert recipes.takes_back("cook")
    assert not recipes.takes_back("eat")
    assert recipes.takes_back("like")


def test_what_was_heard_is_welcome_again_and_what_was_seen_is_not() -> None:
    assert {name: load_domain(name).repeats for name in shipped_domains()} == {
        "courses": False,
        "films": False,
        "generic": False,
        "home": True,
        "music": True,
        "news": False,
        "products": False,
    }


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("domain", shipped_domains())
def test_explanations_of_every_domain_pass_the_verifier(domain: str, language: Language) -> None:
    """A wording that the verifier does not understand would be cut, and nothing would be left."""
    items = [
        Item(id="a", title="Red Coast", attributes={"year": 1985, "genres": ("Adventure",)}),
        Item(id="b", title="Blue Harbour", attributes={"year": 1990, "genres": ("Adventure",)}),
        Item(id="c", title="Plain"),
    ]

    class Shelf:
        def item(self, item_id: str) -> Item:
            return {item.id: item for item in items}[item_id]

        def has_item(self, item_id: str) -> bool:
            return item_id in "abc"

        def iter_items(self):  # type: ignore[no-untyped-def]
            return iter(items)

    shelf = Shelf()
    history = UserHistory(user_id="u", entries=(HistoryEntry(title="Red Coast (1985)", item_id="a"),))
    request = Request(history=history, language=language)
    cited = Evidence(kind="history", ref="a", text="Red Coast (1985)", influence=1.0)
    facts = (
        Evidence(kind="fact", ref="genres", text="Adventure"),
        Evidence(kind="fact", ref="year", text="1990"),
    )
    writer = TemplateWriter(catalogue=shelf, domain=domain)
    verifier = Verifier(catalogue=shelf, titles=[item.title for item in items], domain=domain)
    for item, evidence in ((items[1], (cited, *facts)), (items[1], facts), (items[2], (cited,))):
        for rank in range(1, 6):
            ranked = Ranked(rank=rank, candidate=Candidate(item=item, score=0.0), score=0.1)
            text = next(iter(writer.texts(request, ranked, evidence)))
            verdict = verifier.verify(text, item=item, request=request, evidence=evidence, language=language)
            assert verdict.supported, (text, [one.reason for one in verdict.statements])


def test_a_folder_of_ones_own_is_a_domain(tmp_path: Path) -> None:
    folder = own(tmp_path / "recipes")
    assert load_domain(str(folder)).name == "recipes"
    assert load_pack("en", str(folder)).domain.noun == "recipe"
    item = Item(id="1", title="Soup", attributes={"genres": ("Dessert",)})
    request = Request(history=UserHistory(entries=(HistoryEntry(title="Bread", item_id="2"),)))
    verifier = Verifier(catalogue=film_data(), titles=["Soup"], domain=str(folder))
    evidence = [Evidence(kind="history", ref="2", text="Bread", influence=1.0)]

    def holds(text: str) -> bool:
        return verifier.verify(text, item=item, request=request, evidence=evidence, language="en").supported

    assert holds("This dish is a dessert recipe, because you cooked Bread.")
    assert not holds("This film is a dessert.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour: Unexpected keyword"),
        ({"repeats": "maybe"}, "repeats: Input should be a valid boolean"),
        ({"events": {"View it": 1}}, "events: 'View it': lower case"),
        ({"events": {"view": float("nan")}}, "events: view weighs nan"),
        ({"lifts": ["spit_out"]}, "lifts: 'spit_out' weighs -1"),
        ({"context": {"smell": ["good"]}}, "context: 'smell' is no field"),
        ({"fields": {"minutes": {"columns": [], "unit": "minutes"}}}, "minutes names no columns"),
        ({"fields": {"minutes": {"columns": ["m"], "unit": "miles"}}}, "fields.minutes.unit"),
        ({"nouns": {"en": ["recipe"]}}, "nouns has no zh"),
    ],
)
def test_a_damaged_pack_says_where(tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = own(tmp_path / "recipes", **change)
    with pytest.raises(ArtifactError) as refused:
        load_domain(str(folder))
    assert message in str(refused.value)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "words"])
def test_a_file_that_is_no_pack(text: str) -> None:
    with pytest.raises(ArtifactError):
        parse_domain(text, "recipes")


def init(*words: str) -> str:
    done = CliRunner().invoke(app, ["init", *words])
    if isinstance(done.exception, TastemakerError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_init_writes_the_domain_and_says_what_comes_next(tmp_path: Path) -> None:
    place = tmp_path / "w"
    told = init("--domain", "music", "--workspace", str(place))
    assert "tastemaker data import" in told
    assert "welcome again" in told
    assert resolve(place / "config.yaml")[0].domain == "music"
    init("--domain", "music", "--workspace", str(place))
    with pytest.raises(ConfigError, match="says domain 'music' already"):
        init("--domain", "films", "--workspace", str(place))
    assert (place / "config.yaml").read_text() == "domain: music\n"


def test_init_keeps_what_the_config_says_and_finds_ones_own_folder_again(tmp_path: Path) -> None:
    place = tmp_path / "w"
    place.mkdir()
    (place / "config.yaml").write_text("candidates: 40\n")
    folder = own(tmp_path / "recipes")
    init("--domain", str(folder), "--workspace", str(place))
    settings = resolve(place / "config.yaml")[0]
    assert (settings.candidates, load_domain(settings.domain).name) == (40, "recipes")


def test_init_refuses_what_is_no_domain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known are courses, films, generic, home, music, news, products"):
        init("--domain", "recipes", "--workspace", str(tmp_path / "w"))
    assert not (tmp_path / "w").exists()
