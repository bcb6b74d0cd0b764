"""Long work in the server's loop, cut so that others' requests have their turn: pauses between parts, a thread for what has none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

SECONDS = 0.005
"""What one piece of work may take of the loop."""
LONG = 4_000
"""Characters of a text whose reading takes about as long."""


class Pause:
    """Gives the loop away as soon as it was held for `SECONDS`."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def now_and_then(self) -> None:
        """Pause, if it is time."""
        if time.perf_counter() - self._since > SECONDS:
            await asyncio.sleep(0)
            self._since = time.perf_counter()


async def read(text: str, reader: Callable[[str], Result]) -> Result:
    """Return what `reader` makes of a text, in a thread where the text is long."""
    return await asyncio.to_thread(reader, text) if len(text) > LONG else reader(text)
