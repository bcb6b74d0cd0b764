"""The settings of `noria grow answers`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from noria.core.settings import Settings


class AskSettings(Settings):
    """Whom questions are put to, how often, and with what."""

    assistant: tuple[str, ...] = ()
    """NAME=URL of an OpenAI-compatible API, up to /v1; then, where needed, ",model=NAME" and ",key=VARIABLE": the environment
    variable that holds the key, by default NAME_API_KEY."""
    draws: Annotated[int, Field(ge=1, le=100)] = 5
    """Answers to each question from each assistant."""
    wave: str = ""
    """Date of this round of asking, YYYY-MM-DD or YYYY-MM; by default the round that is not yet whole, else today."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Most calls this time; the same command goes on from there."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Calls under way at once with each assistant."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Of the answers; by default not sent, so that each assistant answers as it does to anyone."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most tokens of an answer."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Sent with each call, plus the number of its draw; by default not sent."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Seconds to wait for one answer."""
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    """Tries of a call that is refused for now (429, 5xx) or broken off, with longer and longer waits between them."""


class CountSettings(Settings):
    """How answers are counted."""

    level: Annotated[float, Field(ge=0.5, le=0.999)] = 0.9
    """Coverage that the intervals promise."""
    branded: bool = False
    """Count questions that name a brand themselves, too."""
    good: tuple[str, ...] = ("positive", "pos", "good", "正面", "积极", "好评")
    """Labels of the sentiment model that mean well spoken of."""
