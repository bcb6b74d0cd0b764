"""The turns of a conversation: what users say is held to the document, what assistants said is taken as any server told it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from .fields import Body, Name, Text


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
