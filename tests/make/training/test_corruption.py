"""What is taken out of texts: how much, which words, how it comes back; the same at every asking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError
from noria.make.tokens.batches import IGNORED
from noria.make.tokens.shards import Shards
from noria.make.tokens.special import Special
from noria.make.training.objectives.corruption import (
    Corrupted,
    Rule,
    Windows,
    cut,
    fixed_batches,
    hidden,
    masked,
    spanned,
)

SPECIAL = Special(begin=1, end=2, pad=0, mask=3, sentinels=tuple(range(4, 24)))
ORDINARY = np.arange(24, 300)


@pytest.fixture(scope="module")
def shards() -> Shards:
    random = np.random.default_rng(0)
    documents = [np.array([1, *random.integers(24, 300, random.integers(2, 90)), 2]) for _ in range(40)]
    ends = np.cumsum([len(one) for one in documents])
    return Shards(np.concatenate(documents), ends, np.array([len(one) for one in documents]), "some")


@given(st.lists(st.booleans(), min_size=2, max_size=300), st.integers(0, 1000))
def test_whole_words_are_hidden_or_seen(starts: list[bool], seed: int) -> None:
    flags = np.array([True, *starts[1:]])
    places = hidden(flags, np.random.default_rng(seed))
    words = np.cumsum(flags) - 1
    for word in range(words.max() + 1):
        assert len(set(places[words == word])) == 1
    assert places.any()
    wanted = max(1, round(0.15 * len(flags)))
    smallest = np.bincount(words).min()
    assert places.sum() <= max(wanted, smallest)


def test_a_token_a_word_hides_15_percent() -> None:
    places = hidden(np.ones(200, bool), np.random.default_rng(0))
    assert places.sum() == 30


def test_of_the_hidden_80_percent_are_masked_and_10_stay() -> None:
    ids = np.random.default_rng(1).integers(24, 300, 200_000)
    places = np.random.default_rng(2).random(200_000) < 0.5
    seen = masked(ids, places, 3, ORDINARY, np.random.default_rng(3))
    assert (seen[~places] == ids[~places]).all()
    assert (seen[places] == 3).mean() == pytest.approx(0.8, abs=0.01)
    assert (seen[places] == ids[places]).mean() == pytest.approx(0.1 + 0.1 / len(ORDINARY), abs=0.01)
    assert not set(seen[places]) - {3, *ORDINARY}


@given(st.integers(2, 500), st.integers(0, 1000))
def test_spans_are_15_percent_in_stretches_of_about_three(length: int, seed: int) -> None:
    out = cut(length, np.random.default_rng(seed), 20)
    assert out.sum() == min(max(1, round(0.15 * length)), length - 1)
    assert not out[0]
    spans = (out & ~np.concatenate(([False], out[:-1]))).sum()
    assert 1 <= spans <= min(20, max(1, round(out.sum() / 3)))


@given(st.integers(2, 300), st.integers(0, 1000))
def test_text_and_spans_give_the_window_back(length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = random.integers(24, 300, length)
    text, target = spanned(ids, cut(length, random, 20), SPECIAL)
    assert text[-1] == target[-1] == 2
    spans: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token < 24:
            now = spans[int(token)] = []
        else:
            now.append(int(token))
    found = [other for token in text[:-1] for other in (spans[int(token)] if token < 24 else [int(token)])]
    assert found == ids.tolist()
    assert list(spans) == list(SPECIAL.sentinels[: len(spans)])


def test_windows_cover_every_token_once(shards: Shards) -> None:
    windows = Windows.of(shards, 30)
    assert windows.lengths.max() <= 30
    tokens = np.concatenate([windows[row] for row in range(len(windows))])
    inner = np.concatenate([shards[row][1:-1] for row in range(len(shards))])
    alone = sum((len(shards[row]) - 2) % 30 == 1 for row in range(len(shards)))
    assert len(tokens) == len(inner) - alone
    assert not set(tokens) & {1, 2}
    with pytest.raises(InputError, match="too little text"):
        Windows.of(Shards(np.array([1, 9, 2]), np.array([3]), np.array([3]), "one"), 30)


@pytest.mark.parametrize("spans", [False, True])
def test_any_step_can_be_asked_for_again(shards: Shards, spans: bool) -> None:
    windows, rule = Windows.of(shards, 30), Rule(SPECIAL, ORDINARY, spans)
    first = Corrupted(windows, rule, tokens_per_batch=256, seed=5)
    second = Corrupted(windows, rule, tokens_per_batch=256, seed=5)
    for _ in range(3):
        second.at(40)
    for name, tensor in first.at(7)[0].tensors.items():
        assert tensor.equal(second.at(7)[0].tensors[name])
    steps = {first.at(step)[0].tensors["targets"].numpy().tobytes() for step in range(30)}
    assert len(steps) == 30, "nothing is seen twice the same way"
    other = Corrupted(windows, rule, tokens_per_batch=256, seed=6)
    assert other.fingerprint != first.fingerprint


def test_what_is_judged_is_the_same_each_time_and_all_of_it(shards: Shards) -> None:
    windows, rule = Windows.of(shards, 30), Rule(SPECIAL, ORDINARY, spans=False)
    first, second = (list(fixed_batches(windows, rule, 256, 0)) for _ in range(2))
    assert sum(len(batch.rows) for batch in first) == len(windows)
    assert all(a.tensors["input_ids"].equal(b.tensors["input_ids"]) for a, b in zip(first, second, strict=True))
    ids, targets = first[0].tensors["input_ids"], first[0].tensors["targets"]
    assert (ids[:, 0] == 1).all()
    assert ((targets != IGNORED).sum(1) == 4).all(), "15 % of windows of 30"
