"""Progress: bars for people, JSON lines for programs, quiet when piped.

report = Report.for_terminal()
report.plan("fine-tune: 17,460 rows, 2 threads, bf16, about 5 min")
with report.bar("fine-tune", total=900, unit="step") as bar:
    bar.advance(1, loss=0.31)
report.ledger("fine-tune: accuracy 0.893 [0.878, 0.907] n=1,746")

What lies deep below its caller, and knows nothing of reports, says how far it is to whoever listens:

with listening(report):
    for origin in steps(origins, message("progress.backtest")): ...
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from .messages import Message, for_terminal, term

Mode = Literal["people", "programs", "quiet", "silent"]
T = TypeVar("T")


@dataclass(frozen=True)
class Manner:
    """How a command's words go out."""

    json: bool = False
    """Results and progress as JSON lines, for programs."""
    quiet: bool = False
    """Nothing but the result, and errors."""


_MANNER: ContextVar[Manner | None] = ContextVar("manner", default=None)


def manner() -> Manner:
    """Return how the command that runs was asked to put its words."""
    return _MANNER.get() or Manner()


@contextmanager
def in_manner(asked: Manner) -> Iterator[None]:
    """Let all that runs in the block put its words so."""
    token = _MANNER.set(asked)
    try:
        yield
    finally:
        _MANNER.reset(token)


@dataclass
class Bar:
    """A running piece of work: `advance` says how far it is and what it measures."""

    title: str
    total: float | None
    unit: str
    done: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    _listener: Callable[[Bar], None] | None = None

    def advance(self, by: float = 1.0, **values: float) -> None:
        """Say that `by` more units are done, with the latest measurements."""
        self.done += by
        self.values.update(values)
        if self._listener:
            self._listener(self)


class Report:
    """Where long work says what it does.

    `mode` is people (bars with the remaining time, on a terminal), programs (one JSON object a line), quiet (plan and
    ledger lines only, what a pipe or a log file wants), or silent.
    """

    def __init__(self, mode: Mode = "quiet", stream: IO[str] | None = None) -> None:
        self.mode: Mode = mode
        self.stream = stream or sys.stderr
        self.is_step = False
        self._shown: Any = None
        """The bars on the terminal, while there are any: those of inner work stand below the outer one's."""

    @classmethod
    def for_terminal(cls, *, as_json: bool = False, stream: IO[str] | None = None) -> Report:
        """Return the report that suits where its words go, and the manner that was asked for; of several processes of one run only the
        first speaks."""
        if os.environ.get("RANK", "0") != "0" or manner().quiet:
            return cls.silent()
        stream = stream or sys.stderr
        if as_json or manner().json:
            return cls("programs", stream)
        return cls("people" if stream.isatty() else "quiet", stream)

    @classmethod
    def silent(cls) -> Report:
        """Return a report that no one hears."""
        return cls("silent")

    def step(self) -> Report:
        """Return the report for one step of larger work, which tells itself what came of all its steps: `closing` says nothing."""
        report = Report(self.mode, self.stream)
        report.is_step = True
        return report

    def plan(self, line: str, **facts: object) -> None:
        """Say what is about to be done: rows, tokens, memory and minutes expected, threads, number type."""
        self._emit_line("plan", line, facts)

    def ledger(self, line: str, **facts: object) -> None:
        """Say what has been done and what came of it."""
        self._emit_line("ledger", line, facts)

    def closing(self, line: str, **facts: object) -> None:
        """Say what all of it has come to: a line of the ledger, unless this was a step of larger work."""
        if not self.is_step:
            self.ledger(line, **facts)

    def note(self, line: str, **facts: object) -> None:
        """Say something in passing."""
        self._emit_line("note", line, facts)

    @contextmanager
    def bar(self, title: str, *, total: float | None = None, unit: str = "") -> Iterator[Bar]:
        """Show a piece of work while it runs."""
        bar = Bar(title, total, unit)
        if self.mode == "people":
            with self._bars() as shown, _rich_bar(bar, shown):
                yield bar
        elif self.mode == "programs":
            bar._listener = _every(1.0, self._emit_bar)
            yield bar
            self._emit_bar(bar)
        else:
            yield bar

    @contextmanager
    def _bars(self) -> Iterator[Any]:
        """Give what shows bars: one for all that run at a time."""
        if self._shown is not None:
            yield self._shown
            return
        with _rich_bars(self.stream) as self._shown:
            try:
                yield self._shown
            finally:
                self._shown = None

    def _emit_bar(self, bar: Bar) -> None:
        self._emit(
            {
                "event": "progress",
                "title": bar.title,
                "done": bar.done,
                "total": bar.total,
                "unit": bar.unit,
                **bar.values,
            }
        )

    def _emit_line(self, event: str, line: str, facts: dict[str, object]) -> None:
        if self.mode == "programs":
            # A program that shows it to people can do so in their language.
            told = {"message": line.as_dict()} if isinstance(line, Message) else {}
            self._emit({"event": event, "line": line, **told, **facts})
            return
        if self.mode == "silent":
            return
        mark = {"plan": "○ ", "ledger": "● ", "note": "  "}[event]
        self.stream.write(f"{mark}{for_terminal(line)}\n")
        self.stream.flush()

    def _emit(self, value: dict[str, Any]) -> None:
        self.stream.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        self.stream.flush()


