"""One table of routes, one way to answer them: what each says it takes is what its handler is called with."""

from __future__ import annotations

import asyncio
import inspect
import re

import httpx
import pytest
from pydantic import BaseModel
from starlette.responses import Response

from noria.apps.monitor.routes import Monitor
from noria.apps.recommend.routes import Recommend
from noria.apps.support.routes import Support
from noria.core.errors import SettingError
from noria.server.http.bodies import Body
from noria.server.http.routes import ROUTES, routes_of
from noria.server.http.routing import Route, Table, methods_of

ALL = [*ROUTES, *routes_of([Support(), Monitor(str), Recommend()])]


async def nothing(context) -> None: ...


@pytest.mark.parametrize("route", ALL, ids=lambda one: f"{one.method} {one.path}")
def test_a_handler_takes_what_its_route_says(route: Route):
    assert inspect.iscoroutinefunction(route.handler)
    assert inspect.getdoc(route.handler)
    parts = re.findall(r"\{(\w+)\}", route.path)
    told = route.body is not None or route.upload
    taken = {"raw": route.raw, "body": told, "query": route.query is not None}
    given = ["context", *(name for name, wanted in taken.items() if wanted), *parts]
    assert list(inspect.signature(route.handler).parameters) == given
    assert route.body is None or issubclass(route.body, Body)
    assert route.method == "POST" or not (told or route.raw)


def test_only_these_routes_need_no_key_and_clients_reach_the_api_alone():
    # A verdict's address holds a token for that one alert.
    open_to_all = {"/health", "/ready", "/v1/apps/support/widget.js", "/v1/apps/support/visitors"}
    open_to_all |= {"/v1/apps/monitor/verdicts/{token}"}
    assert {route.path for route in ALL if route.role == "anyone"} == open_to_all
    assert {route.path for route in ALL if route.role == "client" and not route.path.startswith("/v1/")} == {
        "/openapi.json"
    }
    assert Route("GET", "/", nothing).role == "admin"


def test_a_path_finds_its_routes_and_the_parts_in_it():
    table = Table([Route("GET", "/v1/a", nothing), Route("POST", "/v1/a", nothing), Route("GET", "/b/{id}.c", nothing)])
    routes, parts = table.find("/v1/a")
    assert (set(routes), parts) == ({"GET", "POST"}, {})
    assert methods_of(routes) == "GET, HEAD, OPTIONS, POST"
    assert table.find("/b/x y.c")[1] == {"id": "x y"}
    for other in ("/v1/a/", "/v1", "/b/x/y.c", "/b/.c", "/b/xxc", ""):
        assert table.find(other) is None


def test_two_routes_of_one_path_and_method_are_refused():
    with pytest.raises(SettingError, match="two routes share a path: found 'GET /v1/a'"):
        Table([Route("GET", "/v1/a", nothing), Route("GET", "/v1/a", nothing)])


@pytest.mark.parametrize(
    ("content", "kind", "status", "told"),
    [
        (b'{"input": "\xe5\xbe\x88\xe5\xa5\xbd"}', "application/json; charset=utf-8", 200, ""),
        (b'{"input": "a"}', "application/vnd.api+json", 200, ""),
        (b'{"input": 5}', "application/json", 422, "input"),
        (b'{"input": "a", "colour": 1}', "application/json", 422, "colour: unknown field"),
        (b'{"input": "\\ud800"}', "application/json", 422, "surrogate"),
        (b'{"input"', "application/json", 400, "not JSON: expecting ':' delimiter at character 8"),
        (b"[" * 60_000, "application/json", 400, "depth"),
        (b'{"input": "\xff"}', "application/json", 400, "UTF-8"),
        (b'["a"]', "application/json", 422, "found a list"),
        (b'{"input": "a"}', "text/plain", 422, "send content-type: application/json"),
        (b"", "application/json", 422, "the body is missing"),
    ],
)
def test_a_body_that_is_not_in_order_is_told_why(server, content, kind, status, told):
    headers = {**server.headers, "content-type": kind}
    given = httpx.post(f"{server.url}/v1/classify", headers=headers, content=content)
    assert given.status_code == status
    assert status == 200 or told in given.json()["error"]["message"]


def test_methods_and_paths_that_are_none_are_told_and_a_last_slash_leads_on(client):
    told = client.get("/v1/classify")
    assert (told.status_code, told.headers["allow"]) == (405, "OPTIONS, POST")
    assert "found GET; allowed OPTIONS, POST" in told.json()["error"]["message"]
    told = client.options("/v1/models")
    assert (told.status_code, told.headers["allow"], told.content) == (204, "GET, HEAD, OPTIONS", b"")
    told = client.post("/v1/nothing", json={})
    assert (told.status_code, told.json()["error"]["message"]) == (404, "no such route")
    told = client.post("/v1/classify/?a=b", json={"input": "a"}, follow_redirects=False)
    assert told.status_code == 307
    assert told.headers["location"].endswith("/v1/classify?a=b")
    assert client.post("/v1/classify/", json={"input": "a"}, follow_redirects=True).status_code == 200


def test_a_route_is_counted_under_its_name(client, server):
    before = {one.route: one.requests for one in server.state.routes()}
    client.post("/v1/classify", json={"input": "fast delivery"})
    client.get("/v1/models/sentiment")
    after = {one.route: one.requests for one in server.state.routes()}
    for path in ("/v1/classify", "/v1/models/{model}"):
        assert after[path] == before.get(path, 0) + 1


class Line(BaseModel):
    text: str


def test_requests_at_once_keep_their_own_contexts(classifier, tmp_path):
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    class Slow:
        """Says who asked, after others have asked."""

        name = "slow"

        def routes(self):
            return (Route("POST", "/who", self._who, body=Line, reply=dict[str, str]),)

        async def start(self, state) -> None: ...

        async def _who(self, context, body) -> Response:
            """Say who asked."""
            before = context.usage.user
            await asyncio.sleep(0.05)
            assert context.usage.user == before
            return Response(f"{context.id} {context.usage.user} {body.text}")

    async def ask(url, headers):
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            made = [
                client.post("/v1/apps/slow/who", json={"text": str(n)}, headers={"x-noria-user": f"u{n}"})
                for n in range(20)
            ]
            return await asyncio.gather(*made)

    with serving(ServerSettings(port=0, lake=tmp_path, threads=1), [], [Slow()]) as running:
        for number, told in enumerate(asyncio.run(ask(running.url, running.headers))):
            assert told.text == f"{told.headers['x-request-id']} u{number} {number}"
