"""What a request carries on its way: who asks, what its Event will say, and what it may ask of models, guard and outbox.

Every handler is given one, those of applications too, and hands it on to whatever works for the request:

    async def say(context: RequestContext, body: Line) -> dict[str, Any]:
        answers = await context.ask("sentiment", [body.text])   # counted to this request and its key
        context.usage.user = body.user                          # pseudonymised before it is stored
        if answers[0]["label"] == "negative":
            await context.record("alert", app="echo", subject=context.id)
        return answers[0]

Every POST below /v1 becomes one Event of kind request (its id is the `x-request-id` of the response), durable before the last
byte of the response leaves; `ask` fills in model, version and units. `context.counted = False` takes a request out.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError
from noria.lake.event import Event, new_id
from noria.lake.transcript import Correction, Exchange
from noria.server.errors import ApiError
from noria.server.guard.guard import Finding
from noria.tasks.complete import Sampling
from noria.text.language import language_of

from .keys import Caller
from .pause import Pause, read
from .state import Served, State

if TYPE_CHECKING:
    from noria.infer.replies import Answers, Piece

WRITES = ("causal", "complete", "chat")
"""Tasks whose models make text, piece by piece; all others answer about texts."""
Prompt = str | dict[str, Any]
"""A text to go on from, or {"messages": [...]}."""
CONTEXT = "noria.context"
"""Key of an ASGI scope's context, for pages that are no routes of the server's table."""


@dataclass
class Usage:
    """What a request's Event will say. Handlers fill in what they know."""

    id: str = field(default_factory=new_id)
    """Id of the event-to-be, and the request id the client is told."""
    kind: str = "request"
    app: str = "api"
    model: str = ""
    version: str = ""
    units: int = 0
    unit: str = "items"
    user: str = ""
    """Name of the user as the client gave it; only its pseudonym is stored."""
    segment: str = ""
    """What analytics may split by; the language of the first text where nobody says another."""
    consent: bool = False
    subject: str = ""
    value: float | None = None
    exchange: Exchange | Correction | None = None
    """What was asked and answered; stored, masked, only with `consent`."""


