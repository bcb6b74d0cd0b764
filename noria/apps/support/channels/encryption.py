"""AES-256-CBC as Feishu and WeCom encrypt what they send; a text that is not whole is refused like a wrong signature."""

from __future__ import annotations

import base64
import binascii

from noria.server.webhook import forged

BLOCK = 16
"""Bytes of a block of AES."""


def decrypted(content: str, key: bytes, vector: bytes | None, padded_to: int) -> bytes:
    """Return what was encrypted, without its padding (PKCS #7).

    Args:
        content: in base64.
        key: 32 bytes.
        vector: the first block; None where it stands before what was encrypted.
        padded_to: size in bytes that the padding fills up to a multiple of.

    Raises:
        ApiError: it was not encrypted with this key (401).
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # for these two platforms alone

    try:
        whole = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise forged() from None
    first, rest = (whole[:BLOCK], whole[BLOCK:]) if vector is None else (vector, whole)
    if len(first) != BLOCK or not rest or len(rest) % BLOCK:
        raise forged()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(first)).decryptor()
    found = decryptor.update(rest) + decryptor.finalize()
    padding = found[-1]
    if not 1 <= padding <= padded_to or found[-padding:] != bytes([padding]) * padding:
        raise forged()
    return found[:-padding]
