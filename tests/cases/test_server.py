"""The server's cases: what it returned is accepted back, null is absent, browsers and proxies get through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tiny_models import make_chat, make_encoder
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from noria.cli import main as command_line
from noria.console.mount import mount
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings

CASES = Path(__file__).parent / "inputs" / "ship-grow"
SHOP, DESK = "https://shop.example", "http://desk.example:8080"
OUTSIDE = {"x-forwarded-host": "noria.example", "x-forwarded-proto": "https"}
"""What a proxy sends that tells its own address of the server as Host."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    there = tmp_path_factory.mktemp("server")
    models = [make_chat(there / "chat"), make_encoder(there / "embed", "embed", [], 2, compiled=False)]
    settings = ServerSettings(port=0, lake=there / "lake", threads=1, cors=(SHOP + "/", DESK))
    with serving(settings, models, prepare=lambda app: mount(app, app.state.noria, there)) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as made:
        yield made


def body(name: str) -> dict:
    return json.loads((CASES / name).read_bytes())


@pytest.mark.parametrize("name", ["chat-second-turn.json", "chat-empty-answer.json"])
def test_what_the_server_said_is_a_turn_of_the_next_request(client: httpx.Client, name: str) -> None:
    reply = client.post("/v1/chat/completions", json=body(name))
    assert reply.status_code == 200, reply.text
    again = body(name)
    again["messages"] += [reply.json()["choices"][0]["message"], {"role": "user", "content": "and now?"}]
    assert client.post("/v1/chat/completions", json=again).status_code == 200


def test_null_is_absent(client: httpx.Client) -> None:
    asked = body("embeddings-null-user.json")
    told = client.post("/v1/embeddings", json=asked)
    assert told.status_code == 200, told.text
    plain = {name: value for name, value in asked.items() if value is not None}
    assert told.json()["data"] == client.post("/v1/embeddings", json=plain).json()["data"]


def test_a_request_holds_2048_texts_and_no_more(client: httpx.Client) -> None:
    texts = [f"第 {number} 条" for number in range(2_048)]
    told = client.post("/v1/embeddings", json={"model": "embed", "input": texts, "encoding_format": "base64"})
    assert told.status_code == 200, told.text[:300]
    assert [one["index"] for one in told.json()["data"]] == list(range(2_048))
    more = client.post("/v1/embeddings", json={"model": "embed", "input": [*texts, "x"]})
    assert (more.status_code, more.json()["error"]["param"]) == (422, "input")
    assert "2048" in more.json()["error"]["message"]


def test_texts_may_be_given_as_the_model_s_own_tokens(client: httpx.Client, server: Running) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(server.state.models["embed"].folder / "tokenizer.json"))
    texts = ["物流很快，包装完好。", "Fast delivery and careful packing."]
    ids = [tokenizer.encode(text).ids for text in texts]
    plain = client.post("/v1/embeddings", json={"input": texts}).json()["data"]
    assert client.post("/v1/embeddings", json={"input": ids}).json()["data"] == plain
    assert client.post("/v1/embeddings", json={"input": ids[0]}).json()["data"] == plain[:1]
    assert client.post(
        "/v1/embeddings", json={"input": tokenizer.encode(texts[1], add_special_tokens=False).ids}
    ).json()["data"] == [{**plain[1], "index": 0}]
    foreign = client.post("/v1/embeddings", json={"input": [15496, 995]})
    assert foreign.status_code == 400
    assert "no token of the model" in foreign.json()["error"]["message"]


ASKED = "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-retry-count,x-stainless-timeout"


@pytest.mark.parametrize("origin", [SHOP, DESK])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/embeddings"])
def test_a_preflight_of_a_named_origin_is_allowed_the_headers_that_it_asks_for(
    server: Running, origin: str, path: str
) -> None:
    asks = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": ASKED}
    told = httpx.options(f"{server.url}{path}", headers=asks)
    assert told.status_code == 204
    assert told.headers["access-control-allow-origin"] == origin
    assert told.headers["access-control-allow-headers"] == ASKED
    assert int(told.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in told.headers
    assert "origin" in told.headers["vary"]


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_head_tells_what_get_would(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    "given",
    [
        ["--cors", SHOP, DESK, "MODEL"],
        ["--cors", SHOP, DESK, "--apps", "monitor", "recommend", "MODEL"],
        ["MODEL", "--cors", SHOP, DESK],
        ["--cors", SHOP, "--cors", DESK, "MODEL"],
        [f"--cors={SHOP}", DESK, "MODEL", "--port", "8500"],
    ],
)
def test_every_origin_after_cors_is_one_and_no_model(given: list[str]) -> None:
    from noria.cli.ship import app

    _, bound, _ = app.parse_args(["serve", *command_line._each_value(given)], exit_on_error=False, print_error=False)
    assert bound.args == (Path("MODEL"),)
    assert bound.kwargs["settings"].cors == (SHOP, DESK)


def test_the_console_opens_behind_a_proxy_that_rewrites_the_host(server: Running) -> None:
    with httpx.Client(base_url=server.url, headers=OUTSIDE) as browser:
        page = {"origin": "https://noria.example"}
        told = browser.post("/console/login", data={"key": server.key}, headers=page)
        assert told.status_code == 200, told.text[-600:]
        cookie = told.headers["set-cookie"]
        assert "Secure" in cookie, "the browser speaks TLS with the proxy"
        session = cookie.partition(";")[0]
        assert browser.get("/console/", headers={"cookie": session, "accept": "text/html"}).status_code == 200
        other = browser.post("/console/login", data={"key": server.key}, headers={"origin": "https://evil.example"})
        assert other.status_code == 403
        assert "X-Forwarded-Host" in other.text
    socket = server.url.replace("http", "ws") + "/console/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with connect(socket, additional_headers={**OUTSIDE, "cookie": session}, origin="https://noria.example") as live:
        assert live.recv().startswith("0{")
    with (
        pytest.raises(InvalidStatus),
        connect(socket, additional_headers={**OUTSIDE, "cookie": session}, origin="https://evil.example"),
    ):
        pass


def test_a_proxy_that_is_not_trusted_tells_nothing(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, lake=tmp_path / "lake", forwarded_allow_ips=("10.0.0.0/8",))
    with serving(settings, [], prepare=lambda app: mount(app, app.state.noria, tmp_path)) as server:
        told = httpx.post(
            f"{server.url}/console/login",
            data={"key": server.key},
            headers={**OUTSIDE, "origin": "https://noria.example"},
        )
        assert told.status_code == 403
