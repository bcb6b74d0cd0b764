"""The way out: a request's event is durable before the last byte of its answer leaves; what was sent can be kept."""

from __future__ import annotations

from starlette.types import Message, Send

from noria.core.errors import NoriaError
from noria.server.errors import ApiError, api_error

from .context import RequestContext
from .idempotency import ONE, Idempotency, Kept, Place

_PASSING = (408, 409, 429, 499)
"""Statuses that a second try may change, besides those of 500 and more: no idempotency key keeps them."""


GUARDS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""What goes with every answer that does not say otherwise: no browser shows it in a frame, guesses its kind, runs what stands in it,
or tells others where it was."""


class Answer:
    """A send that records the request's event before the last byte goes out.

    The start of a response is kept back until its first bytes: so that a short one can still become an error when its event
    cannot be stored.
    """

    def __init__(self, context: RequestContext, send: Send) -> None:
        self._context, self._send = context, send
        self._start: Message | None = None
        self.status = 499
        """HTTP status; 499 while nothing was answered: the client left."""
        self.extra: list[tuple[bytes, bytes]] = []
        """Headers that go with whatever is answered."""
        self._begun = False
        self._kept: tuple[Idempotency, Place] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Send one message of an ASGI response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = list(message.get("headers", ()))
            if not any(name == b"x-request-id" for name, _ in self._headers):
                self._headers.append((b"x-request-id", self._context.id.encode()))
            caller = self._context.caller
            limits = self._context.state.rates.headers(caller) if caller else []
            told = {name.lower() for name, _ in self._headers}
            guards = [guard for guard in GUARDS if guard[0] not in told]
            message["headers"] = [*self._headers, *guards, *self.extra, *limits]
            self._start = message
            return
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last:
            await self._context.finish(outcome_of(self.status))
        if self._kept:
            self._remember(message.get("body", b""), last)
        if self._start:
            start, self._start, self._begun = self._start, None, True
            await self._send(start)
        await self._send(message)

    def keep(self, idempotency: Idempotency, place: Place) -> None:
        """Keep the answer for the request that comes again."""
        self._kept = (idempotency, place)

    def drop(self) -> None:
        """Forget an answer that was never whole."""
        if self._kept:
            (idempotency, place), self._kept = self._kept, None
            idempotency.forget(place)

    async def repeat(self, kept: Kept) -> None:
        """Give an answer that was given before; it is no new use."""
        self._context.counted = False
        self.extra.append((b"idempotent-replayed", b"true"))
        await self({"type": "http.response.start", "status": kept.status, "headers": kept.headers})
        await self({"type": "http.response.body", "body": kept.body})

    async def fail(self, error: ApiError) -> None:
        """Answer with an error, if nothing was answered yet."""
        if self._begun:
            # Too late for a status: an end cut short is the only sign left, and the server gives it.
            self.status = error.status
            raise ConnectionAbortedError
        self._start, self.status = None, error.status
        self._context.blocked |= error.code == "content_filter"
        body = error.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in error.headers().items()]
        try:
            await self({"type": "http.response.start", "status": error.status, "headers": headers})
            await self({"type": "http.response.body", "body": body})
        except NoriaError as full:
            self._context.counted = False
            await self.fail(api_error(full))

    def _remember(self, content: bytes, last: bool) -> None:
        assert self._kept
        idempotency, place = self._kept
        self._body += content
        if self.status >= 500 or self.status in _PASSING or len(self._body) > ONE:
            self.drop()
        elif last:
            self._kept = None
            idempotency.keep(place, self.status, self._headers, bytes(self._body))


def outcome_of(status: int) -> str:
    """Return an event's outcome for an HTTP status."""
    return "ok" if status < 400 else "refused" if status < 500 else "failed"
