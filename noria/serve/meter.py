"""A finished request -> an Event: names become pseudonyms, what was said is masked, the outbox makes it durable."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from noria.core.errors import told_plainly
from noria.lake.event import Event, new_id, pseudonym
from noria.lake.outbox import Outbox
from noria.lake.transcript import Better, Mask, Said

_REMEMBERED = 10_000
"""Users whose pseudonym need not be worked out again."""
_SAMPLE = 400
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

    def event(self, kind: str, *, user: str = "", said: Said | Better | None = None, **facts: Any) -> Event:
        """Return an event of now.

        Args:
            kind: one of `noria.lake.event.KINDS`.
            user: the user's name as given; it becomes a pseudonym.
            said: what was said; kept, masked, only where the facts hold the user's consent.
            facts: other fields of the event.

        Raises:
            InputError: unknown kind or outcome.
        """
        if said and facts.get("consent") and self.mask:
            facts["text"] = said.masked(self.mask).text()
        facts.setdefault("time", self._clock())
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
    with told_plainly():
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


def language_of(text: str) -> str:
    """Return zh, ja, ko, en ... by the script of a text, or "" where it tells none.

    Scripts that one language uses name it; Latin letters are called "en" only where they are plain ASCII, else "latin".

    >>> language_of("物流很快，包装完好"), language_of("fast delivery"), language_of("12.5 €")
    ('zh', 'en', '')
    """
    counts = dict.fromkeys(("zh", "ja", "ko", "latin", "other"), 0)
    plain = True
    for letter in text[:_SAMPLE]:
        code = ord(letter)
        if 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x3FFFF:
            counts["zh"] += 1
        elif 0x3040 <= code <= 0x30FF:
            counts["ja"] += 1
        elif 0xAC00 <= code <= 0xD7AF:
            counts["ko"] += 1
        elif letter.isalpha():
            latin = code < 0x80 or unicodedata.name(letter, "").startswith("LATIN")
            counts["latin" if latin else "other"] += 1
            plain = plain and (code < 0x80 or not latin)
    if not any(counts.values()):
        return ""
    if counts["ja"] and counts["ja"] * 10 >= counts["zh"]:
        return "ja"
    # One Chinese character says about as much as four Latin letters.
    best = max(counts, key=lambda name: counts[name] * (1 if name in ("latin", "other") else 4))
    return ("en" if plain else "latin") if best == "latin" else best
