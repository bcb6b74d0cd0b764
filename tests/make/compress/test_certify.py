"""The certificate: agreement counted right, speed measured in turns, and a refusal where the rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError, Refused, SettingError
from noria.core.figure import Figure
from noria.make.compress.certify import (
    Certificate,
    Forward,
    Judge,
    agreement,
    batches,
    certify,
    median_interval,
    ratio_of_sums,
    speed,
)
from noria.make.compress.settings import CompressSettings
from noria.tasks.task import Features, task_for

LABELS = ("negative", "positive")
TASK = task_for("classify", LABELS)
TEXTS = [Features([number, *[1] * (number % 7)], [], {"text": str(number)}) for number in range(200)]
SETTINGS = CompressSettings(rounds=6)


class Watch:
    """A clock that models move on: what other programs do to the machine does not count."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def model(self, seconds: Callable[[int], float], wrong: int = 0) -> Forward:
        """Return a classifier whose `turn`-th batch takes `seconds(turn)`: positive for even first ids, but for the first `wrong`."""
        turns = count()

        def forward(batch: Sequence[Features]) -> list[np.ndarray]:
            self.now += seconds(next(turns))
            said = [(one.ids[0] % 2 == 0) != (one.ids[0] < wrong) for one in batch]
            return [np.array([-1.0, 1.0]) if positive else np.array([1.0, -1.0]) for positive in said]

        return forward


def certified(
    slow: float = 4, fast: float = 1, wrong: int = 0, judge: Judge | None = None, settings: CompressSettings = SETTINGS
) -> Certificate:
    watch = Watch()
    reference, candidate = watch.model(lambda turn: slow), watch.model(lambda turn: fast, wrong)
    return certify(TASK, TEXTS, reference, candidate, sizes=(400, 100), settings=settings, judge=judge, clock=watch)


def test_a_faster_model_with_the_same_answers_is_certified():
    found = certified()
    assert found.passed
    assert found.reasons == ()
    assert (found.figure("agreement").value, found.figure("agreement").n) == (1.0, 200)
    for name in ("speed in batches", "speed of one text"):
        figure = found.figure(name)
        assert (figure.low, figure.value, figure.high, figure.n) == (4, 4, 4, 6)
        assert figure.level >= 0.95
    assert (found.figure("size").value, found.figure("size").baseline) == (100, 400)
    assert Certificate.from_dict(found.as_dict()) == found
    assert found.or_refuse() is found


def test_other_answers_are_refused():
    spoilt = certified(wrong=20)
    assert not spoilt.passed
    assert spoilt.figure("agreement").value == 0.9
    assert spoilt.reasons == ("agreement 0.9 is below 0.97",)
    with pytest.raises(
        Refused, match=r"^no certificate: agreement 0\.9 is below 0\.97: the trained model still serves$"
    ):
        spoilt.or_refuse()
    assert certified(wrong=20, settings=SETTINGS.replace(agreement=0.85)).passed


def test_a_slower_model_is_refused():
    found = certified(slow=1, fast=4)
    assert not found.passed
    assert [reason.split(" may")[0] for reason in found.reasons] == ["speed in batches", "speed of one text"]


