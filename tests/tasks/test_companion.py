"""A companion answers as the model that it was fitted by, from its file too; what is joined is never worse than chance allows."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import FolderError
from noria.core.folder import new_folder, read_manifest
from noria.make.evaluate.fusion import LEAST_ROWS, fit_weights
from noria.tasks.classify import Classify
from noria.tasks.companion import FILE, NgramCompanion, add_companion, open_task
from noria.tasks.ngram_classifier import fit_ngrams, tfidf
from noria.tasks.task import Features, Weights, task_for

LABELS = ("bad", "fine", "good")
ZH = {"bad": "差烂糟坏难用", "fine": "一般还行平常", "good": "好棒赞喜欢爱"}
EN = {"bad": ["awful", "it's bad", "no"], "fine": ["so so", "fine", "ok_1"], "good": ["great", "love", "GOOD"]}
KINDS = ("zh", "en", "mixed")
PLAIN = Features([], [], {})


def made(kind: str, count: int, seed: int = 0, labels: tuple[str, ...] = LABELS) -> list[dict]:
    """Return rows whose label shows in a few of their characters or words."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(labels)
        chinese = "".join(draw.choices(ZH[label] + "的了我你这那 \n，", k=draw.randint(1, 12)))
        english = " ".join(draw.choices([*EN[label], "the", "film", "a", "I"], k=draw.randint(1, 8)))
        text = {"zh": chinese, "en": english, "mixed": f"{english}  {chinese}"}[kind]
        rows.append({"text": text if text.strip() else "好", "label": label})
    return rows


def asked(**meta: str) -> Features:
    """Return what a companion reads of a text."""
    return replace(PLAIN, meta=meta)


@pytest.fixture(scope="module", params=[(kind, labels) for kind in KINDS for labels in (LABELS, LABELS[:2])])
def fitted(request: pytest.FixtureRequest) -> tuple[NgramCompanion, object]:
    """A companion, and scikit-learn's pipeline that was fitted to the same rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    kind, labels = request.param
    rows = made(kind, 120, labels=labels)
    texts = [row["text"] for row in rows]
    pipeline = make_pipeline(tfidf(texts), LogisticRegression(C=10.0, max_iter=300, random_state=0))
    return fit_ngrams(Classify(labels), rows), pipeline.fit(texts, [row["label"] for row in rows])


PARTS = st.sampled_from(
    [
        *"".join(ZH.values()),
        *(word for words in EN.values() for word in words),
        " ",
        "\n",
        "\t",
        "，",
        "İ",
        "ß",
        "_",
        "😀",
        "",
    ]
)


@given(text=st.one_of(st.text(max_size=30), st.lists(PARTS, max_size=20).map("".join)))
def test_it_gives_the_probabilities_of_the_pipeline_that_it_was_fitted_by(fitted: tuple, text: str):
    companion, pipeline = fitted
    np.testing.assert_allclose(np.exp(companion.logits(asked(text=text))), pipeline.predict_proba([text])[0], atol=1e-5)


def test_pairs_and_many_labels_are_those_of_scikit_learn():
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression

    first, second = made("mixed", 150, 1), made("mixed", 150, 2)
    rows = [
        {"text": one["text"], "pair": other["text"], "labels": sorted({one["label"], other["label"]})}
        for one, other in zip(first, second, strict=True)
    ]
    companion = fit_ngrams(Classify(LABELS, many=True), rows)
    grams = tfidf([row[name] for row in rows for name in ("text", "pair")])
    grams.fit([row[name] for row in rows for name in ("text", "pair")])
    left, right = (grams.transform([row[name] for row in rows]) for name in ("text", "pair"))
    columns = hstack([left, right, left.multiply(right), abs(left - right)]).tocsr()
    for place, label in enumerate(LABELS):
        regression = LogisticRegression(C=10.0, max_iter=300).fit(columns, [label in row["labels"] for row in rows])
        found = [companion.logits(asked(text=row["text"], pair=row["pair"]))[place] for row in rows]
        np.testing.assert_allclose(found, regression.decision_function(columns), atol=0.02)


def test_labels_that_its_rows_lack_are_unlikely_and_no_more():
    companion = fit_ngrams(Classify(LABELS), made("en", 40, labels=("bad", "good")))
    probabilities = np.exp(companion.logits(asked(text="love")))
    assert probabilities[1] == pytest.approx(0.5 / 41)
    one = fit_ngrams(Classify(("good",)), made("zh", 5, labels=("good",)))
    assert np.exp(one.logits(asked(text="")))[0] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_leaves_out_what_changes_no_answer(kind: str):
    rows, task = made(kind, 400), Classify(LABELS)
    whole = fit_ngrams(task, rows)
    most = sum(one.nbytes for one in whole.tensors().values()) // 2
    small = fit_ngrams(task, rows, most_bytes=most)
    assert 0.3 * len(whole.ngrams.keys) < len(small.ngrams.keys) < 0.8 * len(whole.ngrams.keys)
    same = [np.argmax(one.logits(asked(**row))) for one in (whole, small) for row in made(kind, 200, 3)]
    assert np.mean(np.equal(same[:200], same[200:])) > 0.97


def folder_of(tmp_path: Path, task: Classify) -> Path:
    """Write a folder that holds nothing but a task's facts and its companion."""
    with new_folder(tmp_path / "model", kind="model") as folder:
        folder.facts.update(task.facts())
        add_companion(folder, task)
    return tmp_path / "model"


