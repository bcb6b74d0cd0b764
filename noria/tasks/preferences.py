"""What people prefer, as rows: pairs of answers, answers with a thumb, questions alone.

    Pairs().check({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"})      # {"messages": [...], "chosen", "rejected"}
    Thumbs().check({"messages": [..., {"role": "assistant", ...}], "label": False})

Read as other tools write them: a prompt as a text or as turns, answers as texts or as turns, with or without the prompt before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from noria.core.errors import RowError
from noria.core.messages import message

from .chat import Chat
from .task import Row

_LABELS = ("label", "thumb", "liked", "value")
"""Names of what says whether an answer was liked."""
_THUMBS = {
    "true": True,
    "false": False,
    "up": True,
    "down": False,
    "1": True,
    "-1": False,
    "0": False,
    "👍": True,
    "👎": False,
}


@dataclass(frozen=True)
class Preferences(Chat):
    """Rows about answers to a conversation."""

    columns: ClassVar[tuple[str, ...]] = ()

    def prompt_of(self, record: Mapping[str, Any], file: str | Path, line: int) -> list[dict[str, str]]:
        """Return the turns before an answer.

        Raises:
            RowError: there are none, or the last is the assistant's.
        """
        given = record.get("prompt", record.get("messages", record.get("question", record.get("instruction"))))
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(turns, list) or not turns:
            raise RowError(
                message("tasks.no_prompt"),
                file=file,
                line=line,
                field="prompt",
                found=given,
                allowed="[{role, content}]",
            )
        # Checked as a conversation is, an answer behind it.
        checked = super().check({"messages": [*turns, {"role": "assistant", "content": "."}]}, file=file, line=line)
        messages: list[dict[str, str]] = checked["messages"][:-1]
        if messages[-1]["role"] != "user":
            raise RowError(
                message("tasks.prompt_ends"), file=file, line=line, field="prompt", found=messages[-1]["role"]
            )
        return messages

    def answer_of(
        self, record: Mapping[str, Any], name: str, prompt: Sequence[Mapping[str, str]], file: str | Path, line: int
    ) -> str:
        """Return an answer's text: of turns, that of the last, those before it being the prompt's.

        Raises:
            RowError: it says nothing, or answers something else.
        """
        given = record.get(name)
        if isinstance(given, list) and given:
            before, last = given[:-1], given[-1]
            plain = [
                {"role": one.get("role"), "content": one.get("content")} for one in before if isinstance(one, dict)
            ]
            if plain and plain != list(prompt)[-len(plain) :]:
                raise RowError(message("tasks.other_prompt"), file=file, line=line, field=name, found=before)
            given = last.get("content") if isinstance(last, dict) and last.get("role") == "assistant" else None
        if not isinstance(given, str) or not given.strip():
            raise RowError(message("tasks.no_answer"), file=file, line=line, field=name, found=record.get(name))
        return given

    def shared_prompt(self, record: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
        """Return a record with the prompt that its answers begin with, where they are whole conversations and it has none."""
        first = record.get(names[0])
        if "prompt" in record or "messages" in record or not isinstance(first, list):
            return record
        return {**record, "prompt": first[:-1]}


@dataclass(frozen=True)
class Pairs(Preferences):
    """{messages, chosen, rejected}: of two answers the one that is preferred."""

    name: ClassVar[str] = "pairs"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {messages, chosen, rejected}."""
        row = self.shared_prompt(row, ("chosen", "rejected"))
        prompt = self.prompt_of(row, file, line)
        chosen, rejected = (self.answer_of(row, name, prompt, file, line) for name in ("chosen", "rejected"))
        if chosen == rejected:
            raise RowError(message("tasks.same_answers"), file=file, line=line, field="rejected", found=rejected)
        return {"messages": prompt, "chosen": chosen, "rejected": rejected}


@dataclass(frozen=True)
class Thumbs(Preferences):
    """{messages, completion, label}: an answer, and whether it was liked."""

    name: ClassVar[str] = "thumbs"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {messages, completion, label}."""
        record = dict(row)
        if "completion" not in record and isinstance(record.get("messages"), list) and record["messages"]:
            turns: list[Any] = record["messages"]  # type: ignore[assignment]
            record = {**record, "messages": turns[:-1], "completion": turns[-1:]}
        prompt = self.prompt_of(record, file, line)
        found = next((record[name] for name in _LABELS if record.get(name) is not None), None)
        label = _THUMBS.get(str(found).strip().lower())
        if label is None:
            raise RowError(
                message("tasks.no_thumb"), file=file, line=line, field="label", found=found, allowed=tuple(_THUMBS)
            )
        return {
            "messages": prompt,
            "completion": self.answer_of(record, "completion", prompt, file, line),
            "label": label,
        }


@dataclass(frozen=True)
class Questions(Preferences):
    """{messages, answer}: what answers are drawn to; `answer` where a reward compares with it, and whatever else the row holds."""

    name: ClassVar[str] = "questions"

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return the row with its `messages` before the answer."""
        record = dict(row)
        turns = record.get("messages")
        if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
            record = {"answer": turns[-1].get("content"), **record, "messages": turns[:-1]}
        return {**record, "messages": self.prompt_of(record, file, line)}
