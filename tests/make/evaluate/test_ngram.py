"""N-grams: probabilities sum to one, agree with a plain count, and get better with order where order helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import FolderError
from noria.make.evaluate.ngram import NgramModel


def corpus(count: int, seed: int) -> list[np.ndarray]:
    """Documents over 12 tokens in which each token mostly follows from the two before."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ids = [int(value) for value in random.integers(0, 12, 2)]
        for _ in range(int(random.integers(0, 30))):
            ids.append((3 * ids[-1] + 5 * ids[-2] + 1) % 12 if random.random() < 0.8 else int(random.integers(0, 12)))
        found.append(np.array(ids))
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_next_token_probabilities_sum_to_one(order: int) -> None:
    model = NgramModel(corpus(300, 0), 12, order)
    for history in ([], [3], [3, 7], [0, 1, 2, 3, 4], [11, 11, 11]):
        place = len(history)
        follow = [model.probabilities([np.array([*history, token], dtype=np.int64)])[place] for token in range(12)]
        end = model.probabilities([np.array(history, dtype=np.int64)])[place]
        assert min([*follow, end]) > 0
        assert sum(follow) + end == pytest.approx(1, rel=1e-9)


def test_unigrams_of_a_tiny_corpus_by_hand() -> None:
    model = NgramModel([np.array([0, 0, 1])], 2, 1)
    # Counts: 0 twice, 1 once, end once; too few to estimate discounts, so 0.75 of a 2 and 0.5 of a 1 are spread on three.
    left = (0.75 + 0.5 + 0.5) / 4 / 3
    p = {0: 1.25 / 4 + left, 1: 0.5 / 4 + left, "end": 0.5 / 4 + left}
    assert sum(p.values()) == pytest.approx(1)
    wanted = -np.log2([p[0], p[1], p["end"]]).sum()
    assert model.bits([np.array([0, 1])])[0] == pytest.approx(wanted)


def test_longer_contexts_predict_better_on_held_out_text() -> None:
    train, test = corpus(2000, 1), corpus(200, 2)
    costs = [NgramModel(train, 12, order).bits(test).sum() for order in (1, 2, 3)]
    assert costs[2] < 0.75 * costs[1] < 0.75 * costs[0]
    tokens = sum(len(document) + 1 for document in test)
    assert costs[0] / tokens < np.log2(13)


def test_unseen_tokens_and_empty_documents_cost_a_finite_sum() -> None:
    model = NgramModel([np.array([1, 2, 3])], 50, 3)
    bits = model.bits([np.array([40, 41]), np.array([], dtype=np.int64)])
    assert np.isfinite(bits).all()
    assert (bits > 0).all()
    assert model.bits([]).tolist() == []


@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_written_model_gives_the_same_probabilities(order: int, tmp_path: Path) -> None:
    model, held_out = NgramModel(corpus(200, 0), 12, order), corpus(50, 1)
    model.write(tmp_path / "ngram.npz")
    read = NgramModel.read(tmp_path / "ngram.npz")
    for one, other in zip(read.predictions(held_out), model.predictions(held_out), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (read.size, read.order, read.vocab_size) == (model.size, order, 12)
    (tmp_path / "ngram.npz").write_bytes(b"PK no such thing")
    with pytest.raises(FolderError):
        NgramModel.read(tmp_path / "ngram.npz")


def test_the_longest_run_seen_is_told() -> None:
    model = NgramModel([np.array([0, 1, 2, 3])], 5, 4)
    _, seen = model.predictions([np.array([0, 1, 2, 4, 0, 2])])
    assert seen.tolist() == [1, 2, 3, 3, 0, 1, 1], "the beginning counts as a token"
