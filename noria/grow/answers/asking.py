"""Put every question to every assistant, so many times: bounded, patient, and gone on with where it was cut off.

    asked = ask_all(Panel("answers"), questions, brands, [assistant_of("bot=http://127.0.0.1:8000/v1")], AskSettings())

Each answer is in the folder before the next call of its place begins. What failed for good is written down and asked again next time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from noria.core.errors import InputError, SettingError
from noria.core.messages import Message, for_terminal, message
from noria.core.progress import Bar, Report
from noria.text.mentions import Brand

from .endpoint import Assistant, Endpoint, Reply, Stopped
from .panel import Key, Panel, Wave
from .settings import AskSettings
from .tables import Question

IN_A_ROW = 5
"""Calls failed one after the other after which an assistant is asked no more this time."""


@dataclass(frozen=True)
class Asked:
    """What came of one go."""

    wave: Wave
    made: Counter[str]
    """answered, refused, empty, failed -> calls made this time."""
    before: int
    """Calls of the wave that had an answer already."""
    left: int
    """Calls of the wave that have none now."""
    stopped: dict[str, str]
    """Assistant -> why it was asked no more."""
    failures: dict[str, str]
    """Assistant -> the first failure."""

    def text(self) -> Message:
        """Return what came of it."""
        facts = {name: self.made[name] for name in ("answered", "refused", "empty", "failed")}
        return message("answers.made", wave=self.wave.time, **facts, left=self.left)


EndpointOf = Callable[[Assistant, AskSettings], Endpoint]


def ask_all(
    panel: Panel,
    questions: Sequence[Question],
    brands: Sequence[Brand],
    assistants: Sequence[Assistant],
    settings: AskSettings,
    report: Report | None = None,
    *,
    endpoint: EndpointOf = Endpoint,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Asked:
    """Return what came of asking what has no answer yet.

    Args:
        panel: the folder.
        questions: what is asked.
        brands: kept beside the answers; nothing is counted here.
        assistants: whom.
        settings: how often, and how.
        report: of the plan and of the progress.
        endpoint: makes what answers for an assistant.
        now: the clock of the answers.

    Raises:
        SettingError: no assistant, two of one name, or a wave that was asked otherwise.
        InputError: not one call could be answered.
        ResourceError: another process is asking into this folder.
    """
    report = report or Report.silent()
    names = [one.name for one in assistants]
    if not names or len(set(names)) < len(names):
        what = message("answers.name_twice") if names else message("answers.no_assistant")
        raise SettingError(what, found=", ".join(names) or None, hint=message("answers.such_assistant"))
    with panel.held():
        return asyncio.run(_ask_all(panel, questions, brands, assistants, settings, report, endpoint, now))


async def _ask_all(
    panel: Panel,
    questions: Sequence[Question],
    brands: Sequence[Brand],
    assistants: Sequence[Assistant],
    settings: AskSettings,
    report: Report,
    endpoint: EndpointOf,
    now: Callable[[], datetime],
) -> Asked:
    endpoints = {one.name: endpoint(one, settings) for one in assistants}
    try:
        for one in endpoints.values():
            if not one.assistant.model:
                one.assistant = replace(one.assistant, model=await one.only_model())
        known = [one.assistant for one in endpoints.values()]
        wave = panel.begin(questions, brands, known, settings, now().astimezone().date())
        mine = set(endpoints)
        missing = [key for key in panel.missing(wave) if key[0] in mine]
        todo = missing[: settings.limit]
        report.plan(for_terminal(_plan(wave, len(mine), len(missing), len(todo), settings)), calls=len(todo))
        texts = {question.id: question.text for question in wave.questions}
        with report.bar(for_terminal(message("answers.asking")), total=len(todo), unit="answer") as bar:
            go = _Go(panel, wave, texts, settings, bar, now)
            await asyncio.gather(
                *(go.ask(one, [key for key in todo if key[0] == name]) for name, one in endpoints.items())
            )
    finally:
        for one in endpoints.values():
            await one.close()
    left = len(missing) - sum(count for status, count in go.made.items() if status != "failed")
    asked = Asked(wave, go.made, sum(1 for _ in wave.calls()) - len(missing), left, go.stopped, go.failures)
    if todo and not sum(count for status, count in go.made.items() if status != "failed"):
        name, why = next(iter({**go.failures, **go.stopped}.items()))
        raise InputError(message("answers.none_answered", name=name), found=why)
    return asked


def _plan(wave: Wave, assistants: int, missing: int, todo: int, settings: AskSettings) -> Message:
    calls = len(wave.questions) * wave.draws * assistants
    return message(
        "answers.plan",
        wave=wave.time,
        questions=len(wave.questions),
        draws=wave.draws,
        assistants=assistants,
        calls=calls,
        known=calls - missing,
        todo=todo,
        tokens=todo * settings.max_tokens,
    )


class _Go:
    """One go at the calls that are left, each assistant beside the others."""

    def __init__(
        self,
        panel: Panel,
        wave: Wave,
        texts: dict[str, str],
        settings: AskSettings,
        bar: Bar,
        now: Callable[[], datetime],
    ) -> None:
        self._panel, self._wave, self._texts, self._settings = panel, wave, texts, settings
        self._bar, self._now = bar, now
        self.made: Counter[str] = Counter()
        self.stopped: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self._failing: Counter[str] = Counter()

    async def ask(self, endpoint: Endpoint, calls: Sequence[Key]) -> None:
        """Make an assistant's calls, so many of them at once."""
        waiting = deque(calls)
        places = min(self._settings.concurrency, len(waiting))
        async with asyncio.TaskGroup() as group:
            for _ in range(places):
                group.create_task(self._take(endpoint, waiting))

    async def _take(self, endpoint: Endpoint, waiting: deque[Key]) -> None:
        name = endpoint.assistant.name
        while waiting and name not in self.stopped:
            key = waiting.popleft()
            try:
                reply = await endpoint.ask(self._texts[key[1]], key[2])
            except Stopped as error:
                self.stopped.setdefault(name, str(error))
                return
            self._keep(endpoint, key, reply)

    def _keep(self, endpoint: Endpoint, key: Key, reply: Reply) -> None:
        name, settings = key[0], self._settings
        facts: dict[str, Any] = {
            "time": self._now().isoformat(timespec="milliseconds"),
            "status": reply.status,
            "model": reply.model or endpoint.assistant.model,
            "text": reply.text,
            "finish": reply.finish,
            "temperature": settings.temperature,
            "seed": None if settings.seed is None else settings.seed + key[2],
            "max_tokens": settings.max_tokens,
            "prompt_tokens": reply.prompt_tokens,
            "tokens": reply.tokens,
            "tries": reply.tries,
            "seconds": reply.seconds,
        }
        self._panel.add(self._wave.time, key, facts | ({"problem": reply.problem} if reply.problem else {}))
        self.made[reply.status] += 1
        self._failing[name] = self._failing[name] + 1 if reply.status == "failed" else 0
        if reply.status == "failed":
            self.failures.setdefault(name, reply.problem)
        if self._failing[name] >= IN_A_ROW:
            self.stopped.setdefault(name, message("answers.failed_in_a_row", count=IN_A_ROW, problem=reply.problem))
        self._bar.advance(1, failed=self.made["failed"])
