"""Every baseline keeps the contract of retrievers: batch equals singles, nothing unwanted, best first."""

from __future__ import annotations

import sys

import pytest

from tastemaker.data.dataset import Dataset
from tastemaker.errors import DataError, MissingExtraError, RequestError
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.registry import BASELINES, DEFINITIONS, Baseline, build_baseline
from tastemaker.eval.protocols import make_protocol
from tastemaker.protocols import Retriever
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import RetrieverContract
from tastemaker.types import Request


class BaselineContract(RetrieverContract):
    """The contract for a baseline with its default setting; two epochs are enough to keep it."""

    name: str

    def make(self, dataset: Dataset) -> Retriever:
        baseline: Baseline = DEFINITIONS[self.name]
        setting = {**baseline.default, **({"epochs": 2} if "epochs" in baseline.default else {})}
        return baseline.build(Material(dataset, embedder=HashEmbedder()), setting, seed=0)


class TestChance(BaselineContract):
    name = "chance"


class TestPopularity(BaselineContract):
    name = "popularity"


class TestText(BaselineContract):
    name = "text"


class TestItemKNN(BaselineContract):
    name = "item-knn"


class TestEase(BaselineContract):
    name = "ease"


class TestTransitions(BaselineContract):
    name = "transitions"


class TestGRU4Rec(BaselineContract):
    name = "gru4rec"

    def make(self, dataset: Dataset) -> Retriever:
        pytest.importorskip("cornac", reason="GRU4Rec is Cornac's: pip install 'tastemaker[eval]'")
        return super().make(dataset)


class TestSASRec(BaselineContract):
    name = "sasrec"


class TestLSTM(BaselineContract):
    name = "lstm"


class TestAdditive(BaselineContract):
    name = "additive"


def test_every_baseline_has_its_contract_test() -> None:
    tested = {kind.name for kind in BaselineContract.__subclasses__()}
    assert tested == set(DEFINITIONS) == set(BASELINES)


@pytest.mark.parametrize("name", ["chance", "sasrec", "lstm", "additive"])
def test_the_seed_decides(name: str) -> None:
    protocol = make_protocol(film_data(), "loo")
    requests = [question.request for question in protocol.questions]

    def answers(seed: int) -> list[object]:
        return list(DEFINITIONS[name].build(Material(protocol.train), setting, seed).retrieve(requests, 10))

    setting = {**DEFINITIONS[name].default, "epochs": 2} if name != "chance" else {}
    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_a_system_lists_ids_with_scores_and_says_how_it_was_made() -> None:
    protocol = make_protocol(film_data(), "loo")
    system = BASELINES["popularity"](protocol.train, protocol="loo")
    (found,) = system([protocol.questions[0].request])
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert not {item_id for item_id, _ in found} & protocol.questions[0].request.unwanted_ids
    assert system.facts["setting"] == DEFINITIONS["popularity"].default
    assert system.facts["tuning"] is None
    assert system.facts["train_seconds"] >= 0


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="unknown baseline 'ltsm'; known are chance, popularity"):
        build_baseline("ltsm", film_data(), protocol="loo")


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cornac.data", None)
    with pytest.raises(MissingExtraError, match=r"cornac is not installed .*tastemaker\[eval\]"):
        build_baseline("gru4rec", film_data(), protocol="loo")


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "gru4rec"])
def test_without_any_event_nothing_fails(name: str) -> None:
    films = film_data()
    empty = Dataset.from_tables(films.items)
    baseline = DEFINITIONS[name]
    setting = {**baseline.default, **({"epochs": 1} if baseline.epochs > 1 else {})}
    retriever = baseline.build(Material(empty, embedder=HashEmbedder()), setting, seed=0)
    (found,) = retriever.retrieve([Request(history=films.history("comedy-fan-0"))], 5)
    assert len(found) <= 5


def test_gru4rec_says_that_there_is_nothing_to_train_on() -> None:
    pytest.importorskip("cornac", reason="GRU4Rec is Cornac's: pip install 'tastemaker[eval]'")
    empty = Dataset.from_tables(film_data().items)
    with pytest.raises(DataError, match="no user has two events"):
        build_baseline("gru4rec", empty, protocol="loo")
