"""Every family of decoders as a GGUF: tuned, written, loaded by llama.cpp from scratch, and still the same model and the same tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from decoder_folders import FAMILIES, TEMPLATE, make_decoder
from llama_cpp import SPOKEN, LlamaCpp

from noria.core.errors import FolderError
from noria.infer.brought import base_folder, model_folder
from noria.infer.choose import open_engine
from noria.infer.gguf.reader import read_gguf
from noria.infer.gguf.vocabulary import CUTS, _cutter, cut_named, tokenizer_from
from noria.make.compress.gguf import Number, fault_of, longest_same, write_gguf
from noria.make.models.load import load
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.complete import Sampling

CONVERSATION = "<|im_start|>user\n你好，tell me 😀 in 3 words.<|im_end|>\n<|im_start|>assistant\n"


def tuned(folder: Path) -> Path:
    """Take one step on a text, and write the model where it was."""
    import torch

    model, tokenizer = load(folder, "causal")
    ids = torch.tensor([tokenizer.encode(CONVERSATION + "好的").ids])
    before = model.get_input_embeddings().weight.detach().clone()
    model(input_ids=ids, labels=ids).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    assert not torch.equal(before, model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    return folder


def followed(folder: Path, ids: list[int], count: int) -> list[int]:
    """The likeliest tokens that follow, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    whole = list(ids)
    with torch.no_grad():
        for _ in range(count):
            whole.append(int(model(torch.tensor([whole])).logits[0, -1].argmax()))
    return whole[len(ids) :]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_tuned_is_what_llama_cpp_loads(name: str, tmp_path: Path, quiet: None):
    import torch

    folder = tuned(make_decoder(name, tmp_path / "model"))
    file = tmp_path / "model.gguf"
    write_gguf(folder, file, "float32")
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(CONVERSATION).ids
    with LlamaCpp(file, context=256) as theirs:
        for text in (*SPOKEN, CONVERSATION):
            assert theirs.tokens(text) == tokenizer.encode(text).ids
        ours = followed(folder, ids, 12)
        told = theirs.written(ids, 12)
        ends = told.index(tokenizer.token_to_id("<|im_end|>")) if tokenizer.token_to_id("<|im_end|>") in told else 12
        assert told[:ends] == ours[:ends]
    # And back: the file alone gives the folder again, its tokenizer, template and every weight.
    again = base_folder(file)
    models = [load(one, "causal")[0] for one in (folder, again)]
    with torch.no_grad():
        logits = [model(torch.tensor([ids])).logits for model in models]
    assert torch.allclose(*logits, atol=2e-4)
    assert load_tokenizer(again).encode(CONVERSATION).ids == ids
    assert json.loads((again / "tokenizer_config.json").read_text())["chat_template"] == TEMPLATE


@pytest.mark.parametrize(("number", "error"), [("float16", 2e-3), ("8 bits", 8e-3), ("4 bits", 8e-2)])
def test_narrower_numbers_cost_what_they_must(number: Number, error: float, tmp_path: Path, quiet: None):
    folder = make_decoder("SmolLM", tmp_path / "model")
    size = [write_gguf(folder, tmp_path / f"{one}.gguf", one) for one in ("float32", number)]
    whole, packed = (read_gguf(tmp_path / f"{one}.gguf") for one in ("float32", number))
    assert size[1] < size[0]
    for name, tensor in whole.tensors.items():
        exact, found = whole.array(name), packed.array(name)
        assert np.abs(exact - found).max() <= error * np.abs(exact).max()
        assert (len(tensor.shape) == 1) == (packed.tensors[name].type == 0)


def test_the_engine_says_what_torch_says_of_a_file_with_words(tmp_path: Path, quiet: None):
    folder = make_decoder("Qwen2", tmp_path / "model")
    write_gguf(folder, tmp_path / "qwen.gguf", "float32")
    ids = load_tokenizer(folder).encode(CONVERSATION).ids
    engine = open_engine(model_folder(tmp_path / "qwen.gguf"), threads=1)
    assert (engine.kind, engine.task.name) == ("llamacpp", "chat")
    told = list(engine.generate(ids, Sampling(temperature=0, max_tokens=10)))
    engine.close()
    expected = followed(folder, ids, 10)
    ends = next((place for place, one in enumerate(expected) if one in engine.ends), 10)
    assert told == expected[:ends]


