"""The resampled Chinese and the benchmarks' children."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks.child import measured, run
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


def test_a_child_tells_the_memory_that_it_or_one_below_it_held_and_not_that_of_who_started_it():
    held = b"1" * (300 << 20)
    code = "held = b'1' * (200 << 20)"
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    small, large, in_all = (
        measured([sys.executable, "-c", f"{one}; print('{{\"speed\": 2.5}}')"], "child")
        for one in ("pass", code, below)
    )
    assert (len(held), small["speed"]) == (300 << 20, 2.5)
    assert small["megabytes"] < 60
    assert 200 < large["megabytes"] < 260
    assert 200 < in_all["megabytes"] < 260
