"""Cross-fitting: no retriever meets a user that it was built from, and moments are what serving would see."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.finetune.crossfit import deal, moments
from tastemaker.index.transitions import TransitionRetriever
from tastemaker.testing.retriever_contract import contract_dataset

DAY = 86_400.0


def dataset_of(sequences: dict[str, str]) -> Dataset:
    """One event per letter, a day apart, the company in the evening of the odd steps."""
    events = [
        (user, letter, step * DAY, "family" if step % 2 else None)
        for user, letters in sequences.items()
        for step, letter in enumerate(letters)
    ]
    users, items, times, company = zip(*events, strict=True)
    letters = list("abcdefgh")
    return Dataset.from_tables(
        pa.table({"id": letters, "title": letters}),
        pa.table({"user_id": users, "item_id": items, "timestamp": times, "company": company}),
    )


@pytest.mark.parametrize("folds", [2, 4, 15])
def test_every_user_is_hidden_once_and_from_its_own_fold_only(folds: int) -> None:
    train = contract_dataset()
    met: list[str] = []
    for others, users in deal(train, folds, seed=3):
        assert not set(users) & set(others.sequences())
        assert set(users) | set(others.sequences()) == set(train.user_ids)
        assert others.item_ids == train.item_ids
        met += users
    assert sorted(met) == sorted(train.user_ids)


def test_folds_are_the_same_for_the_same_seed() -> None:
    train = contract_dataset()
    first, again, other = ([users for _, users in deal(train, 3, seed)] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("folds", [0, 1, 16])
def test_impossible_folds_are_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=f"{folds} folds of 15 users"):
        next(deal(contract_dataset(), folds))


def test_moments_hold_all_before_the_event_and_its_circumstances() -> None:
    train = dataset_of({"u": "abcdef", "v": "ab"})
    found = moments(train, "u")
    assert [(one.position, one.target) for one in found] == [(3, "d"), (4, "e"), (5, "f")]
    assert [one.request.history.item_ids for one in found] == [tuple("abc"), tuple("abcd"), tuple("abcde")]
    assert [one.request.context.company for one in found] == ["family", None, "family"]
    time = found[0].request.context.time
    assert time is not None
    assert time.timestamp() == 3 * DAY
    assert [one.target for one in moments(train, "u", last=2)] == ["e", "f"]
    assert moments(train, "u", last=99) == found
    assert moments(train, "v") == []


def test_what_the_user_has_had_is_no_target() -> None:
    assert [one.target for one in moments(dataset_of({"u": "abcadbe"}), "u")] == ["d", "e"]


def test_a_users_own_future_is_unknown() -> None:
    """Everybody else goes on from c to e, f or g; only the user of the question ever came to d."""
    train = dataset_of({"u": "abcd", "v": "abce", "w": "abcf", "x": "abcg"})
    [others] = [others for others, users in deal(train, 4) if users == ["u"]]
    [moment] = moments(train, "u")
    found = TransitionRetriever(others).retrieve([moment.request], 9)[0]
    assert moment.target == "d"
    assert [candidate.item.id for candidate in found] == ["e", "f", "g"]
