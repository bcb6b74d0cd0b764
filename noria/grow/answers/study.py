"""What a folder of answers says: how often each brand is named, named first and well spoken of, by whom, and what has changed.

    study = study_answers(Panel("answers"))
    study.rows()                     # a row a wave, assistant and brand, each rate with its interval over questions
    study.write_series("answers/series.csv")          # for `noria grow share` and `noria grow forecast`

Rates are of answers: refusals, empty and failed calls are counted apart. A question that names a brand itself is left out unless it
is asked for. Counting is done by names alone (`mentions`); only "well spoken of" asks a model, where one is given.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.core.folder import write_bytes
from noria.core.messages import Message, joined, message
from noria.text.mentions import Brand, Finder

from .counting import Cell, Counting, Sentiment
from .intervals import Estimate, Floats, differences, rates, ratios
from .panel import Panel, Wave
from .settings import CountSettings

UNIT = "answers in 100"
MEASURES = {"named": "answers naming it", "first": "answers naming it first"}
"""Rate -> measure of the series; a share of each is the brand's part of all that are named."""


@dataclass(frozen=True)
class Difference:
    """How much oftener a brand is named on one side than on the other."""

    brand: str
    before: str
    """Assistant or date."""
    after: str
    of: str
    """What both have in common: the wave, or the assistant."""
    figure: Figure

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "brand": self.brand,
            "from": self.before,
            "to": self.after,
            "of": self.of,
            "difference": self.figure.value,
            "low": self.figure.low,
            "high": self.figure.high,
            "questions": self.figure.n,
        }


@dataclass(frozen=True)
class AnswerStudy:
    """All that is known of a folder of answers."""

    brands: tuple[Brand, ...]
    waves: tuple[Wave, ...]
    cells: tuple[Cell, ...]
    """In order of wave and assistant."""
    source: Message
    settings: CountSettings
    between_assistants: tuple[Difference, ...] = ()
    """In the latest wave."""
    between_waves: tuple[Difference, ...] = ()
    """The two latest waves of an assistant."""
    notes: tuple[Message, ...] = ()
    branded: tuple[str, ...] = ()
    """Questions that name a brand."""
    as_of: str = ""
    """Day of the latest answer."""

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a wave, assistant and brand: named, first and share of what is named, with intervals, and well, where asked."""
        found = []
        for cell in self.cells:
            parts = self._estimates(cell)
            for place, brand in enumerate(self.brands):
                row: dict[str, Any] = {"time": cell.wave, "assistant": cell.assistant, "brand": brand.name}
                for name, one in parts.items():
                    row |= {
                        name: _number(one.value[place]),
                        f"{name}_low": _number(one.low[place]),
                        f"{name}_high": _number(one.high[place]),
                    }
                row |= {"answers": int(cell.answers.sum()), "questions": int((cell.answers > 0).sum())}
                found.append(row)
        return found

    def figures(self) -> list[Figure]:
        """Return how often each brand is named in the latest wave, by each assistant."""
        last = self.waves[-1].time
        return [
            Figure(
                message("answers.figure", brand=row["brand"], assistant=row["assistant"], time=row["time"]),
                row["named"],
                row["answers"],
                row["named_low"],
                row["named_high"],
                source=self.source,
                level=self.settings.level,
            )
            for row in self.rows()
            if row["time"] == last and row["named"] is not None
        ]

    def by_language(self) -> list[dict[str, Any]]:
        """Return how often each brand is named in the latest wave by language of the question; nothing where there is one."""
        last = [cell for cell in self.cells if cell.wave == self.waves[-1].time]
        languages = sorted({language for cell in last for language in cell.languages})
        found = []
        for cell in last if len(languages) > 1 else ():
            for language in languages:
                columns = [place for place, one in enumerate(cell.languages) if one == language]
                one = rates(cell.named[:, columns], cell.answers[columns], self.settings.level)
                found += [
                    {
                        "assistant": cell.assistant,
                        "language": language,
                        "brand": brand.name,
                        "named": _number(one.value[place]),
                        "low": _number(one.low[place]),
                        "high": _number(one.high[place]),
                        "questions": int((cell.answers[columns] > 0).sum()),
                    }
                    for place, brand in enumerate(self.brands)
                ]
        return found

    def write_series(self, path: str | Path) -> Path:
        """Write the rates as a series with its provenance, which `noria grow share` and `noria grow forecast` read; return its path.

        Entities are brands, segments assistants; an assistant whose answers are none in a wave is missing there.
        """
        out = io.StringIO()
        out.write(f"# source: {self.source}\n# licence: own measurement\n# as_of: {self.as_of}\n")
        out.write(
            "# changes: mean over questions of the part of answers that name a brand, times 100; noria grow answers\n"
        )
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("time", "entity", "segment", "measure", "value", "unit"))
        for row in self.rows():
            for name, measure in MEASURES.items():
                if row[name] is not None:
                    writer.writerow(
                        (row["time"], row["brand"], row["assistant"], measure, f"{100 * row[name]:.4f}", UNIT)
                    )
        write_bytes(path, out.getvalue().encode())
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        return {
            "source": self.source,
            "level": self.settings.level,
            "rates": self.rows(),
            "by_language": self.by_language(),
            "tallies": [
                {"time": cell.wave, "assistant": cell.assistant, **cell.tally, "models": list(cell.models)}
                for cell in self.cells
            ],
            "between_assistants": [one.as_dict() for one in self.between_assistants],
            "between_waves": [one.as_dict() for one in self.between_waves],
            "branded_questions": list(self.branded),
            "notes": [note.both() for note in self.notes],
        }

    def _estimates(self, cell: Cell) -> dict[str, Estimate]:
        level = self.settings.level
        found = {
            "named": rates(cell.named, cell.answers, level),
            "first": rates(cell.first, cell.answers, level),
            "share": ratios(cell.named, cell.named.sum(0), cell.answers, level),
        }
        if cell.well is not None:
            found["well"] = ratios_of(cell.well, cell.named, level)
        return found


def ratios_of(hits: Floats, totals: Floats, level: float) -> Estimate:
    """Return, row by row, the part of totals that are hits, questions without any left out."""
    each = [ratios(hit, total, np.where(total > 0, 1.0, 0.0), level) for hit, total in zip(hits, totals, strict=True)]
    return Estimate(*(np.array([getattr(one, name) for one in each]) for name in ("value", "low", "high")))


def study_answers(
    panel: Panel,
    settings: CountSettings | None = None,
    *,
    brands: Sequence[Brand] = (),
    sentiment: Sentiment | None = None,
) -> AnswerStudy:
    """Return what a folder's answers say.

    Args:
        panel: the folder.
        settings: how they are counted.
        brands: whose names are looked for; those that were given when the questions were asked by default.
        sentiment: the label of each text; None tells nothing of who is well spoken of.

    Raises:
        InputError: nothing was asked.
    """
    settings = settings or CountSettings()
    finder = Finder(brands or panel.brands)
    answers = panel.answers()
    if not answers:
        raise panel.nothing_asked()
    named = {
        question.text
        for wave in panel.waves.values()
        for question in wave.questions
        if finder.find(question.text).mentions
    }
    counted = Counting(finder, settings, named, sentiment)
    waves = tuple(wave for wave in panel.waves.values() if wave.time in answers)
    cells = tuple(
        counted.cell(wave, assistant.name, answers[wave.time]) for wave in waves for assistant in wave.assistants
    )
    texts = tuple(dict.fromkeys(one.text for wave in waves for one in wave.questions if one.text in named))
    between_assistants, between_waves = _differences(finder.brands, cells, settings.level)
    return AnswerStudy(
        finder.brands,
        waves,
        cells,
        _source(waves, cells),
        settings,
        between_assistants=between_assistants,
        between_waves=between_waves,
        notes=tuple(counted.notes(waves, cells, texts)),
        branded=texts,
        as_of=max((str(one["time"])[:10] for wave in answers.values() for one in wave.values()), default=""),
    )


def _differences(
    brands: Sequence[Brand], cells: Sequence[Cell], level: float
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Return the differences between assistants in the latest wave, and between the two latest waves of each assistant.

    All of a kind hold together at the level: each is given the level that Bonferroni's inequality asks for.
    """
    if not cells:
        return (), ()
    last = [cell for cell in cells if cell.wave == cells[-1].wave]
    pairs = [(one, other, one.assistant, other.assistant, one.wave) for one, other in itertools.combinations(last, 2)]
    steps = []
    for cell in last:
        before = [one for one in cells if one.assistant == cell.assistant and one.wave < cell.wave]
        steps += [(before[-1], cell, before[-1].wave, cell.wave, cell.assistant)] if before else []
    return _compared(brands, pairs, level), _compared(brands, steps, level)


