"""A base of any form goes on learning on a corpus: it stays itself, and what it gained and forgot is told on text that it has not seen."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from decoder_folders import SPECIAL, make_decoder
from tiny_models import TEXTS

import noria
from noria.core.errors import Interrupted, SettingError
from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.compress.gguf import write_gguf
from noria.make.tokens.special import document_tokens
from noria.make.tokens.tokenizer import load_tokenizer
from tests.chat_templates import LLAMA
from tests.make.training.test_pretrain_kinds import Stopping

SETTINGS: dict[str, Any] = {
    "context": 64,
    "tokens_per_step": 256,
    "steps": 9,
    "evaluations": 2,
    "number_type": "fp32",
    "optimizer": {"learning_rate": 3e-3},
}
GENERAL = [text[:30] for text in TEXTS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a hub has it: Qwen's, which has no begin, and whose end is that of a turn."""
    torch.set_num_threads(1)
    return make_decoder("Qwen2", tmp_path_factory.mktemp("hub") / "Qwen2-tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    texts = [one[:20] for one in review_lines[:90]]
    for split, part in (("train", texts[:60]), ("valid", texts[60:70]), ("test", texts[70:])):
        lines = [json.dumps({"text": text}) + "\n" for text in part]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "general.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in GENERAL))
    return folder


def went_on(corpus: Path, out: Path, base: Path, report: Report | bool = False) -> Path:
    noria.pretrain(corpus, out=out, keep=corpus / "general.jsonl", progress=report, **SETTINGS, model={"base": base})
    return out


@pytest.fixture(scope="module")
def whole(corpus: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return went_on(corpus, tmp_path_factory.mktemp("out") / "mine", base)


def bits_of(folder: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return bits and bytes of each text, by plain transformers, a text at a time."""
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), load_tokenizer(folder)
    end = tokenizer.token_to_id(SPECIAL[0])
    bits = []
    for text in texts:
        ids = torch.tensor([[end, *tokenizer.encode(text, add_special_tokens=False).ids, end]])
        with torch.no_grad():
            logits = model(ids).logits[0, :-1]
        bits.append(float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")) / np.log(2))
    return np.array(bits), np.array([len(text.encode()) for text in texts])


def test_it_stays_itself(whole: Path, base: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((whole / name).read_text()) == json.loads((base / name).read_text())
    before, after = (json.loads((one / "config.json").read_text()) for one in (base, whole))
    assert {name: after.get(name) for name in before} == before
    facts = read_manifest(whole).facts
    assert facts["task"] == "chat"
    assert facts["base"] == "Qwen2-tiny"
    assert facts["max_length"] == 128, "as long as the base's, not as the rows that it learned from"
    with noria.load(whole) as model:
        assert model.chat("你好", max_tokens=3)["tokens"] == 3


def test_gain_and_forgetting_are_those_of_plain_transformers(whole: Path, base: Path, corpus: Path):
    facts = read_manifest(whole).facts
    test = [json.loads(line)["text"] for line in (corpus / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    figures = [Figure(**one) for one in facts["metrics"]]
    found = [figures[0], *figures[-2:], *(Figure(**one) for one in facts["forgetting"])]
    wanted = []
    for texts in (test, GENERAL):
        (then, size), (now, _) = (bits_of(one, texts) for one in (base, whole))
        wanted.append((then.sum() / size.sum(), now.sum() / size.sum()))
    (then, now), (kept, after) = wanted
    assert [one.value for one in found] == pytest.approx([now, then, then - now, kept, after, after - kept], abs=2e-3)
    for one in found:
        assert one.low < one.value < one.high
    assert [one.n for one in found] == [20, 20, 20, *[len(GENERAL)] * 3]
    assert found[2].low > 0, "it learned"
    page = (whole / "README.md").read_text(encoding="utf-8")
    assert "gained over the base" in page
    assert "forgotten of the text to keep" in page


def test_stopped_and_run_again_it_ends_with_the_same_weights(whole: Path, corpus: Path, base: Path, tmp_path: Path):
    with pytest.raises(Interrupted, match="step 6 of 9"):
        went_on(corpus, tmp_path / "mine", base, Stopping(stream=io.StringIO()))
    again = went_on(corpus, tmp_path / "mine", base)
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    told, known = (read_manifest(one).facts for one in (again, whole))
    assert (told["metrics"], told["forgetting"]) == (known["metrics"], known["forgetting"])


def test_a_gguf_goes_on_as_its_folder_does(whole: Path, corpus: Path, base: Path, tmp_path: Path):
    write_gguf(base, tmp_path / "tiny.gguf", "float32")
    out = went_on(corpus, tmp_path / "mine", tmp_path / "tiny.gguf")
    told, known = (read_manifest(one).facts for one in (out, whole))
    assert told["task"] == "chat"
    here, there = ([value for _, value in one["curves"]["train"]] for one in (told, known))
    assert here == pytest.approx(there, rel=1e-3)


def test_begin_and_end_are_those_of_documents(base: Path, tmp_path: Path):
    tokenizer = load_tokenizer(base)
    document, begun, ended = (tokenizer.token_to_id(one) for one in SPECIAL)
    config = json.loads((base / "tokenizer_config.json").read_text())
    for number, (differs, wanted) in enumerate(
        [
            ({}, (document, document)),  # Qwen: no begin
            ({"bos_token": SPECIAL[1]}, (document, document)),  # SmolLM: both are marks of a turn
            ({"bos_token": SPECIAL[0], "eos_token": SPECIAL[0]}, (document, document)),
            ({"bos_token": SPECIAL[0], "chat_template": LLAMA.replace("<|eot_id|>", SPECIAL[2])}, (document, document)),
            ({"bos_token": SPECIAL[1], "chat_template": LLAMA.replace("<|eot_id|>", SPECIAL[2])}, (begun, document)),
            ({"bos_token": SPECIAL[1], "chat_template": None}, (begun, ended)),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
        given = {name: value for name, value in {**config, **differs}.items() if value is not None}
        (folder / "tokenizer_config.json").write_text(json.dumps(given))
        found = document_tokens(folder)
        assert (found.begin, found.end) == wanted, differs


def test_text_to_keep_wants_a_base(corpus: Path, tmp_path: Path):
    with pytest.raises(SettingError, match="--base"):
        noria.pretrain(corpus, out=tmp_path / "out", keep=corpus / "general.jsonl", progress=False, **SETTINGS)
