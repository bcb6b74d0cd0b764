"""Signing in and out, and choosing the language: the few plain pages outside of the guarded console."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from noria.server.http.dispatcher import HEAD
from noria.server.http.keys import Role
from noria.server.http.proxy import same_origin

from .sealed import HEADERS
from .session import COOKIE, LIFETIME_SECONDS, Sessions
from .wheel import mark
from .words import LANGUAGES, Words, language_of

PREFIX = "/console"
LANGUAGE_COOKIE = "noria_language"
_BODY_BYTES = 4096


def sign_in_router(
    sessions: Sessions, key_of: Callable[[str], tuple[str, str, Role] | None], noted: Callable[[str, str], None]
) -> APIRouter:
    """Return the routes for signing in and out.

    `key_of` turns a secret key into (public name, tenant, role), or None where the key opens nothing; `noted` is told the public name of
    whoever came or went, and which of the two.
    """
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("/login")
    def show_form(request: Request, next: str = "/") -> Response:
        if sessions.read(request.cookies.get(COOKIE)):
            return RedirectResponse(PREFIX + local_path(next), status_code=303)
        return _form(words_of(request), next)

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        words = words_of(request)
        if not same_origin(request.headers):
            return _form(words, "/", "login.foreign", 403)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_BYTES:
                return _form(words, "/", "login.wrong", 413)
        fields = parse_qs(body.decode("utf-8", "replace"))
        onward = fields.get("next", ["/"])[0]
        known = key_of(fields.get("key", [""])[0].strip())
        if known is None:
            return _form(words, onward, "login.wrong", 401)
        noted(known[0], "session.begin")
        return _enter(sessions.start(*known), onward, request)

    @router.get("/open")
    def open_once(request: Request, token: str = "") -> Response:
        if HEAD in request.scope:
            return _form(words_of(request), "/")  # what looks at a link before a person does must not use it up
        cookie = sessions.redeem(token)
        if cookie is None:
            return _form(words_of(request), "/", "login.used", 401)
        session = sessions.read(cookie)
        assert session is not None
        noted(session.key, "session.begin")
        return _enter(cookie, "/", request)

    @router.post("/logout")
    def sign_out(request: Request) -> Response:
        response = RedirectResponse(f"{PREFIX}/login", status_code=303)
        if same_origin(request.headers):
            response.delete_cookie(COOKIE, path=PREFIX)
            session = sessions.read(request.cookies.get(COOKIE))
            if session:
                sessions.end(session)
                noted(session.key, "session.end")
        return response

    @router.get("/language/{language}")
    def choose(request: Request, language: str, next: str = "/") -> Response:
        response = RedirectResponse(PREFIX + local_path(next), status_code=303)
        if language in LANGUAGES:
            secure = request.url.scheme == "https"
            response.set_cookie(LANGUAGE_COOKIE, language, path=PREFIX, httponly=True, samesite="lax", secure=secure)
        return response

    return router


def words_of(request: Request) -> Words:
    """Return the words in the language chosen for this session, else in the one the browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return Words(chosen if chosen in LANGUAGES else language_of(request.headers.get("accept-language", "")))


def local_path(onward: str) -> str:
    """Return a path below the console that a redirect may go to, without its prefix; anything else becomes the first page."""
    parts = urlsplit(onward)
    fine = onward.startswith("/") and not onward.startswith("//") and "\\" not in onward and not parts.netloc
    return quote(parts.path.removeprefix(PREFIX) or "/") if fine else "/"


def _enter(cookie: str, onward: str, request: Request) -> Response:
    # A page that goes on by itself, not a redirect: a link followed from another site's page would otherwise arrive
    # without the cookie just set, which is SameSite=Strict.
    target = escape(PREFIX + local_path(onward))
    page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={target}"><link rel="icon" href="data:,"><title>Noria</title>'
    response = HTMLResponse(page, headers={**HEADERS, "cache-control": "no-store"})
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=LIFETIME_SECONDS,
        path=PREFIX,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _form(words: Words, onward: str, problem: str = "", status: int = 200) -> Response:
    alert = f'<p class="door-problem" role="alert">{escape(words(problem))}</p>' if problem else ""
    others = " ".join(
        f'<a href="{PREFIX}/language/{code}?next=/login" lang="{code}">{name}</a>'
        for code, name in LANGUAGES.items()
        if code != words.language
    )
    page = f"""<!doctype html>
<html lang="{words.html_language}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Noria · {escape(words("login.title"))}</title>
<link rel="icon" href="{PREFIX}/static/mark.svg"><link rel="stylesheet" href="{PREFIX}/static/console.css">
</head>
<body class="door">
<main>
{mark(72)}
<h1>Noria</h1>
<p class="door-lead">{escape(words("app.lead"))}</p>
{alert}
<form method="post" action="{PREFIX}/login">
<label for="key">{escape(words("login.key"))}</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus maxlength="512">
<input name="next" type="hidden" value="{escape(local_path(onward), quote=True)}">
<button type="submit">{escape(words("login.submit"))}</button>
</form>
<p class="door-hint">{escape(words("login.hint"))} <code translate="no">noria ship key make NAME --role admin</code></p>
<p class="door-languages">{others}</p>
</main>
</body>
</html>"""
    return HTMLResponse(page, status_code=status, headers={**HEADERS, "cache-control": "no-store"})
