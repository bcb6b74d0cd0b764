"""What goes wrong in a request, in the shape that OpenAI's clients read.

{"error": {"message": "unknown model: found 'x'; allowed a, b", "type": "invalid_request_error", "param": "model",
           "code": "model_not_found"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from noria.core.errors import InputError, NoriaError, SettingError, UserError, nearest


class ApiError(UserError):
    """An answer that is an error: its HTTP status, the field at fault and a code that programs can tell it by.

    422 means that a field breaks what the OpenAPI document says of it; 400 that fields are right one by one and still cannot
    be used.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        param: str | None = None,
        code: str | None = None,
        found: object = None,
        allowed: str | Iterable[str] | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after
        super().__init__(what, found=found, allowed=allowed, hint=hint)

    def headers(self) -> dict[str, str]:
        """Return the headers that go with the error."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers

    def body(self) -> bytes:
        """Return the error's body, as JSON."""
        return json.dumps(body_of(self.status, str(self), param=self.param, code=self.code)).encode()


class MethodError(ApiError):
    """A route takes other methods."""

    def __init__(self, method: str, allow: str) -> None:
        super().__init__(405, f"the route takes another method: found {method}; allowed {allow}")
        self._allow = allow

    def headers(self) -> dict[str, str]:
        """Return the methods that the route takes."""
        return {"allow": self._allow}


class SignInError(ApiError):
    """A browser that shows no session is sent to the page where one signs in."""

    def __init__(self, place: str) -> None:
        super().__init__(303, "sign in first")
        self._place = place

    def headers(self) -> dict[str, str]:
        """Return where it is sent."""
        return {"location": self._place}

    def body(self) -> bytes:
        """Return nothing: the browser goes on."""
        return b""


_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def body_of(status: int, message: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return an error's body."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def api_error(error: NoriaError) -> ApiError:
    """Return the answer that an error raised below the server becomes."""
    from noria.infer.replies import Busy, Unavailable

    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(429, str(error), code="queue_full", retry_after=error.retry_after)
    if isinstance(error, Unavailable):
        return ApiError(503, str(error), code="model_unavailable", retry_after=error.retry_after)
    if isinstance(error, InputError | SettingError):
        return ApiError(400, str(error), param=getattr(error, "field", None), code="cannot_be_used")
    return ApiError(503, str(error), code="unavailable", retry_after=5)


_SHAPES = ("dict_type", "model_type", "model_attributes_type", "dataclass_type")
_KINDS = {list: "a list", str: "a text", bool: "a truth", int: "a number", float: "a number"}


def field_error(faults: Sequence[Any], fields: Iterable[str], within: tuple[str, ...] = ()) -> ApiError:
    """Return what pydantic finds wrong as one clear line: the first field at fault, without repeating what it held.

    Args:
        faults: what `ValidationError.errors` tells.
        fields: names of the fields that there are, one of which may have been meant.
        within: what the fields are of, where it is not the body.
    """
    # Of a union each alternative complains: the one that came furthest says what was meant, and of those that came as far
    # one that took the kind of value and not what it held. What was only counted says all by itself.
    among = [one for one in faults if one["loc"][:1] == faults[0]["loc"][:1]]
    first = max(among, key=lambda one: (one["type"] == "too_many", len(one["loc"]), not one["type"].endswith("_type")))
    if not first["loc"]:
        if first["type"] == "value_error":  # a rule about several fields together, which no document tells
            return ApiError(400, first["msg"].removeprefix("Value error, "), code="cannot_be_used")
        if first["type"] in _SHAPES:
            kind = _KINDS.get(type(first["input"]), "something else")
            return ApiError(422, f"the body is a JSON object: found {kind}", code="invalid_field")
    path = [*within, *_path(first["loc"])]
    field = ".".join(path) or None
    message = _message(first, path, fields)
    return ApiError(422, f"{field}: {message}" if field else message, param=field, code="invalid_field")


def _path(place: tuple[Any, ...]) -> list[str]:
    """Return the fields' names and the items' numbers on the way to a fault."""
    # Alternatives of a union are told by names in brackets that no client knows.
    path = [str(part) for part in place if re.fullmatch(r"[a-z_]+|\d+", str(part))]
    path = [part for part in path if part not in ("str", "list", "int", "nullable")]
    # The name of a union's alternative may be that of its field: told once.
    return [part for number, part in enumerate(path) if number == 0 or part != path[number - 1]]


def _message(fault: dict[str, Any], path: list[str], fields: Iterable[str]) -> str:
    if fault["type"] == "extra_forbidden":
        named = path == [fault["loc"][-1]]  # the name may hold what no name of a field does, and is then not told
        close = nearest(path[-1], fields) if named else None
        return "unknown field" + (f"; did you mean {close}?" if close else "")
    if fault["type"] == "none_required" or (fault["type"] == "too_long" and fault["ctx"]["max_length"] == 0):
        return "is not served here; leave it out"
    if fault["type"] == "string_unicode":
        return "half a surrogate pair is no text"
    message: str = fault["msg"]
    return message[0].lower() + message[1:]
