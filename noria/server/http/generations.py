"""What requests for text may hold: completions and chats, as OpenAI's API has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from .bodies import Ids
from .fields import INTEGRAL, Body, Given, Name, No, Number, Text

MOST_TOOLS = 128
"""Tools of a request, as many as OpenAI's API takes."""
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


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
    n: Annotated[int, Field(ge=1, le=8), INTEGRAL] | None = None
    """So many answers, each drawn with a seed of its own."""
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None

    def stops(self) -> list[str]:
        """Return the stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Completion(Generation):
    """POST /v1/completions."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)] | Ids
    """A text, or the ids of the model's own tokens."""
    logprobs: Annotated[int, Field(ge=0, le=5), INTEGRAL] | None = None
    """Tell the log probability of every token, and those of so many likeliest ones."""
    best_of: Annotated[int, Field(ge=1, le=1), INTEGRAL] | None = None
    echo: No | None = None
    suffix: None = None


class Function(Body):
    """A function that the model may call."""

    name: FunctionName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema of its arguments, kept to where a call is held to."""
    strict: bool | None = None
    """Hold the arguments to the schema though a call is free; a required call is always held to."""


class Tool(Body):
    """A tool: functions are the only kind."""

    type: Literal["function"]
    function: Function


class ChosenFunction(Body):
    """A function by its name."""

    name: FunctionName


class ChosenTool(Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: ChosenFunction


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
        Literal["system", "developer", "user", "assistant", "tool"],
        Field(json_schema_extra={"enum": ["system", "developer", "user"]}),
    ]
    """developer is OpenAI's newer name for system; either can only be the first."""
    content: Text | Annotated[list[TextPart], Field(max_length=1_000, fail_fast=True)]
    name: Name | None = None
    """Taken, and not told to the model."""

    def text(self) -> str:
        """Return what the turn says."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ToolTurn(Body):
    """What a tool gave back."""

    role: Literal["tool"]
    content: Text | Annotated[list[TextPart], Field(max_length=1_000, fail_fast=True)]
    tool_call_id: Annotated[Name, Field(min_length=1)]
    """The call that it answers."""
    name: Name | None = None

    def text(self) -> str:
        """Return what the turn says."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Called(Body):
    """A function that was called."""

    model_config = ConfigDict(extra="ignore")
    name: FunctionName
    arguments: Text
    """JSON."""


class ToolCall(Body):
    """A call that an assistant's turn made."""

    model_config = ConfigDict(extra="ignore")
    id: Annotated[Name, Field(min_length=1)]
    type: Literal["function"] = "function"
    function: Called


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
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    """The calls that it made; a turn of a tool follows for each."""
    function_call: None = None
    audio: None = None

    def text(self) -> str:
        """Return what the turn says."""
        if isinstance(self.content, list):
            return "".join(part.text if isinstance(part, AnswerText) else part.refusal for part in self.content)
        return self.content or self.refusal or ""


def _whose(turn: Any) -> str:
    role = turn.get("role") if isinstance(turn, dict) else getattr(turn, "role", None)
    return {"assistant": "AnswerTurn", "tool": "ToolTurn"}.get(str(role), "Turn")


AnyTurn = Annotated[
    Annotated[Turn, Tag("Turn")] | Annotated[AnswerTurn, Tag("AnswerTurn")] | Annotated[ToolTurn, Tag("ToolTurn")],
    Discriminator(_whose),
]
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
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    """Functions that the model may call; its template tells it of them."""
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    """auto: text or calls; required, or a function by name: the answer is held to a call while it is drawn."""
    parallel_tool_calls: bool | None = None
    """Several calls in one answer, where the model's template knows them; false: one at most."""
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    metadata: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    store: No | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: Name = ""
    """OpenAI's newer name for user."""
    prompt_cache_key: Name = ""
    """A hint; taken and not needed."""


class Render(Body):
    """POST /v1/tokenize: a conversation as the model's template writes it, or a text; as in vLLM."""

    model: Name | None = None
    prompt: Text | None = None
    messages: Annotated[list[AnyTurn], Field(min_length=1, max_length=1_000)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    add_generation_prompt: Literal[True] | None = None
    """The assistant's turn is opened behind the last."""
