"""The bundled encoder: the packed file read right, and the meaning still in it."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from noria.core.errors import PackageError
from noria.core.folder import read_manifest
from noria.core.packages import package_file
from noria.make.models.bundled import FILE, PACKAGE, SHA256, dequantise, e5_small, minilm, read_packed
from noria.make.models.load import load
from noria.make.tokens.tokenizer import load_tokenizer


def test_a_block_dequantises_by_hand():
    nibbles = bytes(low | high << 4 for low, high in zip(range(16), reversed(range(16)), strict=True))
    image = b"skip" + np.float16(0.5).tobytes() + nibbles
    weights = dequantise(image, 4, 32)
    assert weights.tolist() == [0.5 * (low - 8) for low in range(16)] + [0.5 * (7 - low) for low in range(16)]


def test_another_format_is_refused():
    with pytest.raises(PackageError, match="E5S1"):
        read_packed(b"GGUF" + bytes(100))


def test_meaning_survives_in_both_languages(e5_base: Path):
    import torch

    model, tokenizer = load(e5_base, "embedding")
    pairs = [
        ("这部电影很好看", "The film was great"),
        ("股市今天大跌", "The stock market fell sharply today"),
        ("我想退货，怎么办理？", "I want to return the goods, how do I do that?"),
    ]

    def embed(text: str) -> np.ndarray:
        ids = tokenizer.encode("query: " + text).ids
        with torch.no_grad():
            vector = model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
        return vector / np.linalg.norm(vector)

    chinese, english = (np.stack([embed(pair[side]) for pair in pairs]) for side in (0, 1))
    likeness = chinese @ english.T
    assert likeness.argmax(0).tolist() == likeness.argmax(1).tolist() == [0, 1, 2]
    assert likeness.diagonal().min() > 0.05 + likeness[~np.eye(3, dtype=bool)].max()


def test_loads_in_plain_transformers_with_nothing_missing(e5_base: Path):
    from transformers import AutoModel, AutoTokenizer

    model, told = AutoModel.from_pretrained(e5_base, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    text = "query: 书很好, a good book"
    plain = AutoTokenizer.from_pretrained(e5_base)(text)["input_ids"]
    assert plain == load_tokenizer(e5_base).encode(text).ids
    assert plain[0] == model.config.bos_token_id
    assert plain[-1] == model.config.eos_token_id


def test_facts_say_how_to_use_it_and_where_it_comes_from(e5_full: Path):
    manifest = read_manifest(e5_full)
    assert manifest.facts["pooling"] == "mean"
    assert manifest.facts["prefix"] == "query: "
    assert manifest.facts["parameters"] == 117_653_760
    assert [(source.sha256, source.licence) for source in manifest.sources] == [(SHA256, "MIT")]


def test_a_second_call_leaves_the_folder_as_it_is(e5_full: Path):
    before = (e5_full / "model.safetensors").stat()
    e5_small(e5_full)
    after = (e5_full / "model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_normaliser_equals_the_packed_table(e5_full: Path):
    table = _packed_table(package_file(PACKAGE, FILE, SHA256).read_bytes())
    normalizer = load_tokenizer(e5_full).normalizer
    assert len(table) > 4_800
    wrong = [hex(code) for code, text in table.items() if normalizer.normalize_str(chr(code)) != text]
    assert wrong == []
    assert normalizer.normalize_str("～") == "～"
    assert unicodedata.normalize("NFKC", "～") == "~"
    untouched = "汉字かな한글 Ж é 😀"
    assert normalizer.normalize_str(untouched) == untouched


@pytest.fixture(scope="module")
def minilm_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return minilm(tmp_path_factory.mktemp("minilm") / "minilm")


def test_minilm_embeds_as_published(minilm_base: Path):
    import torch

    model, tokenizer = load(minilm_base, "embedding")

    def embed(text: str) -> np.ndarray:
        with torch.no_grad():
            vector = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].mean(0).numpy()
        return vector / np.linalg.norm(vector)

    question = embed("That is a happy person")
    near = {text: float(embed(text) @ question) for text in ("That is a happy dog", "That is a very happy person")}
    # What the model's page on its hub shows for these sentences.
    assert near == pytest.approx({"That is a happy dog": 0.695, "That is a very happy person": 0.943}, abs=5e-4)


def test_minilm_loads_in_plain_transformers_and_neither_cuts_nor_pads(minilm_base: Path):
    from transformers import AutoModel, AutoTokenizer

    model, told = AutoModel.from_pretrained(minilm_base, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    plain = AutoTokenizer.from_pretrained(minilm_base)
    assert plain("A Pair", "of texts")["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert len(plain("word " * 200)["input_ids"]) == len(load_tokenizer(minilm_base).encode("word " * 200).ids) == 202
    manifest = read_manifest(minilm_base)
    assert manifest.facts["parameters"] == sum(tensor.numel() for tensor in model.parameters()) == 22_713_216
    assert [(source.licence, source.origin) for source in manifest.sources] == [
        ("Apache-2.0", "sentence-transformers/all-MiniLM-L6-v2")
    ]
    assert json.loads((minilm_base / "config.json").read_text())["num_hidden_layers"] == 6


def _packed_table(image: bytes) -> dict[int, str]:
    count = struct.unpack_from("<i", image, 44)[0]
    place = 72 + 4 * (count + 1) + 4 * count + struct.unpack_from("<Q", image, 64)[0]
    entries = struct.unpack_from("<i", image, place)[0]
    place += 8
    table = {}
    for _ in range(entries):
        code, length = struct.unpack_from("<IB", image, place)
        table[code] = "".join(map(chr, struct.unpack_from(f"<{length}I", image, place + 5)))
        place += 5 + 4 * length
    return table


def test_too_little_memory_is_told_before_anything_is_read(tmp_path: Path) -> None:
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_DATA, (800_000_000, 800_000_000))
from noria.core.errors import ResourceError
from noria.make.models.bundled import e5_small
try:
    e5_small({str(tmp_path / "e5")!r})
except ResourceError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.match(r"rebuilding multilingual-e5-small takes 950 MB of memory, and \d+ MB are free: ", told)
    assert not (tmp_path / "e5").exists()