def test_a_model_that_is_only_sometimes_faster_is_refused():
    watch = Watch()
    fickle = watch.model(lambda turn: (0.5, 3.0)[turn // 8 % 2])
    batched, alone = speed(TEXTS, watch.model(lambda turn: 1.0), fickle, SETTINGS, watch)
    assert alone.low < 1 < alone.high
    assert batched.n == alone.n == 6


def test_the_two_take_turns_in_an_order_that_changes():
    order = []
    speed(TEXTS, lambda batch: order.append("a") or [], lambda batch: order.append("b") or [], SETTINGS)
    in_batches = "".join(order[: 2 + 2 * 6])
    assert in_batches == "ab" + "ab" + "ba" + "ab" + "ba" + "ab" + "ba"


def test_a_loss_against_the_truth_is_refused():
    def judge(low: float) -> Judge:
        return lambda known, said: [
            Figure("accuracy", 0.9, 200),
            Figure("accuracy above trained model", -0.01, 200, low, 0),
        ]

    assert certified(judge=judge(-0.015)).passed
    found = certified(judge=judge(-0.03))
    assert found.reasons == ("accuracy above trained model may be as low as -0.0300, below -0.02",)


def test_many_labels_agree_where_all_of_them_are_the_same():
    known = [{"labels": ["a", "b"]}, {"labels": []}, {"labels": ["a"]}, {"labels": ["b"]}]
    other = [{"labels": ["a", "b"]}, {"labels": []}, {"labels": ["b"]}, {"labels": ["b"]}]
    assert agreement(task_for("classify", LABELS, many=True), known, other).value == 0.75


def test_rows_read_in_windows_are_compared_whole():
    watch = Watch()
    task = task_for("tag", ("place",))
    parts = [
        Features([1], [(0, 1)], {"text": "甲乙", "owns": (0, 1)}),
        Features([2], [(1, 2)], {"text": "甲乙", "owns": (1, 2)}),
    ]

    def forward(batch: Sequence[Features]) -> list[np.ndarray]:
        watch.now += 1
        return [np.array([[0.0, 9.0, 0.0]]) for _ in batch]

    seen = []
    found = certify(
        task,
        parts * 3,
        forward,
        forward,
        sizes=(4, 1),
        settings=SETTINGS,
        owners=[0, 0, 1, 1, 2, 2],
        judge=lambda known, said: seen.append(known) or [],
        clock=watch,
    )
    assert found.figure("agreement").n == 3
    assert [[span["text"] for span in answer["spans"]] for answer in seen[0]] == [["甲", "乙"]] * 3


def test_spans_agree_by_jaccard():
    task = task_for("tag", ("person", "place"))

    def said(*spans: tuple[int, int, str]) -> dict:
        return {"spans": [{"start": start, "end": end, "label": label} for start, end, label in spans]}

    known = [said((0, 2, "person"), (5, 7, "place")), said(), said((1, 2, "place"))]
    other = [said((0, 2, "person"), (5, 8, "place")), said(), said((1, 2, "person"))]
    # One span in common, and five that either found.
    assert agreement(task, known, other).value == pytest.approx(1 / 5)
    assert agreement(task, known, known).value == 1.0
    nothing = agreement(task, [said()] * 3, [said()] * 3)
    assert (nothing.value, nothing.low, nothing.high) == (1.0, 1.0, 1.0)


def test_embeddings_agree_by_cosine():
    found = agreement(
        task_for("embed"), [{"embedding": [1.0, 0.0]}] * 2, [{"embedding": [1.0, 0.0]}, {"embedding": [0.6, 0.8]}]
    )
    assert found.value == pytest.approx(0.8)


def test_the_interval_of_a_ratio_covers_it():
    random = np.random.default_rng(0)
    inside = 0
    for trial in range(60):
        bottoms = random.poisson(4, 80).astype(float)
        tops = random.binomial(bottoms.astype(int), 0.8).astype(float)
        _, low, high = ratio_of_sums(tops, bottoms, trial, draws=300)
        inside += low <= 0.8 <= high
    assert inside >= 50


def test_the_median_interval_by_table():
    # Ranks and coverage from the binomial table with p = 1/2.
    assert median_interval(range(1, 7)) == (3.5, 1, 6, 0.96875)
    assert median_interval(range(1, 10)) == (5.0, 2, 8, 1 - 2 * (1 + 9) / 2**9)
    assert median_interval([3, 1, 2])[1:] == (1, 3, 0.75)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=60))
def test_batches_hold_every_text_once_and_are_bounded(lengths: list[int]):
    found = batches(lengths, 4_096)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or max(lengths[place] for place in batch) * len(batch) <= 4_096 for batch in found)


def test_bad_input_is_plain_errors():
    given = {"sizes": (4, 1), "settings": SETTINGS}
    with pytest.raises(InputError, match="no text to certify on"):
        certify(TASK, [], Watch().model(float), Watch().model(float), **given)
    with pytest.raises(SettingError, match="cannot be certified: found 'complete'"):
        certify(task_for("causal"), TEXTS, Watch().model(float), Watch().model(float), **given)
