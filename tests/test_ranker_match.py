"""The form ``match``: what training computes is what serving scores; stretches ask only what they may."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tastemaker.agent.llm import TransformersLM
from tastemaker.agent.llm_files import load_files
from tastemaker.agent.rerank import LLMReranker
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ArtifactError, ConfigError, ModelError
from tastemaker.finetune.crossfit import deal, folds_of
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.examples import choose_events, seen_items_only
from tastemaker.finetune.ranker.factors import aligned, crossfit_factors, item_factors
from tastemaker.finetune.ranker.files import HEAD_FILE
from tastemaker.finetune.ranker.lora import Base, TunedNetwork
from tastemaker.finetune.ranker.match_head import MatchHead, MatchShape, item_key
from tastemaker.finetune.ranker.match_objective import MatchObjective
from tastemaker.finetune.ranker.match_setup import set_up_match
from tastemaker.finetune.ranker.network import TrainedNetwork
from tastemaker.finetune.ranker.objectives import Tools
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.stretches import WARM_UP, StretchSet
from tastemaker.finetune.ranker.text_features import lead_of, pooled_states, text_ids
from tastemaker.finetune.ranker.warm_head import ask_all, warm_up, warmed
from tastemaker.fusion import Fusion
from tastemaker.prompts.chat import ChatLayout
from tastemaker.prompts.render import PromptRenderer, match_text
from tastemaker.testing.data import film_data
from tastemaker.testing.language_models import tiny_model_folder
from tastemaker.testing.retrievers import RandomRetriever
from tastemaker.types import Candidate, Context, Prompt

RECIPE = Recipe(objective="match", lora_layers=1, factors=3, stretch=6, rank=2, retrieval_weight=0.5)


def stretches_of(train: Dataset, recipe: Recipe = RECIPE, n: int = 8) -> StretchSet:
    events = choose_events(train, recipe)
    table = retrieve_candidates(
        train, events, RetrieverSource(build=RandomRetriever, fingerprint="random"), n
    )
    return StretchSet(train, events, table, recipe, length=recipe.stretch)


class Material:
    """A tiny network under LoRA with a head that has opinions, for training; and the same, served."""

    def __init__(self, folder: Path, *, chat_template: bool) -> None:
        options = {} if chat_template else {"chat_template": None}
        self.folder = tiny_model_folder(folder, **options)  # type: ignore[arg-type]
        causal = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.layout = ChatLayout(transformers.AutoTokenizer.from_pretrained(folder))
        self.renderer = PromptRenderer(
            lambda texts: [len(ids) for ids in self.layout.ids(texts)],
            history_length=RECIPE.stretch,
            domain="films",
        )
        self.tools = Tools(layout=self.layout, renderer=self.renderer, retrieval_weight=0.5)
        self.train = seen_items_only(leave_one_out(film_data()).train)
        self.stretches = stretches_of(self.train)
        base = Base(name="tiny", fingerprint="f", licence="none", causal=causal, tokenizer=None, pad_id=0)
        self.tuned = TunedNetwork(base, RECIPE)
        self.network = TrainedNetwork(causal, pad_id=0)
        self.objective: MatchObjective = set_up_match(
            self.train, self.stretches, RECIPE, self.tools, self.tuned, 0
        )
        assert self.tuned.head is not None
        self.head = self.tuned.head
        with torch.no_grad():
            torch.manual_seed(3)
            for value in self.tuned.trainable.values():
                value += 0.05 * torch.randn_like(value)
        self.tuned.train(False)

    def served(self, head: MatchHead | None) -> TransformersLM:
        loaded = load_files(
            self.folder, name="tiny", fingerprint="f", adapter=None, quantization="none", dtype="float32",
            device="cpu",
        )  # fmt: skip
        return TransformersLM(replace(loaded, causal=self.tuned.causal, head=head))


@pytest.fixture(scope="module", params=[True, False], ids=["chat model", "base model"])
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("model"), chat_template=request.param)


def test_every_question_of_a_stretch_scores_as_serving_would_have(material: Material) -> None:
    items = tuple(material.train.iter_items())
    reranker = LLMReranker(material.served(material.head), material.renderer, form="match", fusion=Fusion())
    asked = 0
    for stretch in material.stretches:
        encoded = material.objective.encode(stretch)
        with torch.no_grad():
            hidden = material.network.hidden([encoded.rows[0]])
            asks = [replace(ask, fold=0) for ask in encoded.asks]  # the factors that serving reads
            losses = material.objective.losses(hidden[0, list(encoded.marks[0])], asks)
        assert len(encoded.asks) == len(stretch.asks)
        for loss, ask in zip(losses, encoded.asks, strict=True):
            past = replace(stretch.request.history, entries=stretch.request.history.entries[: ask.place])
            context = stretch.request.context
            if ask.place < len(stretch.request.history):
                # Inside a stretch a moment is told as far as training was let to see it.
                then = stretch.request.history.entries[ask.place]
                assert then.timestamp is not None
                moment = datetime.fromtimestamp(then.timestamp, UTC)
                context = Context.from_mapping({"time": moment, **then.context})
            request = replace(stretch.request, history=past, context=context)
            candidates = [
                Candidate(item=items[item], score=float(score))
                for item, score in zip(ask.items, ask.scores, strict=True)
            ]
            [(scores, _)] = reranker.scores([request], [candidates])
            logits = scores + 0.5 * ask.scores
            wanted = np.logaddexp.reduce(logits) - logits[ask.target]
            assert float(loss) == pytest.approx(wanted, abs=2e-3)
            assert np.ptp(scores) > 0.01
            asked += 1
    assert asked > 10


def test_a_batch_scores_as_its_singles(material: Material) -> None:
    model = material.served(material.head)
    prompts = [
        material.renderer.match_prompt(
            stretch.request, [Candidate(item=item, score=0.0) for item in material.train.iter_items()]
        )
        for stretch in list(material.stretches)[:4]
    ]
    together = model.score(prompts)
    for prompt, scores in zip(prompts, together, strict=True):
        np.testing.assert_allclose(model.score([prompt])[0], scores, atol=1e-3)


def test_a_head_survives_the_disk_and_unknown_items_are_matched_by_text(
    material: Material, tmp_path: Path
) -> None:
    learned = {name: value.detach() for name, value in material.head.learned.items()}
    material.head.save(tmp_path / HEAD_FILE, learned)
    loaded = MatchHead.load(tmp_path / HEAD_FILE)
    names = [match_text(item) for item in material.train.iter_items()]
    torch.testing.assert_close(loaded.factors_of(names), material.head.factors_of(names), atol=1e-3, rtol=0)
    assert not loaded.factors_of(["Never Seen (2031) | Comedy"]).any()
    prompt = Prompt(system="", user="films:\n-", choices=(*names, "Never Seen (2031) | Comedy"), match=True)
    before, after = (material.served(head).score([prompt])[0] for head in (material.head, loaded))
    np.testing.assert_allclose(before, after, atol=5e-3)
    assert np.isfinite(after[-1])


def test_training_goes_on_from_a_head_of_the_same_shape_only(material: Material, tmp_path: Path) -> None:
    path = tmp_path / HEAD_FILE
    learned = {name: value.detach().clone() for name, value in material.head.learned.items()}
    material.head.save(path, learned)
    with torch.no_grad():
        material.head.outer.weight.zero_()
    material.tuned.load_head(path)
    torch.testing.assert_close(material.head.outer.weight.detach(), learned["outer.weight"])
    other = MatchHead(replace(material.head.shape, history=7))
    other.save(path, {name: value.detach() for name, value in other.learned.items()})
    with pytest.raises(ConfigError, match="does not fit the recipe"):
        material.tuned.load_head(path)


def fresh_head(material: Material) -> tuple[MatchObjective, MatchHead]:
    objective = set_up_match(material.train, material.stretches, RECIPE, material.tools, material.tuned, 0)
    head = material.tuned.head
    assert head is not None
    material.tuned.head = material.head
    return objective, head


def test_a_warmed_head_has_learned_and_is_the_same_each_time(material: Material) -> None:
    recipe = RECIPE.model_copy(update={"head_epochs": 30, "head_learning_rate": 1e-2})
    states = []
    for _ in range(2):
        objective, head = fresh_head(material)
        questions = ask_all(objective, material.network, material.stretches, recipe)
        with torch.no_grad():
            before = objective.losses(questions.states.float(), questions.asks).mean()
        warm_up(objective, head, questions, recipe)
        with torch.no_grad():
            after = objective.losses(questions.states.float(), questions.asks).mean()
        assert after < before - 0.2
        assert not head.training
        states.append(head.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], atol=0, rtol=0)


def _note(stages: list[str], stage: str, *_: object) -> None:
    stages.append(stage)


def test_a_head_is_warmed_once_for_the_same_training(material: Material, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"head_epochs": 1})
    heads, told = [], []
    for identity in ({"seed": 1}, {"seed": 1}, {"seed": 2}):
        objective, head = fresh_head(material)
        stages: list[str] = []
        warmed(
            tmp_path / "head", identity, objective, head, material.network, material.stretches, recipe,
            partial(_note, stages),
        )  # fmt: skip
        heads.append(head.state_dict())
        told.append(bool(stages))
    assert told == [True, False, True]
    for name, value in heads[0].items():
        torch.testing.assert_close(heads[1][name], value, atol=0, rtol=0)


def test_a_model_without_a_head_says_so(material: Material) -> None:
    with pytest.raises(ModelError, match="no head for the scoring form 'match'"):
        material.served(None).score([Prompt(system="", user="-", choices=("A",), match=True)])


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / HEAD_FILE).write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="is damaged"):
        MatchHead.load(tmp_path / HEAD_FILE)


def test_all_layers_under_lora_are_refused(material: Material) -> None:
    for layers in (0, 2):
        with pytest.raises(ConfigError, match="the objective match needs 1 to 1"):
            set_up_match(
                material.train,
                material.stretches,
                RECIPE.model_copy(update={"lora_layers": layers}),
                material.tools,
                material.tuned,
                0,
            )


def test_each_event_is_asked_for_once_at_most_and_only_when_it_was_retrieved() -> None:
    train = seen_items_only(leave_one_out(film_data()).train)
    sequences = train.sequences()
    found = stretches_of(train)
    seen: set[tuple[str, int]] = set()
    for place, (start, rows) in enumerate(found._stretches):
        stretch = found[place]
        assert len(stretch.request.history) < RECIPE.stretch
        for row, ask in zip(rows, stretch.asks, strict=True):
            event = found._events[row]
            assert (event.user_id, event.position) not in seen
            seen.add((event.user_id, event.position))
            assert ask.place == event.position - start
            assert ask.place >= WARM_UP or start == 0
            assert ask.items[ask.target] == sequences[event.user_id][event.position]
    assert found.retrieved == len(seen) > 0


def test_factors_bring_together_what_is_had_together() -> None:
    sequences = {f"u{i}": ["a", "b", "c"] if i % 2 else ["x", "y", "z"] for i in range(8)}
    events = [
        {"user_id": user, "item_id": item, "timestamp": step}
        for user, items in sequences.items()
        for step, item in enumerate(items)
    ]
    data = Dataset.from_records(events, [{"id": one, "title": one} for one in "abcxyzn"])
    factors = item_factors(data, 2)
    rows = {item: factors[place] for item, place in data.item_positions.items()}
    assert rows["a"] @ rows["b"] > 0.9
    assert abs(rows["a"] @ rows["x"]) < 0.1
    assert not rows["n"].any()
    np.testing.assert_array_equal(factors, item_factors(data, 2))


def test_factors_of_a_fold_do_not_know_its_users_and_lie_along_those_of_everybody() -> None:
    train = seen_items_only(leave_one_out(film_data()).train)
    found = crossfit_factors(train, 3)
    folds = folds_of(train)
    np.testing.assert_array_equal(found[0], item_factors(train, 3))
    for fold, (others, own) in enumerate(deal(train), start=1):
        assert {folds[user] + 1 for user in own} == {fold}
        alone = item_factors(others, 3)
        np.testing.assert_allclose(found[fold] @ found[fold].T, alone @ alone.T, atol=1e-5)
        assert np.linalg.norm(found[fold] - found[0]) <= np.linalg.norm(alone - found[0]) + 1e-5


def test_turning_factors_back_finds_them_again() -> None:
    draw = np.random.default_rng(0)
    factors = draw.normal(size=(20, 4)).astype(np.float32)
    turn, _ = np.linalg.qr(draw.normal(size=(4, 4)))
    np.testing.assert_allclose(aligned((factors @ turn).astype(np.float32), factors), factors, atol=1e-5)
    assert aligned(np.zeros((5, 0), np.float32), np.zeros((5, 0), np.float32)).shape == (5, 0)


def test_a_question_reads_the_factors_of_its_fold(material: Material) -> None:
    encoded = next(one for one in map(material.objective.encode, material.stretches) if one.asks)
    states = torch.ones(len(encoded.asks), material.head.shape.state)
    folds = folds_of(material.train)
    assert {ask.fold for stretch in material.stretches for ask in stretch.asks} == {
        folds[stretch.request.history.user_id] + 1 for stretch in material.stretches
    }
    own, whole = (
        material.objective.losses(states, asks)
        for asks in (encoded.asks, [replace(ask, fold=0) for ask in encoded.asks])
    )
    assert not torch.allclose(own, whole)


def test_a_key_is_the_titles() -> None:
    assert item_key("Alien (1979) | Horror") == item_key("ALIEN (1979) | Sci-Fi") != item_key("Aliens (1986)")
    assert MatchShape(state=1, text=1, factors=1, layer=1, history=1).vector == 128


def test_situations_are_hidden_now_and_then_and_always_the_same() -> None:
    def told(hidden: float) -> list[list[str]]:
        recipe = RECIPE.model_copy(update={"context_dropout": hidden})
        return [
            [entry.context.get("company", "") for entry in stretch.request.history]
            for stretch in stretches_of(film_data(), recipe)
        ]

    flat = [one for row in told(0.3) for one in row]
    assert 0.15 < flat.count("") / len(flat) < 0.45
    assert told(0.3) == told(0.3)
    assert "" not in [one for row in told(0.0) for one in row]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_texts_features_do_not_depend_on_what_is_read_with_it(tmp_path: Path, dtype: torch.dtype) -> None:
    """Vectors are remembered: in another order of requests they would be others, and lists with them.

    Behind padding, bfloat16 is off by 8e-4. A matrix kernel may add in another order for another number of
    rows, which is 2e-7 in float32.
    """
    folder = tiny_model_folder(tmp_path)
    trunk = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).base_model
    layout = ChatLayout(transformers.AutoTokenizer.from_pretrained(folder))
    rows = text_ids(layout, [match_text(item) for item in film_data().iter_items()])
    assert len({len(row) for row in rows}) > 2
    whole = pooled_states(trunk, rows, lead=lead_of(layout), layer=1)
    for places in ([0], list(range(len(rows)))[::-3], [5, 1, 30]):
        some = pooled_states(trunk, [rows[i] for i in places], lead=lead_of(layout), layer=1)
        torch.testing.assert_close(some, whole[places], rtol=0, atol=1e-6)
