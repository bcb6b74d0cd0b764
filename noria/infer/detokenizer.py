"""Tokens -> text while they come: whole characters only, and never past a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Detokenizer:
    """Turns the tokens of one completion into pieces of text.

    Args:
        tokenizer: of the model.
        stop: texts that end the completion; none of them is ever given out.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(text for text in stop if text)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self.stopped = False
        """A stop string was met."""

    def add(self, token: int) -> str:
        """Return the text that is certain after one more token; often "", when a character or a stop string may be half done."""
        self._held += self._stream.step(self._tokenizer, token) or ""
        places = [place for text in self._stop if (place := self._held.find(text)) >= 0]
        if places:
            self.stopped = True
            generated, self._held = self._held[: min(places)], ""
            return generated
        keep = max((_overlap(self._held, text) for text in self._stop), default=0)
        generated, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return generated

    def flush(self) -> str:
        """Return what was held back for a stop string that never came."""
        generated, self._held = self._held, ""
        return generated


def token_bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """Return what a token stands for; a part of a character, where it is one."""
    piece = tokenizer.id_to_token(token) or ""
    text = tokenizer.decode([token], skip_special_tokens=False)
    if "\ufffd" not in text:
        return text.encode()
    if len(piece) == 6 and piece.startswith("<0x"):  # the byte of a tokenizer with byte fallback
        return bytes([int(piece[3:5], 16)])
    return bytes(_BYTES.get(letter, 0x3F) for letter in piece)


def _byte_letters() -> dict[str, int]:
    """Return letter -> byte as byte-level tokenizers write bytes (Radford et al. 2019): printable ones are themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_letters()


def _overlap(text: str, stop: str) -> int:
    """Return how many of the last characters of `text` begin `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
