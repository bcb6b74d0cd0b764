"""A file in K-quants, made by llama.cpp's own quantiser: Noria unpacks it as llama.cpp does, serves it, and it is verified.

The library that writes GGUF files cannot make these. What makes them is exported by the shared library of `xllamacpp`.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import numpy as np
import pytest
from decoder_folders import make_decoder
from llama_cpp import LlamaCpp

import noria
from noria.infer.brought import base_folder, model_folder
from noria.infer.choose import open_engine
from noria.infer.gguf.reader import read_gguf
from noria.make.compress import gguf as writing
from noria.make.compress.gguf import write_gguf
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.complete import Sampling

KINDS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
_FLOATS = ctypes.POINTER(ctypes.c_float)


def library() -> ctypes.CDLL:
    """llama.cpp as xllamacpp brings it."""
    from xllamacpp import xllamacpp

    found = ctypes.CDLL(xllamacpp.__file__)
    if not hasattr(found, "ggml_quantize_chunk"):
        pytest.skip("this build of xllamacpp does not export llama.cpp's quantiser")
    found.ggml_quantize_chunk.restype = ctypes.c_size_t
    return found


def packed(array: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """A matrix as llama.cpp packs it, bytes [rows, bytes of a row]."""
    rows, width = array.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    given = np.ascontiguousarray(array, np.float32)
    made = np.empty((rows, width // block * size), np.uint8)
    wrote = library().ggml_quantize_chunk(
        ctypes.c_int(kind.value),
        given.ctypes.data_as(_FLOATS),
        made.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0),
        ctypes.c_int64(rows),
        ctypes.c_int64(width),
        None,
    )
    assert wrote == made.nbytes
    return made


def unpacked(made: np.ndarray, width: int, name: str) -> np.ndarray:
    """What llama.cpp itself makes of packed rows."""
    found = np.empty((len(made), width), np.float32)
    getattr(library(), f"dequantize_row_{name[0].lower()}{name[1:]}")(
        made.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(_FLOATS), ctypes.c_int64(found.size)
    )
    return found


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_unpacked_as_llama_cpp_unpacks_them(name: str):
    array = np.random.default_rng(0).normal(size=(6, 768)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[name]
    made = packed(array, kind)
    ours = gguf.dequantize(made, kind)
    assert np.array_equal(ours, unpacked(made, 768, name))
    assert np.abs(ours - array).mean() < 0.5


@pytest.fixture
def file(tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as llama.cpp's Q4_K_M has it: most matrices in Q4_K, the costly ones in Q6_K."""
    folder = make_decoder("SmolLM", tmp_path / "model", hidden_size=256, intermediate_size=512)
    finer = ("token_embd", "attn_v", "ffn_down")

    def kind_of(name: str, shape: tuple[int, ...], number: str) -> gguf.GGMLQuantizationType:
        if len(shape) == 1:
            return gguf.GGMLQuantizationType.F32
        return gguf.GGMLQuantizationType["Q6_K" if any(part in name for part in finer) else "Q4_K"]

    own = gguf.quantize
    monkeypatch.setattr(writing, "_type", kind_of)
    monkeypatch.setattr(
        gguf, "quantize", lambda array, kind: packed(array, kind) if kind.name in KINDS else own(array, kind)
    )
    write_gguf(folder, tmp_path / "tiny-Q4_K_M.gguf", "4 bits")
    return tmp_path / "tiny-Q4_K_M.gguf"


def test_such_a_file_is_read_served_and_verified(file: Path):
    opened = read_gguf(file)
    kinds = {gguf.GGMLQuantizationType(one.type).name for one in opened.tensors.values()}
    assert kinds == {"F32", "Q4_K", "Q6_K"}
    tokenizer = load_tokenizer(base_folder(file))
    ids = tokenizer.encode("<|im_start|>user\n你好 😀<|im_end|>\n<|im_start|>assistant\n").ids
    with LlamaCpp(file, context=256) as theirs:
        told = theirs.written(ids, 8)
        # The trained model is the file's own weights, unpacked by Noria, in torch: what differs is llama.cpp's rounding of activations.
        found = noria.verify(file, url=f"{theirs.address}/v1", prompts=40, agreement=0.8, progress=False)
    figures = {one.name: one for one in found.figures}
    assert found.passed, found.title()
    assert figures["conversations read alike"].value == 1
    assert figures["next-token divergence"].value < 0.05
    engine = open_engine(model_folder(file), threads=1)
    assert engine.kind == "llamacpp"
    ours = list(engine.generate(ids, Sampling(temperature=0, max_tokens=8)))
    engine.close()
    ends = next((place for place, one in enumerate(told) if one in engine.ends), 8)
    assert ours == told[:ends]
