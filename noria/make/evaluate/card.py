"""A model's figures with intervals and how far its confidences hold, its baseline beside them, and its card for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from noria import __version__
from noria.core.caveats import caveats
from noria.core.figure import Figure
from noria.core.folder import Source
from noria.core.messages import Message, joined, message, term
from noria.core.progress import Report
from noria.tasks.companion import NgramCompanion
from noria.tasks.measure import Measure, span_set
from noria.tasks.ngram_classifier import companion_answers
from noria.tasks.task import Answer, Row, Task

from .baseline import baselines_of, classified
from .intervals import interval, paired
from .labels import LabelFigures, by_label, line, table


@dataclass(frozen=True)
class Assessment:
    """What held-out rows say of a model and of its baseline."""

    metrics: list[Figure]
    """The first is the one to rank models by; each names the baseline's value where it has one."""
    baseline: list[Figure]
    difference: Figure | None
    """Model minus baseline on the first measure (where less is better, baseline minus model), with a paired interval."""
    by_label: list[LabelFigures]
    """Every label by itself."""
    joined: Sequence[Figure] = ()
    """Where a companion answers too: the first measure of the model alone, and by how much it is better with it."""

    @property
    def verdict(self) -> str:
        """Return who wins: "beats the baseline", "baseline wins", "no clear winner"; "no baseline" where there is none."""
        if self.difference is None:
            return "no baseline"
        low, high = self.difference.low, self.difference.high
        if low is not None and low > 0:
            return "beats the baseline"
        return "baseline wins" if high is not None and high < 0 else "no clear winner"


def assess(
    task: Task,
    training: Sequence[Row],
    rows: Sequence[Row],
    answers: Sequence[Answer],
    *,
    source: str,
    report: Report | None = None,
    others: Mapping[str, Sequence[Answer]] | None = None,
) -> Assessment:
    """Judge answers on held-out rows, beside the task's baseline learned from the training rows.

    Args:
        task: any that gives measures.
        training: rows that the model was trained on.
        rows: held-out rows.
        answers: the model's answers to them.
        source: name of the held-out set, for the figures.
        report: where the result is reported.
        others: answers of the baselines to the rows, where they are known already.
    """
    metrics = figures_of(task, rows, answers, source=source)
    labels = by_label(task, rows, answers, source=source)
    others = baseline_answers(task, training, rows) if others is None else others
    # A baseline that answers in another form, as a written text beside the cost of one, cannot be compared.
    found = {name: task.scores(rows, predicted) for name, predicted in others.items()}
    model = task.scores(rows, answers)
    found = {name: one for name, one in found.items() if [m.name for m in one] == [m.name for m in model]}
    if not found:
        result = Assessment(metrics, [], None, labels)
    else:
        beside = next(iter(found.values()))
        difference = _difference(model[0], beside[0], source)
        for place, other in enumerate(beside):
            metrics[place] = replace(metrics[place], baseline=other.value)
        figures = [replace(_figure(one, source), note=name) for name, some in found.items() for one in some]
        result = Assessment([*metrics, difference], figures, difference, labels)
    if result.verdict == "baseline wins":
        result = replace(result, metrics=[replace(metrics[0], note="baseline wins"), *result.metrics[1:]])
    if report:
        if (
            task.head == "causal" and result.baseline
        ):  # what the base said of the rows before it was tuned, with its own interval
            report.ledger(message("work.named", name=term(source), text=result.baseline[0].line()))
        shown = [result.metrics[0], *([] if result.difference is None else [result.difference])]
        told = joined("join.clauses", [figure.line() for figure in shown])
        report.ledger(message("work.judged", source=term(source), figures=told, verdict=term(result.verdict)))
        if labels:
            report.ledger(line(labels))
    return result


def figures_of(task: Task, rows: Sequence[Row], answers: Sequence[Answer], *, source: str) -> list[Figure]:
    """Return every measure of a model's answers with its interval, then the calibration error."""
    figures = [_figure(measure, source) for measure in task.scores(rows, answers)]
    confidence, right = confidences(rows, answers)
    return [*figures, _calibration(confidence, right, source)] if len(right) else figures


