"""What is done with models: judged on a file, one beside another, compressed, put to work, tried on a share, rolled back; and who was answered by which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from noria.console.job_parts import Watched, chip
from noria.console.session import require
from noria.console.shell import (
    View,
    block,
    card,
    foreign,
    paragraph,
    problem,
    show_notice,
    show_problem,
    table,
    worked_out,
)
from noria.core.errors import InputError, NoriaError
from noria.core.figure import number
from noria.server.http.context import RequestContext
from noria.server.http.jobs import add_job, offered_models, offered_rows
from noria.server.http.keys import Caller
from noria.server.http.rollout import Rollout, change
from noria.server.http.state import Served
from noria.server.jobs import Job

from .train_form import asked

EVERY_SECONDS = 1.0
SHOWN = 12
"""Changes, and answers to a user, that are shown."""


async def show(view: View) -> None:
    """Draw what can be done."""
    state = view.state
    rows, models, jobs = await asyncio.to_thread(
        lambda: (offered_rows(state), offered_models(state), state.jobs.list())
    )
    with ui.element("div").classes("columns"):
        looked = [_Work(view, kind, rows, models, jobs) for kind in ("evaluate", "compress")]

    async def look() -> None:
        for work in looked:
            await work.look()

    ui.timer(EVERY_SECONDS, look)
    for name, served in state.models.items():
        if not served.adapter:
            _Live(view, name)
    await _Answered(view).draw()


class _Work:
    """A form that starts jobs of one kind, and the latest of them."""

    def __init__(self, view: View, kind: str, rows: list[str], models: list[str], jobs: list[Job]) -> None:
        self.view, self.words, self.kind = view, view.words, kind
        self.fields: dict[str, Any] = {}
        self.watched: Watched | None = None
        words = self.words
        with card(words(f"work.{kind}")).props(f'data-work="{kind}"'):
            paragraph(words(f"work.{kind}_lead"), "small soft")
            with ui.element("div").classes("train-fields"):
                self._select("model", models, models[0] if models else None)
                self._select("rows", rows, None)
                if kind == "evaluate":
                    self._select("beside", models, None)
                else:
                    self._select("calibration", rows, None)
                    self.fields["name"] = ui.input(words("train.name"), value="")
                    self.fields["name"].props("outlined dense data-field=name").classes("field")
            self.notice = ui.element("div").props('aria-live="assertive"')
            with ui.element("div").classes("train-deeds"):
                go = ui.button(words(f"work.{kind}_go"), on_click=self.press, color=None)
                go.classes("primary").props(f"data-go={kind}")
            self.shown = ui.element("div").props('aria-live="polite"')
        last = next((job for job in reversed(jobs) if job.facts.get("kind") == kind), None)
        if last is not None:
            self.show(last)

    def _select(self, name: str, options: list[str], value: str | None) -> None:
        field = ui.select(options, value=value, label=self.words(f"work.{name}"), with_input=True, clearable=True)
        field.props(f'outlined dense options-dense translate="no" data-field="{name}"').classes("field")
        self.fields[name] = field

    async def press(self) -> None:
        """Let what the form says wait for its turn."""
        self.notice.clear()
        given = {"kind": self.kind, **{name: field.value for name, field in self.fields.items()}}
        try:
            require(self.view.session, "editor")
            language = self.words.language
            job = await asyncio.to_thread(add_job, self.view.state, asked(given), self.view.session.key, language)
        except NoriaError as error:
            with self.notice:
                problem(error.text(self.words.language))
            return
        self.show(job)

    def show(self, job: Job) -> None:
        """Show a job from now on."""
        self.shown.clear()
        with self.shown:
            block(f"<h3>{foreign(job.title)}{chip(self.words, job)}</h3>")
            self.watched = Watched(self.view, job)

    async def look(self) -> None:
        """Show what has become of the job."""
        if self.watched is None or self.watched.over:
            return
        before = self.watched.job.state
        job = await asyncio.to_thread(self.view.state.jobs.get, self.watched.job.id)
        if job.state != before:
            self.show(job)
        await self.watched.look()


class _Live:
    """A served model: what is live and on trial, and what may be done about it."""

    def __init__(self, view: View, name: str) -> None:
        self.view, self.words, self.name = view, view.words, name
        with card().props(f'data-live="{escape(name, quote=True)}"'):
            self.place = ui.element("div").classes("stack tight")
        self.notice: Any = None
        self.draw()

    @property
    def served(self) -> Served:
        """Return the model as it is served now."""
        return self.view.state.models[self.name]

    def draw(self) -> None:
        """Draw the card anew."""
        words, worker = self.words, self.served.worker
        self.place.clear()
        with self.place:
            live = words("work.live", folder=worker.folder.name, version=worker.version)
            block(
                f'<h2 translate="no">{escape(self.name)}</h2><span class="chip grow" translate="no">{escape(live)}</span>',
                "card-head",
            )
            trial = worker.health().get("trial")
            if trial:
                self._trial(trial)
            with ui.element("div").classes("train-fields"):
                beside = [path.parent.name for path in sorted(worker.folder.resolve().parent.glob("*/noria.json"))]
                others = [one for one in beside if one != worker.folder.name and one[0] != "."]
                folder = ui.select(others, label=words("work.folder"), with_input=True, clearable=True)
                folder.props('outlined dense options-dense translate="no" data-field=folder').classes("field")
                share = ui.number(words("work.share"), value=10, min=1, max=100, step=1).props(
                    "outlined dense data-field=share"
                )
                share.classes("field")
            self.notice = ui.element("div").props('aria-live="assertive"')
            with ui.element("div").classes("train-deeds"):
                if trial:
                    for action in ("end", "promote"):
                        self._button(action, partial(self.change, action), first=action == "promote")
                else:
                    self._button("roll_back", partial(self.change, "roll_back"))
                    for action in ("shadow", "canary", "swap"):
                        pressed = partial(self._try, action, folder, share)
                        self._button(action, pressed, first=action == "swap")
            self._history()

    def _trial(self, trial: dict[str, Any]) -> None:
        words = self.words
        told = [words(f"work.trial_{trial['mode']}", version=trial["version"], share=trial["share"])]
        told.append(words("work.trial_asked", requests=trial["requests"], failed=trial["failed"]))
        if trial.get("compared"):
            told.append(words("work.trial_same", same=trial["same"], compared=trial["compared"]))
            told.append(words("work.trial_time", times=number(trial["times_as_long"])))
        block(f'<div class="note" data-trial>{" · ".join(escape(one) for one in told)}</div>')

    def _button(self, action: str, pressed: Callable[[], Awaitable[None]], *, first: bool = False) -> None:
        button = ui.button(self.words(f"work.{action}"), on_click=pressed, color=None)
        button.classes("primary" if first else "quiet").props(f'data-action="{action}"' + ("" if first else " flat"))

    async def _try(self, action: str, folder: ui.select, share: ui.number) -> None:
        shared = None if action == "swap" else (share.value or 0) / 100
        if not folder.value:
            show_problem(self.notice, self.words("work.no_folder"))
            return
        await self.change(action, folder=folder.value, share=shared)

    async def change(self, action: Any, *, folder: str | None = None, share: float | None = None) -> None:
        """Do it; what is live answers all the while."""
        show_notice(self.notice, self.words("app.working"))
        session = self.view.session
        try:
            require(session, "editor")
            caller = Caller(session.key, session.role, session.tenant)
            context = RequestContext(self.view.state, caller)
            await change(context, Rollout(action=action, folder=folder, share=share), self.name)
        except NoriaError as error:
            show_problem(self.notice, error.text(self.words.language))
            return
        self.draw()

    def _history(self) -> None:
        words = self.words
        changes = self.served.worker.history.changes()[-SHOWN:]
        rows = [
            [
                foreign(one.time[:19].replace("T", " ")),
                escape(words(f"work.was_{one.what}")),
                f"<code translate='no'>{escape(one.version)}</code>",
                foreign(one.folder.rpartition("/")[2]),
                foreign(one.why),
            ]
            for one in reversed(changes)
        ]
        with ui.element("div"):
            block(f"<h3>{escape(words('work.history'))}</h3>")
            table([escape(words(f"work.head_{name}")) for name in ("time", "what", "version", "folder", "why")], rows)


class _Answered:
    """Which version answered whom: of every version how many and when, of one user each answer."""

    def __init__(self, view: View) -> None:
        self.view, self.words = view, view.words

    async def draw(self) -> None:
        """Draw the card."""
        words = self.words
        with card(words("work.answered")).props("data-answered"):
            found = await worked_out(words, lambda: answered_by(self.view))
            if not found:
                paragraph(words("work.nobody"), "soft")
                return
            rows = [
                [
                    foreign(model),
                    f"<code translate='no'>{escape(version)}</code>",
                    f"{requests:,}",
                    f"{users:,}",
                    _span(first, last),
                ]
                for model, version, requests, users, first, last in found
            ]
            heads = ("model", "version", "requests", "users", "time")
            table([escape(words(f"work.head_{name}")) for name in heads], rows, numbers=(2, 3))
            paragraph(words("work.counted"), "small soft")
            with ui.element("div").classes("ask"):
                self.user = (
                    ui.input(words("work.user")).props("outlined dense data-field=user maxlength=256").classes("field")
                )
                self.user.on("keydown.enter", self.look)
                ui.button(words("work.look"), on_click=self.look, color=None).classes("quiet").props(
                    "flat data-go=user"
                )
            self.place = ui.element("div").props('aria-live="polite"')

    async def look(self) -> None:
        """Show which versions answered a user."""
        words, name = self.words, str(self.user.value or "").strip()
        self.place.clear()
        try:
            require(self.view.session, "admin")  # as on the page of events: it is about one person
        except NoriaError as error:
            with self.place:
                problem(error.text(words.language))
            return
        found = await asyncio.to_thread(answers_to, self.view, name) if name else []
        with self.place:
            if not found:
                paragraph(words("work.no_answers"), "small soft")
                return
            rows = [
                [_moment(time), foreign(model), f"<code translate='no'>{escape(version)}</code>"]
                for time, model, version in found
            ]
            table([escape(words(f"work.head_{name}")) for name in ("time", "model", "version")], rows)


def answered_by(view: View) -> list[tuple[Any, ...]]:
    """Return of every version of every model: model, version, requests, users, first and last time; the latest first."""
    asked_of = _asked(view)
    if asked_of is None:
        return []
    counted = asked_of.group_by("model", "version").agg(
        requests=asked_of.count(),
        users=asked_of.user.nunique(where=asked_of.user != ""),
        first=asked_of.time.min(),
        last=asked_of.time.max(),
    )
    rows = counted.order_by(counted["last"].desc()).to_pyarrow().to_pylist()
    return [(row["model"], row["version"], row["requests"], row["users"], row["first"], row["last"]) for row in rows]


def answers_to(view: View, user: str) -> list[tuple[Any, str, str]]:
    """Return when which version of which model answered a user, the latest first."""
    asked_of = _asked(view)
    if asked_of is None:
        return []
    named = asked_of.filter(asked_of.user == view.state.meter.pseudonym(user))
    rows = named.order_by(named.time.desc()).limit(SHOWN).to_pyarrow().to_pylist()
    return [(row["time"], row["model"], row["version"]) for row in rows]


def _asked(view: View) -> Any:
    """Return the requests that a model answered; None where there is no lake yet."""
    from noria.grow.log.lake import events

    try:
        all_of = events(view.state.lake)
    except InputError:
        return None
    return all_of.filter((all_of.kind == "request") & (all_of.version != ""))


def _span(first: Any, last: Any) -> str:
    return f"{_moment(first)} – {_moment(last)}"


def _moment(time: Any) -> str:
    return foreign(time.strftime("%Y-%m-%d %H:%M"))
