"""The settings of a server: where it listens, its bounds, the calendar of its console, and what keys may use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from noria.core.settings import Settings, time_zone


class KeySettings(Settings):
    """What a client's key may use that has no limits of its own."""

    requests_minute: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Most requests a minute."""
    tokens_minute: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Most tokens a minute, read and written."""
    tokens_day: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Most tokens a day, UTC."""


class PlaceSettings(Settings):
    """Where a server listens, where it keeps events, and what computes its models."""

    host: str = "127.0.0.1"
    """Address to listen on; only this machine unless told otherwise."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    """Port to listen on; 0 takes a free one."""
    lake: Path = Path("runs/lake")
    """Where events are kept; the server's own state (keys, secret) lies in `server/` below it."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of every model's process; 0 takes as many as there are cores."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|(cuda|xpu)(:[0-9]+)?)$")] = "auto"
    """Where models are computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one."""


class ServerSettings(PlaceSettings):
    """Where the server listens, where it keeps events, and its bounds."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")] = "main"
    """Name of this server among those that share a lake: each has its own outbox."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests that may wait for one model; more are told to come back (429)."""
    batch_tokens: Annotated[int, Field(ge=16, le=1_000_000)] = 4_096
    """Most tokens, padding included, that a model computes in one go."""
    max_body: Annotated[int, Field(ge=1_024, le=1 << 30)] = 1 << 20
    """Largest request body, in bytes (413 above it)."""
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 2_048
    """Most texts or events in one request (422 above it)."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 2_048
    """Most tokens that one completion may ask for (422 above it)."""
    max_in_flight: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    """Most requests being answered at once, streams included (503 above it)."""
    timeout: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    """Seconds a request may take before it is given up (503)."""
    grace: Annotated[float, Field(ge=0, le=3_600)] = 20.0
    """Seconds that requests in flight get to finish when the server is told to stop."""
    seal_minutes: Annotated[float, Field(gt=0, le=1_440)] = 10.0
    """How often events of finished days are sealed into the lake."""
    day_zone: str = "UTC"
    """Time zone that the console tells days, weeks and months in, such as Asia/Shanghai."""
    week_starts: Literal["monday", "sunday", "saturday"] = "monday"
    """Day on which the console's weeks begin."""
    fiscal: Literal["", "iso", "4-4-5", "4-5-4", "5-4-4"] = ""
    """The console's months of whole weeks: a retailer's 4-4-5, 4-5-4 or 5-4-4, or iso; those of the calendar where left out."""
    year_starts: Annotated[int, Field(ge=1, le=12)] = 1
    """Month in which the console's years begin: 4 for April."""
    year_week: Literal["nearest", "holding"] = "nearest"
    """Fiscal years begin with the week nearest to the first of that month, or with the week holding it."""
    adapters: tuple[str, ...] = ()
    """LoRAs beside the one served model that writes text, each as NAME=FOLDER, and each a model of its own by that name."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser, as in https://shop.example; none by default."""
    forwarded_allow_ips: tuple[str, ...] = ("127.0.0.1", "::1")
    """Proxies, by address or network, whose X-Forwarded-Host and X-Forwarded-Proto are believed; * believes any."""

    @field_validator("adapters")
    @classmethod
    def _named(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        told = tuple(one for some in given for one in some.split(","))
        if any(not re.fullmatch(r"[\w.:@-]+=.+", one) for one in told) or len(
            {one.split("=")[0] for one in told}
        ) < len(told):
            raise ValueError("NAME=FOLDER is allowed, each name once, several with commas between them")
        return told

    @field_validator("day_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return time_zone(name)
