"""The light tagger: its sums are those of all ways to code a text, it is the same from its file, and it knows names it has not met."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.folder import new_folder
from noria.make.evaluate.baseline import tagged
from noria.make.evaluate.chain_tagger import fit_chain
from noria.make.evaluate.fusion import fit_chain_weights
from noria.tasks.chain import BITS, ChainModel, expected, keys_near
from noria.tasks.companion import ChainCompanion, add_companion, open_task
from noria.tasks.names import Names
from noria.tasks.tag import Tag
from noria.tasks.task import Features, Row, Weights

GIVEN, SURNAMES = "明红强丽伟芳军敏杰静", "王李张刘陈杨赵黄周吴"
TOWNS = ["North", "South", "East", "West", "Green", "Stone", "Black", "White"]
TASK = Tag(("LOC", "PER"))


@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_what_a_chain_expects_is_the_mean_over_all_ways_to_code(seed: int, lengths: list[int]):
    draw, codes = np.random.default_rng(seed), 3
    lengths = sorted(lengths, reverse=True)
    scores = draw.normal(0, 2, (len(lengths), lengths[0], codes))
    steps = draw.normal(0, 2, (codes + 1, codes))
    steps[0, 2] = -np.inf
    found = expected(scores, steps, np.array(lengths))
    pairs = np.zeros_like(steps)
    for place, length in enumerate(lengths):
        total, by_code, by_step = 0.0, np.zeros((lengths[0], codes)), np.zeros_like(steps)
        for way in itertools.product(range(codes), repeat=length):
            places = [-1, *way]
            odds = np.exp(
                scores[place, range(length), way].sum()
                + sum(steps[one, two] for one, two in itertools.pairwise(places))
            )
            total += odds
            by_code[range(length), way] += odds
            for one, two in itertools.pairwise(places):
                by_step[one, two] += odds
        assert found.log_total[place] == pytest.approx(np.log(total))
        np.testing.assert_allclose(found.codes[place], by_code / total, atol=1e-9)
        pairs += by_step / total
    np.testing.assert_allclose(found.steps, pairs, atol=1e-9)


def windows(text: str) -> Features:
    """Return a text's characters as tokens, a special token at either end."""
    return Features(
        [0] * (len(text) + 2), [(0, 0), *((one, one + 1) for one in range(len(text))), (0, 0)], {"text": text}
    )


