"""What every ``Retriever`` must do, as a test class to inherit.

::

    class TestMine(RetrieverContract):
        def make(self, dataset: Dataset) -> Retriever:
            return MyRetriever(dataset)

The contract's own catalogue is made of 24 films in three genres; users of one genre see only films of that
genre, so that any retriever that learns from them has a right answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.protocols import Retriever
from tastemaker.types import Candidate, Context, Filter, HistoryEntry, Request, UserHistory, parse_time

GENRES = ("comedy", "horror", "western")
FILMS_PER_GENRE = 8
USERS_PER_GENRE = 5
_DAY = 86_400.0


def contract_dataset() -> Dataset:
    """24 films ``comedy-0`` .. ``western-7`` of the years 1980 to 2003; the last of each genre nobody saw."""
    films = [(genre, number) for genre in GENRES for number in range(FILMS_PER_GENRE)]
    items = pa.table(
        {
            "id": [f"{genre}-{number}" for genre, number in films],
            "title": [f"The {genre} film number {number}" for genre, number in films],
            "genres": pa.array([[genre] for genre, _ in films], pa.list_(pa.string())),
            "year": [1980 + place for place in range(len(films))],
        }
    )
    events = [
        (f"{genre}-fan-{user}", f"{genre}-{(user + step) % (FILMS_PER_GENRE - 1)}", step * _DAY)
        for genre in GENRES
        for user in range(USERS_PER_GENRE)
        for step in range(4)
    ]
    user_ids, item_ids, times = zip(*events, strict=True)
    interactions = pa.table({"user_id": user_ids, "item_id": item_ids, "timestamp": times})
    return Dataset.from_tables(items, interactions)


def typed(*titles: str) -> UserHistory:
    """A history of titles that the catalogue does not hold."""
    return UserHistory(entries=tuple(HistoryEntry(title=title) for title in titles))


class RetrieverContract(ABC):
    """Inherit, implement ``make``; pytest runs the rest."""

    @abstractmethod
    def make(self, dataset: Dataset) -> Retriever:
        """Return the retriever under test over ``dataset``."""

    def requests(self, dataset: Dataset) -> list[Request]:
        """Requests of every shape: known user, typed titles, wish, context, filters, exclusions, nothing."""
        fan = dataset.history("horror-fan-0")
        evening = Context(time=parse_time("2026-11-28T21:30"), company="family")
        return [
            Request(history=fan),
            Request(history=fan, wish="a western film"),
            Request(wish="a comedy film", context=evening),
            Request(history=typed("The horror film number 99", "Unheard Of")),
            Request(),
            Request(context=evening),
            Request(history=fan, filters=(Filter(field="genres", op="has", value="Comedy"),)),
            Request(wish="horror", filters=(Filter(field="year", op=">=", value=1990.0),)),
            Request(history=fan, filters=(Filter(field="year", op=">", value=3000.0),)),
            Request(history=fan, exclude=frozenset({"horror-5", "comedy-1", "no-such-item"})),
            Request(wish="horror", exclude=frozenset(dataset.item_ids)),
        ]

    def retrieve(self, n: int) -> tuple[list[Request], list[tuple[Candidate, ...]]]:
        dataset = contract_dataset()
        requests = self.requests(dataset)
        return requests, self.make(dataset).retrieve(requests, n)

    def test_a_retriever_has_a_name(self) -> None:
        assert self.make(contract_dataset()).name

    def test_one_answer_per_request_of_at_most_n(self) -> None:
        requests, answers = self.retrieve(5)
        assert len(answers) == len(requests)
        assert all(len(answer) <= 5 for answer in answers)
        assert self.make(contract_dataset()).retrieve([], 5) == []

    def test_no_item_comes_twice_and_all_are_of_the_catalogue(self) -> None:
        dataset = contract_dataset()
        for answer in self.retrieve(50)[1]:
            ids = [candidate.item.id for candidate in answer]
            assert len(set(ids)) == len(ids)
            assert all(candidate.item == dataset.item(candidate.item.id) for candidate in answer)

    def test_unwanted_items_never_appear(self) -> None:
        for request, answer in zip(*self.retrieve(50), strict=True):
            assert not request.unwanted_ids & {candidate.item.id for candidate in answer}

    def test_filters_hold(self) -> None:
        for request, answer in zip(*self.retrieve(50), strict=True):
            for candidate in answer:
                assert all(_meets(candidate, condition) for condition in request.filters)

    def test_best_first_and_ties_by_id(self) -> None:
        for answer in self.retrieve(50)[1]:
            keys = [(-candidate.score, candidate.item.id) for candidate in answer]
            assert keys == sorted(keys)

    def test_a_batch_equals_its_singles(self) -> None:
        requests, answers = self.retrieve(7)
        retriever = self.make(contract_dataset())
        assert answers == [retriever.retrieve([request], 7)[0] for request in requests]

    def test_a_shorter_list_is_the_beginning_of_a_longer_one(self) -> None:
        short, long = self.retrieve(3)[1], self.retrieve(20)[1]
        assert [_ids(answer) for answer in short] == [_ids(answer)[:3] for answer in long]

    def test_asking_for_more_than_the_catalogue_holds_is_fine(self) -> None:
        answers = self.retrieve(10_000)[1]
        assert all(len(answer) <= len(contract_dataset().item_ids) for answer in answers)

    def test_requests_are_independent_of_each_other_and_of_k(self) -> None:
        dataset = contract_dataset()
        retriever = self.make(dataset)
        requests = self.requests(dataset)
        again = [replace(request, k=1, request_id="other") for request in reversed(requests)]
        assert retriever.retrieve(again, 6) == list(reversed(retriever.retrieve(requests, 6)))


def _ids(answer: Sequence[Candidate]) -> list[str]:
    return [candidate.item.id for candidate in answer]


def _meets(candidate: Candidate, condition: Filter) -> bool:
    """The two kinds of condition that ``requests`` uses, said once more without the code under test."""
    if condition.field == "genres":
        return str(condition.value).casefold() in candidate.item.genres
    assert candidate.item.year is not None
    bound = float(str(condition.value))
    return candidate.item.year >= bound if condition.op == ">=" else candidate.item.year > bound
