"""Sentences and words of a text, Chinese or not: the one place where it is said how a text is cut."""

from __future__ import annotations

import re

from .script import is_chinese

_SENTENCE = re.compile(r"(?:[^。！？!?\n.]|\.(?!\s|$))*(?:[。！？!?\n]+|\.|$)")
WORDS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
"""A word of a script that puts blanks between words, or a mark."""


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, Chinese or not, without white space at their ends."""
    return [part.strip() for part in _SENTENCE.findall(text) if part.strip()]


def words(text: str) -> list[str]:
    """Return the words and marks of a text; Chinese is cut by a dictionary."""
    return [word for word in segmented(text) if word.strip()] if is_chinese([text]) else WORDS.findall(text)


def segmented(text: str) -> list[str]:
    """Return the pieces of a text, which together are the text: Chinese words by rjieba's dictionary, runs of anything else."""
    import rjieba

    pieces: list[str] = rjieba.cut(text)
    return pieces
