"""How well a language model predicts held-out documents: loss, perplexity, accuracy, and bits per byte where it has any.

A causal model predicts every token of a document from those before it, the document by itself. Bits per byte is fair across
tokenizers and languages: what that costs, the end included, over the UTF-8 bytes of the text. A model of masked tokens or
cut spans predicts only what was taken out, given the rest: its loss says nothing of bits per byte, and compares only with
the same taken out of the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noria.core.figure import Figure
from noria.infer.device import place_of
from noria.make.kernels import llama

from .intervals import interval
from .predict import texts_of_a_pass

PLACES = 128
"""Places whose logits are computed at once."""


@dataclass(frozen=True)
class Predictions:
    """What predicting each document came to; arrays of shape (documents,)."""

    bits: np.ndarray
    correct: np.ndarray
    """Tokens that were the model's first choice."""
    tokens: np.ndarray
    """Tokens predicted: the document's own and its end."""
    costs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Bits of every token, one document after the other; none where only some tokens are predicted."""


def predict_documents(
    model: Any, documents: Sequence[np.ndarray], context: int, *, tokens_per_batch: int = 4096
) -> Predictions:
    """Let a causal model predict every next token of each document.

    A document longer than `context` is read in windows that overlap by half; in each, only what is new is scored.

    Args:
        model: a causal model in the Hugging Face form.
        documents: token ids, the begin token first and the end token last.
        context: longest window, in tokens.
        tokens_per_batch: padded tokens of one forward pass.
    """
    import torch

    windows = [window for row, ids in enumerate(documents) for window in _windows(row, len(ids) - 1, context)]
    windows.sort(key=lambda window: window.stop - window.start)
    tokens = np.array([len(ids) - 1 for ids in documents], dtype=np.int64)
    starts = np.cumsum(tokens) - tokens
    costs, correct = np.zeros(tokens.sum()), np.zeros(len(documents), dtype=np.int64)
    while windows:
        longest = windows[-1].stop - windows[-1].start
        most = max(1, tokens_per_batch // longest)
        size = texts_of_a_pass([window.stop - window.start for window in reversed(windows[-most:])])
        part, windows = windows[-size:], windows[:-size]
        ids = np.zeros((len(part), longest), dtype=np.int64)
        targets = np.full((len(part), longest), -100, dtype=np.int64)
        for number, window in enumerate(part):
            document = np.asarray(documents[window.row], dtype=np.int64)
            length = window.stop - window.start
            ids[number, :length] = document[window.start : window.stop]
            targets[number, window.fresh - window.start : length] = document[window.fresh + 1 : window.stop + 1]
        # Padding stands behind every token of its row, where a causal model does not look.
        place, position = np.nonzero(targets != -100)
        wanted = torch.from_numpy(targets[place, position])
        with torch.no_grad():
            there = place_of(model)
            cost, right = _scored(model, torch.from_numpy(ids).to(there), (place, position), wanted.to(there))
        rows = np.array([window.row for window in part])[place]
        costs[starts[rows] + np.array([window.start for window in part])[place] + position] = cost
        np.add.at(correct, rows, right)
    return Predictions(by_document(costs, tokens), correct, tokens, costs)


def _scored(model: Any, ids: Any, places: tuple[np.ndarray, np.ndarray], wanted: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return bits of the wanted tokens (N,), and whether each is the first choice.

    Where the output layer stands by itself it is asked for a few places at a time: of all logits at once, every pass over
    them goes to memory and takes longer than the model.
    """
    import torch

    if llama.applies(model):
        states = model.model(input_ids=ids, use_cache=False).last_hidden_state[places]
        parts = (model.lm_head(part) for part in states.split(PLACES))
    else:
        parts = iter(model(input_ids=ids, use_cache=False).logits[places].split(PLACES))
    costs, right = [], []
    for logits, targets in zip(parts, wanted.split(PLACES), strict=True):
        logits = logits.float()
        costs.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none") / np.log(2))
        # The first choice is looked for only where the wanted token is among the best: that is slow, and the best is not.
        best = logits.gather(1, targets[:, None])[:, 0] == logits.amax(dim=1)
        best[best.clone()] = logits[best].argmax(dim=1) == targets[best]
        right.append(best)
    return torch.cat(costs).cpu().numpy(), torch.cat(right).cpu().numpy()


