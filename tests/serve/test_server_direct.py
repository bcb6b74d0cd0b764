"""Routes that are called without the framework answer as those that it calls."""

from __future__ import annotations

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse

from noria.serve.http.answers import answers_router
from noria.serve.http.completions import completions_router
from noria.serve.http.direct import Direct, direct_routes


class Body(BaseModel):
    input: str


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are answered directly from now on."""
    found: list[str] = []
    answer = Direct.answer

    async def noted(self, scope, receive):
        told = await answer(self, scope, receive)
        if told is not None:
            found.append(scope["path"])
        return told

    monkeypatch.setattr(Direct, "answer", noted)
    return found


def test_only_plain_routes_are_direct():
    router = APIRouter(prefix="/v1")

    @router.post("/plain", response_model=None)
    async def plain(body: Body) -> JSONResponse: ...

    @router.post("/asks", response_model=None)
    async def asks(body: Body, request: Request) -> JSONResponse: ...

    @router.post("/of/{name}", response_model=None)
    async def of(name: str) -> JSONResponse: ...

    @router.post("/dict")
    async def told(body: Body) -> dict[str, str]: ...

    @router.get("/read", response_model=None)
    async def read() -> JSONResponse: ...

    found = direct_routes(router, "/app")
    assert {path: direct.body for path, direct in found.items()} == {"/app/v1/plain": Body}


def test_the_routes_of_models_are_direct(server):
    found = direct_routes(answers_router(server.state)) | direct_routes(completions_router(server.state))
    names = ("classify", "tag", "answer", "translate", "embeddings", "completions", "chat/completions")
    assert set(found) == {f"/v1/{name}" for name in names}


def test_a_request_in_order_is_answered_directly(server, called):
    told = httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "物流很快"})
    assert told.status_code == 200
    assert called == ["/v1/classify"]
    assert told.json()["data"][0]["label"] in ("negative", "positive")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"input": "\xe5\xbe\x88\xe5\xa5\xbd"}', "application/json; charset=utf-8", 200),
        (b'{"input": 5}', "application/json", 422),
        (b'{"input": "a", "colour": 1}', "application/json", 422),
        (b'{"input": "\\ud800"}', "application/json", 422),
        (b'{"input"', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"input": "a"}', "text/plain", 422),
        (b"", "application/json", 422),
    ],
)
def test_what_is_not_in_order_is_the_frameworks(server, called, content, kind, status):
    told = httpx.post(f"{server.url}/v1/classify", headers={**server.headers, "content-type": kind}, content=content)
    assert told.status_code == status
    assert bool(called) == (status == 200)
    assert status == 200 or told.json()["error"]["message"]


def test_a_direct_route_is_counted_under_its_name(server, called):
    before = {one.route: one.requests for one in server.state.routes()}
    httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "fast delivery"})
    after = {one.route: one.requests for one in server.state.routes()}
    assert called == ["/v1/classify"]
    assert after["/v1/classify"] == before.get("/v1/classify", 0) + 1
