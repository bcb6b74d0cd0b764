"""Can a base be tuned at all: does it read texts, and does a text's answer stay the same whatever stands beside it?

Some architectures need more than a text (pictures, boxes), read only texts of one length, or mix what fills a short text up
into its answer. They are found by trying: two short texts, each alone and both together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from noria.core.errors import FolderError, NoriaError
from noria.core.messages import message
from noria.make.evaluate.predict import predict
from noria.tasks.task import Features, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

SHORT, LONG = "物流很快。", "The hotel is well placed, breakfast is average. 酒店位置不错，早餐一般。"
TOLERATED = 1e-3
"""Share of the largest output by which filling may change another: rounding is a hundredth of it."""
PROBED = ("sequence", "token", "span", "embedding")


def check_base(task: Task, module: nn.Module, tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Refuse a base that cannot read texts, or whose answers change with what fills short texts up.

    Args:
        task: knows its head.
        module, tokenizer: as loaded from the folder, in evaluation mode.
        folder: the base, for the message.
        max_length: tokens of a text.

    Raises:
        FolderError: it cannot be tuned; names the architecture and why.
    """
    if task.head not in PROBED:
        return
    kind = getattr(module.config, "model_type", type(module).__name__)
    features = [_features(task, tokenizer, text, max_length) for text in (SHORT, LONG)]
    try:
        alone = [predict(module, [one])[0] for one in features]
        together = predict(module, features[::-1])[::-1]
        _read_as_in_training(module, features[0])
    except NoriaError:
        raise
    except Exception as error:  # an architecture that wants something else fails in its own way
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise FolderError(
            message("make.cannot_tuned", folder=folder, kind=kind, name=task.name),
            found=first,
            hint=message("make.take_another"),
        ) from error
    for one, other in zip(alone, together, strict=True):
        if not np.isfinite(one).all():
            raise FolderError(
                message("make.model_outputs", folder=folder), found=kind, hint=message("make.weights_damaged")
            )
        if one.shape != other.shape or np.abs(one - other).max() > TOLERATED * max(1e-6, np.abs(one).max()):
            raise FolderError(
                message("make.answer_text", folder=folder, kind=kind),
                found=message("make.another_answer"),
                hint=message("make.take_another"),
            )


def _read_as_in_training(module: nn.Module, one: Features) -> None:
    """Read a text in training mode, in which some architectures take fewer lengths."""
    with torch.random.fork_rng(devices=[]):
        module.train()
        try:
            predict(module, [one])
        finally:
            module.eval()


def _features(task: Task, tokenizer: Tokenizer, text: str, max_length: int) -> Features:
    row: Any = {"question": "谁？", "context": text} if task.head == "span" else text
    return task.windows(tokenizer, row, max_length)[0]
