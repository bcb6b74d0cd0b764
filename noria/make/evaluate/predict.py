"""What a model gives for many texts, in batches of like length, in the order the texts came in.

A BERT is computed without padding (`noria.infer.unpadded`), or where adapters are on it by the passes that train it.

Matrix products are in the number type of the caller's `noria.machine.computing`; without one, in the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from noria.infer.device import moved, place_of
from noria.tasks.padding import Padding, padding_of, text_arrays, types_of, within
from noria.tasks.task import Answer, Features, Row, Task
from noria.tasks.tokenizer import required

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import nn
    from transformers import PreTrainedConfig


ENOUGH, MUCH = 256, 0.75
"""Padded tokens of a forward pass from which on more of them make a token no cheaper; there a text that is shorter than so
much of the longest begins a pass of its own."""


class Generator(Protocol):
    """A Hugging Face model that writes."""

    config: PreTrainedConfig

    def generate(self, **given: Any) -> torch.Tensor:
        """Return the ids of every text (B, T); those of a causal model begin with its prompt."""


def predict(
    module: nn.Module,
    features: Sequence[Features],
    *,
    tokens_per_batch: int = 8192,
    padding: Padding | None = None,
) -> list[np.ndarray]:
    """Return what the head gives for every text, float32, as `Task.answer` takes it.

    A sequence or vector head gives [labels], a token head [T, outputs], a span head [T, 2], a model without a head its last
    hidden states [T, width].

    Args:
        module: a Hugging Face model, or a net over numbers, in evaluation mode.
        features: the texts, or rows of numbers.
        tokens_per_batch: padded tokens of one forward pass.
        padding: how short texts are filled up; by default as the module's configuration says.
    """
    import torch

    from noria.infer.unpadded import Unpadded, applies
    from noria.make.kernels import bert

    padding = padding or padding_of(getattr(module, "config", None))
    found: list[np.ndarray] = [np.empty(0)] * len(features)
    if applies(module):
        run = Unpadded(module, "bfloat16" if torch.is_autocast_enabled("cpu") else "float32")
        for rows in like_lengths(features, tokens_per_batch):
            chosen = [features[row] for row in rows]
            types = types_of(chosen, padding) or None
            for row, values in zip(rows, run([one.ids for one in chosen], types), strict=True):
                found[row] = values
        return found
    with torch.no_grad():
        for rows in like_lengths(features, tokens_per_batch, alike=padding.alike, enough=ENOUGH):
            chosen = [features[row] for row in rows]
            arrays = vector_arrays(chosen) if "vector" in chosen[0].meta else text_arrays(chosen, padding)
            given = _head(bert.run(module, _beside(module, arrays)))
            for row, values in zip(rows, given.float().cpu().numpy(), strict=True):
                place = within(len(features[row].ids), len(values), padding)
                found[row] = values[place] if values.ndim == 2 else values
    return found


def _beside(module: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return arrays as tensors where a module's weights are."""
    import torch

    return moved({name: torch.from_numpy(array) for name, array in arrays.items()}, place_of(module))


def _head(output: Any) -> Any:
    import torch

    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return output.logits if hasattr(output, "logits") else output.last_hidden_state


