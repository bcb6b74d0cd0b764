"""The parts of a recommender against what they are by definition: dense formulas, scikit-learn, and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import shops
from sklearn.metrics import ndcg_score

from noria.infer.item_text import TextPlaces, buckets_of
from noria.infer.signals import SIGNALS, History, Join, Links, relative
from noria.make.recommend.behaviour import Behaviour, at_random, behaviour_of, by_time, followed, last_of_each
from noria.make.recommend.content import fit_places, low_rank
from noria.make.recommend.fit import Choice, closed_form, fit_signals, links_of
from noria.make.recommend.join import Window, _loss, drawn, fit_join, without_data
from noria.make.recommend.judge import interval, leaks, measure
from noria.tasks.deeds import deeds_of
from noria.tasks.items import Item


@pytest.fixture
def behaviour() -> Behaviour:
    return behaviour_of(shops.items(), shops.deeds(), None)


def placed() -> tuple[TextPlaces, np.ndarray]:
    """Return the shop's texts as places, and the projections."""
    texts = [item.described for item in shops.items()]
    places = fit_places(texts, None)
    return places, places.content(None, texts)


def matrix(users: int = 40, items: int = 12, seed: int = 0) -> sparse.csr_matrix:
    random = np.random.default_rng(seed)
    return sparse.csr_matrix((random.random((users, items)) < 0.3).astype(np.float32))


@pytest.mark.parametrize(("ridge", "dropout"), [(0.5, 0.0), (20.0, 0.0), (5.0, 0.4)])
def test_the_linear_model_is_the_ridge_regression_of_each_item_on_all_others(ridge: float, dropout: float) -> None:
    dense = matrix().toarray().astype(float)
    head, weights = closed_form(matrix(), dense.sum(axis=0), Choice(ridge=ridge, dropout=dropout))
    assert list(head) == list(range(12))
    for item in range(12):
        others = np.delete(np.arange(12), item)
        more = ridge + dropout / (1 - dropout) * dense[:, others].sum(axis=0)
        left = dense[:, others].T @ dense[:, others] + np.diag(more)
        wanted = np.linalg.solve(left, dense[:, others].T @ dense[:, item])
        assert np.allclose(weights[others, item], wanted, atol=1e-4)
        assert weights[item, item] == 0


def test_only_as_many_items_as_are_allowed_are_in_the_linear_model() -> None:
    touched = np.asarray(matrix().sum(axis=0)).ravel()
    head, weights = closed_form(matrix(), touched, Choice(head=5))
    assert len(head) == 5
    assert weights.shape == (5, 5)
    assert touched[head].min() >= np.delete(touched, head).max()


def test_neighbours_are_the_nearest_by_cosine() -> None:
    dense = matrix().toarray().astype(float)
    cosines = dense.T @ dense / np.linalg.norm(dense, axis=0)[:, None] / np.linalg.norm(dense, axis=0)
    np.fill_diagonal(cosines, 0)
    links = links_of(matrix(), 0.0, most=3)
    for item in range(12):
        places, weights = links.row(item)
        assert np.allclose(weights, cosines[item, places], atol=1e-5)
        assert np.isclose(np.sort(weights).sum(), np.sort(cosines[item])[-3:].sum(), atol=1e-5)


def test_summing_links_is_a_product_with_the_matrix() -> None:
    random = np.random.default_rng(1)
    dense = sparse.random(9, 9, 0.4, random_state=random, format="csr", dtype=np.float32)
    links = Links(dense.indptr.astype(np.int64), dense.indices, dense.data)
    rows, weights = np.array([4, 0, 8, 11]), random.random(4).astype(np.float32)  # the last is no row of it
    wanted = weights[:3] @ dense.toarray()[rows[:3]]
    assert np.allclose(links.onto(rows, weights, 9), wanted, atol=1e-6)
    assert not links.onto(np.zeros(0, np.int64), np.zeros(0, np.float32), 9).any()


