"""Texts -> embeddings through a served model, in requests of a size that its queue takes; those of fixed texts are kept."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import xxhash

from noria.core.errors import SettingError
from noria.core.folder import write_bytes
from noria.core.messages import message

if TYPE_CHECKING:
    from noria.server.http.context import RequestContext

Embed = Callable[[Sequence[str]], Awaitable[np.ndarray]]
"""Texts -> embeddings [texts, width]."""

AT_ONCE = 16
"""Texts of one call: few enough that requests of others come in between, and that a slow machine answers in time."""


def embedder(context: RequestContext, model: str | None = None) -> Embed:
    """Return a function from texts to embeddings [texts, width], by the model `model` or the first one that embeds.

    Raises:
        SettingError: no model that embeds is served.
    """
    name = _named(context, model)

    async def embed(texts: Sequence[str]) -> np.ndarray:
        vectors = []
        for start in range(0, len(texts), AT_ONCE):
            answers = await context.ask(name, texts[start : start + AT_ONCE])
            vectors += [answer["embedding"] for answer in answers]
        return np.asarray(vectors, dtype=np.float32)

    return embed


def keeping(context: RequestContext, app: str, model: str | None = None) -> Embed:
    """Return an embedder for an application's own texts, whose embeddings outlive the server.

    They lie in `<lake>/apps/<app>/<version of the model>.npz`, by hash of the text; another version starts a new file. The
    second start of a server so takes no time for texts it knows. Not for what users write: only the last texts are kept.
    """
    name = _named(context, model)
    file = file_of(context.state.lake, app, context.served(name).version)
    return kept(file, embedder(context, name))


def file_of(lake: Path, app: str, version: str) -> Path:
    """Return where the embeddings of an application's own texts by a version of a model lie."""
    return lake / "apps" / app / f"{version}.npz"


def kept(file: Path, ask: Embed) -> Embed:
    """Return an embedder that asks for what a file does not know, and keeps it there."""

    async def embed(texts: Sequence[str]) -> np.ndarray:
        hashes = [xxhash.xxh3_128_hexdigest(text.encode()) for text in texts]
        known = await asyncio.to_thread(_read, file)
        new = {key: text for key, text in zip(hashes, texts, strict=True) if key not in known}
        if new:
            known |= dict(zip(new, await ask(list(new.values())), strict=True))
            await asyncio.to_thread(_write, file, known)
        return np.array([known[key] for key in hashes], dtype=np.float32)

    return embed


def _named(context: RequestContext, model: str | None) -> str:
    name = model or context.state.model_for("embed")
    if name is None:
        raise SettingError(message("apps.embedding_model"), hint=message("apps.noria_ship"))
    return name


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
            return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return {}  # no file yet, or one that cannot be read: it is made anew


def _write(file: Path, known: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, keys=np.array(list(known)), vectors=np.array(list(known.values())))
    write_bytes(file, buffer.getvalue())
