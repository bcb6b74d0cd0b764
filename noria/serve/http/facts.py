"""Routes about the server itself and about use: health, metrics, models, feedback, events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from noria.lake.transcript import Correction
from noria.serve.errors import ApiError

from . import replies
from .answers import check_count, note_user
from .bodies import Events, Feedback
from .metrics import Metrics
from .state import Served, State


def facts_router(state: State, metrics: Metrics) -> APIRouter:
    """Return the routes that tell about the server and take facts of use."""
    router = APIRouter()

    @router.get("/health", tags=["server"], responses={200: {"model": replies.Health}}, response_model=None)
    async def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    ready_or_not: dict[int | str, dict[str, Any]] = {
        200: {"model": replies.Ready},
        503: {"model": replies.Ready, "description": "Requests are not welcome."},
    }

    @router.get("/ready", tags=["server"], responses=ready_or_not, response_model=None)
    async def ready() -> JSONResponse:
        """Say whether requests are welcome."""
        models = {name: served.worker.status for name, served in state.models.items()}
        status = "ready" if state.ready else "stopping" if state.draining else "starting"
        return JSONResponse({"status": status, "models": models}, status_code=200 if state.ready else 503)

    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @router.get("/metrics", tags=["server"], responses=text, response_class=Response)
    async def figures() -> Response:
        """Give all figures in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/v1/models", tags=["models"], responses={200: {"model": replies.Models}}, response_model=None)
    async def models() -> dict[str, Any]:
        """List the served models."""
        caller = state.usage().caller
        seen = [one for one in state.models.values() if not caller or not caller.models or one.name in caller.models]
        return {"object": "list", "data": [_model(served) for served in seen]}

    @router.get("/v1/models/{model}", tags=["models"], responses={200: {"model": replies.Model}}, response_model=None)
    async def model(model: str) -> dict[str, Any]:
        """Describe one served model."""
        return _model(state.served(model))

    @router.get("/v1/apps", tags=["models"], responses={200: {"model": replies.Applications}}, response_model=None)
    async def applications(request: Request) -> dict[str, Any]:
        """List the mounted applications and their routes."""
        paths = [path for path in request.app.openapi()["paths"] if path.startswith("/v1/apps/")]
        data = [
            {
                "id": one.name,
                "object": "application",
                "routes": [path for path in paths if path.split("/")[3] == one.name],
            }
            for one in state.apps
        ]
        return {"object": "list", "data": data}

    @router.post("/v1/feedback", tags=["use"], responses={200: {"model": replies.Noted}}, response_model=None)
    async def feedback(body: Feedback) -> JSONResponse:
        """Take what a user says of an answer; it is told by the answer's request id."""
        note_user(state, body.user, body.consent)
        usage = state.usage()
        usage.kind, usage.subject, usage.value = "feedback", body.request, 1.0 if body.right else -1.0
        better = body.model_dump()["better"]
        if body.right and better is not None:
            raise ApiError(400, "a right answer needs no better one", param="better", code="cannot_be_used")
        usage.exchange = Correction(body.index, better)
        return JSONResponse({"id": usage.id})

    @router.post("/v1/events", tags=["use"], responses={200: {"model": replies.AllNoted}}, response_model=None)
    async def events(body: Events) -> JSONResponse:
        """Take facts that only the client sees: impressions, clicks, conversions."""
        check_count(state, len(body.events), "events", "events")
        usage = state.usage()
        usage.counted = False
        made, tenant = [], usage.caller.tenant if usage.caller else ""
        for one in body.events:
            made.append(state.meter.event(tenant=tenant, **one.model_dump(exclude_none=True)))
            await usage.pause.now_and_then()
        await state.meter.record(*made)
        return JSONResponse({"ids": [event.id for event in made]})

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


class Gauges(Collector):
    """What metrics read off the state when somebody looks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield gauges, and counters that others keep."""
        state = self._state
        yield GaugeMetricFamily("noria_ready", "1 when requests are welcome.", value=float(state.ready))
        yield GaugeMetricFamily("noria_in_flight", "Requests being answered.", value=state.in_flight)
        yield GaugeMetricFamily("noria_events_waiting", "Events not sealed yet.", value=state.meter.outbox.count())
        queue = GaugeMetricFamily("noria_queue", "Requests before a model.", labels=["model"])
        restarts = GaugeMetricFamily("noria_model_restarts", "Restarts of a model's process.", labels=["model"])
        up = GaugeMetricFamily("noria_model_ready", "1 when a model answers.", labels=["model"])
        for name, served in state.models.items():
            queue.add_metric([name], served.worker.depth)
            restarts.add_metric([name], served.worker.restarts)
            up.add_metric([name], float(served.worker.status == "ready"))
        yield from (queue, restarts, up)
        guard = CounterMetricFamily("noria_guard", "What the guard found, by rule.", labels=["rule", "side", "action"])
        for labels, count in list(state.guard.counts.items()):
            guard.add_metric(labels, count)
        yield guard
