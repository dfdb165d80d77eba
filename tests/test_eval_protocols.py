"""No question shows its answer; samples are seeded; questions that cannot be answered are counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.eval.protocols import PROTOCOLS, make_protocol
from tastemaker.testing.data import DAY, FIRST_DAY, SEEN, film_data, next_film


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return film_data()


@pytest.mark.parametrize(("name", "position"), [("loo", SEEN - 1), ("loo-validation", SEEN - 2)])
def test_no_question_shows_its_answer(dataset: Dataset, name: str, position: int) -> None:
    protocol = make_protocol(dataset, name)
    assert [question.request.user_id for question in protocol.questions] == list(dataset.user_ids)
    for question in protocol.questions:
        user = str(question.request.user_id)
        everything = dataset.history(user)
        assert question.target == everything.item_ids[position]
        assert question.request.history.entries == everything.entries[:position]
        assert question.request.history.value_range == dataset.value_range
        assert question.target not in question.request.unwanted_ids
        assert protocol.train.history(user).item_ids == everything.item_ids[: SEEN - 2]
        assert question.target == next_film(question.request.history.item_ids[-1])
    assert protocol.train.item_ids == dataset.item_ids


def test_the_context_is_that_of_the_moment_asked_for(dataset: Dataset) -> None:
    question = make_protocol(dataset, "loo").questions[0]
    assert question.request.context.time == datetime.fromtimestamp(FIRST_DAY + (SEEN - 1) * DAY, tz=UTC)
    assert question.request.context.company == "family"
    assert (question.request.k, question.request.wish, question.request.filters) == (50, "", ())
    assert question.request.request_id == question.request.user_id


def test_events_and_ratings_stay_in_the_history() -> None:
    interactions = pa.table(
        {
            "user_id": ["u"] * 4,
            "item_id": ["a", "b", "c", "d"],
            "timestamp": [1.0, 2.0, 3.0, 4.0],
            "event": ["view", "buy", "view", "buy"],
            "value": [1.0, 2.0, 3.0, 4.0],
        }
    )
    items = pa.table({"id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
    dataset = Dataset.from_tables(items, interactions)
    (question,) = make_protocol(dataset, "loo").questions
    assert question.request.history.entries == dataset.history("u").entries[:3]


def test_users_with_fewer_than_three_events_are_not_asked() -> None:
    interactions = pa.table(
        {
            "user_id": ["few", "few", "u", "u", "u"],
            "item_id": ["a", "b", "a", "b", "c"],
            "timestamp": [1.0] * 5,
        }
    )
    items = pa.table({"id": ["a", "b", "c"], "title": ["A", "B", "C"]})
    protocol = make_protocol(Dataset.from_tables(items, interactions), "loo")
    assert [question.request.user_id for question in protocol.questions] == ["u"]
    assert protocol.train.history("few").item_ids == ("a", "b")


def test_repeats_are_counted_since_they_cannot_be_answered(dataset: Dataset) -> None:
    assert "30 users, seed 0; 0 of them are asked for an item" in make_protocol(dataset, "loo").description
    interactions = pa.table(
        {
            "user_id": ["again"] * 4 + ["onwards"] * 4,
            "item_id": ["a", "b", "c", "a", "a", "b", "c", "d"],
            "timestamp": [1.0, 2.0, 3.0, 4.0] * 2,
        }
    )
    items = pa.table({"id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
    protocol = make_protocol(Dataset.from_tables(items, interactions), "loo")
    assert protocol.description.endswith(
        "2 users, seed 0; 1 of them are asked for an item of their history, which is excluded and scores 0"
    )
    repeat = protocol.questions[0]
    assert repeat.target in repeat.request.unwanted_ids


def test_samples_are_seeded(dataset: Dataset) -> None:
    def asked(users: int | None, seed: int) -> list[str | None]:
        protocol = make_protocol(dataset, "loo", users=users, seed=seed)
        return [question.request.user_id for question in protocol.questions]

    assert asked(5, 1) == asked(5, 1)
    assert asked(5, 1) != asked(5, 2)
    assert len(set(asked(5, 1))) == 5
    assert asked(30, 1) == asked(1_000, 2) == asked(None, 3) == list(dataset.user_ids)
    # A sample changes who is asked and never what systems learn from.
    assert (
        make_protocol(dataset, "loo", users=5).train.fingerprint
        == make_protocol(dataset, "loo").train.fingerprint
    )


@pytest.mark.parametrize("users", [0, -1])
def test_wrong_arguments(dataset: Dataset, users: int) -> None:
    with pytest.raises(RequestError, match=f"users is {users}; at least 1"):
        make_protocol(dataset, "loo", users=users)
    with pytest.raises(RequestError, match=f"unknown protocol 'magic'; known are {', '.join(PROTOCOLS)}"):
        make_protocol(dataset, "magic")
