"""What answers look like in OpenAI's two forms, whole or in chunks; of a chat's answer, which of its text are calls of tools."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .context import RequestContext

if TYPE_CHECKING:
    from noria.infer.replies import Piece
    from noria.tasks.calls import CallReader, Event

Json = dict[str, Any]
_LETTERS = string.ascii_letters + string.digits


class Shape(Protocol):
    """One of the two forms."""

    model: str
    schema: str | None
    """What the text is held to: a JSON schema, or a grammar; see `noria.tasks.guided`."""

    def whole(self, answers: Sequence[Sequence[Piece]]) -> Json:
        """Return the answers in one."""

    def opening(self, index: int) -> Json | None:
        """Return the chunk that goes before all others of an answer; None where there is none."""

    def chunks(self, index: int, piece: Piece) -> list[Json]:
        """Return the chunks for a piece of an answer."""

    def closing(self, ends: Sequence[Piece]) -> Json:
        """Return the chunk that tells the usage, after the last pieces."""


class CompletionShape:
    """Answers of /v1/completions."""

    schema: str | None = None

    def __init__(self, context: RequestContext, model: str, logprobs: int | None) -> None:
        self.model, self._logprobs = model, logprobs
        self._head = _head(context, model, "text_completion")
        self._offsets: dict[int, int] = {}

    def whole(self, answers: Sequence[Sequence[Piece]]) -> Json:
        """Return the answers in one."""
        choices = [
            {
                "index": index,
                "text": "".join(piece.text for piece in pieces),
                "finish_reason": pieces[-1].finish,
                "logprobs": self._reported_logprobs(index, [one for piece in pieces for one in piece.logprobs]),
            }
            for index, pieces in enumerate(answers)
        ]
        return {**self._head, "choices": choices, "usage": usage_of([pieces[-1] for pieces in answers])}

    def opening(self, index: int) -> Json | None:
        """Return nothing: the first chunk is the first piece."""
        return None

    def chunks(self, index: int, piece: Piece) -> list[Json]:
        """Return the chunk for a piece."""
        choice = {
            "index": index,
            "text": piece.text,
            "finish_reason": piece.finish,
            "logprobs": self._reported_logprobs(index, piece.logprobs),
        }
        return [{**self._head, "choices": [choice]}]

    def closing(self, ends: Sequence[Piece]) -> Json:
        """Return the chunk that tells the usage."""
        return {**self._head, "choices": [], "usage": usage_of(ends)}

    def _reported_logprobs(self, index: int, tokens: Sequence[Json]) -> Json | None:
        if self._logprobs is None:
            return None
        offsets = []
        for one in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(one["token"])
        return {
            "tokens": [_named(one) for one in tokens],
            "token_logprobs": [one["logprob"] for one in tokens],
            "top_logprobs": [{_named(top): top["logprob"] for top in one["top"]} for one in tokens]
            if self._logprobs
            else None,
            "text_offset": offsets,
        }


def _named(one: Json) -> str:
    """Return a token as a text; a part of a character by its bytes, as OpenAI's completions do."""
    name: str = one["token"]
    return name if "\ufffd" not in name else "bytes:" + "".join(f"\\x{byte:02x}" for byte in one["bytes"])


