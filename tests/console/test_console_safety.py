"""A stolen or tricked browser: properties over every route of a server with its console, whoever added it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from noria.console.mount import mount, sign_in_link
from noria.console.session import NEEDS
from noria.server.http.admission import is_open
from noria.server.http.keys import PEOPLE, Role
from noria.server.http.routes import ROUTES, routes_of
from noria.server.http.routing import Route, Table
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings
from tests.console.test_console_shut import Quiet, walk

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
SOCKET = "/console/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
FOREIGN = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("run")
    settings = ServerSettings(port=0, lake=root / "lake")
    with serving(settings, [], prepare=lambda app: mount(app, app.state.noria, root)) as running:
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with an application, whose routes no role reaches that may not."""
    settings = ServerSettings(port=0, lake=tmp_path_factory.mktemp("desk"))
    with serving(settings, [], [Quiet()]) as running:
        yield running


@pytest.fixture
def browser(site: Running) -> Iterator[httpx.Client]:
    """A browser that a link signed in."""
    with httpx.Client(base_url=site.url) as client:
        client.get(sign_in_link(site.app, site.url))
        assert client.get("/console/models").status_code == 200
        yield client


def every(site: Running) -> list[tuple[str, str]]:
    """Return method and path of every route, with something in the place of braces."""
    table = [(route.method, route.path) for route in (*ROUTES, *routes_of(site.state.apps))]
    return sorted(
        {(method, re.sub(r"\{[^}]*\}", "x", path) or "/") for method, path in (*walk(site.app.routes), *table)}
    )


@contextmanager
def signed_in(site: Running, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url) as client:
        assert client.post("/console/login", data={"key": key}).status_code == 200
        yield client


def heard(site: Running, client: httpx.Client, **headers: str) -> ClientConnection:
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return connect(site.url.replace("http", "ws") + SOCKET, additional_headers={"cookie": cookie, **headers})


def drain(open_socket: ClientConnection) -> None:
    for _ in range(10):
        open_socket.recv(timeout=10)


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_other_site_s_page_changes_anything_with_a_cookie(
    site: Running, browser: httpx.Client, headers: dict[str, str]
) -> None:
    table = Table([*ROUTES, *routes_of(site.state.apps)])
    tried = [(method, path) for method, path in every(site) if method in CHANGING]
    assert {path for _, path in tried} >= {"/console/logout", "/console/login", "/versions/x"}
    for method, path in tried:
        status = browser.request(method, path, headers=headers).status_code
        if path.startswith("/console"):
            assert status == 403, (method, path, status)
        elif not is_open(site.state, path, method, table.find(path)):
            assert status == 401, (
                method,
                path,
                status,
            )  # the cookie opens the console alone: it is as if nobody had asked
    assert browser.get("/console/models").status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_other_site_s_page_listens_with_a_cookie(
    site: Running, browser: httpx.Client, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus):
        heard(site, browser, **headers)
    with heard(site, browser, origin=site.url) as open_socket:
        assert str(open_socket.recv(timeout=10)).startswith("0")


