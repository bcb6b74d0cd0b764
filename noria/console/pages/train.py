"""Train: what is to be learned from what, with what it will take; the runs as they learn; and runs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from noria.console import records, runs
from noria.console.figures import figures
from noria.console.job_parts import Watched, chip, job_line
from noria.console.session import require
from noria.console.shell import View, block, card, foreign, heading, paragraph, problem, table
from noria.core.errors import NoriaError
from noria.server.http.jobs import TRAINED, add_job, change
from noria.server.jobs import Job

from .train_form import Form, Offered, asked

EVERY_SECONDS = 1.0
SHOWN = 20
"""Runs that are listed at once; more on wish."""
_JUDGED = ("evaluate",)


async def show(view: View) -> None:
    """Draw the page."""
    page = _Page(view)
    await page.draw()
    ui.timer(EVERY_SECONDS, page.look)


class _Page:
    """The page in one browser tab."""

    def __init__(self, view: View) -> None:
        self.view, self.words = view, view.words
        self.shown = SHOWN
        self.chosen: list[str] = []
        """Runs that are compared, in the order in which they were chosen."""
        self.open = view.query.get("job", "")
        self.drawn: dict[str, Any] = {}
        """Part of the page -> what it was drawn of."""
        self.rows: dict[str, ui.element] = {}
        self.watched: Watched | None = None
        self.plan: Watched | None = None

    async def draw(self) -> None:
        """Draw the page."""
        words = self.words
        offered = await asyncio.to_thread(Offered.of, self.view.state)
        with ui.element("div").classes("columns wide-left"):
            with card(words("train.new"), classes="train-form").props("data-form"):
                self.form = Form(words, offered, self.start)
            with card(words("train.plan")).props('data-plan aria-live="polite"'):
                self.planned = ui.element("div").classes("stack tight")
                with self.planned:
                    paragraph(words("train.no_plan"), "soft")
        with card().props("data-runs"):
            heading(words("train.runs"))
            self.notice = ui.element("div").props('aria-live="polite"')
            self.list = ui.element("div").classes("stack tight")
        self.detail = ui.element("div").classes("stack").props("data-detail")
        self.beside = ui.element("div").classes("stack").props("data-beside")
        await self.look()

    async def look(self) -> None:
        """Show what has become of the jobs since the last look."""
        jobs = await asyncio.to_thread(self.view.state.jobs.list)
        trained = [job for job in reversed(jobs) if job.facts.get("kind") in TRAINED]
        judged = [job for job in jobs if job.facts.get("kind") in _JUDGED and job.state == "done"]
        # Each part is drawn anew only where it has changed: whoever uses a keyboard stays where they are.
        if self._changed("list", [(job.id, job.state, job.runs) for job in trained], self.shown):
            self._show_list(trained)
        opened = next((job for job in trained if job.id == self.open), None)
        if self._changed("detail", opened and (opened.id, opened.state, opened.runs)):
            self._show_detail(opened)
        if self._changed("beside", list(self.chosen), [job.id for job in judged]):
            beside = [job for job in trained if job.id in self.chosen]
            self._show_beside(sorted(beside, key=lambda job: self.chosen.index(job.id)), judged)
        for watched in (self.watched, self.plan):
            if watched is not None:
                await watched.look()

    def _changed(self, part: str, *what: Any) -> bool:
        before, self.drawn[part] = self.drawn.get(part), what
        return before != what

    def notify(self, text: str = "", error: NoriaError | None = None) -> None:
        """Say what was done, or what was wrong, in a line."""
        self.notice.clear()
        with self.notice:
            if error is not None:
                problem(error.text(self.words.language))
            elif text:
                paragraph(text, "small soft")

    def _show_list(self, trained: list[Job]) -> None:
        words = self.words
        self.list.clear()
        self.rows = {}
        with self.list:
            if not trained:
                paragraph(words("train.none"), "soft")
            for job in trained[: self.shown]:
                self._show_run(job)
            if len(trained) > self.shown:
                more = ui.button(words("train.more"), on_click=self._more, color=None)
                more.classes("quiet").props("flat dense")

    def _show_run(self, job: Job) -> None:
        words = self.words
        row = self.rows[job.id] = ui.element("div").classes("run here" if job.id == self.open else "run")
        with row.props(f'data-run="{escape(job.title, quote=True)}"'):
            if job.state == "done" and job.facts.get("kind") != "recommend":  # a ranker's figures stand with the run
                box = ui.checkbox(value=job.id in self.chosen, on_change=partial(self._choose, job.id))
                box.props(f'dense aria-label="{escape(words("train.compare_with", name=job.title), quote=True)}"')
            else:
                ui.element("span").classes("run-space")
            with ui.button(on_click=partial(self._open, job.id), color=None).props("flat dense").classes("run-name"):
                block(f"<b>{foreign(job.title)}</b>{chip(words, job)}")
            block(f'<span class="small soft">{job_line(words, job)}</span>', "run-told")
            if job.state in ("waiting", "running"):
                self._button("stop", partial(self._change, job.id, "stop"))
            elif job.state in ("failed", "stopped"):
                self._button("resume", partial(self._change, job.id, "resume"))

    def _button(self, name: str, pressed: Callable[[], Awaitable[None]]) -> None:
        button = ui.button(self.words(f"train.{name}"), on_click=pressed, color=None)
        button.classes("quiet").props(f'flat dense data-deed="{name}"')

    async def _more(self) -> None:
        self.shown += SHOWN
        await self.look()

    async def _choose(self, job: str) -> None:
        self.chosen = [one for one in self.chosen if one != job] if job in self.chosen else [*self.chosen, job]
        await self.look()

    async def _open(self, job: str) -> None:
        if self.open in self.rows:
            self.rows[self.open].classes(remove="here")
        self.open = "" if self.open == job else job
        if self.open:
            self.rows[job].classes("here")
        await self.look()

    async def _change(self, job: str, action: Any) -> None:
        try:
            require(self.view.session, "editor")
            await asyncio.to_thread(change, self.view.state, job, action, self.view.session.key)
        except NoriaError as error:
            self.notify(error=error)
            return
        self.notify(self.words(f"train.{action}_asked"))
        await self.look()

    async def start(self, given: dict[str, Any]) -> None:
        """Let what the form says wait for its turn, or make a plan of it."""
        words = self.words
        self.notify()
        self.form.notice.clear()
        try:
            require(self.view.session, "editor")
            job = await asyncio.to_thread(add_job, self.view.state, asked(given), self.view.session.key, words.language)
        except NoriaError as error:
            self.form.refuse(error)
            return
        if job.facts["kind"] == "plan":
            self.planned.clear()
            with self.planned:
                self.plan = Watched(self.view, job)
            return
        if job.facts["kind"] in TRAINED:
            self.open = job.id
        self.notify(words("train.started"))
        await self.look()

    def _show_detail(self, job: Job | None) -> None:
        self.detail.clear()
        self.watched = None
        if job is None:
            return
        with self.detail, card().props("data-job"):
            block(f'<h2 translate="no">{escape(job.title)}</h2>{chip(self.words, job)}', "card-head")
            self.watched = Watched(self.view, job)

    def _show_beside(self, jobs: list[Job], judged: list[Job]) -> None:
        self.beside.clear()
        if len(jobs) < 2:
            return
        with self.beside, card(self.words("train.beside")):
            _Beside(self, jobs, judged)


class _Beside:
    """Runs side by side: their figures, the settings in which they differ, and their difference on the same rows."""

    def __init__(self, page: _Page, jobs: list[Job], judged: list[Job]) -> None:
        self.page, self.words = page, page.words
        found = [(record, job) for job in jobs if (record := _record(page.view, job)) is not None]
        self.models, self.jobs = [record for record, _ in found], [job for _, job in found]
        gone = [job.title for job in jobs if job not in self.jobs]
        if gone:
            paragraph(self.words("train.gone", names=", ".join(gone)), "small soft")
        with ui.element("div").classes("columns"):
            for model in self.models:
                with ui.element("div").props(f'data-side="{escape(model.name, quote=True)}"'):
                    block(f"<h3>{foreign(model.name)}</h3>")
                    figures(model.figures(), self.words, rows=True)
        self._settings()
        self._paired(judged)

    def _settings(self) -> None:
        rows = runs.differences([model.manifest.settings for model in self.models if model.manifest])
        block(f"<h3>{escape(self.words('train.settings'))}</h3>")
        if not rows:
            paragraph(self.words("train.same_settings"), "soft")
            return
        heads = [escape(self.words("train.setting")), *(foreign(model.name) for model in self.models)]
        cells = [
            [
                f"<code translate='no'>{escape(name)}</code>",
                *(foreign("–" if value is None else value) for value in values),
            ]
            for name, values in rows
        ]
        table(heads, cells)

    def _paired(self, judged: list[Job]) -> None:
        """Show the difference of the first two on rows that both were judged on, and offer to measure it."""
        tests = {job.facts.get("test", "") for job in self.jobs[:2]}
        if len(self.models) < 2 or len(tests) > 1 or tests == {""}:
            paragraph(self.words("train.other_rows"), "small soft")
            return
        (rows,) = tests
        wanted = {"model": self.models[0].name, "beside": self.models[1].name, "rows": rows}
        last = next((job for job in reversed(judged) if wanted.items() <= job.facts.items()), None)
        block(f"<h3>{escape(self.words('train.paired'))} {foreign(rows)}</h3>")
        if last is not None:
            figures(runs.figures_in(last.lines()), self.words, rows=True)
            return
        press = partial(self.page.start, {"kind": "evaluate", **wanted})
        ui.button(self.words("train.measure"), on_click=press, color=None).classes("quiet").props("flat data-paired")


def _record(view: View, job: Job) -> records.ModelRecord | None:
    """Return the model that a job made; None where its folder is gone."""
    found = [one for one in records.models(view.root) if job.out is not None and one.name == job.out.name]
    return found[0] if found and found[0].manifest is not None else None
