"""A GGUF again in K-quants, as files from elsewhere are: llama.cpp's Q4_K, which the format's library reads and does not write.

A super-block holds 256 weights: 8 blocks of 32 with a scale and a least value each, in 6 bits, times one scale for each of the
two (ggml-quants.c, `block_q4_K`). Values are rounded to the nearest step; llama.cpp's own search for better steps is left out,
for speed does not depend on it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np

from noria.infer.gguf.reader import MAGIC, Gguf, read_gguf

SUPER, BLOCKS, BLOCK = 256, 8, 32


def in_k_quants(file: Path, target: Path) -> None:
    """Write a GGUF again with its layers' matrices in Q4_K, or in Q5_0 where their rows cannot be cut so, as llama.cpp does."""
    opened = read_gguf(file)
    content = file.read_bytes()
    entries, data, offset = [], [], 0
    for name, tensor in opened.tensors.items():
        kind, part = _packed(opened, name, content)
        part += b"\0" * (-len(part) % opened.aligned)
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        entries.append(struct.pack("<Q", len(name)) + name.encode() + shape + struct.pack("<IQ", kind, offset))
        data.append(part)
        offset += len(part)
    facts = b"".join(content[begin:end] for begin, end in opened.places.values())
    head = MAGIC + struct.pack("<IQQ", 3, len(entries), len(opened.places)) + facts + b"".join(entries)
    target.write_bytes(head + b"\0" * (-len(head) % opened.aligned) + b"".join(data))


def _packed(opened: Gguf, name: str, content: bytes) -> tuple[int, bytes]:
    """Return a tensor's number of its type, and its bytes."""
    tensor = opened.tensors[name]
    if len(tensor.shape) < 2 or not name.startswith("blk."):
        return tensor.type, content[tensor.start : tensor.start + tensor.size]
    matrix = opened.array(name)
    if matrix.shape[1] % SUPER == 0:
        return int(gguf.GGMLQuantizationType.Q4_K), q4_k(matrix).tobytes()
    kind = gguf.GGMLQuantizationType.Q5_0
    return int(kind), gguf.quantize(matrix, kind).tobytes()


def q4_k(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix [rows, columns], columns a multiple of 256, as bytes [rows, columns / 256 * 144]."""
    rows = len(matrix)
    x = matrix.astype(np.float32).reshape(-1, BLOCKS, BLOCK)
    least = np.minimum(x.min(axis=2), 0)
    step = (np.maximum(x.max(axis=2), 0) - least) / 15
    scales, steps = _in_6_bits(step)
    minimums, least_steps = _in_6_bits(-least)
    span = scales.astype(np.float32)[:, None] * steps
    shift = minimums.astype(np.float32)[:, None] * least_steps
    places = (x + shift[..., None]) / np.where(span > 0, span, 1)[..., None]
    q = np.clip(np.rint(places), 0, 15).astype(np.uint8)
    packed = q[:, 0::2] | q[:, 1::2] << 4
    low, high = slice(0, 4), slice(4, 8)
    first = steps[:, low] | (steps[:, high] >> 4) << 6
    second = least_steps[:, low] | (least_steps[:, high] >> 4) << 6
    third = (steps[:, high] & 15) | (least_steps[:, high] & 15) << 4
    heads = np.stack([scales, minimums], axis=1).view(np.uint8)
    parts = [heads, first, second, third, packed.reshape(len(x), -1)]
    return np.concatenate([part.astype(np.uint8) for part in parts], axis=1).reshape(rows, -1)


def _in_6_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values [n, 8], none below 0, as a float16 for each row and numbers up to 63 that it is to be multiplied by."""
    scale = (values.max(axis=1) / 63).astype(np.float16)
    wide = scale.astype(np.float32)[:, None]
    return scale, np.clip(np.rint(values / np.where(wide > 0, wide, 1)), 0, 63).astype(np.uint8)
