"""Signed webhooks, out and in: what is sent goes to a checked address under one idempotency key, what comes is checked before it is read.

    client = Client(read_seconds=8)
    answer = await client.post_signed(url, body, id=turn.id, secret=secret)      # Answer(status=200, body=b"...")
    id = verified(headers, body, secret, time.time())                            # or ApiError 401

The signature is that of Standard Webhooks (standardwebhooks.com, 2023): headers webhook-id, webhook-timestamp and webhook-signature, which is
`v1,` and base64 of HMAC-SHA256 over id.timestamp.body. The id is the Idempotency-Key too, the same in every try.

An address is looked up once, checked, and connected to as it was checked, so that a name cannot mean another machine meanwhile.
Redirects are not followed; cookies and the proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
from pydantic import Field, model_validator

from noria.core.errors import ResourceError, SettingError, shorten
from noria.core.messages import message
from noria.core.settings import Settings

from .addresses import certificates, check_url, is_public
from .errors import ApiError

WINDOW_SECONDS = 300
"""How far a signature's time may be from now: what Standard Webhooks and Slack advise."""
LONGEST_WAIT = 30.0
"""Seconds between two tries at most, whatever the other side asks for."""
_AGAIN = frozenset((408, 425, 429))
FIRST_WAIT, MOST_WAIT = 10.0, 900.0
"""Seconds from the first try of what waits in an outbox to the second; twice as many after each, up to these."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
"""Name of an environment variable that holds a secret: no file does."""


class DeliveryError(ResourceError):
    """What was sent to another server did not arrive, or was refused there.

    Args:
        lasting: sending it again is of no use.
    """

    def __init__(self, what: str, *, found: object = None, hint: str | None = None, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(what, found=found, hint=hint)


class WebhookSettings(Settings):
    """Where a signed webhook goes, and how patiently."""

    url: str
    """Address that is posted to: https, or http where private addresses are allowed."""
    secret_env: Variable
    """Name of the environment variable with the secret: any text, or base64 behind `whsec_`."""
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Seconds to find and connect to it."""
    read_seconds: Annotated[float, Field(gt=0, le=120)] = 8.0
    """Seconds for the whole of its answer."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Tries in all where it is away or busy, with longer and longer waits between them."""
    allow_private: bool = False
    """Allow http and addresses of one's own network: those that are private, loopback or link-local."""

    @model_validator(mode="after")
    def _address(self) -> WebhookSettings:
        check_url(self.url, self.allow_private)
        return self


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Return whether it took what was sent."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return its body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the order to try them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Client:
    """Sends to other servers.

    Args:
        allow_private: addresses of one's own network are allowed, and http.
        connect_seconds: to find and to connect to one.
        read_seconds: for the whole of an answer.
        attempts: tries in all.
        most_bytes: of an answer; one that is longer is refused.
        sleep: waits between tries.
        spread: a number from 0 to 1, which parts tries that failed together.
        resolver: gives the addresses of a host.
        clock: gives Unix time.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        connect_seconds: float = 3.0,
        read_seconds: float = 8.0,
        attempts: int = 3,
        most_bytes: int = 64 << 10,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
        resolver: Resolve = resolve,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._private, self._attempts, self._most = allow_private, attempts, most_bytes
        self._connect, self._read = connect_seconds, read_seconds
        self._sleep, self._spread, self._resolve, self._clock = sleep, spread, resolver, clock

    async def post_signed(self, url: str, body: bytes, *, id: str, secret: str) -> Answer:
        """Post JSON under a signature and an idempotency key; else as `send`."""

        def headers() -> dict[str, str]:
            return {"content-type": "application/json", **signed(body, id, secret, int(self._clock()))}

        return await self.send("POST", url, body, headers)

    async def send(self, method: str, url: str, body: bytes, headers: Callable[[], Mapping[str, str]]) -> Answer:
        """Return the first answer that is not "not now" (408, 425, 429, 5xx), trying again where there is none.

        Args:
            method: as in POST.
            url: where to.
            body: what is sent; the same in every try.
            headers: gives those of a try.

        Raises:
            DeliveryError: every try failed; or, lasting, the address is not allowed or the answer too long.
        """
        problem: object = None
        for attempt in range(1, self._attempts + 1):
            wait = 0.0
            try:
                async with asyncio.timeout(self._connect + self._read):
                    status, wait, content = await self._once(method, url, body, headers())
                if status not in _AGAIN and status < 500:
                    return Answer(status, content)
                problem = f"HTTP {status}"
            except TimeoutError:
                problem = message("server.too_slow", seconds=self._connect + self._read)
            except (httpx.HTTPError, OSError, UnicodeError) as error:
                problem = shorten(f"{type(error).__name__} {error}".strip())
            if attempt < self._attempts:
                wait = min(LONGEST_WAIT, max(wait, 0.5 * 2.0 ** (attempt - 1) * (1 + self._spread())))
                await self._sleep(wait)
        raise DeliveryError(message("server.not_delivered"), found=problem)

    async def _once(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, float, bytes]:
        """Return what came of one try: its status, the seconds that it is asked to wait, and the body."""
        whole = check_url(url, self._private)
        port = whole.port or (443 if whole.scheme == "https" else 80)
        async with asyncio.timeout(self._connect):
            found = await self._resolve(whole.host, port)
        if not found or not (self._private or all(is_public(one) for one in found)):
            # One private address among several is as bad: the next look-up may give that one.
            raise DeliveryError(
                message("server.private_address"), found=whole.host, hint=message("server.allow_private"), lasting=True
            )
        timeout = httpx.Timeout(self._read, connect=self._connect)
        request = httpx.Request(
            method,
            whole.copy_with(host=found[0]),
            headers={"host": whole.netloc.decode(), "accept-encoding": "identity", "user-agent": "noria", **headers},
            content=body,
            extensions={"timeout": timeout.as_dict(), "sni_hostname": whole.host},
        )
        # No connection is kept: it would be reused for another name of the same address, whose certificate nobody checked.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncHTTPTransport(verify=certificates(), limits=limits) as transport:
            response = await transport.handle_async_request(request)
            content = b""
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > self._most:
                    raise DeliveryError(
                        message("server.answer_too_long"), found=message("server.bytes", most=self._most), lasting=True
                    )
        asked = 0.0
        with suppress(ValueError):
            asked = max(0.0, float(response.headers.get("retry-after", 0)))
        return response.status_code, asked, content


def outbox_wait(attempts: int) -> float:
    """Return the seconds after which what was tried so often in vain is tried again."""
    return min(MOST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 10))


def client_of(settings: WebhookSettings) -> Client:
    """Return the client of a webhook's settings."""
    return Client(
        allow_private=settings.allow_private,
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        attempts=settings.attempts,
    )


