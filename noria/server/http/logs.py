"""The server's log: one JSON object a line, with what happened and never what was said."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any

Log = Callable[..., None]


def json_log(stream: IO[str] | None = None) -> Log:
    """Return a function that writes `log("request", status=200, ...)` as one line."""
    out = stream or sys.stderr

    def log(event: str, **facts: Any) -> None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        out.write(json.dumps({"time": moment, "event": event, **facts}, ensure_ascii=True, default=str) + "\n")
        out.flush()

    return log


def no_log(event: str, **facts: Any) -> None:
    """Write nothing."""


def where(error: BaseException) -> str:
    """Return type and place of an error; its message may hold a user's words, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__ + "".join(f" < {frame.name}:{frame.lineno}" for frame in frames[-3:][::-1])
