"""The fields that an action asks for, and what a message says of one: a pattern, a date, a choice, a number or a text.

A value is read only where the message says one thing; a message that says two of them, or none, is asked about again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from noria.apps.support.plain import plain
from noria.core.errors import SettingError
from noria.core.messages import message
from noria.core.settings import Settings
from noria.text.numbers import HAN, Style, number_of
from noria.text.script import simplified

from .dates import Direction, day_in

LONGEST = 500
"""Characters of a message in which a value is looked for; a text may be longer."""
Line = Annotated[str, Field(min_length=1, max_length=2_000)]
Texts = Annotated[dict[Annotated[str, Field(pattern="^[a-z]{2,3}$")], Line], Field(min_length=1)]
"""Language -> text, as in {zh = "...", en = "..."}; who speaks another language is given English, or else the first."""
Words = Annotated[dict[Annotated[str, Field(pattern="^[a-z]{2,3}$")], tuple[Line, ...]], Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_OWN = {
    "pattern": ("pattern",),
    "date": ("earliest", "latest"),
    "choice": ("choices",),
    "number": ("least", "most", "whole"),
    "text": ("longest",),
}
"""Kind -> the settings that only it has."""
_NUMBER = re.compile(rf"[-+]?\d[\d,]*(?:\.\d+)?\s*(?:{'|'.join(sorted(HAN, key=len, reverse=True))})?")
_SMALL = {one: at for at, one in enumerate("零一二三四五六七八九十")} | {"两": 2}
_SMALL_EN = {
    one: at
    for at, one in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
}
_HAN_NUMBER = re.compile(r"[零一二两三四五六七八九十]+")
_PLACE = re.compile(
    r"(?:我?(?:选择?|要)|第|option|number|no\.?|the)?\s*(\d{1,2}|[一二两三四五六七八九十]|one|two|three|four|five|first|second|third)\s*"
    r"(?:个|号|项|种|one|option)?[.。!！]?"
)
_ORDINALS = {"first": 1, "second": 2, "third": 3}
_NOT = r"(?:不要?|别|不想要?|不是|not?|don't want(?: a| the)?|without)\s*"


class ChoiceSettings(Settings):
    """One of several things that may be chosen."""

    value: Annotated[str, Field(min_length=1, max_length=200)]
    """What the webhook is told."""
    words: Words
    """Language -> what customers call it, the first as it is shown."""


class FieldSettings(Settings):
    """Something that an action must know before it can be done."""

    name: Name
    """What the webhook and the templates call it."""
    kind: Literal["pattern", "date", "choice", "number", "text"]
    """What it is: a text of one form, a day, one of several, a number, or any text."""
    ask: Texts
    """The question that asks for it."""
    again: Texts | None = None
    """What is said where an answer was not understood, before the question; left out, that it was not."""
    pattern: Annotated[str, Field(max_length=500)] = ""
    """Of a pattern: its regular expression, tried on the message whatever its case and width."""
    earliest: int | None = None
    """Of a date: the first day allowed, in days from today."""
    latest: int | None = None
    """Of a date: the last day allowed, in days from today."""
    choices: tuple[ChoiceSettings, ...] = ()
    """Of a choice: what may be chosen."""
    least: float | None = None
    """Of a number: the least allowed."""
    most: float | None = None
    """Of a number: the most allowed."""
    whole: bool = False
    """Of a number: whether only whole ones are allowed."""
    longest: Annotated[int, Field(ge=1, le=8_000)] = 1_000
    """Of a text: characters that are allowed."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> FieldSettings:
        others = {name: kind for kind, names in _OWN.items() for name in names if kind != self.kind}
        if stray := sorted(self.model_fields_set & set(others)):
            raise SettingError(
                message("actions.of_another_kind", field=self.name, kind=others[stray[0]]),
                found=stray[0],
                allowed=_OWN[self.kind],
            )
        if self.kind == "choice" and len(self.choices) < 2:
            raise SettingError(message("actions.two_choices", field=self.name), found=len(self.choices))
        if self.kind == "pattern":
            try:
                if not self.pattern or re.compile(self.pattern).fullmatch(""):
                    raise SettingError(message("actions.needs_pattern", field=self.name), found=self.pattern)
            except re.error as error:
                raise SettingError(
                    message("actions.needs_pattern", field=self.name), found=f"{self.pattern} ({error})"
                ) from None
        return self

    @property
    def direction(self) -> Direction:
        """Return which year is meant where a date names none."""
        if self.earliest is not None and self.earliest >= 0:
            return "ahead"
        return "back" if self.latest is not None and self.latest <= 0 else "near"


def text_of(texts: Mapping[str, str], language: str) -> str:
    """Return a text in a language; English, or else the first, where it is not written in it."""
    return texts.get(language) or texts.get("en") or next(iter(texts.values()))


