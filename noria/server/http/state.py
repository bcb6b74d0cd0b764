"""What a running server holds, and what an application on top of it is: `State`, `App`.

An application is any object with a name, routes and a start:

    class Echo:
        name = "echo"

        def routes(self) -> Sequence[Route]:
            return [Route("POST", "/say", self._say, body=Line, reply=dict[str, Any])]      # POST /v1/apps/echo/say

        async def _say(self, context: RequestContext, body: Line) -> dict[str, Any]:
            (answer,) = await context.ask("sentiment", [body.text])
            return answer

        async def start(self, state: State) -> None:             # once, when every model answers
            ...

What a handler may do with its context tells `context`, and what a route may say of itself `routing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import NoriaError
from noria.core.folder import Manifest
from noria.server.data.sets import DataSets
from noria.server.errors import ApiError
from noria.server.guard.guard import Guard
from noria.server.jobs import Jobs
from noria.server.meter import Meter

from .keys import Caller, Keys
from .metrics import Metrics, RouteFigures
from .openapi import Document
from .rates import Rates
from .routing import Route
from .settings import ServerSettings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from noria.infer.versions import Versions


class App(Protocol):
    """An application on top of the models, mounted at /v1/apps/<name>."""

    name: str

    def routes(self) -> Sequence[Route]:
        """Return the routes; paths are relative to /v1/apps/<name>. They need a client's key, unless their role is anyone."""

    async def start(self, state: State) -> None:
        """Get ready: called once, after every model answers and before /ready says so."""


@dataclass(frozen=True)
class Served:
    """One model that is served."""

    name: str
    folder: Path
    manifest: Manifest
    worker: Versions
    """The process; of a LoRA its base's."""
    adapter: str = ""
    """The LoRA that it is, by name; empty for a model of its own."""

    @property
    def task(self) -> str:
        """Return the task the model was made for: classify, tag, embed, causal ..."""
        return str(self.manifest.facts["task"])

    @property
    def version(self) -> str:
        """Return what tells the content that is live from another under the same name."""
        return self.worker.version_of(self.adapter) or self.manifest.identity()[:12]


Methods = Collection[str]
_READ: Methods = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Changes:
    """What became of settings that were read again."""

    applied: tuple[str, ...] = ()
    """Keys that hold from now on, such as `guard.words`."""
    restart: tuple[str, ...] = ()
    """Keys that hold from the next start on."""


class Configuration(Protocol):
    """What a server was given to serve, and how that changes while it runs."""

    @property
    def file(self) -> Path | None:
        """Return the file that says it; None where flags alone do."""

    def text(self) -> str:
        """Return what stands in the file."""

    async def begin(self) -> None:
        """Do what waits for the models: put versions on trial."""

    async def check(self, text: str) -> Changes:
        """Return what a new text of the file would change; raises as `reload`."""

    async def write(self, text: str, actor: str, basis: str) -> Changes:
        """Check a new text of the file, write it, keep what stood there, and let it hold; raises as `reload`.

        Args:
            text: the whole file.
            actor: who wants it.
            basis: what stood in the file when they began: where it holds something else now, nothing is written.
        """

    async def reload(self, actor: str) -> Changes:
        """Read the file again, check it whole, and let hold what can change while the server runs.

        Raises:
            NoriaError: it cannot be used, or there is no file; all is as before.
        """


