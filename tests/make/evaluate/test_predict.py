"""Texts in batches of like length: every one once, and little padding where a pass is large enough without."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noria.make.evaluate.predict import ENOUGH, MUCH, like_lengths
from noria.tasks.task import Features


@given(st.lists(st.integers(0, 600), max_size=200), st.booleans(), st.sampled_from([None, ENOUGH]))
def test_every_text_is_in_one_batch_that_fits(lengths: list[int], alike: bool, enough: int | None) -> None:
    features = [Features(list(range(length)), [], {}) for length in lengths]
    batches = list(like_lengths(features, 2048, alike=alike, enough=enough))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [max(1, lengths[row]) for row in batch]
        assert len(batch) * max(sizes) <= 2048 or len(batch) == 1
        assert not alike or len(set(sizes)) == 1
        # What lies beyond enough tokens is nearly as long as the longest.
        beyond = sizes[-(-ENOUGH // max(sizes)) :]
        assert enough is None or all(size > MUCH * max(sizes) for size in beyond)
