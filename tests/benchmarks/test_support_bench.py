"""The support benchmarks' own arithmetic: a threshold, and whether what a model wrote is supported."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.support_intents import best_threshold
from benchmarks.support_written import Written, sentences_of, unsupported

QUOTED = "The Panthers defense gave up just 308 points in 2015. Kawann Short led the team in sacks with 11."
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("Kawann Short led the team in sacks with 11.", False),
        ("The defense gave up 308 points.", False),
        ("He led with 11 sacks.", False),
        ("Kawann Short led the team in sacks with 12.", True),
        ("Josh Norman led the team.", True),
        ("Kawann Short did not lead the team in sacks.", True),
        ("The offense scored many wonderful touchdowns everywhere.", True),
    ],
)
def test_a_sentence_needs_its_numbers_names_and_words_in_what_was_quoted(sentence: str, wrong: bool) -> None:
    assert unsupported(sentence, Written("Who led the team in sacks?", QUOTED, "", "")) is wrong


def test_what_is_quoted_is_supported_by_itself() -> None:
    found = sentences_of(QUOTED)
    assert len(found) == 2
    assert not any(unsupported(one, Written("?", QUOTED, "", "")) for one in found)


@given(st.lists(st.tuples(shares, st.booleans()), min_size=1), st.lists(shares, min_size=1))
def test_no_threshold_has_more_right(inside: list[tuple[float, bool]], outside: list[float]) -> None:
    values, right = (np.array(column) for column in zip(*inside, strict=True))
    beyond = np.array(outside)

    def kept(least: float) -> int:
        return int((right & (values >= least)).sum() + (beyond < least).sum())

    best = kept(best_threshold(right, values, beyond))
    assert all(kept(least) <= best for least in [0.0, *values, *beyond, 1.1] if least <= max(*values, *beyond))
