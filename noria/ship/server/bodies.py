"""What requests may hold: OpenAI's fields and Noria's, each within its bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no text") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]
Name = Annotated[str, Field(max_length=256), AfterValidator(_whole)]
Given = Annotated[str, Field(min_length=1), AfterValidator(_whole)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Body(BaseModel):
    """Root of all bodies: unknown fields are refused by name, so that nothing a client asks for is silently ignored."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Texts(Body):
    """POST /v1/classify and /v1/tag."""

    input: Given | list[Given]
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


class Embeddings(Texts):
    """POST /v1/embeddings."""

    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = None
    """Vectors are given whole."""


class Completion(Body):
    """POST /v1/completions. Fields that only one value is served for are taken when they have it."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    model: Name | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """64 unless told; bounded by the server's `max_tokens` and by the model's length."""
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Given | Annotated[list[Given], Field(max_length=4)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Name = ""
    consent: bool | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    presence_penalty: Annotated[Number, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=0, le=0)] | None = None

    def stops(self) -> list[str]:
        """Return the stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class StreamOptions(Body):
    """What a stream says besides text."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class Chat(BaseModel):
    """POST /v1/chat/completions: only the model is read until a chat model is served."""

    model_config = ConfigDict(extra="allow")
    model: Name
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]


class Marked(Body):
    """A span as it should have been; places are characters."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    label: Given


class Feedback(Body):
    """POST /v1/feedback: what a user says of an answer."""

    request: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    """The `x-request-id` of the answer."""
    right: bool
    index: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Which of the request's texts it is about; the first unless told."""
    better: Given | list[Given] | list[Marked] | None = None
    """What a wrong answer should have been: a label, labels, spans of the text as it was sent, or a text."""
    user: Name = ""
    consent: bool | None = None


class ClientEvent(Body):
    """One fact that only the client's own page sees."""

    kind: Literal["impression", "click", "conversion"]
    subject: Name = ""
    """What was seen, clicked or bought: the id of a request or of an item."""
    user: Name = ""
    app: Name = "api"
    segment: Annotated[str, Field(max_length=64), AfterValidator(_whole)] = ""
    value: Number | None = None
    """An amount, where the kind has one."""
    consent: bool = False


class Events(Body):
    """POST /v1/events."""

    events: Annotated[list[ClientEvent], Field(min_length=1)]
