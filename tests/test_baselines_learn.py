"""What a baseline must and cannot learn, on data whose right answer is known by construction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tastemaker.data.dataset import Dataset
from tastemaker.eval.baselines import training
from tastemaker.eval.baselines.additive import recent_items
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.registry import DEFINITIONS
from tastemaker.eval.baselines.sequence_models import windows_of
from tastemaker.eval.baselines.situation import conditions, event_conditions
from tastemaker.eval.protocols import Protocol, make_protocol
from tastemaker.testing.data import film_data, taste_of
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.types import Context, Request, UserHistory

SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"dimension": 32, "length": 8, "dropout": 0.0, "learning_rate": 1e-2, "epochs": 40},
    "sasrec": {"dimension": 32, "length": 8, "dropout": 0.0, "learning_rate": 1e-2, "epochs": 40},
    "additive": {"dimension": 16, "length": 1, "dropout": 0.0, "learning_rate": 3e-2, "epochs": 40},
    "gru4rec": {
        "dimension": 32, "epochs": 40, "learning_rate": 0.1, "dropout": 0.0, "batch_size": 8,
        "negatives": 64, "length": 8,
    },
}  # fmt: skip


def best_of(name: str, train: Dataset, requests: list[Request], n: int = 1) -> list[list[str]]:
    if name == "gru4rec":
        pytest.importorskip("cornac", reason="GRU4Rec is Cornac's: pip install 'tastemaker[eval]'")
    material = Material(train, embedder=HashEmbedder())
    retriever = DEFINITIONS[name].build(material, SMALL.get(name, DEFINITIONS[name].default), seed=0)
    return [[one.item.id for one in found] for found in retriever.retrieve(requests, n)]


def share_right(name: str, protocol: Protocol) -> float:
    found = best_of(name, protocol.train, [question.request for question in protocol.questions])
    right = [ids == [question.target] for ids, question in zip(found, protocol.questions, strict=True)]
    return float(np.mean(right))


# Every film of the data has one that always comes next; the last film of a history tells it.


@pytest.mark.parametrize("name", ["transitions", "gru4rec", "sasrec", "lstm", "additive"])
def test_what_always_comes_next_is_learned(name: str) -> None:
    assert share_right(name, make_protocol(film_data(), "loo")) > 0.9


@pytest.mark.parametrize("name", ["chance", "popularity"])
def test_what_knows_no_order_cannot_learn_what_comes_next(name: str) -> None:
    assert share_right(name, make_protocol(film_data(), "loo")) < 0.3


@pytest.mark.parametrize("name", ["item-knn", "ease", "text"])
def test_what_reads_company_or_words_stays_within_the_taste(name: str) -> None:
    protocol = make_protocol(film_data(), "loo")
    found = best_of(name, protocol.train, [question.request for question in protocol.questions], 3)
    for ids, question in zip(found, protocol.questions, strict=True):
        assert {taste_of(item_id) for item_id in ids} == {taste_of(question.target)}


def clock_data() -> Dataset:
    """40 items, half of them only ever had before noon, half after; who has what is random."""
    generator = np.random.default_rng(0)
    events = []
    for user in range(60):
        for day in range(20):
            late = bool(generator.integers(2))
            number = int(generator.integers(20))
            second = day * 86_400.0 + (19 if late else 8) * 3_600.0
            events.append((f"u{user}", f"{'late' if late else 'early'}-{number}", second))
    users, items, times = zip(*events, strict=True)
    ids = [f"{half}-{number}" for half in ("early", "late") for number in range(20)]
    return Dataset.from_tables(
        pa.table({"id": ids, "title": ids}),
        pa.table({"user_id": users, "item_id": items, "timestamp": times}),
    )


def share_of_the_hour(name: str) -> float:
    """How many of the ten best items belong to the hour that is asked for."""
    dataset = clock_data()
    hours = {"early": 8, "late": 19}
    requests = [
        Request(
            history=dataset.history(user, limit=2),
            context=Context(time=datetime(1970, 2, 1, hour, tzinfo=UTC)),
        )
        for user in dataset.user_ids[:20]
        for hour in hours.values()
    ]
    found = best_of(name, dataset, requests, 10)
    wanted = [half for _ in range(20) for half in hours]
    hits = [item_id.startswith(half) for ids, half in zip(found, wanted, strict=True) for item_id in ids]
    return float(np.mean(hits))


def test_additive_fusion_learns_the_clock_and_sequences_cannot() -> None:
    assert share_of_the_hour("additive") > 0.95
    assert 0.3 < share_of_the_hour("lstm") < 0.7


@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_no_baseline_depends_on_the_answers(name: str) -> None:
    def answers(canary: str) -> list[list[str]]:
        dataset = with_last_item(film_data(), canary)
        protocol = make_protocol(dataset, "loo")
        assert {question.target for question in protocol.questions} == {canary}
        requests = [question.request for question in protocol.questions]
        return best_of(name, protocol.train, requests, 50)

    assert answers("canary-a") == answers("canary-b")


def with_last_item(dataset: Dataset, canary: str) -> Dataset:
    """The same data with two more films, one of which is everybody's last."""
    films = dataset.items.slice(0, 2).to_pylist()
    canaries = [
        {**film, "id": id_, "title": id_} for film, id_ in zip(films, ("canary-a", "canary-b"), strict=True)
    ]
    events = dataset.interactions
    last = pc.equal(events["timestamp"], pc.max(events["timestamp"]))
    items = pc.if_else(last, canary, events["item_id"])
    place = events.column_names.index("item_id")
    return replace(
        dataset,
        items=pa.concat_tables([dataset.items, pa.Table.from_pylist(canaries, schema=dataset.items.schema)]),
        interactions=events.set_column(place, "item_id", items),
    )


