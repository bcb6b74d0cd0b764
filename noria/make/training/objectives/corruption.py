"""Text with parts taken out: masked tokens or whole words (BERT), and cut spans (T5), drawn from seed, step and row.

    source = Corrupted(windows, hide_words, special, tokens_per_batch=4096, seed=0)      # a `BatchSource`
    source.at(1234)                                          # the same batch at any time: a resumed run sees the same

Rules are functions of numpy arrays; a window is a stretch of one document, without its begin and end tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.settings import fingerprint
from noria.make.tokens.batches import IGNORED, Batch, Buckets
from noria.make.tokens.shards import Shards
from noria.make.tokens.special import Special

SHARE = 0.15
"""Of the tokens taken out (Devlin et al. 2019, section 3.1; Raffel et al. 2020, section 3.3.4)."""
SPAN = 3.0
"""Mean length of a span, in tokens (Raffel et al. 2020, section 3.3.4)."""


@dataclass(frozen=True)
class Windows:
    """Documents cut into windows that fit the context."""

    shards: Shards
    starts: np.ndarray
    """Of each window in `shards.ids`."""
    lengths: np.ndarray
    documents: np.ndarray
    """The document that each window is of."""
    words: np.ndarray | None
    """Whether a word begins at a token, for every place of `shards.ids`; None where words do not matter."""

    @classmethod
    def of(cls, shards: Shards, longest: int, words: np.ndarray | None = None) -> Windows:
        """Cut every document into windows of at most `longest` tokens, begin and end tokens left out.

        Raises:
            InputError: no document holds two tokens.
        """
        starts, lengths, documents = [], [], []
        begins = np.concatenate(([0], shards.ends[:-1])) if len(shards) else np.zeros(0, dtype=np.int64)
        for document, (begin, end) in enumerate(zip(begins, shards.ends, strict=True)):
            for start in range(int(begin) + 1, int(end) - 1, longest):
                length = min(longest, int(end) - 1 - start)
                if length > 1:
                    starts.append(start)
                    lengths.append(length)
                    documents.append(document)
        if not starts:
            raise InputError(message("make.too_little"), found=message("make.document_two"))
        return cls(shards, np.array(starts), np.array(lengths), np.array(documents), words)

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, places: np.ndarray) -> Windows:
        """Return the windows at some places."""
        return Windows(self.shards, self.starts[places], self.lengths[places], self.documents[places], self.words)

    def __getitem__(self, row: int) -> np.ndarray:
        start = int(self.starts[row])
        return self.shards.ids[start : start + int(self.lengths[row])].astype(np.int64)

    def word_starts(self, row: int) -> np.ndarray:
        """Return whether a word begins at each token of a window; every token is a word where words do not matter."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        flags = np.ones(length, bool) if self.words is None else self.words[start : start + length].copy()
        flags[0] = True
        return flags


