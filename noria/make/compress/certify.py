"""The certificate of a compressed model: same answers as the trained one within a bound, faster, smaller; or a refusal.

Both models answer the same held-out texts, then run in turns on the same batches. The rule, fixed beforehand:

    agreement >= bound, and the first measure falls by no more than `loss` (lower end of its paired interval), and
    the lower end of the speed ratio is above 1, in batches and for one text alone.

Agreement is the share of texts with the same label, or labels; of spans found by either that both found (Jaccard); the mean cosine
of embeddings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import comb
from typing import Any

import numpy as np

from noria.core.caveats import certificate_texts
from noria.core.errors import InputError, Refused, SettingError
from noria.core.figure import Figure, proportion
from noria.core.messages import Message, joined, message, term
from noria.core.progress import Report
from noria.machine import cores, isa, processor
from noria.tasks.task import Answer, Features, Task

from .settings import CompressSettings

Forward = Callable[[Sequence[Features]], list[np.ndarray]]
"""Texts of a batch, or pairs, as the models see them -> logits of each."""
Clock = Callable[[], float]
Judge = Callable[[list[Answer], list[Answer]], list[Figure]]
"""Answers of the trained and of the compressed model -> measures, the last one their paired difference on the first."""

BATCHED, ALONE = "speed in batches", "speed of one text"
DIFFER = "answers that differ alone and in batches"


@dataclass(frozen=True)
class Pair:
    """How two engines of one folder are judged."""

    single: Forward | None
    """What answers a text alone, where that is not the trained model."""
    trained: str = ""
    """The speed that need not rise, for the trained model itself answers there: `BATCHED`, `ALONE` or neither."""


BOUNDS = {"classify": 0.97, "tag": 0.93, "embed": 0.97}
BATCH_TOKENS = 4_096
TIMED_TOKENS, TIMED_ALONE = 1_024, 6
"""Tokens that are timed in batches in every round, and texts that are timed one by one."""


@dataclass(frozen=True)
class Certificate:
    """What was found, and whether it is enough."""

    passed: bool
    rule: str
    reasons: tuple[str, ...]
    """Why it was refused; empty where it passed."""
    figures: tuple[Figure, ...]
    machine: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict, the content of `certificate.json`."""
        kept = [text.as_dict() if isinstance(text, Message) else None for text in (self.rule, *self.reasons)]
        return {
            "passed": self.passed,
            "rule": self.rule,
            "reasons": list(self.reasons),
            "figures": [figure.as_record() for figure in self.figures],
            "machine": self.machine,
            "messages": kept,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Certificate:
        """Return the certificate that `as_dict` gave this value for."""
        figures = tuple(Figure(**figure) for figure in value["figures"])
        rule, *reasons = certificate_texts(value)
        return cls(value["passed"], rule, tuple(reasons), figures, dict(value["machine"]))

    def figure(self, name: str) -> Figure:
        """Return the figure of that name."""
        return next(figure for figure in self.figures if figure.name == name)

    @property
    def only_slow(self) -> bool:
        """Whether it was refused, and for its speed alone."""
        slow = [isinstance(one, Message) and one.code == "certificate.no_faster" for one in self.reasons]
        return bool(slow) and all(slow)

    def or_refuse(self) -> Certificate:
        """Return itself if it passed.

        Raises:
            Refused: it did not; says why.
        """
        if not self.passed:
            raise Refused(
                message("make.no_certificate", reasons=joined("join.clauses", self.reasons)),
                hint=message("make.trained_model"),
            )
        return self


def certify(
    task: Task,
    features: Sequence[Features],
    reference: Forward,
    candidate: Forward,
    *,
    sizes: tuple[int, int],
    settings: CompressSettings,
    pair: Pair | None = None,
    owners: Sequence[int] | None = None,
    expected: list[Answer] | None = None,
    judge: Judge | None = None,
    source: str = "held-out texts",
    threads: int | None = None,
    report: Report | None = None,
    clock: Clock = time.perf_counter,
) -> Certificate:
    """Compare a compressed model with the trained one on held-out texts.

    Args:
        task: of both models.
        features: the texts, as the models see them.
        reference: the trained model.
        candidate: the compressed one.
        sizes: bytes of the trained and of the compressed weights.
        settings: bounds, rounds of timing.
        pair: where the candidate is two engines: each of them is to agree.
        owners: the row that each text is a window of, in order, where rows are read in windows; by default each is a row.
        expected: the trained model's answers, as `answers` gives them, where they are there already.
        judge: measures both against the truth; without it answers are compared with each other only.
        source: name of the texts, for the figures.
        threads: that both run on, for the record.
        report: where progress goes.
        clock: seconds, from wherever.

    Raises:
        InputError: there is no text.
        SettingError: the task has no agreement.
    """
    if task.name not in BOUNDS:
        raise SettingError(message("make.task_cannot"), found=task.name, allowed=BOUNDS)
    if not features:
        raise InputError(message("make.text_certify"), hint=message("make.give_held"))
    models = (1 if expected is not None else 2) + (pair is not None and pair.single is not None)
    bound = BOUNDS[task.name] if settings.agreement is None else settings.agreement
    with (report or Report()).bar("certify", total=models * len(features) + 2 * settings.rounds, unit="texts") as bar:
        if expected is None:
            expected = answers(task, features, reference, bar.advance, owners)
        lone = answers(task, features, pair.single, bar.advance, owners, 1) if pair and pair.single else None
        found = None if lone is None else _judged(task, expected, lone, judge, source, settings)
        unlike = (
            []
            if found is None
            else [message("certificate.alone", text=one) for one in _unlike(*found, bound, settings)]
        )
        # Of two engines whose first is refused the second is not asked: it is certified by itself.
        predicted = lone if lone is not None and unlike else answers(task, features, candidate, bar.advance, owners)
        batched, alone = speed(features, reference, candidate, settings, clock, bar.advance)
    same, measured = _judged(task, expected, predicted, judge, source, settings)
    unlike = unlike or _unlike(same, measured, bound, settings)
    more = [] if lone is None or found is None or predicted is lone else _of_one(task, found, predicted, lone, settings)
    size = Figure("size", sizes[1], 1, unit="bytes", baseline=sizes[0], source="files of the weights")
    slow = _slow([one for one in (batched, alone) if pair is None or one.name != pair.trained])
    rule = message("certificate.rule", bound=bound)
    if measured:
        rule = message("certificate.rule_measured", bound=bound, measure=term(measured[-1].name), loss=settings.loss)
    rule = rule if pair is None else message("certificate.rule_pair", rule=rule)
    reasons = (*unlike, *slow)
    return Certificate(not reasons, rule, reasons, (same, *measured, batched, alone, size, *more), machine(threads))


def _judged(
    task: Task,
    expected: list[Answer],
    predicted: list[Answer],
    judge: Judge | None,
    source: str,
    settings: CompressSettings,
) -> tuple[Figure, list[Figure]]:
    """Return the agreement of answers with the trained model's, and what measures both against the truth."""
    same = agreement(task, expected, predicted, source=source, seed=settings.seed)
    return same, judge(expected, predicted) if judge else []


def _of_one(
    task: Task,
    found: tuple[Figure, list[Figure]],
    predicted: list[Answer],
    lone: list[Answer],
    settings: CompressSettings,
) -> list[Figure]:
    """Return the figures of what answers a text alone, and how far that is otherwise than in batches."""
    same = agreement(task, predicted, lone, source=found[0].source, seed=settings.seed)
    assert same.low is not None
    assert same.high is not None
    differ = (1 - same.value, same.n, 1 - same.high, 1 - same.low)
    named = [replace(one, name=message("figures.one_alone", measure=term(one.name))) for one in (found[0], *found[1])]
    return [*named, Figure(DIFFER, *differ, source=same.source)]


def answers(
    task: Task,
    features: Sequence[Features],
    forward: Forward,
    advance: Callable[[float], None],
    owners: Sequence[int] | None = None,
    tokens: int = BATCH_TOKENS,
) -> list[Answer]:
    """Return the answer to every text, or to every row whose windows they are, computed in batches of like length."""
    found: list[Answer] = [{} for _ in features]
    for places in batches([len(one.ids) for one in features], tokens):
        for place, logits in zip(places, forward([features[place] for place in places]), strict=True):
            found[place] = task.answer(features[place], logits)
        advance(len(places))
    if owners is None:
        return found
    rows = groupby(zip(owners, found, strict=True), key=lambda one: one[0])
    return [task.join([answer for _, answer in windows]) for _, windows in rows]


def batches(lengths: Sequence[int], tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Return places of texts, longest first, in batches of at most `tokens` with padding."""
    found: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= tokens:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def agreement(
    task: Task, expected: Sequence[Answer], predicted: Sequence[Answer], *, source: str = "", seed: int = 0
) -> Figure:
    """Return how far two models give the same answers; see the module's first lines for the unit of each task."""
    if task.name == "classify":
        same = sum(_labels(one) == _labels(two) for one, two in zip(expected, predicted, strict=True))
        return proportion("agreement", same, len(expected), source=source)
    if task.name == "tag":
        pairs = [_spans(one, two) for one, two in zip(expected, predicted, strict=True)]
    else:
        pairs = [
            (float(np.dot(one["embedding"], two["embedding"])), 1.0)
            for one, two in zip(expected, predicted, strict=True)
        ]
    tops, bottoms = np.array(pairs, np.float64).T
    value, low, high = ratio_of_sums(tops, bottoms, seed)
    return Figure("agreement", value, len(pairs), low, high, source=source)


def _labels(answer: Mapping[str, Any]) -> object:
    return answer["labels"] if "labels" in answer else answer["label"]


def _spans(one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[float, float]:
    left, right = ({(span["start"], span["end"], span["label"]) for span in answer["spans"]} for answer in (one, two))
    return len(left & right), len(left | right)


def ratio_of_sums(tops: np.ndarray, bottoms: np.ndarray, seed: int, draws: int = 2_000) -> tuple[float, float, float]:
    """Return sum of tops / sum of bottoms with its 95 % percentile interval, texts drawn anew (Efron and Tibshirani 1993).

    Where there is nothing to agree on, bottoms all zero, agreement is 1.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        counts = np.bincount(random.integers(0, len(tops), len(tops)), minlength=len(tops))
        below = counts @ bottoms
        found.append(counts @ tops / below if below else 1.0)
    value = tops.sum() / bottoms.sum() if bottoms.sum() else 1.0
    low, high = np.quantile(found, [0.025, 0.975])
    return float(value), float(low), float(high)


def speed(
    features: Sequence[Features],
    reference: Forward,
    candidate: Forward,
    settings: CompressSettings,
    clock: Clock = time.perf_counter,
    advance: Callable[[float], None] = lambda texts: None,
) -> tuple[Figure, Figure]:
    """Return how many times faster the candidate is, in batches and for one text alone.

    The two run in turns on the same texts, in an order that changes from round to round, so that what else the machine does
    falls on both. The figure is the median over rounds with an interval from rank to rank.
    """
    random = np.random.default_rng(settings.seed)
    texts = [features[pick] for pick in random.permutation(len(features))]
    texts = texts[: 1 + int(np.searchsorted(np.cumsum([len(one.ids) for one in texts]), TIMED_TOKENS))]
    together = [[texts[place] for place in places] for places in batches([len(one.ids) for one in texts])]
    alone = [[one] for one in texts[:TIMED_ALONE]]
    figures = []
    for name, work in ((BATCHED, together), (ALONE, alone)):
        for forward in (reference, candidate):
            seconds(forward, work, clock)  # what is made on first use is not timed
        ratios = []
        for turn in range(settings.rounds):
            pair = {"reference": reference, "candidate": candidate}
            order = list(pair) if turn % 2 == 0 else list(pair)[::-1]
            took = {which: seconds(pair[which], work, clock) for which in order}
            ratios.append(took["reference"] / took["candidate"])
            advance(1)
        figures.append(ratio(name, ratios))
    return figures[0], figures[1]


def seconds(forward: Forward, work: Sequence[Sequence[Features]], clock: Clock) -> float:
    """Return how long the batches take one after the other."""
    start = clock()
    for batch in work:
        forward(batch)
    return clock() - start


def ratio(name: str, ratios: Sequence[float]) -> Figure:
    """Return the figure of a speed ratio over rounds: its median, with the interval of `median_interval`."""
    value, low, high, level = median_interval(ratios)
    return Figure(
        name, value, len(ratios), low, high, unit="times", level=level, source="rounds in turns with the trained model"
    )


def median_interval(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the median, the narrowest interval from rank to rank that holds it at 95 % or more, and its exact coverage.

    It assumes nothing of the distribution: a round that another program disturbed moves it by one rank at most (Conover
    1999, "Practical Nonparametric Statistics", 3.2). Fewer than six values reach no 95 %: the whole range then, with less.
    """
    ordered, n = sorted(values), len(values)
    rank, missed = 0, 0.5 ** (n - 1)
    # P(median outside ranks k+1 .. n-k) = 2 P(Binomial(n, 1/2) <= k)
    while rank + 1 < n / 2 and (more := missed + comb(n, rank + 1) * 0.5 ** (n - 1)) <= 0.05:
        rank, missed = rank + 1, more
    return float(np.median(ordered)), ordered[rank], ordered[n - 1 - rank], 1 - missed


def _unlike(same: Figure, measured: Sequence[Figure], bound: float, settings: CompressSettings) -> list[Message]:
    reasons, loss = [], settings.loss
    if same.value < bound:
        reasons.append(message("certificate.disagrees", agreement=same.value, bound=bound))
    if measured and measured[-1].low is not None and measured[-1].low < -loss:
        reasons.append(message("certificate.worse", measure=term(measured[-1].name), low=measured[-1].low, loss=loss))
    return reasons


def _slow(speeds: Sequence[Figure]) -> list[Message]:
    return [
        message("certificate.no_faster", measure=term(one.name), value=one.value, low=one.low)
        for one in speeds
        if one.low is not None and one.low <= 1
    ]


def machine(threads: int | None) -> dict[str, Any]:
    """Return what the figures of speed depend on."""
    return {"processor": processor(), "isa": isa(), "cores": cores(), "threads": threads or cores()}
