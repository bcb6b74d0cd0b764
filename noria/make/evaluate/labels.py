"""Every label by itself: F1, precision, recall and support, so that a label that is never said hides in no average.

found = by_label(task, rows, answers, source="test.jsonl")
line(found)          # "F1 by label: PER 0.812 [0.774, 0.848] n=120, ORG 0 n=77 never said"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noria.core.figure import Figure, number, proportion
from noria.core.messages import Message, as_is, joined, message
from noria.tasks.measure import f1, label_counts, label_names, span_label_counts, span_label_names
from noria.tasks.task import Answer, Row, Task

from .intervals import sums_of_draws

SHOWN = 12
"""Labels that one line shows; of more, those with the lowest F1."""
LabelFigures = dict[str, Any]
"""{label, support, said, figures: [F1, precision, recall]}: how often it is true and how often it was said, figures as dicts."""


def by_label(task: Task, rows: Sequence[Row], answers: Sequence[Answer], *, source: str) -> list[LabelFigures]:
    """Return the figures of every label of the rows or the answers, in the order of the labels; none of a task without labels.

    Intervals: of F1 percentile bootstrap over texts; of precision and recall Wilson's. Where every draw says the same, all wrong or
    all right, the draws know nothing of what other texts would say, and F1 takes the harmonic mean of Wilson's ends.
    """
    counted = _counted(rows, answers)
    if counted is None:
        return []
    names, counts = counted
    sums = counts.sum(axis=0)
    draws = np.split(sums_of_draws(counts), 3, axis=1)
    found = []
    for place, name in enumerate(names):
        hits, predicted, true = (int(part[place]) for part in np.split(sums, 3))
        precision = proportion("precision", hits, predicted, source=source)
        recall = proportion("recall", hits, true, source=source)
        drawn = f1(*(part[:, place] for part in draws))[draws[1][:, place] + draws[2][:, place] > 0]
        value = float(f1(np.array(hits), np.array(predicted), np.array(true)))
        low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
        if low == high:
            low, high = (_harmonic(getattr(precision, end), getattr(recall, end)) for end in ("low", "high"))
        first = Figure("F1", value, true, min(low, value), max(high, value), source=source)
        found.append(
            {
                "label": name,
                "support": true,
                "said": predicted,
                "figures": [figure.as_dict() for figure in (first, precision, recall)],
            }
        )
    return found


def line(found: Sequence[LabelFigures]) -> Message:
    """Return F1 and support of the labels on one line, and which of them were never said."""
    chosen = found
    if len(found) > SHOWN:
        chosen = sorted(found, key=lambda one: one["figures"][0]["value"])[:SHOWN]
    parts = []
    for one in chosen:
        first = Figure(**one["figures"][0])
        ends = (
            f" [{number(first.low)}, {number(first.high)}]" if first.low is not None and first.high is not None else ""
        )
        told = as_is(f"{one['label']} {number(first.value)}{ends} n={one['support']:,}")
        parts.append(message("work.never_said", label=told) if one["support"] and not one["said"] else told)
    rest = message("work.lowest", some=len(chosen), all=len(found)) if len(chosen) < len(found) else ""
    return message("work.by_label", rest=rest, labels=joined("join.comma", parts))


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table in Markdown."""
    lines = ["| label | F1 | precision | recall | support | said |", "|---|---|---|---|---|---|"]
    for one in found:
        cells = []
        for raw in one["figures"]:
            figure = Figure(**raw)
            ends = f" ({figure.low:.3f} to {figure.high:.3f})" if figure.low is not None else ""
            cells.append(f"{figure.value:.3f}{ends}" if figure.n or figure.name == "F1" else "none")
        predicted = f"{one['said']:,}" if one["said"] or not one["support"] else "never"
        lines.append(f"| {one['label']} | {' | '.join(cells)} | {one['support']:,} | {predicted} |")
    return lines


def _counted(rows: Sequence[Row], answers: Sequence[Answer]) -> tuple[list[str], np.ndarray] | None:
    if not rows:
        return None
    if "spans" in rows[0]:
        true, given = [row["spans"] for row in rows], [answer["spans"] for answer in answers]
        return span_label_names(true, given), span_label_counts(true, given)
    if not rows[0].keys() & {"label", "labels"}:
        return None
    listed, told = ([_labels(one) for one in some] for some in (rows, answers))
    return label_names(listed, told), label_counts(listed, told)


def _labels(one: Mapping[str, Any]) -> list[str]:
    return list(one["labels"]) if "labels" in one else [one["label"]]


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0