def generate(
    module: Generator,
    tokenizer: Tokenizer,
    features: Sequence[Features],
    *,
    beams: int = 1,
    most: int = 256,
    tokens_per_batch: int = 4096,
    padding: Padding | None = None,
) -> list[str]:
    """Return what an encoder-decoder, or a causal model after a prompt, writes for every text: the likeliest, or by beam search.

    Args:
        module: a Hugging Face model that generates, in evaluation mode.
        tokenizer: turns ids back into text.
        features: source texts or prompts.
        beams: beams of the search; 1 takes the likeliest token each time.
        most: most tokens to write.
        tokens_per_batch: padded tokens of one batch.
        padding: how short texts are filled up; by default as the module's configuration says.
    """
    import torch

    prompt, padding = not module.config.is_encoder_decoder, padding or padding_of(module.config)
    predicted = [""] * len(features)
    with torch.no_grad():
        for rows in like_lengths(features, tokens_per_batch // beams, alike=prompt or padding.alike):
            arrays = text_arrays([features[row] for row in rows], padding)
            arrays.setdefault("attention_mask", np.ones_like(arrays["input_ids"]))
            longest = arrays["input_ids"].shape[1]
            # A text of n tokens is rarely worth more than 2 n + 32: a model that does not find its end is cut off there.
            room = most if prompt else min(most, 2 * longest + 32)
            ids = module.generate(
                **_beside(module, arrays),
                max_new_tokens=room,
                num_beams=beams,
                do_sample=False,
            )
            for row, one in zip(rows, ids.cpu().tolist(), strict=True):
                predicted[row] = tokenizer.decode(one[longest:] if prompt else one, skip_special_tokens=True).strip()
    return predicted


def like_lengths(
    features: Sequence[Features], tokens_per_batch: int, *, alike: bool = False, enough: int | None = None
) -> Iterator[list[int]]:
    """Yield the numbers of all texts in batches, the longest first.

    Args:
        features: the texts.
        tokens_per_batch: padded tokens of a batch at most.
        alike: puts only texts of one length together.
        enough: padded tokens after which a batch takes no text that is much shorter than its longest; None: any that fits.
    """
    lengths = [max(1, len(one.ids)) for one in features]
    order = sorted(range(len(features)), key=lambda index: -lengths[index])
    for _, group in groupby(order, key=lambda index: lengths[index] if alike else 0):
        rest = list(group)
        while rest:
            count = max(1, tokens_per_batch // lengths[rest[0]])
            if enough is not None:
                count = texts_of_a_pass([lengths[row] for row in rest[:count]], enough)
            yield rest[:count]
            rest = rest[count:]


def texts_of_a_pass(lengths: Sequence[int], enough: int = ENOUGH) -> int:
    """Return how many of some texts one pass takes, the longest first: of those much shorter only what makes it large enough."""
    least = -(-enough // lengths[0])
    return min(len(lengths), least + sum(length > MUCH * lengths[0] for length in lengths[least:]))


def vector_arrays(features: Sequence[Features]) -> dict[str, np.ndarray]:
    """Return a net's argument for rows of numbers."""
    return {"vectors": np.array([one.meta["vector"] for one in features], dtype=np.float32)}


def answer_rows(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    rows: Sequence[Row],
    max_length: int,
    *,
    windows: Windows | None = None,
) -> list[Answer]:
    """Return the task's answer to every row, whatever its head.

    Args:
        task: reads rows and makes answers.
        module, tokenizer: the model, in evaluation mode, and what it reads with (None: rows are numbers).
        rows: what to answer.
        max_length: tokens of a window.
        windows: the rows' windows where they are made already.
    """
    return answers_by([task], module, tokenizer, rows, max_length, windows=windows)[0]


def answers_by(
    tasks: Sequence[Task],
    module: nn.Module,
    tokenizer: Tokenizer | None,
    rows: Sequence[Row],
    max_length: int,
    *,
    windows: Windows | None = None,
) -> list[list[Answer]]:
    """Return the answers of each of some tasks that read alike, from one pass of the model; arguments as of `answer_rows`."""
    task = tasks[0]
    if task.head == "embedding":
        sides = zip(*(task.texts(row)[:2] for row in rows), strict=True)
        features = [[task.features(tokenizer, text, max_length) for text in side] for side in sides]
        vectors = [answers(task, one, predict(module, one)) for one in features]
        return [[{"anchor": one, "positive": other} for one, other in zip(*vectors, strict=True)]]
    if windows is None:
        made = [task.windows(tokenizer, row, max_length) for row in rows]
        parts = [part for row in made for part in row]
        owners = [number for number, row in enumerate(made) for _ in row]
    else:
        parts, owners = windows.features, windows.owners
    if task.head == "seq2seq":
        written = answers(task, parts, generate(cast(Generator, module), required(tokenizer), parts))
        return [joined(task, written, owners)]
    outputs = costs(module, parts) if task.head == "causal" else predict(module, parts)
    return [joined(one, answers(one, parts, outputs), owners) for one in tasks]


def costs(module: nn.Module, features: Sequence[Features], *, tokens_per_batch: int = 1024) -> list[np.ndarray]:
    """Return what a causal model's scored tokens cost, nats, float32 (S) a text: those of `target_ids`, or all but the first.

    Logits are as wide as a vocabulary: none are kept.
    """
    import torch

    from noria.make.tokens.batches import IGNORED, Batch
    from noria.make.training.objectives.scored_tokens import scored_tokens

    found: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(features)
    with torch.no_grad():
        for rows in like_lengths(features, tokens_per_batch):
            width = max(len(features[row].ids) for row in rows)
            ids, targets = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), IGNORED)
            for place, row in enumerate(rows):
                one = features[row]
                ids[place, : len(one.ids)] = torch.tensor(one.ids)
                targets[place, : len(one.ids) - 1] = torch.tensor(one.meta.get("target_ids", one.ids)[1:])
            batch = Batch({"input_ids": ids, "targets": targets}, rows, ids.numel())
            given, owners = (one.cpu() for one in scored_tokens(module, batch.beside(module)))
            for place, row in enumerate(rows):
                found[row] = given[owners == place].numpy()
    return found


class Windows(Protocol):
    """Windows of rows, and the row each belongs to."""

    @property
    def features(self) -> list[Features]:
        """Return the windows."""

    @property
    def owners(self) -> list[int]:
        """Return the number of each one's row, in order."""


def answers(task: Task, features: Sequence[Features], outputs: Sequence[Any]) -> list[Answer]:
    """Return the task's answer to every window."""
    return [task.answer(one, values) for one, values in zip(features, outputs, strict=True)]


def joined(task: Task, given: Sequence[Answer], owners: Sequence[int]) -> list[Answer]:
    """Return one answer a row, from the answers to its windows; `owners` is the row of each, in order."""
    return [
        task.join([given[place] for place, _ in group])
        for _, group in groupby(enumerate(owners), key=lambda item: item[1])
    ]