def rows_of(kind: str, count: int, seed: int) -> list[Row]:
    """Return rows with a person and a place, few of which occur twice."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        person = draw.choice(SURNAMES) + "".join(draw.choices(GIVEN, k=draw.randint(1, 2)))
        place = "".join(draw.choices("东西南北山河湖海", k=2)) + draw.choice("市县")
        text, names = f"昨天{person}去了{place}。", [(person, "PER"), (place, "LOC")]
        if kind == "en":
            person = f"{draw.choice('ABCDEF')}{''.join(draw.choices('aeioulmn', k=4))}"
            place = f"{draw.choice(TOWNS)}{draw.choice(['ton', 'ville'])}"
            text, names = f"Yesterday Mr. {person} went to {place}.", [(person, "PER"), (place, "LOC")]
        spans = [
            {"start": text.index(name), "end": text.index(name) + len(name), "label": label} for name, label in names
        ]
        rows.append({"text": text, "spans": sorted(spans, key=lambda span: span["start"])})
    return rows


def fitted(rows: list[Row]) -> ChainCompanion:
    """Return a light tagger of rows."""
    features = [windows(row["text"]) for row in rows]
    targets = [TASK.target(row, one) for row, one in zip(rows, features, strict=True)]
    chain = fit_chain(TASK, rows, features, targets, range(len(rows)), epochs=4)
    return ChainCompanion(chain, len(rows), Weights(0.0, 1.0))


@pytest.fixture(scope="module", params=["zh", "en"])
def light(request: pytest.FixtureRequest) -> tuple[str, ChainCompanion]:
    """A light tagger and what it has learned."""
    return request.param, fitted(rows_of(request.param, 150, 0))


def test_it_knows_names_that_it_has_not_met_and_a_dictionary_does_not(light: tuple[str, ChainCompanion]):
    kind, companion = light
    rows, task = rows_of(kind, 60, 1), replace(TASK, companion=companion)
    found = [task.answer(one, np.zeros((len(one.ids), 5))) for one in (windows(row["text"]) for row in rows)]
    own, dictionary = (task.scores(rows, one)[0].value for one in (found, tagged(TASK, rows_of(kind, 150, 0), rows)))
    assert own > max(0.9, dictionary + 0.05)
    assert all(0.3 < span["score"] <= 1.0 for answer in found for span in answer["spans"])


def test_a_folder_gives_it_back(light: tuple[str, ChainCompanion], tmp_path: Path):
    kind, companion = light
    task = replace(TASK, companion=replace(companion, weights=Weights(0.6, 0.8)), outside_penalty=0.5)
    with new_folder(tmp_path / "model", kind="model") as folder:
        folder.facts.update(task.facts())
        add_companion(folder, task)
    opened = open_task(tmp_path / "model")
    draw = np.random.default_rng(0)
    for row in rows_of(kind, 5, 2):
        one = windows(row["text"])
        logits = draw.normal(0, 3, (len(one.ids), 5))
        assert opened.answer(one, logits) == task.answer(one, logits)
    assert opened.answer(windows(""), np.zeros((2, 5))) == {"spans": []}


@given(text=st.text(st.one_of(st.characters(), st.sampled_from("王明İß😀 \n\tAb1，")), min_size=1, max_size=40))
def test_any_text_is_keys_near_what_stands_near(text: str):
    names = Names.of({"王明": "PER", "Ab": "LOC"})
    places = [(one, one + 1) for one in range(len(text))]
    told = keys_near(text, places, names, TASK.labels)
    assert told.shape[0] == len(text)
    assert ((told >= 0) & (told < 1 << BITS)).all()
    far = keys_near(
        f"{'。' * 100}{text}{'。' * 100}", [(start + 100, end + 100) for start, end in places], names, TASK.labels
    )
    inside = slice(3, len(text) - 3)
    assert (far[inside, :5] == told[inside, :5]).all()


def test_weights_are_those_that_make_codes_likeliest(light: tuple[str, ChainCompanion]):
    kind, companion = light
    draw = np.random.default_rng(0)
    # Some names are left untagged, so that no weights are right of all.
    rows = [{**row, "spans": row["spans"][: 1 + int(draw.random() < 0.7)]} for row in rows_of(kind, 60, 3)]
    features = [windows(row["text"]) for row in rows]
    targets = [TASK.target(row, one) for row, one in zip(rows, features, strict=True)]
    logits = [draw.normal(0, 1, (len(one), 5)) + np.eye(5)[np.maximum(one, 0)] for one in targets]

    def cost(weights: Weights) -> float:
        total = 0.0
        for one, output, codes in zip(features, logits, targets, strict=True):
            kept, places = TASK.tokens(one)
            model = output[kept] - np.log(np.exp(output[kept]).sum(axis=1, keepdims=True))
            scores = weights.model * model + weights.companion * companion.chain(one.meta["text"], places)
            steps = weights.companion * companion.chain.steps + TASK.steps
            true = np.array(codes)[kept]
            way = scores[range(len(true)), true].sum() + steps[[-1, *true[:-1]], true].sum()
            total += expected(scores[None], steps, np.array([len(true)])).log_total[0] - way
        return total

    found = fit_chain_weights(TASK, companion.chain, features, logits, targets)
    assert found.model > 0
    assert found.companion > 0
    for by in (0.9, 1.1):
        assert cost(found) < cost(replace(found, model=by * found.model))
        assert cost(found) < cost(replace(found, companion=by * found.companion))


def test_rows_without_a_token_are_learned_from_and_a_bound_is_kept():
    assert isinstance(fitted([{"text": " ", "spans": []}]).chain, ChainModel)
    rows = rows_of("zh", 50, 0)
    features = [windows(row["text"]) for row in rows]
    targets = [TASK.target(row, one) for row, one in zip(rows, features, strict=True)]
    chain = fit_chain(TASK, rows, features, targets, range(50), most_bytes=1_400)
    assert len(chain.keys) == 100