def test_every_answer_forbids_frames_guesses_and_telling_where_it_was(site: Running, browser: httpx.Client) -> None:
    asked = every(site)
    assert len(asked) > 50
    answers = [browser.request(method, path) for method, path in asked]
    answers += [
        httpx.request(method, site.url + path, headers=site.headers) for method, path in asked if method == "GET"
    ]
    answers += [browser.get("/nowhere"), browser.get("/console/nowhere"), browser.options("/v1/models")]
    for answer in answers:
        told, place = answer.headers, f"{answer.request.method} {answer.request.url}"
        assert told["x-content-type-options"] == "nosniff", place
        assert told["x-frame-options"] == "DENY", place
        assert told["referrer-policy"] in ("no-referrer", "same-origin"), place
        policy = told["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, place
        assert "default-src" in policy, place
        scripts = re.search(r"script-src [^;]*", policy)
        assert scripts is None or "'unsafe-inline'" not in scripts[0], place
        assert not any(host in policy for host in ("http:", "https:", "*")), place
    with socket.create_connection(site.url.removeprefix("http://").split(":")) as raw:  # type: ignore[arg-type]
        raw.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n")
        assert b"x-frame-options: DENY" in raw.recv(65_536)


def test_scripts_of_a_page_carry_a_number_that_is_never_used_again(browser: httpx.Client) -> None:
    numbers = set()
    for path in ("/console/", "/console/models", "/console/models", "/console/audit"):
        page = browser.get(path)
        found = re.search(r"'nonce-([\w-]{16,})'", page.headers["content-security-policy"])
        assert found, path
        scripts = re.findall(r"<script\b[^>]*>", page.text)
        assert len(scripts) > 3, (path, page.status_code, page.text)
        assert all(f'nonce="{found[1]}"' in script or 'src="/console/static/' in script for script in scripts)
        numbers.add(found[1])
    assert len(numbers) == 4


@pytest.mark.parametrize("how", ["revoked", "rotated", "signed out"])
def test_a_session_ends_with_its_key_and_its_open_pages_fall_silent(site: Running, how: str) -> None:
    keys = site.state.keys
    key = keys.make("an operator", "viewer")
    number = key.split("_")[1]
    with signed_in(site, key) as client, heard(site, client, origin=site.url) as open_socket:
        copied = dict(client.cookies)
        open_socket.recv(timeout=10)
        open_socket.send("40")
        assert str(open_socket.recv(timeout=10)).startswith("40")
        if how == "revoked":
            keys.revoke(number)
        elif how == "rotated":
            keys.rotate(number, timedelta(0))
        else:
            assert client.post("/console/logout").status_code == 303
        open_socket.send("3")
        with pytest.raises(ConnectionClosed) as closed:
            drain(open_socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        assert client.get("/console/models").status_code == 401
        with httpx.Client(base_url=site.url, cookies=copied) as thief:
            assert thief.get("/console/models").status_code == 401


def test_cookies_are_for_the_server_alone_and_for_https_where_it_is_that(site: Running) -> None:
    for scheme, secure in (("http", False), ("https", True)):
        with httpx.Client(base_url=site.url, headers={"x-forwarded-proto": scheme}) as client:
            answers = [client.get(sign_in_link(site.app, site.url)), client.get("/console/language/zh")]
            for answer in answers:
                cookie = answer.headers["set-cookie"].lower()
                assert "httponly" in cookie
                assert "path=/console" in cookie
                assert "samesite=" in cookie
                assert ("secure" in cookie) == secure
            assert "samesite=strict" in answers[0].headers["set-cookie"].lower()


LEAST: dict[str, Role] = {
    "GET /metrics": "viewer",
    "GET /versions/x": "viewer",
    "POST /versions/x": "editor",
    "GET /v1/models": "viewer",
    "GET /v1/apps/support/entries": "viewer",
    "POST /v1/classify": "editor",
    "POST /v1/apps/support/ask": "editor",
    "GET /v1/apps/support/inbox": "agent",
    "POST /v1/apps/support/inbox/x/claim": "agent",
    "POST /v1/apps/support/proposals/x": "editor",
}
"""Routes -> the least role that opens them, as the pages of the documentation say it."""


@pytest.mark.parametrize("role", [*PEOPLE, "client"])
def test_every_route_refuses_each_role_below_its_own_and_no_other(desk: Running, role: Role) -> None:
    key = desk.state.keys.make(f"somebody {role}", role)
    routes = [route for route in (*ROUTES, *routes_of(desk.state.apps)) if route.role != "anyone"]
    seen = {f"{route.method} {re.sub(r'{[^}]*}', 'x', route.path)}" for route in routes}
    assert seen >= LEAST.keys()
    with httpx.Client(base_url=desk.url, headers={"authorization": f"Bearer {key}"}) as client:
        for route in routes:
            path = re.sub(r"\{[^}]*\}", "x", route.path)
            content = {"content": b""} if route.method == "POST" else {}
            status = client.request(route.method, path, **content).status_code  # type: ignore[arg-type]
            assert status != 401
            assert (status == 403) == (not opens(route, role)), (role, route.method, path, status)
            if least := LEAST.get(f"{route.method} {path}"):
                assert role == "client" or (status == 403) == (PEOPLE.index(role) < PEOPLE.index(least)), path


def opens(route: Route, role: Role) -> bool:
    """Return whether a role is enough, told anew: admins everything, clients what is theirs and names no scope, all others as high as they stand."""
    if role == "client":
        return route.role == "client" and not route.scope
    return role == "admin" or PEOPLE.index(role) >= PEOPLE.index(route.need)


@pytest.mark.parametrize("role", PEOPLE)
def test_every_page_refuses_each_role_below_its_own_and_is_not_in_its_menu(site: Running, role: Role) -> None:
    from noria.console.pages import PAGES

    with signed_in(site, site.state.keys.make(f"somebody {role}", role)) as client:
        menu = client.get("/console/").text
        for name, (path, _) in PAGES.items():
            may_open = PEOPLE.index(role) >= PEOPLE.index(NEEDS.get(name, "viewer"))
            assert client.get(f"/console{path}").status_code == (200 if may_open else 403), (role, path)
            assert (f'nav-link\\" href=\\"/console{path}\\"' in menu) == may_open or path == "/", (role, path)


def test_who_came_and_went_is_written_down(site: Running) -> None:
    key = site.state.keys.make("an editor", "editor")
    with signed_in(site, key) as client:
        client.post("/console/logout")
    told = [(one.actor, one.role, one.action) for one in site.state.audit.latest(most=2)]
    assert told == [(key.split("_")[1], "editor", "session.end"), (key.split("_")[1], "editor", "session.begin")]