def _compared(
    brands: Sequence[Brand], pairs: Sequence[tuple[Cell, Cell, str, str, str]], level: float
) -> tuple[Difference, ...]:
    each = 1 - (1 - level) / max(1, len(pairs) * len(brands))
    found = []
    for one, other, before, after, of in pairs:
        common = [name for name in one.questions if name in other.questions]
        sides = []
        for cell in (one, other):
            columns = [cell.questions.index(name) for name in common]
            sides.append((cell.named[:, columns], cell.answers[columns]))
        n = int(((sides[0][1] > 0) & (sides[1][1] > 0)).sum())
        gap = differences(sides[0], sides[1], each)
        found += [
            Difference(
                brand.name,
                before,
                after,
                of,
                Figure(
                    message("answers.difference", brand=brand.name, before=before, after=after),
                    float(gap.value[place]),
                    n,
                    float(gap.low[place]),
                    float(gap.high[place]),
                    level=level,
                ),
            )
            for place, brand in enumerate(brands)
            if n
        ]
    return tuple(found)


def _source(waves: Sequence[Wave], cells: Sequence[Cell]) -> Message:
    """Return where the figures come from: whom was asked, where, when, how often."""
    assistants = dict.fromkeys(f"{one.name} ({one.model}, {one.url})" for wave in waves for one in wave.assistants)
    last = waves[-1] if waves else None
    return message(
        "answers.source",
        assistants=joined("join.list", assistants),
        questions=len(last.questions) if last else 0,
        draws=last.draws if last else 0,
        times=joined("join.list", dict.fromkeys(cell.wave for cell in cells)),
    )


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
