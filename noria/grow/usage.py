"""What the lake's events say of use: how many, of which kinds, by which application and model, how fast, how often refused.

use = usage(events("runs/demo/lake"))
use.apps[0].text()      # support 0.612 [0.590, 0.634] n=2,000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import message, term

from .log.log import SERVER_EVENTS as SOURCE


@dataclass(frozen=True)
class Usage:
    """Counts over a whole lake. Shares are of requests."""

    events: int
    users: int
    """Distinct users that sent a request; requests that name none are not counted here."""
    kinds: dict[str, int]
    apps: tuple[Figure, ...]
    """Share of each application, the largest first."""
    models: tuple[Figure, ...]
    """Share of each model among the requests that a model answered."""
    outcomes: dict[str, int]
    latency_ms: tuple[Figure, ...]
    """Median and 95th percentile of each application's requests, with order-statistic intervals."""
    units: dict[str, int]
    """Unit -> how much of it was used."""
    first: str
    last: str
    """First and last event, UTC, ISO 8601."""
    right: tuple[Figure, ...] = ()
    """Share of each model's judged answers that the last word on them called right."""

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return self.kinds.get("request", 0)


def usage(events: ibis.Table) -> Usage:
    """Return what a lake's events say of use.

    Raises:
        InputError: the lake holds no event.
    """
    backend = events.get_backend()
    name = ibis.util.gen_name("usage")
    try:  # one pass over the files, whatever is asked
        return _usage(backend.create_table(name, events, temp=True))
    finally:
        backend.drop_table(name, force=True)


def _usage(events: ibis.Table) -> Usage:
    whole = (
        events.aggregate(n=events.count(), first=events.time.min(), last=events.time.max()).to_pyarrow().to_pylist()[0]
    )
    if not whole["n"]:
        raise InputError(message("grow.lake_holds_events"), hint=message("grow.send_request"))
    requests = events.filter(events.kind == "request")
    users = requests.filter(requests.user != "").user.nunique().to_pyarrow().as_py()
    return Usage(
        events=whole["n"],
        users=users,
        kinds=_counts(events, "kind"),
        apps=_shares(requests, "app"),
        models=_shares(requests.filter(requests.model != ""), "model"),
        outcomes=_counts(requests, "outcome"),
        latency_ms=_latency(requests),
        units=dict(_rows(requests.group_by("unit").aggregate(n=requests.units.sum()).order_by("unit"))),
        first=whole["first"].isoformat(timespec="seconds"),
        last=whole["last"].isoformat(timespec="seconds"),
        right=_right(events, requests),
    )


def _right(events: ibis.Table, requests: ibis.Table) -> tuple[Figure, ...]:
    """Join feedback with the requests it is about; one from another customer is about none."""
    feedback = events.filter((events.kind == "feedback") & events.value.notnull())
    last = feedback.group_by(["subject", "tenant"]).aggregate(verdict=feedback.value.argmax(feedback.time))
    judged = requests.join(last, [requests.id == last.subject, requests.tenant == last.tenant])
    counts = judged.group_by("model").aggregate(right=(judged.verdict > 0).sum(), n=judged.count())
    return tuple(
        proportion(model or "(none)", right, n, source=SOURCE)
        for model, right, n in _rows(counts.order_by(ibis.desc("n"), "model"))
    )


def _counts(table: ibis.Table, column: str) -> dict[str, int]:
    counted = table.group_by(column).aggregate(n=table.count())
    return dict(_rows(counted.order_by(ibis.desc("n"), column)))


def _shares(table: ibis.Table, column: str) -> tuple[Figure, ...]:
    counts = _counts(table, column)
    total = sum(counts.values())
    return tuple(proportion(name or "(none)", count, total, source=SOURCE) for name, count in counts.items())


def _latency(requests: ibis.Table) -> tuple[Figure, ...]:
    """Quantiles with the distribution-free interval between order statistics (normal approximation of their ranks)."""
    figures = []
    for app, count in _counts(requests, "app").items():
        mine = requests.filter(requests.app == app).latency_ms
        for name, part in (("median", 0.5), ("percentile_95", 0.95)):
            half = 1.96 * (part * (1 - part) / count) ** 0.5
            ends = [
                mine.quantile(min(max(at, 0.0), 1.0)).to_pyarrow().as_py() for at in (part, part - half, part + half)
            ]
            figures.append(
                Figure(
                    message(f"usage.latency.{name}", app=term(app or "(none)")),
                    ends[0],
                    count,
                    ends[1],
                    ends[2],
                    unit="ms",
                    source=SOURCE,
                )
            )
    return tuple(figures)


def _rows(table: ibis.Table) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pyarrow().to_pylist()]
