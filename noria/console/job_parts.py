"""A job shown while it goes on: its state, how far it is, its curves, what it said, its figures; for the pages that start jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from nicegui import ui

from noria.core.figure import number
from noria.core.messages import message_of
from noria.server.jobs import FINAL, Job

from . import charts, runs
from .figures import figures
from .records import ModelRecord, models
from .shell import View, block, foreign, paragraph, problem, table
from .words import Words

CHIPS = {"waiting": "chip", "running": "chip build", "done": "chip grow", "failed": "chip warn", "stopped": "chip"}
LAST = 12
"""Lines that are shown of what a job said; all of it on wish."""
MOST = 400
_REFUSED = 3
"""Exit code of a result that did not earn its certificate: an answer, no fault."""


def chip(words: Words, job: Job) -> str:
    """Return a job's state as HTML."""
    name = "refused" if job.state == "failed" and job.code == _REFUSED else job.state
    return f' <span class="{CHIPS[job.state]}" data-state="{job.state}">{escape(words(f"jobs.{name}"))}</span>'


def job_line(words: Words, job: Job) -> str:
    """Return in a line when a job was begun, how long it took, and who asked for it."""
    parts = [foreign(_moment(job.started or job.made))]
    if job.started and job.ended:
        parts.append(escape(words("jobs.took", minutes=f"{_seconds(job.started, job.ended) / 60:.1f}")))
    if job.state in ("failed", "stopped"):
        parts.append(escape(words("jobs.killed") if job.code is None and job.runs else words("jobs.again")))
    if job.runs > 1:
        parts.append(escape(words("jobs.runs", count=job.runs)))
    parts.append(foreign(job.actor))
    return " · ".join(parts)


def learned(words: Words, facts: Mapping[str, Any]) -> charts.Options | None:
    """Return a chart of the curves that a model's folder keeps, or None where it keeps none."""
    known = {name: points for name, points in (facts.get("curves") or {}).items() if points}
    if not known:
        return None
    units = facts.get("curve_units") or {}
    series = {
        words.phrase(f"curve {name}") + (f" ({words.phrase(units[name])})" if name in units else ""): points
        for name, points in known.items()
    }
    return charts.learning(series, x=words("models.step"), names=list(series))


