"""A compressed model's answers measured beside the trained one's, against the truth: what a certificate asks of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.tasks.task import Answer, Row, Task

from .intervals import interval, paired


def beside_trained(
    task: Task, rows: Sequence[Row], source: str
) -> Callable[[list[Answer], list[Answer]], list[Figure]]:
    """Return what measures the answers of a trained and of a compressed model to `rows`; the last figure is their paired difference.

    Args:
        task: of both models.
        rows: with the truth; of a task that embeds, pairs {"anchor", "positive"}.
        source: name of the rows, for the figures.
    """

    def measure(expected: list[Answer], predicted: list[Answer]) -> list[Figure]:
        if task.name == "embed":
            expected, predicted = (paired_up(answers) for answers in (expected, predicted))
        before, after = task.scores(rows, expected), task.scores(rows, predicted)
        figures = []
        for one, other in zip(after, before, strict=True):
            found = interval(one.counts, one.statistic)
            figures.append(
                Figure(
                    one.name,
                    found.value,
                    len(rows),
                    found.low,
                    found.high,
                    source=source,
                    baseline=other.value,
                    note="beside the trained model",
                )
            )
        gain = paired(after[0].counts, before[0].counts, after[0].statistic)
        name = message("figures.above_trained", measure=term(after[0].name))
        figures.append(
            Figure(name, gain.value, len(rows), gain.low, gain.high, source=source, note="paired bootstrap over texts")
        )
        return figures

    return measure


def paired_up(answers: Sequence[Answer]) -> list[Answer]:
    """Return an answer a pair from the answers to all anchors, then to all positives."""
    half = len(answers) // 2
    return [{"anchor": one, "positive": other} for one, other in zip(answers[:half], answers[half:], strict=True)]
