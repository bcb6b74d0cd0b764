"""A small shop, made up: items of three tastes in Chinese and English, and users each of whom mostly keeps to one of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.tasks.deeds import Deed, Deeds, deeds_of
from noria.tasks.items import Item

DAY = 86_400.0
START = 1_700_000_000.0
WORDS: Mapping[str, Sequence[str]] = {
    "en": ("running shoes marathon trail", "espresso coffee grinder beans", "guitar strings amplifier music"),
    "zh": ("跑步鞋马拉松越野", "浓缩咖啡研磨豆子", "吉他琴弦音箱音乐"),
}


def items(count: int = 45, language: str = "en") -> list[Item]:
    """Return items whose taste is their place modulo three."""
    return [
        Item(
            f"i{place}",
            f"{WORDS[language][place % 3]} {place}",
            WORDS[language][place % 3],
            price=10.0 * (1 + place % 3),
        )
        for place in range(count)
    ]


def rows(users: int = 90, each: int = 12, count: int = 45, seed: int = 0) -> list[tuple[str, str, str, float, float]]:
    """Return clicks: nine in ten of a user's are of their taste, popular ones more often, over sixty days."""
    random = np.random.default_rng(seed)
    found = []
    for user in range(users):
        own = np.arange(count) % 3 == user % 3
        odds = np.where(own, 0.9 / own.sum(), 0.1 / (~own).sum()) / np.sqrt(1 + np.arange(count) // 3)
        chosen = random.choice(count, min(each, count), replace=False, p=odds / odds.sum())
        times = np.sort(START + random.uniform(0, 60 * DAY, len(chosen)))
        found += [(f"u{user}", f"i{item}", "click", 1.0, float(time)) for item, time in zip(chosen, times, strict=True)]
    return found


def deeds(**how: Any) -> Deeds:
    """Return `rows` as a log."""
    return deeds_of(rows(**how))


def history(*ids: str) -> list[Deed]:
    """Return clicks on items, a minute apart."""
    return [Deed(one, "click", 1.0, START + 60 * place) for place, one in enumerate(ids)]


def write_csv(path: Path, header: Sequence[str], lines: Sequence[Sequence[Any]]) -> Path:
    """Write a table, and return its path."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(lines)
    return path
