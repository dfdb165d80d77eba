"""Whatever is sent to the service, as its own OpenAPI document has it or wrongly: no 500 and no hang."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tastemaker import Recommender
from tastemaker.agent.service.app import create_app
from tastemaker.agent.service.config import ServiceConfig
from tastemaker.agent.service.engine import Engine
from tastemaker.agent.store import Store
from tastemaker.testing.serving import serving

EXAMPLES = 15
"""Requests of each kind, right and wrong, for each operation."""

OPERATIONS = (
    "GET /health/live",
    "GET /health/ready",
    "GET /v1/models",
    "GET /v1/sessions/{session_id}",
    "PATCH /v1/sessions/{session_id}",
    "DELETE /v1/sessions/{session_id}",
    "GET /v1/users/{user_id}",
    "DELETE /v1/users/{user_id}",
    "POST /rerank",
    "POST /v1/chat/completions",
    "POST /v1/explain",
    "POST /v1/feedback",
    "POST /v1/recommend",
    "POST /v1/rerank",
    "POST /v2/rerank",
)


@pytest.fixture(scope="module")
def described(
    film_rec: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    store = Store.at(tmp_path_factory.mktemp("store") / "state.db")
    with serving(create_app(Engine(film_rec, store, ServiceConfig(per_minute=0)))) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def operations(described: schemathesis.BaseSchema) -> dict[str, schemathesis.APIOperation]:
    found = [one.ok() for one in described.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


def test_the_document_describes_every_operation(described: schemathesis.BaseSchema) -> None:
    assert set(OPERATIONS) <= set(operations(described))


def kinds() -> Iterator[tuple[str, schemathesis.GenerationMode]]:
    """Every operation with requests that its description allows, and those with a body with wrong ones."""
    for name in OPERATIONS:
        yield name, schemathesis.GenerationMode.POSITIVE
        if name.startswith(("POST", "PATCH")):
            yield name, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.parametrize(("name", "mode"), list(kinds()))
def test_no_request_breaks_the_service(
    described: schemathesis.BaseSchema, name: str, mode: schemathesis.GenerationMode
) -> None:
    operation = operations(described)[name]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def attempt(case: schemathesis.Case) -> None:
        response = case.call(timeout=20)
        assert response.status_code != 500, response.text
        if response.status_code >= 400 and "json" in response.headers.get("content-type", [""])[0]:
            assert set(response.json()["error"]) == {"type", "message", "hint"}

    attempt()
