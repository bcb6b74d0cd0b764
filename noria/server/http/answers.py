"""Routes of models that answer about texts: /v1/classify, /v1/tag, /v1/answer, /v1/embeddings, /v1/translate."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response

from noria.server.errors import ApiError
from noria.server.guard.guard import Stream

from .bodies import Classified, Embeddings, Questions, Texts
from .context import Prompt, RequestContext
from .pause import Pause
from .streams import is_flagged


async def classify(context: RequestContext, body: Classified) -> Response:
    """Give every text a label, with the probability of each."""
    rows = body.rows()
    # Rows of numbers and texts are for different models; which of them is meant shows in the first.
    tasks = ("classify",) if isinstance(rows[0], str) or "features" not in rows[0] else ("numeric",)
    if any((isinstance(row, dict) and "features" in row) != ("numeric" in tasks) for row in rows):
        raise ApiError(400, "texts and rows of numbers do not go together", param="input", code="cannot_be_used")
    return await _written(await _answered(context, body, rows, tasks, "classification"))


async def tag(context: RequestContext, body: Texts) -> Response:
    """Find spans in every text; places are characters."""
    return await _written(await _answered(context, body, body.texts(), ("tag",), "tagging"))


async def answer(context: RequestContext, body: Questions) -> Response:
    """Answer every question with words of its context."""
    rows = [one.model_dump() for one in body.asked()]
    return await _written(await _answered(context, body, rows, ("answer",), "answers"))


async def translate(context: RequestContext, body: Texts) -> Response:
    """Write every text anew, in the model's other language."""
    texts = [await context.enter(text, "input") for text in body.texts()]
    result = await _answered(context, body, texts, ("translate", "summarise"), "translation")
    for entry in result["data"]:
        let = Stream(context.state.guard)
        entry["text"] = let.feed(entry["text"]) + let.flush()
        blocked = let.blocked
        if not blocked and await is_flagged(context, entry["text"]):
            entry["text"], blocked = "", True
        entry["finish_reason"] = "content_filter" if blocked else "stop"
        context.blocked |= blocked
    return await _written(result)


async def embeddings(context: RequestContext, body: Embeddings) -> Response:
    """Turn every text into a vector of length 1, as OpenAI's API does."""
    result = await _answered(context, body, body.rows(), ("embed",), "list")
    width = len(result["data"][0]["embedding"])
    if body.dimensions not in (None, width):
        raise ApiError(
            400,
            "the model gives its vectors whole",
            param="dimensions",
            code="cannot_be_used",
            found=body.dimensions,
            allowed=f"{width}, or none",
        )
    usage = context.usage
    usage.units, usage.unit = result["usage"]["total_tokens"], "tokens"

    def as_dict(entry: dict[str, Any]) -> dict[str, Any]:
        vector = entry["embedding"]
        given = base64.b64encode(vector).decode() if body.encoding_format == "base64" else vector.tolist()
        return {"index": entry["index"], "object": "embedding", "embedding": given}

    return await _written(result, as_dict)


def chosen(context: RequestContext, model: str | None, tasks: tuple[str, ...]) -> str:
    """Return the name of the model to ask: the one named, or the only one for the task.

    Raises:
        ApiError: the named one is not served or made for another task (404); none is named and not just one fits (400).
    """
    fitting = [name for name, served in context.state.models.items() if served.task in tasks]
    if model is None:
        own = [name for name in fitting if not context.state.models[name].adapter]  # a LoRA is asked by its name
        if len(own) == 1:
            return context.served(own[0]).name
        raise ApiError(
            400, "name a model", param="model", code="model_needed", allowed=fitting or "none: no such model is served"
        )
    served = context.served(model)
    if served.task not in tasks:
        raise ApiError(
            404,
            f"{model} is made for another task",
            param="model",
            code="wrong_task",
            found=served.task,
            allowed=fitting,
        )
    return model


def check_count(context: RequestContext, count: int, what: str = "texts", param: str = "input") -> None:
    """Refuse more rows than one request may have.

    Raises:
        ApiError: there are too many (422).
    """
    most = context.state.settings.max_rows
    if count > most:
        raise ApiError(
            422,
            f"too many {what}",
            param=param,
            code="invalid_field",
            found=count,
            allowed=f"1 to {most}",
        )


async def _answered(
    context: RequestContext,
    body: Texts | Classified | Questions | Embeddings,
    rows: Sequence[Prompt],
    tasks: tuple[str, ...],
    kind: str,
) -> dict[str, Any]:
    context.note_user(body.user, body.consent)
    check_count(context, len(rows))
    model = chosen(context, body.model, tasks)
    result = await context.run(model, rows)
    tokens = sum(result.tokens)
    return {
        "id": context.id,
        "object": kind,
        "model": model,
        "data": [{"index": place, **answer} for place, answer in enumerate(result.answers)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


async def _written(result: dict[str, Any], as_dict: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Response:
    """Return the answers as JSON, each as `as_dict` gives it; of many, others' requests have their turn between."""
    pause, parts = Pause(), []
    for entry in result["data"]:
        parts.append(_json(as_dict(entry)))
        await pause.now_and_then()
    head = _json({**result, "data": []})
    # The last empty list is that of the answers: what follows it is numbers.
    before, _, after = head.rpartition("[]")
    return Response(f"{before}[{','.join(parts)}]{after}".encode(), media_type="application/json")


_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