class MetricsLog:
    """One JSON object a line, appended and flushed: the record of a run that any program can follow.

    With `durable` a record is on the disk when `write` returns.
    """

    def __init__(self, path: str | Path, *, durable: bool = False) -> None:
        self.path, self._durable = Path(path), durable
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._whole = False  # whether the file is known to end with a line's end

    def write(self, **values: object) -> None:
        """Append one record."""
        line = json.dumps(values, ensure_ascii=False, default=str).encode() + b"\n"
        with self.path.open("ab+") as stream:
            # Behind a line that a kill cut short, a record starts a line of its own.
            if not self._whole and stream.tell():
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            stream.write(line)
            if self._durable:
                stream.flush()
                os.fsync(stream.fileno())
        self._whole = True

    def read(self) -> list[dict[str, Any]]:
        """Return all records; a line cut short by a kill is left out."""
        if not self.path.exists():
            return []
        records = []
        # Not `splitlines`: a text within a record may hold U+2028 and its like, which JSON leaves as they are.
        for line in self.path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n"):
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the records that `wanted` refuses: a resumed run forgets what came after its checkpoint."""
        self.rewrite(lambda record: record if wanted(record) else None)

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        """Put what `change` gives in the place of every record; nothing in that of those for which it gives None."""
        from .folder import write_bytes

        changed = (change(record) for record in self.read())
        lines = [json.dumps(record, ensure_ascii=False) for record in changed if record is not None]
        write_bytes(self.path, "".join(line + "\n" for line in lines).encode())


def _every(seconds: float, call: Callable[[Bar], None]) -> Callable[[Bar], None]:
    last = time.monotonic()

    def listener(bar: Bar) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            call(bar)

    return listener


_LISTENER: ContextVar[Report | None] = ContextVar("listener", default=None)


@contextmanager
def listening(report: Report) -> Iterator[Report]:
    """Let a report hear of the stages of all that runs in the block."""
    token = _LISTENER.set(report)
    try:
        yield report
    finally:
        _LISTENER.reset(token)


@contextmanager
def stage(title: str, *, total: float | None = None, unit: str = "") -> Iterator[Bar]:
    """Show a piece of work to the report that listens; where none does, nobody hears of it."""
    report = _LISTENER.get()
    if report is None:
        yield Bar(title, total, unit)
        return
    with report.bar(title, total=total, unit=unit) as bar:
        yield bar


def steps(items: Sequence[T], title: str) -> Iterator[T]:
    """Return the items one by one, each a step of a stage."""
    with stage(title, total=len(items)) as bar:
        for item in items:
            yield item
            bar.advance()


def _rich_bars(stream: IO[str]) -> Any:
    # rich takes 60 ms to import: only where a person looks on.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[values]}"),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=Console(file=stream), transient=True)


@contextmanager
def _rich_bar(bar: Bar, shown: Any) -> Iterator[None]:
    task = shown.add_task(_title(bar), total=bar.total, count=_count(bar), values="")

    def listener(bar: Bar) -> None:
        values = "  ".join(f"{name} {value:.4g}" for name, value in bar.values.items())
        shown.update(task, completed=bar.done, total=bar.total, count=_count(bar), values=values)

    bar._listener = listener
    try:
        yield
    finally:
        shown.remove_task(task)


def _title(bar: Bar) -> str:
    """Return a bar's title as the terminal's reader has it; a name of the data stays as it is."""
    found = term(bar.title)
    return for_terminal(found) if found.code != "join.as_is" else bar.title


def _count(bar: Bar) -> str:
    """Return how far a bar is, of a whole in percent; nothing where it is not known how far it goes."""
    if bar.total is None:
        return ""
    return f"{bar.done:.0%}" if bar.total == 1.0 else f"{bar.done:.0f}/{bar.total:.0f}"
