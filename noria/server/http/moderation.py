"""Route /v1/moderate: what the guard finds in a text, in the shape of OpenAI's moderations with Noria's own categories."""

from __future__ import annotations

from typing import Any

from noria.server.guard.guard import Finding

from .answers import check_count
from .bodies import Moderation
from .context import RequestContext
from .pause import read


async def moderate(context: RequestContext, body: Moderation) -> dict[str, Any]:
    """Tell by which rules a text would be counted, masked or blocked; places are characters."""
    context.note_user(body.user, body.consent)
    texts = body.texts()
    check_count(context, len(texts))
    results = []
    for place, text in enumerate(texts):
        found = [*await read(text, context.state.guard.find), *await context.judged(text)]
        results.append(_result(place, text, found))
        await context.pause.now_and_then()
    context.usage.units, context.usage.unit = len(texts), "items"
    return {"id": context.id, "object": "moderation", "results": results}


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
