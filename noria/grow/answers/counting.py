"""Raw answers -> counts by brand and question: who is named, first, and well spoken of, and what must be known of the counts.

counting = Counting(Finder(brands), CountSettings(), branded=set())
cell = counting.cell(wave, "deepseek", panel.answers()[wave.time])
cell.named.sum(1) / cell.answers.sum()

Counts are made by names alone. Refusals, empty answers and calls that failed are counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.messages import Message, joined, message
from noria.text.mentions import Finder, Found
from noria.text.script import sentences

from .endpoint import declined
from .intervals import Floats, between_questions
from .panel import Wave
from .settings import CountSettings

Sentiment = Callable[[Sequence[str]], Sequence[str]]
"""Texts -> the label of each."""
ALIKE = 0.2
"""Part of the variance between questions from which on draws of one question add little: of five draws, a half of what is known."""
FEW = 10
"""Questions below which an interval says little, and is told so."""


@dataclass(frozen=True)
class Cell:
    """What one assistant answered in one wave: counts by brand and question."""

    wave: str
    assistant: str
    questions: tuple[str, ...]
    languages: tuple[str, ...]
    answers: Floats
    """(Q,), those that are counted."""
    named: Floats
    """(B, Q), answers that name a brand."""
    sure: Floats
    """(B, Q), that name it by a name that is not marked as ambiguous."""
    first: Floats
    """(B, Q), that name it before any other."""
    well: Floats | None
    """(B, Q), that speak well of it; None where no model was asked."""
    tally: Mapping[str, int]
    """asked, answered, refused, empty, failed, cut -> calls."""
    alike: int
    """Questions of which all answers, two at least, are the same to the letter."""
    models: tuple[str, ...]
    """Which models the server said have answered."""


class Counting:
    """Counts the answers of one assistant in one wave, and keeps what must be known of the counts."""

    def __init__(self, finder: Finder, settings: CountSettings, branded: set[str], sentiment: Sentiment | None) -> None:
        self._finder, self._settings, self._branded, self._sentiment = finder, settings, branded, sentiment
        self._places = {brand.name: place for place, brand in enumerate(finder.brands)}
        self.small: Counter[str] = Counter()
        self.ambiguous: dict[str, Counter[str]] = {}

    def cell(self, wave: Wave, assistant: str, answers: Mapping[tuple[str, str, int], Mapping[str, Any]]) -> Cell:
        """Return the counts."""
        asked = [one for one in wave.questions if self._settings.branded or one.text not in self._branded]
        columns = {question.id: place for place, question in enumerate(asked)}
        shape = len(self._finder.brands), len(asked)
        named, sure, first = (np.zeros(shape) for _ in range(3))
        count = np.zeros(len(asked))
        tally: Counter[str] = Counter(asked=0, answered=0, refused=0, empty=0, failed=0, cut=0)
        texts: dict[str, list[str]] = {}
        judged: list[tuple[int, int, str]] = []
        models: Counter[str] = Counter()
        for (name, question, _), record in answers.items():
            if name != assistant:
                continue
            found = self._finder.find(str(record.get("text") or ""))
            status = _status(record["status"], found)
            tally.update(("asked", status))
            column = columns.get(question)
            if status != "answered" or column is None:
                continue
            tally["cut"] += record.get("finish") == "length"
            models[str(record.get("model") or "")] += 1
            texts.setdefault(question, []).append(found.text)
            count[column] += 1
            self._count(found, column, named, sure, first)
            judged += [(place, column, text) for place, text in self._spoken(found)]
        well = self._well(judged, shape)
        alike = sum(len(each) > 1 and len(set(each)) == 1 for each in texts.values())
        languages = tuple(question.language for question in asked)
        facts: dict[str, Any] = {"tally": dict(tally), "alike": alike, "models": tuple(sorted(models))}
        return Cell(wave.time, assistant, tuple(columns), languages, count, named, sure, first, well, **facts)

    def _count(self, found: Found, column: int, named: Floats, sure: Floats, first: Floats) -> None:
        self.small.update(found.small)
        by_brand: dict[str, bool] = {}
        for mention in found.mentions:
            by_brand[mention.brand] = by_brand.get(mention.brand, False) or not mention.ambiguous
            if mention.ambiguous:
                self.ambiguous.setdefault(mention.brand, Counter())[mention.alias] += 1
        for brand, is_sure in by_brand.items():
            named[self._places[brand], column] += 1
            sure[self._places[brand], column] += is_sure
        if found.mentions:
            first[self._places[found.mentions[0].brand], column] += 1

    def _spoken(self, found: Found) -> list[tuple[int, str]]:
        """Return, brand by brand, the sentences of an answer that name it."""
        if self._sentiment is None or not found.mentions:
            return []
        parts: dict[str, list[str]] = {}
        for sentence in sentences(found.text):
            for brand in dict.fromkeys(one.brand for one in self._finder.find(sentence).mentions):
                parts.setdefault(brand, []).append(sentence)
        # A name that a line's end parts is in no sentence: then the whole answer is what is said of it.
        brands = dict.fromkeys(one.brand for one in found.mentions)
        return [(self._places[brand], " ".join(parts.get(brand, [found.text]))) for brand in brands]

    def _well(self, judged: list[tuple[int, int, str]], shape: tuple[int, int]) -> Floats | None:
        if self._sentiment is None:
            return None
        well = np.zeros(shape)
        good = {label.casefold() for label in self._settings.good}
        labels = self._sentiment([text for _, _, text in judged]) if judged else []
        for (brand, column, _), label in zip(judged, labels, strict=True):
            well[brand, column] += label.casefold() in good
        return well

    def notes(self, waves: Sequence[Wave], cells: Sequence[Cell], branded: Sequence[str]) -> list[Message]:
        """Return what must be known of the counts."""
        found = []
        if branded:
            counted = self._settings.branded
            found.append(
                message(
                    "answers.branded_counted" if counted else "answers.branded", count=len(branded), first=branded[0]
                )
            )
        for alias, count in self.small.items():
            found.append(message("answers.small", alias=alias, small=alias.lower(), count=count))
        for brand, aliases in self.ambiguous.items():
            place = self._places[brand]
            every = int(sum(cell.named[place].sum() for cell in cells))
            only = every - int(sum(cell.sure[place].sum() for cell in cells))
            words = joined("join.list", aliases)
            found.append(message("answers.ambiguous", brand=brand, words=words, only=only, every=every))
        last = [cell for cell in cells if cell.wave == waves[-1].time] if waves else []
        for cell in last:
            found += _notes_of(cell)
        return found


def _notes_of(cell: Cell) -> list[Message]:
    """Return what must be known of one assistant's answers."""
    found, questions = [], int((cell.answers > 0).sum())
    names = {"assistant": cell.assistant}
    if not questions:
        return [message("answers.none_counted", **names)]
    if questions < FEW:
        found.append(message("answers.few", **names, count=questions))
    several = int((cell.answers > 1).sum())
    if cell.alike and cell.alike * 2 > several:
        found.append(message("answers.alike", **names, alike=cell.alike, several=several))
    part = between_questions(cell.named, cell.answers)
    if part is not None:
        found.append(
            message("answers.questions_differ" if part >= ALIKE else "answers.draws_differ", **names, part=part)
        )
    if cell.tally["cut"]:
        found.append(message("answers.cut", **names, count=cell.tally["cut"]))
    if len(cell.models) > 1:
        found.append(message("answers.several_models", **names, models=joined("join.list", cell.models)))
    return found


def _status(status: str, found: Found) -> str:
    """Return answered, refused, empty or failed: what is empty once thoughts are gone, or declines and names no brand, is no answer."""
    if status != "answered":
        return status
    if not found.text:
        return "empty"
    return "refused" if not found.mentions and declined(found.text) else status
