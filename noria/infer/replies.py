"""What a model's process is given and gives back, whichever way it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noria.core.errors import InputError, ResourceError

from .wire import Message

Given = str | Mapping[str, Any]
"""What is asked: a text, or a row as the model's task reads it, without the truth: {question, context}, {text, pair}, {features} ..."""


class Busy(ResourceError):  # noqa: N818 - a wait, not a fault
    """The queue is full."""

    retry_after = 1


class Unavailable(ResourceError):  # noqa: N818 - a wait, not a fault
    """The model's process died with the request, cannot be started, or took too long."""

    def __init__(self, what: str, *, retry_after: int = 1, **parts: Any) -> None:
        self.retry_after = retry_after
        super().__init__(what, **parts)


@dataclass(frozen=True)
class Answers:
    """What a model says of some texts, and how many tokens each of them had."""

    answers: list[dict[str, Any]]
    tokens: list[int]
    version: str = ""
    """The version of the model that answered, as `Manifest.identity` begins."""


@dataclass(frozen=True)
class Piece:
    """Some of a completion's text; the last piece has a `finish`."""

    text: str
    tokens: int
    """Tokens of the completion so far."""
    prompt_tokens: int
    finish: str | None = None
    """stop (the model or a stop string ended it) or length."""
    logprobs: tuple[dict[str, Any], ...] = ()
    """Where `Sampling.logprobs` asks for them, one a token of `text`: {"token", "logprob", "bytes", "top": [{"token",
    "logprob", "bytes"}]}; natural logarithms, before temperature. A token that is part of a character is told by its bytes."""
    version: str = ""
    """The version of the model that wrote it."""


def checked(news: Message | Exception) -> Message:
    """Return a message of the process, or raise what it or the way to it says went wrong."""
    if isinstance(news, Exception):
        raise news
    if "error" in news:
        if news["fault"] == "input":
            raise InputError(news["error"])
        raise Unavailable("the model failed on the request", found=news["error"])
    return news
