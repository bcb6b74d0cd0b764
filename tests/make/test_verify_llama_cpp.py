"""A server that is not ours: llama.cpp's own, on files that Noria wrote, is compared with the trained model."""

from __future__ import annotations

from pathlib import Path

import pytest
from decoder_folders import MERGES, make_decoder, merge_again, with_adapter
from llama_cpp import LlamaCpp

import noria
from noria.api.results import Verification
from noria.infer.brought import model_folder
from noria.make.compress.gguf import Number, write_gguf


def verified(model: Path, file: Path) -> Verification:
    with LlamaCpp(file, context=256) as theirs:
        found = noria.verify(model, url=f"{theirs.address}/v1", prompts=40, progress=False)
    assert isinstance(found, Verification)
    return found


@pytest.mark.parametrize("name", ["Qwen2", "SmolLM", "Llama 3"])
def test_what_noria_wrote_is_what_was_trained(name: str, tmp_path: Path, quiet: None):
    model = make_decoder(name, tmp_path / "model")
    write_gguf(model, tmp_path / "model.gguf", "float32")
    found = verified(model, tmp_path / "model.gguf")
    assert found.passed, found.title()
    figures = {one.name: one for one in found.figures}
    assert figures["conversations read alike"].value == 1
    assert figures["conversations read alike"].n == 8
    assert figures["next-token agreement"].value == 1
    assert figures["next-token agreement"].n == 40
    assert figures["next-token divergence"].value < 1e-3
    assert any("ids" in str(one) for one in found.seen)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("another template", "template"), ("a begin token twice", "special tokens"), ("another seed", "weights")],
)
def test_a_fault_there_is_named(fault: str, kind: str, tmp_path: Path, quiet: None):
    model = make_decoder("SmolLM", tmp_path / "model")
    other = make_decoder("SmolLM", tmp_path / "other", seed=int(fault == "another seed"))
    file = other / "tokenizer_config.json"
    text = file.read_text()
    if fault == "another template":
        file.write_text(text.replace("assistant\\n", "Assistant\\n"))
        assert file.read_text() != text
    if fault == "a begin token twice":
        file.write_text(text.replace('"chat_template": "', '"chat_template": "<|endoftext|>'))
    write_gguf(other, tmp_path / "model.gguf", "float16")
    found = verified(model, tmp_path / "model.gguf")
    assert found.differs == kind, found.title()


@pytest.mark.parametrize("number", ["8 bits", "4 bits"])
def test_coarser_numbers_are_told_as_farther(number: Number, tmp_path: Path, quiet: None):
    model = make_decoder("SmolLM", tmp_path / "model")
    write_gguf(model, tmp_path / "model.gguf", number)
    figures = {one.name: one for one in verified(model, tmp_path / "model.gguf").figures}
    assert figures["conversations read alike"].value == 1
    assert 1e-6 < figures["next-token divergence"].value < 0.5


@pytest.mark.parametrize("fault", ["", *MERGES])
def test_an_adapter_that_was_merged_wrongly_is_named_as_weights(fault: str, tmp_path: Path, quiet: None):
    base = model_folder(make_decoder("SmolLM", tmp_path / "base"), weights=True)
    model = with_adapter(base, tmp_path / "tuned")
    served = merge_again(model, base, fault, tmp_path / "served") if fault else model
    write_gguf(served, tmp_path / "model.gguf", "float32")
    found = verified(model, tmp_path / "model.gguf")
    assert found.differs == ("weights" if fault else ""), found.title()
    assert {one.name: one for one in found.figures}["conversations read alike"].value == 1
