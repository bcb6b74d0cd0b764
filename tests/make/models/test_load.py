"""Loading: the head asked for, the same logits as plain transformers, and nothing unsafe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from noria.core.errors import FolderError, SettingError
from noria.make.models.load import load
from noria.make.models.sizes import causal


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaForCausalLM

    from noria.make.tokens.tokenizer import train_tokenizer

    folder = train_tokenizer(
        ["大模型与小模型", "large and small models"] * 20, 600, tmp_path_factory.mktemp("llama") / "m"
    )
    vocab_size = json.loads((folder / "noria.json").read_text())["facts"]["vocab_size"]
    LlamaForCausalLM(causal(150_000, vocab_size, 64)).save_pretrained(folder)
    return folder


def test_a_classifier_takes_its_labels_and_gives_the_logits_of_plain_transformers(e5_base: Path, tmp_path: Path):
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = load(e5_base, "sequence", ["negative", "neutral", "positive"])
    assert model.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}
    assert not model.training
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save(str(tmp_path / "saved" / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode("query: 书很好").ids])
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    again, _ = load(tmp_path / "saved", "sequence")
    with torch.no_grad():
        logits = model(ids).logits
        assert logits.shape == (1, 3)
        torch.testing.assert_close(plain(ids).logits, logits)
        torch.testing.assert_close(again(ids).logits, logits)


def test_a_new_head_depends_on_the_seed_alone(e5_base: Path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, three = (load(e5_base, "token", ["O", "B-person"], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one.classifier.weight, two.classifier.weight)
    assert not torch.equal(one.classifier.weight, three.classifier.weight)
    assert torch.equal(before, torch.get_rng_state())


def test_a_causal_model_loads(tiny_llama: Path):
    model, tokenizer = load(tiny_llama, "causal")
    ids = tokenizer.encode("大模型 and models").ids
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), tokenizer.get_vocab_size())


def test_an_unknown_head_names_the_known():
    with pytest.raises(SettingError, match="did you mean sequence"):
        load("anywhere", "sequenc")


def test_a_folder_that_cannot_be_used_is_plain_errors(tiny_llama: Path, tmp_path: Path):
    with pytest.raises(FolderError, match="no such model folder"):
        load(tmp_path / "none", "causal")
    with pytest.raises(FolderError, match=r"no config\.json"):
        load(tmp_path, "causal")
    folder = shutil.copytree(tiny_llama, tmp_path / "copy")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(FolderError, match="cannot be loaded"):
        load(folder, "causal")


def test_pickled_weights_and_code_of_its_own_are_refused(tiny_llama: Path, tmp_path: Path):
    pickled = shutil.copytree(tiny_llama, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(FolderError, match=r"holds no safetensors: found 'pytorch_model\.bin'"):
        load(pickled, "causal")
    coded = shutil.copytree(tiny_llama, tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    (coded / "config.json").write_text(
        json.dumps({**config, "model_type": "evil", "auto_map": {"AutoModel": "model.Evil"}})
    )
    with pytest.raises(FolderError, match="code of its own"):
        load(coded, "causal")


def test_a_folder_without_its_head_is_refused_for_a_causal_model(e5_base: Path, tmp_path: Path):
    folder = shutil.copytree(e5_base, tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    with pytest.raises(FolderError, match="cannot be loaded with a sequence head"):
        load(folder, "sequence", ["a", "b"])
