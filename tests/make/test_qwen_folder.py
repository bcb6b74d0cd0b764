"""A Qwen2.5 as a hub has it, tiny: tuned, written as a GGUF, read by llama.cpp from scratch, served, and verified against what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import QWEN
from decoder_folders import make_decoder
from llama_cpp import LlamaCpp

import noria
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.infer.gguf.reader import read_gguf
from noria.make.compress.gguf import write_gguf
from noria.make.tokens.tokenizer import load_tokenizer
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import FinetuneSettings
from noria.tasks.task import task_for

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"订单 {number} 在哪里 where is it"},
            {"role": "assistant", "content": f"明天到 parcel {number % 7} comes tomorrow 😀"},
        ]
    }
    for number in range(40)
]
ADDED = ("<tool_call>", "</tool_call>", "<|fim_prefix|>")
"""Tokens that were added and are not special."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NORIA_CACHE", str(tmp_path / "cache"))


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Biases, tied, bfloat16, a table longer than the vocabulary, two ends, no begin, settings of its own for drawing."""
    from safetensors.torch import load_file, save_file
    from tokenizers import AddedToken, Tokenizer

    folder = make_decoder("Qwen2", tmp_path_factory.mktemp("hub") / "Qwen2.5-tiny", max_position_embeddings=1024)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(one, special=False, normalized=False) for one in ADDED])
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = [tokenizer.token_to_id(one) for one in ("<|im_end|>", "<|endoftext|>")]
    weights = {name: one.bfloat16() for name, one in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    changed(folder / "config.json", dtype="bfloat16", eos_token_id=ends[0], bos_token_id=ends[1], pad_token_id=None)
    changed(
        folder / "generation_config.json",
        eos_token_id=ends,
        bos_token_id=ends[1],
        pad_token_id=ends[1],
        do_sample=True,
        temperature=0.7,
        top_k=20,
        repetition_penalty=1.1,
    )
    changed(folder / "tokenizer_config.json", chat_template=QWEN, tokenizer_class="Qwen2Tokenizer")
    return folder


@pytest.fixture(scope="module")
def tuned(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tuned")
    rows = place / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    settings = FinetuneSettings.make(steps=3, evaluations=1, recipe="lora", number_type="fp32", adapter={"rank": 4})
    return finetune(task_for("chat"), theirs, rows, None, place / "mine", settings, Report())


def test_it_is_tuned_as_it_is_and_keeps_its_dialect(theirs: Path, tuned: Path):
    facts = read_manifest(tuned).facts
    assert (facts["task"], facts["adapter"]["merged"]) == ("chat", True)
    assert facts["max_length"] == 1024, "however short the rows were"
    before, after = (json.loads((folder / "generation_config.json").read_text()) for folder in (theirs, tuned))
    kept = ("eos_token_id", "repetition_penalty", "temperature", "top_k")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert load_tokenizer(tuned).to_str() == load_tokenizer(theirs).to_str()


def test_llama_cpp_reads_the_same_ids_and_goes_on_alike(tuned: Path, tmp_path: Path, quiet: None):
    file = tmp_path / "mine.gguf"
    write_gguf(tuned, file, "float32")
    said = read_gguf(file).facts
    assert (said["tokenizer.ggml.pre"], said["tokenizer.chat_template"]) == ("qwen2", QWEN)
    assert said["tokenizer.ggml.add_bos_token"] is False
    tokenizer, task = load_tokenizer(tuned), task_for("chat").based_on(tuned, load_tokenizer(tuned))
    features = task.features(tokenizer, {"messages": ROWS[0]["messages"][:1]}, 512)
    assert "You are Qwen" in features.meta["text"]
    with LlamaCpp(file, context=512) as theirs:
        assert theirs.tokens(features.meta["text"]) == features.ids
        assert theirs.tokens("<tool_call> 😀 def f(x):\n\t\treturn 1234") == (
            tokenizer.encode("<tool_call> 😀 def f(x):\n\t\treturn 1234").ids
        )


def test_what_is_served_is_what_was_trained(tuned: Path, tmp_path: Path, quiet: None):
    file = tmp_path / "packed.gguf"
    write_gguf(tuned, file, "float32")
    with noria.serve(file, port=0, background=True, lake=tmp_path / "lake") as server:
        found = noria.verify(tuned, url=f"{server.url}/v1", key=server.key, prompts=12, progress=False)
    assert found.passed, found.title()
    assert {one.name: one.value for one in found.figures}["conversations read alike"] == 1
