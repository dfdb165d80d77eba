"""Whatever is sent to the service as its own OpenAPI document describes it, or wrongly: no 500 and no hang."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from tastemaker import Recommender
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.config import ServiceConfig
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.store import Store
from tastemaker.index.build import build_index
from tastemaker.testing.data import film_data
from tastemaker.testing.embedders import HashEmbedder
from tastemaker.testing.serving import serving
from tastemaker.workspace import Workspace


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = Workspace(tmp_path_factory.mktemp("films") / "workspace")
    film_data().save(place.data)
    build_index(film_data(), place.index, HashEmbedder())
    place.config.write_text("domain: films\nllm: none\nexplain: template\ncandidates: 15\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.agent.assemble.load_embedder", lambda source, progress=None: HashEmbedder())
        rec = Recommender.load(place.root)
    with serving(create_app(Engine(rec, Store.at(place.state), ServiceConfig(), place))) as found:
        yield found


@pytest.fixture
def described(url: str) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_service(case: schemathesis.Case) -> None:
    response = case.call(timeout=20)
    case.validate_response(response, checks=[not_a_server_error])
    if response.status_code >= 400 and "json" in response.headers.get("content-type", [""])[0]:
        assert set(response.json()["error"]) == {"type", "message", "hint"}
