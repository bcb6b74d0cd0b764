"""Use from the console is use: it becomes an event like any request that comes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from noria.core.errors import NoriaError
from noria.serve.http.keys import Caller
from noria.serve.http.state import Usage, begin

from .shell import View


@asynccontextmanager
async def metered(view: View, app: str = "console") -> AsyncIterator[Usage]:
    """Make what is asked inside the block one request: its event is durable when the block ends."""
    caller = Caller(view.session.key, "admin", view.session.tenant)
    usage = Usage(app=app, caller=caller, user=view.user)
    begin(usage)
    try:
        yield usage
    except NoriaError:
        await view.state.finish(usage, "failed")
        raise
    await view.state.finish(usage, "ok")
