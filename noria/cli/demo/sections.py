"""The report's sections on the stages before grow: what each said of itself, as figures with their proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.figure import Figure
from noria.core.messages import message, name_of

if TYPE_CHECKING:
    from noria.grow.report.page import Section, Shown, Wing

STAGES: dict[str, Wing] = {
    "corpus": "build",
    "pretrain": "build",
    "base": "build",
    "sentiment": "build",
    "entities": "build",
    "compress": "build",
    "ship": "ship",
}
"""Stage -> its wing."""


def stage_sections(root: Path) -> list[Section]:
    """Return a section for every finished stage below `root` that gave figures."""
    from noria.grow.report.page import Section

    sections = []
    for name, wing in STAGES.items():
        record = _record(root / f"{name}.stage.json")
        figures = [_shown(entry) for entry in record.get("figures", [])]
        if figures:
            title, lead = message(f"demo.{name}.title"), message(f"demo.{name}.lead")
            sections.append(Section(name, title, lead, figures, wing=wing))
    return sections


def _shown(entry: dict[str, Any]) -> Shown:
    from noria.grow.report.page import Shown

    figure = Figure(**entry)
    beside = figure.baseline is not None
    meaning = message("demo.measured.beside" if beside else "demo.measured.alone", n=figure.n)
    if figure.note:
        meaning = message("demo.measured.noted", meaning=meaning, note=name_of(figure.note))
    return Shown(figure, name_of(figure.name), meaning, unit=name_of(figure.unit), source=name_of(figure.source))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) and "line" in record else {}
