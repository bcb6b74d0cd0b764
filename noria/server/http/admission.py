"""Who may pass: a key or a recognised session, its role and scope, the server's and the key's limits, and what headers say."""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from noria.server.errors import ApiError, SignInError

from .context import RequestContext
from .cors import is_preflight
from .keys import Caller, Role, may
from .proxy import same_origin
from .routing import Found
from .state import State

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing and bring no body."""
API = "/v1/"
"""Below it stands what clients use, and every POST is an event."""
_YES = ("1", "true", "yes")
_NO = ("0", "false", "no", "")


def admit(context: RequestContext, scope: Scope, headers: Headers, found: Found | None) -> None:
    """Let a request pass, and note in its context who asks and whether it becomes an event.

    Args:
        context: the request's; nothing is known of it yet.
        scope: the request.
        headers: those of the request.
        found: the routes of its path; None where it is none of the table's.

    Raises:
        ApiError: it may not pass: no key (401), not with this one (403), or not now (429, 503).
    """
    state, path, method = context.state, scope["path"], scope["method"]
    context.caller, by_key = caller_of(state, scope, headers)
    context.origin, context.address = headers.get("origin", ""), (scope.get("client") or ("",))[0]
    if not is_open(state, path, method, found):
        _check_caller(context, scope, headers, found, by_key)
        assert context.caller
        if state.in_flight > state.settings.max_in_flight and method not in SAFE:
            raise ApiError(503, "the server has its hands full", code="overloaded", retry_after=1)
        state.rates.admit(context.caller)
        context.counted = method == "POST" and path.startswith(API)
        _read_headers(headers, context)
        if path.startswith("/v1/apps/"):
            name = path.split("/")[3]
            context.usage.app = name if any(app.name == name for app in state.apps) else "api"
    if state.draining and method not in SAFE:
        context.counted = False
        raise ApiError(503, "the server is stopping", code="stopping", retry_after=5)
    if context.counted:
        # What could not be recorded is not begun.
        context.counted = False
        state.meter.outbox.check()
        context.counted = True


def caller_of(state: State, scope: Scope, headers: Headers) -> tuple[Caller | None, bool]:
    """Return who asks, and whether by a key (and not by what a browser sends along by itself)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        caller, origin = state.keys.check(key.strip()), headers.get("origin", "")
        others = (recogniser(key.strip(), origin) for recogniser in state.gate.bearers)
        return caller or next((other for other in others if other), None), True
    if state.gate.recognisers:
        connection = HTTPConnection(scope)
        for recogniser in state.gate.recognisers:
            if caller := recogniser(connection):
                return caller, False
    return None, False


def is_open(state: State, path: str, method: str, found: Found | None) -> bool:
    """Return whether a request needs no key: its route says so, or a page of the console opened its path."""
    if found is None:
        return state.gate.is_open(path, method)
    route = found[0].get(method)
    return route is not None and route.role == "anyone"


def _check_caller(context: RequestContext, scope: Scope, headers: Headers, found: Found | None, by_key: bool) -> None:
    caller, path, method = context.caller, scope["path"], scope["method"]
    if caller is None:
        wants_page = method in SAFE and "text/html" in headers.get("accept", "")
        if wants_page and context.state.gate.sign_in and not path.startswith(API):
            raise SignInError(f"{context.state.gate.sign_in}?next={quote(path)}")
        raise ApiError(
            401,
            "a valid key is needed",
            code="invalid_api_key",
            hint="start the server with --cors and the page's origin"
            if is_preflight(headers, method)
            else "Authorization: Bearer <key>; noria ship key make",
        )
    need, clients = _needs(path, method, found)
    if not (clients and caller.role == "client"):
        check_role(caller, need)
    needed = _scope(method, found)
    if not caller.may_use(path, needed):
        told = f"noria ship key make NAME --scopes {needed}" if needed else None
        raise ApiError(
            403, "the key is not made for this route", code="permission_denied", allowed=caller.scopes, hint=told
        )
    if method not in SAFE and not by_key and not same_origin(headers):
        raise ApiError(
            403,
            "the request comes from another site",
            code="cross_origin",
            hint="behind a proxy: X-Forwarded-Host, and --forwarded-allow-ips",
        )


def check_role(caller: Caller | None, need: Role) -> None:
    """Pass where a person's role is enough.

    Raises:
        ApiError: it is not (403).
    """
    if caller is None or not may(caller.role, need):
        raise ApiError(
            403,
            f"this needs {'an' if need[0] in 'ae' else 'a'} {need} key",
            code="permission_denied",
            hint=f"noria ship key make NAME --role {need}",
        )


def _needs(path: str, method: str, found: Found | None) -> tuple[Role, bool]:
    """Return the least role of a person that a request needs, and whether a client's key does, too.

    A client is told of the API that it takes another method or has no such route. What is no route of the table is the console's:
    whoever may look may come in, and its pages ask for more.
    """
    if found is None:
        return "viewer", path.startswith(API)
    routes = found[0]
    route = routes.get(method) or next(iter(routes.values()))
    return route.need, route.role == "client"


def _scope(method: str, found: Found | None) -> str:
    """Return the scope that the route of a path names."""
    routes = found[0] if found else {}
    return (routes.get(method) or next(iter(routes.values()))).scope if routes else ""


def _read_headers(headers: Headers, context: RequestContext) -> None:
    """Take the user, the segment and the consent that a client says by headers; fields of a body override them.

    Raises:
        ApiError: a name is too long, or consent is neither yes nor no (422).
    """
    context.usage.user = _name(headers, "X-Noria-User", 256)
    context.usage.segment = _name(headers, "X-Noria-Segment", 64)
    consent = headers.get("x-noria-consent", "").lower()
    if consent not in (*_YES, *_NO):
        raise ApiError(
            422, "consent is yes or no", param="X-Noria-Consent", code="invalid_field", allowed="true, false"
        )
    context.usage.consent = consent in _YES


def _name(headers: Headers, header: str, longest: int) -> str:
    # HTTP hands bytes over as Latin-1; clients mean UTF-8.
    value = headers.get(header, "").encode("latin-1").decode("utf-8", "replace")
    if len(value) > longest:
        raise ApiError(
            422,
            "the header is too long",
            param=header,
            code="invalid_field",
            found=f"{len(value)} characters",
            allowed=f"up to {longest}",
        )
    return value
