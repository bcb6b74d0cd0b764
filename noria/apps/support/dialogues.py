"""Past dialogues in the forms people keep them -> who said what, in order.

    {"dialogue": "17", "speaker": "customer", "text": "..."}            one row a turn; CSV, Excel and the like
    {"turns": [{"speaker": "user", "text": "..."}, ...]}                one row a conversation; messages, role and content will do
    "客户：怎么退货？\\n客服：七天内……"                                       one column of text a conversation, a turn a line

Who is not named a customer or one of the desk is the other of the two: who speaks first asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.columns import names_of
from noria.text.records import read_records

Speaker = Literal["customer", "desk"]


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_CUSTOMER = _names(
    "customer user client visitor buyer human guest caller asker member q "
    "用户 客户 顾客 买家 访客 咨询者 来访者 客人 会员 问 我"
)
_DESK = _names(
    "agent system assistant staff seller support bot operator service representative gpt desk a admin "
    "advisor 客服 坐席 座席 商家 卖家 店家 机器人 人工 人工客服 系统 助手 店小二 小二 答"
)
_TURNS = ("turns", "messages", "conversation", "conversations", "dialogue", "dialog", "log", "对话")
_WHO, _SAID, _WHICH = (
    tuple(name.replace(" ", "_") for name in names_of("dialogues", part)) for part in ("speaker", "text", "dialogue")
)
_LINE = re.compile(
    r"^\s*(?:\[[^\]]{0,40}\]\s*|\d[\d:/\-. ]{3,24}\s+)?([^\s:：]{1,16}(?: [^\s:：]{1,12})?)\s*[:：]\s*(.*)$"
)


@dataclass(frozen=True)
class Turn:
    """What one side said."""

    speaker: Speaker
    text: str
    whole: bool = False
    """Whether it is known to ask one thing, so that it is cut nowhere."""
    source: str = ""
    """Where it was said: name of a file, or id of a conversation."""


Dialogue = tuple[Turn, ...]


def read_dialogues(path: str | Path) -> Iterator[Dialogue]:
    """Yield the dialogues of a file.

    Raises:
        InputError: the file is missing or empty, or holds no column that turns could be in.
        RowError: a line cannot be read.
    """
    records = read_records(path)
    open_turns: list[tuple[str, str]] = []
    open_name: object = None
    found = False
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        fields = {name.strip().casefold(): one for name, one in value.items()}
        turns = next((fields[name] for name in _TURNS if isinstance(fields.get(name), list)), None)
        text = _first(fields, _SAID)
        if turns is not None:
            yield _dialogue([_turn(one, path, line) for one in turns])
        elif isinstance(text, str) or (text := _only_text(fields)):
            which, who = _first(fields, _WHICH), _first(fields, _WHO)
            lines = _lines(text) if which is None and who is None else []
            if len(lines) > 1:
                yield _dialogue(lines)
            else:
                if which != open_name or (which is None and who is None):
                    if open_turns:
                        yield _dialogue(open_turns)
                    open_turns, open_name = [], which
                open_turns.append((str(who or ""), text))
        else:
            raise RowError(
                message("apps.no_turns"),
                file=path,
                line=line,
                found=", ".join(fields),
                allowed=message("apps.turns_in"),
            )
        found = True
    if open_turns:
        yield _dialogue(open_turns)
    if not found:
        raise InputError(message("apps.no_dialogues", path=path), allowed=message("apps.turns_in"))


def holds_dialogues(fields: Mapping[str, Any]) -> bool:
    """Return whether a row, its columns in small letters, is a turn of a named dialogue, a list of turns, or a text of several turns."""
    if any(isinstance(fields.get(name), list) for name in _TURNS):
        return True
    if _first(fields, _SAID) and _first(fields, _WHICH) is not None and _first(fields, _WHO):
        return True
    return len(fields) == 1 and len(_lines(str(next(iter(fields.values()))))) > 1


def _turn(value: Any, path: str | Path, line: int) -> tuple[str, str]:
    if isinstance(value, str):
        found = _LINE.match(value)
        return (found[1], found[2]) if found else ("", value)
    fields = {str(name).casefold(): one for name, one in value.items()} if isinstance(value, Mapping) else {}
    text = _first(fields, _SAID)
    if not isinstance(text, str):
        raise RowError(message("apps.no_turns"), file=path, line=line, found=value, allowed=message("apps.turns_in"))
    return str(_first(fields, _WHO) or ""), text


def _only_text(fields: Mapping[str, Any]) -> str | None:
    texts = [one for one in fields.values() if isinstance(one, str) and one.strip()]
    return max(texts, key=len) if texts else None


def _lines(text: str) -> list[tuple[str, str]]:
    """Return the turns of a text in which each begins a line with who speaks; other lines go on with the turn."""
    turns: list[tuple[str, str]] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and (turns or _side(found[1])):
            turns.append((found[1], found[2]))
        elif line.strip() and turns:
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n{line.strip()}")
    return turns


def _side(name: str) -> Speaker | None:
    key = re.sub(r"[\s\d_#-]+$", "", name.strip().casefold())
    return "customer" if key in _CUSTOMER else "desk" if key in _DESK else None


def _dialogue(turns: Sequence[tuple[str, str]]) -> Dialogue:
    names = list(dict.fromkeys(name for name, _ in turns))
    sides: dict[str, Speaker] = {name: side for name in names if (side := _side(name))}
    for name in names:
        if name not in sides:
            others = set(sides.values())
            sides[name] = "desk" if others == {"customer"} else "customer"
    return tuple(Turn(sides[name], text.strip()) for name, text in turns if text.strip())


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)
