"""What a running server holds, and what applications and the console are given: `State`, `App`, `Usage`.

An application is any object with a name and a router:

    class Echo:
        name = "echo"

        def router(self, state: State) -> APIRouter:
            router = APIRouter()

            @router.post("/say")                               # POST /v1/apps/echo/say
            async def say(body: Body) -> dict:
                answers = await state.ask("sentiment", [body.text])
                usage = state.usage()                          # this request's event-to-be
                usage.user = body.user                         # pseudonymised before it is stored
                if answers[0]["label"] == "negative":
                    await state.record("alert", app=self.name, subject=usage.id)
                return answers[0]

            return router

        async def start(self, state: State) -> None:           # once, when every model answers
            ...

Every POST below /v1 becomes one Event of kind request (its id is the `x-request-id` of the response), durable before the
last byte of the response leaves; `state.ask` fills in model, version and units. `usage.counted = False` takes a request out.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import NoriaError
from noria.core.folder import Manifest
from noria.lake.event import new_id
from noria.lake.transcript import Correction, Exchange
from noria.serve.errors import ApiError
from noria.serve.guard.guard import Finding, Guard
from noria.serve.meter import Meter
from noria.tasks.complete import Sampling
from noria.text.language import language_of

from .keys import Caller, Keys
from .metrics import Metrics, Route
from .pause import Pause, read
from .rates import Rates
from .settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import APIRouter
    from starlette.requests import HTTPConnection

    from noria.infer.replies import Answers, Piece
    from noria.infer.versions import Versions


WRITES = ("causal", "complete", "chat")
"""Tasks whose models make text, piece by piece; all others answer about texts."""
Prompt = str | dict[str, Any]
"""A text to go on from, or {"messages": [...]}."""


class App(Protocol):
    """An application on top of the models, mounted at /v1/apps/<name>."""

    name: str

    def router(self, state: State) -> APIRouter:
        """Return the routes; paths are relative to /v1/apps/<name>. All of them need a key."""

    async def start(self, state: State) -> None:
        """Get ready: called once, after every model answers and before /ready says so."""


@dataclass
class Usage:
    """A request while it runs: what its Event will say. Handlers fill in what they know."""

    app: str = "api"
    caller: Caller | None = None
    id: str = field(default_factory=new_id)
    """Id of the event-to-be, and the request id the client is told."""
    kind: str = "request"
    model: str = ""
    version: str = ""
    units: int = 0
    unit: str = "items"
    tokens: int = 0
    """Tokens read and written, whatever the unit: what the key's limits count."""
    user: str = ""
    """Name of the user as the client gave it; only its pseudonym is stored."""
    segment: str = ""
    consent: bool = False
    subject: str = ""
    value: float | None = None
    exchange: Exchange | Correction | None = None
    """What was asked and answered; stored, masked, only with `consent`."""
    counted: bool = True
    """Whether the request becomes an event at all."""
    blocked: bool = False
    """The guard let the text not in or not out."""
    settled: bool = False
    """The event is on the disk."""
    started: float = field(default_factory=time.perf_counter)
    pause: Pause = field(default_factory=Pause)
    """Between the parts of long work."""


@dataclass(frozen=True)
class Served:
    """One model that is served."""

    name: str
    folder: Path
    manifest: Manifest
    worker: Versions

    @property
    def task(self) -> str:
        """Return the task the model was made for: classify, tag, embed, causal ..."""
        return str(self.manifest.facts["task"])

    @property
    def version(self) -> str:
        """Return what tells the content that is live from another under the same name."""
        return self.worker.version or self.manifest.identity()[:12]


Methods = Collection[str]
_READ: Methods = frozenset({"GET", "HEAD"})


class Gate:
    """Who may pass: everything is shut unless opened here or a key (or a recognised session) is shown.

    The console opens its static files and its sign-in page, and adds a recogniser that reads its cookie.
    """

    def __init__(self) -> None:
        self.open_paths = {"/health": _READ, "/ready": _READ}
        self.open_prefixes: dict[str, Methods] = {}
        self.recognisers: list[Callable[[HTTPConnection], Caller | None]] = []
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


