"""Chat: a causal model answers in a conversation; only its own turns are learned. Rows {messages: [{role, content}]}.

A turn of the assistant with `weight` 0, or `train` or `loss` false, is read and not learned; option `turns` = "last" learns the last alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import FolderError, InputError, RowError
from noria.core.messages import message
from noria.text.script import is_chinese

from .complete import bits, bits_per_byte
from .encode import encode_bare, end_of
from .measure import Measure
from .overlap import written_measures
from .specials import chat_template, special_name
from .task import IGNORED, Answer, Features, Head, Row, Task
from .template import Messages, Spans, Template
from .tokenizer import required
from .tools import CallForm, as_written, call_form

FLAGS = ("weight", "train", "loss")
"""Names under which other tools say of a turn whether it is learned: 0 or 1, false or true."""
ROLES = ("system", "user", "assistant")
MARKS = (("<|im_start|>", "<|im_end|>"), ("<|begin|>", "<|end|>"))
"""Tokens before and after a turn; the first pair that a tokenizer knows is taken."""
_LONG = 1 << 16
"""Tokens that no template writes round two turns."""


def _joined(content: object) -> object:
    """Return parts of text as one text, which is how servers of chats take them; anything else as it is."""
    if (
        isinstance(content, list)
        and content
        and all(isinstance(one, dict) and one.get("type") == "text" for one in content)
    ):
        return "".join(str(one.get("text", "")) for one in content)
    return content


@dataclass(frozen=True)
class Chat(Task):
    """Turns written one after another by a chat template; the model goes on where its turn begins."""

    name: ClassVar[str] = "chat"
    head: ClassVar[Head] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("messages",)

    template: str = ""
    """Jinja, as Hugging Face tokenizers have it; empty: `default_template`."""
    begin: str = ""
    """What the template calls bos_token."""
    end: str = ""
    """What the template calls eos_token."""
    turns: Literal["assistant", "last"] = "assistant"
    """Which turns are learned: all of the assistant's, or the last."""

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {messages: [{role, content}]}, of which the last is the assistant's; a system's can only be the first.

        A turn that is not learned has `weight` 0 too.
        """
        given = row.get("messages")
        if not isinstance(given, list) or not given:
            raise RowError(
                message("tasks.list_turns"),
                file=file,
                line=line,
                field="messages",
                found=given,
                allowed="[{role, content}]",
            )
        messages: list[dict[str, Any]] = []
        for number, turn in enumerate(given):
            role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
            if role not in ROLES or (role == "system" and number):
                raise RowError(
                    message("tasks.turn"),
                    file=file,
                    line=line,
                    field="messages",
                    found=turn,
                    allowed=message("tasks.role_system"),
                )
            if turn.get("tool_calls") or turn.get("function_call"):
                raise RowError(
                    message("tasks.call_tool"),
                    file=file,
                    line=line,
                    field="messages",
                    found=turn,
                    allowed=message("tasks.turns_text"),
                )
            content = _joined(content)
            if not isinstance(content, str) and content is not None:
                raise RowError(
                    message("tasks.turn_text"),
                    file=file,
                    line=line,
                    field="messages",
                    found=turn,
                    allowed=message("tasks.content_text"),
                )
            if content is None or not content.strip():
                raise RowError(message("tasks.turn_says"), file=file, line=line, field="messages", found=turn)
            messages.append({"role": role, "content": content})
            if role == "assistant" and not _is_learned(turn, file, line):
                messages[-1]["weight"] = 0
        if messages[-1]["role"] != "assistant":
            raise RowError(
                message("tasks.last_turn"),
                file=file,
                line=line,
                field="messages",
                found=messages[-1]["role"],
                hint=message("tasks.there_nothing"),
            )
        if not any(_learned(messages, self.turns)):
            raise RowError(message("tasks.none_learned"), file=file, line=line, field="messages", found=given)
        if self.template:
            try:
                self._template("").write(_plain(messages), begins=False)
            except InputError as error:
                raise RowError(error.what, file=file, line=line, field="messages", found=error.found) from error
        return {"messages": messages}

    def _template(self, default: str) -> Template:
        return Template(self.template or default, self.begin, self.end)

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return a conversation's ids; of a long one the end is kept.

        One that ends with the assistant's turn has `meta["target_ids"]`: the ids of all its turns, and `IGNORED` elsewhere.
        Any other, and a bare text, which is a user's turn, ends where the assistant's turn begins. Beside `messages` a row may
        hold `tools`, as OpenAI's API has them; turns may call them, and tell what they gave back.
        """
        tokenizer = required(tokenizer)
        messages: Any = [{"role": "user", "content": row}] if isinstance(row, str) else row["messages"]
        tools: Any = None if isinstance(row, str) else row.get("tools")
        learned = _learned(messages, self.turns)
        messages = [{**turn, **_harmless_parts(tokenizer, turn)} for turn in _plain(messages)]
        template = self._template("" if self.template else default_template(tokenizer))
        closed = messages[-1]["role"] == "assistant"
        if tools or any(turn["role"] == "tool" or turn.get("tool_calls") for turn in messages):
            form = self.call_form(tokenizer)
            messages = as_written(form, messages, tools or ())
            tools = tools if form.lists else None
        whole, marked = template.marked(messages, begins=not closed, tools=tools)
        features = encode_bare(tokenizer, whole, max_length)
        if closed:
            text: str = features.meta["text"]
            turns = [turn["content"].strip() for turn in messages if turn["role"] == "assistant"]
            if not all(learned) and len(marked) != len(turns):
                marked = []  # which turn a mark is of cannot be known
            spans = marked or _own_turns(messages, text, template)
            if len(spans) == len(turns):
                spans = [span for span, taught in zip(spans, learned, strict=True) if taught]
                turns = [turn for turn, taught in zip(turns, learned, strict=True) if taught]
            features.meta["words"] = _words(text, turns, spans)
            features.meta["target_ids"] = [
                number if any(start < right and left < end for start, end in spans) else IGNORED
                for number, (left, right) in zip(features.ids, features.meta["places"], strict=True)
            ]
        return features

    def call_form(self, tokenizer: Tokenizer) -> CallForm:
        """Return how the model's template writes tools and calls."""
        return _call_form(self.template or default_template(tokenizer), self.begin, self.end)

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the conversation up to the assistant's last turn, as one text."""
        return ["\n".join(turn["content"] for turn in row["messages"][:-1])]

    def target(self, row: Row, features: Features) -> list[int]:
        """Return every token's id where it is the assistant's, and `IGNORED` elsewhere; not shifted."""
        return list(features.meta["target_ids"])

    def answer(self, features: Features, output: Any) -> Answer:
        """Return {"text"} for what was written; for logits [T, vocabulary], or the costs in nats of what is scored, {"bits", "bytes"}."""
        if isinstance(output, str):
            return {"text": output.strip()}
        wanted = np.array(features.meta["target_ids"][1:])
        scored = np.flatnonzero(wanted != IGNORED)
        text: str = features.meta["text"]
        size = 0
        for left, right in (features.offsets[place + 1] for place in scored):
            # What the end of a turn costs counts among the bits, but its mark is nothing that was said.
            size += sum(len(text[max(left, start) : min(right, end)].encode()) for start, end in features.meta["words"])
        return {"bits": bits(np.asarray(output), scored, wanted[scored], self.temperature), "bytes": size}

    def ends(self, tokenizer: Tokenizer) -> frozenset[int]:
        """Return the special tokens that end the assistant's turn, as its template writes it."""
        closed = self.features(tokenizer, {"messages": [_turn("user", "?"), _turn("assistant", "!")]}, _LONG)
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        return frozenset(special.intersection(closed.meta["target_ids"]))

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task as it is: nothing of it depends on rows."""
        return self

    def based_on(self, folder: Path, tokenizer: Tokenizer) -> Task:
        """Return the task with the chat template of a base model, or the default one for its tokenizer.

        Raises:
            FolderError: the template of the folder cannot be used.
        """
        template = chat_template(folder) or default_template(tokenizer)
        begin, end = (special_name(folder, tokenizer, role) for role in ("bos", "eos"))
        made = replace(self, template=template, begin=begin, end=end)
        try:
            made.features(tokenizer, "?", 64)
        except InputError as error:
            raise FolderError(message("tasks.chat_template", folder=folder), found=error) from error
        return made

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return bits per byte of the assistant's turns, or BLEU and chrF of turns that were written."""
        if "bits" in answers[0]:
            return [bits_per_byte(answers)]
        truth = [row["messages"][-1]["content"] for row in rows]
        return written_measures(truth, [one["text"] for one in answers], chinese=is_chinese(truth))


