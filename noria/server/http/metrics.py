"""Figures for Prometheus: requests, latency, tokens, queues, restarts, events, what the guard found."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass
class RouteFigures:
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

    def __init__(self) -> None:
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

    def watch(self, collector: Collector) -> None:
        """Add figures that are read off something else when somebody looks."""
        self._registry.register(collector)

    def count(self, route: str, method: str, status: int, seconds: float, model: str = "", tokens: int = 0) -> None:
        """Count one request. `route` is a path of the server's own, never what a client made up."""
        if tokens:
            self._tokens.labels(model).inc(tokens)
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def routes(self) -> list[RouteFigures]:
        """Return what each route did, the busiest first."""
        found: dict[str, RouteFigures] = {}
        for sample in (sample for metric in self._requests.collect() for sample in metric.samples):
            if sample.name.endswith("_total"):
                one = found.setdefault(sample.labels["route"], RouteFigures(sample.labels["route"]))
                status, count = int(sample.labels["status"]), int(sample.value)
                one.requests += count
                one.refused += count if 400 <= status < 500 else 0
                one.failed += count if status >= 500 else 0
        for sample in (sample for metric in self._seconds.collect() for sample in metric.samples):
            bound = float(sample.labels.get("le", "inf"))
            one = found.get(sample.labels["route"], RouteFigures(""))
            if sample.name.endswith("_bucket") and bound < float("inf"):  # bounds come in order, counts add up
                one.half = bound if one.half is None and sample.value >= 0.5 * one.requests else one.half
                one.nearly_all = (
                    bound if one.nearly_all is None and sample.value >= 0.99 * one.requests else one.nearly_all
                )
        return sorted(found.values(), key=lambda one: -one.requests)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
