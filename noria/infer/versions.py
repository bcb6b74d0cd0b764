"""Versions of one model behind one name: swapped, tried on a share of the traffic or in its shadow, taken back.

    model = Versions("runs/sentiment-1", history=History(file))
    await model.start()
    await model.canary("runs/sentiment-2", share=0.1)       # or: shadow
    await model.promote()                                   # or: end_trial
    await model.roll_back()

It asks and completes like a `Worker`, so whoever holds one holds either. No request is dropped: a version is loaded before
it gets any, one that leaves finishes what it has, and what a version on trial cannot answer the live one answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from noria.core.errors import FolderError, NoriaError, ResourceError, SettingError
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.tasks.complete import Sampling
from noria.tasks.task import task_of

from .history import History
from .remote import Remote, open_worker
from .replies import Answers, Busy, Given, Piece, Unavailable
from .worker import Status, Worker

Mode = Literal["canary", "shadow"]
FAULTS = 3
"""Requests in a row that a version on trial may fail before its trial is ended."""
_ALIKE = 0.99
"""Cosine above which two embeddings say the same."""


@dataclass
class Trial:
    """A version beside the live one."""

    worker: Worker | Remote
    mode: Mode
    share: float
    faults: int = 0
    """Failed, in a row."""
    requests: int = 0
    failed: int = 0
    compared: int = 0
    """In the shadow: texts that both versions answered."""
    same: int = 0
    seconds: float = 0.0
    live_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return how it does, JSON-able."""
        told: dict[str, Any] = {
            "version": self.worker.version,
            "mode": self.mode,
            "share": self.share,
            "status": self.worker.status,
            "requests": self.requests,
            "failed": self.failed,
        }
        if self.compared:
            told |= {"compared": self.compared, "same": self.same, "times_as_long": self.seconds / self.live_seconds}
        return told


