"""Routes of causal models, as OpenAI's API has them: /v1/completions, /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from noria.core.errors import InputError, nearest
from noria.server.errors import ApiError
from noria.tasks.complete import Sampling

from .answers import chosen
from .context import Prompt, RequestContext
from .generations import (
    AnswerTurn,
    AnyTurn,
    Chat,
    ChosenTool,
    Completion,
    Generation,
    JsonObject,
    JsonSchema,
    Render,
    ToolTurn,
)
from .shapes import ChatShape, CompletionShape, Shape
from .streams import let_out, lines, side_by_side

if TYPE_CHECKING:
    from noria.infer.replies import Piece
    from noria.tasks.calls import CallReader

CAUSAL = ("causal", "complete")
DEFAULT_TOKENS = 64


async def completions(context: RequestContext, body: Completion) -> Response:
    """Go on from a prompt; with `stream` as server-sent events."""
    context.note_user(body.user, body.consent)
    # A chat model goes on from a prompt where it is named: no template is at work then.
    model = chosen(context, body.model, (*CAUSAL, "chat") if body.model else CAUSAL)
    first = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
    prompt: Prompt
    if isinstance(first, str):
        prompt = await context.enter(first, "prompt")
        prompt = {"text": prompt} if context.served(model).task == "chat" else prompt
    else:  # the guard reads texts: those who hand over ids are asked for a text where it would look at one
        _check_unguarded(context)
        prompt = {"ids": body.prompt}
    most = context.state.settings.max_tokens
    sampling = sampling_of(body, most, -1 if body.logprobs is None else body.logprobs)
    return await _made(context, body, prompt, sampling, CompletionShape(context, model, body.logprobs))


async def chat(context: RequestContext, body: Chat) -> Response:
    """Answer a conversation; with `stream` as server-sent events."""
    context.note_user(body.user or body.safety_identifier, body.consent)
    model = _chat_model(context, body.model)
    conversation = await _conversation(context, body.messages)
    most = context.state.settings.max_tokens
    sampling = sampling_of(body, most, _logprobs(body), body.max_completion_tokens)
    prompt: dict[str, Any] = {"messages": conversation}
    held, readers = schema_of(body), []  # type: str | None, list[CallReader]
    if body.tools and body.tool_choice != "none":
        prompt["tools"] = [one.model_dump(exclude_none=True) for one in body.tools]
        held, readers = _tools(context, model, body, held)
    elif isinstance(body.tool_choice, ChosenTool) or body.tool_choice == "required":
        raise ApiError(400, "there is no tool to choose", param="tool_choice", code="cannot_be_used", hint="give tools")
    shape = ChatShape(context, model, bool(body.logprobs), held, readers)
    return await _made(context, body, prompt, sampling, shape)


async def tokenize(context: RequestContext, body: Render) -> dict[str, Any]:
    """Tell the ids of the tokens that a model reads: of a text, or of a conversation as its template writes it."""
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give a prompt or messages", param="prompt", code="cannot_be_used")
    prompt: Prompt
    if body.messages is None:
        model, prompt = chosen(context, body.model, (*CAUSAL, "chat")), {"text": body.prompt or ""}
    else:
        model = _chat_model(context, body.model)
        prompt = {"messages": await _conversation(context, body.messages)}
        if body.tools:
            prompt["tools"] = [one.model_dump(exclude_none=True) for one in body.tools]
    worker = context.served(model).worker
    ids = await worker.tokenize(prompt, timeout=context.timeout)
    return {"model": model, "count": len(ids), "max_model_len": worker.facts.get("max_length"), "tokens": ids}


async def _made(
    context: RequestContext, body: Generation, prompt: Prompt, sampling: Sampling, shape: Shape
) -> Response:
    """Return the answers, whole or as a stream."""
    count = body.n or 1
    answers = [
        let_out(context, context.complete(shape.model, prompt, one, body.stops(), shape.schema))
        for one in (replace(sampling, seed=(sampling.seed + place) % 2**63) for place in range(count))
    ]
    pieces = side_by_side(answers)
    # The first piece is waited for here, so that what cannot begin is told by a status.
    first = await anext(pieces)
    if body.stream:
        wants_usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(
            lines(context, shape, first, pieces, count, wants_usage),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
    made: list[list[Piece]] = [[] for _ in range(count)]
    made[first[0]].append(first[1])
    async for index, piece in pieces:
        made[index].append(piece)
    return JSONResponse(shape.whole(made))


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


async def _conversation(context: RequestContext, messages: Sequence[AnyTurn]) -> list[dict[str, Any]]:
    """Return the turns as chat models are told them, after the guard.

    Raises:
        ApiError: a system's turn after others, a tool's that nobody called, or an assistant's the last, or a text is blocked (400).
    """
    turns: list[dict[str, Any]] = []
    asked: dict[str, str] = {}
    for place, turn in enumerate(messages):
        role = "system" if turn.role == "developer" else turn.role
        if role == "system" and place:
            raise ApiError(
                400, "a system's turn can only be the first", param=f"messages.{place}.role", code="cannot_be_used"
            )
        text = turn.text()
        if not text and isinstance(turn, AnswerTurn):
            _check_spelling(turn, f"messages.{place}")
        if place == len(messages) - 1 and role not in ("assistant", "tool") and not text.strip():
            raise ApiError(400, "the last turn says nothing", param=f"messages.{place}.content", code="cannot_be_used")
        # What the operator tells the model is the operator's own: only what users bring is looked at.
        told = await context.enter(text, f"messages.{place}.content") if role in ("user", "tool") else text
        turns.append({"role": role, "content": told})
        if isinstance(turn, ToolTurn):
            if turn.tool_call_id not in asked:
                raise ApiError(
                    400,
                    "a tool's turn answers a call of an assistant's turn before it",
                    param=f"messages.{place}.tool_call_id",
                    code="cannot_be_used",
                    found=turn.tool_call_id,
                    allowed=asked or "none: nothing was called",
                )
            turns[-1] |= {"tool_call_id": turn.tool_call_id, "name": turn.name or asked[turn.tool_call_id]}
        elif isinstance(turn, AnswerTurn) and turn.tool_calls:
            turns[-1]["tool_calls"] = [one.model_dump() for one in turn.tool_calls]
            asked |= {one.id: one.function.name for one in turn.tool_calls}
    if turns[-1]["role"] == "assistant":
        raise ApiError(
            400,
            "the last turn is the assistant's",
            param=f"messages.{len(turns) - 1}.role",
            code="cannot_be_used",
            allowed="system, user, tool",
        )
    return turns


def _tools(context: RequestContext, model: str, body: Chat, schema: str | None) -> tuple[str | None, list[CallReader]]:
    """Return what the answers are held to where tools may be called, and a reader of calls for each.

    A call that must be made is held to while it is drawn. One that may be made is held to by torch, and elsewhere where a tool
    asks for it (strict): the faster libraries would hand every answer over to torch for it.

    Raises:
        ApiError: the model is told of no tools, or what is asked does not go together (400).
    """
    from noria.tasks.calls import CallReader
    from noria.tasks.guided import check_schema
    from noria.tasks.tools import CallForm, grammar

    facts = context.served(model).worker.facts
    tools = [one.model_dump(exclude_none=True) for one in body.tools or ()]
    names = [one["function"]["name"] for one in tools]
    chosen_name = body.tool_choice.function.name if isinstance(body.tool_choice, ChosenTool) else None
    if "calls" not in facts:
        raise ApiError(400, "the model is told of no tools", param="tools", code="cannot_be_used", found=model)
    if len(set(names)) < len(names):
        raise ApiError(400, "two tools have one name", param="tools", code="cannot_be_used", found=names)
    if chosen_name is not None and chosen_name not in names:
        raise ApiError(
            400,
            "no such tool",
            param="tool_choice.function.name",
            code="cannot_be_used",
            found=chosen_name,
            allowed=names,
        )
    for place, one in enumerate(tools):
        try:
            check_schema(json.dumps(one["function"].get("parameters", {}), ensure_ascii=False))
        except InputError as error:
            param = f"tools.{place}.function.parameters"
            raise ApiError(400, str(error), param=param, code="invalid_schema") from None
    form, specials = CallForm(**facts["calls"]["form"]), facts["calls"]["specials"]
    choice = chosen_name or ("required" if body.tool_choice == "required" else "auto")
    readers = [CallReader(form, names, specials) for _ in range(body.n or 1)]
    free = choice == "auto" and not any(one["function"].get("strict") for one in tools)
    if free and schema is None and facts.get("engine") != "torch":
        return None, readers
    several = body.parallel_tool_calls is not False
    return grammar(form, tools, choice, specials, parallel=several, answer=schema), readers


def _check_unguarded(context: RequestContext) -> None:
    settings = context.state.guard.settings
    if context.state.guard.holds or settings.injection == "block" or settings.model is not None:
        raise ApiError(400, "the guard reads texts, no ids", param="prompt", code="cannot_be_used", allowed="a text")


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
