"""Plain routes called without the framework's dispatch: a path, a body, an answer.

FastAPI holds a request against route after route, twice, and prepares whatever a handler could depend on. A handler that takes
one body and returns a Response needs none of it, and at one client that was half of the server's own time. The framework still
documents these routes, and it still answers where the body is no JSON or called something else.
"""

from __future__ import annotations

import gc
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response

from .sending import Replay, Scope

_LARGE = 64 * 1024
"""Bytes of a body from which the collector shows."""


@dataclass(frozen=True)
class Direct:
    """A route whose handler takes one body and nothing else."""

    route: APIRoute
    body: type[BaseModel]
    handler: Callable[[BaseModel], Awaitable[Response]]

    async def answer(self, scope: Scope, receive: Replay) -> Response | None:
        """Return the handler's answer; None where the body is no JSON, which nothing was done for.

        Raises:
            RequestValidationError: a field is missing, unknown or out of its bounds.
        """
        kind = Headers(scope=scope).get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            return None
        try:
            given = _parsed(receive.content)
        except (ValueError, RecursionError):
            return None
        scope["route"] = self.route  # by which the request is counted
        try:
            body = self.body.model_validate(given)
        except (
            ValidationError
        ) as error:  # as the framework tells it: reading the body once more would cost as much again
            faults = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
            raise RequestValidationError(faults) from None
        return await self.handler(body)


def _parsed(content: bytes) -> Any:
    """Return JSON; the collector waits meanwhile, which of a hundred thousand new lists would walk all that lives, many times."""
    if len(content) < _LARGE:
        return json.loads(content)
    gc.disable()
    try:
        return json.loads(content)
    finally:
        gc.enable()


def direct_routes(router: APIRouter, prefix: str = "") -> dict[str, Direct]:
    """Return the routes of a router that can be called directly, by their whole path."""
    found: dict[str, Direct] = {}
    for route in router.routes:
        if isinstance(route, APIRoute) and (body := _only_body(route)):
            found[prefix + route.path] = Direct(route, body, route.endpoint)
    return found


def _only_body(route: APIRoute) -> type[BaseModel] | None:
    """Return the model of the body that a route's handler takes, if it takes that alone and returns a Response."""
    names = list(inspect.signature(route.endpoint).parameters)
    if route.methods != {"POST"} or "{" in route.path or route.dependencies or len(names) != 1:
        return None
    if not inspect.iscoroutinefunction(route.endpoint):
        return None
    hints = get_type_hints(route.endpoint)
    body, returned = hints.get(names[0]), hints.get("return")
    takes = inspect.isclass(body) and issubclass(body, BaseModel)
    gives = inspect.isclass(returned) and issubclass(returned, Response)
    return body if takes and gives else None