class Gate:
    """Who may pass to pages that are no routes of the table: all are shut unless opened here or a session is recognised.

    The console opens its static files and its sign-in page, and adds a recogniser that reads its cookie.
    """

    def __init__(self) -> None:
        self.open_paths: dict[str, Methods] = {}
        self.open_prefixes: dict[str, Methods] = {}
        self.recognisers: list[Callable[[HTTPConnection], Caller | None]] = []
        self.bearers: list[Callable[[str, str], Caller | None]] = []
        """Tell who a bearer token stands for that is no key, from it and the origin of the page that shows it."""
        self.pages: list[tuple[frozenset[str], tuple[str, ...]]] = []
        """Origins, as `cors.origin_of` writes them, whose pages may call what begins with some paths, besides those of the settings."""
        self.uploads: list[str] = []
        """How paths of pages begin that are sent files: their bodies are handed on while they come."""
        self.place = ""
        """Below which the pages lie: what they are made of is counted together, as console."""
        self.sign_in: str | None = None
        """Where a browser that shows no session is sent; None answers 401 like any other client."""

    def open(self, path: str, methods: Methods = _READ) -> None:
        """Let everybody use one path, or everything below it when it ends in a slash."""
        (self.open_prefixes if path.endswith("/") else self.open_paths)[path] = methods

    def recognise(self, recogniser: Callable[[HTTPConnection], Caller | None]) -> None:
        """Add a way to tell who asks besides the key in the Authorization header, such as a signed cookie."""
        self.recognisers.append(recogniser)

    def is_open(self, path: str, method: str) -> bool:
        """Return whether a request needs no key."""
        if path in self.open_paths:
            return method in self.open_paths[path]
        return any(path.startswith(prefix) and method in methods for prefix, methods in self.open_prefixes.items())


class State:
    """What a running server holds. Applications and console use the methods; the server fills the fields."""

    def __init__(
        self,
        settings: ServerSettings,
        models: Mapping[str, Served],
        keys: Keys,
        meter: Meter,
        apps: Sequence[App] = (),
        guard: Guard | None = None,
    ) -> None:
        self.settings = settings
        self.lake = settings.lake
        self.configuration: Configuration | None = None
        """Where what is served came from; None where nobody can change it while the server runs."""
        self.models = dict(models)
        self.leaving: dict[str, Served] = {}
        """Models that are served no longer, while they finish what they have."""
        self.keys = keys
        self.audit = keys.audit
        """Where every change is written down, with who made it."""
        self.meter = meter
        self.apps = tuple(apps)
        self.gate = Gate()
        self.guard = guard or Guard()
        self.rates = Rates(settings.lake / "server" / f"use-{settings.name}.json")
        self.data = DataSets(settings.lake / "server" / "data", self.audit.add)
        self.jobs = Jobs(settings.lake / "server" / "jobs")
        self.root = settings.lake.parent
        """Folder of the run: models that jobs make lie right below it, files of rows somewhere below."""
        self.in_flight = 0
        self.started = False
        """All models answer and all applications have started."""
        self.draining = False
        """The server was told to stop: what is in flight finishes, nothing new starts."""
        self.document = Document((), settings)
        self.metrics = Metrics()
        self.tasks: list[asyncio.Task[None]] = []
        """What applications leave running; ended with the server, after its last request."""
        self.failure: NoriaError | None = None
        """Why the server could not start."""

    @property
    def days(self) -> dict[str, Any]:
        """Return what the console's days, weeks, months and years are, as the analytics' calendar takes it."""
        settings = self.settings
        return {
            "zone": settings.day_zone,
            "week_starts": settings.week_starts,
            "fiscal": settings.fiscal,
            "year_starts": settings.year_starts,
            "year_week": settings.year_week,
        }

    @property
    def workers(self) -> list[Versions]:
        """Return what computes the models, those that leave too; a LoRA's is its base's."""
        return [one.worker for one in (*self.models.values(), *self.leaving.values()) if not one.adapter]

    @property
    def ready(self) -> bool:
        """Return whether requests are welcome: started, not stopping, every model answers."""
        alive = all(served.worker.status == "ready" for served in self.models.values())
        return self.started and not self.draining and alive

    def served(self, model: str) -> Served:
        """Return a served model by name.

        Raises:
            ApiError: no such model (404).
        """
        if model in self.leaving:
            return self.leaving[model]
        if model not in self.models:
            raise ApiError(
                404, "unknown model", param="model", code="model_not_found", found=model, allowed=self.models
            )
        return self.models[model]

    def routes(self) -> list[RouteFigures]:
        """Return what each route did since the start, the busiest first."""
        return self.metrics.routes()

    def model_for(self, task: str) -> str | None:
        """Return the name of the first served model for a task, or None."""
        return next((name for name, served in self.models.items() if served.task == task), None)
