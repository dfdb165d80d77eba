"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tastemaker.agent.service.engine import Engine

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per service, so that several can live in a process."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tastemaker_requests", "Requests.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "tastemaker_request_seconds",
            "Time of requests.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        for name, told, value in (
            ("waiting", "Questions that wait for the models.", lambda: len(engine.ranking)),
            ("batches", "Batches that were ranked.", lambda: engine.ranking.stats.batches),
            ("batched_requests", "Questions in them.", lambda: engine.ranking.stats.asked),
            ("degraded", "Answers with a fallback after the deadline.", lambda: engine.degraded),
        ):
            Gauge(f"tastemaker_{name}", told, registry=self.registry).set_function(value)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
