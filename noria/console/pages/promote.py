"""Promotion: how large an experiment must be, and the plan with the experiment, the audience and the budget it rests on."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import ui

import noria
from noria.console.figures import figures
from noria.console.sections import show_section
from noria.console.shell import View, block, card, foreign, worked_out
from noria.console.words import Words
from noria.core.errors import InputError, SettingError

if TYPE_CHECKING:
    from noria.grow.promote.design import Design
    from noria.grow.promote.planning import PlanStudy
    from noria.grow.promote.within import Within

FILE = "promotion.toml"
"""In the folder of the run: names the files that the plan rests on."""


async def show(view: View) -> None:
    """Draw the page: of the run's own plan where it has one, else of a simulated one, which says so."""
    words = view.words
    with card(words("promote.size")):
        _size(words)
    own = view.root / FILE
    study, within = await worked_out(words, lambda: (_study(own), served(view.state.lake)))
    if within is not None:
        with card(words("promote.served")):
            figures(within.rates, words, rows=True)
            block(f'<div class="note">{foreign(within.text()[words.language])}</div>')
    if not own.exists():
        block(
            f'<div class="note" data-check="simulated">{escape(words("promote.example"))} <code translate="no">{FILE}</code></div>'
        )
    from noria.grow.report.sections.promotion import promotion_sections

    with card(words("promote.plan")):
        block(plan_html(study, words))
    for section in promotion_sections(study)[1:]:
        show_section(section, words)


def plan_html(study: PlanStudy, words: Words) -> str:
    """Return the parts of a plan as HTML; what comes from data in them is not the console's own words."""
    parts = []
    for title, items in study.plan.parts():
        lines = "".join(f"<li>{foreign(item[words.language])}</li>" for item in items)
        parts.append(f'<h3>{escape(title[words.language])}</h3><ul class="texts">{lines}</ul>')
    return "".join(parts)


def size_text(base: float | None, lift: float | None, users_a_day: float | None, words: Words) -> str:
    """Return how large an experiment must be, or what is wrong with the numbers.

    Args:
        base: rate of the control group, percent.
        lift: the change worth finding, percent of the base.
        users_a_day: users expected a day; may be missing.
        words: the page's words.
    """
    try:
        made: Design = noria.promote.size(
            (base or 0.0) / 100, lift=(lift or 0.0) / 100, users_a_day=users_a_day or None
        ).study
    except SettingError as error:
        return str(error)
    return made.text()[words.language]


def _size(words: Words) -> None:
    with ui.element("div").classes("thirds"):
        fields = [
            ui.number(words(f"promote.{key}"), value=value, min=low, max=high, step=step)
            .props("outlined dense")
            .classes("field")
            for key, value, low, high, step in (
                ("base", 10, 0.01, 99, 0.5),
                ("lift", 10, 0.1, 500, 1),
                ("a_day", 500, 1, 10**9, 50),
            )
        ]
    told = ui.html("", sanitize=False).props('data-check="size" aria-live="polite" translate="no"')

    def show_size() -> None:
        told.set_content(escape(size_text(fields[0].value, fields[1].value, fields[2].value, words)))

    for one in fields:
        one.on_value_change(show_size)
    show_size()


def _study(own: Path) -> PlanStudy:
    return planned(own, own.stat().st_mtime) if own.exists() else example()


def served(lake: Path) -> Within | None:
    """Return the kinds of recommendation that this server showed, with the clicks that followed; None where there are not several."""
    try:
        within: Within = noria.promote.experiment(lake, within=True, exposure="impression").study
    except InputError:
        return None
    return within


@lru_cache(maxsize=4)
def planned(path: Path, changed: float) -> PlanStudy:
    """Return the plan of a TOML file; made anew when the file has changed."""
    study: PlanStudy = noria.promote.plan(file=path).study
    return study


@lru_cache(maxsize=1)
def example() -> PlanStudy:
    """Return the simulated plan, made once in the life of the server."""
    from noria.grow.promote.planning import simulated_plan

    return simulated_plan()
