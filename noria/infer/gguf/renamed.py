"""A GGUF with its tokens named by their numbers, for Noria's engine: it hands over ids and is told ids.

llama.cpp tells the text of a token, and holds one back that is a part of a character; a name such as `<123>` is never held
back, and says which token it is. No token of such a file ends a text: Noria knows better which do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from noria.core.folder import cache_root, new_file, write_json
from noria.tasks.specials import read_json

from .families import vocabulary_size
from .reader import MAGIC, Gguf, read_gguf

_TEXT, _LIST, _INT, _BOOL = 8, 9, 5, 7
"""Kinds of value in the format."""
_NORMAL = 1
_NUMBERED = "rwkv"
"""Of the kinds of vocabulary the one that has no token which ends a text unless one is named."""
_ALONE = "tokenizer."
"""What facts of a vocabulary begin with."""
_AT_ONCE = 1 << 30


def engine_file(file: Path) -> Path:
    """Return the file with its tokens named by their numbers: made once in the user's cache, and again when the file has changed.

    Raises:
        FolderError: the file is damaged.
        ResourceError: the disk is full.
    """
    opened = read_gguf(file)
    if opened.facts.get("tokenizer.ggml.model") == _NUMBERED:
        return file
    target = cache_root() / "renamed" / f"{_key(file)}.gguf"
    if not target.is_file():
        forget_gone()
        with new_file(target) as part:
            write_renamed(opened, part)
        write_json(target.with_suffix(".json"), {"of": str(file.resolve())})
    return target


def forget_gone() -> None:
    """Take files out of the cache whose originals are gone or have changed."""
    for note in (cache_root() / "renamed").glob("*.json"):
        original = Path(str(read_json(note).get("of", "")))
        if not original.is_file() or _key(original) != note.stem:
            note.with_suffix(".gguf").unlink(missing_ok=True)
            note.unlink(missing_ok=True)


def _key(file: Path) -> str:
    said = file.stat()
    return hashlib.sha256(f"{file.resolve()} {said.st_size} {said.st_mtime_ns}".encode()).hexdigest()[:24]


def write_renamed(opened: Gguf, target: Path) -> None:
    """Write a file again with its tokens named by their numbers; tensors are copied as they lie.

    Raises:
        OSError: the disk is full.
    """
    kept = [place for name, place in opened.places.items() if not name.startswith(_ALONE)]
    added = list(numbered(vocabulary_size(opened)))
    with opened.file.open("rb") as source, target.open("wb") as stream:
        stream.write(MAGIC + struct.pack("<IQQ", 3, len(opened.tensors), len(kept) + len(added)))
        for begin, end in kept:
            stream.write(_part(source, begin, end))
        stream.write(b"".join(added))
        stream.write(_part(source, *opened.entries))
        stream.write(b"\0" * (-stream.tell() % opened.aligned))
        stream.flush()
        _copy(source, -(-opened.entries[1] // opened.aligned) * opened.aligned, stream)


def numbered(size: int) -> Iterator[bytes]:
    """Yield the facts of a vocabulary of that many tokens, named by their numbers."""
    yield _text("tokenizer.ggml.model") + struct.pack("<I", _TEXT) + _text(_NUMBERED)
    yield _text("tokenizer.ggml.pre") + struct.pack("<I", _TEXT) + _text("default")
    names = b"".join(_text(f"<{number}>") for number in range(size))
    yield _text("tokenizer.ggml.tokens") + struct.pack("<IIQ", _LIST, _TEXT, size) + names
    kinds = struct.pack(f"<{size}i", *[_NORMAL] * size)
    yield _text("tokenizer.ggml.token_type") + struct.pack("<IIQ", _LIST, _INT, size) + kinds
    yield _text("tokenizer.ggml.add_bos_token") + struct.pack("<I?", _BOOL, False)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _part(source: BinaryIO, begin: int, end: int) -> bytes:
    source.seek(begin)
    return source.read(end - begin)


def _copy(source: BinaryIO, begin: int, stream: BinaryIO) -> None:
    """Copy all from a place on; within the file system where it can, so that a copy of gigabytes may cost no disk."""
    place, size = begin, os.fstat(source.fileno()).st_size
    try:
        while place < size:
            done = os.copy_file_range(source.fileno(), stream.fileno(), min(_AT_ONCE, size - place), place)
            if not done:
                break
            place += done
    except (OSError, AttributeError):  # across file systems, or of another system
        pass
    if place < size:
        source.seek(place)
        stream.seek(0, os.SEEK_END)
        shutil.copyfileobj(source, stream, 1 << 24)
