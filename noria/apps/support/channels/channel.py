"""What every channel does: check and read what comes, send what is replied; and what they share for it.

An adapter knows the formats of one platform and nothing of conversations, desks or files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from noria.lake.conversation import Turn
from noria.server.errors import ApiError
from noria.server.http.routing import Raw
from noria.server.webhook import Client

from .settings import ChannelSettings

EARLY_SECONDS = 300.0
"""Seconds before its end from which an access token is fetched anew."""


@dataclass(frozen=True)
class Incoming:
    """A customer's message."""

    id: str
    """The platform's own; sent again with the same one, it is the same message."""
    conversation: str
    """Names the conversation among those of the channel: one customer's in one place."""
    user: str
    """Who wrote it, by the name that `noria ship events erase` takes."""
    text: str
    to: Mapping[str, Any] = field(default_factory=dict)
    """Where a reply goes, in the platform's words."""
    consent: bool | None = None


@dataclass(frozen=True)
class Receipt:
    """What came: how it is acknowledged, once the message is on the disk, and the message where it is one."""

    response: Response
    message: Incoming | None = None


class Adapter:
    """One channel; a contract that each platform fills.

    Args:
        name: of the channel.
        client: sends to the platform.
        clock: gives Unix time.
    """

    def __init__(self, name: str, client: Client, clock: Callable[[], float] = time.time) -> None:
        self.name, self.client, self.clock = name, client, clock

    def receive(self, raw: Raw) -> Receipt:
        """Return what a request is, once its signature is checked.

        Raises:
            ApiError: the signature is not right or too old (401), or it cannot be read (400).
        """
        raise NotImplementedError

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Send a reply.

        Args:
            turn: the reply, of the desk or of a person; its id names it, however often it is sent.
            to: what came with the customer's last message.
            again: it was tried before, and may have arrived.

        Raises:
            DeliveryError: it did not arrive; lasting where it never will.
        """
        raise NotImplementedError

    def prove(self, raw: Raw) -> Response:
        """Return the answer by which a platform sees that the address is ours, where it asks by GET.

        Raises:
            ApiError: this one does not (404), or its signature is not right (401).
        """
        raise ApiError(404, "no such channel", code="no_such_channel")


class AccessToken:
    """A platform's access token, fetched when it is first needed and before it ends.

    Args:
        fetch: gives a new one and the seconds that it is good for.
        clock: gives Unix time.
    """

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, float]]], clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._token, self._until = "", 0.0

    async def get(self) -> str:
        """Return a token that is good."""
        if self._clock() >= self._until:
            token, seconds = await self._fetch()
            self._token, self._until = token, self._clock() + max(60.0, seconds - EARLY_SECONDS)
        return self._token

    def drop(self) -> None:
        """Fetch another one the next time."""
        self._until = 0.0


def client_for(settings: ChannelSettings) -> Client:
    """Return what sends to a channel's platform; its outbox tries again later, so one quick repetition is enough."""
    return Client(
        allow_private=settings.allow_private,
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        attempts=2,
    )


def read_object(content: bytes) -> dict[str, Any]:
    """Return a body that is a JSON object.

    Raises:
        ApiError: it is none (400).
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise unreadable()
    return found


def unreadable() -> ApiError:
    """Return the answer to what is signed and still cannot be read."""
    return ApiError(400, "the message cannot be read", code="cannot_be_used")
