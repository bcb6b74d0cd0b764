"""Jobs: commands of Noria that run in processes of their own, one after another, and outlive the server that began them.

    jobs = Jobs(lake / "server" / "jobs")
    job = jobs.add(["build", "finetune", ...], title="intents", actor="9f3a01c2", out=Path("runs/intents"))
    jobs.tick()                      # begins what waits; a server does so every half second
    jobs.get(job.id).state           # waiting, running, done, failed or stopped

All that is known of a job lies in its folder, nothing in memory: `job.json` says what was asked, `journal.jsonl` what became of it,
a line a change, `log.jsonl` what it said. Whether it runs is told by `lock`: the process that leads it (`job_runner`) and the
command have it open, it was locked before they began, and the system lets go of it when both are gone, however they went. So a server
that is killed and started again finds every job as it is, no job is begun twice, and one that was killed is known as such.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from noria.core.errors import SettingError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import message
from noria.core.progress import MetricsLog
from noria.lake.event import new_id

from .job_runner import FACTS, JOURNAL, LOG, born, read_facts

State = Literal["waiting", "running", "done", "failed", "stopped"]
FINAL: tuple[State, ...] = ("done", "failed", "stopped")
PROGRAM = (sys.executable, "-P", "-m", "noria")
MOST_WAITING = 100
"""Jobs that may wait."""
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGIN_SECONDS = 60.0
"""Within which a process that leads a job says that it has begun."""
_INTERRUPTED = 130
"""Exit code of a command that was asked to stop."""
_SIGNALLED = (_INTERRUPTED, 143)
"""Exit codes of a command that a signal stopped: Ctrl-C, SIGTERM."""


@dataclass(frozen=True)
class Job:
    """A command that waits, runs or ran."""

    id: str
    title: str
    actor: str
    """Name of the key by which it was asked for."""
    command: tuple[str, ...]
    """What follows `noria`."""
    out: Path | None
    """What it writes; of two jobs that write the same one waits for the other."""
    facts: dict[str, Any]
    """What whoever asked for it wants to find again."""
    folder: Path
    """Where its own files lie."""
    beside: bool
    """It runs beside others, and is not waited for."""
    made: str
    """UTC, ISO 8601; so are the other times."""
    since: str
    """When it last began to wait."""
    state: State = "waiting"
    started: str | None = None
    ended: str | None = None
    code: int | None = None
    """Exit code of the command; None where it has none: it has not ended, or it was killed and nobody saw it."""
    runs: int = 0
    """How often it was begun."""
    leader: tuple[int, str] | None = None
    """Process that leads it, and when that was born; None where none is known to."""

    def lines(self) -> list[dict[str, Any]]:
        """Return what it said, the oldest first: events of its progress, with `at`; of anything else {"event": "text", "line"}."""
        return MetricsLog(self.folder / LOG).read()


class Jobs:
    """The jobs of a lake.

    Args:
        folder: where they are kept.
        at_once: jobs that run at a time, those that run beside others not counted.
        program: what is given a job's command.
    """

    def __init__(self, folder: str | Path, *, at_once: int = 1, program: Sequence[str] = PROGRAM) -> None:
        self.folder, self.at_once, self.program = Path(folder), at_once, program
        self._known: dict[str, tuple[tuple[int, int], Job]] = {}
        """What the journals of jobs said that had come to their end, by the size and time of the journal."""

    def add(
        self,
        command: Sequence[str],
        title: str,
        actor: str,
        out: Path | None = None,
        *,
        language: str = "",
        beside: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> Job:
        """Keep a job that waits for its turn, and return it.

        Args:
            command: what follows `noria`.
            title: its name for people.
            actor: name of the key by which it is asked for.
            out: what it writes.
            language: in which it says what it does; that of the server's terminal by default.
            beside: let it run beside others, for what takes seconds and somebody waits for.
            facts: kept with it, JSON-able.

        Raises:
            SettingError: too many wait.
            ResourceError: the disk is full.
        """
        with self._exclusive():
            waiting = sum(job.state == "waiting" for job in self.list())
            if waiting >= MOST_WAITING:
                raise SettingError(message("jobs.full"), found=waiting, allowed=f"0 – {MOST_WAITING - 1}")
            number = new_id()
            write_json(
                self.folder / number / FACTS,
                {
                    "id": number,
                    "title": title,
                    "actor": actor,
                    "command": list(command),
                    "out": None if out is None else str(out.absolute()),
                    "place": str(Path.cwd()),
                    "language": language,
                    "beside": beside,
                    "made": _now(),
                    "facts": dict(facts or {}),
                },
            )
        return self.get(number)

    def list(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        return [job for path in sorted(self.folder.glob(f"*/{FACTS}")) if (job := self._read(path.parent)) is not None]

    def get(self, number: str) -> Job:
        """Return a job.

        Raises:
            SettingError: there is none by this id.
        """
        found = self._read(self.folder / number) if _ID.fullmatch(number) else None
        if found is None:
            raise SettingError(message("jobs.unknown"), found=number)
        return found

    def stop(self, number: str, actor: str = "") -> Job:
        """Let a job not begin, or end it: a signal, upon which a training keeps its state, and half a minute later a hard end.

        Raises:
            SettingError: there is no such job, or it has ended.
        """
        with self._exclusive():
            job = self.get(number)
            if job.state in FINAL:
                raise SettingError(message("jobs.ended"), found=job.state)
            self._note(job, what="stop", actor=actor)
            if job.leader and born(job.leader[0]) == job.leader[1]:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(job.leader[0], signal.SIGTERM)
        return self.get(number)

    def resume(self, number: str, actor: str = "") -> Job:
        """Let a job that was stopped or that failed wait for its turn again: its command goes on from where it was.

        Raises:
            SettingError: there is no such job, or it is neither.
        """
        with self._exclusive():
            job = self.get(number)
            if job.state not in ("failed", "stopped"):
                raise SettingError(message("jobs.not_ended"), found=job.state, allowed=["failed", "stopped"])
            self._note(job, what="resume", actor=actor)
        return _from_journal(job.folder) or job  # its last process may take a moment to be gone

    def tick(self) -> Sequence[Job]:
        """Begin what waits and may, in the order of its waiting, and write down of what was killed that it ended; return what began.

        Several servers of one lake may call it.
        """
        if not self.folder.exists():
            return []
        begun = []
        with self._exclusive():
            jobs = self.list()
            for job in jobs:
                if job.state in FINAL and job.ended is None and job.runs:
                    self._note(job, what="ended", code=None)
            running = [job for job in jobs if job.state == "running"]
            for job in sorted((one for one in jobs if one.state == "waiting"), key=lambda one: (one.since, one.id)):
                busy = sum(not one.beside for one in running) >= self.at_once and not job.beside
                if busy or (job.out is not None and job.out in [one.out for one in running]):
                    continue
                if self._begin(job):
                    running.append(job)
                    begun.append(self.get(job.id))
        return begun

    def _begin(self, job: Job) -> bool:
        """Start the process that leads a job, and return when it has written down that it did."""
        descriptor = _locked(job.folder, fcntl.LOCK_EX)
        if descriptor is None:  # the last one of it is not gone yet
            return False
        try:
            # A server that was killed may have begun it: what it wrote since the journal was read counts.
            if (_from_journal(job.folder) or job).state != "waiting":
                return False
            leader = (sys.executable, "-P", "-m", "noria.server.job_runner")
            command = [*leader, str(job.folder), str(descriptor), *self.program]
            code: int | None = None
            with suppress(OSError, subprocess.TimeoutExpired):
                code = subprocess.run(
                    command,
                    pass_fds=[descriptor],
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=_BEGIN_SECONDS,
                    check=False,
                ).returncode
            if code != 0:
                self._note(job, what="started", pid=None, born="")
                self._note(job, what="ended", code=code)
            return code == 0
        finally:
            os.close(descriptor)

    def _read(self, folder: Path) -> Job | None:
        """Return what a job's folder says of it; None where it is no job's."""
        journal = folder / JOURNAL
        try:
            facts = journal.stat()
            stamp = (facts.st_mtime_ns, facts.st_size)
        except OSError:
            stamp = (0, 0)
        known = self._known.get(folder.name)
        if known and known[0] == stamp:
            return known[1]
        job = _from_journal(folder)
        if job is None:
            return None
        if job.state in ("waiting", "running"):
            if not _free(folder):
                return replace(job, state="running")
            if job.state == "running":
                # The journal is written before the lock is let go of: it may have ended since it was read.
                job = _from_journal(folder) or job
            if job.state == "running":
                stopped = job.code == _INTERRUPTED
                return replace(job, state="stopped" if stopped else "failed", code=None, leader=None)
        if job.state in FINAL and job.ended:
            self._known[folder.name] = stamp, job
        return job

    def _note(self, job: Job, **facts: Any) -> None:
        with plain_errors():
            MetricsLog(job.folder / JOURNAL, durable=True).write(at=_now(), **facts)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other threads and other servers from changing jobs while the block runs."""
        with plain_errors():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _from_journal(folder: Path) -> Job | None:
    """Return a job as its journal leaves it: `running` where it was begun and did not end, whatever became of its process.

    Of one that is to stop `code` is that of an interrupted command until it has ended. None where the folder is no job's.
    """
    asked = read_facts(folder)
    if asked is None:
        return None
    out = asked["out"]
    job = Job(
        id=asked["id"],
        title=asked["title"],
        actor=asked["actor"],
        command=tuple(asked["command"]),
        out=None if out is None else Path(out),
        facts=asked["facts"],
        folder=folder,
        beside=asked["beside"],
        made=asked["made"],
        since=asked["made"],
    )
    stopping = False
    for line in MetricsLog(folder / JOURNAL).read():
        at, what = line["at"], line["what"]
        if what == "started":
            leader = (line["pid"], line["born"]) if line["pid"] else None
            code = _INTERRUPTED if stopping else None
            job = replace(job, state="running", started=at, ended=None, code=code, runs=job.runs + 1, leader=leader)
        elif what == "ended":
            code = line["code"]
            state: State = "done" if code == 0 else "stopped" if stopping or code in _SIGNALLED else "failed"
            job = replace(job, state=state, ended=at, code=code, leader=None)
        elif what == "stop":
            stopping = True
            if job.state == "waiting":
                job = replace(job, state="stopped", ended=at)
            elif job.state == "running":
                job = replace(job, code=_INTERRUPTED)
        elif what == "resume":
            stopping = False
            job = replace(job, state="waiting", since=at, ended=None, code=None)
    return job


def _locked(folder: Path, kind: int) -> int | None:
    """Return a descriptor that holds the lock of a job; None where another process holds it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _free(folder: Path) -> bool:
    """Return whether nothing of a job runs."""
    descriptor = _locked(folder, fcntl.LOCK_SH)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
