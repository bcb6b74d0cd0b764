"""Routes of causal models, as OpenAI's API has them: /v1/completions, /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response, StreamingResponse

from noria.core.errors import NoriaError
from noria.tasks.complete import Sampling

from .answers import chosen, tell
from .bodies import Chat, Completion
from .errors import ApiError, api_error, body_of
from .state import State

if TYPE_CHECKING:
    from ..engine.worker import Piece

CAUSAL = ("causal", "complete")
DEFAULT_TOKENS = 64


def completions_router(state: State) -> APIRouter:
    """Return the routes that make text."""
    router = APIRouter(prefix="/v1", tags=["completions"])

    @router.post("/completions", response_model=None)
    async def completions(body: Completion) -> Response:
        """Go on from a prompt; with `stream` as server-sent events."""
        tell(state, body.user, body.consent)
        model = chosen(state, body.model, CAUSAL)
        prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
        pieces = state.complete(model, prompt, sampling_of(body, state.settings.max_tokens), body.stops())
        # The first piece is waited for here, so that what cannot begin is told by a status.
        first = await anext(pieces)
        if body.stream:
            return StreamingResponse(
                _stream(state, model, body, first, pieces), media_type="text/event-stream",
                headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            )  # fmt: skip
        text, last = first.text, first
        async for last in pieces:
            text += last.text
        return JSONResponse({
            **_head(state, model),
            "choices": [{"index": 0, "text": text, "finish_reason": last.finish, "logprobs": None}],
            "usage": _usage(last),
        })  # fmt: skip

    @router.post("/chat/completions")
    async def chat(body: Chat) -> JSONResponse:
        """Answer a conversation, once a chat model is served."""
        served = state.served(body.model)
        raise ApiError(
            400, f"{body.model} is no chat model", param="model", code="wrong_task", found=f"a model for {served.task}",
            hint="/v1/completions goes on from a prompt" if served.task in CAUSAL else "/v1/models says what it is for",
        )  # fmt: skip

    return router


def sampling_of(body: Completion, most: int) -> Sampling:
    """Return how to draw tokens; what the body leaves out has OpenAI's defaults.

    Raises:
        ApiError: more tokens than the server allows (422).
    """
    tokens = min(DEFAULT_TOKENS, most) if body.max_tokens is None else body.max_tokens
    if tokens > most:
        raise ApiError(422, "max_tokens is out of range", param="max_tokens", found=tokens, allowed=f"1 to {most}")
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        max_tokens=tokens,
        seed=secrets.randbits(63) if body.seed is None else body.seed % 2**63,
    )


async def _stream(
    state: State, model: str, body: Completion, first: Piece, pieces: AsyncGenerator[Piece, None]
) -> AsyncIterator[bytes]:
    head = _head(state, model)
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    piece = first
    try:
        while True:
            choice = {"index": 0, "text": piece.text, "finish_reason": piece.finish, "logprobs": None}
            if piece.text or piece.finish:
                yield _line({**head, "choices": [choice], **({"usage": None} if wants_usage else {})})
            if piece.finish:
                break
            piece = await anext(pieces)
        if wants_usage:
            yield _line({**head, "choices": [], "usage": _usage(piece)})
        # Done is said only when the event is on the disk: a client stops reading there.
        await state.settle(state.usage())
    except NoriaError as error:
        # The status is long sent: clients of OpenAI's API read an error from the stream.
        told = api_error(error)
        yield _line(body_of(told.status, str(told), param=told.param, code=told.code))
        await state.settle(state.usage(), "failed")
    finally:
        await pieces.aclose()
    yield b"data: [DONE]\n\n"


def _head(state: State, model: str) -> dict[str, Any]:
    served = state.served(model)
    return {
        "id": state.usage().id, "object": "text_completion", "created": int(time.time()), "model": model,
        "system_fingerprint": served.version,
    }  # fmt: skip


def _usage(piece: Piece) -> dict[str, int]:
    return {
        "prompt_tokens": piece.prompt_tokens, "completion_tokens": piece.tokens,
        "total_tokens": piece.prompt_tokens + piece.tokens,
    }  # fmt: skip


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
