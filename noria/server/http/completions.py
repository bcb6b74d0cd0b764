"""Routes of causal models, as OpenAI's API has them: /v1/completions, /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response, StreamingResponse

from noria.core.errors import InputError, nearest
from noria.server.errors import ApiError
from noria.tasks.complete import Sampling

from .answers import chosen
from .bodies import AnswerTurn, Chat, Completion, Generation, JsonObject, JsonSchema
from .context import Prompt, RequestContext
from .streams import ChatShape, CompletionShape, Shape, let_out, lines

if TYPE_CHECKING:
    from noria.infer.replies import Piece

CAUSAL = ("causal", "complete")
DEFAULT_TOKENS = 64


async def completions(context: RequestContext, body: Completion) -> Response:
    """Go on from a prompt; with `stream` as server-sent events."""
    context.note_user(body.user, body.consent)
    model = chosen(context, body.model, CAUSAL)
    prompt = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    prompt = await context.enter(prompt, "prompt")
    most = context.state.settings.max_tokens
    sampling = sampling_of(body, most, -1 if body.logprobs is None else body.logprobs)
    return await _made(context, body, prompt, sampling, CompletionShape(context, model, body.logprobs))


async def chat(context: RequestContext, body: Chat) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    context.note_user(body.user or body.safety_identifier, body.consent)
    model = _chat_model(context, body.model)
    conversation = await _conversation(context, body)
    most = context.state.settings.max_tokens
    sampling = sampling_of(body, most, _logprobs(body), body.max_completion_tokens)
    shape = ChatShape(context, model, bool(body.logprobs), schema_of(body))
    return await _made(context, body, {"messages": conversation}, sampling, shape)


async def _made(
    context: RequestContext, body: Generation, prompt: Prompt, sampling: Sampling, shape: Shape
) -> Response:
    """Return the answer, whole or as a stream."""
    pieces = let_out(context, context.complete(shape.model, prompt, sampling, body.stops(), shape.schema))
    # The first piece is waited for here, so that what cannot begin is told by a status.
    first = await anext(pieces)
    if body.stream:
        wants_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(
            lines(context, shape, first, pieces, wants_usage),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
    return JSONResponse(shape.whole(await _all(first, pieces)))


async def _all(first: Piece, pieces: AsyncGenerator[Piece, None]) -> list[Piece]:
    return [first, *[piece async for piece in pieces]]


def sampling_of(body: Generation, most: int, logprobs: int = -1, newer: int | None = None) -> Sampling:
    """Return how to draw tokens; what the body leaves out has OpenAI's defaults.

    Raises:
        ApiError: more tokens than the server allows (422), or told by both names (400).
    """
    if newer is not None and body.max_tokens is not None:
        raise ApiError(
            400,
            "told twice",
            param="max_completion_tokens",
            code="cannot_be_used",
            allowed="max_tokens or max_completion_tokens",
        )
    name = "max_tokens" if newer is None else "max_completion_tokens"
    given = body.max_tokens if newer is None else newer
    tokens = min(DEFAULT_TOKENS, most) if given is None else given
    if tokens > most:
        raise ApiError(
            422, f"{name} is out of range", param=name, code="invalid_field", found=tokens, allowed=f"1 to {most}"
        )
    return Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        max_tokens=tokens,
        seed=secrets.randbits(63) if body.seed is None else body.seed % 2**63,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logprobs=logprobs,
    )


def _logprobs(body: Chat) -> int:
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(
            400, "top_logprobs needs logprobs", param="top_logprobs", code="cannot_be_used", hint="logprobs: true"
        )
    return (body.top_logprobs or 0) if body.logprobs else -1


def _chat_model(context: RequestContext, model: str | None) -> str:
    served = context.served(model) if model is not None else None
    if served and served.task != "chat":
        raise ApiError(
            404,
            f"{model} is no chat model",
            param="model",
            code="wrong_task",
            found=f"a model for {served.task}",
            hint="/v1/completions goes on from a prompt" if served.task in CAUSAL else "/v1/models says what it is for",
        )
    return chosen(context, model, ("chat",))


async def _conversation(context: RequestContext, body: Chat) -> list[dict[str, str]]:
    """Return the turns as chat models are told them, after the guard.

    Raises:
        ApiError: a system's turn after others, or an assistant's the last, or a text is blocked (400).
    """
    turns = []
    for place, turn in enumerate(body.messages):
        role = "system" if turn.role == "developer" else turn.role
        if role == "system" and place:
            raise ApiError(
                400, "a system's turn can only be the first", param=f"messages.{place}.role", code="cannot_be_used"
            )
        text = turn.text()
        if not text and isinstance(turn, AnswerTurn):
            _check_spelling(turn, f"messages.{place}")
        if place == len(body.messages) - 1 and role != "assistant" and not text.strip():
            raise ApiError(400, "the last turn says nothing", param=f"messages.{place}.content", code="cannot_be_used")
        # What the operator tells the model is the operator's own: only what users bring is looked at.
        told = await context.enter(text, f"messages.{place}.content") if role == "user" else text
        turns.append({"role": role, "content": told})
    if turns[-1]["role"] == "assistant":
        raise ApiError(
            400,
            "the last turn is the assistant's",
            param=f"messages.{len(turns) - 1}.role",
            code="cannot_be_used",
            allowed="system, user",
        )
    return turns


def _check_spelling(turn: AnswerTurn, param: str) -> None:
    """Refuse an answer whose content is misspelled: what servers add is passed over, and an answer may be empty.

    Raises:
        ApiError: a field is called almost like content (400).
    """
    for name in turn.model_extra or ():
        if abs(len(name) - len("content")) <= 2 and nearest(name, ["content"]):
            raise ApiError(
                400,
                "unknown field",
                param=f"{param}.{name}",
                code="cannot_be_used",
                found=name,
                hint="did you mean content?",
            )


def schema_of(body: Chat) -> str | None:
    """Return the JSON schema that an answer is held to, as JSON; None where it may be any text.

    Raises:
        ApiError: the schema asks for what cannot be held to (400).
    """
    wanted = body.response_format
    if isinstance(wanted, JsonObject):
        return '{"type":"object"}'
    if not isinstance(wanted, JsonSchema):
        return None
    from noria.tasks.guided import check_schema

    schema = json.dumps(wanted.json_schema.given, ensure_ascii=False)
    try:
        check_schema(schema)
    except InputError as error:
        raise ApiError(400, str(error), param="response_format.json_schema.schema", code="invalid_schema") from None
    return schema
