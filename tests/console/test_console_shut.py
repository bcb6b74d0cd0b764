"""Nothing of the server opens without a key, console and all that is mounted in it included: every route is tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nicegui
from fastapi.routing import iter_route_contexts

from noria.apps.support.routes import Support
from noria.console.mount import mount
from noria.server.http.admission import is_open
from noria.server.http.routes import ROUTES, routes_of
from noria.server.http.routing import Table
from noria.server.http.run import serving
from noria.server.http.settings import ServerSettings

VERSION = nicegui.__version__
OPEN = {
    "/console/login",
    "/console/open",
    "/console/static/",
    "/console/language/",
    *(f"/console/_nicegui/{VERSION}/{part}/" for part in ("static", "esm", "components", "libraries")),
}
"""All that is open, on purpose: whoever opens more has to say so here."""


def walk(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(list(routes)):
        path = prefix + (getattr(route, "path", "") or "")
        for method in getattr(route, "methods", None) or ("GET", "POST"):
            yield method, path
        inner = getattr(getattr(route, "original_route", route), "app", None)
        inner = getattr(inner, "inner", inner)  # the console wraps its application to add headers
        yield from walk(getattr(inner, "routes", ()), path)


class Quiet(Support):
    """Customer service without its model: its routes are all that is wanted."""

    async def start(self, state: Any) -> None:
        """Do without."""


def test_every_route_denies_by_default_the_console_s_too(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, lake=tmp_path / "lake")
    with serving(settings, [], [Quiet()], prepare=lambda app: mount(app, app.state.noria, tmp_path)) as server:
        gate = server.state.gate
        assert {*gate.open_paths, *gate.open_prefixes} == OPEN
        table = Table([*ROUTES, *routes_of(server.state.apps)])
        routes = sorted({*walk(server.app.routes), *((route.method, route.path) for route in table)})
        paths = {path for _, path in routes}
        assert {
            "/v1/chat/completions",
            "/v1/apps/support/ask",
            "/metrics",
            "/openapi.json",
            "/console/health",
            "/console/market",
            "/console/logout",
        } <= paths
        assert any("/_nicegui" in path for path in paths)
        assert len(routes) > 40
        with httpx.Client(base_url=server.url) as stranger:
            shut = 0
            for method, path in routes:
                asked = re.sub(r"\{[^}]*\}", "x", path) or "/"
                status = stranger.request(method, asked, headers={"accept": "*/*"}).status_code
                if is_open(server.state, asked, method, table.find(asked)):
                    assert status != 500, (method, asked)
                else:
                    shut += 1
                    assert status == 401, (method, asked, status)
            assert shut > 35
