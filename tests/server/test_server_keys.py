"""Keys: scoped, limited, rotated, revoked; their limits told as OpenAI's API tells them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from noria.core.errors import FolderError, SettingError
from noria.server.errors import ApiError
from noria.server.http.keys import Caller, Keys, Limits
from noria.server.http.rates import Rates
from noria.server.http.run import Running


class Clock:
    """Seconds and days, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@contextmanager
def client_of(server: Running, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


def test_a_scope_opens_its_part_of_the_api_and_no_other(server: Running):
    keys = server.state.keys
    with client_of(
        server, keys.make("narrow", scopes=["classify", "apps/echo"], models=["sentiment", "vectors"])
    ) as narrow:
        assert narrow.post("/v1/classify", json={"input": "x"}).status_code == 200
        assert narrow.post("/v1/apps/echo/say", json={"text": "x"}).status_code == 200
        assert narrow.get("/openapi.json").status_code == 200
        for method, path in (
            ("GET", "/v1/models"),
            ("POST", "/v1/tag"),
            ("POST", "/v1/classifyx"),
            ("GET", "/v1/apps"),
            ("POST", "/v1/apps/echoes"),
            ("POST", "/v1/../v1/tag"),
            ("GET", "/metrics"),
        ):
            assert narrow.request(method, path, json={} if method == "POST" else None).status_code == 403, path
    with client_of(server, keys.make("one model", models=["sentiment"])) as one:
        assert [model["id"] for model in one.get("/v1/models").json()["data"]] == ["sentiment"]
        refused = one.post("/v1/embeddings", json={"input": "x", "model": "vectors"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "model")
        assert one.post("/v1/embeddings", json={"input": "x"}).status_code == 403
        assert one.get("/v1/models/vectors").status_code == 403


def test_requests_a_minute_are_counted_and_told(server: Running):
    with client_of(server, server.state.keys.make("slow", limits=Limits(requests_minute=3))) as slow:
        replies = [slow.post("/v1/classify", json={"input": "x"}) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["2", "1", "0", "0"]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "3"
    assert 1 <= int(replies[3].headers["retry-after"]) <= 21
    assert replies[3].json()["error"] == {
        "message": "the key's requests a minute are used up: allowed 3",
        "type": "rate_limit_error",
        "param": None,
        "code": "requests_minute_exceeded",
    }


def test_tokens_are_counted_whatever_they_are_used_for(server: Running):
    with client_of(server, server.state.keys.make("few", limits=Limits(tokens_day=30))) as few:
        assert (
            few.post("/v1/completions", json={"prompt": "大", "max_tokens": 20, "model": "writer"}).status_code == 200
        )
        assert few.post("/v1/embeddings", json={"input": "a" * 40}).status_code == 200
        over = few.post("/v1/classify", json={"input": "x"})
        assert (over.status_code, over.json()["error"]["code"]) == (429, "tokens_day_exceeded")
        assert int(over.headers["retry-after"]) > 0
        assert few.get("/v1/models").status_code == 429


def test_a_minute_fills_evenly_and_debt_is_made_up(tmp_path: Path):
    clock = Clock()
    rates = Rates(tmp_path / "use.json", clock, clock)
    caller = Caller("k", "client", "k", limits=Limits(requests_minute=60, tokens_minute=600))
    rates.admit(caller)
    rates.spend(caller, 900)
    with pytest.raises(ApiError) as over:
        rates.admit(caller)
    assert over.value.code == "tokens_minute_exceeded"
    assert over.value.retry_after == 31
    clock.seconds += 29
    with pytest.raises(ApiError):
        rates.admit(caller)
    clock.seconds += 2
    rates.admit(caller)
    clock.seconds -= 500  # a clock that goes back gives nothing, and takes nothing
    rates.admit(caller)


def test_the_days_use_outlives_a_restart_and_ends_with_the_day(tmp_path: Path):
    clock = Clock()
    caller = Caller("k", "client", "k", limits=Limits(tokens_day=100))
    rates = Rates(tmp_path / "use.json", clock, clock)
    rates.spend(caller, 120)
    rates.save()
    again = Rates(tmp_path / "use.json", clock, clock)
    assert again.day_tokens("k") == 120
    with pytest.raises(ApiError, match="tokens a day"):
        again.admit(caller)
    clock.seconds -= 86_400  # yesterday is not a new day
    with pytest.raises(ApiError):
        again.admit(caller)
    clock.seconds += 2 * 86_400
    again.admit(caller)
    assert again.day_tokens("k") == 0
    (tmp_path / "use.json").write_text('{"k": [1')
    Rates(tmp_path / "use.json", clock, clock).admit(caller)


def test_a_rotated_key_is_the_same_customer_and_the_old_one_ends(tmp_path: Path):
    clock = Clock()
    keys = Keys(tmp_path, clock.now)
    old = keys.make("shop", scopes=["chat"], limits=Limits(requests_minute=5))
    number = old.split("_")[1]
    new = keys.rotate(number, timedelta(hours=2))
    before, after = keys.check(old), keys.check(new)
    assert before
    assert after
    assert before.tenant == after.tenant == number
    assert (after.scopes, after.limits) == (before.scopes, before.limits)
    with pytest.raises(SettingError, match="cannot be rotated"):
        keys.rotate(number)
    clock.seconds += 2 * 3600
    assert keys.check(old) is None
    assert keys.check(new)
    assert {key.id: key.status(clock.now()) for key in keys.list()} == {number: "expired", new.split("_")[1]: "works"}
    third = keys.rotate(new.split("_")[1], timedelta(0))
    assert keys.check(new) is None
    found = keys.check(third)
    assert found
    assert found.tenant == number
    keys.revoke(third.split("_")[1])
    assert keys.check(third) is None
    text = keys.path.read_text()
    assert not any(key.split("_", 2)[2] in text for key in (old, new, third))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scopes": ["chats"]}, "unknown scope"),
        ({"scopes": ["chat/x"]}, "unknown scope"),
        ({"limits": Limits(tokens_day=0)}, "tokens_day is out of range"),
        ({"role": "admin", "scopes": ["chat"]}, "no scopes"),
        ({"role": "owner"}, "unknown role"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(tmp_path: Path, arguments: dict[str, object], words: str):
    keys = Keys(tmp_path)
    with pytest.raises(SettingError, match=words):
        keys.make("x", **arguments)  # type: ignore[arg-type]
    assert keys.list() == []


def test_keys_of_an_earlier_version_are_read_and_damaged_ones_are_told(tmp_path: Path):
    keys = Keys(tmp_path)
    key = keys.make("x")
    entry = json.loads(keys.path.read_text())["keys"][0]
    old = {name: entry[name] for name in ("id", "name", "role", "sha256", "created", "revoked")}
    keys.path.write_text(json.dumps({"keys": [old]}))
    found = Keys(tmp_path).check(key)
    assert found
    assert found.tenant == key.split("_")[1]
    keys.path.write_text(json.dumps({"keys": [{**old, "colour": "red"}]}))
    with pytest.raises(FolderError, match="cannot be read"):
        Keys(tmp_path)
