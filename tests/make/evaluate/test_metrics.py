"""Scores against those of scikit-learn and seqeval; calibration by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.make.evaluate.calibration import fit_temperature
from noria.make.evaluate.card import calibration_error, confidences
from noria.tasks import measure
from noria.tasks.task import softmax, task_for

LABELS = st.sampled_from(["好", "坏", "mixed"])
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30))
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(pairs: list[tuple[str, str]]):
    from sklearn.metrics import accuracy_score, f1_score

    truth, said = map(list, zip(*pairs, strict=True))
    wanted = f1_score(truth, said, average="macro", zero_division=0)
    found = measure.label_measures(truth, said)
    assert [one.value for one in found] == pytest.approx([accuracy_score(truth, said), wanted])


@settings(max_examples=100, deadline=None)
@given(data=st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=12), min_size=1, max_size=6))
def test_span_f1_is_that_of_seqeval(data: list[list[tuple[str, str]]]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from seqeval.metrics import f1_score, precision_score, recall_score

        truth = [[pair[0] for pair in sentence] for sentence in data]
        said = [[pair[1] for pair in sentence] for sentence in data]
        wanted = [score(truth, said) for score in (f1_score, precision_score, recall_score)]
    task = task_for("tag")
    rows, answers = (
        [task.check({"tokens": ["x"] * len(tags), "tags": tags}) for tags in sentences] for sentences in (truth, said)
    )
    found = {one.name: one.value for one in task.scores(rows, answers)}
    assert [found["span F1"], found["precision"], found["recall"]] == pytest.approx(wanted)
    assert task.measures(rows, answers)["span_f1"] == pytest.approx(wanted[0])


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    assert calibration_error(confidence, np.array([1, 1, 1, 0]), bins=10) == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    assert calibration_error(np.array([1.0, 1.0]), np.array([1, 1])) == 0.0
    assert calibration_error(np.array([0.0, 1.0]), np.array([1, 0])) == 1.0


def test_calibration_error_of_honest_confidences_is_small():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 20_000)
    right = random.random(20_000) < confidence
    assert calibration_error(confidence, right) < 0.015
    assert calibration_error(confidence, right * 0) > 0.7


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_used_is_found_again(temperature: float):
    random = np.random.default_rng(1)
    honest = random.normal(0, 2, (6_000, 4))
    chances = softmax(honest).cumsum(axis=1)
    targets = (random.random((6_000, 1)) > chances).sum(axis=1)
    logits = list(honest * temperature)
    assert fit_temperature(logits, [int(target) for target in targets]) == pytest.approx(temperature, rel=0.08)
    tokens = [row.reshape(2, 4).repeat(1, axis=0) for row in np.array(logits).reshape(-1, 8)]
    pairs = [[int(a), int(b)] for a, b in targets.reshape(-1, 2)]
    assert fit_temperature(tokens, pairs) == pytest.approx(fit_temperature(logits, list(targets)), rel=1e-3)


def test_the_temperature_of_many_labels_is_found_too():
    random = np.random.default_rng(3)
    honest = random.normal(0, 2, (3_000, 3))
    targets = (random.random((3_000, 3)) < 1 / (1 + np.exp(-honest))).astype(float)
    assert fit_temperature(list(honest * 2.5), [row.tolist() for row in targets]) == pytest.approx(2.5, rel=0.08)


def test_tokens_that_are_not_scored_do_not_count():
    logits = [np.array([[2.0, 0.0], [9.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])]
    ignoring = fit_temperature(logits, [[0, -100], [1, -100]])
    assert ignoring == fit_temperature([one[:1] for one in logits], [[0], [1]])


def test_confidences_are_those_of_labels_or_of_spans():
    label, right = confidences([{"label": "a"}], [{"label": "b", "score": 0.7}])
    assert (label.tolist(), right.tolist()) == ([0.7], [0.0])
    span = {"start": 0, "end": 1, "label": "PER"}
    score, right = confidences(
        [{"spans": [span]}], [{"spans": [{**span, "score": 0.5}, {**span, "end": 2, "score": 0.4}]}]
    )
    assert (score.tolist(), right.tolist()) == ([0.5, 0.4], [1.0, 0.0])
