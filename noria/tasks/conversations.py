"""Conversations as other tools write them: ShareGPT, Alpaca, Dolly, prompts with completions, questions with answers."""

from __future__ import annotations

from typing import Any

from noria.core.messages import message

from .form import Record, Row, Unfit, is_texts

_ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
}
_QUESTIONS = ("question", "query", "问题", "提问", "prompt", "instruction", "user", "Question", "input")
_ANSWERS = ("answer", "response", "completion", "output", "回答", "答案", "回复", "assistant", "reply", "Answer")


def has_other_roles(record: Record) -> bool:
    """Say whether turns are given under names of roles that other tools use."""
    turns = record.get("messages")
    roles = [turn.get("role") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    return any(role not in _ROLES.values() and str(role).lower() in _ROLES for role in roles)


def share_gpt(record: Record) -> list[Row]:
    """Return a conversation of turns under any names of who speaks."""
    turns = record.get("conversations", record.get("conversation", record.get("messages")))
    messages: list[dict[str, Any]] = []
    if isinstance(record.get("system"), str) and record["system"].strip():
        messages.append({"role": "system", "content": record["system"]})
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict) and is_texts(turn, "human", "assistant"):
            messages += _pair(turn["human"], turn["assistant"])
            continue
        role = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        content = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        if str(role).lower() not in _ROLES or turn.get("tool_calls") or turn.get("function_call"):
            raise Unfit(message("tasks.turn_nobody"), turn)
        flags = {name: turn[name] for name in ("weight", "train", "loss") if name in turn}
        messages.append({"role": _ROLES[str(role).lower()], "content": content, **flags})
    return [{"messages": messages}]


def _pair(question: str, answer: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def alpaca(record: Record) -> list[Row]:
    """Return a conversation of an instruction, its input, its output and what was said before."""
    messages: list[dict[str, Any]] = []
    if isinstance(record.get("system"), str) and record["system"].strip():
        messages.append({"role": "system", "content": record["system"]})
    for turn in record.get("history") or []:
        if not isinstance(turn, list) or len(turn) != 2:
            raise Unfit(message("tasks.history_list"), turn)
        messages += _pair(turn[0], turn[1])
    parts = [record["instruction"], record.get("input")]
    question = "\n\n".join(part for part in parts if isinstance(part, str) and part.strip())
    return [{"messages": [*messages, *_pair(question, record["output"])]}]


def asked_and_answered(record: Record) -> tuple[str, str] | None:
    """Return the names of the two fields that hold a question and its answer, where there is one of each."""
    asked = [name for name in _QUESTIONS if isinstance(record.get(name), str)]
    told = [name for name in _ANSWERS if isinstance(record.get(name), str)]
    return (asked[0], told[0]) if len(asked) == 1 and len(told) == 1 and "context" not in record else None


def dialogue(record: Record) -> list[Row]:
    """Return a conversation of one question and its answer."""
    names = asked_and_answered(record)
    assert names
    return alpaca({**record, "instruction": record[names[0]], "input": None, "output": record[names[1]]})