def baseline_answers(
    task: Task, training: Sequence[Row], rows: Sequence[Row], companion: NgramCompanion | None = None
) -> dict[str, list[Answer]]:
    """Return the answers of the task's baselines by name, the one to beat first; a task of another package brings its own.

    Args:
        task: of the rows.
        training: rows to learn from.
        rows: what to answer.
        companion: what was fitted to the same training rows, where it is; it is the first baseline of classify.
    """
    own = task.baseline(training, rows)
    if own is not None:
        return {f"the baseline of {task.name}": own}
    return {
        name: companion_answers(task, companion, rows)
        if companion is not None and baseline is classified
        else baseline(task, training, rows)
        for name, baseline in baselines_of(task).items()
    }


def companion_gain(
    task: Task, rows: Sequence[Row], answers: Sequence[Answer], without: Sequence[Answer], *, source: str
) -> list[Figure]:
    """Return the first measure of the model without its companion, and by how much it is better with it, pair by pair.

    Args:
        task: of both.
        rows: held-out rows.
        answers: of the model and its companion together.
        without: of the model alone.
        source: name of the rows.
    """
    first, joined = task.scores(rows, without)[0], task.scores(rows, answers)[0]
    measure = term(first.name)
    return [
        replace(_figure(first, source), name=message("figures.alone", measure=measure)),
        _gain(message("figures.above_alone", measure=measure), joined, first, source),
    ]


def paired_difference(model: Measure, other: Measure, source: str, name: str) -> Figure:
    """Return by how much a model is better than another, called `name`, on the same rows, pair by pair; below zero where it is worse."""
    left, right = (other, model) if model.lower_is_better else (model, other)
    told = message("figures.better_than", measure=term(model.name), model=name)
    return _gain(told, left, right, source)


def _difference(model: Measure, baseline: Measure, source: str) -> Figure:
    left, right = (baseline, model) if model.lower_is_better else (model, baseline)
    measure = term(model.name)
    name = (
        message("figures.below_baseline", measure=measure)
        if model.lower_is_better
        else message("figures.above_baseline", measure=measure)
    )
    return _gain(name, left, right, source)


def _gain(name: Message, better: Measure, other: Measure, source: str) -> Figure:
    """Return by how much one measure lies above another of the same rows, pair by pair."""
    gain = paired(better.counts, other.counts, better.statistic)
    return Figure(
        name,
        gain.value,
        len(better.counts),
        gain.low,
        gain.high,
        source=source,
        level=gain.level,
        note="paired bootstrap over texts",
    )


def _figure(measure: Measure, source: str) -> Figure:
    found = interval(measure.counts, measure.statistic)
    return Figure(
        measure.name, found.value, len(measure.counts), found.low, found.high, unit=measure.unit, source=source
    )


def _calibration(confidence: np.ndarray, right: np.ndarray, source: str, draws: int = 400) -> Figure:
    random = np.random.default_rng(0)
    picks = random.integers(0, len(right), (draws, len(right)))
    found = [calibration_error(confidence[pick], right[pick]) for pick in picks]
    low, high = np.quantile(found, [0.025, 0.975])
    # Bins of few texts make the error of a resample larger than that of the sample, so the ends may stand aside of it.
    value = calibration_error(confidence, right)
    return Figure(
        "calibration error", value, len(right), min(float(low), value), max(float(high), value), source=source
    )


def card(facts: Mapping[str, Any], settings: Mapping[str, Any], sources: Sequence[Source]) -> str:
    """Return a model's card in Markdown, from what its manifest says (Mitchell et al. 2019, "Model Cards")."""
    lines = [
        "---",
        f"license: {facts.get('licence') or 'unknown'}",
        "library_name: transformers",
        "---",
        "",
        f"# {facts['task']}" + (f": {', '.join(facts['labels'])}" if facts.get("labels") else ""),
        "",
        f"{'Pretrained' if 'objective' in facts else 'Fine-tuned'} by Noria {__version__}; base: "
        f"{facts.get('base', 'unnamed')}; {facts.get('parameters', 0):,} parameters.",
        "",
        "## Held-out figures",
        "",
        "| measure | value | interval | n | baseline | source |",
        "|---|---|---|---|---|---|",
    ]
    beaten = "; ".join(dict.fromkeys(raw.get("note") or raw["name"] for raw in facts.get("baseline", []))) or "none"
    for raw in [*facts.get("metrics", []), *facts.get("forgetting", [])]:
        figure = Figure(**raw)
        ends = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
        beside = "" if figure.baseline is None else f"{figure.baseline:.3f}"
        lines.append(f"| {figure.name} | {figure.value:.3f} | {ends} | {figure.n:,} | {beside} | {figure.source} |")
    if known := caveats(facts):
        lines[9:9] = ["## What to know first", "", *(f"- {words[0].upper()}{words[1:]}." for words in known), ""]
    labels = facts.get("by_label") or []
    lines += [
        "",
        f"Baseline: {beaten}. Intervals: bootstrap over texts, 95 %.",
        "",
        *_joined(facts.get("companion")),
        *(["## By label", "", *table(labels), ""] if labels else ()),
        *_mixed(facts.get("mixture")),
        *_seen(facts),
        *(
            ("## Learning curves", "", "![Learning curves](curves.svg)", "")
            if any(facts.get("curves", {}).values())
            else ()
        ),
        *_written(facts.get("sample")),
        "## Made from",
        "",
        "| what | SHA-256 | licence |",
        "|---|---|---|",
        *(f"| {source.name} | {source.sha256[:16]} | {source.licence} |" for source in sources),
        "",
        "## Settings",
        "",
        *(f"- {key}: {value}" for key, value in settings.items()),
        "",
    ]
    return "\n".join(lines)


