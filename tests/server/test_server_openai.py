"""OpenAI's own client against the real server, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import httpx
import numpy as np
import openai
import pydantic
import pytest
from tiny_models import TEXTS

from noria.server.http.run import Running


@pytest.fixture(scope="module")
def openai_client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        yield client


def test_models_are_listed(openai_client):
    models = {model.id: model for model in openai_client.models.list()}
    assert list(models) == ["sentiment", "entities", "vectors", "writer", "chatter", "reader", "translator"]
    assert openai_client.models.retrieve("writer").id == "writer"
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("gpt-9")


def test_a_completion_counts_its_tokens_and_repeats_by_seed(openai_client):
    made = [openai_client.completions.create(model="writer", prompt="大模型", max_tokens=12, seed=5) for _ in range(2)]
    assert made[0].choices[0].text == made[1].choices[0].text != ""
    assert made[0].choices[0].finish_reason in ("length", "stop")
    usage = made[0].usage
    assert usage.completion_tokens <= 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    other = openai_client.completions.create(model="writer", prompt="大模型", max_tokens=12, seed=6)
    assert other.choices[0].text != made[0].choices[0].text


def test_a_completion_goes_on_from_ids(client: httpx.Client):
    told = client.post("/v1/tokenize", json={"model": "writer", "prompt": "大模型"})
    ids = told.json().get("tokens")
    assert ids, told.text
    asked = {"model": "writer", "max_tokens": 6, "temperature": 0}
    by_ids, by_text = (client.post("/v1/completions", json={**asked, "prompt": one}).json() for one in (ids, "大模型"))
    assert by_ids["choices"] == by_text["choices"]
    assert by_ids["usage"] == by_text["usage"]
    strange = client.post("/v1/completions", json={**asked, "prompt": [10**6]})
    assert strange.status_code == 400


def test_a_stream_says_what_the_whole_says(openai_client):
    asked = {"model": "writer", "prompt": "A noria", "max_tokens": 20, "seed": 9}
    whole = openai_client.completions.create(**asked)
    chunks = list(openai_client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 2  # the first text at once, then what came, and the usage


def test_stop_strings_end_a_completion(openai_client):
    whole = openai_client.completions.create(model="writer", prompt="北京", max_tokens=30, seed=2).choices[0].text
    stop = whole[6:8]
    cut = openai_client.completions.create(model="writer", prompt="北京", max_tokens=30, seed=2, stop=[stop])
    assert cut.choices[0].text == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings_have_length_one_in_either_encoding(openai_client, encoding):
    asked = {} if encoding is None else {"encoding_format": encoding}
    made = openai_client.embeddings.create(model="vectors", input=TEXTS[:3], **asked)
    if encoding == "base64":
        vectors = [np.frombuffer(__import__("base64").b64decode(one.embedding), "<f4") for one in made.data]
    else:
        vectors = [np.array(one.embedding) for one in made.data]
    assert [one.index for one in made.data] == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert made.usage.total_tokens > 10


def test_errors_are_those_the_client_knows(openai_client, server):
    with pytest.raises(openai.NotFoundError) as unknown:
        openai_client.completions.create(model="gpt-9", prompt="x")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError, match="no chat model") as chat:
        openai_client.chat.completions.create(model="writer", messages=[{"role": "user", "content": "hi"}])
    assert chat.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.UnprocessableEntityError) as bad:
        openai_client.completions.create(model="writer", prompt="x", temperature=3.0)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.UnprocessableEntityError) as many:
        openai_client.completions.create(model="writer", prompt="x", n=9)
    assert many.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()


HELLO = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "北京的冬天冷吗？"}]


def test_a_chat_answers_and_repeats_by_seed(openai_client):
    asked = {"model": "chatter", "messages": HELLO, "max_completion_tokens": 12, "seed": 3}
    one, two = (openai_client.chat.completions.create(**asked) for _ in range(2))
    assert one.choices[0].message.role == "assistant"
    assert one.choices[0].message.content == two.choices[0].message.content != ""
    assert one.choices[0].finish_reason in ("stop", "length")
    assert one.usage.completion_tokens <= 12 < one.usage.prompt_tokens
    assert one.system_fingerprint == two.system_fingerprint != ""
    parts = [
        {"role": "developer", "content": "Answer."},
        {"role": "user", "content": [{"type": "text", "text": "北京的冬天冷吗？"}]},
    ]
    same = openai_client.chat.completions.create(**asked | {"messages": parts})
    assert same.choices[0].message.content == one.choices[0].message.content


def test_a_chat_stream_says_what_the_whole_says(openai_client):
    asked = {"model": "chatter", "messages": HELLO, "max_tokens": 24, "seed": 4, "logprobs": True, "top_logprobs": 2}
    whole = openai_client.chat.completions.create(**asked)
    chunks = list(openai_client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    told = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in told) == whole.choices[0].message.content
    assert told[-1].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    streamed = [one.logprob for choice in told if choice.logprobs for one in choice.logprobs.content]
    assert streamed == [one.logprob for one in whole.choices[0].logprobs.content]


def test_log_probabilities_are_those_of_the_tokens(openai_client):
    chat = openai_client.chat.completions.create(
        model="chatter", messages=HELLO, max_tokens=8, temperature=0, logprobs=True, top_logprobs=3
    )
    told = chat.choices[0].logprobs.content
    assert len(told) in (chat.usage.completion_tokens, chat.usage.completion_tokens - 1), (
        "an end is no token of the text"
    )
    for one in told:
        assert one.logprob <= 0
        assert len(one.top_logprobs) == 3
        assert one.logprob == one.top_logprobs[0].logprob, "at temperature 0 the likeliest is taken"
    said = b"".join(bytes(one.bytes) for one in told).decode("utf-8", "replace")
    assert said == chat.choices[0].message.content
    made = openai_client.completions.create(model="writer", prompt="大", max_tokens=6, logprobs=2, seed=1).choices[0]
    assert len(made.logprobs.tokens) == len(made.logprobs.token_logprobs) == len(made.logprobs.text_offset) == 6
    assert all(len(top) <= 2 for top in made.logprobs.top_logprobs)
    assert made.logprobs.text_offset[0] == 0


SCHEMA = {
    "type": "object",
    "required": ["mood", "stars"],
    "additionalProperties": False,
    "properties": {"mood": {"enum": ["好", "坏"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
}


def test_json_is_held_to_its_schema(openai_client):
    wanted = {"type": "json_schema", "json_schema": {"name": "review", "schema": SCHEMA, "strict": True}}
    for seed in range(4):
        chat = openai_client.chat.completions.create(
            model="chatter", messages=HELLO, max_tokens=60, seed=seed, temperature=1.5, response_format=wanted
        )
        said = json.loads(chat.choices[0].message.content)
        assert set(said) == {"mood", "stars"}
        assert said["mood"] in ("好", "坏")
        assert said["stars"] in range(1, 6)
        assert chat.choices[0].finish_reason == "stop"
    # A model that was never trained may go on for ever: what is drawn is the beginning of an object all the same.
    free = openai_client.chat.completions.create(
        model="chatter", messages=HELLO, max_tokens=40, seed=1, response_format={"type": "json_object"}
    )
    assert free.choices[0].message.content.startswith("{")


def test_the_client_parses_what_it_asked_for(openai_client):
    class Review(pydantic.BaseModel):
        mood: Literal["好", "坏"]
        good: bool

    parsed = openai_client.chat.completions.parse(
        model="chatter", messages=HELLO, max_tokens=60, seed=5, response_format=Review
    )
    assert isinstance(parsed.choices[0].message.parsed, Review)


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"messages": []}, 422, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 422, "messages.0.tool_call_id"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, 400, "messages.0.tool_call_id"),
        ({"messages": [{"role": "critic", "content": "x"}]}, 422, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]}, 400, "messages.1.role"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]},
            400,
            "messages.1.role",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            422,
            "messages.0.content.0.type",
        ),
        ({"messages": [{"role": "user", "content": "很" * 3000}]}, 400, None),
        ({"tools": [{"type": "retrieval"}]}, 422, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "f g"}}]}, 422, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}] * 2}, 400, "tools"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}]},
            400,
            "tools.0.function.parameters",
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            400,
            "tool_choice.function.name",
        ),
        ({"tool_choice": "required"}, 400, "tool_choice"),
        ({"top_logprobs": 2}, 400, "top_logprobs"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, 400, "max_completion_tokens"),
        ({"max_completion_tokens": 10**6}, 422, "max_completion_tokens"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}},
            400,
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "yaml"}}, 422, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            422,
            "response_format.json_schema.name",
        ),
        ({"stream_options": {"include_usge": True}}, 422, "stream_options.include_usge"),
    ],
)
def test_a_bad_chat_is_told_by_its_field(client, change, status, field):
    reply = client.post("/v1/chat/completions", json={"model": "chatter", "messages": HELLO, **change})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["param"] == field, reply.text
