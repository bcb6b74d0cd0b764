"""OpenAI's own client against the real server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openai
import pytest
from tiny_models import TEXTS

from noria.ship.server.run import Running


@pytest.fixture(scope="module")
def openai_client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        yield client


def test_models_are_listed(openai_client):
    models = {model.id: model for model in openai_client.models.list()}
    assert list(models) == ["sentiment", "entities", "vectors", "writer"]
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


def test_a_stream_says_what_the_whole_says(openai_client):
    asked = {"model": "writer", "prompt": "A noria", "max_tokens": 20, "seed": 9}
    whole = openai_client.completions.create(**asked)
    chunks = list(openai_client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 3


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
    with pytest.raises(openai.BadRequestError, match="no chat model") as chat:
        openai_client.chat.completions.create(model="writer", messages=[{"role": "user", "content": "hi"}])
    assert chat.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.UnprocessableEntityError) as bad:
        openai_client.completions.create(model="writer", prompt="x", temperature=3.0)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.UnprocessableEntityError) as many:
        openai_client.completions.create(model="writer", prompt="x", n=2)
    assert many.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()