@dataclass
class Versions:
    """The versions of one model; see the module.

    Args:
        folder: of the version that is live first.
        history: where changes are noted.
        draw: a number from 0 to 1 for every request, by which a share is drawn.
        options: of every `Worker`: threads, queue, batch_tokens, device, adapters.
    """

    folder: Path
    history: History = field(default_factory=History)
    draw: random.Random = field(default_factory=random.Random)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._live = open_worker(self.folder, **self.options)
        self._trial: Trial | None = None
        self._before: tuple[Path, str] | None = None
        """The version that was live before, to be rolled back to."""
        self._leaving: dict[asyncio.Task[None], Worker | Remote] = {}
        self._shadows: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._answers = False
        """Something is live, and the history says so."""

    async def start(self, *, timeout: float = 300.0) -> None:
        """Start the live version; see `Worker.start`."""
        await self._live.start(timeout=timeout)
        self.history.note("live", version=self.version, folder=self.folder, why="start")
        self._answers = True

    async def stop(self) -> None:
        """End all versions."""
        # Those that leave and shadows still ask processes: they end first.
        leaving = dict(self._leaving)
        for task in (*leaving, *self._shadows):
            task.cancel()
        await asyncio.gather(*leaving, *self._shadows, return_exceptions=True)
        for worker in leaving.values():  # whose task may have been cut off before, or while, it ended the process
            await worker.stop()
        if self._trial:
            await self._trial.worker.stop()
        await self._live.stop()
        if self._answers:
            self._answers = False
            with suppress(ResourceError):
                self.history.note("stopped", version=self.version, folder=self.folder)

    async def swap(self, folder: str | Path, *, why: str = "") -> str:
        """Load another version, let it answer from then on, and return its name.

        Raises:
            FolderError: it does not load; the live one stays.
            SettingError: it is made for another task, or a trial is on.
        """
        async with self._changing:
            self._no_trial()
            worker = await self._loaded(Path(folder))
            try:
                self._make_live(worker, why or "swap")
            except NoriaError:  # what is not noted does not happen
                await worker.stop()
                raise
        return worker.version

    async def canary(self, folder: str | Path, *, share: float) -> str:
        """Load a version that answers a share of the requests, and return its name; raises as `swap`."""
        return await self._try(Path(folder), "canary", share)

    async def shadow(self, folder: str | Path, *, share: float = 1.0) -> str:
        """Load a version that answers a share of the texts for comparison only, and return its name; raises as `swap`."""
        return await self._try(Path(folder), "shadow", share)

    async def promote(self, *, why: str = "") -> str:
        """Make the version on trial the live one, and return its name.

        Raises:
            SettingError: there is none.
        """
        async with self._changing:
            trial = self._the_trial()
            self._make_live(trial.worker, why or f"promoted after {trial.requests} requests")
            self._trial = None
        return self.version

    async def end_trial(self, *, why: str = "") -> None:
        """Take the version on trial away; what it has it finishes.

        Raises:
            SettingError: there is none.
        """
        async with self._changing:
            self._the_trial()
            self._end(why)

    async def roll_back(self, *, why: str = "") -> str:
        """End the trial where one is on, else go back to the version that was live before; return the live one's name.

        Raises:
            SettingError: no version was live before.
            FolderError: it does not load any more; the live one stays.
        """
        if self._trial:
            await self.end_trial(why=why or "rolled back")
            return self.version
        if self._before is None:
            raise SettingError(message("infer.there_version"), found=self.version)
        folder, version = self._before
        if (there := read_manifest(folder).identity()[: len(version)]) != version:
            raise FolderError(message("infer.holds_another", folder=folder), found=there, allowed=version)
        return await self.swap(folder, why=why or "rolled back")

    @property
    def version(self) -> str:
        """Return what tells the live content from another under the same name."""
        return self._live.version

    def version_of(self, adapter: str) -> str:
        """Return what tells what a LoRA on the live version writes; see `Worker.version_of`."""
        return self._live.version_of(adapter)

    @property
    def status(self) -> Status:
        """Return how the live version is doing."""
        return self._live.status

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the live version's process told of itself."""
        return self._live.facts

    @property
    def restarts(self) -> int:
        """Return how often the live version's process was started anew."""
        return self._live.restarts

    @property
    def process_id(self) -> int | None:
        """Return the id of the live version's process."""
        return self._live.process_id

    @property
    def depth(self) -> int:
        """Return how many requests wait or are held, by any version."""
        return self._live.depth + (self._trial.worker.depth if self._trial else 0)

    def health(self) -> dict[str, Any]:
        """Return how the versions are doing."""
        told = {**self._live.health(), "version": self.version, "queue": self.depth}
        return {**told, "trial": self._trial.as_dict()} if self._trial else told

    async def ask(self, texts: Sequence[Given], *, timeout: float = 30.0, key: str = "") -> Answers:
        """Return the answers; see `Worker.ask`. Requests of one `key`, say a user, go to one version while a trial is on."""
        trial = self._chosen(key)
        if trial and trial.mode == "canary":
            started = time.monotonic()
            try:
                answers = await trial.worker.ask(texts, timeout=timeout)
            except (Unavailable, Busy):
                self._failed(trial)
                timeout = max(0.1, timeout - (time.monotonic() - started))
            else:
                self._served(trial)
                return answers
        started = time.monotonic()
        answers = await self._live.ask(texts, timeout=timeout)
        if trial and trial.mode == "shadow":
            self._keep(self._shadows, self._compare(trial, texts, answers, time.monotonic() - started, timeout))
        return answers

    async def tokenize(self, prompt: Given, *, timeout: float = 30.0) -> list[int]:
        """Return what ids the live version reads."""
        return await self._live.tokenize(prompt, timeout=timeout)

    async def complete(
        self,
        prompt: Given,
        sampling: Sampling,
        stop: Sequence[str] = (),
        *,
        schema: str | None = None,
        timeout: float = 30.0,
        key: str = "",
        adapter: str = "",
    ) -> AsyncGenerator[Piece, None]:
        """Yield a completion; see `Worker.complete`. A canary that fails before its first piece is replaced by the live one;
        none is compared in the shadow: two versions say the same in other words."""
        trial = self._chosen(key)
        if trial and trial.mode == "canary":
            pieces = trial.worker.complete(prompt, sampling, stop, schema=schema, timeout=timeout, adapter=adapter)
            begun = False
            try:
                async for piece in pieces:
                    begun = True
                    yield piece
                self._served(trial)
                return
            except (Unavailable, Busy):
                self._failed(trial)
                if begun:
                    raise
            finally:
                await pieces.aclose()
        live = self._live.complete(prompt, sampling, stop, schema=schema, timeout=timeout, adapter=adapter)
        async with aclosing(live) as pieces:
            async for piece in pieces:
                yield piece

    def _chosen(self, key: str) -> Trial | None:
        """Return the trial where this request belongs to its share."""
        trial = self._trial
        if trial is None:
            return None
        if trial.worker.status != "ready":
            self._failed(trial)
            return None
        if key:
            digest = hashlib.sha256(f"{trial.worker.version} {key}".encode()).digest()
            return trial if int.from_bytes(digest[:8]) / 2**64 < trial.share else None
        return trial if self.draw.random() < trial.share else None

    async def _try(self, folder: Path, mode: Mode, share: float) -> str:
        if not 0 < share <= 1:
            raise SettingError(message("infer.share_out"), found=share, allowed=message("infer.above"))
        async with self._changing:
            self._no_trial()
            worker = await self._loaded(folder)
            try:
                self.history.note(mode, version=worker.version, folder=folder, share=share)
            except NoriaError:
                await worker.stop()
                raise
            if isinstance(worker, Worker):  # a remote model refuses at once by itself
                worker.patient = False  # what it cannot answer the live version does
            self._trial = Trial(worker, mode, share)
        return worker.version

    async def _loaded(self, folder: Path) -> Worker | Remote:
        """Return a version that is ready to answer."""
        offered, served = task_of(read_manifest(folder)), task_of(read_manifest(self.folder))
        if offered.name != served.name:
            raise SettingError(message("infer.version_made"), found=offered.name, allowed=served.name)
        worker = open_worker(folder, **self.options)
        await worker.start()
        return worker

    def _make_live(self, worker: Worker | Remote, why: str) -> None:
        """Make a version that is ready the live one; from one request to the next, with nothing in between."""
        self.history.note("live", version=worker.version, folder=worker.folder, why=why)
        if isinstance(worker, Worker):
            worker.patient = True
        old, self._live = self._live, worker
        self._before, self.folder = (old.folder, old.version), worker.folder
        self._let_go(old)

    def _end(self, why: str) -> None:
        trial, self._trial = self._the_trial(), None
        with suppress(ResourceError):  # a full disk is no reason to go on with a version that fails
            self.history.note("ended", version=trial.worker.version, folder=trial.worker.folder, why=why)
        self._let_go(trial.worker)

    async def _leave(self, worker: Worker | Remote) -> None:
        """Stop a version when it has finished what it has."""
        while worker.depth:
            await asyncio.sleep(0.02)
        await worker.stop()

    def _let_go(self, worker: Worker | Remote) -> None:
        task = asyncio.create_task(self._leave(worker))
        self._leaving[task] = worker
        task.add_done_callback(self._leaving.pop)

    async def _compare(self, trial: Trial, texts: Sequence[Given], known: Answers, took: float, timeout: float) -> None:
        if trial.worker.depth > 1:
            return  # it falls behind: the live version's requests need the machine
        started = time.monotonic()
        try:
            told = await trial.worker.ask(texts, timeout=timeout)
        except (Unavailable, Busy):
            self._failed(trial)
            return
        self._served(trial)
        trial.seconds += time.monotonic() - started
        trial.live_seconds += took
        trial.compared += len(texts)
        trial.same += sum(alike(one, other) for one, other in zip(told.answers, known.answers, strict=True))

    def _served(self, trial: Trial) -> None:
        trial.requests, trial.faults = trial.requests + 1, 0

    def _failed(self, trial: Trial) -> None:
        trial.requests, trial.failed, trial.faults = trial.requests + 1, trial.failed + 1, trial.faults + 1
        if trial.faults >= FAULTS and self._trial is trial:
            self._end(f"{trial.faults} requests failed in a row")

    def _the_trial(self) -> Trial:
        if self._trial is None:
            raise SettingError(message("infer.version_trial"), found=self.version)
        return self._trial

    def _no_trial(self) -> None:
        if self._trial:
            found, hint = self._trial.worker.version, message("infer.promote_end")
            raise SettingError(message("infer.version_trial_already"), found=found, hint=hint)

    def _keep(self, tasks: set[asyncio.Task[None]], work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two answers say the same: label, labels, spans or text equal, embeddings near; scores may differ."""
    if "embedding" in one and "embedding" in other:
        left, right = one["embedding"], other["embedding"]  # both have length one: the product is the cosine
        return bool(len(left) == len(right) and sum(a * b for a, b in zip(left, right, strict=True)) >= _ALIKE)
    left, right = (
        [(span["start"], span["end"], span["label"]) for span in answer["spans"]]
        if "spans" in answer
        else answer.get("label", answer.get("labels", answer.get("text")))
        for answer in (one, other)
    )
    return bool(left == right)
