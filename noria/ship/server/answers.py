"""Routes of encoders: /v1/classify, /v1/tag, /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from .bodies import Embeddings, Texts
from .errors import ApiError
from .state import State


def answers_router(state: State) -> APIRouter:
    """Return the routes that answer about given texts."""
    router = APIRouter(prefix="/v1", tags=["answers"])

    @router.post("/classify")
    async def classify(body: Texts) -> JSONResponse:
        """Give every text a label, with the probability of each."""
        return JSONResponse(await _answered(state, body, "classify", "classification"))

    @router.post("/tag")
    async def tag(body: Texts) -> JSONResponse:
        """Find spans in every text; places are characters."""
        return JSONResponse(await _answered(state, body, "tag", "tagging"))

    @router.post("/embeddings")
    async def embeddings(body: Embeddings) -> JSONResponse:
        """Turn every text into a vector of length 1, as OpenAI's API does."""
        result = await _answered(state, body, "embed", "list")
        for entry in result["data"]:
            entry["object"] = "embedding"
            if body.encoding_format == "base64":
                vector = entry["embedding"]
                entry["embedding"] = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        usage = state.usage()
        usage.units, usage.unit = result["usage"]["total_tokens"], "tokens"
        return JSONResponse(result)

    return router


def chosen(state: State, model: str | None, tasks: tuple[str, ...]) -> str:
    """Return the name of the model to ask: the one named, or the only one for the task.

    Raises:
        ApiError: the named one is not served (404) or made for another task (400); none is named and not just one fits (422).
    """
    fitting = [name for name, served in state.models.items() if served.task in tasks]
    if model is None:
        if len(fitting) == 1:
            return fitting[0]
        raise ApiError(422, "name a model", param="model", allowed=fitting or "none: no such model is served")
    served = state.served(model)
    if served.task not in tasks:
        raise ApiError(
            400,
            f"{model} is made for another task",
            param="model",
            code="wrong_task",
            found=served.task,
            allowed=fitting,
        )
    return model


def tell(state: State, user: str, consent: bool | None) -> None:
    """Note what a body says of its user for the request's event; it goes before the headers."""
    usage = state.usage()
    usage.user = user or usage.user
    usage.consent = usage.consent if consent is None else consent


async def _answered(state: State, body: Texts, task: str, kind: str) -> dict[str, Any]:
    texts = body.texts()
    tell(state, body.user, body.consent)
    if not 1 <= len(texts) <= state.settings.max_rows:
        raise ApiError(
            422, "too many texts" if texts else "no text", param="input", found=len(texts),
            allowed=f"1 to {state.settings.max_rows}",
        )  # fmt: skip
    model = chosen(state, body.model, (task,))
    result = await state.run(model, texts)
    tokens = sum(result.tokens)
    return {
        "id": state.usage().id,
        "object": kind,
        "model": model,
        "data": [{"index": place, **answer} for place, answer in enumerate(result.answers)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
