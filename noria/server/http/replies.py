"""What answers look like: the response half of the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    """Root of all replies. They describe what routes send; routes send plain dicts, which costs no second check."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class Fault(Reply):
    """What went wrong."""

    message: str
    type: Literal[
        "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
    ]
    param: str | None
    """The field at fault, as in `messages.0.role`."""
    code: str | None


class Error(Reply):
    """An error in the shape that OpenAI's clients read."""

    error: Fault


class TextUsage(Reply):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class Usage(TextUsage):
    """Tokens read and written."""

    completion_tokens: int


class Labelled(Reply):
    """A text's label or labels, with the probability of each."""

    model_config = ConfigDict(extra="allow")
    index: int
    scores: dict[str, float]


class Labels(Reply):
    """Answer of /v1/classify."""

    id: str
    object: Literal["classification"]
    model: str
    data: list[Labelled]
    usage: TextUsage


class Span(Reply):
    """A piece of a text; places are characters."""

    model_config = ConfigDict(extra="allow")
    start: int
    end: int
    label: str
    text: str


class Tagged(Reply):
    """A text's spans."""

    model_config = ConfigDict(extra="allow")
    index: int
    spans: list[Span]


class Tags(Reply):
    """Answer of /v1/tag."""

    id: str
    object: Literal["tagging"]
    model: str
    data: list[Tagged]
    usage: TextUsage


class Answered(Reply):
    """A question's answer: a piece of its context, or "" where it has none."""

    model_config = ConfigDict(extra="allow")
    index: int
    text: str


class Answers(Reply):
    """Answer of /v1/answer."""

    id: str
    object: Literal["answers"]
    model: str
    data: list[Answered]
    usage: TextUsage


class Vector(Reply):
    """A text's vector: numbers, or the base64 of little-endian float32."""

    index: int
    object: Literal["embedding"]
    embedding: list[float] | str


class Vectors(Reply):
    """Answer of /v1/embeddings."""

    id: str
    object: Literal["list"]
    model: str
    data: list[Vector]
    usage: TextUsage


class Translated(Reply):
    """One text in the other language."""

    index: int
    text: str
    finish_reason: Literal["stop", "content_filter"]
    """content_filter: the guard did not let the translation out."""


class Translations(Reply):
    """Answer of /v1/translate."""

    id: str
    object: Literal["translation"]
    model: str
    data: list[Translated]
    usage: TextUsage


class Moderated(Reply):
    """What the guard found in one text, by rule; `flagged` where a rule would block it."""

    index: int
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    spans: list[Span]


class Moderations(Reply):
    """Answer of /v1/moderate."""

    id: str
    object: Literal["moderation"]
    results: list[Moderated]


Finish = Literal["stop", "length", "content_filter"]
ChatFinish = Literal["stop", "length", "content_filter", "tool_calls"]


class CompletionLogprobs(Reply):
    """Log probabilities of the tokens, natural logarithm."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(Reply):
    """The text that follows."""

    index: int
    text: str
    finish_reason: Finish | None
    logprobs: CompletionLogprobs | None


class Completed(Reply):
    """Answer of /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class TopLogprob(Reply):
    """A token that was likely."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token that was drawn."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(Reply):
    """Log probabilities of the tokens, natural logarithm."""

    content: list[TokenLogprob]
    refusal: None


class MadeFunction(Reply):
    """A function that the model calls."""

    name: str
    arguments: str
    """JSON; cut short where the answer is."""


class MadeCall(Reply):
    """A call that the model makes."""

    id: str
    type: Literal["function"]
    function: MadeFunction


class Message(Reply):
    """The assistant's turn."""

    role: Literal["assistant"]
    content: str | None
    """null where it only calls."""
    refusal: None
    tool_calls: list[MadeCall] = []
    """Left out where nothing is called."""


class ChatChoice(Reply):
    """One answer."""

    index: int
    message: Message
    finish_reason: ChatFinish
    logprobs: ChatLogprobs | None


class ChatCompleted(Reply):
    """Answer of /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Rendered(Reply):
    """What a model reads, as the ids of its tokens."""

    model: str
    count: int
    max_model_len: int | None
    tokens: list[int]


class Model(Reply):
    """A served model."""

    model_config = ConfigDict(extra="allow")
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    task: str
    labels: list[Any]
    version: str
    max_length: int | None
    parent: str | None
    """The model whose LoRA this is."""
    status: str


class Models(Reply):
    """Answer of GET /v1/models."""

    object: Literal["list"]
    data: list[Model]


class Application(Reply):
    """A mounted application and its routes."""

    id: str
    object: Literal["application"]
    routes: list[str]


class Applications(Reply):
    """Answer of GET /v1/apps."""

    object: Literal["list"]
    data: list[Application]


class Noted(Reply):
    """The id of the event that a request became."""

    id: str


class AllNoted(Reply):
    """The ids of the events that a request became, in its order."""

    ids: Annotated[list[str], Field(min_length=1)]


class Health(Reply):
    """The process lives."""

    status: Literal["ok"]


class Ready(Reply):
    """Whether requests are welcome, and how each model is."""

    status: Literal["ready", "starting", "stopping"]
    models: dict[str, str]
