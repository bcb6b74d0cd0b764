"""Files that a team brings while it is served: items to offer, and what users did before there was a server.

    await take_items(app, context, Path("products.csv"))
    await take_deeds(app, state, Path("clicks.csv"), tenant)       # events of the lake, as if the server had heard them

Both are read in every format that rows are; what was set aside is counted by its reason. The same log of deeds is taken once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.errors import InputError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import as_is, message
from noria.server.http.context import RequestContext
from noria.tasks.deeds import clean, read_deeds
from noria.tasks.items import read_items

from .importing import events_of

if TYPE_CHECKING:
    from noria.server.http.state import State

    from .routes import Recommend

AT_ONCE = 500
"""Events that wait for one commit: other requests come between."""
_TAKEN = "imported.json"


@dataclass
class Taken:
    """What was read of a file."""

    count: int = 0
    """Items that are offered now, or deeds that became events."""
    aside: dict[str, int] = field(default_factory=dict)
    """Rule -> deeds that it set aside."""
    notes: Sequence[str] = ()
    """What the reader passed over."""


async def take_items(app: Recommend, context: RequestContext, path: Path, name: str = "") -> Taken:
    """Offer the items of a file, too; one whose id is known is replaced.

    Raises:
        InputError: it holds no items, a row is none, or there are more than may be held; none was added.
    """
    notes: list[str] = []
    items = await asyncio.to_thread(read_items, path, None, notes.append)
    await app.add(context, items)
    return Taken(len(items), notes=[_named(note, path, name) for note in notes])


async def take_deeds(app: Recommend, state: State, path: Path, tenant: str, name: str = "") -> Taken:
    """Learn from a log of what users did, known by their names under a key.

    Args:
        app: knows the items.
        state: the server.
        path: the log.
        tenant: whose users they are.
        name: what the file was called.

    Raises:
        InputError: it is no log, no deed of it is on an item that is offered, or it was taken before.
        ResourceError: the disk is full; the same file goes on.
    """
    with plain_errors():
        digest = await asyncio.to_thread(lambda: hashlib.sha256(tenant.encode() + b"/" + path.read_bytes()).hexdigest())
    file = state.lake / "apps" / app.name / _TAKEN
    before = _taken(file)
    if digest in before:
        raise InputError(message("apps.taken_before"), found=name or path.name)
    now, notes = state.meter.now().timestamp(), list[str]()
    deeds = await asyncio.to_thread(read_deeds, path, None, notes.append)
    kept, aside = await asyncio.to_thread(clean, deeds, app.items, now)
    if not len(kept):
        raise InputError(message("apps.no_known_items"), found=name or path.name, allowed=message("apps.items_first"))
    events, count = events_of(kept, state.meter.pseudonym, tenant, now), 0
    while batch := list(islice(events, AT_ONCE)):
        await state.meter.record(*batch)
        count += len(batch)
    await asyncio.to_thread(write_json, file, [*before, digest])
    return Taken(count, aside, [_named(note, path, name) for note in notes])


def _taken(file: Path) -> list[str]:
    try:
        return [str(one) for one in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _named(note: str, path: Path, name: str) -> str:
    """Return a note with the file's own name in the place of where it was put."""
    return as_is(note.replace(str(path), name)) if name and str(path) in note else note
