"""Passages -> vectors, by a model folder in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from noria.core.errors import SettingError
from noria.core.messages import message

from .building import PassageEmbedder

QUERY, PASSAGE = "query: ", "passage: "
"""What a model of the E5 family is told that it reads (Wang et al. 2024): one that puts the first before texts knows the second."""


@contextmanager
def passage_embedder(model: Path | None) -> Iterator[PassageEmbedder | None]:
    """Give what embeds passages by a model folder, or None where there is none; the model is closed at the end.

    Raises:
        SettingError: the model is for another task.
        FolderError: the folder is missing or damaged.
    """
    if model is None:
        yield None
        return
    from noria.infer.brought import model_folder
    from noria.infer.choose import open_engine
    from noria.infer.engine import answer

    engine = open_engine(model_folder(model), rounded=True)
    try:
        task = engine.task
        if task.name != "embed":
            raise SettingError(message("commands.takes_model"), found=task.name, allowed=message("commands.model_task"))
        reading = replace(task, prefix=PASSAGE) if task.prefix == QUERY else task

        def embedded(texts: Sequence[str], *, passages: bool) -> np.ndarray:
            engine.task = reading if passages else task
            return np.asarray([one["embedding"] for one in answer(engine, texts)], dtype=np.float32)

        yield PassageEmbedder(
            engine.manifest.identity()[:12],
            lambda texts: embedded(texts, passages=True),
            lambda texts: embedded(texts, passages=False),
        )
    finally:
        engine.close()
