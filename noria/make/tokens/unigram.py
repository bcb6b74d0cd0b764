"""Learn a Unigram vocabulary from counted runs: bounded in time and memory, and no character is unknown.

The library's expectation maximisation (Kudo 2018, "Subword regularization") is fed distinct runs, each as often as its
count says, scaled down where that would be more than `FED` characters. It gives a piece to every character it sees, so rare
characters are kept from it: at most half of the pieces are characters, and the rest is written in its 256 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .runs import BETWEEN, RUNS, Runs

FED = 4_000_000
"""Characters that training sees at most, give or take the rounding of counts."""
LONGEST = 16
_BATCH = 1_000


def learn_pieces(runs: Runs, pieces: int) -> list[tuple[str, float]]:
    """Return up to `pieces` pieces with their log-probabilities, the most probable first."""
    import json

    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(RUNS), "isolated")
    trainer = trainers.UnigramTrainer(vocab_size=pieces, max_piece_length=LONGEST, show_progress=False)
    tokenizer.train_from_iterator(_fed(runs, pieces // 2), trainer)
    found = json.loads(tokenizer.to_str())["model"]["vocab"]
    return sorted(((piece, score) for piece, score in found), key=lambda one: (-one[1], one[0]))[:pieces]


def byte_pieces(score: float) -> list[tuple[str, float]]:
    """Return the pieces that stand for the bytes of a character without a piece."""
    return [(f"<0x{byte:02X}>", score) for byte in range(256)]


def _fed(runs: Runs, characters: int) -> Iterator[list[str]]:
    """Yield runs in batches, each as often as it counts, cut at characters that are not among the most frequent."""
    seen = np.bincount(runs.codes, weights=np.repeat(runs.counts, runs.lengths))
    rare = np.argsort(-seen, kind="stable")[characters:]
    codes = runs.codes.copy()
    codes[np.isin(codes, rare[seen[rare] > 0])] = ord(BETWEEN)
    text = codes.tobytes().decode("utf-32-le", "replace")
    factor = max(runs.least, float((runs.counts * runs.lengths).sum()) / FED)
    times = np.ceil(runs.counts / factor).astype(int).tolist()
    batch: list[str] = []
    start = 0
    for length, often in zip(runs.lengths.tolist(), times, strict=True):
        batch += [part for part in text[start : start + length].split(BETWEEN) if part] * often
        start += length
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
