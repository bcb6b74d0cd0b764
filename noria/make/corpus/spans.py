"""Marked spans of a text, kept true while the text changes around them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any


def moved(spans: Sequence[dict[str, Any]], before: str, after: str) -> list[dict[str, Any]]:
    """Return the spans of `before` at their places in `after`; those whose text was changed itself are left out.

    Args:
        spans: {"start", "end", "label"}, in characters of `before`.
    """
    if before == after:
        return list(spans)
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    kept = []
    for span in spans:
        for block in blocks:
            if block.a <= span["start"] and span["end"] <= block.a + block.size:
                shift = block.b - block.a
                kept.append({**span, "start": span["start"] + shift, "end": span["end"] + shift})
                break
    return kept
