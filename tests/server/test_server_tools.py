"""Tools, several answers and ids by OpenAI's own client, whichever engine a chat model has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tiny_models import TEXTS

from benchmarks.writers import make_writer
from noria.infer.engine import ENGINES, Kind
from noria.machine import cores
from noria.make.compress.gguf import write_gguf
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings

KINDS: tuple[Kind, ...] = ("torch", "llamacpp", "genai") if cores() > 1 else ("torch", "llamacpp")
HELLO: list[Any] = [{"role": "user", "content": "北京的冬天冷吗？"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"enum": ["北京", "上海"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["city", "days"],
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]


@pytest.fixture(scope="module")
def server(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one chat model in every engine."""
    place = tmp_path_factory.mktemp("chats")
    models = [make_writer(place / "torch", "chat", 2_048, texts=TEXTS, ends=True, seed=1)]
    for kind in KINDS[1:]:
        shutil.copytree(models[0], place / kind)
        write_gguf(place / kind, place / kind / ENGINES[kind], "float32" if kind == "llamacpp" else "float16")
        (place / kind / "certificate.json").write_text('{"passed": true}')
        models.append(place / kind)
    settings = ServerSettings(port=0, lake=Path(tmp_path_factory.mktemp("lake")), threads=1)
    with serving(settings, models, []) as running:
        yield running


@pytest.fixture(scope="module")
def ai(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_must_be_made_is_made_of_the_tools_there_are(ai: openai.OpenAI, kind: str):
    for seed, choice in ((1, "required"), (2, {"type": "function", "function": {"name": "weather"}})):
        asked: dict[str, Any] = {"model": kind, "messages": HELLO, "tools": TOOLS, "tool_choice": choice, "seed": seed}
        whole = ai.chat.completions.create(**asked, max_tokens=120, parallel_tool_calls=False)
        (choice_made,) = whole.choices
        (call,) = choice_made.message.tool_calls
        assert choice_made.finish_reason == "tool_calls"
        assert choice_made.message.content is None
        given = json.loads(call.function.arguments)
        assert (call.function.name == "now" and given == {}) or (
            call.function.name == "weather" and given["city"] in ("北京", "上海") and given["days"] in range(1, 8)
        )
        assert seed == 1 or call.function.name == "weather"
        chunks = list(ai.chat.completions.create(**asked, max_tokens=120, parallel_tool_calls=False, stream=True))
        deltas = [one for chunk in chunks for choice in chunk.choices for one in choice.delta.tool_calls or ()]
        assert deltas[0].id
        assert deltas[0].function.name == call.function.name
        assert "".join(one.function.arguments for one in deltas) == call.function.arguments
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_tool_gave_back_goes_into_the_next_turn(ai: openai.OpenAI, kind: str):
    call = {"id": "abcdefgh1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "北京"}'}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefgh1", "content": "-3 度"},
    ]
    told = ai.chat.completions.create(model=kind, messages=messages, tools=TOOLS, max_tokens=8, seed=1)
    bare = ai.chat.completions.create(model=kind, messages=HELLO, max_tokens=8, seed=1)
    assert told.usage.prompt_tokens > bare.usage.prompt_tokens
    none = ai.chat.completions.create(model=kind, messages=HELLO, tools=TOOLS, tool_choice="none", max_tokens=8, seed=1)
    assert none.usage.prompt_tokens == bare.usage.prompt_tokens
    assert none.choices[0].message.content == bare.choices[0].message.content


@pytest.mark.parametrize("kind", KINDS)
def test_several_answers_are_drawn_apart_and_read_the_prompt_once(ai: openai.OpenAI, kind: str):
    asked: dict[str, Any] = {"model": kind, "messages": HELLO, "max_tokens": 10, "seed": 5}
    many = ai.chat.completions.create(**asked, n=3)
    assert [one.index for one in many.choices] == [0, 1, 2]
    assert len({one.message.content for one in many.choices}) == 3
    alone = ai.chat.completions.create(**asked)
    assert many.usage.prompt_tokens == alone.usage.prompt_tokens
    if kind == "torch":  # the others' last bits hang on which completions share a step
        assert many.choices[0].message.content == alone.choices[0].message.content
    chunks = list(ai.chat.completions.create(**asked, n=2, stream=True, stream_options={"include_usage": True}))
    for index in range(2):
        mine = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert mine[0].delta.role == "assistant"
        assert mine[-1].finish_reason in ("stop", "length")
    assert chunks[-1].usage.completion_tokens <= 20


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_told_and_taken(ai: openai.OpenAI, server: Running, kind: str):
    def ids(**body: Any) -> list[int]:
        told = httpx.post(f"{server.url}/v1/tokenize", headers=server.headers, json={"model": kind, **body})
        assert told.status_code == 200, told.text
        assert told.json()["count"] == len(told.json()["tokens"])
        return list(told.json()["tokens"])

    rendered = ids(messages=HELLO)
    chat = ai.chat.completions.create(model=kind, messages=HELLO, max_tokens=1)
    assert chat.usage.prompt_tokens == len(rendered)
    assert len(ids(messages=HELLO, tools=TOOLS)) > len(rendered)
    told = httpx.post(f"{server.url}/v1/tokenize", headers=server.headers, json={"model": kind})
    assert (told.status_code, told.json()["error"]["param"]) == (400, "prompt")