def hidden(word_starts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return which tokens of a window are hidden: words in random order until 15 % of the tokens are reached.

    A word that would overshoot is passed over while another may fit, as in whole-word masking for BERT; at least one is
    hidden. With a word a token this is plain masking.
    """
    words = np.cumsum(word_starts) - 1
    sizes = np.bincount(words)
    wanted = max(1, round(SHARE * len(words)))
    taken, count = np.zeros(len(sizes), bool), 0
    order = random.permutation(len(sizes))
    for word in order:
        if count + sizes[word] <= wanted:
            taken[word] = True
            count += sizes[word]
            if count == wanted:
                break
    if not count:
        taken[order[np.argmin(sizes[order])]] = True
    chosen: np.ndarray = taken[words]
    return chosen


def masked(
    ids: np.ndarray, places: np.ndarray, mask: int, ordinary: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return the ids as the model sees them: of the hidden places 80 % the mask, 10 % any token, 10 % as they were.

    Args:
        ids: token ids.
        places: which are hidden.
        mask: id of the mask.
        ordinary: ids that are no special tokens.
        random: of the draws.
    """
    fate = random.random(len(ids))
    anything = ordinary[random.integers(0, len(ordinary), len(ids))]
    return np.where(places & (fate < 0.8), mask, np.where(places & (fate < 0.9), anything, ids))


def cut(length: int, random: np.random.Generator, most: int) -> np.ndarray:
    """Return which tokens of a window are cut out: random spans of mean length 3, 15 % in all (Raffel et al. 2020, 3.1.4).

    Kept and cut stretches alternate, a kept one first; their lengths are random parts of the two sums. At most `most`
    spans are cut.
    """
    noise = min(max(1, round(SHARE * length)), length - 1)
    spans = min(max(1, round(noise / SPAN)), noise, length - noise, most)
    kept, out = _parts(length - noise, spans, random), _parts(noise, spans, random)
    return np.repeat(np.tile([False, True], spans), np.stack([kept, out], axis=1).ravel())


def _parts(total: int, count: int, random: np.random.Generator) -> np.ndarray:
    borders = np.sort(random.choice(total - 1, count - 1, replace=False)) + 1 if count > 1 else np.zeros(0, dtype=int)
    return np.diff(np.concatenate(([0], borders, [total])))


def spanned(ids: np.ndarray, out: np.ndarray, special: Special) -> tuple[np.ndarray, np.ndarray]:
    """Return the text with a sentinel for each span that was cut out, and the spans, each behind its sentinel; both ended."""
    assert special.end is not None
    first = out & ~np.concatenate(([False], out[:-1]))
    sentinels = np.array(special.sentinels)[np.cumsum(first) - 1]
    text = np.where(first, sentinels, ids)[~out | first]
    order = np.flatnonzero(out)
    target = np.insert(ids[order], np.flatnonzero(first[order]), sentinels[first])
    return np.append(text, special.end), np.append(target, special.end)


@dataclass(frozen=True)
class Rule:
    """How a window becomes what the model reads and what it must name."""

    special: Special
    ordinary: np.ndarray
    """Ids that are no special tokens."""
    spans: bool
    """Cut spans, for an encoder-decoder; else hide tokens, for an encoder."""

    def apply(
        self, ids: np.ndarray, word_starts: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the model reads, and its targets: -100 where none (masked tokens), or the cut spans."""
        if self.spans:
            return spanned(ids, cut(len(ids), random, len(self.special.sentinels)), self.special)
        places = hidden(word_starts, random)
        assert self.special.mask is not None
        seen = masked(ids, places, self.special.mask, self.ordinary, random)
        targets = np.where(places, ids, IGNORED)
        head, tail = [self.special.begin], [self.special.end]
        return np.concatenate([head, seen, tail]), np.concatenate([[IGNORED], targets, [IGNORED]])

    def batch(self, windows: Windows, rows: Sequence[int], randoms: Sequence[np.random.Generator]) -> Batch:
        """Return some windows, each corrupted by its own draws, padded: input_ids, attention_mask, targets."""
        import torch

        pairs = [
            self.apply(windows[row], windows.word_starts(row), random)
            for row, random in zip(rows, randoms, strict=True)
        ]
        texts, targets = zip(*pairs, strict=True)
        ids, mask = _padded(texts, self.special.pad or 0), _padded([np.ones(len(text), np.int64) for text in texts], 0)
        tensors = {"input_ids": ids, "attention_mask": mask, "targets": _padded(targets, IGNORED)}
        # Each window is scored by its own document; what is read and what is written both cost work.
        tokens = sum(map(len, texts)) + (sum(map(len, targets)) if self.spans else 0)
        named = [int(windows.documents[row]) for row in rows]
        return Batch({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, named, tokens)


def _padded(arrays: Sequence[np.ndarray], filler: int) -> np.ndarray:
    out = np.full((len(arrays), max(map(len, arrays))), filler, dtype=np.int64)
    for row, array in enumerate(arrays):
        out[row, : len(array)] = array
    return out


class Corrupted:
    """A `BatchSource` of windows of like length, corrupted anew at every step.

    Args:
        windows: the text.
        rule: what is taken out.
        tokens_per_batch: padded tokens a batch may hold.
        seed: seed of the order and of every draw.
    """

    def __init__(self, windows: Windows, rule: Rule, *, tokens_per_batch: int, seed: int) -> None:
        self._windows, self._rule, self._seed = windows, rule, seed
        lengths = (windows.lengths + 2).tolist()
        self._rows = Buckets(
            lengths, lambda rows: Batch({}, [int(row) for row in rows], 0), tokens_per_batch=tokens_per_batch, seed=seed
        )
        self.tokens_per_step, self.steps_per_epoch = self._rows.tokens_per_step, self._rows.steps_per_epoch
        self.fingerprint = fingerprint(
            [
                self._rows.fingerprint,
                windows.shards.identity,
                rule.spans,
                sorted(rule.special.all()),
                windows.words is not None,
            ]
        )

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        rows = self._rows.at(step)[0].rows
        randoms = [np.random.default_rng([self._seed, step, row]) for row in rows]
        return [self._rule.batch(self._windows, rows, randoms)]


def fixed_batches(windows: Windows, rule: Rule, tokens_per_batch: int, seed: int) -> Iterator[Batch]:
    """Yield every window once, corrupted the same way each time: what a model is judged on."""
    order = np.argsort(windows.lengths, kind="stable")[::-1]
    while len(order):
        size = max(1, tokens_per_batch // int(windows.lengths[order[0]] + 2))
        rows, order = [int(row) for row in order[:size]], order[size:]
        yield rule.batch(windows, rows, [np.random.default_rng([seed, 2**40, row]) for row in rows])
