"""Servers that show other things in other forms, as vLLM and Ollama do, are compared all the same: one model answers in both manners."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
from decoder_folders import make_decoder

import noria
from noria.api.results import Verification
from noria.core.folder import read_manifest
from noria.infer.brought import model_folder
from noria.infer.torch import TorchEngine
from noria.make.compress.trained import Trained
from noria.tasks.chat import Chat
from noria.tasks.companion import open_task

Json = dict[str, Any]
TOP = 20


class Manner:
    """What a server answers: tokens drawn by a model, told as one of them tells."""

    def __init__(self, model: Trained) -> None:
        self.model, self.asked = model, set[str]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.add(request.url.path)
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "model:latest"}]})
        answer = self.answer(request.url.path.removeprefix("/v1/"), json.loads(request.read()))
        return httpx.Response(404 if answer is None else 200, json=answer or {})

    def answer(self, path: str, body: Json) -> Json | None:
        """What is told of a request; None where it is refused."""
        raise NotImplementedError

    def drawn(self, ids: list[int], body: Json) -> tuple[int, list[tuple[int, float]]]:
        """The next token, and the likeliest ones with their log probabilities."""
        probabilities = self.model.probabilities(ids)
        order = np.argsort(-probabilities)[:TOP]
        token = int(order[0])
        if body["temperature"]:
            token = int(np.random.default_rng(body["seed"]).choice(len(probabilities), p=probabilities))
        return token, [(int(one), float(np.log(probabilities[one]))) for one in order]

    def text(self, token: int) -> str:
        return self.model.content(token).decode("utf-8", "replace")


class VLlm(Manner):
    """Prompts as ids, ids where they are asked for, tokens by number where they are asked for; no /tokenize of this server."""

    def answer(self, path: str, body: Json) -> Json | None:
        if path == "chat/completions":
            ids = list(self.model.rendered(body["messages"], body.get("tools")).ids or ())
        elif path == "completions" and isinstance(body["prompt"], list):
            ids = body["prompt"]
        else:
            return None
        token, top = self.drawn(ids, {"seed": 0, **body})
        choice: Json = {"text": self.text(token), "message": {"content": self.text(token)}, "finish_reason": "length"}
        if body.get("logprobs") and body.get("return_tokens_as_token_ids"):
            named = {f"token_id:{one}": logprob for one, logprob in top}
            tops = {"tokens": [f"token_id:{token}"], "token_logprobs": [None], "top_logprobs": [named]}
            choice["logprobs"] = tops
        shown = {"prompt_token_ids": ids} if body.get("return_token_ids") else {}
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids)}, **shown}


class Ollama(Manner):
    """Chats alone: the rendered text where it is asked for, counts, chances of the likeliest tokens with their bytes."""

    def answer(self, path: str, body: Json) -> Json | None:
        if path != "chat/completions":
            return None
        read = self.model.rendered(body["messages"], body.get("tools"))
        if body.get("_debug_render_only"):
            return {"_debug_info": {"rendered_template": read.text}, "choices": []}
        token, top = self.drawn(list(read.ids or ()), {"seed": 0, **body})
        choice: Json = {"message": {"content": self.text(token)}, "finish_reason": "length"}
        if body.get("logprobs"):
            tops = [
                {"token": self.text(one), "bytes": list(self.model.content(one)), "logprob": value}
                for one, value in top
            ]
            own = next((one for one, (number, _) in zip(tops, top, strict=True) if number == token), tops[0])
            choice["logprobs"] = {"content": [{**own, "top_logprobs": tops}]}
        return {"choices": [choice], "usage": {"prompt_tokens": read.count}}


@pytest.fixture(scope="module")
def model(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder("Qwen2", tmp_path_factory.mktemp("forms") / "qwen")


def served(model: Path, template: str = "") -> Trained:
    folder = model_folder(model, weights=True)
    manifest = read_manifest(folder)
    task = open_task(folder, manifest)
    if template:
        task = replace(cast(Chat, task), template=template)
    return Trained(TorchEngine(folder, manifest, task, threads=1, number="float32"))


def verified(model: Path, manner: Manner) -> Verification:
    url, transport = "http://there:1/v1", httpx.MockTransport(manner)
    found = noria.verify(model, url=url, prompts=30, progress=False, transport=transport)
    assert isinstance(found, Verification)
    return found


@pytest.mark.parametrize(("manner", "shown"), [(VLlm, "shows the ids"), (Ollama, "shows the text")])
def test_one_that_serves_the_model_passes(model: Path, manner: type[Manner], shown: str):
    found = verified(model, manner(served(model)))
    assert found.passed, found.title()
    figures = {one.name: one for one in found.figures}
    assert (figures["conversations read alike"].value, figures["next-token agreement"].value) == (1, 1)
    assert figures["next-token divergence"].n == 30
    assert figures["next-token divergence"].value < 1e-3
    assert any(shown in str(one) for one in found.seen)


@pytest.mark.parametrize("manner", [VLlm, Ollama])
def test_a_template_of_the_same_length_is_named(model: Path, manner: type[Manner]):
    task = served(model).task
    assert isinstance(task, Chat)
    other = task.template.replace("{{ m.role }}\n", "{{ m.role }} ")
    assert other != task.template
    found = verified(model, manner(served(model, other)))
    assert found.differs == "template", found.title()
    assert "'\\n'" in str(found.reason) or "\\n" in str(found.reason)
