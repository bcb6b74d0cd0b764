"""The server as one FastAPI application: models in their processes, routes, applications, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from noria import __version__
from noria.core.errors import InternalError, NoriaError, SettingError
from noria.core.folder import Manifest, read_manifest
from noria.core.messages import message
from noria.infer.history import History
from noria.infer.versions import Versions
from noria.lake.outbox import Outbox
from noria.lake.transcript import Mask
from noria.server.data.child import end_work
from noria.server.errors import ApiError, MethodError
from noria.server.guard.guard import Guard
from noria.server.meter import Meter, read_secret
from noria.tasks.task import task_of

from .cors import Cors
from .dispatcher import Dispatcher
from .facts import Gauges
from .keys import Keys
from .logs import Log, no_log, where
from .openapi import Document
from .proxy import Proxies
from .routes import ROUTES, routes_of
from .routing import Table, methods_of
from .settings import ServerSettings
from .state import App, Served, State

_USE_SECONDS = 5.0
_JOB_SECONDS = 0.5


def create_app(
    settings: ServerSettings,
    models: Sequence[str | Path] = (),
    apps: Sequence[App] = (),
    *,
    guard: Guard | None = None,
    mask: Mask | None = None,
    log: Log = no_log,
) -> FastAPI:
    """Return the application that serves `models` and `apps`; its State is `app.state.noria`.

    Models start in processes of their own when the application starts, and end with it. The console mounts its pages on
    the returned application before it starts.

    Args:
        settings: see `ServerSettings`.
        models: model folders; each is served under its folder's name, LoRAs of `settings.adapters` under theirs.
        apps: applications, each mounted at /v1/apps/<name>.
        guard: checks what goes in and out; by default one that counts marks of prompt injection.
        mask: takes personal data out of what consenting users said; without it nothing that was said is kept.
        log: takes one line for every request and fault; see `logs`.

    Raises:
        FolderError: a folder is missing, damaged or no model.
        SettingError: two models or two applications share a name, there is no one model for the LoRAs, the guard asks a model that is none of a classifier's, or
            what is no origin or no address stands among them.
        ResourceError: the lake cannot be written.
    """
    proxies = Proxies(settings.forwarded_allow_ips)
    served = served_models(settings, models)
    folder = settings.lake / "server"
    meter = Meter(Outbox(settings.lake, settings.name), read_secret(folder), mask=mask)
    state = State(settings, served, Keys(folder), meter, apps, guard)
    check_guard(state.guard, served)
    cors = Cors(settings.cors, state.gate.pages)
    table = Table([*ROUTES, *routes_of(apps)])
    state.document = Document(table, settings)
    state.metrics.watch(Gauges(state))
    app = FastAPI(title="Noria", version=__version__, openapi_url=None, lifespan=_lifespan(state, log))
    app.openapi = lambda: state.document.made  # type: ignore[method-assign]
    app.state.noria, app.state.cors = state, cors
    app.add_middleware(Dispatcher, state=state, table=table, log=log, cors=cors, proxies=proxies)
    app.add_exception_handler(HTTPException, _no_page)
    return app


async def _no_page(request: Request, error: Exception) -> Response:
    """Tell of a path that is no route of the table and no page either, or a page that takes another method."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    answer = ApiError(error.status_code, "no such route" if error.status_code == 404 else str(error.detail))
    if error.status_code == 405:
        methods = {
            method
            for route in iter_route_contexts(request.app.routes)
            if route.methods and compile_path(route.path or "")[0].fullmatch(request.url.path)
            for method in route.methods
        }
        answer = MethodError(request.method, methods_of(methods))
    return Response(answer.body(), error.status_code, headers | answer.headers(), "application/json")


def check_guard(guard: Guard, served: Mapping[str, Served]) -> None:
    """Pass where the model that a guard asks is a served classifier, or it asks none.

    Raises:
        SettingError: it is not.
    """
    judge = guard.settings.model
    if judge is not None and (judge not in served or served[judge].task != "classify"):
        raise SettingError(
            message("server.guard_asks"),
            found=judge,
            allowed=[name for name, one in served.items() if one.task == "classify"],
        )


