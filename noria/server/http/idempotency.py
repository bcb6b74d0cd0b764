"""Idempotency keys: a request sent again gets the answer of the first, made once (draft-ietf-httpapi-idempotency-key-header).

Answers are kept in memory, for they hold users' words: a restart forgets them. What must be once even then, the events of
/v1/events, takes ids of the client's own.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from noria.server.errors import ApiError

DAY = 86_400.0
"""Seconds that an answer is kept."""
ONE = 1 << 20
"""Largest answer that is kept, in bytes."""
ALL = 64 << 20
"""All of them together; the oldest go first."""
_LONGEST = 255
Place = tuple[str, str, str]


@dataclass
class Kept:
    """An answer, whole once `status` is not 0."""

    digest: bytes
    made: float
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Idempotency:
    """The answers of one server by caller, path and idempotency key. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Place, Kept] = OrderedDict()
        self._bytes = 0

    def begin(self, tenant: str, path: str, key: str, body: bytes) -> tuple[Place, Kept | None]:
        """Return where the answer belongs, and the answer where it was given before.

        Raises:
            ApiError: the key is not one (422), stood with another body, or its first request is still answered (409).
        """
        if not 1 <= len(key) <= _LONGEST or not key.isascii() or not key.isprintable():
            raise ApiError(
                422,
                "not an idempotency key",
                param="Idempotency-Key",
                code="invalid_field",
                allowed=f"1 to {_LONGEST} printable ASCII characters",
            )
        place, digest, now = (tenant, path, key), hashlib.sha256(body).digest(), self._clock()
        kept = self._kept.get(place)
        if kept and kept.status and now - kept.made > DAY:
            self.forget(place)
            kept = None
        if kept is None:
            self._kept[place] = Kept(digest, now)
            return place, None
        if kept.digest != digest:
            raise ApiError(
                409,
                "this key stood with another body",
                param="Idempotency-Key",
                code="idempotency_key_reused",
                hint="a new request takes a new key",
            )
        if not kept.status:
            raise ApiError(
                409,
                "the first request with this key is still being answered",
                param="Idempotency-Key",
                code="idempotency_key_in_use",
                retry_after=1,
            )
        return place, kept

    def keep(self, place: Place, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Keep an answer that is whole."""
        kept = self._kept.get(place)
        if kept is None:
            return
        kept.status, kept.headers, kept.body = status, headers, body
        self._bytes += len(body)
        while self._bytes > ALL:
            # An answer still being made has no bytes yet, and is passed over.
            oldest = next((one for one, answer in self._kept.items() if answer.status), None)
            if oldest is None:
                return
            self.forget(oldest)

    def forget(self, place: Place) -> None:
        """Let a request with this key be made anew: its answer failed, was too large or was never whole."""
        if kept := self._kept.pop(place, None):
            self._bytes -= len(kept.body)
