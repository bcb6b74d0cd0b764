"""Texts -> embeddings through a served model, in requests of a size that its queue takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import SettingError

if TYPE_CHECKING:
    from ..server.state import State

AT_ONCE = 64
"""Texts of one call: few enough that requests of others come in between."""


def embedder(state: State, model: str | None = None) -> Callable[[Sequence[str]], Awaitable[np.ndarray]]:
    """Return a function from texts to embeddings [texts, width], by the model `model` or the first one that embeds.

    Raises:
        SettingError: no model that embeds is served.
    """
    name = model or state.model_for("embed")
    if name is None:
        raise SettingError("no embedding model is served", hint="noria ship serve MODELS with one for the task embed")

    async def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = []
        for start in range(0, len(texts), AT_ONCE):
            answers = await state.ask(name, texts[start : start + AT_ONCE])
            vectors += [answer["embedding"] for answer in answers]
        return np.asarray(vectors, dtype=np.float32)

    return embed
