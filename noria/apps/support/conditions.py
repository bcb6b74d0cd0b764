"""Conditions of answers: one question with several answers, and which of them holds for who asks.

audience = student, teacher; plan = pro        every name must hold, by any of its values
from 2026-01-01; until 2026-06-30              by the day on which it is asked
students                                       words alone are a value of `for`
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from noria.core.errors import RowError
from noria.core.messages import message
from noria.text.terms import stem

from .plain import plain

_PARTS = re.compile(r"\s*[;；\n]+\s*|\s+(?:and|且)\s+")
_DAY = re.compile(
    r"(?P<end>from|since|until|to|起|自|从|截至|至|到)\s*[=:：]?\s*(?P<day>\d{4}-\d{2}-\d{2})\s*(?P<after>起|止)?", re.I
)
_NAMED = re.compile(r"(?P<name>[^=＝:：]{1,40}?)\s*[=＝:：]\s*(?P<values>.+)")
_FIRST = ("from", "since", "起", "自", "从")
BARE = "for"
"""Name of a condition that is words alone."""


@dataclass(frozen=True)
class Case:
    """An answer, and when it holds."""

    answers: Mapping[str, str]
    """Language -> text."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> values, any of which will do; every name must hold. None at all: it holds where no other does."""
    since: date = date.min
    until: date = date.max
    """The first and last day on which it holds."""

    @property
    def label(self) -> str:
        """Return its values, as they are offered."""
        return "; ".join(" / ".join(values) for values in self.values.values())

    def holds(self, facts: Mapping[str, str], today: date) -> bool | None:
        """Return whether it holds, None where that is not known."""
        if not self.since <= today <= self.until:
            return False
        known = [_is_one_of(facts[name], values) for name, values in self.values.items() if name in facts]
        return False if not all(known) else True if len(known) == len(self.values) else None


def case_of(when: str, answers: Mapping[str, str], path: str | Path, line: int) -> Case:
    """Return the case of a row.

    Args:
        when: its condition, as above; empty for the answer that holds where no other does.
        answers: language -> text.
        path: of the file.
        line: of the row.

    Raises:
        RowError: a day is none.
    """
    values: dict[str, tuple[str, ...]] = {}
    since, until = date.min, date.max
    for part in filter(None, _PARTS.split(when.strip())):
        if found := _DAY.fullmatch(part):
            try:
                day = date.fromisoformat(found["day"])
            except ValueError:
                raise RowError(
                    message("apps.no_day"), file=path, line=line, field="when", found=part, allowed="2026-12-31"
                ) from None
            if found["end"].casefold() in _FIRST:
                since = day
            else:
                until = day
        else:
            named = _NAMED.fullmatch(part)
            name, texts = (named["name"].strip().casefold(), named["values"]) if named else (BARE, part)
            values[name] = tuple(one.strip() for one in re.split(r"[,，|、/]", texts) if one.strip()) or (texts,)
    return Case(answers, values, since, until)


def all_of(cases: Sequence[Case]) -> dict[str, str]:
    """Return every answer with its condition, by language: what is right for everybody."""
    languages = dict.fromkeys(language for case in cases for language in case.answers)
    found = {}
    for language in languages:
        lines = [(case.label, case.answers[language]) for case in cases if language in case.answers]
        colon = "：" if language == "zh" else ": "
        found[language] = "\n".join(f"{label}{colon}{text}" if label else text for label, text in lines)
    return found


def _is_one_of(value: str, values: Sequence[str]) -> bool:
    return stems(value) in [stems(one) for one in values]


def stems(text: str) -> list[str]:
    """Return the words of a text, each by its stem."""
    return [stem(word) for word in plain(text).split()]
