"""Two engines of one folder as one: what is fastest for one text answers it, what is fastest for several answers those.

`engine/pair.json` names them, {"one": "onnx", "several": "packed"}; the file of each lies beside it, torch's weights above. Both
passed the certificate. Their numbers are not the same bit for bit, so a text's score alone and among others may differ a little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, SettingError
from noria.core.messages import message
from noria.tasks.complete import Sampling
from noria.tasks.task import Features

from .engine import ENGINES, Engine, Kind

if TYPE_CHECKING:
    from .scheduler import Scheduler

PARTS: tuple[Kind, ...] = ("torch", "packed", "openvino", "onnx")
"""Engines that may answer: those of encoders."""


def parts_of(folder: Path) -> tuple[Kind, Kind]:
    """Return which engine answers one text, and which several.

    Raises:
        FolderError: the file that says so is missing or of another form.
    """
    file = folder / ENGINES["pair"]
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        one, several = known["one"], known["several"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(message("infer.cannot_read", file=file), found=str(error)) from None
    if one not in PARTS or several not in PARTS or one == several:
        raise FolderError(message("infer.cannot_read", file=file), found=f"{one}, {several}", allowed=PARTS)
    return one, several


class PairedEngine:
    """An engine made of two of the same folder.

    Args:
        one: answers a text that is alone.
        several: answers texts together.
    """

    kind: Kind = "pair"

    def __init__(self, one: Engine, several: Engine) -> None:
        self.one, self.several = one, several
        self.folder, self.manifest, self.task = several.folder, several.manifest, several.task
        self.max_length, self.padding = several.max_length, several.padding

    @classmethod
    def of(cls, folder: Path, opened: Callable[[Kind], Engine]) -> PairedEngine:
        """Return the pair that a folder names; `opened` gives each of its engines. Raises as `parts_of`."""
        one, several = parts_of(folder)
        return cls(opened(one), opened(several))

    @property
    def tokenizer(self) -> Any:
        """Return what turns texts into token ids."""
        return self.several.tokenizer

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Return each text's logits; see `Engine`."""
        return self._for(len(batch)).forward(batch, types)

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what `Task.answer` takes for each text; see `Engine`."""
        return self._for(len(features)).outputs(features)

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)

    def scheduler(self) -> Scheduler:
        """Refuse: see `Engine`."""
        raise SettingError(message("infer.only_causal"), found=self.task.name)

    def close(self) -> None:
        """Give the memory back."""
        self.one.close()
        self.several.close()

    def _for(self, texts: int) -> Engine:
        return self.one if texts == 1 else self.several
