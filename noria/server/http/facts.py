"""Routes about the server itself and about use: health, metrics, models, feedback, events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse, Response

from noria.lake.transcript import Correction
from noria.server.errors import ApiError

from .answers import check_count
from .bodies import Events, Feedback
from .context import RequestContext
from .metrics import disk_bytes, resident_bytes
from .state import Served, State


async def health(context: RequestContext) -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


async def ready(context: RequestContext) -> JSONResponse:
    """Say whether requests are welcome."""
    state = context.state
    models = {name: served.worker.status for name, served in state.models.items()}
    status = "ready" if state.ready else "stopping" if state.draining else "starting"
    return JSONResponse({"status": status, "models": models}, status_code=200 if state.ready else 503)


async def figures(context: RequestContext) -> Response:
    """Give all figures in Prometheus' text format."""
    return Response(context.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def document(context: RequestContext) -> dict[str, Any]:
    """Give the OpenAPI document."""
    return context.state.document.made


async def models(context: RequestContext) -> dict[str, Any]:
    """List the served models."""
    allowed = context.caller.models if context.caller else ()
    seen = [one for one in context.state.models.values() if not allowed or one.name in allowed]
    return {"object": "list", "data": [_model(served) for served in seen]}


async def model(context: RequestContext, model: str) -> dict[str, Any]:
    """Describe one served model."""
    return _model(context.served(model))


async def applications(context: RequestContext) -> dict[str, Any]:
    """List the mounted applications and their routes."""
    data = []
    for one in context.state.apps:
        paths = dict.fromkeys(f"/v1/apps/{one.name}{route.path}" for route in one.routes())
        data.append({"id": one.name, "object": "application", "routes": list(paths)})
    return {"object": "list", "data": data}


async def feedback(context: RequestContext, body: Feedback) -> dict[str, Any]:
    """Take what a user says of an answer; it names the answer's request id."""
    context.note_user(body.user, body.consent)
    usage = context.usage
    usage.kind, usage.subject, usage.value = "feedback", body.request, 1.0 if body.right else -1.0
    better = body.model_dump()["better"]
    if body.right and better is not None:
        raise ApiError(400, "a right answer needs no better one", param="better", code="cannot_be_used")
    usage.exchange = Correction(body.index, better)
    return {"id": context.id}


async def events(context: RequestContext, body: Events) -> dict[str, Any]:
    """Take facts that only the client sees: impressions, clicks, conversions."""
    check_count(context, len(body.events), "events", "events")
    context.counted = False  # each of them is an event, and the request none beside them
    meter, made = context.state.meter, []
    for one in body.events:
        made.append(meter.event(tenant=context.tenant, **one.model_dump(exclude_none=True)))
        await context.pause.now_and_then()
    await meter.record(*made)
    return {"ids": [event.id for event in made]}


def _model(served: Served) -> dict[str, Any]:
    facts = served.manifest.facts
    return {
        "id": served.name,
        "object": "model",
        "created": int(datetime.fromisoformat(served.manifest.created).timestamp()),
        "owned_by": "noria",
        "task": served.task,
        "labels": facts.get("labels") or [],
        "max_length": facts.get("max_length"),
        "parent": served.folder.resolve().name if served.adapter else None,
        **served.worker.health(),
        "version": served.version,
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
        memory = GaugeMetricFamily("noria_model_memory_bytes", "Resident memory of a model.", labels=["model"])
        for name, served in ((one.name, one) for one in state.models.values() if not one.adapter):
            if process := served.worker.process_id:
                memory.add_metric([name], resident_bytes(process) or 0)
            queue.add_metric([name], served.worker.depth)
            restarts.add_metric([name], served.worker.restarts)
            up.add_metric([name], float(served.worker.status == "ready"))
        free, size = disk_bytes(state.lake)
        yield GaugeMetricFamily("noria_disk_free_bytes", "Room left on the lake's disk.", value=free)
        yield GaugeMetricFamily("noria_disk_bytes", "Size of the lake's disk.", value=size)
        yield from (queue, restarts, up, memory)
        guard = CounterMetricFamily("noria_guard", "What the guard found, by rule.", labels=["rule", "side", "action"])
        for labels, count in list(state.guard.counts.items()):
            guard.add_metric(labels, count)
        yield guard
