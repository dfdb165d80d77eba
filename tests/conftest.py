"""What several test modules share: a small catalogue of made-up films, indexed with the fake embedder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tastemaker import Recommender
from tastemaker.agent.conversations import Conversations
from tastemaker.agent.store import Store
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.workspace import Workspace


@pytest.fixture(scope="session")
def film_place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = Workspace(tmp_path_factory.mktemp("films") / "workspace")
    film_data().save(place.data)
    build_index(film_data(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\nexplain: template\ncandidates: 40\n")
    return place


@pytest.fixture(scope="session")
def film_rec(film_place: Workspace) -> Recommender:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder())
        return Recommender.load(film_place.root)


@pytest.fixture
def film_talk(film_rec: Recommender, tmp_path: Path) -> Iterator[Conversations]:
    store = Store.at(tmp_path / "state.db")
    yield Conversations(film_rec, store)
    store.close()