class Watched:
    """A job that is looked at: drawn where it is made, and drawn on at every `look`."""

    def __init__(self, view: View, job: Job) -> None:
        self.view, self.words, self.job = view, view.words, job
        self.count, self.texts = -1, -1
        self.over = False
        self.progress = ui.linear_progress(value=0, show_value=False).props("rounded").classes("run-progress")
        self.progress.props["aria-label"] = self.words("jobs.progress")
        self.line = paragraph("", "small soft").props('translate="no"')
        self.curve = ui.element("div").props("data-curve")
        self.figures = ui.element("div").props("data-figures")
        self.tables = ui.element("div").props("data-tables")
        self.said = ui.element("div").props("data-said")
        self.chart: ui.echart | None = None

    async def look(self) -> None:
        """Show what the job said since the last look."""
        if self.over:
            return
        job, lines = await asyncio.to_thread(self._read)
        self.over = job.state in FINAL
        if len(lines) == self.count and not self.over:
            return
        self.count, self.job = len(lines), job
        share = runs.share_done(lines)
        self.progress.set_visibility(not self.over)
        self.progress.set_value(share or 0.0)
        self.progress.props["indeterminate"] = share is None and job.state == "running"
        self.progress.update()
        self.line.set_content(escape(self._line(lines)))
        self._draw_curve(runs.curves_of(lines))
        self._draw_figures(lines)
        self._draw_tables(lines)
        self._draw_lines(lines)

    def _read(self) -> tuple[Job, list[dict[str, Any]]]:
        job = self.view.state.jobs.get(self.job.id)
        return job, job.lines()

    def _line(self, lines: Sequence[runs.Line]) -> str:
        last = runs.last_of(lines, "progress")
        if self.over or last is None:
            return "" if self.over else self.words(f"jobs.{self.job.state}")
        of = "" if last.get("total") is None else f" / {last['total']:,.0f}"
        return f"{last['title']}: {last['done']:,.0f}{of} {last.get('unit', '')}"

    def _draw_curve(self, curves: runs.Curves) -> None:
        if len(curves.loss) < 2:
            # One that was over within a second told of itself once: its folder knows more.
            made = self._made() if self.over and self.chart is None else None
            if made is not None and (options := learned(self.words, made.facts)) is not None:
                with self.curve:
                    self.chart = charts.show(options, self.words("models.curves"))
            return
        words = self.words
        loss = words.phrase("curve train")
        name, points = next(iter(curves.scores.items()), ("", []))
        beat = curves.to_beat
        if beat is not None and beat.name.lower().replace(" ", "_") != name:
            beat = None
        shown = words.phrase(beat.name if beat else name)
        series = {loss: curves.loss, **({shown: points} if points else {})}
        options = charts.learning(series, x=words("models.step"), names=list(series))
        if points and beat is not None:
            line = {"yAxis": beat.value, "name": words("train.to_beat", value=number(beat.value), n=beat.n)}
            options["series"][1]["markLine"] = {
                "symbol": "none",
                "lineStyle": {"type": "dashed", "color": charts.PALETTE[1]},
                "label": {"formatter": "{b}", "position": "insideStartTop"},
                "data": [line],
            }
            # A line that lies outside what was reached so far is still to be seen.
            ends = [beat.value, *(value for _, value in points)]
            room = 0.05 * (max(ends) - min(ends) or 1.0)
            options["yAxis"][1] |= {"min": round(min(ends) - room, 3), "max": round(max(ends) + room, 3)}
        if self.chart is None:
            with self.curve:
                self.chart = charts.show(options, words("models.curves"))
        else:
            self.chart.options.clear()
            self.chart.options.update(options)
            self.chart.update()

    def _draw_figures(self, lines: Sequence[runs.Line]) -> None:
        self.figures.clear()
        found = runs.figures_in(lines)
        if self.over and not found:
            made = self._made()
            found = made.figures() if made is not None else runs.result_figures(lines)
        with self.figures:
            if found:
                figures(found, self.words, rows=True)

    def _made(self) -> ModelRecord | None:
        """Return the model that the job made."""
        name = self.job.out.name if self.job.out else ""
        return next((one for one in models(self.view.root) if one.name == name), None)

    def _draw_tables(self, lines: Sequence[runs.Line]) -> None:
        """Show the candidates of a compression, and texts on which two models differ."""
        words, candidates, apart = self.words, runs.listed_in(lines, "candidate"), runs.listed_in(lines, "apart")
        self.tables.clear()
        with self.tables:
            if candidates:
                heads = [escape(words(f"jobs.{name}")) for name in ("candidate", "batched", "single")]
                rows = [
                    [
                        escape(message_of(one["title"])[words.language]),
                        *(f"{one[name]:.2f} ×" for name in ("batched", "single")),
                    ]
                    for one in candidates
                ]
                block(f"<h3>{escape(words('jobs.candidates'))}</h3>")
                table(heads, rows, numbers=(1, 2))
            if apart and apart[-1]:
                heads = [escape(words(f"jobs.{name}")) for name in ("text", "truth", "one", "other")]
                rows = [[foreign(one[name]) for name in ("text", "truth", "one", "other")] for one in apart[-1]]
                block(f"<h3>{escape(words('jobs.apart'))}</h3>")
                table(heads, rows)

    def _draw_lines(self, lines: Sequence[runs.Line]) -> None:
        texts = runs.texts_in(lines, self.words.language, "plan", "note", "ledger", "text")
        if len(texts) == self.texts and not self.over:
            return
        self.texts = len(texts)
        self.said.clear()
        with self.said:
            for text in runs.texts_in(lines, self.words.language, "error")[-1:] if self.job.state == "failed" else []:
                problem(text)
            last = "".join(f"<li>{foreign(text)}</li>" for text in texts[-LAST:])
            block(f'<ul class="said-lines">{last}</ul>')
            if len(texts) > LAST:
                before = "".join(f"<li>{foreign(text)}</li>" for text in texts[-MOST:-LAST])
                summary = escape(self.words("jobs.before", count=len(texts) - LAST))
                block(
                    f'<details><summary class="small">{summary}</summary><ul class="said-lines">{before}</ul></details>'
                )


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _moment(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
