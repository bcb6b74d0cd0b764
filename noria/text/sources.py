"""Where bytes come from: a file or a body in memory, unpacked where it is compressed, by its first bytes rather than its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Any

from noria.core.errors import InputError
from noria.core.messages import message


def _zstandard(stream: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return io.BufferedReader(pyarrow.CompressedInputStream(stream, "zstd"))


PACKED: dict[str, tuple[bytes, Callable[[IO[bytes]], Any]]] = {
    ".gz": (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    ".zst": (b"\x28\xb5\x2f\xfd", _zstandard),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\x00", lzma.LZMAFile),
}
"""Ending -> how such a file begins, and what unpacks it."""
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Source:
    """A file, or bytes with the name they go by."""

    name: str
    image: bytes | None = None
    """The bytes, where they are not on disk."""

    @property
    def plain_name(self) -> str:
        """Return the name without the endings of packers: rows.csv for rows.csv.gz."""
        name = self.name
        while PurePath(name).suffix.lower() in PACKED:
            name = name[: -len(PurePath(name).suffix)]
        return name

    @property
    def suffix(self) -> str:
        """Return the ending that says what is inside, in lower case."""
        return PurePath(self.plain_name).suffix.lower()

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Give the bytes, unpacked, from their beginning.

        Raises:
            InputError: no such file, a folder, or a packed file that is cut short or damaged; also while it is read.
        """
        path = Path(self.name)
        if self.image is None and path.is_dir():
            raise InputError(message("errors.folder_not_file"), found=self.name)
        if self.image is None and not path.exists():
            raise InputError(message("errors.file_not_found"), found=self.name)
        packed = False
        with io.BytesIO(self.image) if self.image is not None else path.open("rb") as stream:
            try:
                opened: Any = stream
                while maker := _packer(opened):
                    packed, opened = True, io.BufferedReader(maker(opened))
                yield opened
            except _DAMAGE as error:
                raise InputError(message("errors.damaged", name=self.name), found=str(error)) from None
            except OSError as error:
                if packed and error.errno is None:  # what a packer says of its bytes, not the system of the disk
                    raise InputError(message("errors.damaged", name=self.name), found=str(error)) from None
                raise

    def read(self) -> bytes:
        """Return all bytes, unpacked."""
        with self.open() as stream:
            return stream.read()

    def head(self, size: int) -> bytes:
        """Return the first bytes, unpacked, at most `size` of them."""
        with self.open() as stream:
            return stream.read(size)


def _packer(stream: Any) -> Callable[[IO[bytes]], Any] | None:
    start = stream.read(6) if stream.seekable() else stream.peek(6)[:6]
    if stream.seekable():
        stream.seek(0)
    return next((maker for mark, maker in PACKED.values() if start.startswith(mark)), None)
