"""The process that leads one job: it runs the command, keeps what it says within bounds, hands stops on, and writes down how it ended.

    python -m noria.server.job_runner FOLDER DESCRIPTOR PROGRAM...

The descriptor holds the job's lock and is handed on to the command, so that the lock is held as long as either lives. The process that was
called forks and ends once the one that leads has written down that it has begun: that one is nobody's child, and whoever started it may
end. A command whose leader is killed is killed with it (Linux), and is known by the lock that nobody holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any

from noria.core.errors import NoriaError
from noria.core.folder import write_bytes
from noria.core.progress import MetricsLog

FACTS, JOURNAL, LOG = "job.json", "journal.jsonl", "log.jsonl"
LOG_BYTES = 1 << 20
"""What is kept of what a job says."""
LINE_BYTES = 1 << 16
"""The longest line that is kept; of a longer one that much."""
GRACE_SECONDS = 30.0
"""What a command that is to stop has, to keep its state."""
_NICE = 5
"""Answers go before training: on a machine that serves, a job has what is left."""
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Return what `job.json` says; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def born(process: int) -> str:
    """Return when a process began, in the system's own count, which tells it from a later one of the same number; "" where unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Log:
    """What a job says, a JSON object a line with the time, in at most `most` bytes.

    Where it is full, half of the lines of progress are dropped, evenly over their time, so that a curve keeps its whole course; and of
    the rest what lies between its beginning and its end.
    """

    def __init__(self, path: Path, most: int = LOG_BYTES) -> None:
        self._path, self._most = path, most
        self._log = MetricsLog(path)

    def add(self, line: bytes) -> None:
        """Keep one line: an object without an event as a result, what is no JSON object as {"event": "text", "line"}."""
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        said = {"event": "result", **found} if isinstance(found, dict) else {"event": "text", "line": text}
        with contextlib.suppress(OSError, NoriaError):  # a full disk costs what is said, not the job
            self._log.write(**{"at": _now(), **said})
            if self._path.stat().st_size > self._most:
                self._thin()

    def _thin(self) -> None:
        records = self._log.read()
        lines = [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in records]
        progress = [place for place, one in enumerate(records) if one.get("event") == "progress"]
        rest = [place for place, one in enumerate(records) if one.get("event") != "progress"]
        kept = _evenly(progress, [datetime.fromisoformat(records[place]["at"]).timestamp() for place in progress])
        if sum(len(lines[place]) for place in rest) > self._most // 2:
            del rest[len(rest) // 4 : len(rest) // 4 + len(rest) // 2]
        write_bytes(self._path, b"".join(lines[place] for place in sorted({*kept, *rest})))
        self._log = MetricsLog(self._path)


def _evenly(places: Sequence[int], times: Sequence[float]) -> list[int]:
    """Return about half of some places, spread over their time as evenly as may be, the first and the last among them."""
    if not places:
        return []
    span = (times[-1] - times[0]) or 1.0
    latest = {
        int((time - times[0]) / span * (len(places) // 2)): place for place, time in zip(places, times, strict=True)
    }
    return [places[0], *latest.values()]


class _Leader:
    """The process that leads."""

    def __init__(self, folder: Path, descriptor: int, program: Sequence[str]) -> None:
        self.folder, self.descriptor, self.program = folder, descriptor, program
        self.asked = False

    def run(self, begun: int) -> None:
        """Run the command to its end.

        Args:
            begun: a pipe that is told, by a byte, that the job has begun.
        """
        # Whoever sits at the server's terminal ends the server with Ctrl-C, and not this.
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        facts = read_facts(self.folder)
        assert facts is not None
        self._note(what="started", pid=os.getpid(), born=born(os.getpid()))
        os.write(begun, b"1")
        os.close(begun)
        # Asked before there was anybody to send a signal to.
        self.asked = self.asked or self._stopped_before()
        self._note(what="ended", code=128 + signal.SIGINT if self.asked else self._led(facts))

    def _led(self, facts: dict[str, Any]) -> int:
        log = Log(self.folder / LOG)
        with contextlib.suppress(OSError):
            os.nice(_NICE)
        try:
            child = self._command(facts)
        except OSError as error:
            log.add(str(error).encode())
            return 127
        assert child.stdout is not None
        self._follow(child, child.stdout, log)
        return child.wait()

    def _command(self, facts: dict[str, Any]) -> subprocess.Popen[bytes]:
        language = {"NORIA_LANG": facts["language"]} if facts["language"] else {}
        return subprocess.Popen(
            [*self.program, *facts["command"]],
            cwd=facts["place"],
            env={**os.environ, **language, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.descriptor],
            process_group=0,
            preexec_fn=_ends_with(os.getpid()),
        )

    def _follow(self, child: subprocess.Popen[bytes], out: IO[bytes], log: Log) -> None:
        """Keep what a command says until it is over; stop it when that is asked."""
        os.set_blocking(out.fileno(), False)
        held, hard = b"", 0.0
        while True:
            if ended := child.poll() is not None:
                _kill(child.pid)  # what it left behind
            part = os.read(out.fileno(), LINE_BYTES) if select.select([out], [], [], 0.0 if ended else 0.2)[0] else None
            if part:
                *lines, held = (held + part).split(b"\n")
                if len(held) > LINE_BYTES:
                    lines, held = [*lines, held], b""
                for line in lines:
                    log.add(line[:LINE_BYTES])
            elif ended:
                break
            elif part == b"":  # it has closed what it speaks through, and goes on
                time.sleep(0.2)
            if self.asked and not hard:
                child.send_signal(signal.SIGTERM)
                hard = time.monotonic() + GRACE_SECONDS
            elif hard and time.monotonic() > hard:
                _kill(child.pid)
        log.add(held)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _stopped_before(self) -> bool:
        stopping = False
        for line in MetricsLog(self.folder / JOURNAL).read():
            stopping = line["what"] == "stop" or (stopping and line["what"] != "resume")
        return stopping

    def _note(self, **facts: Any) -> None:
        MetricsLog(self.folder / JOURNAL, durable=True).write(at=_now(), **facts)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _ends_with(leader: int) -> Any:
    """Return what a command does before it begins: on Linux it asks to be killed when its leader is."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != leader:  # killed before it was asked
            os._exit(1)

    return ask


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def main(folder: str, descriptor: str, *program: str) -> None:
    """Lead the job of a folder in a process of its own, and return when it has begun."""
    known, told = os.pipe()
    if os.fork():
        os.close(told)
        os._exit(0 if os.read(known, 1) else 1)
    os.close(known)
    _Leader(Path(folder), int(descriptor), program).run(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
