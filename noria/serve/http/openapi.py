"""The OpenAPI document, true: security, every error a route gives, request ids, headers that are read."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from noria import __version__

from .replies import Error
from .settings import ServerSettings

_ERRORS = {
    400: "The request cannot be used, though each field may be right: its body is no JSON, its fields do not go together, "
    "its text is too long for the model or is blocked.",
    401: "A valid key is needed.",
    403: "The key may not do this.",
    404: "No such model for this route, or no such thing.",
    408: "The body took too long to arrive.",
    409: "A request with this Idempotency-Key is still being answered, or had another body.",
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
_OPEN = ("/health", "/ready")
_HEADERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "Idempotency-Key",
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


def document(app: FastAPI, settings: ServerSettings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application, this server's own bounds in it; made once."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(
        title="Noria",
        version=__version__,
        summary="OpenAI's API and Noria's own over the served models.",
        routes=app.routes,
    )
    parts = made.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    inner = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(inner.pop("$defs"))
    schemas["Error"] = inner
    for schema in schemas.values():
        _bound(schema, settings)
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _complete(operation, path, method)
    app.openapi_schema = made
    return made


def _bound(schema: dict[str, Any], settings: ServerSettings) -> None:
    """Write the bounds that settings give into a body's schema."""
    for name, field in schema.get("properties", {}).items():
        for variant in (field, *field.get("anyOf", ())):
            # Ids of one text's tokens are a list, too, and no rows.
            if name in _ROWS and variant.get("type") == "array" and variant.get("items", {}).get("type") != "integer":
                variant["maxItems"] = settings.max_rows
            if name in _TOKENS and variant.get("type") == "integer" and "minimum" in variant:
                variant["maximum"] = settings.max_tokens


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    """Add to one operation what FastAPI does not know of it."""
    responses = operation["responses"]
    for status in list(responses):
        if status != "200" and int(status) in _ERRORS and path not in _OPEN:
            del responses[status]
    if path not in _OPEN:
        operation["security"] = [{"key": []}]
        posted = method == "post"
        statuses = list(_ERRORS) if posted else [401, 403, 429, 500, 503] + ([404] if "{" in path else [])
        statuses += [422] if not posted and any(one["in"] == "query" for one in operation.get("parameters", ())) else []
        for status in sorted(statuses):
            responses[str(status)] = _error(status)
        if posted:
            operation.setdefault("parameters", []).extend(
                {"name": name, "in": "header", "required": False, "description": told, "schema": schema}
                for name, told, schema in _HEADERS
            )
    for response in responses.values():
        response.setdefault("headers", {})["x-request-id"] = {
            "description": "Id of the request, and of its event.",
            "schema": {"type": "string"},
            "required": True,
        }


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
