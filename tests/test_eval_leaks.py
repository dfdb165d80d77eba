"""No system is ever shown what it will be asked for: a canary in the test events reaches nothing.

The canary is an item that occurs in the held-out events alone. What a system is built from, tuned on and
asked with must be the same, to the last byte, whether the held-out events name the canary or another item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from tastemaker.config import Settings
from tastemaker.data.dataset import Dataset
from tastemaker.eval import systems
from tastemaker.eval.baselines.registry import BASELINES
from tastemaker.eval.protocols import PROTOCOLS, VALIDATION, make_protocol, rules_of
from tastemaker.eval.run import ScoredList
from tastemaker.eval.systems import Retrievers, build_system, measure
from tastemaker.fusion import Fusion
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.language_models import ScriptedLanguageModel
from tastemaker.types import Request

CANARY = "canary"
SETTINGS = Settings(candidates=10)
TEST_PROTOCOLS = [name for name in PROTOCOLS if not name.endswith(VALIDATION)]
FAST = ("popularity", "transitions", "hybrid", "random", "llm", "fused")


def with_canary(named: bool) -> Dataset:
    """Fans whose last event, of the last day, is the canary or else another item that nobody knows."""
    dataset = film_data()
    events = dataset.interactions.to_pylist()
    last = max(event["timestamp"] for event in events)
    for event in events:
        if event["timestamp"] == last:
            event["item_id"] = CANARY if named else "other"
    items = dataset.items.select(["id", "title"]).to_pylist()
    items += [{"id": CANARY, "title": "The Canary"}, {"id": "other", "title": "The Other"}]
    return Dataset.from_tables(pa.Table.from_pylist(items), pa.Table.from_pylist(events))


class Spy:
    """A system that keeps what it was asked and finds nothing."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, requests: Sequence[Request]) -> list[ScoredList]:
        self.requests += requests
        return [[] for _ in requests]


def spied(
    monkeypatch: pytest.MonkeyPatch, protocol: str, dataset: Dataset
) -> tuple[list[Any], list[Request]]:
    """Everything that ``measure`` hands to the builders of systems, and every request."""
    built: list[Retrievers] = []
    spy = Spy()

    def build(name: str, parts: Retrievers, fusion: Fusion, *, protocol: str) -> Spy:
        built.append(parts)
        return spy

    monkeypatch.setattr(systems, "build_system", build)
    run = measure("hybrid", dataset, protocol, SETTINGS, fusion=Fusion())
    assert len(built) == rules_of(protocol).draws
    assert all(outcome.popularity == 0 for outcomes in run.outcomes for outcome in outcomes)
    handed = []
    for parts in built:
        assert CANARY not in repr(parts.validation)
        handed.append((parts.train.fingerprint, parts.validation))
        assert CANARY not in parts.train.interactions["item_id"].to_pylist()
    return handed, spy.requests


@pytest.mark.parametrize("protocol", TEST_PROTOCOLS)
def test_what_is_handed_over_does_not_depend_on_the_answers(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    handed, requests = spied(monkeypatch, protocol, with_canary(True))
    without, same_requests = spied(monkeypatch, protocol, with_canary(False))
    assert handed == without
    assert requests == same_requests
    assert all(CANARY not in repr(request) for request in requests)
    targets = {question.target for question in make_protocol(with_canary(True), protocol).questions}
    assert targets == {CANARY}, "else the test would show nothing"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.eval.systems.load_embedder", lambda source, progress=None: HashEmbedder())
    monkeypatch.setattr("tastemaker.eval.systems.load_model", lambda *_: ScriptedLanguageModel())


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("name", FAST)
def test_no_answer_depends_on_the_answers(name: str) -> None:
    lists = []
    for named in (True, False):
        protocol = make_protocol(with_canary(named), "loo")
        system = build_system(name, Retrievers(protocol.train, SETTINGS), Fusion())
        lists.append(system([question.request for question in protocol.questions]))
    assert lists[0] == lists[1]


def test_a_validation_protocol_knows_nothing_of_the_test_events() -> None:
    for name in TEST_PROTOCOLS:
        asked = make_protocol(with_canary(True), name + VALIDATION)
        assert CANARY not in {question.target for question in asked.questions}
        assert all(CANARY not in repr(question.request) for question in asked.questions)
        assert CANARY not in asked.train.interactions["item_id"].to_pylist()


def test_every_system_is_in_the_registry() -> None:
    assert set(FAST) | set(BASELINES) <= set(systems.SYSTEMS)