def _joined(companion: Mapping[str, Any] | None) -> list[str]:
    """Return what answers with the model, and what each of the two is worth, as lines of the card."""
    if not companion:
        return []
    weights = companion["weights"]
    lines = [
        f"Answers are of two models together: this one, whose logits count {weights['model']:.3g} times, and a light one "
        f"({companion['kind']}) in `{companion['file']}`, whose logits count {weights['companion']:.3g} times. The weights were "
        "fitted on valid rows. Plain transformers loads this one alone.",
        "",
    ]
    return ["## Companion", "", *lines, *(f"- {Figure(**raw).text()}" for raw in companion.get("figures", ())), ""]


def _mixed(mixture: Mapping[str, Any] | None) -> list[str]:
    """Return what a language model and an n-gram come to together, as lines of the card."""
    if not mixture:
        return []
    weights = ", ".join(f"{weight:.2f}" for weight in mixture["weights"])
    lines = [
        f"The figures above are of the network alone, which is what plain transformers loads and what generates. `{mixture['file']}` "
        f"is a {mixture['order']}-gram of the same text; for scoring, probabilities of both are mixed. Weight of the network where the "
        f"longest run seen before a token has 0, 1, ... tokens, fitted on valid documents: {weights}.",
        "",
    ]
    return ["## Together with an n-gram", "", *lines, *(f"- {Figure(**raw).text()}" for raw in mixture["figures"]), ""]


def _written(sample: Mapping[str, Any] | None) -> list[str]:
    """Return a sample of what the model writes, as lines of the card."""
    if not sample:
        return []
    lines = []
    for one in sample["texts"]:
        begun, written = (" ".join(one[name].split()) for name in ("prompt", "text"))
        lines += [f"> {f'**{begun}** ' if begun else ''}{written or '(nothing)'}", ""]
    return ["## What it writes", "", "By itself, and after the words in bold.", "", *lines]


def _seen(facts: Mapping[str, Any]) -> list[str]:
    """Return what of the judging texts was seen in training, as lines of the card."""
    lines = [
        f"Of {one['rows']:,} {one['set']} texts {one['same']:,} are also training texts, and {one['near']:,} more nearly repeat some."
        for one in facts.get("leaks", [])
        if one["same"] or one["near"]
    ]
    if facts.get("conflicting_texts"):
        lines.append(f"{facts['conflicting_texts']:,} texts stand in the rows with different labels.")
    return [*lines, ""] if lines else []


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence is from being right, averaged over equal-width bins.

    Sum over bins of (share of texts) x |mean confidence - accuracy| (Guo et al. 2017, equation 5).

    Args:
        confidence: probability given to each answer [texts].
        right: whether the answer was right [texts].
        bins: how many parts [0, 1] is cut into.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def confidences(rows: Sequence[Row], answers: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and whether it was right: of every text's label, of every label or span said; none of written text."""
    pairs: list[tuple[float, bool]] = []
    for row, answer in zip(rows, answers, strict=True):
        if "label" in answer:
            pairs.append((answer["score"], answer["label"] == row["label"]))
        elif "labels" in answer and "scores" in answer:
            pairs += [(answer["scores"][label], label in row["labels"]) for label in answer["labels"]]
        elif "spans" in answer:
            true = span_set(row["spans"])
            pairs += [(s["score"], (s["start"], s["end"], s["label"]) in true) for s in answer["spans"]]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
