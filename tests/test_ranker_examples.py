"""Examples are the questions serving would have been asked, from training sequences alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ConfigError, DataError
from tastemaker.eval.protocols import make_protocol
from tastemaker.finetune.ranker.candidates import RetrieverSource, retrieve_candidates
from tastemaker.finetune.ranker.examples import (
    CandidateTable,
    Event,
    Example,
    ExampleSet,
    Timeline,
    choose_events,
    seen_items_only,
)
from tastemaker.finetune.ranker.recipe import Recipe, make_recipe
from tastemaker.fusion import softmax
from tastemaker.testing.data import SEEN, film_data, next_film
from tastemaker.testing.retrievers import RandomRetriever
from tastemaker.types import Candidate, Request


@pytest.fixture(scope="module")
def train() -> Dataset:
    return seen_items_only(leave_one_out(film_data()).train)


def example_set(train: Dataset, recipe: Recipe, *, n: int = 10, needs_target: bool = True) -> ExampleSet:
    events = choose_events(train, recipe)
    table = retrieve_candidates(
        train, events, RetrieverSource(build=RandomRetriever, fingerprint="random"), n
    )
    return ExampleSet(train, events, table, recipe, needs_target=needs_target)


def all_of(examples: ExampleSet) -> list[Example]:
    return [examples[i] for i in range(len(examples))]


def test_a_moment_is_the_request_that_evaluation_asks_for_the_same_event() -> None:
    data = film_data()
    asked = {q.request.request_id: q for q in make_protocol(data, "loo").questions}
    timeline = Timeline(data)
    for user in data.user_ids:
        made = timeline.request(Event(user_id=user, position=SEEN - 1))
        wanted: Request = asked[user].request
        assert made == replace(wanted, k=made.k, request_id=made.request_id)
        assert made.context.company in ("family", "alone")
        assert made.context.time == wanted.context.time


def test_what_comes_next_in_the_circle_is_the_target(train: Dataset) -> None:
    examples = all_of(example_set(train, Recipe(), needs_target=False))
    # Six of eight events are for training; moments have three before them.
    assert len(examples) == len(train.user_ids) * 3
    for one in examples:
        assert one.target.id == next_film(one.request.history.entries[-1].item_id)
        ids = [candidate.item.id for candidate in one.candidates]
        assert (one.shares is not None) == (one.target.id in ids)
        if one.shares is not None:
            assert one.shares[ids.index(one.target.id)] == sum(one.shares) == 1.0
        assert sorted(one.order) == list(range(len(ids)))


def test_targets_that_were_not_retrieved_are_left_out_where_a_list_is_learned(train: Dataset) -> None:
    every, listed = (example_set(train, Recipe(), needs_target=needed) for needed in (False, True))
    assert len(listed) == listed.retrieved == sum(one.shares is not None for one in all_of(every))
    assert 0 < len(listed) < len(every)


def test_followers_count_with_falling_weight_and_the_retriever_is_mixed_in(train: Dataset) -> None:
    recipe = Recipe(followers=2, decay=0.5, hybrid_share=0.25, hybrid_sharpness=2.0)
    everything = len(train.item_ids)
    for one in all_of(example_set(train, recipe, n=everything)):
        ids = [candidate.item.id for candidate in one.candidates]
        second = next_film(one.target.id)
        last = one.request.request_id.endswith(":5")
        own = 0.25 * softmax(2.0 * np.array([candidate.score for candidate in one.candidates]))
        graded = np.array(one.shares) - own
        want = {one.target.id: 0.75} if last else {one.target.id: 0.5, second: 0.25}
        assert {ids[i]: round(graded[i], 6) for i in np.flatnonzero(graded > 1e-6)} == want


def test_a_short_list_keeps_the_target_and_draws_the_rest(train: Dataset) -> None:
    full = all_of(example_set(train, Recipe()))
    short = all_of(example_set(train, Recipe(list_size=4)))
    for long, cut in zip(full, short, strict=True):
        assert len(cut.candidates) == 4
        assert cut.target.id in [candidate.item.id for candidate in cut.candidates]
        assert [one for one in long.candidates if one in cut.candidates] == list(cut.candidates)
    assert any(cut.candidates[:3] != long.candidates[:3] for long, cut in zip(full, short, strict=True))


def test_seed_and_place_decide_everything(train: Dataset) -> None:
    first, again, other = (all_of(example_set(train, Recipe(seed=seed))) for seed in (0, 0, 1))
    assert first == again
    assert [one.request.request_id for one in first] != [one.request.request_id for one in other]
    orders = np.array([one.order for one in first])
    # Every place of the list comes under the first letter now and then.
    assert len(set(orders[:, 0].tolist())) == 10


def test_events_are_thinned_per_user_and_altogether(train: Dataset) -> None:
    per_user = choose_events(train, Recipe(per_user=1))
    assert sorted(event.user_id for event in per_user) == sorted(train.user_ids)
    assert len({event.position for event in per_user}) == 3
    assert len(choose_events(train, Recipe(max_examples=7))) == 7
    with pytest.raises(DataError, match="no user has more than 3 training events"):
        choose_events(replace(train, interactions=train.interactions.slice(0, 3)), Recipe())


def test_held_out_events_are_unknown() -> None:
    split = leave_one_out(film_data())
    train = seen_items_only(split.train)
    held = {(one.user_id, one.item_id) for one in (*split.validation, *split.test)}
    timeline = Timeline(train)
    for event in choose_events(train, Recipe()):
        assert {(event.user_id, train.item_ids[item]) for item in timeline.following(event, 9)}.isdisjoint(
            held
        )
    only_held = set(split.train.item_ids) - set(train.item_ids)
    assert only_held == {
        item for item in split.train.item_ids if not split.train.item_counts[split.train.item_positions[item]]
    }


def test_nobody_is_answered_by_a_retriever_that_saw_him(train: Dataset) -> None:
    parts: list[set[str]] = []

    def build(part: Dataset) -> RandomRetriever:
        parts.append(set(part.sequences()))
        return Watched(part)

    class Watched(RandomRetriever):
        def retrieve(self, requests: Sequence[Request], n: int) -> list[tuple[Candidate, ...]]:
            assert parts[-1].isdisjoint(request.user_id for request in requests)
            return super().retrieve(requests, n)

    source = RetrieverSource(build=build, fingerprint="watched")
    retrieve_candidates(train, choose_events(train, Recipe()), source, 5, folds=3)
    assert [len(part) for part in parts] == [20, 20, 20]


def test_candidates_are_retrieved_once_and_again_when_something_changed(
    train: Dataset, tmp_path: Path
) -> None:
    built: list[int] = []

    def build(part: Dataset) -> RandomRetriever:
        built.append(1)
        return RandomRetriever(part)

    events = choose_events(train, Recipe())

    def table(n: int = 5, of: list[Event] = events, fingerprint: str = "a") -> CandidateTable:
        source = RetrieverSource(build=build, fingerprint=fingerprint)
        return retrieve_candidates(train, of, source, n, folds=2, cache=tmp_path / "kept")

    first = table()
    np.testing.assert_array_equal(table().items, first.items)
    np.testing.assert_array_equal(table().scores, first.scores)
    assert len(built) == 2
    table(6)
    table(6, events[:4])
    table(6, events[:4], "b")
    assert len(built) == 8
    (tmp_path / "kept" / "candidates.safetensors").write_bytes(b"damaged")
    table(6, events[:4], "b")
    assert len(built) == 10


def test_too_few_users_are_an_error(train: Dataset) -> None:
    source = RetrieverSource(build=RandomRetriever, fingerprint="random")
    with pytest.raises(DataError, match="hold 30 users; at least 31"):
        retrieve_candidates(train, choose_events(train, Recipe()), source, 5, folds=31)


def test_recipes_say_what_is_wrong() -> None:
    assert make_recipe({"rank": "8", "learning_rate": "1e-3"}).rank == 8
    with pytest.raises(ConfigError, match="unknown training option 'ranck'; known are objective"):
        make_recipe({"ranck": 8})
    with pytest.raises(ConfigError, match="training option dropout is '1'"):
        make_recipe({"dropout": "1"})
