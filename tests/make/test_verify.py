"""What is served is compared with what was trained: an honest server passes, and a fault of every kind is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny_models import TEXTS

import noria
from benchmarks.writers import make_writer
from noria.api.results import Verification
from noria.core.errors import InputError, ResourceError, SettingError
from noria.core.folder import new_folder, read_manifest
from noria.make.compress.quantize import copy_files
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
FAULTS = {
    "template": TEMPLATE.replace("': '", "' - '"),
    "special tokens": "{{ bos_token }}" + TEMPLATE,
}


def changed(model: Path, target: Path, template: str = TEMPLATE, change: Callable[[Any], Any] | None = None) -> Path:
    """A copy of a chat model with another template, or other weights."""
    from safetensors.torch import load_file, save_file

    with new_folder(target, kind="model") as made:
        copy_files(model, made.path)
        made.facts.update({**read_manifest(model).facts, "template": template, "begin": "<|begin|>", "end": "<|end|>"})
        if change:
            file = made.path / "model.safetensors"
            save_file({name: change(one) for name, one in load_file(file).items()}, file, metadata={"format": "pt"})
    return target


@pytest.fixture(scope="module")
def trained(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model that is surer of its next token than random weights are."""
    place = tmp_path_factory.mktemp("trained")
    plain = make_writer(place / "plain", "chat", 1_024, texts=TEXTS, ends=True, seed=1)
    return changed(plain, place / "trained", change=lambda one: one * 6 if one.ndim == 2 else one)


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    import torch

    place = tmp_path_factory.mktemp("served")
    noise = torch.Generator().manual_seed(3)
    models = [trained]
    models += [changed(trained, place / name.replace(" ", "-"), text) for name, text in FAULTS.items()]
    models += [
        changed(trained, place / "weights", change=lambda one: one + 0.05 * torch.randn(one.shape, generator=noise))
    ]
    settings = ServerSettings(port=0, lake=Path(tmp_path_factory.mktemp("lake")), threads=1)
    with serving(settings, models, []) as running:
        yield running


class Changing(httpx.HTTPTransport):
    """The way to an endpoint that hears otherwise than it is told, or shows less."""

    def __init__(self, change: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> None:
        super().__init__()
        self._change = change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Change the body, or refuse the request where nothing is left of it."""
        if request.method != "POST":
            return super().handle_request(request)
        body = self._change(request.url.path, json.loads(request.read()))
        if body is None:
            return httpx.Response(404, request=request)
        headers = {key: value for key, value in request.headers.items() if key != "content-length"}
        return super().handle_request(httpx.Request("POST", request.url, headers=headers, json=body))


def shows_all(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return body


def shows_counts(path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """As Ollama: chats alone, no ids and no chances."""
    return {k: v for k, v in body.items() if "logprobs" not in k} if path == "/v1/chat/completions" else None


def verified(trained: Path, server: Running, name: str, change: Any = shows_all) -> Verification:
    found = noria.verify(
        trained,
        url=f"{server.url}/v1",
        key=server.key,
        name=name,
        prompts=40,
        progress=False,
        transport=Changing(change),
    )
    assert isinstance(found, Verification)
    return found


@pytest.mark.parametrize("change", [shows_all, shows_counts])
def test_an_honest_server_passes(trained: Path, server: Running, change: Any):
    found = verified(trained, server, "trained", change)
    assert found.passed, found.title()
    figures = {one.name: one for one in found.figures}
    assert figures["conversations read alike"].value == 1
    assert figures["next-token agreement"].value == 1
    assert figures["next-token agreement"].n == 40
    assert ("next-token divergence" in figures) is (change is shows_all)
    if change is shows_all:
        assert figures["next-token divergence"].value < 1e-6
    assert found.title()["zh"]


@pytest.mark.parametrize("change", [shows_all, shows_counts])
@pytest.mark.parametrize("kind", ["template", "special tokens", "weights"])
def test_a_fault_is_named_by_its_kind(trained: Path, server: Running, kind: str, change: Any):
    found = verified(trained, server, kind.replace(" ", "-"), change)
    assert found.differs == kind, found.title()
    assert "there" in str(found.reason)
    assert "token" in str(found.reason) or "follows" in str(found.reason)


@pytest.mark.parametrize(
    "heard",
    [{"temperature": 0}, {"temperature": 1}, {"temperature": 1, "seed": 7}],
    ids=["always cold", "always warm", "one seed"],
)
def test_a_temperature_that_is_not_heard_is_named(trained: Path, server: Running, heard: dict[str, Any]):
    found = verified(
        trained, server, "trained", lambda path, body: {**body, **heard} if "temperature" in body else body
    )
    assert found.differs == "sampling", found.title()


def test_the_first_differing_token_is_shown(trained: Path, server: Running):
    found = verified(trained, server, "template")
    assert "':' in the trained model" in str(found.reason)
    assert "' ' there" in str(found.reason)
    assert "<|begin|>user" in str(found.reason)


def test_what_cannot_be_asked_is_one_line(trained: Path, server: Running, tmp_path: Path):
    with pytest.raises(InputError, match="no such model"):
        verified(trained, server, "another")
    with pytest.raises(InputError, match="refuses the key"):
        noria.verify(trained, url=f"{server.url}/v1", key="wrong", progress=False)
    with pytest.raises(ResourceError, match="nothing"):
        noria.verify(trained, url="http://127.0.0.1:9/v1", progress=False)
    with pytest.raises(SettingError, match="address"):
        noria.verify(trained, url="localhost", progress=False)
