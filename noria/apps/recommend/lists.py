"""Lists that are asked for at the same time are made together, and written as JSON: what a request for picks costs beside its events.

    lists = Lists(shelf)
    picks = await lists.made(key, count=20)
    told = json_of(picks)                    # b'[{"item": {...}, "score": 0.31, "why": "taste", "propensity": 0.9}, ...]'

Of a long catalogue the part that reads all of it is done in a thread, for all that wait; each list is then drawn on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydantic_core import to_json

from noria.tasks.items import Item

from .catalogue import SHORT
from .rules import Asked
from .shelf import Pick, Shelf
from .shortlist import Shortlist, Wanted

TOGETHER = 16
"""Lists that are made at once at most."""
_NAMES = tuple(field.name for field in fields(Item))


class Lists:
    """Makes lists on a server's loop.

    Args:
        shelf: what they are made from.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._waiting: list[tuple[Wanted, asyncio.Future[Shortlist]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def made(self, key: int, count: int, asked: Asked | None = None) -> list[Pick]:
        """Return a user's list; see `Shelf.choose`."""
        if len(self._shelf.catalogue) <= SHORT:
            return self._shelf.choose(key, count, asked)
        # A thread may not see a user change.
        wanted = self._shelf.wanted(key, count, asked, copied=True)
        answer: asyncio.Future[Shortlist] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._work())
        return self._shelf.drawn(wanted, await answer)

    async def _work(self) -> None:
        await asyncio.sleep(0)  # requests that came with the first one have their say before the work begins
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            try:
                made = await asyncio.to_thread(self._shelf.shortlists, [wanted for wanted, _ in together])
                for (_, answer), short in zip(together, made, strict=True):
                    if not answer.done():  # its client may have left
                        answer.set_result(short)
            except Exception as error:
                for _, answer in together:
                    if not answer.done():
                        answer.set_exception(error)
        self._at_work = None


def json_of(picks: Sequence[Pick], reasons: Sequence[dict[str, str]] = ()) -> bytes:
    """Return picks as JSON, each with its reason where there are any."""
    told: list[dict[str, Any]] = []
    for pick in picks:
        item = pick.item
        fields = {name: getattr(item, name) for name in _NAMES}
        told.append({"item": fields, "score": pick.score, "why": pick.why, "propensity": pick.propensity})
    for one, reason in zip(told, reasons, strict=False):
        one["reason"] = reason
    return to_json(told)
