"""What the routes of opinion monitoring take: texts to watch, a clock, verdicts, and which stream is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from noria.server.http.fields import Body, Given, Id, Name, whole


class Watched(Body):
    """One text to watch."""

    text: Given
    time: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When it was said, with its time zone; the present where it is left out."""
    id: Id = ""
    """The client's own id, shown with alerts: one id counts once. One is made where it is left out."""
    source: Name = ""
    """Where it was found, as in the name of a feed."""
    author: Name = ""
    """Who said it; only a pseudonym is kept."""
    link: Annotated[str, Field(max_length=2048), AfterValidator(whole)] = ""
    """Address at which people read it."""


class Texts(Body):
    """POST /texts."""

    texts: Annotated[list[Watched], Field(min_length=1)]
    user: Id = ""
    replay: bool = False
    """The times are of a made-up clock: the texts go into the replay, apart from what is live."""


class Clock(Body):
    """POST /clock: close the windows that ended by then, though no text has come since."""

    time: Annotated[AwareDatetime, Field(strict=False)]
    replay: bool = False


class Judged(Body):
    """POST /alerts/{alert}: whether an alert was worth raising."""

    verdict: Literal["confirmed", "dismissed"]
    by: Id = ""
    """Who says so."""


class Which(BaseModel):
    """GET /windows and GET /alerts: of the live stream, or of the replay."""

    replay: bool = False


class WhichStories(BaseModel):
    """GET /stories: of the live stream, or of the replay."""

    replay: bool = False
    least: Annotated[int, Field(ge=1, le=1_000_000)] = 2
    """Texts that a story must have."""
    most: Annotated[int, Field(ge=1, le=1_000)] = 50
    """Stories that are listed."""
