"""Settings are chosen on validation questions alone, and a chosen setting gives again what tuning saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tastemaker.errors import RequestError
from tastemaker.eval.baselines import registry
from tastemaker.eval.baselines.material import Material
from tastemaker.eval.baselines.registry import (
    BASELINES,
    DEFINITIONS,
    BaselineSystem,
    tuned,
    tuned_settings,
    tuning_protocol,
)
from tastemaker.eval.baselines.tuning import LOOK_EVERY, METRIC, PATIENCE, tune
from tastemaker.eval.protocols import PROTOCOLS, make_protocol
from tastemaker.eval.run import run_system
from tastemaker.testing.data import film_data

SMALL = {"dimension": 16, "length": 8, "dropout": 0.2, "learning_rate": 1e-2}


@pytest.fixture
def small_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small settings of the LSTM, of which the first can learn next to nothing."""
    slow = {**SMALL, "learning_rate": 1e-6}
    baseline = replace(DEFINITIONS["lstm"], grid=(slow, SMALL), epochs=30)
    monkeypatch.setattr(registry, "DEFINITIONS", {**DEFINITIONS, "lstm": baseline})


def test_the_best_setting_and_epoch_are_chosen_and_can_be_had_again(small_lstm: None) -> None:
    protocol = make_protocol(film_data(), "loo-validation")
    tuning = tune("lstm", protocol, seed=3)
    slow, quick = tuning.trials
    assert tuning.chosen is quick
    assert quick.score == max(quick.curve) > 2 * slow.score
    assert quick.setting == {**SMALL, "epochs": LOOK_EVERY * (quick.curve.index(quick.score) + 1)}

    baseline = registry.baseline_of("lstm")
    again = baseline.build(Material(protocol.train), tuning.chosen.setting, seed=3)
    run = run_system("lstm", BaselineSystem(again, {}), protocol)
    assert run.summary()["metrics"][METRIC] == pytest.approx(quick.score, abs=1e-5)


def test_training_stops_when_it_does_not_get_better(small_lstm: None) -> None:
    slow = tune("lstm", make_protocol(film_data(), "loo-validation")).trials[0]
    assert len(slow.curve) <= slow.curve.index(slow.score) + 1 + PATIENCE
    assert LOOK_EVERY * len(slow.curve) < 30


def test_the_whole_grid_is_kept() -> None:
    kept = tune("transitions", make_protocol(film_data(), "loo-validation"), seed=1).to_dict()
    assert [trial["setting"] for trial in kept["grid"]] == list(DEFINITIONS["transitions"].grid)
    assert kept[METRIC] == max(trial[METRIC] for trial in kept["grid"])
    assert (kept["protocol"], kept["users"], kept["seed"]) == ("loo-validation", 30, 1)


def test_tuning_refuses_questions_that_measure() -> None:
    with pytest.raises(RequestError, match=r"'loo' is for measuring .*loo-validation"):
        tune("popularity", make_protocol(film_data(), "loo"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_settings_of_a_protocol_come_from_validation_questions_of_its_data(protocol: str) -> None:
    source = tuning_protocol(protocol)
    assert source in PROTOCOLS
    assert source.endswith("-validation")
    assert source.split("-")[0] == protocol.split("-")[0]


def test_kept_settings_are_of_the_grids() -> None:
    for protocol, found in tuned_settings().items():
        assert protocol.endswith("-validation")
        for name, entry in found.items():
            chosen = {key: value for key, value in entry["setting"].items() if key != "epochs"}
            baseline = DEFINITIONS[name]
            plain = [{key: v for key, v in one.items() if key != "epochs"} for one in baseline.grid]
            assert chosen in plain, f"{name} of {protocol}: run benchmarks/baselines_table.py --tune"
            assert entry["protocol"] == protocol
            assert entry["command"]


def test_a_system_takes_the_setting_that_was_tuned_for_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"setting": {"prior": 77.0}}
    monkeypatch.setattr(registry, "tuned_settings", lambda: {"llamarec-validation": {"popularity": entry}})
    train = make_protocol(film_data(), "loo").train
    for protocol in ("llamarec", "llamarec-tiesafe"):
        assert BASELINES["popularity"](train, protocol=protocol).facts["setting"] == {"prior": 77.0}
    assert tuned("popularity", "beauty-loo") is None
    default = BASELINES["popularity"](train, protocol="beauty-loo")
    assert default.facts["setting"] == DEFINITIONS["popularity"].default