_usage: ContextVar[Usage | None] = ContextVar("usage", default=None)


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
        self.days = settings.day_zone, settings.week_starts
        self.models = dict(models)
        self.keys = keys
        self.meter = meter
        self.apps = tuple(apps)
        self.gate = Gate()
        self.guard = guard or Guard()
        self.rates = Rates(settings.lake / "server" / f"use-{settings.name}.json")
        self.in_flight = 0
        self.started = False
        """All models answer and all applications have started."""
        self.draining = False
        """The server was told to stop: what is in flight finishes, nothing new starts."""
        self.metrics = Metrics()
        self.failure: NoriaError | None = None
        """Why the server could not start."""

    @property
    def ready(self) -> bool:
        """Return whether requests are welcome: started, not stopping, every model answers."""
        alive = all(served.worker.status == "ready" for served in self.models.values())
        return self.started and not self.draining and alive

    async def ask(self, model: str, texts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """Return the model's answer to every text or row, through its queue; counts the use to the current request.

        Answers are those of the model's task: {"label", "score", "scores"}, {"spans": [...]} or {"embedding": [...]}.

        Raises:
            ApiError: no such model, or it is a causal one (404).
            Busy: its queue is full (429). Unavailable: it crashed or took too long (503).
        """
        return (await self.run(model, texts)).answers

    async def run(self, model: str, texts: Sequence[Prompt]) -> Answers:
        """Return the answers with the number of tokens of every text; else like `ask`."""
        served = self.served(model)
        if served.task in WRITES:
            raise ApiError(
                404, f"{model} makes text, it does not answer", param="model", code="wrong_task", hint="/v1/completions"
            )
        usage = self.usage()
        usage.segment = usage.segment or language_of(_text_of(texts[0]) if texts else "")
        answers = await served.worker.ask(texts, timeout=self.settings.timeout, key=usage.user)
        if served.task != "embed":  # vectors teach nothing
            usage.exchange = usage.exchange or Exchange(served.task, list(texts), answers.answers)
        self.count(served, len(texts), "items", sum(answers.tokens), answers.version)
        return answers

    async def complete(
        self, model: str, prompt: Prompt, sampling: Sampling, stop: Sequence[str] = (), schema: str | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Yield the text that follows a prompt, piece by piece; the last piece says why it ended and what was used.

        With a JSON `schema` the text is held to it. Closing the iterator stops the model.

        Raises:
            ApiError: no such model, or it does not make text (404).
            Busy: its queue is full (429). Unavailable: it crashed or took too long (503).
        """
        served = self.served(model)
        if served.task not in WRITES:
            raise ApiError(
                404, f"{model} does not make text", param="model", code="wrong_task", found=f"a model for {served.task}"
            )
        usage = self.usage()
        usage.segment = usage.segment or language_of(_text_of(prompt))
        pieces = served.worker.complete(
            prompt, sampling, stop, schema=schema, timeout=self.settings.timeout, key=usage.user
        )
        used, text, version = 0, "", ""
        try:
            async for piece in pieces:
                text, version = text + piece.text, piece.version
                used = piece.prompt_tokens + piece.tokens
                if piece.finish:
                    self.count(served, used, "tokens", used, version)
                    used = 0
                    usage.exchange = usage.exchange or Exchange(served.task, [prompt], [{"text": text}])
                yield piece
        finally:
            # A stream that the client left is counted as far as it came.
            self.count(served, used, "tokens", used, version)
            await pieces.aclose()

    async def enter(self, text: str, param: str) -> str:
        """Return a text that comes in as the guard lets it be used, after asking its classifier where it has one.

        Raises:
            ApiError: a rule blocks it (400, content_filter).
        """
        found = [*await read(text, self.guard.find), *await self.judged(text)]
        await self.usage().pause.now_and_then()
        return self.guard.judge(text, found, param)

    async def judged(self, text: str) -> list[Finding]:
        """Return what the guard's classifier says of a text; nothing where there is none. It costs the client no units."""
        name = self.guard.settings.model
        if name is None:
            return []
        answers = await self.served(name).worker.ask([text], timeout=self.settings.timeout)
        return self.guard.labelled(answers.answers[0].get("scores", {}), len(text))

    async def record(self, kind: str, *, user: str = "", **facts: Any) -> str:
        """Make one more event durable (alert, handover, impression, click ...) and return its id.

        Args:
            kind: one of `noria.lake.event.KINDS`.
            user: name of the user as given; stored as a pseudonym. Where empty, that of the current request.
            facts: further fields of `noria.lake.event.Event`: app, subject, value, segment, model, units ...

        Raises:
            ResourceError: the disk is full; nothing was recorded.
        """
        usage = self.usage()
        tenant = usage.caller.tenant if usage and usage.caller else ""
        event = self.meter.event(kind, user=user or (usage.user if usage else ""), **{"tenant": tenant, **facts})
        await self.meter.record(event)
        return event.id

    async def finish(self, usage: Usage, outcome: str = "ok") -> None:
        """Make a request's event durable, once.

        The server does so before the last byte of every response; a stream does so itself before it says that it is done.

        Raises:
            ResourceError: the disk is full; the event was not acknowledged.
        """
        if usage.settled or not usage.counted:
            return
        outcome = "blocked" if usage.blocked else outcome
        event = self.meter.event(
            usage.kind,
            id=usage.id,
            user=usage.user,
            tenant=usage.caller.tenant if usage.caller else "",
            app=usage.app,
            model=usage.model,
            version=usage.version,
            units=usage.units,
            unit=usage.unit,
            latency_ms=round((time.perf_counter() - usage.started) * 1e3, 3),
            outcome=outcome,
            segment=usage.segment,
            consent=usage.consent,
            subject=usage.subject,
            value=usage.value,
            exchange=None if usage.blocked else usage.exchange,
        )
        usage.settled = True
        try:
            await self.meter.record(event)
        except NoriaError:
            usage.settled = False
            raise

    def usage(self) -> Usage:
        """Return what the Event of the request now being answered will say; outside a request, one that goes nowhere."""
        return _usage.get() or Usage(counted=False)

    def count(self, served: Served, units: int, unit: str, tokens: int = 0, version: str = "") -> None:
        """Write a model's use to the current request and its key; the first model asked gives the event its model.

        `version` is that which answered; the live one's where it is left out.
        """
        usage = self.usage()
        usage.tokens += tokens
        if usage.caller:
            self.rates.spend(usage.caller, tokens)
        if usage.model in ("", served.name):
            usage.model, usage.version, usage.unit = served.name, version or served.version, unit
            usage.units += units

    def served(self, model: str) -> Served:
        """Return a served model by name.

        Raises:
            ApiError: no such model (404), or the caller's key is kept to others (403).
        """
        if model not in self.models:
            raise ApiError(
                404, "unknown model", param="model", code="model_not_found", found=model, allowed=self.models
            )
        caller = self.usage().caller
        if caller and caller.models and model not in caller.models:
            raise ApiError(
                403,
                "the key may not use this model",
                param="model",
                code="permission_denied",
                found=model,
                allowed=caller.models,
            )
        return self.models[model]

    def routes(self) -> list[Route]:
        """Return what each route did since the start, the busiest first."""
        return self.metrics.routes()

    def model_for(self, task: str) -> str | None:
        """Return the name of the first served model for a task, or None."""
        return next((name for name, served in self.models.items() if served.task == task), None)


def begin(usage: Usage) -> None:
    """Make `usage` the one of the request that the calling task answers."""
    _usage.set(usage)


def _text_of(prompt: Prompt) -> str:
    """Return the words that tell a prompt's language: of a conversation the last turn's."""
    if isinstance(prompt, str):
        return prompt
    if "messages" in prompt:
        return str(prompt["messages"][-1]["content"])
    return str(next((value for value in prompt.values() if isinstance(value, str)), ""))