def question(field: FieldSettings, language: str) -> str:
    """Return what asks for a field, with the choices that there are."""
    if field.kind != "choice":
        return text_of(field.ask, language)
    listed = (f"{number}. {_shown(one, language)}" for number, one in enumerate(field.choices, 1))
    return f"{text_of(field.ask, language)}\n{'  '.join(listed)}"


def shown(field: FieldSettings, value: str, language: str) -> str:
    """Return a value as people read it."""
    if field.kind == "choice":
        return next((_shown(one, language) for one in field.choices if one.value == value), value)
    return value


def as_sent(field: FieldSettings, value: str) -> str | int | float:
    """Return a value as the webhook is told it: a number is one."""
    if field.kind != "number":
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


def value_in(field: FieldSettings, text: str, today: date, language: str) -> str | None:
    """Return what a message says of a field; None where it says nothing that is allowed, or two things.

    Args:
        field: what is asked for.
        text: the message.
        today: where the customer's desk is.
        language: of the conversation.
    """
    form = " ".join(unicodedata.normalize("NFKC", text).split())
    if field.kind == "text":
        kept = "".join(one for one in text.strip() if one in "\n\t" or unicodedata.category(one) != "Cc")
        return kept if 0 < len(kept) <= field.longest else None
    form = form[:LONGEST]
    if field.kind == "date":
        return _date(field, form, today, language)
    found: set[str]
    if field.kind == "pattern":
        whole = rf"(?<![0-9A-Za-z])(?:{field.pattern})(?![0-9A-Za-z])"
        found = {one[0] for one in re.finditer(whole, form, re.IGNORECASE)}
    elif field.kind == "choice":
        found = _chosen(field, form)
    else:
        found = {_plainly(one) for one in _numbers(form) if _within(one, field)}
    return found.pop() if len(found) == 1 else None


def _date(field: FieldSettings, form: str, today: date, language: str) -> str | None:
    found = day_in(form, today, language, field.direction)
    if found is None:
        return None
    days = (found - today).days
    early = field.earliest is not None and days < field.earliest
    return None if early or (field.latest is not None and days > field.latest) else found.isoformat()


def _shown(one: ChoiceSettings, language: str) -> str:
    words = one.words.get(language) or one.words.get("en") or next(iter(one.words.values()))
    return words[0]


def _chosen(field: FieldSettings, form: str) -> set[str]:
    """Return the values of the choices that a message names, by their words or by a number alone."""
    if place := _PLACE.fullmatch(form.casefold().strip()):
        word = place[1]
        number = int(word) if word.isdigit() else _SMALL.get(word) or _SMALL_EN.get(word) or _ORDINALS.get(word, 0)
        return {field.choices[number - 1].value} if 1 <= number <= len(field.choices) else set()
    text = plain(form)
    spans = [
        (one.value, word)
        for one in field.choices
        for words in one.words.values()
        for word in map(plain, words)
        if _stands(word, text)
    ]
    # Of "return" and "return label" the longer one is meant where it stands.
    return {value for value, word in spans if not any(word != other and word in other for _, other in spans)}


def _stands(word: str, text: str) -> bool:
    """Return whether a choice's word stands in a message somewhere, and is not refused there."""
    edge = r"(?<![a-z0-9])", r"(?![a-z0-9])"
    pattern = rf"{edge[0]}{re.escape(word)}{edge[1]}" if word.isascii() else re.escape(word)
    places = len(re.findall(pattern, text))
    return places > len(re.findall(rf"{_NOT}{pattern}", text))


def _numbers(form: str) -> list[float]:
    found = [one[0] for one in _NUMBER.finditer(form)]
    if found:
        values = []
        for one in found:
            with suppress(ValueError):
                number = number_of(one, Style())
                values += [number.value] if number else []
        return values
    words = [_SMALL_EN[one] for one in re.findall(r"[a-z]+", form.casefold()) if one in _SMALL_EN]
    han = [_han(one) for one in _HAN_NUMBER.findall(simplified(form))]
    return [float(one) for one in (*words, *han)]


def _han(word: str) -> int:
    """Return a Chinese number below a hundred.

    >>> _han("十二"), _han("二十"), _han("三十五"), _han("两")
    (12, 20, 35, 2)
    """
    tens, ten, ones = word.rpartition("十")
    if not ten:
        return int("".join(str(_SMALL[one]) for one in word))
    return (_han(tens) if tens else 1) * 10 + (_han(ones) if ones else 0)


def _within(number: float, field: FieldSettings) -> bool:
    if field.whole and not number.is_integer():
        return False
    return (field.least is None or number >= field.least) and (field.most is None or number <= field.most)


def _plainly(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
