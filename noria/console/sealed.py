"""What keeps the console's pages to themselves: headers on every answer, and scripts that run only where the server wrote them.

NiceGUI writes scripts into its page: they carry a number used once, made anew for every answer, and no other script of a page runs. What
remains open: Vue compiles its templates in the browser and NiceGUI evaluates what the server sends over the page's socket, hence
unsafe-eval; and both set styles in the page, hence unsafe-inline for styles alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import jinja2
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONCE = "noria.nonce"
"""Key of an ASGI scope's number that the scripts of its page carry."""
_POLICY = (
    "default-src 'self'; script-src 'self'{nonce}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    # Nothing of the console is ever fetched from elsewhere, shown in a frame, or told where a link was followed from.
    "content-security-policy": _POLICY.format(nonce=""),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Of the plain pages, which have no script at all."""


class Sealed:
    """An ASGI application that adds the headers to every answer of `inner`, and gives its pages their number."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        nonce = scope[NONCE] = secrets.token_urlsafe(16)
        policy = _POLICY.format(nonce=f" 'nonce-{nonce}' 'unsafe-eval'")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS | {"content-security-policy": policy})
            await send(message)

        await self.inner(scope, receive, send_with_headers)


class Numbered(jinja2.BaseLoader):
    """Templates whose own scripts carry the number of their page; what values bring into them does not."""

    def __init__(self, inner: jinja2.BaseLoader) -> None:
        self._inner = inner

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Return a template as `inner` gives it, with the number in each of its scripts."""
        source, name, fresh = self._inner.get_source(environment, template)
        return source.replace("<script", f"<script nonce=\"{{{{ request.scope['{NONCE}'] }}}}\""), name, fresh


def number_scripts(environment: jinja2.Environment) -> None:
    """Let the scripts of an environment's templates carry their page's number, once."""
    if environment.loader is not None and not isinstance(environment.loader, Numbered):
        environment.loader = Numbered(environment.loader)
        if environment.cache is not None:
            environment.cache.clear()
