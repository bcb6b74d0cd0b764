"""Figures for Prometheus: requests, latency, tokens, queues, restarts, events, what the guard found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from .state import State

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass
class Route:
    """What one route did since the server started."""

    route: str
    requests: int = 0
    refused: int = 0
    """Answered with 400 to 499."""
    failed: int = 0
    """Answered with 500 or more."""
    half: float | None = None
    """Seconds within which half of the requests were answered, as the next bound of the histogram; None: above all."""
    nearly_all: float | None = None
    """The same for 99 of 100."""


class Metrics:
    """The counters of one server."""

    def __init__(self, state: State) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "noria_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "noria_request_seconds",
            "Seconds from request to last byte.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._tokens = Counter("noria_tokens", "Tokens read and written.", ["model"], registry=self._registry)
        self._registry.register(_Now(state))

    def count(self, route: str, method: str, status: int, seconds: float, model: str = "", tokens: int = 0) -> None:
        """Count one request. `route` is a path of the server's own, never what a client made up."""
        if tokens:
            self._tokens.labels(model).inc(tokens)
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def routes(self) -> list[Route]:
        """Return what each route did, the busiest first."""
        found: dict[str, Route] = {}
        for sample in (sample for metric in self._requests.collect() for sample in metric.samples):
            if sample.name.endswith("_total"):
                one = found.setdefault(sample.labels["route"], Route(sample.labels["route"]))
                status, count = int(sample.labels["status"]), int(sample.value)
                one.requests += count
                one.refused += count if 400 <= status < 500 else 0
                one.failed += count if status >= 500 else 0
        for sample in (sample for metric in self._seconds.collect() for sample in metric.samples):
            bound = float(sample.labels.get("le", "inf"))
            one = found.get(sample.labels["route"], Route(""))
            if sample.name.endswith("_bucket") and bound < float("inf"):  # bounds come in order, counts add up
                one.half = bound if one.half is None and sample.value >= 0.5 * one.requests else one.half
                one.nearly_all = (
                    bound if one.nearly_all is None and sample.value >= 0.99 * one.requests else one.nearly_all
                )
        return sorted(found.values(), key=lambda one: -one.requests)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _Now(Collector):
    """What is read off the state when somebody looks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield gauges, and counters that others keep."""
        state = self._state
        yield GaugeMetricFamily("noria_ready", "1 when requests are welcome.", value=float(state.ready))
        yield GaugeMetricFamily("noria_in_flight", "Requests being answered.", value=state.in_flight)
        yield GaugeMetricFamily("noria_events_waiting", "Events not sealed yet.", value=state.meter.outbox.count())
        queue = GaugeMetricFamily("noria_queue", "Requests before a model.", labels=["model"])
        restarts = GaugeMetricFamily("noria_model_restarts", "Restarts of a model's process.", labels=["model"])
        up = GaugeMetricFamily("noria_model_ready", "1 when a model answers.", labels=["model"])
        for name, served in state.models.items():
            queue.add_metric([name], served.worker.depth)
            restarts.add_metric([name], served.worker.restarts)
            up.add_metric([name], float(served.worker.status == "ready"))
        yield from (queue, restarts, up)
        guard = CounterMetricFamily("noria_guard", "What the guard found, by rule.", labels=["rule", "side", "action"])
        for labels, count in list(state.guard.counts.items()):
            guard.add_metric(labels, count)
        yield guard