def test_the_projection_spans_the_largest_singular_vectors() -> None:
    dense = np.random.default_rng(2).standard_normal((60, 6)) @ np.random.default_rng(3).standard_normal((6, 30))
    found = low_rank(sparse.csr_matrix(dense.astype(np.float32)), 6)
    assert np.allclose(dense @ found @ found.T, dense, atol=1e-3)


def test_held_out_by_time_nothing_that_is_learned_came_later(behaviour: Behaviour) -> None:
    split = by_time(behaviour, 0.25)
    assert split.cut is not None
    assert split.train.end < split.cut
    assert leaks(behaviour, split).later == 0
    assert 0.7 < len(split.train) / len(behaviour) < 0.8
    for case in split.cases:
        assert not np.isin(case.truth, case.seen).any()
        assert np.isin(case.history.places, case.seen).all()
        assert case.known or len(case.truth) >= len(case.history.places)  # met in the middle


def test_held_out_by_lot_and_by_user_every_liking_is_in_one_part(behaviour: Behaviour) -> None:
    for split in (at_random(behaviour, 0.25, 0), last_of_each(behaviour, 0.25)):
        held = sum(len(case.truth) for case in split.cases)
        assert held + len(split.train.likings()) == len(behaviour.likings())
        assert 0.15 < held / len(behaviour) < 0.35
    for case in last_of_each(behaviour, 0.25).cases:
        own = behaviour.deeds.time[(behaviour.deeds.user == case.user)]
        place = {
            int(item): time
            for item, time in zip(behaviour.deeds.item[behaviour.deeds.user == case.user], own, strict=True)
        }
        assert max(place[int(one)] for one in case.seen) <= min(place[int(one)] for one in case.truth)


def test_another_log_is_judged_with_what_its_users_did_before(behaviour: Behaviour) -> None:
    after = behaviour_of(shops.items(), deeds_of([("u1", "i3", "click", 1, 2e9), ("new", "i0", "click", 1, 2e9)]), None)
    cases = {
        behaviour.deeds.users[case.user] if case.user >= 0 else "new": case for case in followed(behaviour, after).cases
    }
    assert not len(cases["new"].seen)
    assert list(cases["new"].truth) == [0]
    assert "u1" not in cases or len(cases["u1"].seen) == 12


def test_ndcg_is_that_of_scikit_learn_and_recall_that_of_the_definition(behaviour: Behaviour) -> None:
    cases = at_random(behaviour, 0.4, 1).cases[:20]
    scores = np.random.default_rng(4).random((20, 45)).astype(np.float32)
    warm = np.ones(45, bool)
    rows = {case.user: row for row, case in enumerate(cases)}
    measured = measure(cases, {"one": lambda some: scores[[rows[case.user] for case in some]]}, warm)["one"]
    for row, case in enumerate(cases):
        free = np.setdiff1d(np.arange(45), case.seen)
        truth = np.isin(free, case.truth).astype(float)
        assert measured.ndcg[row] == pytest.approx(ndcg_score([truth], [scores[row, free]], k=10))
        first = free[np.argsort(-scores[row, free])[:20]]
        assert measured.recall[row] == pytest.approx(np.isin(case.truth, first).mean())


def test_cold_and_warm_items_are_ranked_among_their_like(behaviour: Behaviour) -> None:
    cases = at_random(behaviour, 0.4, 1).cases
    warm = np.arange(45) < 30
    perfect = {"truth": lambda some: np.stack([np.isin(np.arange(45), case.truth) for case in some]).astype(float)}
    for part in ("warm", "cold"):
        measured = measure(cases, perfect, warm, part)["truth"]
        assert len(measured.ndcg)
        assert np.allclose(measured.ndcg, 1)


def test_equal_scores_say_nothing_of_the_order_of_the_catalogue(behaviour: Behaviour) -> None:
    cases = at_random(behaviour, 0.4, 1).cases
    flat = {"flat": lambda some: np.zeros((len(some), 45))}
    found = [float(measure(cases, flat, np.ones(45, bool), seed=seed)["flat"].recall.mean()) for seed in range(20)]
    assert np.mean(found) == pytest.approx(20 / np.mean([45 - len(case.seen) for case in cases]), rel=0.15)


