"""Rules: what a team knows before any model does. A pattern or a few words -> an answer, a handover or an action.

{"words": "投诉 | 经理", "handover": true}          any of the two; words with blanks between must all stand in the message
{"pattern": "订单.*\\\\d{8}", "action": "order"}
{"words": "opening hours", "answer": "9 to 18 on weekdays."}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from noria.core.errors import RowError
from noria.core.messages import message
from noria.text.script import normal

_PATTERN = ("pattern", "regex", "模式", "正则")
_WORDS = ("words", "keywords", "关键词", "词语")
_ANSWER, _HANDOVER, _ACTION = ("answer", "答案", "回答", "回复"), ("handover", "转人工"), ("action", "动作")
_NO = ("", "0", "false", "no", "否", "none")
_LONGEST = 2_000
"""Characters of a message that patterns are tried on."""


@dataclass(frozen=True)
class Rule:
    """One rule; of `answer`, `handover` and `action` one is given."""

    pattern: str = ""
    words: tuple[tuple[str, ...], ...] = ()
    """Alternatives, each of words that must all stand in a message."""
    answer: str = ""
    handover: bool = False
    action: str = ""
    """Name of an action."""

    def matches(self, text: str) -> bool:
        """Return whether a message is meant, whatever its case, width and script."""
        plain = normal(text[:_LONGEST])
        if self.pattern and re.search(self.pattern, text[:_LONGEST], re.IGNORECASE):
            return True
        return any(all(_stands(word, plain) for word in words) for words in self.words)


def first_match(rules: Iterable[Rule], text: str) -> Rule | None:
    """Return the first rule that a message matches, or None."""
    return next((rule for rule in rules if rule.matches(text)), None)


def is_rules(names: set[str]) -> bool:
    """Return whether columns are those of rules."""
    return bool(names & {*_PATTERN, *_WORDS}) and bool(names & {*_ANSWER, *_HANDOVER, *_ACTION})


def rule_of(value: Mapping[str, Any], name: str, line: int) -> dict[str, Any]:
    """Return a row as the fields of a `Rule`.

    Raises:
        RowError: neither pattern nor words, a pattern that is none, or not one of answer, handover and action.
    """
    pattern, given = _text(value, _PATTERN), value.get(next((one for one in _WORDS if value.get(one)), ""))
    alternatives = given if isinstance(given, list) else re.split(r"[|｜\n]", str(given or ""))
    words = [[normal(word) for word in re.split(r"[\s,，、]+", str(one)) if word] for one in alternatives]
    words = [one for one in words if one]
    if not pattern and not words:
        raise RowError(
            message("knowledge.rule_when"), file=name, line=line, found=dict(value), allowed=("pattern", "words")
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise RowError(
            message("knowledge.rule_pattern"), file=name, line=line, field="pattern", found=f"{pattern} ({error})"
        ) from None
    handover = next((value[one] for one in _HANDOVER if value.get(one) is not None), False)
    does = {
        "answer": _text(value, _ANSWER),
        "handover": str(handover).strip().casefold() not in _NO,
        "action": _text(value, _ACTION),
    }
    if sum(map(bool, does.values())) != 1:
        raise RowError(
            message("knowledge.rule_does"),
            file=name,
            line=line,
            found=", ".join(key for key, one in does.items() if one) or message("apps.nothing"),
            allowed=("answer", "handover", "action"),
        )
    return {"pattern": pattern, "words": words, **does}


def _text(value: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return str(next((value[one] for one in names if value.get(one)), "")).strip()


def _stands(word: str, text: str) -> bool:
    """Return whether a word stands in a text: as a whole one, where it is of letters that words have blanks between."""
    if not word.isascii():
        return word in text
    return re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", text) is not None