def test_a_file_names_its_tokens_ends_and_template(tmp_path: Path, quiet: None):
    folder = make_decoder("Qwen2", tmp_path / "model")
    generation = json.loads((folder / "generation_config.json").read_text())
    tokenizer = load_tokenizer(folder)
    first, last = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")
    (folder / "generation_config.json").write_text(json.dumps({**generation, "eos_token_id": [last, first]}))
    write_gguf(folder, tmp_path / "x.gguf", "8 bits")
    opened = read_gguf(tmp_path / "x.gguf")
    said = {name.removeprefix("tokenizer.ggml."): value for name, value in opened.facts.items()}
    assert (said["model"], said["pre"], said["eos_token_id"], said["eot_token_id"]) == ("gpt2", "qwen2", last, first)
    assert (said["padding_token_id"], said["add_bos_token"], said["add_eos_token"]) == (first, False, False)
    assert "bos_token_id" not in said
    assert said["token_type"][last] == gguf.TokenType.CONTROL
    assert said["tokens"][-1].startswith("[PAD")
    assert opened.facts["tokenizer.chat_template"] == TEMPLATE
    assert tokenizer_from(opened).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("cut", CUTS)
def test_every_cut_is_known_by_its_pieces(cut: str):
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.BPE(ignore_merges=cut in ("llama-bpe", "tekken")))
    tokenizer.pre_tokenizer = _cutter(CUTS[cut])
    assert cut_named(tokenizer) == cut


def test_sentencepiece_bpe_goes_there_and_back(tmp_path: Path, quiet: None):
    """Pieces with scores in the place of merges, bytes for what has no piece, a space before the text: as Llama 2's and Phi-3's."""
    from tiny_models import TEXTS
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

    folder = make_decoder("Llama 2", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    spaced = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learnt = Tokenizer(models.BPE())
    learnt.normalizer = spaced
    names = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    learnt.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False))
    document = json.loads(learnt.to_str())["model"]
    merges = [tuple(one) for one in document["merges"]]
    model = models.BPE(document["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = spaced
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names[:3]])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    assert tokenizer.get_vocab_size() <= config["vocab_size"]
    write_gguf(folder, tmp_path / "x.gguf", "float32")
    again = tokenizer_from(read_gguf(tmp_path / "x.gguf"))
    with LlamaCpp(tmp_path / "x.gguf") as theirs:
        for text in (*TEXTS, "Fast 物流 😀", "café"):
            ids = tokenizer.encode(text).ids
            assert again.encode(text).ids == ids
            assert theirs.tokens(text) == ids
            assert again.decode(ids) == text


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("Llama 2", {"model_type": "gpt2"}, "Llama 2, Llama 3"),
        ("Llama 2", {"hidden_act": "relu"}, "hidden_act relu"),
        ("Llama 2", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type dynamic"),
        ("Qwen2", {"use_sliding_window": True}, "use_sliding_window"),
        ("Qwen2", {"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
        ("Gemma 3", {"query_pre_attn_scalar": 99}, "query_pre_attn_scalar 99"),
        ("Gemma 3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused_by_name(
    name: str, changed: dict[str, Any], said: str, tmp_path: Path, quiet: None
):
    folder = make_decoder(name, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert not fault_of(config)
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(FolderError, match=said):
        write_gguf(folder, tmp_path / "x.gguf", "float16")


def test_a_window_that_llama_cpp_does_not_compute_bounds_the_file(tmp_path: Path, quiet: None):
    folder = make_decoder("Mistral", tmp_path / "model")
    assert longest_same(json.loads((folder / "config.json").read_text())) == 64
    write_gguf(folder, tmp_path / "x.gguf", "float16")
    assert read_gguf(tmp_path / "x.gguf").own("context_length") == 64
    long = json.loads((make_decoder("Phi-3, long", tmp_path / "long") / "config.json").read_text())
    assert (long["max_position_embeddings"], longest_same(long)) == (512, 256)


def test_a_model_in_many_parts_is_written_like_one_in_one(tmp_path: Path, quiet: None):
    from transformers import AutoModelForCausalLM

    folder = make_decoder("Llama 3", tmp_path / "model")
    shutil.copytree(folder, tmp_path / "parts" / "model")
    (tmp_path / "parts" / "model" / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "parts" / "model", max_shard_size="50KB")
    assert len(list((tmp_path / "parts" / "model").glob("*.safetensors"))) > 2
    for one in (tmp_path, tmp_path / "parts"):
        write_gguf(one / "model", one / "x.gguf", "8 bits")
    whole, parts = (read_gguf(one / "x.gguf") for one in (tmp_path, tmp_path / "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    assert all(np.array_equal(whole.array(name), parts.array(name)) for name in whole.tensors)
