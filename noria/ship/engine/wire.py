"""Messages between a worker and its model's process: JSON, each after its length in four bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]
_LENGTH = struct.Struct("!I")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def packed(message: Message) -> bytes:
    """Return a message as bytes."""
    content = _encode(message).encode()
    return _LENGTH.pack(len(content)) + content


class Unpacker:
    """Turns bytes as they arrive into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, content: bytes) -> Iterator[Message]:
        """Yield the messages that are whole with `content`."""
        self._buffer += content
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            message = json.loads(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
            yield message
