"""Passages -> vectors, by a model folder in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import SettingError
from noria.core.messages import message

from .building import PassageEmbedder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QUERY, PASSAGE = "query: ", "passage: "
"""What a model of the E5 family is told that it reads (Wang et al. 2024): one that puts the first before texts knows the second."""

READ = 128
"""Tokens of a passage that are embedded, its title and section first among them. On CMRC 2018's trial questions, of paragraphs of 386 tokens in
the mean, the first 128, 192 and 256 tokens found as well as all (recall@1 0.989, 0.988, 0.989 and 0.988), 128 of them 4.5 times as fast: what
comes later in a passage is found by its words."""
LETTERS = 16
"""Characters of a token, at most: beyond so many times `READ` no text is looked at."""


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
            if passages and engine.tokenizer is not None:
                texts = beginnings(engine.tokenizer, texts)
            return np.asarray([one["embedding"] for one in answer(engine, texts)], dtype=np.float32)

        yield PassageEmbedder(
            f"{engine.manifest.identity()[:12]}-{READ}",
            lambda texts: embedded(texts, passages=True),
            lambda texts: embedded(texts, passages=False),
        )
    finally:
        engine.close()


def beginnings(tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Return the first `READ` tokens of each text, as they stand there."""
    short = [text[: READ * LETTERS] for text in texts]
    found = tokenizer.encode_batch(short, add_special_tokens=False)
    return [
        text[: one.offsets[READ - 1][1]] if len(one.ids) > READ else text
        for text, one in zip(short, found, strict=True)
    ]
