"""Serving the user encoder: the contract, scores in nats, new items by text, artefacts that do not fit."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
import torch

from tastemaker.artifacts import MANIFEST, write_manifest
from tastemaker.data.dataset import Dataset
from tastemaker.data.splits import leave_one_out
from tastemaker.errors import ArtifactError
from tastemaker.finetune.sequential import SequentialRun
from tastemaker.finetune.sequential_train import SequentialTraining
from tastemaker.index.build import index_texts
from tastemaker.index.catalogue import Catalogue
from tastemaker.index.sequential import SequentialRetriever, load_sequential, training_fingerprint
from tastemaker.index.sequential_model import EncoderShape, UserEncoder
from tastemaker.index.store import ItemIndex
from tastemaker.testing.data import CIRCLE, film_data, film_id, next_film
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.retriever_contract import RetrieverContract, contract_dataset, typed
from tastemaker.types import Filter, HistoryEntry, Request, UserHistory

CONFIG = SequentialTraining(
    shape=EncoderShape(dimension=32, length=8), epochs=8, learning_rate=5e-3, text_only=0.3
)


def index_of(dataset: Dataset, seed: int = 0) -> ItemIndex:
    return ItemIndex.build(dataset.item_ids, index_texts(dataset), HashEmbedder(48, seed=seed))


def trained(dataset: Dataset, folder: Path) -> None:
    split = leave_one_out(dataset)
    SequentialRun(split.train, split.validation, index_of(dataset), CONFIG).train(folder)


def loaded(dataset: Dataset, folder: Path) -> SequentialRetriever:
    return load_sequential(folder, Catalogue(dataset), index_of(dataset), trained_on=None)


@lru_cache(maxsize=1)
def contract_retriever() -> SequentialRetriever:
    dataset = contract_dataset()
    with TemporaryDirectory() as folder:
        trained(dataset, Path(folder) / "encoder")
        return loaded(dataset, Path(folder) / "encoder")


class TestSequentialRetriever(RetrieverContract):
    def make(self, dataset: Dataset) -> SequentialRetriever:
        return contract_retriever()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "encoder"
    trained(film_data(), folder)
    return folder


def history_of(*item_ids: str) -> Request:
    return Request(history=UserHistory(entries=tuple(HistoryEntry(title=i, item_id=i) for i in item_ids)))


def test_the_next_film_of_the_circle_comes_first_for_a_new_user(encoder: Path) -> None:
    retriever = loaded(film_data(), encoder)
    requests = [
        history_of(*(film_id(taste, place + step) for step in range(4)))
        for taste in ("comedy", "thriller")
        for place in range(CIRCLE)
    ]
    found = [answer[0].item.id for answer in retriever.retrieve(requests, 1)]
    wanted = [next_film(request.history.item_ids[-1]) for request in requests]
    hits = sum(one == other for one, other in zip(found, wanted, strict=True))
    assert hits >= 0.9 * len(requests)


def test_scores_are_log_probabilities_and_the_same_in_both_ways(encoder: Path) -> None:
    dataset = film_data()
    retriever = loaded(dataset, encoder)
    (state,) = retriever.prepare([history_of("comedy-1", "comedy-2")])
    assert state is not None
    scores = retriever.scores(state, np.arange(len(dataset.item_ids)))
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)
    positions, best = retriever.top(state, np.ones(len(dataset.item_ids), bool), 7)
    np.testing.assert_allclose(best, np.sort(scores)[::-1][:7], rtol=1e-5)
    np.testing.assert_allclose(best, scores[positions], rtol=1e-5)


def test_only_items_of_the_catalogue_are_read(encoder: Path) -> None:
    retriever = loaded(film_data(), encoder)
    silent = [Request(), Request(history=typed("x")), Request(wish="a comedy"), history_of("gone")]
    assert retriever.retrieve(silent, 5) == [()] * 4
    with_more, without = retriever.retrieve([history_of("comedy-1", "gone"), history_of("comedy-1")], 5)
    assert with_more == without


def test_a_long_history_counts_by_its_end(encoder: Path) -> None:
    retriever = loaded(film_data(), encoder)
    long = [film_id("thriller", place) for place in range(CIRCLE)]
    states = retriever.prepare([history_of(*long), history_of(*long[-CONFIG.shape.length :])])
    assert states[0] is not None
    assert states[1] is not None
    np.testing.assert_array_equal(states[0].vector, states[1].vector)


def with_new_items(dataset: Dataset) -> Dataset:
    """The films with two that nobody has seen: copies of comedy-7 and thriller-7 under new ids, first."""
    rows = dataset.items.to_pylist()
    new = [{**row, "id": f"new-{row['id']}"} for row in rows if row["id"].endswith("-7")]
    return Dataset.from_tables(
        pa.Table.from_pylist([*new, *rows], schema=dataset.items.schema), dataset.interactions
    )


def test_a_new_item_is_found_by_its_text_without_training_again(encoder: Path) -> None:
    dataset = with_new_items(film_data())
    retriever = load_sequential(
        encoder,
        Catalogue(dataset),
        index_of(dataset),
        trained_on=training_fingerprint(leave_one_out(dataset).train),
    )
    for taste, other in (("comedy", "thriller"), ("thriller", "comedy")):
        request = history_of(*(film_id(taste, place) for place in range(3, 7)))
        ids = [candidate.item.id for candidate in retriever.retrieve([request], 42)[0]]
        assert ids.index(f"new-{taste}-7") < 10
        assert ids.index(f"new-{taste}-7") < ids.index(f"new-{other}-7")
        assert retriever.retrieve([history_of(f"new-{taste}-7")], 5)[0], "a new item can be read, too"


def test_items_that_are_gone_are_forgotten(encoder: Path) -> None:
    rows = [row for row in film_data().items.to_pylist() if row["id"] != "comedy-3"]
    dataset = Dataset.from_tables(pa.Table.from_pylist(rows, schema=film_data().items.schema))
    request = Request(
        history=history_of("comedy-0", "comedy-1").history,
        filters=(Filter(field="genres", op="has", value="Comedy"),),
    )
    before = {c.item.id: c.score for c in loaded(film_data(), encoder).retrieve([request], 40)[0]}
    after = {c.item.id: c.score for c in loaded(dataset, encoder).retrieve([request], 40)[0]}
    assert set(before) - set(after) == {"comedy-3"}
    # The gone item left the softmax's sum: all others gain the same.
    gains = [after[item_id] - before[item_id] for item_id in after]
    assert min(gains) == pytest.approx(max(gains), abs=1e-4)
    assert min(gains) > 0


def test_what_it_was_not_made_for_is_refused_by_name(encoder: Path, tmp_path: Path) -> None:
    dataset = film_data()
    catalogue, index = Catalogue(dataset), index_of(dataset)
    with pytest.raises(ArtifactError, match=r"trained with embedding model hash-48.*train retriever"):
        load_sequential(encoder, catalogue, index_of(dataset, seed=1), trained_on=None)
    with pytest.raises(ArtifactError, match=r"other interactions.*train retriever"):
        load_sequential(encoder, catalogue, index, trained_on=training_fingerprint(dataset))
    with pytest.raises(ArtifactError, match="holds no sequential-encoder"):
        load_sequential(tmp_path, catalogue, index, trained_on=None)
    with pytest.raises(ArtifactError, match=r"index lacks 2 items.*index build"):
        load_sequential(encoder, Catalogue(with_new_items(dataset)), index, trained_on=None)
    none_of_them = Dataset.from_tables(pa.table({"id": ["a"], "title": ["A"]}))
    with pytest.raises(ArtifactError, match="holds 0"):
        load_sequential(encoder, Catalogue(none_of_them), index_of(none_of_them), trained_on=None)


@pytest.mark.parametrize("damage", ["weights", "shape"])
def test_damage_is_an_artifact_error(encoder: Path, tmp_path: Path, damage: str) -> None:
    for file in encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((tmp_path / MANIFEST).read_text())
    if damage == "weights":
        (tmp_path / "weights.safetensors").write_bytes(b"junk")
    else:
        facts["shape"]["layers"] = 5
    write_manifest(tmp_path, facts.pop("kind"), facts)
    with pytest.raises(ArtifactError, match=r"no user encoder.*train retriever"):
        loaded(film_data(), tmp_path)


def test_padding_and_what_comes_later_change_nothing() -> None:
    torch.manual_seed(0)
    encoder = UserEncoder(EncoderShape(dimension=8, length=6), text_dimension=4, items=3).eval()
    history = torch.randn(1, 4, 8)
    with torch.inference_mode():
        alone = encoder(history, torch.ones(1, 4, dtype=torch.bool))
        padded = torch.cat([torch.full((1, 2, 8), 7.0), history], dim=1)
        real = torch.tensor([[False, False, True, True, True, True]])
        torch.testing.assert_close(encoder(padded, real)[:, 2:], alone)
        changed = history.clone()
        changed[0, -1] = torch.randn(8)
        later = encoder(changed, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(later[:, :-1], alone[:, :-1])
    assert not torch.allclose(later[:, -1], alone[:, -1])
