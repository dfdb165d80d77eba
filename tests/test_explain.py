"""Explanations: what is cited was measured, what is printed was verified."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tastemaker.agent.explain import EvidenceExplainer
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.explainer_contract import ExplainerContract, ranking_of
from tastemaker.testing.influence import MemoryCatalogue, TableInfluence
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.types import (
    Candidate,
    Context,
    Explanation,
    HistoryEntry,
    Item,
    Language,
    Ranked,
    Ranking,
    Request,
    UserHistory,
)


def film(item_id: str, title: str, year: int, *genres: str) -> Item:
    return Item(id=item_id, title=title, attributes={"year": year, "genres": genres})


FILMS = (
    film("183", "Alien", 1979, "Action", "Horror", "Sci-Fi", "Thriller"),
    film("176", "Aliens", 1986, "Action", "Sci-Fi", "Thriller", "War"),
    film("12", "Usual Suspects, The", 1995, "Crime", "Thriller"),
    film("1", "Toy Story", 1995, "Animation", "Children's", "Comedy"),
    film("550", "Mars Attacks!", 1996, "Action", "Comedy", "Sci-Fi", "War"),
)
CATALOGUE = MemoryCatalogue(FILMS)


def request(
    *, wish: str = "", language: Language = "en", k: int = 3, context: dict[str, object] | None = None
) -> Request:
    history = UserHistory(
        user_id="7",
        value_range=(1.0, 5.0),
        entries=(
            HistoryEntry(title="Usual Suspects, The (1995)", item_id="12", event="rating", value=4.0),
            HistoryEntry(title="Alien (1979)", item_id="183", event="rating", value=5.0),
        ),
    )
    return Request(
        history=history, wish=wish, language=language, k=k, context=Context.from_mapping(context or {})
    )


def ranking(*ids: str) -> Ranking:
    return Ranking(
        items=tuple(
            Ranked(rank=rank, candidate=Candidate(item=CATALOGUE.item(one), score=1.0), score=0.5)
            for rank, one in enumerate(ids, start=1)
        )
    )


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def explainer(
    table: dict[str | tuple[str, str], float],
    replies: Sequence[str] | None = None,
    *,
    domain: str = "films",
) -> tuple[EvidenceExplainer, TableInfluence, ScriptedLanguageModel]:
    probe, model = TableInfluence(table), ScriptedLanguageModel(replies or ())
    made = EvidenceExplainer(
        model=None if replies is None else model,
        renderer=PromptRenderer(
            count_words, history_length=15, prompt_tokens=500, title_tokens=40, domain="films"
        ),
        probe=probe,
        dataset=CATALOGUE,
        domain=domain,
    )
    return made, probe, model


def one(made: EvidenceExplainer, asked: Request, *ids: str) -> Explanation:
    return made.explain([asked], [ranking(*ids)])[0][0]


class TestTemplates(ExplainerContract):
    @pytest.fixture
    def explainer(self) -> EvidenceExplainer:
        return explainer({"wish": 0.4, "company": 0.2, "Alien (1979)": 0.3, "Heat (1995)": 0.3})[0]


class TestModel(ExplainerContract):
    @pytest.fixture
    def explainer(self) -> EvidenceExplainer:
        made, _, model = explainer({"wish": 0.4, "Alien (1979)": 0.3}, ["unused"])
        model.generate = lambda prompts, *, max_new_tokens: ["It is a sci-fi film."] * len(prompts)  # type: ignore[method-assign]
        return made


def test_the_template_names_the_measured_past_item_and_what_is_shared() -> None:
    made, _, _ = explainer({"183": 0.8})
    found = one(made, request(k=1), "176")
    assert "you liked Alien (1979)" in found.text or "You liked Alien (1979)" in found.text
    assert "action, sci-fi and thriller" in found.text
    assert (found.writer, found.verified, found.fallback, found.cut) == ("template", True, False, 0)


def test_without_measured_influence_no_history_is_claimed() -> None:
    made, _, _ = explainer({"183": -0.5, "12": 0.0})
    found = one(made, request(k=1), "176")
    assert "Alien (1979)" not in found.text
    assert [piece.kind for piece in found.evidence] == ["fact", "fact"]
    assert "1986" in found.text


def test_all_items_of_all_requests_are_worded_in_one_batch() -> None:
    made, probe, model = explainer({"183": 0.8}, ["You liked Alien."] * 4)
    calls: list[int] = []
    generate = model.generate

    def counted(prompts: Sequence[object], *, max_new_tokens: int) -> list[str]:
        calls.append(len(prompts))
        return generate(prompts, max_new_tokens=max_new_tokens)  # type: ignore[arg-type]

    model.generate = counted  # type: ignore[method-assign]
    found = made.explain([request(k=2), request(k=2)], [ranking("176", "550"), ranking("1", "176")])
    assert calls == [4]
    assert probe.calls == [2, 2]
    assert all(text.writer == "llm" and text.text == "You liked Alien." for group in found for text in group)


def test_an_unsupported_sentence_is_cut_and_counted() -> None:
    made, _, _ = explainer({"183": 0.8}, ["You liked Alien, and this is a thriller too. It won an Oscar."])
    found = one(made, request(k=1), "176")
    assert found.text == "You liked Alien, and this is a thriller too."
    assert (found.writer, found.cut, found.verified, found.fallback) == ("llm", 1, True, False)


@pytest.mark.parametrize("reply", ["It won an Oscar.", "", "  \n", "Recommended.", "You liked Toy Story."])
def test_when_nothing_true_is_left_a_template_takes_over(reply: str) -> None:
    made, _, _ = explainer({"183": 0.8}, [reply])
    found = one(made, request(k=1), "176")
    assert (found.writer, found.verified, found.fallback) == ("template", True, True)
    assert "Alien (1979)" in found.text


def test_a_failing_model_is_a_fallback_and_no_error() -> None:
    made, _, _ = explainer({"183": 0.8}, [])
    found = one(made, request(k=1), "176")
    assert (found.writer, found.fallback) == ("template", True)


def test_only_the_first_line_and_two_sentences_are_kept() -> None:
    reply = "You liked Alien. It is a thriller. It is from 1986.\nFilm: Toy Story\nWhy: You liked Alien."
    made, _, _ = explainer({"183": 0.8}, [reply])
    assert one(made, request(k=1), "176").text == "You liked Alien. It is a thriller."


def test_a_reply_without_a_stop_gets_one() -> None:
    made, _, _ = explainer({"183": 0.8}, ["You liked Alien, and this is a thriller"])
    assert one(made, request(k=1), "176").text == "You liked Alien, and this is a thriller."


def test_what_the_token_limit_cut_off_is_dropped() -> None:
    long = "You liked Alien. " + "It is a thriller and " * 30
    made, _, _ = explainer({"183": 0.8}, [long])
    assert one(made, request(k=1), "176").text == "You liked Alien."


def test_a_list_of_items_does_not_read_monotonously() -> None:
    made, _, _ = explainer({"183": 0.8})
    texts = made.explain([request(k=3)], [ranking("176", "550", "1")])[0]
    openings = {" ".join(text.text.split()[:2]) for text in texts}
    assert len(openings) == 3


def test_wish_and_context_are_named_when_they_were_measured() -> None:
    made, _, _ = explainer({"wish": 0.3})
    assert "“light”" in one(made, request(wish="light"), "1").text
    made, _, _ = explainer({"company": 0.3})
    assert "family" in one(made, request(context={"company": "family"}), "1").text
    made, _, _ = explainer({})
    assert "light" not in one(made, request(wish="light"), "1").text


def test_chinese_templates_use_chinese_words() -> None:
    made, _, _ = explainer({"183": 0.8})
    text = one(made, request(language="zh", k=1), "176").text
    assert "你喜欢" in text or "你喜歡" in text
    assert "《Alien (1979)》" in text
    assert "科幻" in text


def test_an_unrated_past_item_was_watched_and_not_liked() -> None:
    entry = HistoryEntry(title="Alien (1979)", item_id="183")
    asked = Request(history=UserHistory(entries=(entry,)), k=1)
    made, _, _ = explainer({"183": 0.8})
    text = one(made, asked, "176").text
    assert "watched Alien (1979)" in text
    assert "liked" not in text


def test_an_item_without_any_fact_gets_an_honest_sentence() -> None:
    made, _, model = explainer({}, [])
    (found,) = made.explain([Request(k=1)], [ranking_of(["Nameless"])])[0]
    assert found.text == "It follows the order of the whole list; no single reason stands out."
    assert model.prompts == []
    assert not found.fallback
