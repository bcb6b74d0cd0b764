"""The certificate of a decoder: conversations, next tokens, the loss and a merge are measured, and what is wrong with any is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from decoder_folders import MERGES, make_decoder, merge_again, with_adapter
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import TEXTS

from noria.core.folder import new_folder, read_manifest
from noria.core.progress import Report
from noria.infer.brought import model_folder
from noria.infer.choose import open_engine
from noria.infer.decoder import Decoder
from noria.infer.engine import ENGINES, LEAST_CORES, Kind
from noria.infer.torch import TorchEngine
from noria.machine import cores
from noria.make.compress.causal import _merged, compress_decoder
from noria.make.compress.following import divergence, is_near_tie
from noria.make.compress.gguf import write_gguf
from noria.make.compress.quantize import copy_files
from noria.make.compress.readings import file_reader, read_alike
from noria.make.compress.settings import CompressSettings
from noria.make.compress.trained import Reading, Trained
from noria.tasks.companion import open_task

ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": other}]}
    for text, other in zip(TEXTS, reversed(TEXTS), strict=True)
]


@given(st.integers(2, 30), st.integers(1, 29), st.integers(0, 2**31))
def test_what_is_told_of_a_distribution_is_never_farther_than_the_whole(size: int, told: int, seed: int):
    random = np.random.default_rng(seed)
    ours, theirs = random.dirichlet(np.ones(size), 2)
    whole = float((ours * np.log(ours / theirs)).sum())
    kept = random.permutation(size)[:told]
    assert divergence(ours[kept], np.log(theirs[kept])) <= whole + 1e-9
    assert divergence(ours, np.log(theirs)) == pytest.approx(whole, abs=1e-5)
    assert divergence(ours[kept], np.log(ours[kept])) == pytest.approx(0, abs=1e-9)


def test_a_near_tie_is_one_of_the_two_likeliest():
    assert is_near_tie(np.array([0.2, 0.41, 0.39]))
    assert not is_near_tie(np.array([0.25, 0.5, 0.25]))


@pytest.fixture(scope="module")
def chat(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model as a Hugging Face folder has it."""
    return model_folder(make_decoder("Qwen2", tmp_path_factory.mktemp("chat") / "qwen"), weights=True)


def trained_of(folder: Path) -> Trained:
    manifest = read_manifest(folder)
    return Trained(TorchEngine(folder, manifest, open_task(folder, manifest), threads=1, number="float32"))


@pytest.mark.parametrize(
    ("kind", "error"), [("llamacpp", 0.02), ("genai", 0.3)]
)  # the second computes in bfloat16 where it may
def test_an_engine_tells_what_the_true_token_costs(chat: Path, tmp_path: Path, kind: Kind, error: float):
    if kind == "genai" and cores() < LEAST_CORES:
        pytest.skip("OpenVINO GenAI needs two cores")
    with new_folder(tmp_path / "fast", kind="model") as made:
        copy_files(chat, made.path)
        write_gguf(chat, made.path / ENGINES[kind], "float16")
        made.facts.update(read_manifest(chat).facts)
    trained, engine = trained_of(chat), open_engine(tmp_path / "fast", prefer=kind, threads=1)
    random = np.random.default_rng(0)
    try:
        for length in (3, 9, 40, 41):
            ids = random.integers(0, 400, length).tolist()
            expected = int(random.integers(0, 400))
            own, told = np.log(trained.probabilities(ids)), cast(Decoder, engine).following(ids, expected)
            assert expected in told
            assert own[max(told, key=lambda one: told[one])] >= own.max() - 2 * error
            assert [told[one] for one in told] == pytest.approx([own[one] for one in told], abs=error)
    finally:
        engine.close()


def test_a_file_is_read_as_the_model_and_another_template_is_named(chat: Path, tmp_path: Path):
    mine = Reading.of(chat)
    write_gguf(chat, tmp_path / "right.gguf", "float16")
    with new_folder(tmp_path / "other", kind="model") as made:
        copy_files(chat, made.path)
        file = made.path / "tokenizer_config.json"
        config = json.loads(file.read_text())
        file.unlink()  # a link
        file.write_text(
            json.dumps({**config, "chat_template": config["chat_template"].replace("assistant\n", "assistant ")})
        )
    write_gguf(tmp_path / "other", tmp_path / "wrong.gguf", "float16")
    for name, kind in (("right", None), ("wrong", "template")):
        with file_reader(tmp_path / f"{name}.gguf", 1) as reader:
            assert reader is not None
            share, found = read_alike(mine, reader, [])
        assert share is not None
        assert share.n == 8
        assert (share.value == 1) is (kind is None)
        assert [one for one, _ in found] == ([kind] if kind else [])


@pytest.mark.parametrize("fault", ["", *MERGES])
def test_weights_that_were_merged_wrongly_are_refused(chat: Path, tmp_path: Path, fault: str):
    folder = with_adapter(chat, tmp_path / "tuned")
    if fault:
        folder = merge_again(folder, chat, fault, tmp_path / "wrong")
    found, faults = _merged(trained_of(folder), folder, seed=0)
    figures = {figure.name: figure for figure in found}
    apart = figures["divergence of merged weights"]
    assert apart.n == figures["agreement of merged weights"].n > 100
    assert apart.baseline is not None
    assert bool(faults) is bool(fault)
    if fault:
        assert "not base and adapter" in str(faults[0])
        assert "基座" in faults[0]["zh"]
    else:
        assert figures["agreement of merged weights"].value == 1
        assert apart.value < 1e-6 < apart.baseline


def test_a_certificate_tells_all_of_it(chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("noria.make.compress.decoders.PROMPTS", 40)
    folder = with_adapter(chat, tmp_path / "tuned")
    settings = CompressSettings(method="float", rounds=6)
    found = compress_decoder(folder, ROWS, tmp_path / "fast", settings, Report(), source="rows", or_trained=True)
    figures = {str(figure.name): figure for figure in found.figures}
    assert figures["conversations read alike"].value == 1
    assert figures["conversations read alike by llama.cpp with what stands in the file"].value == 1
    assert figures["agreement"].n == figures["next-token divergence"].n == figures["loss"].n == 40
    assert figures["agreement"].value > 0.9
    assert figures["next-token divergence"].value < 0.01
    assert figures["loss"].value == pytest.approx(figures["loss"].baseline, abs=0.02)
    low, high = figures["loss above trained model"].low, figures["loss above trained model"].high
    assert low is not None
    assert high is not None
    assert low <= 0.02
    assert high >= -0.02
    assert figures["agreement of merged weights"].value == 1
    card = (tmp_path / "fast" / "README.md").read_text(encoding="utf-8")
    assert "| divergence of merged weights |" in card
    assert "## Certificate" not in (folder / "README.md").read_text(encoding="utf-8")
