"""A log of what users did before there was a server -> events of the lake, as if the server had heard them.

    told = import_deeds(lake, clean_deeds, secret)       # -> how many became events; the same log again adds none

An event's id is made of the deed itself, so that the same deed is the same event whenever it is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from noria.lake.event import Event, pseudonym
from noria.lake.outbox import Outbox, everything
from noria.tasks.deeds import KINDS, Deeds

OUTBOX = "import"
"""Name of the outbox that imported events pass through."""
AT_ONCE = 5_000
EVENT_KINDS = {
    "impression": "impression",
    "click": "click",
    "rating": "click",
    "like": "click",
    "cart": "click",
    "buy": "conversion",
}
"""Kind of deed -> kind of event. A rating counts where it is not below the middle one of the log."""


def import_deeds(lake: Path, deeds: Deeds, secret: bytes, *, tenant: str = "", now: float) -> int:
    """Write deeds as events into a lake, sealed by day; return how many there are. A server of it may not be running.

    Args:
        lake: the lake's folder.
        deeds: cleaned.
        secret: of the lake's server, which turns names into pseudonyms.
        tenant: id of the key under which the users are known, where keys are different people's.
        now: Unix seconds: deeds without times are taken to have ended now, one a second.

    Raises:
        ResourceError: the disk is full; the same call goes on.
    """
    count = 0
    with Outbox(lake, OUTBOX) as outbox:
        batch: list[Event] = []
        for event in events_of(deeds, lambda user: pseudonym(user, secret), tenant, now):
            batch.append(event)
            if len(batch) == AT_ONCE:
                outbox.append(batch)
                count, batch = count + len(batch), []
        outbox.append(batch)
        outbox.seal(before=everything())
    return count + len(batch)


def events_of(deeds: Deeds, named: Callable[[str], str], tenant: str, now: float) -> Iterator[Event]:
    """Yield deeds as events, oldest first; `named` gives a user's pseudonym, the others are as `import_deeds` has them."""
    ratings = deeds.kind == KINDS.index("rating")
    middle = float(np.median(deeds.value[ratings])) if ratings.any() else 0.0
    ordered = deeds.take(np.argsort(deeds.time, kind="stable"))
    shift = 0.0 if deeds.timed else now - float(ordered.time.max(initial=0.0))
    names = [named(user) for user in deeds.users]
    columns = (ordered.user, ordered.item, ordered.kind, ordered.value, ordered.time)
    for user, item, kind, value, time in zip(*(column.tolist() for column in columns), strict=True):
        how = EVENT_KINDS.get(KINDS[kind])
        if how is None or (KINDS[kind] == "rating" and value < middle):
            continue
        moment, subject = max(time + shift, 0.0), ordered.items[item]
        yield Event(
            id=_id(f"{tenant}/{names[user]}/{subject}/{kind}/{time}", moment),
            time=datetime.fromtimestamp(moment, UTC),
            kind=how,
            user=names[user],
            tenant=tenant,
            app="recommend",
            segment="imported",
            subject=subject,
            value=float(value) if how == "conversion" else None,
        )


def _id(deed: str, moment: float) -> str:
    """Return the UUIDv7 of a deed: its time, and bits that the deed decides (RFC 9562, 5.8 allows it)."""
    drawn = int.from_bytes(hashlib.sha256(deed.encode()).digest()[:10])
    value = (int(moment * 1000) & (1 << 48) - 1) << 80 | 0x7 << 76 | (drawn >> 62 & 0xFFF) << 64
    digits = f"{value | 0b10 << 62 | drawn & ((1 << 62) - 1):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
