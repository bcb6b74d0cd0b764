"""Comparing groups: published intervals and tables, and laws that every comparison keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, dunnett, multivariate_normal, ttest_ind

from noria.core.errors import SettingError
from noria.grow.promote.balance import balance
from noria.grow.promote.difference import Arm, arm_of_units, difference, difference_of_proportions, fieller
from noria.grow.promote.several import benjamini_hochberg, dunnett_probability, dunnett_quantile, holm


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 873-890, Table II, method 10
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombe_s_published_intervals(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = difference_of_proportions(*counts)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_a_difference_of_rates_lies_in_its_interval_and_turns_with_its_groups(
    n: int, m: int, data: st.DataObject
) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    one, other = difference_of_proportions(a, n, b, m), difference_of_proportions(b, m, a, n)
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert 0 <= one.p <= 1


def test_means_are_welch_s() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(1, 2, 40), random.normal(0, 1, 25)
    found = difference(arm_of_units("b", one), arm_of_units("a", other), level=0.9)
    oracle = ttest_ind(one, other, equal_var=False)
    interval = oracle.confidence_interval(0.9)
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.method == "welch"


def test_a_ratio_has_the_delta_method_s_error() -> None:
    """Simulated: the spread of a ratio over 3,000 experiments is what one experiment tells of it."""
    random = np.random.default_rng(3)
    views = 1 + random.poisson(4, (3000, 200)) * random.integers(1, 4, (3000, 200))
    taste = random.beta(2, 8, (3000, 200))
    clicks = random.binomial(views, taste)
    ratios = clicks.sum(1) / views.sum(1)
    arms = [arm_of_units("x", clicks[row].astype(float), views[row].astype(float)) for row in range(300)]
    assert np.mean([arm.variance for arm in arms]) == pytest.approx(ratios.var(), rel=0.08)
    naive = np.mean(ratios * (1 - ratios) / views.sum(1))
    assert naive < 0.8 * ratios.var()  # taking each view for independent would promise too much


@given(st.floats(0.5, 50), st.floats(1e-4, 1), st.floats(-50, 50), st.floats(1e-4, 1))
def test_fieller_s_interval_holds_the_ratio_or_says_none(bottom: float, bv: float, top: float, tv: float) -> None:
    found = fieller(top, tv, bottom, bv)
    if found is None:
        assert 1.96**2 * bv >= bottom**2 * 0.999
    else:
        assert found[1] <= found[0] <= found[2]


def test_dunnett_s_published_table() -> None:
    # Dunnett (1964), New tables for multiple comparisons with a control, Biometrics 20, two-sided, 5 %, equal groups
    table = {
        10: (2.23, 2.57, 2.76, 2.89),
        20: (2.09, 2.38, 2.54, 2.65),
        60: (2.00, 2.27, 2.41, 2.51),
        np.inf: (1.96, 2.21, 2.35, 2.44),
    }
    for freedom, row in table.items():
        found = [dunnett_quantile(0.95, [0.5**0.5] * k, freedom) for k in (1, 2, 3, 4)]
        assert found == [pytest.approx(value, abs=0.006) for value in row]


def test_dunnett_agrees_with_scipy_on_raw_samples() -> None:
    random = np.random.default_rng(5)
    groups = [random.normal(mean, 1, size) for mean, size in ((0.0, 30), (0.5, 20), (0.8, 25))]
    oracle = dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0))
    pooled = sum(((group - group.mean()) ** 2).sum() for group in groups) / (75 - 3)
    loadings = [np.sqrt((1 / 30) / (1 / 30 + 1 / size)) for size in (20, 25)]
    for place, size in enumerate((20, 25)):
        far = abs(groups[place + 1].mean() - groups[0].mean()) / np.sqrt(pooled * (1 / 30 + 1 / size))
        assert 1 - dunnett_probability(far, loadings, 72) == pytest.approx(oracle.pvalue[place], abs=2e-4)


def test_dunnett_with_unequal_loadings_is_the_normal_integral() -> None:
    loadings = np.array([0.3, 0.6, 0.9])
    correlation = np.outer(loadings, loadings) + np.diag(1 - loadings**2)
    box = multivariate_normal(np.zeros(3), correlation, seed=1).cdf(np.full(3, 2.2), lower_limit=np.full(3, -2.2))
    assert dunnett_probability(2.2, loadings) == pytest.approx(float(box), abs=2e-4)


def test_adjusted_p_values_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Benjamini and Hochberg (1995), section 3.2: fifteen p values of which the first four are findings at 5 %
    published = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    assert (benjamini_hochberg(published) <= 0.05).sum() == 4
    assert (holm(published) <= 0.05).sum() == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_keep_their_order_and_never_fall(p: list[float]) -> None:
    for raised in (holm(p), benjamini_hochberg(p)):
        assert (raised >= np.array(p) - 1e-15).all()
        assert (raised <= 1).all()
        assert (np.diff(raised[np.argsort(p)]) >= -1e-15).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-15).all()


def test_a_published_sample_ratio_mismatch() -> None:
    # Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, chapter 21: p = 1.8E-6
    found = balance({"control": 821_588, "treated": 815_482})
    assert found.p == pytest.approx(1.8e-6, abs=0.05e-6)
    assert not found.sound
    assert "mismatch" in found.text()
    assert "失衡" in found.text()["zh"]


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ((5000, 5030), "as meant"),
        ((44_700, 45_489), "doubtful"),  # p = 0.0087: called "as meant" once
        ((5000, 5199), "doubtful"),  # p = 0.0499
        ((5000, 5195), "as meant"),  # p = 0.0548
        ((821_588, 815_482), "mismatch"),
    ],
)
def test_sizes_are_as_meant_doubtful_or_a_mismatch(counts: tuple[int, int], state: str) -> None:
    found = balance(dict(zip(("control", "treated"), counts, strict=True)))
    assert found.state == found.as_dict()["state"] == state
    assert found.p == pytest.approx(binomtest(counts[0], sum(counts)).pvalue)
    assert found.sound == (state == "as meant")
    word = {"as meant": ("as meant", "符合设计"), "doubtful": ("doubtful", "存疑"), "mismatch": ("mismatch", "失衡")}[
        state
    ]
    assert word[0] in found.text()
    assert word[1] in found.text()["zh"]
    assert bool(found.doubt) == (state != "as meant")


def test_shares_that_were_meant_are_those_compared_with() -> None:
    assert balance({"a": 900, "b": 100}, [9, 1]).sound
    assert not balance({"a": 900, "b": 100}).sound
    assert balance({"a": 500, "b": 480, "c": 520}).p == pytest.approx(
        0.4493, abs=1e-4
    )  # exp(-0.8), 2 degrees of freedom
    few = balance({"a": 3, "b": 2, "c": 0}, [1, 1, 1])
    assert few.p == pytest.approx(
        0.3868, abs=0.006
    )  # 94 of 243 outcomes lie as far out: 60 of (3,2,0), 30 of (4,1,0), 3 of (5,0,0)
    with pytest.raises(SettingError, match="shares meant do not fit"):
        balance({"a": 1, "b": 1}, [1.0])


@pytest.mark.parametrize("variance", [float("nan"), 0.0])
def test_one_user_or_no_spread_gives_no_silent_nan(variance: float) -> None:
    found = difference(Arm("b", 1, 2.0, variance), Arm("a", 1, 1.0, variance))
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)
    none = difference_of_proportions(0, 8, 38, 40)
    assert (none.lift, none.lift_low) == (pytest.approx(-1.0), None)  # no spread seen: no interval of the lift
    same = difference(Arm("b", 9, 1.0, 0.0), Arm("a", 9, 1.0, 0.0))
    assert (same.value, same.p) == (0.0, 1.0)