def signed(body: bytes, id: str, secret: str, timestamp: int) -> dict[str, str]:
    """Return the headers that sign a body, at a Unix time in seconds."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{_signature(body, id, secret, timestamp)}",
        "idempotency-key": id,
    }


def verified(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str:
    """Return the id of a signed body.

    Args:
        headers: of the request, by their names in small letters.
        body: its bytes as they came.
        secret: of the sender.
        now: Unix time in seconds.

    Raises:
        ApiError: the signature is not right, or too old to be anything but a repetition (401).
    """
    id, told = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = [one.partition(",") for one in headers.get("webhook-signature", "").split()[:16]]
    timestamp = fresh(told, now)
    if not 1 <= len(id) <= 128 or not id.isascii() or not id.isprintable():
        raise forged()
    right = _signature(body, id, secret, timestamp)
    if not any(version == "v1" and same(right, one) for version, _, one in given):
        raise forged()
    return id


def fresh(timestamp: str, now: float, window: float = WINDOW_SECONDS) -> int:
    """Return the time that a signature names, where it is near to now.

    Raises:
        ApiError: it names none, or one that is too far away (401).
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
        raise forged()
    if abs(int(timestamp) - now) > window:
        raise ApiError(401, "the signature is of another time", code="stale_signature", allowed=f"{window:g} seconds")
    return int(timestamp)


def forged() -> ApiError:
    """Return the answer to a signature that is not right; it does not say what was wrong with it."""
    return ApiError(401, "the signature is not right", code="invalid_signature")


def same(right: str, given: str) -> bool:
    """Return whether two signatures are one, in a time that says nothing of how far they agree."""
    return hmac.compare_digest(right.encode(), given.encode("utf-8", "surrogateescape"))


def secret_of(variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the secret that an environment variable holds.

    Raises:
        SettingError: it is not set.
    """
    if not environ.get(variable):
        raise SettingError(
            message("server.no_secret"), found=variable, hint=message("server.export", variable=variable)
        )
    return environ[variable]


def _signature(body: bytes, id: str, secret: str, timestamp: int) -> str:
    key = secret.encode()
    if secret.startswith("whsec_"):
        with suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    content = b".".join((id.encode(), str(timestamp).encode(), body))
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()