def test_the_interval_of_a_mean_is_about_that_of_the_normal() -> None:
    values = np.random.default_rng(5).standard_normal(400)
    low, high = interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == (pytest.approx(values.mean() - half, abs=0.03), pytest.approx(values.mean() + half, abs=0.03))


def test_the_same_text_under_two_ids_is_told() -> None:
    twins = [Item("a", "Tea", "Green tea"), Item("b", "TEA!", "green  tea"), Item("c", "Cup", "A cup")]
    rows = [
        ("u", "a", "click", 1, 1.0),
        ("u", "b", "click", 1, 2.0),
        ("v", "c", "click", 1, 1.5),
        ("v", "a", "click", 1, 2.0),
    ]
    whole = behaviour_of(twins, deeds_of(rows), None)
    split = last_of_each(whole, 0.5)
    found = leaks(whole, split)
    assert (found.twins, found.repeated, found.likings) == (2, 1, 2)


def test_the_gradient_of_the_weights_is_that_of_the_loss(behaviour: Behaviour) -> None:
    split = by_time(behaviour, 0.3)
    signals, _ = fit_signals(split.train, *placed(), Choice())
    cases = [case for case in split.cases if len(case.history.places)]
    draw = drawn(Window(signals, cases, split.train.end), without_data(), 0)
    first = np.append(without_data().weights.ravel(), 0.0).astype(float)
    point = first + np.random.default_rng(6).normal(0, 0.1, len(first))
    _, slope = _loss(point, draw, first)
    for place in range(0, len(point), 4):
        ahead, behind = point.copy(), point.copy()
        ahead[place] += 1e-2
        behind[place] -= 1e-2
        change = (_loss(ahead, draw, first)[0] - _loss(behind, draw, first)[0]) / 2e-2
        assert slope[place] == pytest.approx(change, rel=0.02, abs=0.05)


def test_weights_fitted_on_some_users_rank_better_what_others_liked(behaviour: Behaviour) -> None:
    split = by_time(behaviour, 0.3)
    signals, _ = fit_signals(split.train, *placed(), Choice())
    cases = [case for case in split.cases if len(case.history.places)]
    fitted = fit_join([Window(signals, cases[::2], split.train.end)])
    assert (fitted.weights[:, 0] >= 0).all()
    assert fitted.slope > 0
    others = drawn(Window(signals, cases[1::2], split.train.end), without_data(), 0)

    def loss(join: Join) -> float:
        weights = np.append(join.weights.ravel(), join.cold).astype(float)
        return _loss(weights, others, weights)[0]

    assert loss(fitted) < loss(without_data())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_place_by_text_is_near_those_of_its_like(language: str) -> None:
    told = [item.described for item in shops.items(30, language)]
    content = fit_places(told, None).content(None, told)
    likeness = content @ content.T
    same = (np.arange(30)[:, None] - np.arange(30)) % 3 == 0
    assert likeness[same].min() > likeness[~same].max()
    assert np.allclose(np.linalg.norm(content, axis=1), 1, atol=1e-4)


def test_words_are_those_of_either_language() -> None:
    assert buckets_of("Green TEA, green") == buckets_of("tea green")
    assert set(buckets_of("绿茶")) <= set(buckets_of("一杯绿茶"))
    assert buckets_of("") == buckets_of("!?。") == []


def test_a_signal_is_looked_at_relative_to_its_mean() -> None:
    one = np.random.default_rng(7).random((3, 10)).astype(np.float32)
    assert np.allclose(relative(one), relative(one * 1_000), atol=1e-4)
    assert not relative(np.zeros((2, 5), np.float32)).any()


def test_what_items_of_a_history_give_sums_up_to_the_signals(behaviour: Behaviour) -> None:
    signals, _ = fit_signals(behaviour, *placed(), Choice())
    history = History(np.array([0, 3, 7]), np.ones(3, np.float32))
    raw = signals.of([history], behaviour.end)
    assert set(raw) == set(SIGNALS)
    for item in (1, 6, 30):
        for name, given in signals.towards(item, history).items():
            assert raw[name][0, item] == pytest.approx(max(float(given.sum()), 0), abs=1e-4), name
