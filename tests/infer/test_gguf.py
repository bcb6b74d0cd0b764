"""GGUF files from anywhere: read whole, unpacked as the library unpacks them, and refused in one line where they are damaged."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from noria.core.errors import FolderError
from noria.infer.gguf.families import frequency_factors, halves, turns
from noria.infer.gguf.reader import is_gguf, read_gguf
from noria.infer.gguf.vocabulary import tokenizer_from

PACKED = [
    one
    for one in gguf.GGMLQuantizationType
    if one.name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
]
UNPACKED_ALONE = [
    one for one in gguf.GGMLQuantizationType if one.name in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
]
"""Types that the library unpacks and does not pack."""


def written(file: Path, tensors: dict[str, tuple[np.ndarray, Any]] | None = None, **facts: Any) -> Path:
    """A small file as the library writes it."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_bool("llama.use", True)
    writer.add_array("tokenizer.ggml.tokens", ["a", "中", "<|end|>"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 3])
    for name, value in facts.items():
        writer.add_string(name, value)
    for name, (array, kind) in (tensors or {"x.weight": (np.ones((2, 32), np.float32), PACKED[0])}).items():
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_facts_and_tensors_are_those_that_were_written(tmp_path: Path):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 64)).astype(np.float32)
    tensors = {kind.name: (gguf.quantize(matrix, kind), kind) for kind in PACKED}
    opened = read_gguf(written(tmp_path / "all.gguf", tensors))
    assert opened.architecture == "llama"
    assert opened.own("block_count") == 1
    assert opened.facts["llama.use"] is True
    assert opened.facts["tokenizer.ggml.tokens"] == ["a", "中", "<|end|>"]
    for kind in PACKED:
        found = opened.array(kind.name)
        assert found.dtype == np.float32
        assert np.array_equal(found, gguf.dequantize(gguf.quantize(matrix, kind), kind).reshape(matrix.shape))


@pytest.mark.parametrize("kind", UNPACKED_ALONE, ids=lambda kind: kind.name)
def test_blocks_that_only_others_pack_are_unpacked(kind: Any, tmp_path: Path):
    block, size = gguf.GGML_QUANT_SIZES[kind]
    content = np.random.default_rng(1).integers(0, 60, (3, 2 * size), dtype=np.uint8)  # small scales: finite in float16
    opened = read_gguf(written(tmp_path / "k.gguf", {"x.weight": (content, kind)}))
    found = opened.array("x.weight")
    assert found.shape == (3, 2 * block)
    assert np.array_equal(found, gguf.dequantize(content, kind))


def test_a_file_cut_anywhere_is_refused_in_one_line(tmp_path: Path):
    whole = written(tmp_path / "whole.gguf").read_bytes()
    file = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(FolderError, match=r"cut\.gguf is no whole GGUF") as caught:
            read_gguf(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(whole)
    assert read_gguf(file).tensors


def test_no_forged_number_costs_memory_or_passes_unseen(tmp_path: Path):
    """Whatever stands in any eight bytes of the head, the file is read or refused, and nothing is allocated for what it claims."""
    whole = written(tmp_path / "whole.gguf").read_bytes()
    head = len(whole) - 256
    file = tmp_path / "forged.gguf"
    tracemalloc.start()
    refused = 0
    for place in range(4, head):
        for forged in (1 << 63, (1 << 32) - 1, 1 << 40, 0):
            file.write_bytes(whole[:place] + struct.pack("<Q", forged) + whole[place + 8 :])
            try:
                read_gguf(file)
            except FolderError:
                refused += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused > head
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (b"GGML", "begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "order of bytes"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "goes on to byte"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "goes on to byte"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 9, 1), "kind 9"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "goes on to byte"),
    ],
)
def test_what_cannot_be_is_named(forged: bytes, said: str, tmp_path: Path):
    file = tmp_path / "x.gguf"
    file.write_bytes(forged + bytes(40))
    with pytest.raises(FolderError, match=said):
        read_gguf(file)


def test_a_file_is_known_by_name_or_by_content(tmp_path: Path):
    plain = written(tmp_path / "model.gguf")
    assert is_gguf(plain)
    assert is_gguf(plain.rename(tmp_path / "blob"))
    (tmp_path / "text").write_text("GG")
    assert not is_gguf(tmp_path / "text")
    assert not is_gguf(tmp_path)


def test_a_heads_places_go_there_and_back():
    matrix = np.arange(4 * 8 * 3).reshape(32, 3)
    turned = turns(matrix, 4)
    assert np.array_equal(halves(turned, 4), matrix)
    assert turned[:4, 0].tolist() == matrix[[0, 4, 1, 5], 0].tolist()


def test_llama_3_stretches_its_places_as_transformers_does():
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=4, rope_theta=500_000.0, rope_scaling={"rope_type": "llama3", **scaling}
    )
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500_000.0 ** (-np.arange(0, 64, 2) / 64)
    assert np.allclose(plain / frequency_factors(scaling, 500_000.0, 64), theirs.numpy(), rtol=1e-5)


def test_a_cut_that_is_not_known_is_named(tmp_path: Path):
    facts = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "of-tomorrow"}
    with pytest.raises(FolderError, match="of-tomorrow"):
        tokenizer_from(read_gguf(written(tmp_path / "x.gguf", None, **facts)))
