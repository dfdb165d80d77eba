"""Losses are computed from the very prompts and scores that serving has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.rerank import LLMReranker
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.choice_objectives import AnswerObjective, LabelsObjective
from tastemaker.finetune.ranker.examples import Example, ExampleSet, choose_events, seen_items_only
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Listing, Mixed, Tools
from tastemaker.finetune.ranker.packing import Row, pack
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.registry import OBJECTIVES, make_objective
from tastemaker.finetune.ranker.title_objectives import NextTitleObjective, TitleObjective
from tastemaker.fusion import Fusion
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.render import PromptRenderer
from tastemaker.testing.data import film_data
from tastemaker.testing.language_models import ScriptedLanguageModel, tiny_model_folder
from tastemaker.testing.retrievers import RandomRetriever


class Material:
    """A tiny network, loaded for serving and for training, and a few examples."""

    def __init__(self, folder: Path, **options: Any) -> None:
        tiny_model_folder(folder, **options)
        self.served = TransformersLM.load(folder, name="tiny", dtype="float32", device="cpu")
        causal = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.network = TrainedNetwork(causal, pad_id=0)
        self.layout = ChatLayout(self.tokenizer)
        self.renderer = PromptRenderer(self.served.count_tokens, domain="films")
        self.tools = Tools(layout=self.layout, renderer=self.renderer)
        train = seen_items_only(leave_one_out(film_data()).train)
        recipe = Recipe()
        events = choose_events(train, recipe)
        source = RetrieverSource(build=RandomRetriever, fingerprint="random")
        table = retrieve_candidates(train, events, source, 8)
        made = ExampleSet(train, events, table, recipe, needs_target=True)
        self.examples: list[Example] = [made[i] for i in range(5)]

    def reranker(self, form: str, model: Any = None) -> LLMReranker:
        return LLMReranker(model or self.served, self.renderer, form=form, fusion=Fusion())  # type: ignore[arg-type]

    def served_scores(self, form: str) -> list[np.ndarray]:
        asked = [one.request for one in self.examples], [one.candidates for one in self.examples]
        return [scores for scores, _ in self.reranker(form).scores(*asked)]


@pytest.fixture(scope="module", params=[None, 16], ids=["full attention", "sliding window"])
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("model"), sliding_window=request.param)


def test_answers_in_one_packed_sequence_score_as_serving_does(material: Material) -> None:
    objective = AnswerObjective(material.tools)
    encoded = [objective.encode(one) for one in material.examples]
    with torch.no_grad():
        found = objective.scores(material.network, encoded)
    for own, served in zip(found, material.served_scores("answer"), strict=True):
        np.testing.assert_allclose(own.numpy(), served, atol=1e-3, rtol=0)
        assert np.ptp(served) > 0.1


def test_titles_score_as_serving_does(material: Material) -> None:
    objective = TitleObjective(material.tools)
    encoded = [objective.encode(one) for one in material.examples]
    with torch.no_grad():
        found = objective.scores(material.network, encoded)
    for own, served in zip(found, material.served_scores("title"), strict=True):
        np.testing.assert_allclose(own.numpy(), served, atol=1e-3, rtol=0)
        assert np.ptp(served) > 0.1


def test_the_label_loss_is_the_cross_entropy_of_the_served_scores(material: Material) -> None:
    objective = LabelsObjective(material.tools)
    straight = [_in_order(one) for one in material.examples]
    with torch.no_grad():
        losses = objective.loss(material.network, [objective.encode(one) for one in straight])
    for loss, example, served in zip(losses, straight, material.served_scores("labels"), strict=True):
        target = example.shares.index(1.0)
        assert float(loss) == pytest.approx(np.logaddexp.reduce(served) - served[target], abs=1e-3)


def _in_order(example: Example) -> Example:
    return Example(
        request=example.request,
        candidates=example.candidates,
        target=example.target,
        shares=example.shares,
        order=tuple(range(len(example.candidates))),
    )


def test_labels_stand_in_the_examples_own_order(material: Material) -> None:
    example = material.examples[0]
    encoded = LabelsObjective(material.tools).encode(example)
    text = material.tokenizer.decode(encoded.rows[0].prefix)
    lines = [line for line in text.splitlines() if line[1:3] == ". "]
    titles = [example.candidates[i].item.display_title for i in example.order]
    assert [line[3:].split(" | ")[0] for line in lines] == titles
    target = example.shares.index(1.0)
    assert encoded.listing.shares[example.order.index(target)] == 1.0
    letters = [material.tokenizer.decode(list(ids)) for ids in encoded.reads]
    assert letters == list("ABCDEFGH")


@pytest.mark.parametrize("form", ["labels", "answer", "title"])
def test_training_reads_byte_for_byte_what_serving_reads(material: Material, form: str) -> None:
    example = _in_order(material.examples[0])
    listener = ScriptedLanguageModel(score=lambda prompt, choice: 0.0)
    material.reranker(form, listener).scores([example.request], [example.candidates])
    rows = OBJECTIVES[form](material.tools).encode(example).rows
    for row, prompt in zip(rows, listener.prompts, strict=True):
        prefix, continuations = material.served._tokenise(prompt)
        assert row.prefix == prefix
        if row.branches:
            assert row.branches == tuple(one.tokens for one in continuations)
    head = material.layout.before_reply(listener.prompts[0].system, listener.prompts[0].user)
    assert head.startswith(material.tokenizer.decode(rows[0].prefix))


def test_next_title_loss_is_the_mean_over_all_titles_of_the_history_and_the_next(material: Material) -> None:
    objective = NextTitleObjective(material.tools)
    for example in material.examples[:3]:
        encoded = objective.encode(example)
        ids, marks = encoded.rows[0].prefix, encoded.marks[0]
        titles = [entry.title for entry in example.request.history]
        told = [material.tokenizer.decode(list(run)) for run in _runs(ids, marks)]
        assert [text.strip() for text in told] == [*titles, f"- {example.target.display_title}"]
        with torch.no_grad():
            own = objective.loss(material.network, [encoded])
            whole = material.network.causal(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
        wanted = -np.mean([float(whole[at - 1, ids[at]]) for at in marks])
        assert float(own) == pytest.approx(wanted, abs=1e-3)


def _runs(ids: tuple[int, ...], marks: tuple[int, ...]) -> list[list[int]]:
    runs: list[list[int]] = []
    for before, at in zip((-2, *marks), marks, strict=False):
        if at != before + 1:
            runs.append([])
        runs[-1].append(ids[at])
    return runs


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_batch_loses_what_its_examples_lose_alone_and_learns(material: Material, name: str) -> None:
    objective = make_objective(Recipe(objective=name, lm_weight=0.5), material.tools)
    encoded = [objective.encode(one) for one in material.examples[:3]]
    network = material.network
    together = objective.loss(network, encoded)
    alone = torch.cat([objective.loss(network, [one]) for one in encoded])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
    weight = network.causal.model.layers[0].self_attn.q_proj.weight
    [slope] = torch.autograd.grad(together.sum(), weight)
    with torch.no_grad():
        weight -= 0.01 * slope / slope.norm()
        after = objective.loss(network, encoded)
        weight += 0.01 * slope / slope.norm()
    # First order: a step of .01 along the gradient lowers the loss by .01 times its length.
    assert float(after.sum() - together.detach().sum()) == pytest.approx(-0.01 * float(slope.norm()), rel=0.2)


def test_mixing_adds_the_weighted_losses(material: Material) -> None:
    parts = [(1.0, AnswerObjective(material.tools)), (0.25, NextTitleObjective(material.tools))]
    mixed = Mixed(parts)
    assert mixed.form == "answer"
    assert not mixed.needs_target
    without = Example(
        request=material.examples[0].request,
        candidates=material.examples[0].candidates,
        target=material.examples[0].target,
        shares=None,
        order=material.examples[0].order,
    )
    batch = [material.examples[0], without]
    with torch.no_grad():
        found = mixed.loss(material.network, [mixed.encode(one) for one in batch])
        answer, title = (
            objective.loss(material.network, [objective.encode(batch[0])]) for _, objective in parts
        )
    torch.testing.assert_close(found, torch.cat([answer + 0.25 * title, 0.25 * title]), atol=1e-4, rtol=0)


def test_listing_is_a_cross_entropy_with_offsets() -> None:
    listing = Listing(shares=(0.25, 0.75), offsets=(np.log(3.0), 0.0))
    # softmax(0 + ln 3, 0) is (3/4, 1/4).
    wanted = -(0.25 * np.log(0.75) + 0.75 * np.log(0.25))
    assert float(listing.loss(torch.zeros(2))) == pytest.approx(wanted)


def test_the_retrievers_scores_are_added_where_the_recipe_weighs_them(material: Material) -> None:
    example = material.examples[0]
    tools = Tools(layout=material.layout, renderer=material.renderer, retrieval_weight=2.0)
    listing = AnswerObjective(tools).encode(example).listing
    assert listing.offsets == tuple(2.0 * candidate.score for candidate in example.candidates)


def test_branches_see_the_prefix_and_themselves() -> None:
    packed = pack([Row(prefix=(1, 2), branches=((3, 4), (5,))), Row(prefix=(6,))], 0, torch.device("cpu"))
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5], [6, 0, 0, 0, 0]]
    assert packed.positions.tolist()[0] == [0, 1, 2, 3, 2]
    seen = packed.visible()[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    assert packed.visible(2)[0, 0].int().tolist()[4] == [0, 1, 0, 0, 1]


def test_unknown_objectives_are_named(material: Material) -> None:
    with pytest.raises(ConfigError, match="objective is 'letters'; known are labels, answer, title"):
        make_objective(Recipe(objective="letters"), material.tools)
