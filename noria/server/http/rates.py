"""What a key may use: requests and tokens a minute, tokens a day.

Minutes are token buckets: a full one is a minute's worth, and it fills evenly. Tokens are known only afterwards, so a request
passes while any are left, and what it used is taken then, if need be from the future. Days are UTC's. Limits hold for each
server; the day's use is written down, so that a restart does not give it back.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.folder import write_json
from noria.server.errors import ApiError

from .keys import Caller, Limits

_DAY = 86_400


@dataclass
class Bucket:
    """So many units a minute; `level` may go below nothing, and is made up for then."""

    level: float
    seen: float

    def refill(self, most: int, now: float) -> float:
        """Return what is left now; a clock that went backwards gives nothing."""
        self.level = min(float(most), self.level + max(0.0, now - self.seen) * most / 60)
        self.seen = now
        return self.level


@dataclass
class Used:
    """One key's use."""

    requests: Bucket
    tokens: Bucket
    day: int = 0
    day_tokens: int = 0


class Rates:
    """The use of all keys on one server.

    Args:
        file: where the day's tokens are kept.
        clock: gives seconds that only go forwards, for the minutes.
        now: gives Unix time, for the day.
    """

    def __init__(
        self, file: Path, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._file, self._clock, self._now = file, clock, now
        self._used: dict[str, Used] = {}
        self._days = _read(file)
        self._changed = False
        self.policy = Limits()
        """What a client's key may use that has no limits of its own."""

    def limits(self, caller: Caller) -> Limits:
        """Return what a caller may use."""
        return caller.limits if caller.limits.any or caller.role != "client" else self.policy

    def admit(self, caller: Caller) -> None:
        """Take one request from the key's minute.

        Raises:
            ApiError: a limit is used up (429, with the seconds to wait).
        """
        limits = self.limits(caller)
        if not limits.any:
            return
        used = self._of(caller)
        now = self._clock()
        if limits.tokens_day and used.day_tokens >= limits.tokens_day:
            wait: float = _DAY - int(self._now()) % _DAY
            raise _over("tokens a day", "tokens_day", limits.tokens_day, wait)
        if limits.tokens_minute and (left := used.tokens.refill(limits.tokens_minute, now)) <= 0:
            raise _over(
                "tokens a minute", "tokens_minute", limits.tokens_minute, (1 - left) * 60 / limits.tokens_minute
            )
        if limits.requests_minute:
            left = used.requests.refill(limits.requests_minute, now)
            if left < 1:
                wait = (1 - left) * 60 / limits.requests_minute
                raise _over("requests a minute", "requests_minute", limits.requests_minute, wait)
            used.requests.level -= 1

    def spend(self, caller: Caller, tokens: int) -> None:
        """Take the tokens that a request used."""
        limits = self.limits(caller)
        if tokens and limits.any:
            used = self._of(caller)
            if limits.tokens_minute:
                used.tokens.refill(limits.tokens_minute, self._clock())
                used.tokens.level -= tokens
            used.day_tokens += tokens
            self._changed = True

    def headers(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """Return what is left, in the headers of OpenAI's API; none for a key without limits."""
        limits = self.limits(caller)
        if not limits.any:
            return []
        used, now, told = self._of(caller), self._clock(), []
        for name, most, bucket in (
            ("requests", limits.requests_minute, used.requests),
            ("tokens", limits.tokens_minute, used.tokens),
        ):
            if most:
                left = bucket.refill(most, now)
                told += [
                    (f"x-ratelimit-limit-{name}", str(most)),
                    (f"x-ratelimit-remaining-{name}", str(max(0, math.floor(left)))),
                    (f"x-ratelimit-reset-{name}", f"{(most - left) * 60 / most:.3f}s"),
                ]
        return [(name.encode(), value.encode()) for name, value in told]

    def day_tokens(self, tenant: str) -> int:
        """Return the tokens that a key used today."""
        used = self._used.get(tenant)
        kept = self._days.get(tenant, (0, 0))
        day, tokens = (used.day, used.day_tokens) if used else kept
        return tokens if day == self._today() else 0

    def save(self) -> None:
        """Write down the day's tokens, if they changed."""
        if self._changed:
            self._changed = False
            self._days |= {tenant: (used.day, used.day_tokens) for tenant, used in self._used.items()}
            today = self._today()
            self._days = {tenant: entry for tenant, entry in self._days.items() if entry[0] == today}
            write_json(self._file, {tenant: list(entry) for tenant, entry in self._days.items()})

    def _of(self, caller: Caller) -> Used:
        now, today = self._clock(), self._today()
        used = self._used.get(caller.tenant)
        if used is None:
            full = self.limits(caller)
            used = Used(Bucket(full.requests_minute or 0, now), Bucket(full.tokens_minute or 0, now))
            used.day, used.day_tokens = self._days.get(caller.tenant, (today, 0))
            self._used[caller.tenant] = used
        if today > used.day:  # and not when a clock goes back to yesterday
            used.day, used.day_tokens = today, 0
        return used

    def _today(self) -> int:
        return int(self._now()) // _DAY


def _over(what: str, code: str, most: int, wait: float) -> ApiError:
    return ApiError(
        429,
        f"the key's {what} are used up",
        code=f"{code}_exceeded",
        allowed=f"{most:,}",
        retry_after=max(1, math.ceil(wait)),
    )


def _read(file: Path) -> dict[str, tuple[int, int]]:
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {tenant: (int(day), int(tokens)) for tenant, (day, tokens) in kept.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        # Torn or absent, it costs one day's count and nothing else.
        return {}
