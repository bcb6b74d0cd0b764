"""Routes about the server itself and about use: health, metrics, models, feedback, events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from noria.core.said import Better

from .answers import tell
from .bodies import Events, Feedback
from .errors import ApiError
from .metrics import Metrics
from .state import Served, State


def facts_router(state: State, metrics: Metrics) -> APIRouter:
    """Return the routes that tell about the server and take facts of use."""
    router = APIRouter()

    @router.get("/health", tags=["server"])
    async def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @router.get("/ready", tags=["server"])
    async def ready() -> JSONResponse:
        """Say whether requests are welcome."""
        models = {name: served.worker.status for name, served in state.models.items()}
        status = "ready" if state.ready else "stopping" if state.draining else "starting"
        return JSONResponse({"status": status, "models": models}, status_code=200 if state.ready else 503)

    @router.get("/metrics", tags=["server"])
    async def figures() -> Response:
        """Give all figures in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/v1/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """List the served models."""
        return {"object": "list", "data": [_model(served) for served in state.models.values()]}

    @router.get("/v1/models/{model}", tags=["models"])
    async def model(model: str) -> dict[str, Any]:
        """Describe one served model."""
        return _model(state.served(model))

    @router.post("/v1/feedback", tags=["use"])
    async def feedback(body: Feedback) -> dict[str, str]:
        """Take what a user says of an answer; it is told by the answer's request id."""
        tell(state, body.user, body.consent)
        usage = state.usage()
        usage.kind, usage.subject, usage.value = "feedback", body.request, 1.0 if body.right else -1.0
        better = body.model_dump()["better"]
        if body.right and better is not None:
            raise ApiError(422, "a right answer needs no better one", param="better", code="invalid_field")
        usage.said = Better(body.index, better)
        return {"id": usage.id}

    @router.post("/v1/events", tags=["use"])
    async def events(body: Events) -> dict[str, list[str]]:
        """Take facts that only the client sees: impressions, clicks, conversions."""
        if len(body.events) > state.settings.max_rows:
            raise ApiError(
                422,
                "too many events",
                param="events",
                found=len(body.events),
                allowed=f"1 to {state.settings.max_rows}",
            )
        usage = state.usage()
        usage.counted = False
        made = [
            state.meter.event(tenant=usage.caller.tenant if usage.caller else "", **one.model_dump())
            for one in body.events
        ]
        await state.meter.record(*made)
        return {"ids": [event.id for event in made]}

    return router


def _model(served: Served) -> dict[str, Any]:
    facts = served.manifest.facts
    return {
        "id": served.name,
        "object": "model",
        "created": int(datetime.fromisoformat(served.manifest.created).timestamp()),
        "owned_by": "noria",
        "task": served.task,
        "labels": facts.get("labels") or [],
        "version": served.version,
        "max_length": facts.get("max_length"),
        **served.worker.health(),
    }
