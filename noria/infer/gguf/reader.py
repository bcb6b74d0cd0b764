"""A GGUF file -> its facts and its tensors; nothing that the file claims is believed before its bytes are there.

    opened = read_gguf("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf")
    opened.facts["general.architecture"]         # "qwen2"
    opened.array("blk.0.attn_q.weight")          # float32, [out, in]

The layout is that of the format's specification (ggml, docs/gguf.md), versions 2 and 3, little-endian. The file is mapped,
so a large one costs no memory before a tensor is asked for; every count and length is held against the bytes that are left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import Message, message

MAGIC = b"GGUF"
SUFFIX = ".gguf"
VERSIONS = (2, 3)
_LEAST_FACT, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8
"""Bytes of the shortest fact (the length of its name, its kind, a value) and of a tensor's shortest entry."""
_MOST_DIMENSIONS = 4
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Kind of a value -> its form in `struct`."""
_TEXT, _LIST = 8, 9
_NUMBERS: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    24: np.dtype("i1"),
    25: np.dtype("<i2"),
    26: np.dtype("<i4"),
}
_NUMBERS |= {27: np.dtype("<i8"), 28: np.dtype("<f8")}
"""Type of a tensor that is not packed -> its form in numpy."""
_ROWS_AT_ONCE = 1 << 22
"""Weights that are unpacked at once: what unpacking takes beside them stays below some tens of megabytes."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies."""

    name: str
    shape: tuple[int, ...]
    """The slowest dimension first, as numpy has it; the format has it last."""
    type: int
    """The format's number of how it is packed."""
    start: int
    """Place in the file, bytes."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Gguf:
    """An opened file."""

    file: Path
    facts: Mapping[str, Any]
    """Name -> value; lists of texts and of numbers as lists."""
    tensors: Mapping[str, Tensor]
    """By name, in the file's order."""
    places: Mapping[str, tuple[int, int]]
    """Of every fact where it begins and ends, bytes."""
    entries: tuple[int, int]
    """Where the tensors' entries begin and end."""
    aligned: int
    """Tensors begin at multiples of so many bytes."""

    @property
    def architecture(self) -> str:
        """Return what the file calls its family; empty where it does not say."""
        return str(self.facts.get("general.architecture", ""))

    def own(self, name: str, default: Any = None) -> Any:
        """Return a fact of the file's family, such as `block_count`."""
        return self.facts.get(f"{self.architecture}.{name}", default)

    def array(self, name: str) -> np.ndarray:
        """Return a tensor unpacked, float32 in its shape; raises as `rows`."""
        tensor = self.tensors[name]
        return np.concatenate(list(self.rows(name))).reshape(tensor.shape)

    def rows(self, name: str) -> Iterator[np.ndarray]:
        """Yield a tensor's rows unpacked, some at a time, float32 [n, last dimension].

        Raises:
            FolderError: it is packed in a way that the library `gguf` cannot unpack.
        """
        import gguf

        tensor = self.tensors[name]
        width = tensor.shape[-1]
        count = prod(tensor.shape[:-1])
        row = tensor.size // max(1, count)
        step = max(1, _ROWS_AT_ONCE // max(1, width))
        packed = np.memmap(self.file, mode="r", dtype=np.uint8, offset=tensor.start, shape=(count, row))
        for first in range(0, count, step):
            part = packed[first : first + step]
            if tensor.type in _NUMBERS:
                yield part.view(_NUMBERS[tensor.type]).astype(np.float32)
                continue
            try:
                yield gguf.dequantize(part, gguf.GGMLQuantizationType(tensor.type)).astype(np.float32, copy=False)
            except NotImplementedError:
                kind = gguf.GGMLQuantizationType(tensor.type).name
                raise FolderError(
                    message("infer.gguf_packed", file=self.file),
                    found=f"{name}: {kind}",
                    hint=message("infer.gguf_take"),
                ) from None


def is_gguf(path: Path) -> bool:
    """Return whether a path is a file that calls itself a GGUF, by its name or its first bytes."""
    if not path.is_file():
        return False
    if path.suffix.lower() == SUFFIX:
        return True
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_gguf(file: str | Path) -> Gguf:
    """Return what a file says of itself, after checking that all of it is there; no tensor is read.

    Raises:
        FolderError: there is no such file, it is no GGUF, of a version or order of bytes not known here, one of several
            parts, cut short, or claims what cannot be.
    """
    file = Path(file)
    if not file.is_file():
        raise FolderError(message("infer.gguf_none"), found=str(file))
    size = file.stat().st_size
    if size < len(MAGIC):
        raise _bad(file, message("infer.gguf_short", needs=24, size=size))
    content = np.memmap(file, mode="r", dtype=np.uint8)
    try:
        return _Reading(file, content.data).read()
    finally:
        del content


def _bad(file: Path, found: Message) -> FolderError:
    return FolderError(message("infer.gguf_bad", file=file), found=found)


class _Reading:
    """One pass through a file's head."""

    def __init__(self, file: Path, content: memoryview) -> None:
        self.file, self.content, self.place = file, content, 0

    def read(self) -> Gguf:
        if self.bytes(4) != MAGIC:
            raise _bad(self.file, message("infer.gguf_begins"))
        version = self.scalar("I")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "big"), "little") in VERSIONS
            raise _bad(self.file, message("infer.gguf_order" if swapped else "infer.gguf_version", version=version))
        tensors, facts = self.scalar("Q"), self.scalar("Q")
        self.room(facts, _LEAST_FACT)
        known: dict[str, Any] = {}
        places: dict[str, tuple[int, int]] = {}
        for _ in range(facts):
            begin, name = self.place, self.text()
            if name in known:
                raise _bad(self.file, message("infer.gguf_twice", name=name))
            known[name] = self.value(self.scalar("I"))
            places[name] = (begin, self.place)
        if int(known.get("split.count", 1)) > 1:
            raise _bad(self.file, message("infer.gguf_split", parts=known["split.count"]))
        self.room(tensors, _LEAST_TENSOR)
        begin = self.place
        entries = [self.entry() for _ in range(tensors)]
        aligned = known.get("general.alignment", 32)
        if not isinstance(aligned, int) or not 0 < aligned <= 1 << 20 or aligned & (aligned - 1):
            raise _bad(self.file, message("infer.gguf_aligned", aligned=aligned))
        start = -(-self.place // aligned) * aligned
        placed: dict[str, Tensor] = {}
        for name, shape, kind, offset in entries:
            if name in placed:
                raise _bad(self.file, message("infer.gguf_twice", name=name))
            placed[name] = self.placed(name, shape, kind, start + offset)
        return Gguf(self.file, known, placed, places, (begin, self.place), aligned)

    def room(self, count: int, least: int) -> None:
        """Refuse a count of things of which each takes so many bytes at least, where they are not there."""
        left = len(self.content) - self.place
        if count > left // least:
            raise _bad(self.file, message("infer.gguf_short", needs=self.place + count * least, size=len(self.content)))

    def bytes(self, count: int) -> bytes:
        self.room(count, 1)
        self.place += count
        return bytes(self.content[self.place - count : self.place])

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack("<" + form, self.bytes(struct.calcsize(form)))
        return value

    def text(self) -> str:
        # Some converters cut a token of bytes apart; what is no text stands as the mark of replacement, as it would be shown.
        return self.bytes(self.scalar("Q")).decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind != _LIST:
            raise _bad(self.file, message("infer.gguf_kind", kind=kind))
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner == _TEXT:
            self.room(count, 8)
            return [self.text() for _ in range(count)]
        if inner not in _SCALARS:  # a list of lists: no program writes one, and depth is a way to exhaust a reader
            raise _bad(self.file, message("infer.gguf_kind", kind=inner))
        form = _SCALARS[inner]
        self.room(count, struct.calcsize(form))
        return list(struct.unpack(f"<{count}{form}", self.bytes(count * struct.calcsize(form))))

    def entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name, dimensions = self.text(), self.scalar("I")
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise _bad(self.file, message("infer.gguf_dimensions", name=name, dimensions=dimensions))
        shape = tuple(self.scalar("Q") for _ in range(dimensions))[::-1]
        return name, shape, self.scalar("I"), self.scalar("Q")

    def placed(self, name: str, shape: tuple[int, ...], kind: int, start: int) -> Tensor:
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise _bad(self.file, message("infer.gguf_type", name=name, kind=kind)) from None
        if not all(shape) or shape[-1] % block:
            raise _bad(self.file, message("infer.gguf_shape", name=name, shape=" x ".join(map(str, shape))))
        length = prod(shape) // block * size
        if start + length > len(self.content):
            raise _bad(self.file, message("infer.gguf_short", needs=start + length, size=len(self.content)))
        return Tensor(name, shape, kind, start, length)