@dataclass
class RequestContext:
    """One request while it is answered, or work that no request stands behind, which is not counted."""

    state: State
    caller: Caller | None = None
    """Whose key it is; None where none was needed."""
    usage: Usage = field(default_factory=Usage)
    counted: bool = False
    """Whether the request becomes an event at all."""
    blocked: bool = False
    """The guard let the text not in or not out."""
    finished: bool = False
    """The event is on the disk."""
    tokens: int = 0
    """Tokens read and written, whatever the unit: what the key's limits count."""
    origin: str = ""
    """Origin of the page that asks, where a browser says one."""
    address: str = ""
    """Address that the request comes from: the proxy's, behind one."""
    started: float = field(default_factory=time.perf_counter)
    pause: Pause = field(default_factory=Pause)
    """Between the parts of long work."""

    @property
    def id(self) -> str:
        """Return the request's id."""
        return self.usage.id

    @property
    def actor(self) -> str:
        """Return who stands in the audit log for what is changed; empty where no key was shown."""
        return self.caller.key if self.caller else ""

    @property
    def tenant(self) -> str:
        """Return whom the request is counted under; empty where no key was shown."""
        return self.caller.tenant if self.caller else ""

    @property
    def timeout(self) -> float:
        """Return the seconds that one question to a model may take."""
        return self.state.settings.timeout

    def note_user(self, user: str, consent: bool | None) -> None:
        """Note what a body says of its user; it goes before the headers."""
        self.usage.user = user or self.usage.user
        self.usage.consent = self.usage.consent if consent is None else consent

    def served(self, model: str) -> Served:
        """Return a served model by name.

        Raises:
            ApiError: no such model (404), or the caller's key is kept to others (403).
        """
        served = self.state.served(model)
        if self.caller and self.caller.models and model not in self.caller.models:
            raise ApiError(
                403,
                "the key may not use this model",
                param="model",
                code="permission_denied",
                found=model,
                allowed=self.caller.models,
            )
        return served

    async def ask(self, model: str, texts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """Return the model's answer to every text or row, through its queue; counts the use to this request.

        Answers are those of the model's task: {"label", "score", "scores"}, {"spans": [...]} or {"embedding": [...]}.

        Raises:
            ApiError: no such model, or it is a causal one (404).
            Busy: its queue is full (429). Unavailable: it crashed or took too long (503).
        """
        return (await self.run(model, texts)).answers

    async def run(self, model: str, texts: Sequence[Prompt]) -> Answers:
        """Return the answers with the number of tokens of every text; else like `ask`."""
        served, usage = self.served(model), self.usage
        if served.task in WRITES:
            raise ApiError(
                404, f"{model} makes text, it does not answer", param="model", code="wrong_task", hint="/v1/completions"
            )
        usage.segment = usage.segment or language_of(_text_of(texts[0]) if texts else "")
        answers = await served.worker.ask(texts, timeout=self.timeout, key=usage.user)
        if served.task != "embed":  # vectors teach nothing
            usage.exchange = usage.exchange or Exchange(served.task, list(texts), answers.answers)
        self.count(served, len(texts), "items", sum(answers.tokens), answers.version)
        return answers

    async def complete(
        self, model: str, prompt: Prompt, sampling: Sampling, stop: Sequence[str] = (), schema: str | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Yield the text that follows a prompt, piece by piece; the last piece says why it ended and what was used.

        With a `schema`, or a grammar, the text is held to it. Closing the iterator stops the model.

        Raises:
            ApiError: no such model, or it does not make text (404).
            Busy: its queue is full (429). Unavailable: it crashed or took too long (503).
        """
        served, usage = self.served(model), self.usage
        if served.task not in WRITES:
            raise ApiError(
                404, f"{model} does not make text", param="model", code="wrong_task", found=f"a model for {served.task}"
            )
        usage.segment = usage.segment or language_of(_text_of(prompt))
        pieces = served.worker.complete(
            prompt, sampling, stop, schema=schema, timeout=self.timeout, key=usage.user, adapter=served.adapter
        )
        used, text, version = 0, "", ""
        try:
            async for piece in pieces:
                text, version = text + piece.text, piece.version
                used = piece.prompt_tokens + piece.tokens
                if piece.finish:
                    self.count(served, used, "tokens", used, version)
                    used = 0
                    if isinstance(prompt, str) or prompt.keys() == {"messages"}:  # what may become a training row
                        usage.exchange = usage.exchange or Exchange(served.task, [prompt], [{"text": text}])
                yield piece
        finally:
            # A stream that the client left is counted as far as it came.
            self.count(served, used, "tokens", used, version)
            await pieces.aclose()

    def count(self, served: Served, units: int, unit: str, tokens: int = 0, version: str = "") -> None:
        """Write a model's use to the request and its key; the first model asked gives the event its model.

        `version` is that which answered; the live one's where it is left out.
        """
        usage = self.usage
        self.tokens += tokens
        if self.caller:
            self.state.rates.spend(self.caller, tokens)
        if usage.model in ("", served.name):
            usage.model, usage.version, usage.unit = served.name, version or served.version, unit
            usage.units += units

    async def enter(self, text: str, param: str) -> str:
        """Return a text that comes in as the guard lets it be used, after asking its classifier where it has one.

        Raises:
            ApiError: a rule blocks it (400, content_filter).
        """
        guard = self.state.guard
        found = [*await read(text, guard.find), *await self.judged(text)]
        await self.pause.now_and_then()
        return guard.judge(text, found, param)

    async def judged(self, text: str) -> list[Finding]:
        """Return what the guard's classifier says of a text; nothing where there is none. It costs the client no units."""
        guard = self.state.guard
        name = guard.settings.model
        if name is None:
            return []
        answers = await self.state.served(name).worker.ask([text], timeout=self.timeout)
        return guard.labelled(answers.answers[0].get("scores", {}), len(text))

    async def record(self, kind: str, *, user: str = "", **facts: Any) -> str:
        """Make one more event durable (alert, handover, impression, click ...) and return its id.

        Args:
            kind: one of `noria.lake.event.KINDS`.
            user: name of the user as given; stored as a pseudonym. Where empty, that of the request.
            facts: further fields of `noria.lake.event.Event`: app, subject, value, segment, model, units ...

        Raises:
            ResourceError: the disk is full; nothing was recorded.
        """
        meter = self.state.meter
        event = meter.event(kind, user=user or self.usage.user, **{"tenant": self.tenant, **facts})
        await meter.record(event)
        return event.id

    async def finish(self, outcome: str = "ok", beside: Sequence[Event] = ()) -> None:
        """Make the request's event durable, once, and others beside it in the same commit.

        The server does so before the last byte of every response; a stream does so itself before it says that it is done.

        Raises:
            ResourceError: the disk is full; no event was acknowledged.
        """
        if self.finished or not self.counted:
            if beside:
                await self.state.meter.record(*beside)
            return
        usage, meter = self.usage, self.state.meter
        event = meter.event(
            usage.kind,
            id=usage.id,
            user=usage.user,
            tenant=self.tenant,
            app=usage.app,
            model=usage.model,
            version=usage.version,
            units=usage.units,
            unit=usage.unit,
            latency_ms=round((time.perf_counter() - self.started) * 1e3, 3),
            outcome="blocked" if self.blocked else outcome,
            segment=usage.segment,
            consent=usage.consent,
            subject=usage.subject,
            value=usage.value,
            exchange=None if self.blocked else usage.exchange,
        )
        self.finished = True
        try:
            await meter.record(*beside, event)
        except NoriaError:
            self.finished = False
            raise


def _text_of(prompt: Prompt) -> str:
    """Return the words that tell a prompt's language: of a conversation the last turn's."""
    if isinstance(prompt, str):
        return prompt
    if "messages" in prompt:
        return str(prompt["messages"][-1]["content"])
    return str(next((value for value in prompt.values() if isinstance(value, str)), ""))
