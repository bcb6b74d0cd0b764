"""Group commit: one thread writes whatever waits as one transaction, and says so to each that waits.

    committer = Committer(path, commit, name="events")      # commit(connection, works) -> what each work gave
    committer.submit(work).result()                      # returns when it is on the disk
    await committer.record(work)                         # the same, from a server's event loop

Many that wait share one write to the disk. What a work gives may be an error of its own: it is raised for that one alone.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from noria.core.errors import ResourceError
from noria.core.messages import message

from .store import connect, storage

GROUP = 4_096
"""Most rows in one transaction: about 50 ms of work, so that no one waits long behind it."""
Work = TypeVar("Work")
Commit = Callable[[sqlite3.Connection, Sequence[Work]], Sequence[Any]]
"""Works -> what each gave, or its error; all of them on the disk when it returns, or none where it raises."""
_Future = Future[Any] | asyncio.Future[Any]


@dataclass(slots=True)
class _Submission(Generic[Work]):
    work: Work
    rows: int
    future: _Future
    loop: asyncio.AbstractEventLoop | None = None


class Committer(Generic[Work]):
    """The one thread that writes a file. Safe to use from many threads and event loops.

    Args:
        path: the SQLite file, made already.
        commit: writes several works at once.
        name: of the thread.
    """

    def __init__(self, path: Path, commit: Commit[Work], name: str) -> None:
        self.path = path
        self.failed: tuple[float, ResourceError] | None = None
        """When the last commit failed and why, where none has succeeded since; seconds of `time.monotonic`."""
        self._commit = commit
        self._waiting: queue.SimpleQueue[_Submission[Work] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Work, rows: int = 1) -> Future[Any]:
        """Return a future that is done when `work`, so many rows, is on the disk."""
        future: Future[Any] = Future()
        self._put(_Submission(work, rows, future))
        return future

    def record(self, work: Work, rows: int = 1) -> asyncio.Future[Any]:
        """Return a future of the running event loop that is done when `work` is on the disk.

        A loop is woken once for all of its futures that a commit fulfils. Cancelling one does not take its work back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put(_Submission(work, rows, future, loop))
        return future

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _put(self, submission: _Submission[Work]) -> None:
        with self._lock:
            if self._closed:
                raise ResourceError(message("lake.outbox_closed"), hint=message("lake.server_stopping"))
            self._waiting.put(submission)

    def _write(self) -> None:
        connection: sqlite3.Connection | None = None
        last = False
        while not last and (first := self._waiting.get()) is not None:
            group, last = self._group(first)
            try:
                with storage():
                    connection = connection or connect(self.path)
                    results = self._commit(connection, [one.work for one in group])
            except Exception as error:
                # The connection may be what broke, or one submission what cannot be written: each is tried by itself.
                if connection:
                    with suppress(sqlite3.Error):
                        connection.close()
                connection = None
                told = self._singly(group) if len(group) > 1 else [self._failure(error)]
                _resolve_group(group, told)
            else:
                self.failed = None
                _resolve_group(group, results)
        if connection:
            connection.close()

    def _singly(self, group: Sequence[_Submission[Work]]) -> list[Any]:
        results: list[Any] = []
        for one in group:
            try:
                with storage(), closing(connect(self.path)) as connection:
                    results += self._commit(connection, [one.work])
            except Exception as error:
                results.append(self._failure(error))
            else:
                self.failed = None
        return results

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, ResourceError):
            self.failed = (time.monotonic(), error)
        return error

    def _group(self, first: _Submission[Work]) -> tuple[list[_Submission[Work]], bool]:
        group, size = [first], first.rows
        while size < GROUP:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, True
            group.append(item)
            size += item.rows
        return group, False


def _resolve_group(group: Sequence[_Submission[Any]], results: Sequence[Any]) -> None:
    """Tell everyone how it went; each event loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for one, result in zip(group, results, strict=True):
        if isinstance(one.future, asyncio.Future):
            assert one.loop is not None
            by_loop.setdefault(one.loop, []).append((one.future, result))
        else:
            with suppress(InvalidStateError):  # who waited has gone, and took the future back
                _resolve(one.future, result)
    for loop, outcomes in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(_resolve_all, outcomes)


def _resolve_all(outcomes: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in outcomes:
        if not future.done():  # who waited may have gone
            _resolve(future, result)


def _resolve(future: _Future, result: Any) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
