"""Routes and how a path finds its own: what each takes, who answers, and what it needs, in one table.

A route says all that the dispatcher and the OpenAPI document must know of it:

    Route("POST", "/v1/tag", tag, body=Texts, reply=replies.Tags, role="client", tag="answers")

Its handler is called with the request's context, then its body and its query where it has them; parts of the path come by name.
It returns a Response, or what becomes JSON.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from noria.core.errors import SettingError
from noria.core.messages import message

from .keys import Role

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Raw:
    """A request as it came: what its sender signed are these very bytes."""

    headers: Mapping[str, str]
    """By their names in small letters."""
    query: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Route:
    """One way to ask the server for something."""

    method: Literal["GET", "POST", "DELETE"]
    """HEAD is answered wherever GET is."""
    path: str
    """As in /v1/models/{model}; a part in braces stops at the next slash."""
    handler: Handler
    """The first line of its docstring tells the route in the OpenAPI document."""
    body: type[BaseModel] | None = None
    """What the JSON of a request is; one without is not read."""
    query: type[BaseModel] | None = None
    """What may stand behind the question mark."""
    raw: bool = False
    """Its handler is given the request as it came, a `Raw`, and finds out itself who sent it."""
    upload: bool = False
    """Its handler is given the body while it comes, an `Upload`: a file of any kind, larger than other bodies may be."""
    reply: Any = None
    """What a good answer is, as a model or a type; None: not JSON."""
    media: tuple[str, ...] = ("text/plain",)
    """Media types of a good answer that is not JSON."""
    role: Role | Literal["anyone"] = "admin"
    """Whose keys open it; a client's part of the API may be less (see `Caller.may_use`), and anyone needs no key."""
    people: Role | None = None
    """The least role of a person's key that opens what is open to clients; where it is left out, see `need`."""
    action: str = ""
    """What a good answer stands in the audit log as, about whatever stands in the path in the place of braces."""
    scope: str = ""
    """A scope that a client's key must name: a key to all of the API does not open it. Empty: the path decides."""
    stream: bool = False
    """The answer comes in pieces where the body asks for them."""
    unready: str = ""
    """What an answer of 503 in the form of `reply` means, where there is one."""
    tag: str = ""
    """Where it stands in the document."""
    shown: bool = True
    """It stands in the document."""

    def operation(self) -> str:
        """Return the name by which generated clients call it."""
        return re.sub(r"\W", "_", f"{self.name}{self.path}") + f"_{self.method.lower()}"

    @property
    def need(self) -> Role:
        """Return the least role of a person that opens it.

        Of what is open to clients a viewer reads, an editor does all, and an agent does what a scope is for; methods that a route of
        anyone's lacks are told to admins.
        """
        if self.role != "client":
            return "admin" if self.role == "anyone" else self.role
        return self.people or ("agent" if self.scope else "viewer" if self.method == "GET" else "editor")

    @property
    def name(self) -> str:
        """Return the handler's name."""
        return self.handler.__name__.strip("_")


Found = tuple[Mapping[str, Route], dict[str, str]]
"""The routes of one path by method, and what stands in the path in the place of braces."""


class Table:
    """All routes of a server.

    Raises:
        SettingError: two routes have one method and one path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._plain: dict[str, dict[str, Route]] = {}
        for route in self._routes:
            if self._plain.setdefault(route.path, {}).setdefault(route.method, route) is not route:
                raise SettingError(message("server.two_routes"), found=f"{route.method} {route.path}")
        self._patterns = [(_pattern(path), self._plain.pop(path)) for path in list(self._plain) if "{" in path]

    def __iter__(self) -> Iterator[Route]:
        """Yield every route."""
        return iter(self._routes)

    def find(self, path: str) -> Found | None:
        """Return the routes of a path; None where there is none."""
        if found := self._plain.get(path):
            return found, {}
        for pattern, routes in self._patterns:
            if match := pattern.fullmatch(path):
                return routes, match.groupdict()
        return None


def methods_of(routes: Iterable[str]) -> str:
    """Return the methods that a path takes, for the header Allow: HEAD wherever GET is one, and OPTIONS."""
    found = {*routes, "OPTIONS"}
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    )
