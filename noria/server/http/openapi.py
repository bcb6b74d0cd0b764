"""The OpenAPI document, true: security, every error a route gives, request ids, headers that are read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from noria import __version__

from .replies import Error
from .routing import Route
from .settings import ServerSettings

_ERRORS = {
    400: "The request cannot be used, though each field may be right: its body is no JSON, its fields do not go together, "
    "its text is too long for the model or is blocked.",
    401: "A valid key is needed.",
    403: "The key may not do this.",
    404: "No such model for this route, or no such thing.",
    408: "The body took too long to arrive.",
    409: "A request with this Idempotency-Key or message id is still being answered, or had another body; or somebody else has the "
    "conversation.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "A field is missing, unknown or out of its bounds.",
    429: "The key's limit is used up, or the model's queue is full.",
    500: "A fault of the server; the log names it by the request's id.",
    503: "The model or the server is not able to answer now.",
}
_WAITING = (429, 503)
_ROWS = ("input", "events", "texts")
_TOKENS = ("max_tokens", "max_completion_tokens")
_ONCE = "Idempotency-Key"
_HEADERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        _ONCE,
        "The same key with the same body gives the same answer for a day, made once.",
        {"type": "string", "pattern": r"^[!-~]{1,255}$"},
    ),
    (
        "X-Noria-User",
        "The end user for whom the use is counted; stored as a pseudonym.",
        {"type": "string", "maxLength": 256},
    ),
    ("X-Noria-Segment", "What analytics may split by, as in retail.", {"type": "string", "maxLength": 64}),
    (
        "X-Noria-Consent",
        "The user agreed that their masked text may become training data.",
        {"type": "string", "enum": ["true", "false", "1", "0", "yes", "no"]},
    ),
)


_STREAM = {
    "itemSchema": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "description": "A chunk as JSON, in the form of OpenAI's API; an error in the form of Error; at last [DONE].",
            }
        },
    }
}
_REFERENCE = "#/components/schemas/{model}"


class Document:
    """The OpenAPI 3.1 document of a server's routes, its own bounds in it."""

    def __init__(self, routes: Iterable[Route], settings: ServerSettings) -> None:
        self._routes, self._settings = [route for route in routes if route.shown], settings

    def bounded(self, settings: ServerSettings) -> Document:
        """Return the document of the same routes with the bounds of other settings."""
        return Document(self._routes, settings)

    @cached_property
    def made(self) -> dict[str, Any]:
        """Return the document; it is made when it is first asked for."""
        models = {(part, mode) for route in self._routes for part, mode in _models(route)}
        ordered = sorted(models, key=lambda one: (one[0].__module__, one[0].__qualname__))
        names, definitions = models_json_schema([*ordered, (Error, "serialization")], ref_template=_REFERENCE)
        schemas = definitions.get("$defs", {})
        for schema in schemas.values():
            _bound(schema, self._settings)
        paths: dict[str, dict[str, Any]] = {}
        for route in self._routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Noria",
                "summary": "OpenAI's API and Noria's own over the served models.",
                "version": __version__,
            },
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        }


def _models(route: Route) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    if route.body is not None:
        yield route.body, "validation"
    if isinstance(route.reply, type) and issubclass(route.reply, BaseModel):
        yield route.reply, "serialization"


def _operation(route: Route, names: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """Return what the document says of one route."""
    operation: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.name.replace("_", " ").title(),
        "description": inspect.getdoc(route.handler),
        "operationId": route.operation(),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": names[route.body, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.upload:
        binary: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": binary}
    operation["responses"] = _responses(route, names)
    if route.role != "anyone":
        operation["security"] = [{"key": []}]
        operation["x-noria-role"] = route.need
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    """Return the parts of a route's path, what may stand behind the question mark, and the headers that are read."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    schema = route.query.model_json_schema() if route.query else {}
    parameters += [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "description": why, "schema": schema}
        for name, why, schema in _HEADERS
        if route.method == "POST" and (name != _ONCE or route.path.startswith("/v1/"))
    ]
    return parameters


def _responses(route: Route, names: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    posted, open_to_all = route.method != "GET", route.role == "anyone"
    content: dict[str, Any] = {one.partition(";")[0]: {"schema": {"type": "string"}} for one in route.media}
    if route.reply is not None:
        content = {"application/json": {"schema": names.get((route.reply, "serialization")) or _schema(route.reply)}}
    if route.stream:
        content["text/event-stream"] = _STREAM
    responses: dict[str, Any] = {"200": {"description": "Successful Response", "content": content}}
    if open_to_all:
        if route.unready:
            responses["503"] = {"description": route.unready, "content": content}
        if posted:
            responses |= {str(status): _error(status) for status in sorted(_ERRORS) if status != 401}
    else:
        statuses = set(_ERRORS if posted else (401, 403, 429, 500, 503))
        statuses |= {404} if "{" in route.path else set()
        statuses |= {422} if route.query else set()
        responses |= {str(status): _error(status) for status in sorted(statuses)}
    for response in responses.values():
        response.setdefault("headers", {})["x-request-id"] = {
            "description": "Id of the request, and of its event.",
            "schema": {"type": "string"},
            "required": True,
        }
    return responses


def _schema(reply: Any) -> dict[str, Any]:
    return TypeAdapter(reply).json_schema(mode="serialization")


def _bound(schema: dict[str, Any], settings: ServerSettings) -> None:
    """Write the bounds that settings give into a body's schema. Null, which says that a field is absent, is no default."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field and field["default"] is None:
            del field["default"]
        for variant in (field, *field.get("anyOf", ())):
            # Ids of one text's tokens are a list, too, and no rows.
            if name in _ROWS and variant.get("type") == "array" and variant.get("items", {}).get("type") != "integer":
                variant["maxItems"] = settings.max_rows
            if name in _TOKENS and variant.get("type") == "integer" and "minimum" in variant:
                variant["maximum"] = settings.max_tokens


def _error(status: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": _ERRORS[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if status in _WAITING:
        made["headers"] = {
            "retry-after": {"description": "Seconds to wait.", "schema": {"type": "integer"}, "required": True}
        }
    return made