def served_models(settings: ServerSettings, models: Sequence[str | Path]) -> dict[str, Served]:
    """Return models as they are served, by name; none of them has started.

    Raises:
        FolderError: a folder is missing, damaged or no model.
        SettingError: two models share a name, or there is no one model for the LoRAs.
    """
    served: dict[str, Served] = {}
    adapters = {name: Path(path) for name, _, path in (one.partition("=") for one in settings.adapters)}
    for path in models:
        folder = Path(path)
        name = folder.resolve().name
        if name in served:
            raise SettingError(message("server.two_models"), found=name, hint=message("server.serve_one"))
        manifest = read_manifest(folder)
        options = settings.model_dump(include={"threads", "queue", "batch_tokens", "device"})
        if _writes(manifest):
            options["adapters"] = adapters
        history = History(settings.lake / "server" / "models" / f"{name}.jsonl")
        served[name] = Served(name, folder, manifest, Versions(folder, history, options=options))
    if adapters:
        bases = [one for one in served.values() if _writes(one.manifest)]
        if len(bases) != 1:
            found = ", ".join(one.name for one in bases) or message("server.no_base")
            raise SettingError(message("server.one_base"), found=found)
        for name in adapters:
            if name in served:
                raise SettingError(message("server.two_models"), found=name, hint=message("server.name_adapter"))
            served[name] = replace(bases[0], name=name, adapter=name)
    return served


def _writes(manifest: Manifest) -> bool:
    """Return whether a model of our own writes text token by token: one that LoRAs may be put on."""
    return task_of(manifest).head == "causal" and "remote" not in manifest.facts


def _lifespan(state: State, log: Log) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        tasks = [asyncio.create_task(one) for one in (_seal(state, log), _keep_use(state), _begin_jobs(state, log))]
        try:
            await asyncio.gather(*(worker.start() for worker in state.workers))
            if state.configuration:
                await state.configuration.begin()
            for one in state.apps:
                await one.start(state)
            state.started = True
            for name, served in state.models.items():
                if passed := served.worker.facts.get(
                    "passed_over"
                ):  # it computes on the processor, and on nothing else
                    log("engine passed over", model=name, engine=passed, device=served.worker.facts["device"])
            log("ready", models=list(state.models), apps=[one.name for one in state.apps])
            yield
        except Exception as error:
            told = InternalError(message("server.server_did"), found=where(error))
            state.failure = error if isinstance(error, NoriaError) else told
            raise
        finally:
            state.draining = True
            end_work()
            tasks += state.tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.stop() for worker in state.workers))
            await asyncio.to_thread(state.meter.outbox.close)
            with suppress(OSError, NoriaError):  # a full disk costs the day's count of tokens, and nothing else
                state.rates.save()
            log("stopped")

    return lifespan


async def _seal(state: State, log: Log) -> None:
    """Seal finished days, now and every `seal_minutes`."""
    while True:
        try:
            if files := await asyncio.to_thread(state.meter.outbox.seal):
                log("sealed", files=files)
        except NoriaError as error:
            log("not sealed", error=str(error))
        await asyncio.sleep(state.settings.seal_minutes * 60)


async def _keep_use(state: State) -> None:
    """Write down what keys used today, every few seconds in which it changed."""
    while True:
        await asyncio.sleep(_USE_SECONDS)
        with suppress(OSError, NoriaError):
            state.rates.save()


async def _begin_jobs(state: State, log: Log) -> None:
    """Begin the jobs whose turn it is, now and every half second; what runs is left alone when the server ends."""
    while True:
        try:
            for job in await asyncio.to_thread(state.jobs.tick):
                log("job", id=job.id, title=job.title, runs=job.runs)
        except NoriaError as error:
            log("jobs not begun", error=str(error))
        await asyncio.sleep(_JOB_SECONDS)
