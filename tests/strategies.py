"""What property tests draw from: texts as people write them in Chinese and English, rows, and logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

_HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)
_WORDS = st.sampled_from(
    ["the", "model", "is", "good", "bad", "price", "London", "Anna", "2026", "don't", "e-mail", "AI"]
)
_ODD = st.sampled_from(["，", "。", "！", " ", "  ", "\t", "\n", "　", "１", "é", "😀", "ﬁ", "ا", "\u200b", "…"])

chinese = st.text(_HAN, min_size=1, max_size=12)
english = st.lists(_WORDS, min_size=1, max_size=6).map(" ".join)
texts = (
    st.lists(st.one_of(chinese, english, _ODD), min_size=1, max_size=8).map("".join).filter(lambda text: text.strip())
)
"""Chinese and English mixed, with odd spaces, wide digits, ligatures and emoji; never blank."""


@st.composite
def spans(draw: st.DrawFn, text: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return spans of a text: sorted, not overlapping, without white space at their ends."""
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    found = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        if text[start:end] == text[start:end].strip():
            found.append({"start": start, "end": end, "label": draw(st.sampled_from(labels))})
    return found


def logits(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Return arrays of logits of a shape: wide or narrow, and now and then all alike."""
    made = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 3.0, 30.0]))
    return made.map(lambda drawn: np.random.default_rng(drawn[0]).normal(0, 1, shape).astype(np.float32) * drawn[1])
