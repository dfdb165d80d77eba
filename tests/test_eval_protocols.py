"""No question shows its answer; samples are seeded; questions that cannot be answered are counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import RequestError
from tastemaker.eval.protocols import DRAWS, PROTOCOLS, make_protocol, rules_of, safe_training_part
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


def staggered() -> Dataset:
    """Ten events an hour apart, then: "old" comes again, "new" comes twice, "other" is long gone."""
    rows = [("old" if hour % 2 else "other", f"i{hour}", float(hour)) for hour in range(16)]
    rows += [("old", "late", 16.0), ("new", "i1", 17.0), ("new", "i2", 18.0), ("old", "latest", 19.0)]
    users, items, times = zip(*rows, strict=True)
    names = [f"i{hour}" for hour in range(16)] + ["late", "latest"]
    return Dataset.from_tables(
        pa.table({"id": names, "title": names}),
        pa.table({"user_id": users, "item_id": items, "timestamp": times}),
    )


def test_time_cuts_everybody_at_the_same_moments() -> None:
    dataset = staggered()
    protocol = make_protocol(dataset, "temporal")
    # The quantiles .8 and .9 of the times 0..19 are 16 and 18.
    assert max(protocol.train.interactions["timestamp"].to_pylist()) == 15.0
    asked = {question.request.user_id: question for question in protocol.questions}
    assert set(asked) == {"old", "new"}
    assert asked["old"].target == "latest"
    assert asked["old"].request.history.item_ids == (*(f"i{hour}" for hour in range(1, 16, 2)), "late")
    assert asked["new"].target == "i2"
    assert asked["new"].request.history.item_ids == ("i1",)
    assert "new" not in protocol.train.user_positions
    assert asked["new"].request.history.value_range == protocol.train.value_range
    validation = make_protocol(dataset, "temporal-validation")
    assert validation.train.fingerprint == protocol.train.fingerprint
    tuned_on = {question.request.user_id: question for question in validation.questions}
    assert (tuned_on["old"].target, tuned_on["new"].target) == ("late", "i1")
    assert len(tuned_on["new"].request.history) == 0


def all_at_once() -> Dataset:
    """Nobody's events can be ordered by their times."""
    dataset = film_data()
    column = dataset.interactions.column_names.index("timestamp")
    same = [FIRST_DAY] * dataset.interactions.num_rows
    return Dataset.from_tables(dataset.items, dataset.interactions.set_column(column, "timestamp", [same]))


def test_tie_safe_draws_have_their_own_orders_and_the_same_users() -> None:
    dataset = all_at_once()
    assert rules_of("llamarec-tiesafe").draws == DRAWS == 5
    draws = [make_protocol(dataset, "llamarec-tiesafe", draw=draw, users=20, seed=3) for draw in range(DRAWS)]
    users = [[question.request.user_id for question in draw.questions] for draw in draws]
    assert all(one == users[0] for one in users)
    assert len({tuple(question.target for question in draw.questions) for draw in draws}) == DRAWS
    assert len({draw.train.fingerprint for draw in draws}) == DRAWS
    again = make_protocol(dataset, "llamarec-tiesafe", draw=2, users=20, seed=3)
    assert again.questions == draws[2].questions
    validation = make_protocol(dataset, "llamarec-tiesafe-validation", draw=2, users=20, seed=3)
    assert validation.train.fingerprint == draws[2].train.fingerprint
    for earlier, later in zip(validation.questions, draws[2].questions, strict=True):
        assert later.request.history.item_ids == (*earlier.request.history.item_ids, earlier.target)
    other_seed = make_protocol(dataset, "llamarec-tiesafe", draw=0, seed=4)
    assert other_seed.train.fingerprint not in {draw.train.fingerprint for draw in draws}


def pairs(events: Dataset) -> set[tuple[str, str]]:
    rows = events.interactions
    return set(zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))


def test_what_is_learned_from_the_safe_part_may_be_measured_in_every_draw() -> None:
    interactions = pa.table(
        {
            "user_id": ["u"] * 12 + ["v"] * 4,
            "item_id": [*map(str, range(12)), "0", "1", "2", "3"],
            # u: three old events, then nine at once; v: all apart.
            "timestamp": [1.0, 2.0, 3.0, *[9.0] * 9, 1.0, 2.0, 3.0, 4.0],
        }
    )
    items = pa.table({"id": [*map(str, range(12))], "title": [f"t{n}" for n in range(12)]})
    dataset = Dataset.from_tables(items, interactions)
    safe, parts = safe_training_part(dataset, "llamarec")
    draws = [make_protocol(dataset, "llamarec-tiesafe", draw=draw) for draw in range(DRAWS)]
    asked = [make_protocol(dataset, "llamarec"), *draws]
    assert [part.fingerprint for part in parts] == [one.train.fingerprint for one in asked]
    held = set().union(*(pairs(dataset) - pairs(one.train) for one in asked))
    assert pairs(safe) == pairs(dataset) - held
    assert {("u", "0"), ("u", "1"), ("u", "2"), ("v", "0"), ("v", "1")} <= pairs(safe)
    assert not {("u", "11"), ("u", "10"), ("v", "2"), ("v", "3")} & pairs(safe)


def test_without_other_tie_rules_the_safe_part_is_the_training_part(dataset: Dataset) -> None:
    for name in ("loo", "beauty-loo"):
        safe, parts = safe_training_part(dataset, name)
        train = make_protocol(dataset, name).train
        assert [safe.fingerprint, *(part.fingerprint for part in parts)] == [train.fingerprint] * 2


def test_equal_times_go_by_number_or_by_the_file() -> None:
    interactions = pa.table(
        {"user_id": ["u"] * 4, "item_id": ["10", "9", "100", "2"], "timestamp": [1.0, 1.0, 1.0, 0.0]}
    )
    items = pa.table({"id": ["10", "9", "100", "2"], "title": list("abcd")})
    dataset = Dataset.from_tables(items, interactions)
    (by_id,) = make_protocol(dataset, "llamarec").questions
    assert (by_id.request.history.item_ids, by_id.target) == (("2", "9", "10"), "100")
    (by_row,) = make_protocol(dataset, "beauty-loo").questions
    assert (by_row.request.history.item_ids, by_row.target) == (("2", "10", "9"), "100")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_description_tells_the_rules(dataset: Dataset, name: str) -> None:
    told = make_protocol(dataset, name).description
    assert "full catalogue of 40 items without the history" in told
    assert "systems built from train" in told
    assert "equal times" in told
    assert ("validation event" in told) == name.endswith("-validation")


def test_there_is_no_sixth_draw(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match="draw is 5; llamarec-tiesafe has draws 0 to 4"):
        make_protocol(dataset, "llamarec-tiesafe", draw=5)
    with pytest.raises(RequestError, match="draw is 1; loo has draws 0 to 0"):
        make_protocol(dataset, "loo", draw=1)


@pytest.mark.parametrize("users", [0, -1])
def test_wrong_arguments(dataset: Dataset, users: int) -> None:
    with pytest.raises(RequestError, match=f"users is {users}; at least 1"):
        make_protocol(dataset, "loo", users=users)
    with pytest.raises(RequestError, match=f"unknown protocol 'magic'; known are {', '.join(PROTOCOLS)}"):
        make_protocol(dataset, "magic")
