"""Use from the console is use: it becomes an event like any request that comes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from noria.core.errors import NoriaError
from noria.server.http.context import RequestContext, Usage
from noria.server.http.keys import Caller
from noria.server.http.state import State

from .session import require
from .shell import View


@asynccontextmanager
async def metered(view: View, app: str = "console", tenant: str = "") -> AsyncIterator[RequestContext]:
    """Make what is asked inside the block, with the context that it gives, one request: its event is durable when the block ends.

    It is counted under the session's tenant unless another is given, as of users who are made up.

    Raises:
        Forbidden: the session's role only looks on.
    """
    require(view.session, "agent")
    caller = Caller(view.session.key, view.session.role, tenant or view.session.tenant)
    async with as_one_request(view.state, caller, app, view.user) as context:
        yield context


@asynccontextmanager
async def as_one_request(state: State, caller: Caller, app: str, user: str) -> AsyncIterator[RequestContext]:
    """Make what is asked inside the block one request of an application, in the name of a caller and a user."""
    context = RequestContext(state, caller, Usage(app=app, user=user), counted=True)
    try:
        yield context
    except NoriaError:
        await context.finish("failed")
        raise
    await context.finish("ok")
