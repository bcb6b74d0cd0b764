"""What requests may hold: OpenAI's fields and Noria's, each within its bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag

from .fields import INTEGRAL, UUID7, Body, Given, Name, No, Number, Rows, Some, Text, whole


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


class StreamOptions(Body):
    """What a stream says besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Generation(Body):
    """What completions and chats have in common. Fields that only one value is served for are taken when they have it."""

    model: Name | None = None
    max_tokens: Annotated[int, Field(ge=1), INTEGRAL] | None = None
    """64 unless told; bounded by the server's `max_tokens` and by the model's length."""
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000), INTEGRAL] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), INTEGRAL] | None = None
    stop: Given | Annotated[list[Given], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Name = ""
    consent: bool | None = None
    n: Annotated[int, Field(ge=1, le=1), INTEGRAL] | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None

    def stops(self) -> list[str]:
        """Return the stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Completion(Generation):
    """POST /v1/completions."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    logprobs: Annotated[int, Field(ge=0, le=5), INTEGRAL] | None = None
    """Tell the log probability of every token, and those of so many likeliest ones."""
    best_of: Annotated[int, Field(ge=1, le=1), INTEGRAL] | None = None
    echo: No | None = None
    suffix: None = None


class PlainText(Body):
    """Any text."""

    type: Literal["text"]


class JsonObject(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class NamedSchema(Body):
    """A JSON schema with a name, as OpenAI's API wraps it."""

    model_config = ConfigDict(populate_by_name=True)
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    given: Annotated[dict[str, Any], Field(alias="schema")]
    """Kept to while the answer is drawn; what of JSON Schema cannot be kept to is refused by name."""
    description: Text | None = None
    strict: bool | None = None


class JsonSchema(Body):
    """JSON of one schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class TextPart(Body):
    """A part of a turn: text is the only kind that is served."""

    type: Literal["text"]
    text: Text


class Turn(Body):
    """A turn of the operator or of a user."""

    # All roles, so that an unknown one is told of each; the document has only those that get here.
    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        Field(json_schema_extra={"enum": ["system", "developer", "user"]}),
    ]
    """developer is OpenAI's newer name for system; either can only be the first."""
    content: Text | Annotated[list[TextPart], Field(max_length=1_000, fail_fast=True)]
    name: Name | None = None
    """Taken, and not told to the model."""

    def text(self) -> str:
        """Return what the turn says."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class AnswerText(TextPart):
    """A part of an answer."""

    model_config = ConfigDict(extra="ignore")


class AnswerRefusal(Body):
    """A part of an answer: why the rest was refused."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["refusal"]
    refusal: Text


class AnswerTurn(Body):
    """An assistant's turn, as servers and clients tell it: what they add to it (reasoning, annotations, ids) is passed over."""

    model_config = ConfigDict(extra="allow")
    role: Literal["assistant"]
    content: Text | Annotated[list[AnswerText | AnswerRefusal], Field(max_length=1_000, fail_fast=True)] | None = None
    """It may be empty or left out, as an answer may be."""
    name: Name | None = None
    """Taken, and not told to the model."""
    refusal: Text | None = None
    """Why it said nothing else."""
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: None = None
    audio: None = None

    def text(self) -> str:
        """Return what the turn says."""
        if isinstance(self.content, list):
            return "".join(part.text if isinstance(part, AnswerText) else part.refusal for part in self.content)
        return self.content or self.refusal or ""


def _whose(turn: Any) -> str:
    role = turn.get("role") if isinstance(turn, dict) else getattr(turn, "role", None)
    return "AnswerTurn" if role == "assistant" else "Turn"


AnyTurn = Annotated[Annotated[Turn, Tag("Turn")] | Annotated[AnswerTurn, Tag("AnswerTurn")], Discriminator(_whose)]
"""One turn of a conversation."""


class Chat(Generation):
    """POST /v1/chat/completions."""

    messages: Annotated[list[AnyTurn], Field(min_length=1, max_length=1_000)]
    max_completion_tokens: Annotated[int, Field(ge=1), INTEGRAL] | None = None
    """OpenAI's newer name for max_tokens; only one of the two may be given."""
    logprobs: bool | None = None
    """Tell the log probability of every token."""
    top_logprobs: Annotated[int, Field(ge=0, le=20), INTEGRAL] | None = None
    """And those of so many likeliest ones."""
    response_format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    """json_object and json_schema hold the answer to JSON while it is drawn."""
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    metadata: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    store: No | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: Name = ""
    """OpenAI's newer name for user."""
    prompt_cache_key: Name = ""
    """A hint; taken and not needed."""


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
    """An amount, where the kind has one."""
    consent: bool = False


class Events(Body):
    """POST /v1/events."""

    events: Rows[ClientEvent]
