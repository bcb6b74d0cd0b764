"""Completions of one process as the clients hear them: tokens become text, stop strings end it, pieces are sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from noria.core.errors import InputError
from noria.core.messages import message
from noria.tasks.chat import Chat
from noria.tasks.complete import SampledToken, Sampling

from .engine import Engine
from .replies import Given
from .wire import Message

EVERY = 0.04
"""Seconds between two pieces of a completion, at least: what comes faster than anyone sees goes out together. On two cores that compute,
each piece on its way through two processes takes a twentieth of the time of a small model's token."""


@dataclass
class CompletionStream:
    """A completion while it is made."""

    detokenizer: Detokenizer
    prompt_tokens: int
    max_tokens: int
    wants_logprobs: bool
    """Whether log probabilities are returned."""
    tokens: int = 0
    text: str = ""
    """That was made and not sent yet."""
    sent: float = -EVERY
    """When a piece was sent last, on the monotonic clock."""
    held: list[dict[str, Any]] = field(default_factory=list)
    """Log probabilities of tokens whose text was not sent yet."""


class CompletionStreams:
    """All completions of one model.

    Args:
        engine: of a causal model.
        send: takes a message for the server.
        fail: takes a request's number and why it failed.
    """

    def __init__(self, engine: Engine, send: Callable[[Message], None], fail: Callable[[int, Exception], None]) -> None:
        self._engine, self._send, self._fail = engine, send, fail
        self._scheduler = engine.scheduler()
        self._streams: dict[int, CompletionStream] = {}

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return bool(self._streams)

    def begin(self, asked: Message) -> None:
        """Begin a completion.

        Raises:
            InputError: the prompt is too long, or cannot be written by the model's chat template.
        """
        engine = self._engine
        assert engine.tokenizer is not None
        ids = self.ids_of(asked["prompt"])
        sampling = Sampling(**asked["sampling"])
        room = engine.max_length - len(ids)
        if room < 1:
            raise _too_long(engine)
        max_tokens = min(sampling.max_tokens, room)
        detokenizer = Detokenizer(engine.tokenizer, asked.get("stop") or ())
        held = {name: asked[name] for name in ("schema", "adapter") if asked.get(name)}
        self._scheduler.begin(asked["id"], ids, sampling, max_tokens=max_tokens, **held)
        self._streams[asked["id"]] = CompletionStream(detokenizer, len(ids), max_tokens, sampling.logprobs >= 0)

    def ids_of(self, prompt: Given) -> list[int]:
        """Return the ids that a prompt is read as: a text, {"text"}, {"ids"} or {"messages", "tools"}.

        Raises:
            InputError: it is too long, cannot be written by the model's chat template, or an id is none of the model's.
        """
        engine = self._engine
        assert engine.tokenizer is not None
        ends: frozenset[int] = getattr(engine, "ends", frozenset())
        given = prompt if isinstance(prompt, str) else prompt.get("ids")
        if isinstance(given, list):
            ids = list(given)
            if strange := [one for one in ids if engine.tokenizer.id_to_token(one) is None]:
                allowed = message("tasks.ids_model", get_vocab_size=engine.tokenizer.get_vocab_size())
                raise InputError(message("tasks.token_model"), found=strange[0], allowed=allowed)
        elif isinstance(engine.task, Chat) and not isinstance(prompt, str) and "text" in prompt:
            ids = engine.tokenizer.encode(prompt["text"]).ids
        else:
            text = prompt if isinstance(prompt, str) or "text" not in prompt else str(prompt["text"])
            features = engine.task.features(engine.tokenizer, text, engine.max_length)
            if features.meta.get("truncated"):
                raise _too_long(engine)
            ids = list(features.ids)
        if not isinstance(engine.task, Chat):
            while ids and ids[-1] in ends:  # a tokenizer that closes every text would leave nothing to say
                ids.pop()
        # Texts follow each other after an end token in training, so it is what an empty prompt begins with.
        return ids or sorted(ends)[:1] or [0]

    def forget(self, number: int) -> None:
        """Drop a completion."""
        if self._streams.pop(number, None):
            self._scheduler.forget(number)

    def step(self) -> None:
        """Give every completion its next token, and send what is certain."""
        for number, drawn in self._scheduler.step():
            stream = self._streams.get(number)
            if stream is None:
                continue
            if isinstance(drawn, Exception):
                if stream.text:
                    self._send_piece(number, stream, "")
                del self._streams[number]
                self._fail(number, drawn)
            elif drawn is None:
                self._send_piece(
                    number,
                    stream,
                    stream.detokenizer.flush(),
                    "length" if stream.tokens >= stream.max_tokens else "stop",
                )
            else:
                self._on_token(number, stream, drawn)

    def _on_token(self, number: int, stream: CompletionStream, drawn: SampledToken) -> None:
        stream.tokens += 1
        stream.text += stream.detokenizer.add(drawn.token)
        if stream.wants_logprobs:
            stream.held.append(self._logprobs(drawn))
        if stream.detokenizer.stopped:
            _cut(stream.held, stream.text)
            self._send_piece(number, stream, "", "stop")
        elif stream.tokens >= stream.max_tokens:
            self._send_piece(number, stream, stream.detokenizer.flush(), "length")
        elif stream.text and time.monotonic() - stream.sent >= EVERY:
            self._send_piece(number, stream, "")

    def _send_piece(self, number: int, stream: CompletionStream, more: str, finish: str | None = None) -> None:
        """Send what was not sent yet, and more; the last piece says why it is the last."""
        text, stream.text, stream.sent = stream.text + more, "", time.monotonic()
        news: Message = {"id": number, "text": text, "tokens": stream.tokens, "prompt_tokens": stream.prompt_tokens}
        if stream.wants_logprobs:
            news["logprobs"], stream.held = stream.held, []
        if finish:
            self.forget(number)
            news["finish"] = finish
        self._send(news)

    def _logprobs(self, drawn: SampledToken) -> dict[str, Any]:
        return {
            **self._named(drawn.token, drawn.logprob),
            "top": [self._named(token, logprob) for token, logprob in drawn.top],
        }

    def _named(self, token: int, logprob: float) -> dict[str, Any]:
        assert self._engine.tokenizer is not None
        content = token_bytes(self._engine.tokenizer, token)
        # JSON knows no infinity; no token that can be drawn comes near this.
        return {"token": content.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(content)}


def _too_long(engine: Engine) -> InputError:
    return InputError(
        "the prompt is too long for the model", allowed=f"up to {engine.max_length - 1} tokens with room to go on"
    )


def _cut(held: list[dict[str, Any]], generated: str) -> None:
    """Leave out the tokens of a stop string, which is not said either."""
    size, room = 0, len(generated.encode())
    for place, one in enumerate(held):
        if size >= room:
            del held[place:]
            return
        size += len(one["bytes"])


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
