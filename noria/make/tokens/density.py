"""How densely tokenizers write a language: characters and bytes per token, and what they do not know."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from noria.core.figure import Figure, proportion
from noria.text.script import han_share

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def language(text: str) -> str:
    """Return zh where at least three letters in ten are Han, en where the rest is mostly Latin, else other.

    >>> language("大模型 LLM"), language("a large model"), language("большая")
    ('zh', 'en', 'other')
    """
    letters = "".join(filter(str.isalpha, text))
    latin = sum(letter < "\u0250" for letter in letters)
    if han_share(letters) >= 0.3:
        return "zh"
    return "en" if latin > 0.5 * len(letters) else "other"


def density(tokenizer: Tokenizer, texts: Iterable[str], source: str, *, note: str = "") -> list[Figure]:
    """Return characters and UTF-8 bytes per token, and the share of unknown tokens, by language.

    More of the first two means shorter sequences; a tokenizer that gives one unknown token for a word it cannot write
    looks dense, so they are to be read together. The intervals are those of a ratio of sums over texts (Cochran 1977,
    "Sampling Techniques", 6.19) and of a share (Wilson), at 95 %.
    """
    unknown = unknown_id(tokenizer)
    groups: dict[str, list[tuple[int, int, int, int]]] = {}
    texts = list(texts)
    for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        row = (len(text), len(text.encode()), len(encoding.ids), encoding.ids.count(unknown))
        groups.setdefault(language(text), []).append(row)
    figures = []
    for name, rows in sorted(groups.items(), reverse=True):
        for column, unit in ((0, "characters/token"), (1, "bytes/token")):
            value, half = _ratio([row[column] for row in rows], [row[2] for row in rows])
            figures.append(
                Figure(
                    name, value, n=len(rows), low=value - half, high=value + half, unit=unit, source=source, note=note
                )
            )
        figures.append(
            proportion(
                name, sum(row[3] for row in rows), sum(row[2] for row in rows), unit="unknown", source=source, note=note
            )
        )
    return figures


def unknown_id(tokenizer: Tokenizer) -> int:
    """Return the id that stands for what a tokenizer does not know, or -1."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        return -1 if model.get("byte_fallback") or model["unk_id"] is None else int(model["unk_id"])
    found = tokenizer.token_to_id(model["unk_token"]) if model.get("unk_token") else None
    return -1 if found is None else found


def table(figures: list[Figure]) -> list[str]:
    """Return the figures of several tokenizers (their names in `note`) as lines: a language and tokenizer a line."""
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        rows.setdefault((figure.name, figure.note), {})[figure.unit] = figure
    lines = []
    for (name, tokenizer), units in rows.items():
        measures = ", ".join(
            f"{figure.value:.2%} {unit}" if unit == "unknown" else f"{figure.value:.2f} {unit}"
            for unit, figure in units.items()
        )
        texts = units["bytes/token"].n
        lines.append(f"{name}: {measures} ({tokenizer}, {texts:,} texts)")
    return lines


def _ratio(tops: list[int], bottoms: list[int]) -> tuple[float, float]:
    import numpy as np

    top, bottom = np.array(tops, float), np.array(bottoms, float)
    value = top.sum() / max(bottom.sum(), 1.0)
    if len(top) < 2:
        return float(value), 0.0
    spread = np.std(top - value * bottom, ddof=1) / (np.sqrt(len(top)) * max(bottom.mean(), 1e-9))
    return float(value), float(1.96 * spread)