def by_document(costs: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Return the sum of each document, of the costs of all tokens and how many tokens each document has."""
    return np.bincount(np.repeat(np.arange(len(tokens)), tokens), weights=costs, minlength=len(tokens))


def predict_places(logits: Callable[[Any], Any], batches: Iterable[Any], documents: int) -> Predictions:
    """Let a model name what was taken out of texts, and add it up by document.

    Args:
        logits: gives a batch's logits (B, T, V) for its `targets`.
        batches: with `targets` (B, T) among their tensors, -100 where nothing is asked, and the document of each row in
            `rows`.
        documents: how many there are.
    """
    import torch

    bits, correct, tokens = np.zeros(documents), np.zeros(documents, np.int64), np.zeros(documents, np.int64)
    for batch in batches:
        with torch.no_grad():
            found = logits(batch).cpu()
        place, position = (batch.tensors["targets"] != -100).nonzero(as_tuple=True)
        scored, wanted = found[place, position].float(), batch.tensors["targets"][place, position]
        cost = torch.nn.functional.cross_entropy(scored, wanted, reduction="none").numpy() / np.log(2)
        rows = np.array(batch.rows)[place.numpy()]
        np.add.at(bits, rows, cost)
        np.add.at(correct, rows, (scored.argmax(dim=1) == wanted).numpy())
        np.add.at(tokens, rows, 1)
    return Predictions(bits, correct, tokens)


def bits_per_byte(
    bits: np.ndarray, sizes: np.ndarray, *, source: str, name: str = "bits per byte", **more: Any
) -> Figure:
    """Return bits per byte with a bootstrap interval over documents.

    Args:
        bits: what each document cost.
        sizes: UTF-8 bytes of each document.
        source: which documents.
        name: name of the figure.
        more: further fields of the figure, such as `baseline` and `note`.
    """
    found = interval(np.stack([bits, sizes], axis=1), _ratio)
    return Figure(
        name, found.value, n=len(bits), low=found.low, high=found.high, unit="bits/byte", source=source, **more
    )


def figures(predictions: Predictions, sizes: np.ndarray, *, source: str, baseline: float) -> list[Figure]:
    """Return bits per byte, loss, perplexity and next-token accuracy, each with a bootstrap interval over documents."""
    first = bits_per_byte(predictions.bits, sizes, source=source, baseline=baseline)
    return [first, *token_figures(predictions, "a token", source=source, accuracy="next-token accuracy")]


def token_figures(
    predictions: Predictions, of: str, *, source: str, accuracy: str, baseline: float | None = None
) -> list[Figure]:
    """Return loss and perplexity of a predicted token and the share that was the model's first choice.

    Each has a bootstrap interval over the documents of which any token was predicted.

    Args:
        predictions: of every document.
        of: what a prediction is of: "a token", "a hidden token" ...
        source: which documents.
        accuracy: name of the share.
        baseline: loss of the baseline, in nats.
    """
    there = predictions.tokens > 0
    bits, correct, tokens = predictions.bits[there], predictions.correct[there], predictions.tokens[there]
    costs = np.stack([bits, tokens], axis=1)
    loss = interval(costs, lambda sums: _ratio(sums) * np.log(2))
    perplexity = interval(costs, lambda sums: 2 ** _ratio(sums))
    share = interval(np.stack([correct, tokens], axis=1), _ratio)
    n = len(tokens)
    return [
        Figure(f"loss of {of}", loss.value, n, loss.low, loss.high, "nats", source, baseline=baseline),
        Figure(f"perplexity of {of}", perplexity.value, n, perplexity.low, perplexity.high, source=source),
        Figure(accuracy, share.value, n, share.low, share.high, source=source),
    ]


@dataclass(frozen=True)
class _Window:
    """Positions `start` to `stop` of a document are read; those from `fresh` predict their next token."""

    row: int
    start: int
    fresh: int
    stop: int


def _windows(row: int, positions: int, context: int) -> list[_Window]:
    windows, fresh = [], 0
    while fresh < positions:
        start = max(0, fresh - context // 2) if fresh else 0
        stop = min(positions, start + context)
        windows.append(_Window(row, start, fresh, stop))
        fresh = stop
    return windows


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / sums[:, 1])
