"""Figures for Prometheus: requests, latency, tokens, queues, restarts, events, what the guard found."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

KEPT = 2_048
"""Of each route the times of so many last requests are kept: some 16 KiB."""
CONSOLE, OTHER = "console", "other"
"""What the console's pages and their plumbing are counted under, and paths that there are not: neither is a route of the server's own."""
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
    times: tuple[float, ...] = ()
    """Seconds that the last `KEPT` requests took, ascending."""

    def quantile(self, part: float) -> tuple[float, float | None, float | None]:
        """Return the time within which a part of the last requests was answered, and the ends of its interval (95 %).

        Distribution-free, from order statistics (Conover 1999, section 3.2); an end is None where so few requests do not tell it.

        Raises:
            ValueError: there was no request.
        """
        count = len(self.times)
        if not count:
            raise ValueError("no request")
        middle, spread = count * part, 1.96 * math.sqrt(count * part * (1 - part))
        low, high = math.floor(middle - spread), math.ceil(middle + spread) + 1
        value = self.times[max(0, math.ceil(middle) - 1)]
        return (
            value,
            self.times[low - 1] if low >= 1 else None,
            self.times[high - 1] if high <= count else None,
        )


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
        self._times: dict[str, deque[float]] = {}
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
        self._times.setdefault(route, deque(maxlen=KEPT)).append(seconds)

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
        for name, one in found.items():
            one.times = tuple(sorted(self._times.get(name, ())))
        return sorted(found.values(), key=lambda one: -one.requests)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


def resident_bytes(process: int) -> int | None:
    """Return the memory that a process and those it started hold, as their resident sets; None where the system does not tell it."""
    folder = Path("/proc") / str(process)
    try:
        pages = int((folder / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    found = pages * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        for child in (folder / "task" / str(process) / "children").read_text().split():
            found += resident_bytes(int(child)) or 0
    return found


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Return how much of the disk that a folder lies on is free for this process, and how large it is.

    Raises:
        OSError: there is no such folder.
    """
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize


def own(routes: Sequence[RouteFigures]) -> list[RouteFigures]:
    """Return the server's own routes: neither the console's plumbing nor what there is not."""
    return [one for one in routes if one.route not in (CONSOLE, OTHER)]
