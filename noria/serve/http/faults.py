"""What the framework finds wrong with a request, in one clear line: the field at fault, no JSON, another type or method."""

from __future__ import annotations

import re
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from noria.core.errors import nearest
from noria.serve.errors import body_of

from .cors import is_preflight

_PLAIN = {404: "no such route", 405: "the route takes another method"}
_SHAPES = ("dict_type", "model_type", "model_attributes_type", "dataclass_type")


async def invalid(request: Request, error: Exception) -> Response:
    """Name the first field at fault, without repeating what it held."""
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    # Of a union each alternative complains: the one that came furthest says what was meant, and of those that came as far
    # one that took the kind of value and not what it held. What was only counted says all by itself.
    among = [one for one in errors if one["loc"][:2] == errors[0]["loc"][:2]]
    first = max(among, key=lambda one: (one["type"] == "too_many", len(one["loc"]), not one["type"].endswith("_type")))
    if first["type"] == "json_invalid":
        why = f"{first.get('ctx', {}).get('error', '')} at character {first['loc'][-1]}".strip().lower()
        return _error_response(400, f"the body is not JSON: {why}", code="invalid_json")
    if first["loc"] == ("body",):
        if first["type"] == "value_error":  # a rule about several fields together, which no document tells
            return _error_response(400, first["msg"].removeprefix("Value error, "), code="cannot_be_used")
        if first["type"] == "missing":
            return _error_response(422, "the body is missing; send a JSON object", code="invalid_field")
        if first["type"] in _SHAPES:
            return _no_object(request, first["input"])
    path = _path(first["loc"])
    field = ".".join(path) or None
    message = _message(first, path, request)
    return _error_response(422, f"{field}: {message}" if field else message, param=field, code="invalid_field")


async def http_error(request: Request, error: Exception) -> Response:
    """Tell what the framework raises; OPTIONS is answered with the methods that the route takes."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        methods = _methods(request)
        headers["allow"] = ", ".join(methods)
        if request.method == "OPTIONS" and not is_preflight(request.headers, request.method):
            return Response(status_code=204, headers=headers)
        return _error_response(
            405, f"the route takes another method: found {request.method}; allowed {headers['allow']}", headers=headers
        )
    if error.status_code == 400:  # a body that is no text, or a number or a depth that no parser takes
        charset = request.headers.get("content-type", "").lower().partition("charset=")[2].strip('" ')
        found = f", but {charset}" if charset not in ("", "utf-8", "utf8") else ""
        return _error_response(
            400,
            f"the body is not JSON in UTF-8{found}, or its numbers or its depth have no end",
            code="invalid_json",
            headers=headers,
        )
    return _error_response(error.status_code, _PLAIN.get(error.status_code) or str(error.detail), headers=headers)


def _error_response(
    status: int, message: str, *, headers: dict[str, str] | None = None, **parts: str | None
) -> JSONResponse:
    return JSONResponse(body_of(status, message, **parts), status_code=status, headers=headers)


def _no_object(request: Request, given: Any) -> JSONResponse:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return _error_response(
            422,
            f"the body is taken as JSON alone: found content-type {kind[:64] or 'none'}; "
            "send content-type: application/json",
            code="unsupported_media_type",
        )
    names = {list: "a list", str: "a text", bool: "a truth", int: "a number", float: "a number"}
    return _error_response(
        422, f"the body is a JSON object: found {names.get(type(given), 'something else')}", code="invalid_field"
    )


def _path(place: tuple[Any, ...]) -> list[str]:
    """Return the fields' names and the items' numbers on the way to a fault."""
    # Alternatives of a union are told by names in brackets that no client knows.
    path = [str(part) for part in place if part != "body" and re.fullmatch(r"[a-z_]+|\d+", str(part))]
    path = [part for part in path if part not in ("str", "list", "int", "nullable")]
    # The name of a union's alternative may be that of its field: told once.
    return [part for number, part in enumerate(path) if number == 0 or part != path[number - 1]]


def _message(fault: dict[str, Any], path: list[str], request: Request) -> str:
    if fault["type"] == "extra_forbidden":
        named = path == [fault["loc"][-1]]  # the name may hold what no name of a field does, and is then not told
        close = nearest(path[-1], _fields(request)) if named else None
        return "unknown field" + (f"; did you mean {close}?" if close else "")
    if fault["type"] == "none_required" or (fault["type"] == "too_long" and fault["ctx"]["max_length"] == 0):
        return "is not served here; leave it out"
    if fault["type"] == "string_unicode":
        return "half a surrogate pair is no text"
    message: str = fault["msg"]
    return message[0].lower() + message[1:]


def _fields(request: Request) -> list[str]:
    body = getattr(request.scope.get("route"), "body_field", None)
    fields = getattr(getattr(body, "field_info", None), "annotation", None)
    return list(getattr(fields, "model_fields", ()))


def _methods(request: Request) -> list[str]:
    """Return the methods that a path takes, HEAD wherever GET is one."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.methods and compile_path(route.path or "")[0].fullmatch(request.url.path):
            found |= set(route.methods)
    return sorted(found | ({"HEAD"} if "GET" in found else set()) | {"OPTIONS"})
