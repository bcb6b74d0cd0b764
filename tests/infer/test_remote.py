"""A model of another server behind this one: two real servers, one asking the other by OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from serving import until

from noria.core.errors import FolderError, SettingError
from noria.infer.remote import write_remote
from noria.lake.reconcile import reconcile
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings

MESSAGES = [{"role": "user", "content": "北京的冬天冷吗？"}]


@pytest.fixture(scope="module")
def front(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that holds no model itself."""
    folder = tmp_path_factory.mktemp("front")
    url = f"{server.url}/v1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACK_KEY", server.key)
        models = [
            write_remote(folder / name, task=task, url=url, model=model, key_variable="BACK_KEY")
            for name, task, model in (
                ("big", "chat", "chatter"),
                ("far", "complete", "writer"),
                ("there", "embed", "vectors"),
            )
        ]
        with serving(ServerSettings(port=0, lake=folder / "lake"), models) as running:
            yield running


@pytest.fixture(scope="module")
def fronts(front: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=front.key, max_retries=0) as client:
        yield client


def test_it_says_what_the_other_says(front: Running, fronts: openai.OpenAI, server: Running):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as direct:
        asked = {"messages": MESSAGES, "max_tokens": 16, "seed": 3, "logprobs": True, "top_logprobs": 2}
        here, there = (
            fronts.chat.completions.create(model="big", **asked),
            direct.chat.completions.create(model="chatter", **asked),
        )
        assert here.choices[0].message == there.choices[0].message
        # The second one is gone on from what the first one's prompt left behind: another order of sums.
        theirs = [one.logprob for one in there.choices[0].logprobs.content]
        assert [one.logprob for one in here.choices[0].logprobs.content] == pytest.approx(theirs, abs=1e-4)
        assert here.usage == there.usage
        assert here.model == "big"
        asked = {"prompt": "大模型", "max_tokens": 12, "seed": 5, "logprobs": 2, "stop": ["zzz"]}
        one, two = fronts.completions.create(model="far", **asked), direct.completions.create(model="writer", **asked)
        assert one.choices[0].text == two.choices[0].text != ""
        theirs = two.choices[0].logprobs.token_logprobs
        assert one.choices[0].logprobs.token_logprobs == pytest.approx(theirs, abs=1e-4)
        vectors = [
            client.embeddings.create(model=model, input=["a", "好"]).data[1].embedding
            for client, model in ((fronts, "there"), (direct, "vectors"))
        ]
        assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)
    streamed = list(
        fronts.chat.completions.create(
            model="big", messages=MESSAGES, max_tokens=16, seed=3, stream=True, stream_options={"include_usage": True}
        )
    )
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
        == here.choices[0].message.content
    )
    assert streamed[-1].usage == here.usage
    assert reconcile(front.state.lake).exact
    figures = httpx.get(f"{front.url}/metrics", headers=front.headers).text
    assert 'noria_tokens_total{model="big"}' in figures


def test_json_errors_and_leaving_early_go_through(front: Running, fronts: openai.OpenAI, server: Running):
    wanted = {
        "type": "json_schema",
        "json_schema": {
            "name": "x",
            "schema": {
                "type": "object",
                "properties": {"a": {"type": "boolean"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        },
    }
    said = fronts.chat.completions.create(model="big", messages=MESSAGES, max_tokens=40, response_format=wanted)
    assert set(json.loads(said.choices[0].message.content)) == {"a"}
    with pytest.raises(openai.BadRequestError, match="too long"):
        fronts.chat.completions.create(model="big", messages=[{"role": "user", "content": "很" * 3_000}])
    with httpx.Client(base_url=front.url, headers=front.headers, timeout=30) as client:
        asked = {"model": "far", "prompt": "大", "max_tokens": 240, "stream": True}
        with client.stream("POST", "/v1/completions", json=asked) as reply:
            next(reply.iter_lines())
    until(lambda: front.state.models["far"].worker.depth == 0)
    until(lambda: server.state.models["writer"].worker.depth == 0)  # the other server works for nobody


def test_a_server_that_goes_away_is_told(writer: Path, tmp_path: Path):
    with serving(ServerSettings(port=0, lake=tmp_path / "back", threads=1), [writer]) as back:
        model = write_remote(
            tmp_path / "far", task="complete", url=f"{back.url}/v1", model="writer", key_variable="GONE_KEY"
        )
        with (
            pytest.raises(FolderError, match="set the variable GONE_KEY"),
            serving(ServerSettings(port=0, lake=tmp_path), [model]),
        ):
            pass
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GONE_KEY", "noria_wrong")
            with pytest.raises(FolderError, match="is wrong"), serving(ServerSettings(port=0, lake=tmp_path), [model]):
                pass
            patch.setenv("GONE_KEY", back.key)
            other = write_remote(
                tmp_path / "none", task="chat", url=f"{back.url}/v1", model="none", key_variable="GONE_KEY"
            )
            with (
                pytest.raises(FolderError, match="serves no such model"),
                serving(ServerSettings(port=0, lake=tmp_path), [other]),
            ):
                pass
            front = serving(ServerSettings(port=0, lake=tmp_path / "lake"), [model])
            running = front.__enter__()
    try:
        reply = httpx.post(f"{running.url}/v1/completions", json={"prompt": "x"}, headers=running.headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
    finally:
        front.__exit__(None, None, None)
    assert reconcile(tmp_path / "lake").exact


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "tag"}, "for this task"),
        ({"url": "gpu-1:8000"}, "not an address"),
        ({"url": "file:///etc"}, "not an address"),
    ],
)
def test_an_address_that_is_none_is_told(tmp_path: Path, change: dict[str, str], words: str):
    with pytest.raises(SettingError, match=words):
        write_remote(tmp_path / "x", **{"task": "chat", "url": "http://gpu-1:8000/v1", "model": "m", **change})