def _is_learned(turn: Mapping[str, Any], file: str | Path, line: int) -> bool:
    """Return whether a turn is to be learned, as it says itself.

    Raises:
        RowError: by a number other than 0 and 1, or another kind of value.
    """
    for name in FLAGS:
        value = turn.get(name)
        if value is not None and value not in (0, 1):
            raise RowError(
                message("tasks.turn_weight"),
                file=file,
                line=line,
                field=f"messages.{name}",
                found=value,
                allowed="0, 1",
            )
        if value is not None and not value:
            return False
    return True


def _learned(messages: Sequence[Mapping[str, Any]], turns: str) -> list[bool]:
    """Return of every turn of the assistant whether it is learned."""
    own = [turn for turn in messages if turn["role"] == "assistant"]
    return [
        turn.get("weight", 1) != 0 and (turns == "assistant" or number == len(own) - 1)
        for number, turn in enumerate(own)
    ]


def _plain(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in turn.items() if key not in FLAGS} for turn in messages]


@lru_cache(maxsize=16)
def _call_form(template: str, begin: str, end: str) -> CallForm:
    return call_form(Template(template, begin, end))


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def default_template(tokenizer: Tokenizer) -> str:
    """Return a template that writes turns in the manner of ChatML, between tokens that the tokenizer knows."""
    known = ((a, b) for a, b in MARKS if tokenizer.token_to_id(a) is not None and tokenizer.token_to_id(b) is not None)
    last = end_of(tokenizer)
    opened, closed = next(known, ("", "" if last is None else tokenizer.id_to_token(last)))
    start, end = json.dumps(opened), json.dumps(closed)
    return (
        "{% for message in messages %}{{ "
        + start
        + " + message['role'] + '\\n' + message['content'] + "
        + end
        + " + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
        + start
        + " + 'assistant\\n' }}{% endif %}"
    )


