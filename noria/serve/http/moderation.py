"""Route /v1/moderate: what the guard finds in a text, in the shape of OpenAI's moderations with Noria's own categories."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from noria.serve.guard.guard import Finding

from . import replies
from .answers import check_count, note_user
from .bodies import Moderation
from .pause import read
from .state import State


def moderation_router(state: State) -> APIRouter:
    """Return the route that looks at texts and blocks none of them."""
    router = APIRouter(prefix="/v1", tags=["guard"])

    @router.post("/moderate", responses={200: {"model": replies.Moderations}}, response_model=None)
    async def moderate(body: Moderation) -> JSONResponse:
        """Tell by which rules a text would be counted, masked or blocked; places are characters."""
        note_user(state, body.user, body.consent)
        texts = body.texts()
        check_count(state, len(texts))
        results, usage = [], state.usage()
        for place, text in enumerate(texts):
            found = [*await read(text, state.guard.find), *await state.judged(text)]
            results.append(_result(place, text, found))
            await usage.pause.now_and_then()
        usage.units, usage.unit = len(texts), "items"
        return JSONResponse({"id": usage.id, "object": "moderation", "results": results})

    return router


def _result(place: int, text: str, found: list[Finding]) -> dict[str, Any]:
    rules = sorted({one.rule for one in found})
    return {
        "index": place,
        "flagged": any(one.action == "block" for one in found),
        "categories": dict.fromkeys(rules, True),
        "category_scores": {rule: max(one.score for one in found if one.rule == rule) for rule in rules},
        "spans": [
            {
                "start": one.start,
                "end": one.end,
                "label": one.rule,
                "text": text[one.start : one.end],
                "action": one.action,
            }
            for one in found
        ],
    }
