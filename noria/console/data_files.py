"""Files to and from a signed-in browser: uploads of data sets and of the recommender streamed to the disk, versions taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from noria.core.errors import NoriaError
from noria.server.data.kept import set_name
from noria.server.errors import ApiError, api_error
from noria.server.http.admission import check_role
from noria.server.http.context import CONTEXT, RequestContext
from noria.server.http.data import file_of, received, sent, text_in
from noria.server.http.intake import Upload

from .metered import as_one_request
from .sign_in import PREFIX, words_of

FILES = "/files"
FILE_HEADER = "x-file-name"
"""Header that says an upload's name, percent-encoded as in an address."""


def files_router() -> APIRouter:
    """Return the routes; the server's gate has let only a signed-in browser of this site's own pages in."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.post(FILES)
    async def take(request: Request, set: str = "", task: str = "", add: bool = False) -> Response:
        context: RequestContext = request.scope[CONTEXT]
        file = unquote(request.headers.get(FILE_HEADER, ""))[-512:] or "upload"
        name = set.strip() or _free(context, set_name(file))
        body = Upload(request.headers, request.receive, context.timeout)

        async def answer() -> Response:
            read = await received(context, body, file, name, task=task, add=add)
            return JSONResponse({"set": name, "taken": read["taken"]})

        return await _answered(request, answer)

    @router.post(FILES + "/recommend/{what}")
    async def bring(request: Request, what: str, whose: str = "") -> Response:
        context: RequestContext = request.scope[CONTEXT]
        file = unquote(request.headers.get(FILE_HEADER, ""))[-512:] or "upload"
        body = Upload(request.headers, request.receive, context.timeout)
        language = words_of(request).language

        async def answer() -> Response:
            return JSONResponse(await _brought(context, body, what, file, whose, language))

        return await _answered(request, answer)

    @router.get(FILES + "/{set}")
    async def give(request: Request, set: str, version: str = "", part: str = "") -> Response:
        context: RequestContext = request.scope[CONTEXT]
        return await _answered(request, lambda: file_of(context, set, version, part))

    return router


async def _brought(
    context: RequestContext, body: Upload, what: str, file: str, whose: str, language: str
) -> dict[str, Any]:
    """Return what the recommender took of a file of items or of deeds."""
    from noria.apps.recommend.routes import Recommend
    from noria.apps.recommend.taking import take_deeds, take_items

    state, caller = context.state, context.caller
    app = next((one for one in state.apps if isinstance(one, Recommend)), None)
    if app is None or caller is None or what not in ("items", "deeds"):
        raise ApiError(404, "no such place for files", param="what", found=what, allowed="items, deeds")
    known = {key.tenant or key.id for key in state.keys.list()}
    if what == "deeds" and whose not in known:
        raise ApiError(404, "no such key", param="whose", code="not_found", found=whose)
    async with sent(context, body, file) as path:
        if what == "items":
            async with as_one_request(state, caller, app.name, f"console:{caller.key}") as counted:
                found = await take_items(app, counted, path)
        else:
            found = await take_deeds(app, state, path, whose)
        state.audit.add(context.actor, f"{what}.upload", path.name, count=found.count)
    return {
        "file": path.name,
        "count": found.count,
        "aside": found.aside,
        "notes": [text_in(note, language) for note in found.notes],
        "refused": found.refused,
    }


async def _answered(request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """Return an answer, or what went wrong in the reader's language; files of rows are for editors."""
    context: RequestContext = request.scope[CONTEXT]
    try:
        check_role(context.caller, "editor")
        return await answer()
    except NoriaError as error:
        return JSONResponse({"error": error.text(words_of(request).language)}, api_error(error).status)


def _free(context: RequestContext, name: str) -> str:
    """Return a name that no set has, told from others by a number."""
    taken = {one.name for one in context.state.data.list()}
    return next(
        one for number in range(1, len(taken) + 2) if (one := f"{name}-{number}" if number > 1 else name) not in taken
    )
