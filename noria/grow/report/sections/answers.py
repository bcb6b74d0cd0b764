"""Share of answer in the report: who is named, first and well spoken of, by which assistant, and what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import as_is, joined, message
from noria.grow.answers.study import AnswerStudy, Difference
from noria.grow.report.charts.answers import named_chart, waves_chart
from noria.grow.report.charts.chart import Text
from noria.grow.report.page import Section, Shown, Table

MOST = 6
"""Figures that are shown large; the table has all."""


def answers_section(study: AnswerStudy) -> Section:
    """Return the latest wave's rates, and the changes since the wave before."""
    wave, level = study.waves[-1].time, study.settings.level
    rows = [row for row in study.rows() if row["time"] == wave and row["named"] is not None]
    largest = sorted(rows, key=lambda row: -row["named"])[:MOST]
    notes: list[Text] = [_tally(study, place) for place, cell in enumerate(study.cells) if cell.wave == wave]
    several = [cell.assistant for cell in study.cells if cell.wave == wave] if len(study.waves) > 1 else []
    tables = [_rates(study, rows)]
    if study.between_assistants:
        title = message("answers.report.differences", wave=wave, level=level)
        tables.append(_differences(study, study.between_assistants, title))
    if study.between_waves:
        tables.append(_differences(study, study.between_waves, message("answers.report.changes", level=level)))
    return Section(
        "answers",
        message("answers.report.title"),
        message("answers.report.lead", level=level),
        [_shown(study, row) for row in largest],
        [named_chart(study), *(waves_chart(study, assistant) for assistant in several)],
        tables,
        [*notes, *study.notes],
    )


def _shown(study: AnswerStudy, row: dict[str, Any]) -> Shown:
    ends = row["named_low"], row["named_high"]
    level = study.settings.level
    return Shown(
        Figure("named", row["named"], row["answers"], *ends, source=study.source, level=level),
        message("answers.report.figure", brand=row["brand"], assistant=row["assistant"]),
        message("answers.report.meaning", questions=row["questions"]),
        percent=True,
        as_of=study.as_of,
    )


def _tally(study: AnswerStudy, place: int) -> Text:
    cell = study.cells[place]
    counts = {name: cell.tally[name] for name in ("asked", "answered", "refused", "empty", "failed")}
    models = joined("join.list", cell.models or ("–",))
    return message("answers.tally", assistant=cell.assistant, models=models, wave=cell.wave, **counts)


def _rates(study: AnswerStudy, rows: Sequence[dict[str, Any]]) -> Table:
    kinds = ["named", "first", "share", *(["well"] if rows and "well" in rows[0] else [])]
    columns: list[Text] = [message("answers.report.assistant"), message("answers.report.brand")]
    columns += [message(f"answers.rate.{kind}") for kind in kinds]
    table: list[list[str | float | Text | None]] = []
    for row in rows:
        cells: list[str | float | Text | None] = [as_is(row["assistant"]), as_is(row["brand"])]
        for kind in kinds:
            ends = f"[{100 * (row[f'{kind}_low'] or 0):.1f}, {100 * (row[f'{kind}_high'] or 0):.1f}]"
            cells.append(None if row[kind] is None else f"{row[kind]:.1%} {ends}")
        table.append([*cells, float(row["answers"])])
    title = message("answers.report.table", wave=study.waves[-1].time)
    return Table(title, [*columns, message("answers.report.answers")], table, study.source)


def _differences(study: AnswerStudy, found: Sequence[Difference], title: Text) -> Table:
    columns: list[Text] = [
        message("answers.report.brand"),
        message("answers.report.before"),
        message("answers.report.after"),
        message("answers.report.difference"),
    ]
    if len({one.of for one in found}) > 1:
        columns.insert(0, message("answers.report.assistant"))
    rows: list[list[str | float | Text | None]] = []
    for one in found:
        low, high = one.figure.low, one.figure.high
        assert low is not None
        assert high is not None
        cells: list[str | float | Text | None] = [as_is(one.brand), as_is(one.before), as_is(one.after)]
        cells.append(f"{100 * one.figure.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        rows.append([as_is(one.of), *cells] if len(columns) > len(cells) else cells)
    return Table(title, columns, rows, study.source)
