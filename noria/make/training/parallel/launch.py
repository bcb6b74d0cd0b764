"""Several processes of one recipe on this machine: started, heard, and ended together.

    if launch.wanted(settings.parallel):
        launch.run(finetune, (task, base, ...), {"test": test}, settings.parallel.workers, report)
        return out

Each process calls the same recipe with the same arguments, and finds its place in RANK and WORLD_SIZE as under torchrun.
They meet over the loopback interface, by a file of their own: nothing listens to the outside. The first one's words come
through a pipe to the caller's report. When one dies the others are ended, and its reason is raised here; when the caller
dies they end by themselves; SIGINT and SIGTERM are handed on to them, once.
"""

from __future__ import annotations

import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from noria.core import errors
from noria.core.errors import Interrupted, NoriaError, ResourceError
from noria.core.messages import message
from noria.core.progress import Bar, Report
from noria.machine import cores
from noria.make.training.loop.stop import StopRequests
from noria.make.training.settings import ParallelSettings

GRACE_SECONDS = 2.0
"""How long the others may say why they ended, once one has; then they are killed."""


def wanted(settings: ParallelSettings) -> bool:
    """Return whether processes are asked for and this is not one of them."""
    return settings.workers > 1 and "RANK" not in os.environ


def run(
    function: Callable[..., object],
    arguments: Sequence[object],
    named: Mapping[str, object],
    workers: int,
    report: Report,
) -> None:
    """Call a recipe in `workers` processes at once, and return when all have.

    Args:
        function: a recipe, importable by its name; it takes a `report`.
        arguments: all but the report; they are handed over by pickle, to processes of our own only.
        named: likewise, by name.
        workers: how many.
        report: where the first process's words go.

    Raises:
        NoriaError: what a process raised.
        ResourceError: a process was killed, or ended by a fault of its own.
        Interrupted: SIGINT or SIGTERM came; the recipe has saved what it does save.
    """
    stop = StopRequests(breaks=False)
    with tempfile.TemporaryDirectory(prefix="noria-") as folder, stop.handling_signals():
        processes = [_Worker(rank, workers, Path(folder)) for rank in range(workers)]
        try:
            for worker in processes:
                worker.start((function.__module__, function.__qualname__, tuple(arguments), dict(named)))
            with _ReportRelay(report) as relayed:
                _listen(processes, relayed, stop)
        finally:
            for worker in processes:
                worker.end()
        _judge(processes, stop)


class _Worker:
    """One process, its pipes, and what it said."""

    def __init__(self, rank: int, workers: int, folder: Path) -> None:
        self.rank, self.workers, self.folder = rank, workers, folder
        self.error: dict[str, str] | None = None
        self.ended: float | None = None
        self._rest = b""

    def start(self, call: tuple[str, str, tuple[object, ...], dict[str, object]]) -> None:
        """Start the process and hand it its call."""
        self.pipe, there = os.pipe()
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // self.workers))
        environment = {
            **os.environ,
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.rank),
            "WORLD_SIZE": str(self.workers),
            "LOCAL_WORLD_SIZE": str(self.workers),
            "NORIA_RENDEZVOUS": f"file://{self.folder}/meeting",
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME") or _loopback(),
        }
        self.log = self.folder / f"{self.rank}.log"
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C in a terminal reaches the caller alone, which hands it on once.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "noria.make.training.parallel.worker", str(there)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[there],
                start_new_session=True,
            )
        os.close(there)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(pickle.dumps(call))
            self.process.stdin.flush()

    def read_events(self) -> list[dict[str, Any]] | None:
        """Return what came through the pipe, or None at its end."""
        part = os.read(self.pipe, 1 << 16)
        if not part:
            return None
        *lines, self._rest = (self._rest + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def reason(self) -> NoriaError | None:
        """Return why it ended, or None where all went well."""
        code, name = self.process.returncode, f"worker {self.rank} of {self.workers}"
        again = message("make.same_command")
        if self.error is not None and self.error["class"]:
            reason: NoriaError = getattr(errors, self.error["class"])(self.error["line"])
            return reason
        if code < 0:
            word = signal.Signals(-code).name
            return ResourceError(message("make.killed_signal", name=name, value=-code, word=word), hint=again)
        if code:
            said = self.error["line"] if self.error else _last_line(self.log)
            return errors.InternalError(
                message("make.ended_exit", name=name, code=code), found=said or None, hint=again
            )
        return None

    def end(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "process"):
            if self.process.poll() is None:
                self.process.kill()
            with suppress(BrokenPipeError):
                assert self.process.stdin is not None
                self.process.stdin.close()
            self.process.wait()
        if hasattr(self, "pipe"):
            os.close(self.pipe)
            del self.pipe


def _listen(processes: Sequence[_Worker], relayed: _ReportRelay, stop: StopRequests) -> None:
    """Follow the processes to their end; hand signals on; give those that outlive a fault a little time."""
    told, broken = False, 0.0
    with selectors.DefaultSelector() as selector:
        for worker in processes:
            selector.register(worker.pipe, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select(timeout=0.1):
                worker = key.data
                events = worker.read_events()
                if events is None:
                    selector.unregister(worker.pipe)
                    worker.ended = time.monotonic()
                    if worker.process.wait() and not broken:
                        broken = time.monotonic()
                for event in events or ():
                    if event["event"] == "error":
                        worker.error = event
                    elif worker.rank == 0:
                        relayed.relay(event)
            if stop.asked and not told:
                told = True
                for worker in processes:
                    worker.process.terminate()
            if broken and time.monotonic() - broken > GRACE_SECONDS and not told:
                return


def _judge(processes: Sequence[_Worker], stop: StopRequests) -> None:
    """Raise the first reason: a process that was killed before we ended the rest, or that said what was wrong."""
    ended = sorted((one for one in processes if one.ended is not None), key=lambda one: one.ended or 0.0)
    reasons = [reason for one in ended if (reason := one.reason())]
    # Where one ends, the others' sums fail; a plain word, then a signal, tells more than that.
    plain = [one for one in reasons if not isinstance(one, errors.InternalError)]
    if stop.asked and not any(isinstance(one, Interrupted) for one in plain) and (plain or reasons):
        raise Interrupted("interrupted", hint="the same command goes on from the last checkpoint")
    for reason in (*plain, *reasons):
        raise reason


class _ReportRelay:
    """Says to a report what another process's report said in JSON lines."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._bars = ExitStack()
        self._bar: Bar | None = None

    def __enter__(self) -> _ReportRelay:
        return self

    def __exit__(self, *reason: object) -> None:
        self._bars.close()

    def relay(self, event: dict[str, Any]) -> None:
        """Repeat one event."""
        kind = event.pop("event")
        if kind != "progress":
            if kind != "note":  # a plan begins something, a ledger line ends it
                self._bars.close()
                self._bar = None
            getattr(self._report, kind)(**event)
            return
        title, done, total, unit = (event.pop(key) for key in ("title", "done", "total", "unit"))
        if self._bar is None or self._bar.title != title:
            self._bars.close()
            self._bar = self._bars.enter_context(self._report.bar(title, total=total, unit=unit))
        self._bar.advance(done - self._bar.done, **event)


def _loopback() -> str:
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
