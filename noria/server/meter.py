"""A finished request -> an Event: names become pseudonyms, what was said is masked, the outbox makes it durable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors
from noria.lake.event import Event, new_id, pseudonym
from noria.lake.outbox import Outbox
from noria.lake.transcript import Correction, Exchange, Mask

_REMEMBERED = 10_000
"""Users whose pseudonym need not be worked out again."""
"""Characters of a text that its language is told by."""


def now_utc() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)


class Meter:
    """Makes events and hands them to the outbox.

    Args:
        outbox: where events become durable.
        secret: turns names into pseudonyms; see `read_secret`.
        clock: gives the time of an event, UTC.
        mask: takes personal data out of what was said; without it nothing that was said is kept.
    """

    def __init__(
        self, outbox: Outbox, secret: bytes, clock: Callable[[], datetime] = now_utc, mask: Mask | None = None
    ) -> None:
        self.outbox = outbox
        self.mask = mask
        self.listeners: list[Callable[[Event], None]] = []
        """Hear every event once it is on the disk; they must be quick, for the server's loop waits."""
        self._pseudonym = lru_cache(maxsize=_REMEMBERED)(partial(pseudonym, secret=secret))
        self._clock = clock

    def now(self) -> datetime:
        """Return the time that an event of now would have, UTC."""
        return self._clock()

    def pseudonym(self, user: str) -> str:
        """Return what stands for a user's name in events."""
        return self._pseudonym(user)

    def event(self, kind: str, *, user: str = "", exchange: Exchange | Correction | None = None, **facts: Any) -> Event:
        """Return an event of now.

        Args:
            kind: one of `noria.lake.event.KINDS`.
            user: the user's name as given; it becomes a pseudonym.
            exchange: what was said; kept, masked, only where the facts hold the user's consent.
            facts: other fields of the event.

        Raises:
            InputError: unknown kind or outcome.
        """
        if exchange and facts.get("consent") and self.mask:
            facts["text"] = exchange.masked(self.mask).text()
        if "time" not in facts:
            facts["time"] = self._clock()
        if "id" not in facts:
            facts["id"] = new_id(facts["time"].timestamp)
        return Event(kind=kind, user=self._pseudonym(user), **facts)

    async def record(self, *events: Event) -> None:
        """Return when the events are on the disk and the listeners have heard them.

        Raises:
            ResourceError: the disk is full; none was acknowledged.
        """
        await self.outbox.record(events)
        for listen in self.listeners:
            for place, event in enumerate(events, 1):
                listen(event)
                if place % 128 == 0:
                    await asyncio.sleep(0)  # a request may tell thousands, and others wait


def read_secret(folder: Path) -> bytes:
    """Return the server's secret, made on first use and readable only by its owner.

    Without it pseudonyms cannot be tied to names again: keep it with the lake's backup, and nowhere else.
    """
    path = folder / "secret"
    with plain_errors():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            work = folder / f".secret.{secrets.token_hex(4)}.part"
            work.touch(mode=0o600)
            work.write_bytes(secrets.token_bytes(32))
            try:
                # A second server that starts at the same time must not replace the first one's secret.
                path.hardlink_to(work)
            except FileExistsError:
                pass
            finally:
                work.unlink()
        return path.read_bytes()
