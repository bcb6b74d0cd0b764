"""On a real accelerator: every objective and method learns as on the processor, a run goes on there, and models are served there. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import torch
from tiny_models import TEXTS

import noria
from noria.core.folder import read_manifest
from noria.infer import device
from noria.infer.engine import answer
from noria.infer.torch import TorchEngine
from noria.tasks.task import task_of
from tests.make.training.test_device import StoppedError, run, without_dropout
from tests.make.training.training_runs import KINDS

pytestmark = pytest.mark.skipif(not torch.accelerator.is_available(), reason="torch finds no accelerator here")


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_the_processor(kind: str, tmp_path: Path):
    here = run(without_dropout(KINDS[kind]), tmp_path / "here" / "run")
    setup = without_dropout(KINDS[kind])
    device.placed(setup.module, device.chosen())
    assert run(setup, tmp_path / "there" / "run") == pytest.approx(here, rel=5e-3)


@pytest.mark.parametrize("order", [("cpu", "auto"), ("auto", "cpu")])
def test_a_run_goes_on_on_the_other_device(order: tuple[str, str], tmp_path: Path):
    whole = run(without_dropout(KINDS["classify"]), tmp_path / "whole" / "run")
    work = tmp_path / "moved" / "run"
    first, second = (device.placed(without_dropout(KINDS["classify"]).module, device.chosen(name)) for name in order)
    setup = without_dropout(KINDS["classify"])
    setup.module = first
    with pytest.raises(StoppedError):
        run(setup, work, stopped=True)
    setup = without_dropout(KINDS["classify"])
    setup.module = second
    assert run(setup, work) == pytest.approx(whole, rel=5e-3)


def exact(folder: Path, place: str) -> TorchEngine:
    manifest = read_manifest(folder)
    return TorchEngine(folder, manifest, task_of(manifest), threads=1, number="float32", device=place)


@pytest.mark.parametrize(
    "name", ["plain_classifier", "tagger", "embedder", "reader", "translator", "writer", "chatter"]
)
def test_answers_are_those_of_the_processor(name: str, request: pytest.FixtureRequest):
    folder = request.getfixturevalue(name)
    here, there = (exact(folder, place) for place in ("cpu", str(device.chosen())))
    if here.task.head == "seq2seq":
        assert answer(there, TEXTS) == answer(here, TEXTS)
        return
    batch = [here.task.features(here.tokenizer, text, here.max_length).ids for text in TEXTS]
    for one, other in zip(there.forward(batch), here.forward(batch), strict=True):
        assert one == pytest.approx(other, abs=2e-3)


def test_a_server_answers_there(plain_classifier: Path, embedder: Path, writer: Path, tmp_path: Path):
    """Several clients at once, a seed that repeats, and an engine of the processor that is passed over."""
    models = (plain_classifier, embedder, writer)
    with (
        noria.serve(*models, port=0, background=True, lake=tmp_path / "lake") as server,
        httpx.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=120) as client,
    ):
        known = {one["id"]: one for one in client.get("/models").json()["data"]}
        assert {one["device"] for one in known.values()} == {str(device.chosen())}
        assert known["vectors"]["passed_over"] == "openvino"
        assert client.post("/classify", json={"model": "sentiment", "input": TEXTS}).is_success
        asked = {"model": "writer", "prompt": ["今天", "The"], "max_tokens": 8, "seed": 3}
        first, again = (client.post("/completions", json=asked).json()["choices"] for _ in range(2))
        assert [one["text"] for one in first] == [one["text"] for one in again]
