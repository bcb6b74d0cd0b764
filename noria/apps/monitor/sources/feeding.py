"""The sources of a list, read in a thread of a server that holds the monitor itself, for as long as it runs.

feeding = Feeding(Path("sources.toml"), log)
feeding.start("http://127.0.0.1:8400", key)      # once requests are welcome
feeding.renew(Path("sources.toml"))              # the list was changed
feeding.stop()

What comes goes the same way as with `noria ship watch`: through the inbox beside the list, under ids that count once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from noria.core.errors import NoriaError
from noria.core.progress import Report

from .delivery import Delivery
from .inbox import Inbox
from .listing import read_listing
from .watching import Watching

AGAIN_SECONDS = 60.0
"""After which the sources are taken up again, where a full disk stopped them."""


class Feeding:
    """Reads sources into the monitor of this process's server.

    Args:
        sources: the list of them.
        mask: gives a text with personal data masked; nothing else of it is kept.
        log: takes one line for every round that brought something or found something wrong.
    """

    def __init__(self, sources: Path, mask: Callable[[str], str], log: Callable[..., None]) -> None:
        self._sources, self._mask, self._log = sources, mask, log
        self._listed = read_listing(sources).source
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._watching: Watching | None = None

    def start(self, url: str, key: str) -> None:
        """Begin to read, and to deliver to a server by one of its keys."""
        self._thread = threading.Thread(target=self._run, args=(url, key), name="noria-sources", daemon=True)
        self._thread.start()

    def renew(self, sources: Path) -> None:
        """Read the list again, another one it may be; what it says holds from the next round on.

        Raises:
            SettingError: it cannot be used; all is as before.
        """
        self._listed = read_listing(sources).source
        if self._watching is not None:
            self._watching.sources = tuple(self._listed)

    def stop(self) -> None:
        """Stop; what is being fetched is broken off, and comes again at the next start."""
        self._stopped.set()
        if self._watching is not None:
            self._watching.close()
        if self._thread is not None:
            self._thread.join()

    def _run(self, url: str, key: str) -> None:
        while not self._stopped.is_set():
            try:
                with ExitStack() as stack:
                    kept = Inbox(self._sources.with_suffix(".inbox"), self._mask)
                    stack.callback(kept.close)
                    delivery = Delivery(url, key)
                    stack.callback(delivery.close)
                    self._watching = Watching(self._listed, kept, delivery, pause=self._pause)
                    stack.callback(self._watching.close)
                    self._watching.run(_Logged(self._log))
            except _Stopped:
                return
            except NoriaError as error:
                self._log("sources stand still", error=str(error))
                self._stopped.wait(AGAIN_SECONDS)
            except RuntimeError:  # its threads are told to end
                if not self._stopped.is_set():
                    raise

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _Stopped


class _Stopped(Exception):  # noqa: N818 - no fault
    """The server stops."""


class _Logged(Report):
    """Rounds as lines of the server's log."""

    def __init__(self, log: Callable[..., None]) -> None:
        super().__init__("silent")
        self._log = log

    def ledger(self, line: str, **facts: Any) -> None:
        """Log what a round brought."""
        self._log("sources", **{name: value for name, value in facts.items() if name != "time"})