def _words(text: str, turns: Sequence[str], spans: Spans) -> Spans:
    """Return where what the assistant said stands, without the marks round it: within what it is taught, one turn after another."""
    words: Spans = []
    rest = list(turns)
    for left, right in spans:
        found = next((turn for turn in rest if text.find(turn, left, right) >= 0), None)
        start = left if found is None else text.find(found, left, right)
        words.append((start, right if found is None else start + len(found)))
        if found is not None:
            rest = rest[rest.index(found) + 1 :]
    return words


def _own_turns(messages: Messages, text: str, template: Template) -> Spans:
    """Return where the assistant's turns stand in the text, the mark that ends a turn included."""
    places: Spans = []
    for number, turn in enumerate(messages):
        if turn["role"] != "assistant":
            continue
        try:
            before = template.write(messages[:number], begins=True)
            after = template.write(messages[: number + 1], begins=False).rstrip()
        except InputError:  # one that refuses part of a conversation it can write whole
            before, after = "\0", "\0"
        if text.startswith(after) and after.startswith(before):
            places.append((len(before), len(after)))
        else:  # a template that writes a turn otherwise once others follow, or once it is begun
            start = text.find(turn["content"].strip(), places[-1][1] if places else 0)
            places.append((start, start + len(turn["content"].strip())) if start >= 0 else (0, 0))
    return places


def _harmless_parts(tokenizer: Tokenizer, turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a turn says and calls, harmless."""
    parts: dict[str, Any] = {"content": _harmless(tokenizer, turn.get("content") or "")}
    if turn.get("tool_calls"):
        parts["tool_calls"] = json.loads(_harmless(tokenizer, json.dumps(turn["tool_calls"], ensure_ascii=False)))
    return parts


def _harmless(tokenizer: Tokenizer, content: str) -> str:
    """Return what was said without the names of special tokens: nobody may open or close a turn from within one."""
    names = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    while found := next((name for name in names if name and name in content), ""):  # taking one out may make another
        content = content.replace(found, "")
    return content
