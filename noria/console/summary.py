"""What a person must know first: how much waits for somebody, and what changed; looked up once for all browsers, and kept a while.

await summary.waiting()      # {"inbox": 3, "monitor": 1}
await summary.findings()     # the sentences of the overview
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from noria.core.errors import NoriaError
from noria.core.messages import joined, message
from noria.grow.changes.finding import (
    Finding,
    chosen,
    of_market,
    of_models,
    of_start,
    of_use,
    of_waiting,
    simulated,
)
from noria.lake.simulated import simulated_tenants

from . import records

if TYPE_CHECKING:
    from noria.server.http.state import State

Kept = TypeVar("Kept")
WAITING_SECONDS = 5.0
"""How old counts of what waits may be."""
FINDINGS_SECONDS = 60.0
"""How old findings may be; and no less than `_REST` times as long as it took to find them."""
_REST = 20.0
_MOST_ASKED = 200
"""Waiting conversations that are asked whose they are."""


class _Aging(Generic[Kept]):
    """A value that is looked up by whoever asks first, and given to all others until it is too old."""

    def __init__(self, look: Callable[[], Awaitable[Kept]], seconds: float, clock: Callable[[], float]) -> None:
        self._look, self._seconds, self._clock = look, seconds, clock
        self._lock = asyncio.Lock()
        self._until = -1.0
        self.kept: Kept | None = None

    async def get(self) -> Kept:
        async with self._lock:
            began = self._clock()
            if self.kept is None or began >= self._until:
                self.kept = await self._look()
                ended = self._clock()
                self._until = ended + max(self._seconds, _REST * (ended - began))
            return self.kept


class Summary:
    """Counts and findings of one server.

    Args:
        state: the running server.
        root: the folder of the run whose models the console shows.
        clock: gives seconds that never go back.
    """

    def __init__(self, state: State, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self.root = state, root
        self._waiting = _Aging(self._count, WAITING_SECONDS, clock)
        self._findings = _Aging(self._find, FINDINGS_SECONDS, clock)

    async def waiting(self) -> dict[str, int]:
        """Return how much waits for a person, by the name of the page where it does; pages where nothing does are left out."""
        return dict((await self._waiting.get())[0])

    async def findings(self) -> list[Finding]:
        """Return the sentences of the overview: what waits as it is now, and the others as they were a while ago at most."""
        counts, made_up = await self._waiting.get()
        now = of_waiting(counts)
        if made_up:
            now = [replace(one, simulated=simulated(1.0)) for one in now]
        return chosen([*now, *await self._findings.get()])

    @property
    def ready(self) -> bool:
        """Return whether findings were looked up before: then they are there at once, if old ones."""
        return self._findings.kept is not None

    @property
    def last_waiting(self) -> dict[str, int]:
        """Return the counts of what waits as they were when somebody asked last."""
        return self._waiting.kept[0] if self._waiting.kept else {}

    async def _count(self) -> tuple[dict[str, int], bool]:
        from noria.apps.monitor.routes import Monitor
        from noria.apps.support.routes import Support
        from noria.lake.conversation import counts, queued

        found: dict[str, int] = {}
        made_up = False
        if not self.state.started:
            return found, made_up
        tenants = simulated_tenants(self.state.lake)
        for app in self.state.apps:
            with suppress(NoriaError):  # its own page tells what is wrong with it
                if isinstance(app, Support):
                    total, some = await app.people.kept.read(
                        lambda connection: (counts(connection), queued(connection, ["waiting"], most=_MOST_ASKED))
                    )
                    found["inbox"] = total.get("waiting", 0)
                    made_up = bool(some) and all(one.conversation.tenant in tenants for one in some)
                    found["proposals"] = (await app.proposals.listed("waiting"))[1]["waiting"]
                if isinstance(app, Monitor):
                    alerts = app.stream().alerts.values()  # not of a replay, whose clock is made up
                    found["monitor"] = sum(not alert["verdict"] for alert in alerts if "verdict" in alert)
        jobs: Any = getattr(self.state, "jobs", None)
        if jobs is not None:
            found["train"] = sum(job.state == "failed" for job in await asyncio.to_thread(jobs.list))
        return {page: count for page, count in found.items() if count}, made_up

    async def _find(self) -> list[Finding]:
        return await asyncio.to_thread(self._found)

    def _found(self) -> list[Finding]:
        """Return all that may be told beside what waits; takes about a second for a million events."""
        from noria.grow.bundled import chatbot_shares
        from noria.grow.changes.use import day_before, use_of_events
        from noria.grow.log.lake import events
        from noria.grow.log.zones import local_calendar
        from noria.grow.market.share import shares
        from noria.grow.series.series import read_series

        calendar = local_calendar(**self.state.days)
        use = None
        with suppress(NoriaError):  # no lake yet: the first event makes it
            table = events(self.state.lake)
            try:
                tenants = simulated_tenants(self.state.lake)
                use = use_of_events(table, calendar, day_before(self.state.meter.now(), calendar), tenants)
            finally:
                table.get_backend().disconnect()
        cited = joined("join.nothing", [message("log.server_events"), message("log.cited_days", days=calendar.text())])
        models = records.models(self.root)
        grown = "grow" in records.stages(self.root)
        found = of_models({one.name: one.figures() for one in models if not one.damage})
        found += of_use(use, cited) if use is not None and (use.acts or use.whole) else []
        if grown:
            found += of_market(shares(read_series(chatbot_shares())))
        served = bool(models or self.state.models)
        return [*found, *of_start(models=served, use=bool(use and use.acts), growth=grown)]
