"""What requests may hold: OpenAI's fields and Noria's, each within its bounds; those that ask for text stand in `generations`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from .fields import INTEGRAL, UUID7, Body, Given, Name, Number, Rows, Some, Text, whole


class Texts(Body):
    """POST /v1/tag and /v1/translate."""

    input: Given | Rows[Given]
    """One text or several."""
    model: Name | None = None
    """Name of the model; may be left out where one model serves the task."""
    user: Name = ""
    """The end user, for whom the use is counted; stored as a pseudonym."""
    consent: bool | None = None
    """The user agreed that their masked text may become training data."""

    def texts(self) -> list[str]:
        """Return the input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class Pair(Body):
    """Two texts that are judged together, for models made for pairs; one text alone for all others."""

    text: Given
    pair: Given | None = None


class Numbers(Body):
    """A row of numbers, for models made for them."""

    features: Annotated[list[Number], Field(min_length=1, max_length=10_000, fail_fast=True)]


class Classified(Body):
    """POST /v1/classify."""

    input: Given | Pair | Numbers | Rows[Given | Pair | Numbers]
    """One text, pair of texts or row of numbers, or several."""
    model: Name | None = None
    """Name of the model; may be left out where one model serves the task."""
    user: Name = ""
    """The end user, for whom the use is counted; stored as a pseudonym."""
    consent: bool | None = None
    """The user agreed that their masked text may become training data."""

    def rows(self) -> list[str | dict[str, Any]]:
        """Return the input as a list of texts and rows."""
        given = self.input if isinstance(self.input, list) else [self.input]
        return [one if isinstance(one, str) else one.model_dump(exclude_none=True) for one in given]


Ids = Some[Annotated[int, Field(ge=0, lt=2**31), INTEGRAL]]
"""A text as the ids of its tokens, as the model's own tokenizer gives them."""


class Embeddings(Body):
    """POST /v1/embeddings."""

    input: Given | Rows[Given] | Ids | Rows[Ids]
    """One text or several, each in characters or as ids of the model's own tokens."""
    model: Name | None = None
    """Name of the model; may be left out where one model serves the task."""
    user: Name = ""
    """The end user, for whom the use is counted; stored as a pseudonym."""
    consent: bool | None = None
    """The user agreed that their masked text may become training data."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1), INTEGRAL] | None = None
    """Vectors are given whole: only the model's own width is served."""

    def rows(self) -> list[str | dict[str, Any]]:
        """Return the input as a list of texts and of rows {"ids"}."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [{"ids": self.input}]
        return [one if isinstance(one, str) else {"ids": one} for one in self.input]


class Asked(Body):
    """One question about one context."""

    question: Given
    context: Given


class Questions(Body):
    """POST /v1/answer."""

    input: Asked | Rows[Asked]
    """One question with its context, or several."""
    model: Name | None = None
    user: Name = ""
    consent: bool | None = None

    def asked(self) -> list[Asked]:
        """Return the input as a list."""
        return [self.input] if isinstance(self.input, Asked) else self.input


class Moderation(Body):
    """POST /v1/moderate."""

    input: Given | Rows[Given]
    user: Name = ""
    consent: bool | None = None

    def texts(self) -> list[str]:
        """Return the input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class Marked(Body):
    """A span as it should have been; places are characters. What else an answer says of a span is passed over."""

    model_config = ConfigDict(extra="ignore")
    start: Annotated[int, Field(ge=0), INTEGRAL]
    end: Annotated[int, Field(ge=0), INTEGRAL]
    label: Given


class Feedback(Body):
    """POST /v1/feedback: what a user says of an answer."""

    request: Annotated[str, Field(pattern=UUID7)]
    """The `x-request-id` of the answer."""
    right: bool
    index: Annotated[int, Field(ge=0, le=100_000), INTEGRAL] = 0
    """Which of the request's texts it is about; the first unless told."""
    better: (
        Text
        | Annotated[list[Given], Field(max_length=1_000, fail_fast=True)]
        | Annotated[list[Marked], Field(max_length=1_000, fail_fast=True)]
        | None
    ) = None
    """What a wrong answer should have been: a label, labels, spans of the text as it was sent, or a text."""
    user: Name = ""
    consent: bool | None = None


class ClientEvent(Body):
    """One fact that only the client's own page sees."""

    id: Annotated[str, Field(pattern=UUID7)] | None = None
    """A UUIDv7 of the client's own: the same one sent again is the same event, even after a restart. Made where left out."""
    kind: Literal["impression", "click", "conversion"]
    subject: Name = ""
    """What was seen, clicked or bought: the id of a request or of an item."""
    user: Name = ""
    app: Name = "api"
    segment: Annotated[str, Field(max_length=64), AfterValidator(whole)] = ""
    value: Number | None = None
    """An amount, where the kind has one; of an impression its place in the list, from 1."""
    propensity: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Of an impression: the probability with which the item was shown at its place, where your page drew lots."""
    consent: bool = False


class Events(Body):
    """POST /v1/events."""

    events: Rows[ClientEvent]
