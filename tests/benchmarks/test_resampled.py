"""The resampled Chinese and the benchmarks' children."""

from __future__ import annotations

import re

import pytest

from benchmarks.child import run
from benchmarks.resampled import chinese
from noria.make.corpus.bundled import reviews

CLAUSE = re.compile(r"[\u4e00-\u9fff]+")


def test_resampled_text_is_new_but_made_of_real_pairs():
    texts = [document.text for document in reviews()[:1_500]]
    made = list(chinese(texts, 200_000, seed=3))
    assert made == list(chinese(texts, 200_000, seed=3))
    assert made != list(chinese(texts, 200_000, seed=4))
    assert 200_000 <= sum(len(text.encode()) + 1 for text in made) < 210_000
    real = {clause for text in texts for clause in CLAUSE.findall(text)}
    pairs = {clause[place : place + 2] for clause in real for place in range(len(clause) - 1)}
    clauses = [clause for text in made for clause in CLAUSE.findall(text)]
    assert sum(clause not in real for clause in clauses) > 0.5 * len(clauses)
    found = [clause[place : place + 2] for clause in clauses for place in range(len(clause) - 1)]
    assert sum(pair in pairs for pair in found) > 0.99 * len(found)  # the others lie across a border of parts


def test_a_child_that_fails_says_why():
    with pytest.raises(RuntimeError, match="No module named"):
        run("benchmarks.no_such_benchmark")