class ChatShape:
    """Answers of /v1/chat/completions.

    Args:
        context: the request's.
        model: its name.
        logprobs: whether they are told.
        schema: what the text is held to.
        readers: one an answer, where tools may be called.
    """

    def __init__(
        self,
        context: RequestContext,
        model: str,
        logprobs: bool,
        schema: str | None,
        readers: Sequence[CallReader] = (),
    ) -> None:
        self.model, self.schema, self._logprobs, self._readers = model, schema, logprobs, readers
        self._head = _head(context, model, "chat.completion")

    def whole(self, answers: Sequence[Sequence[Piece]]) -> Json:
        """Return the answers in one."""
        choices = []
        for index, pieces in enumerate(answers):
            said, calls, finish = "", {}, pieces[-1].finish  # type: str, dict[int, Json], str | None
            for piece in pieces:
                content, more, finish = self._parts(index, piece)
                said += content
                for call in more:
                    _add(calls, call)
            message: Json = {"role": "assistant", "content": said, "refusal": None}
            if calls:
                message |= {
                    "content": said or None,
                    "tool_calls": [
                        {key: value for key, value in call.items() if key != "index"} for call in calls.values()
                    ],
                }
            tokens = [one for piece in pieces for one in piece.logprobs]
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "finish_reason": finish,
                    "logprobs": self._reported_logprobs(tokens),
                }
            )
        return {**self._head, "choices": choices, "usage": usage_of([pieces[-1] for pieces in answers])}

    def opening(self, index: int) -> Json | None:
        """Return the chunk that says whose turn it is."""
        return self._chunk(index, {"role": "assistant", "content": "", "refusal": None}, None, [])

    def chunks(self, index: int, piece: Piece) -> list[Json]:
        """Return the chunks for a piece: text and calls go apart, and nothing for text that may become a call."""
        content, calls, finish = self._parts(index, piece)
        deltas: list[Json] = [{"content": content}] if content else []
        deltas += [{"tool_calls": [call]} for call in calls]
        if not deltas and not finish and not piece.logprobs:
            return []
        deltas = deltas or [{}]
        last = len(deltas) - 1
        return [
            self._chunk(index, delta, finish if place == last else None, piece.logprobs if not place else [])
            for place, delta in enumerate(deltas)
        ]

    def closing(self, ends: Sequence[Piece]) -> Json:
        """Return the chunk that tells the usage."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(ends)}

    def _parts(self, index: int, piece: Piece) -> tuple[str, list[Json], str | None]:
        """Return what a piece says, the calls it begins or goes on with, and why the answer ends."""
        if not self._readers:
            return piece.text, [], piece.finish
        reader = self._readers[index]
        events = reader.feed(piece.text) + (reader.close() if piece.finish else [])
        content, calls = _parted(events)
        return content, calls, "tool_calls" if piece.finish == "stop" and reader.calls else piece.finish

    def _chunk(self, index: int, delta: Json, finish: str | None, tokens: Sequence[Json]) -> Json:
        choice = {
            "index": index,
            "delta": delta,
            "finish_reason": finish,
            "logprobs": self._reported_logprobs(tokens) if tokens else None,
        }
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def _reported_logprobs(self, tokens: Sequence[Json]) -> Json | None:
        if not self._logprobs:
            return None
        content = [
            {key: one[key] for key in ("token", "logprob", "bytes")} | {"top_logprobs": one["top"]} for one in tokens
        ]
        return {"content": content, "refusal": None}


def _parted(events: Sequence[Event]) -> tuple[str, list[Json]]:
    """Return the text of events, and their calls as deltas of OpenAI's API, one a call."""
    from noria.tasks.calls import Begun, Plain

    said, calls = "", {}  # type: str, dict[int, Json]
    for event in events:
        if isinstance(event, Plain):
            said += event.text
        elif isinstance(event, Begun):
            # Nine letters or digits: some templates take no other id back.
            name = "".join(secrets.choice(_LETTERS) for _ in range(9))
            function = {"name": event.name, "arguments": ""}
            calls[event.index] = {"index": event.index, "id": name, "type": "function", "function": function}
        else:
            _add(calls, {"index": event.index, "function": {"arguments": event.text}})
    return said, list(calls.values())


def _add(calls: dict[int, Json], delta: Json) -> None:
    """Add a delta of a call to those before."""
    known = calls.setdefault(delta["index"], delta)
    if known is not delta:
        known["function"]["arguments"] += delta["function"]["arguments"]


def usage_of(ends: Sequence[Piece]) -> dict[str, int]:
    """Return what was read, once for all answers to one prompt, and written up to their last pieces."""
    read, written = ends[0].prompt_tokens, sum(piece.tokens for piece in ends)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _head(context: RequestContext, model: str, kind: str) -> Json:
    served = context.served(model)
    return {
        "id": context.id,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": served.version,
    }
