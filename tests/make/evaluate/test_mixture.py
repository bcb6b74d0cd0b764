"""A network and an n-gram together: no worse than either where weights are fitted, and the weights that were hidden are found."""

from __future__ import annotations

import numpy as np
import pytest

from noria.make.evaluate.language import by_document
from noria.make.evaluate.mixture import Mixture, compared, fit


@pytest.mark.parametrize("seed", range(5))
def test_together_they_cost_no_more_than_the_better_on_what_was_fitted(seed: int) -> None:
    random = np.random.default_rng(seed)
    network, ngram = random.exponential(5, 5_000), random.exponential(random.uniform(2, 9), 5_000)
    seen = random.integers(0, 4, 5_000)
    mixture = fit(network, ngram, seen, order=4)
    assert all(0 < weight < 1 for weight in mixture.weights)
    assert mixture.bits(network, ngram, seen).sum() <= min(network.sum(), ngram.sum())


def test_what_is_never_seen_counts_as_all_together_and_a_useless_partner_by_little() -> None:
    network, ngram = np.full(4_000, 2.0), np.where(np.arange(4_000) < 2_000, 1.0, 12.0)
    seen = np.repeat([2, 1], 2_000)
    mixture = fit(network, ngram, seen, order=4)
    (overall,) = fit(network, ngram, np.zeros(4_000, dtype=np.int64), order=1).weights
    assert mixture.weights[0] == mixture.weights[3] == pytest.approx(overall, abs=0.02)
    assert mixture.weights[2] < 0.1 < 0.9 < mixture.weights[1]


def test_a_weight_of_one_or_nothing_is_one_of_the_two_alone() -> None:
    network, ngram = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    seen = np.array([0, 1, 0])
    np.testing.assert_allclose(Mixture((1.0, 0.0)).bits(network, ngram, seen), [1.0, 5.0, 3.0])


def test_differences_are_those_of_the_totals() -> None:
    random = np.random.default_rng(0)
    tokens = random.integers(1, 30, 100)
    network, ngram = random.exponential(3, tokens.sum()), random.exponential(4, tokens.sum())
    one, other, both = (by_document(bits, tokens) for bits in (network, ngram, np.minimum(network, ngram)))
    sizes = tokens * 3
    first, below, gained, beside = compared(one, other, both, sizes, order=5, source="test")
    assert one.sum() == pytest.approx(network.sum())
    assert first.value == pytest.approx(both.sum() / sizes.sum())
    assert below.value == pytest.approx((ngram.sum() - network.sum()) / sizes.sum())
    assert gained.value == pytest.approx(below.value + beside.value)
    assert all(figure.low < figure.value < figure.high for figure in (first, below, gained, beside))
