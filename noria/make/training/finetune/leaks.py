"""What a model may have seen before it is judged: texts of one set that come again in another, whole or nearly, and texts with two truths.

Figures on a test text that training all but holds measure memory. Nothing is removed: which of the two is wrong is for
people to say; but it is told before training, with the texts, and stands in the model's card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.core.errors import shorten
from noria.core.messages import Message, as_is, joined, message, term
from noria.core.progress import Report
from noria.tasks.task import Row, Task
from noria.text.dedup import near_pairs
from noria.text.minhash import key_of

NEAR = 0.8
"""Jaccard similarity of shingles from which two rows' texts are held to be the same thing said twice."""
MOST_CHARACTERS = 20_000_000
"""Text of all sets up to which near repeats are looked for: less than a minute on two cores."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Leak:
    """Texts of one set that are also in the training rows."""

    of: str
    """The set: valid or test."""
    rows: int
    same: int
    """Rows whose text is a training text."""
    near: int
    """Further rows whose text nearly is, or is but for case, width, blanks and punctuation."""
    examples: list[tuple[str, str]] = field(default_factory=list)
    """A text and the training text that it repeats."""
    skipped: bool = False
    """Whether there was too much text to look for near repeats beyond case, width, blanks and punctuation."""

    def line(self) -> Message:
        """Return it in words."""
        values = {"same": self.same, "near": self.near, "rows": self.rows, "set": term(self.of)}
        line = message("work.leaked.both" if self.near else "work.leaked.same", **values) if self.same else None
        line = line or message("work.leaked.near", **values)
        if (self.same or self.near) and self.of == "test":
            line = message("work.leaked.flatter", line=line)
        parts = [line]
        if self.skipped:
            parts.append(message("work.leaked.skipped", millions=MOST_CHARACTERS / 1e6))
        parts += [
            as_is(shorten(text, 40))
            if text == other
            else message("work.leaked.pair", text=shorten(text, 40), other=shorten(other, 40))
            for text, other in self.examples
        ]
        return joined("join.clauses", parts)

    def facts(self) -> dict[str, Any]:
        """Return it as a model's card has it."""
        return {"set": self.of, "rows": self.rows, "same": self.same, "near": self.near, "near_skipped": self.skipped}


@dataclass(frozen=True)
class LeakReport:
    """What was found among the sets of rows."""

    leaks: list[Leak]
    conflicts: int
    """Texts that stand in the rows with more than one truth."""
    examples: list[str]

    def report_to(self, report: Report) -> None:
        """Say what was found; nothing where nothing was."""
        for leak in self.leaks:
            if leak.same or leak.near or leak.skipped:
                report.note(leak.line(), leaked=leak.same + leak.near, set=leak.of)
        if self.conflicts:
            report.note(
                message("work.conflicts", texts=self.conflicts, examples="; ".join(self.examples)),
                conflicts=self.conflicts,
            )

    def facts(self) -> dict[str, Any]:
        """Return it as a model's card has it."""
        return {"leaks": [leak.facts() for leak in self.leaks], "conflicting_texts": self.conflicts}


def find_leaks(
    task: Task, training: Sequence[Row], others: Mapping[str, Sequence[Row]], report: Report | None = None
) -> LeakReport:
    """Return which texts of the other sets repeat training texts, and which texts have two truths in all of them.

    Args:
        task: says what a row's text is.
        training: rows to learn from.
        others: name of a set -> its rows; empty ones are passed over.
        report: shows how far the search is.
    """
    known = [_text(task, row) for row in training]
    asked = {name: [_text(task, row) for row in rows] for name, rows in others.items() if rows}
    # All sets at once: to look at the training texts is what takes the time.
    met, skipped = _met(known, [text for texts in asked.values() for text in texts], task, report)
    leaks, first = [], 0
    for name, texts in asked.items():
        found = {place - first: other for place, other in met.items() if first <= place < first + len(texts)}
        same = sum(texts[place] == known[other] for place, other in found.items())
        examples = [(texts[place], known[found[place]]) for place in sorted(found)[:_EXAMPLES]]
        leaks.append(Leak(name, len(texts), same, len(found) - same, examples, skipped))
        first += len(texts)
    conflicts = _conflicts(task, [*training, *(row for rows in others.values() for row in rows)])
    return LeakReport(leaks, len(conflicts), conflicts[:_EXAMPLES])


def _text(task: Task, row: Row) -> str:
    return "\n".join(task.texts(row))


def _met(known: Sequence[str], texts: Sequence[str], task: Task, report: Report | None) -> tuple[dict[int, int], bool]:
    """Return place of a text -> place of the training text that it repeats, and whether near repeats were left alone."""
    whole = {text: place for place, text in reversed(list(enumerate(known)))}
    met = {place: whole[text] for place, text in enumerate(texts) if text in whole}
    skipped = False
    if texts and task.head != "vector":  # numbers are the same or they are not
        keys = list(map(key_of, known))
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        left: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            key = key_of(text)
            if place not in met and key in first:
                met[place] = first[key]
            elif place not in met:
                left.setdefault(key, []).append(place)
        alone, asked = list(first), list(left)
        skipped = sum(map(len, alone)) + sum(map(len, asked)) > MOST_CHARACTERS
        pairs = near_pairs([*alone, *asked], NEAR, report=report)[0].tolist() if asked and not skipped else []
        for earlier, later in pairs:
            if earlier < len(alone) <= later:
                met |= dict.fromkeys(left[asked[later - len(alone)]], first[alone[earlier]])
    return met, skipped


def _conflicts(task: Task, rows: Sequence[Row]) -> list[str]:
    """Return texts with the labels that they have, where a text has more than one; of tasks that give a text one label."""
    if task.head not in ("sequence", "vector"):
        return []
    truths: dict[str, dict[str, str]] = {}
    for row in rows:
        text = _text(task, row)
        key = text if task.head == "vector" else key_of(text)
        truth = " + ".join(row["labels"]) if "labels" in row else str(row.get("label"))
        truths.setdefault(key, {}).setdefault(truth, text)
    return [
        f"{shorten(next(iter(found.values())), 40)} is {' and '.join(sorted(found))}"
        for found in truths.values()
        if len(found) > 1
    ]