@pytest.mark.parametrize("many", [False, True])
def test_a_folder_gives_its_companion_back(tmp_path: Path, many: bool):
    rows = made("mixed", 60)
    if many:
        rows = [{"text": row["text"], "labels": [row["label"]]} for row in rows]
    task = Classify(LABELS, many=many, temperature=2.0)
    task = replace(task, companion=replace(fit_ngrams(task, rows), weights=Weights(0.7, 0.4)))
    folder = folder_of(tmp_path, task)
    facts = read_manifest(folder).facts["companion"]
    assert facts == {
        "kind": "ngrams",
        "weights": {"model": 0.7, "companion": 0.4},
        "file": FILE,
        "bytes": (folder / FILE).stat().st_size,
    }
    opened = open_task(folder)
    for text in ("很好", "awful film", ""):
        logits = np.array([0.3, -1.0, 0.2])
        expected = 0.7 * logits / 2 + 0.4 * task.companion.logits(asked(text=text))
        answer = opened.answer(asked(text=text), logits)
        assert answer == task.answer(asked(text=text), logits)
        scores = [answer["scores"][label] for label in LABELS]
        if many:
            np.testing.assert_allclose(scores, 1 / (1 + np.exp(-expected)))
        else:
            np.testing.assert_allclose(scores, np.exp(expected) / np.exp(expected).sum())


def test_a_damaged_companion_is_an_error_and_no_silent_answer(tmp_path: Path):
    task = Classify(LABELS)
    task = replace(task, companion=replace(fit_ngrams(task, made("zh", 30)), weights=Weights(1.0, 1.0)))
    folder = folder_of(tmp_path, task)
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:40] + bytes(len(content) - 40))
    with pytest.raises(FolderError, match=r"companion/model\.safetensors"):
        open_task(folder)
    assert open_task(folder_of(tmp_path / "other", Classify(LABELS))).companion is None


def drawn(count: int, seed: int, *sharpness: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Return logits of models that each see the truth among noise of their own, and the truth."""
    random_ = np.random.default_rng(seed)
    truth = random_.integers(0, 3, count)
    return [random_.normal(0, 1, (count, 3)) + one * np.eye(3)[truth] for one in sharpness], truth


def loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean negative log likelihood."""
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(truth)), truth]))


def test_two_models_that_err_apart_are_joined_and_better_on_new_rows():
    (model, light), truth = drawn(400, 0, 1.5, 1.2)
    found = fit_weights(model, light, truth)
    assert found.kept
    assert found.loss < min(found.model_loss, found.companion_loss)
    (model, light), truth = drawn(2_000, 1, 1.5, 1.2)
    both = loss(found.weights.model * model + found.weights.companion * light, truth)
    assert both < min(loss(model, truth), loss(light, truth))
    assert (
        np.abs(np.array([found.weights.model, found.weights.companion]) - [1.5, 1.2]).max() < 0.3
    )  # Bayes' own weights


@pytest.mark.parametrize("seed", range(4))
def test_what_knows_nothing_is_left_out(seed: int):
    (model, light), truth = drawn(300, seed, 1.5, 0.0)
    assert not fit_weights(model, light, truth).kept
    found = fit_weights(light, model, truth)
    assert found.kept
    assert found.weights.model < 0.2


@pytest.mark.parametrize("count", [1, 3, LEAST_ROWS - 1])
def test_few_rows_fit_no_weights(count: int):
    (model, light), truth = drawn(count, 0, 1.5, 1.2)
    assert fit_weights(model, light, truth).weights == Weights(0.5, 0.5)
    assert not fit_weights(10 * np.eye(3)[truth], light, truth).kept
    assert fit_weights(light, 10 * np.eye(3)[truth], truth).kept


def test_many_labels_share_their_weights():
    random_ = np.random.default_rng(0)
    truth = random_.integers(0, 2, (200, 4)).astype(float)
    model, light = (random_.normal(0, 1, truth.shape) + 2 * truth - 1 for _ in range(2))
    found = fit_weights(model, light, truth.tolist(), many=True)
    assert found.kept
    assert found.weights.model == pytest.approx(2.0, abs=0.5)
    assert found.weights.companion == pytest.approx(2.0, abs=0.5)


def test_a_task_is_told_of_no_companion_by_facts_alone():
    task = task_for("classify", LABELS, companion={"kind": "ngrams"})
    assert task.companion is None
    assert "companion" not in task.facts()