sequences = st.lists(st.lists(st.integers(0, 9), max_size=12).map(np.array), max_size=4)


@given(sequences, st.integers(1, 5))
def test_windows_predict_every_item_but_the_first_once_after_what_came_before(
    histories: list[Any], length: int
) -> None:
    pairs = []
    for window in windows_of(histories, length, 99).tolist():
        items = [item for item in window if item != 99]
        assert window == items + [99] * (length + 1 - len(items))
        pairs += pairwise(items)
    expected = [pair for items in histories for pair in pairwise(items)]
    assert sorted(pairs) == sorted(expected)


@given(sequences, st.integers(1, 5))
def test_recent_items_are_those_right_before(histories: list[Any], length: int) -> None:
    recent, wanted, place = recent_items(histories, length, 99)
    flat = [(items, step) for items in histories for step in range(len(items))]
    expected = [number for number, (_, step) in enumerate(flat) if step]
    assert place.tolist() == expected
    for row, item, number in zip(recent.tolist(), wanted.tolist(), expected, strict=True):
        items, step = flat[number]
        assert item == items[step]
        assert [one for one in row if one != 99] == items[max(step - length, 0) : step].tolist()


def test_an_event_and_a_request_at_its_moment_have_the_same_conditions() -> None:
    dataset = film_data()
    question = make_protocol(dataset, "loo").questions[0]
    (row,) = np.flatnonzero(
        (dataset.interactions["user_id"].to_numpy() == question.request.user_id)
        & (dataset.interactions["item_id"].to_numpy() == question.target)
    )
    (found,) = event_conditions(dataset, np.array([row]))
    assert found == conditions(question.request.context)
    assert found == (
        ("part of day", "night"),
        ("weekday", "wednesday"),
        ("season", "winter"),
        ("company", "family"),
    )


def test_a_history_without_known_items_and_no_context_is_met_with_silence() -> None:
    stranger = Request(history=UserHistory())
    for name in ("gru4rec", "sasrec", "lstm", "additive", "item-knn", "ease", "transitions"):
        assert best_of(name, film_data(), [stranger], 5) == [[]]


def test_the_sampled_softmax_is_the_full_one_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    n_items = training.FULL_SOFTMAX + 1_000
    weight, bias = torch.randn(n_items, 8, generator=generator), torch.randn(n_items, generator=generator)
    states, wanted = torch.randn(64, 8, generator=generator), torch.arange(64)
    full = functional.cross_entropy(functional.linear(states, weight, bias), wanted)
    with training.seeded(1):
        sampled = [training.softmax_loss(states, wanted, weight, bias) for _ in range(50)]
    # A sample of 1,024 of 6,000 heavy-tailed terms: the mean of 50 is within 2 % of about 10 nats.
    assert float(torch.stack(sampled).mean()) == pytest.approx(float(full), rel=0.02)


def test_an_item_drawn_by_chance_does_not_compete_with_itself() -> None:
    n_items = training.FULL_SOFTMAX + 1_000
    weight, bias = torch.zeros(n_items, 1), torch.zeros(n_items)
    bias[7] = 50.0
    wanted = torch.full((4,), 7)
    with training.seeded(1):  # every sixth sample of 1,024 holds item 7
        losses = [training.softmax_loss(torch.zeros(4, 1), wanted, weight, bias) for _ in range(50)]
    assert float(torch.stack(losses).max()) < 1e-6
