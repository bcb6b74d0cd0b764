"""Files that a team brings while it is served: items to offer, and what users did before there was a server.

    await take_items(app, context, part / "products.csv")
    await take_deeds(app, state, part / "clicks.csv", tenant)      # events of the lake, as if the server had heard them

Both are read in every format that rows are, in a process of its own like any upload; what was set aside is counted by its reason. The
same log of deeds is taken once. The file's folder is the upload's own: what the reader writes is put there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import message
from noria.server.data.child import deeds_in, in_child
from noria.server.http.context import RequestContext
from noria.server.http.data import in_long_thread
from noria.tasks.deeds import clean
from noria.tasks.items import Item, item_of

from .importing import events_of

if TYPE_CHECKING:
    from noria.server.http.state import State

    from .routes import Recommend

AT_ONCE = 500
"""Events that wait for one commit: other requests come between."""
_TAKEN = "imported.json"
_ITEMS, _DEEDS = "items.jsonl", "deeds.npz"


@dataclass
class Taken:
    """What was read of a file."""

    count: int = 0
    """Items that are offered now, or deeds that became events."""
    aside: dict[str, int] = field(default_factory=dict)
    """Rule -> deeds that it set aside."""
    notes: Sequence[Any] = ()
    """What the reader passed over: texts, and messages as JSON."""
    refused: Sequence[dict[str, Any]] = ()
    """Reasons for which rows are no items, as `noria.server.data.reading` tells them."""


async def take_items(app: Recommend, context: RequestContext, path: Path) -> Taken:
    """Offer the items of a file, too; one whose id is known is replaced, a row that is none is counted.

    Raises:
        InputError: it holds no items, or there are more than may be held; none was added.
    """
    told = await in_long_thread(partial(in_child, "items", path.parent, file=path.name, out=_ITEMS))
    items = await asyncio.to_thread(_items, path.with_name(_ITEMS))
    await app.add(context, items)
    return Taken(len(items), notes=told["notes"], refused=told["refused"])


async def take_deeds(app: Recommend, state: State, path: Path, tenant: str) -> Taken:
    """Learn from a log of what users did, known by their names under a key.

    Args:
        app: knows the items.
        state: the server.
        path: the log.
        tenant: whose users they are.

    Raises:
        InputError: it is no log, no deed of it is on an item that is offered, or it was taken before.
        ResourceError: the disk is full; the same file goes on.
    """
    with plain_errors():
        digest = await asyncio.to_thread(_digest, path, tenant)
    file = state.lake / "apps" / app.name / _TAKEN
    before = _taken(file)
    if digest in before:
        raise InputError(message("apps.taken_before"), found=path.name)
    now = state.meter.now().timestamp()
    told = await in_long_thread(partial(in_child, "deeds", path.parent, file=path.name, out=_DEEDS))
    deeds = await asyncio.to_thread(deeds_in, path.parent, _DEEDS)
    kept, aside = await asyncio.to_thread(clean, deeds, app.items, now)
    if not len(kept):
        raise InputError(message("apps.no_known_items"), found=path.name, allowed=message("apps.items_first"))
    events, count = events_of(kept, state.meter.pseudonym, tenant, now), 0
    while batch := list(islice(events, AT_ONCE)):
        await state.meter.record(*batch)
        count += len(batch)
    await asyncio.to_thread(write_json, file, [*before, digest])
    return Taken(count, aside, told["notes"])


def _items(path: Path) -> list[Item]:
    with path.open(encoding="utf-8", newline="\n") as stream:
        return [item_of(json.loads(line)) for line in stream]


def _digest(path: Path, tenant: str) -> str:
    digest = hashlib.sha256(tenant.encode() + b"/")
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _taken(file: Path) -> list[str]:
    try:
        return [str(one) for one in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
