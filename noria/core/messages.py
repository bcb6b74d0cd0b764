"""What people read, in their language: a message is a code with values, and a catalogue for each language renders it.

    told = message("figures.day", count=3)
    told, told["zh"]                                      # 'day 3', '第 3 天'

The catalogues are `noria/locale/LANGUAGE/NAME.toml`; a code's first part is the catalogue's name, the rest the key in it, and
`{epochs:.0%}` in a text stands for a value. A value may be a message itself. A catalogue is read when a message of it is first
rendered, once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, SupportsIndex

Language = Literal["en", "zh"]
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}
"""Code -> the name by which its own speakers look for it."""
CATALOGUES = Path(__file__).resolve().parents[1] / "locale"
ENVIRONMENT = ("NORIA_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a terminal's language is looked for: the first that is set decides."""


class Message(str):
    """One thing to tell people: in English where it is used as a text, `told["zh"]` in another language."""

    __slots__ = ("code", "parts", "values")
    code: str
    values: Mapping[str, object]
    parts: tuple[object, ...]
    """Where there are any, the message is these, with the code's text between them."""

    def __new__(cls, code: str, values: Mapping[str, object] | None = None, parts: tuple[object, ...] = ()) -> Message:
        """Return the message of a code.

        Raises:
            KeyError: the catalogues have no such code, or a value that its text names was not given.
        """
        made = super().__new__(cls, _text(code, values or {}, parts, "en"))
        made.code, made.values, made.parts = code, dict(values or {}), parts
        return made

    def __getitem__(self, key: SupportsIndex | slice | str) -> str:
        """Return the text in a language, told by its code; of anything else what it gives of any text."""
        if isinstance(key, str):
            return _text(self.code, self.values, self.parts, key)
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, (self.code, self.values, self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict, from which `message_of` makes the message again."""
        found: dict[str, Any] = {
            "code": self.code,
            "values": {name: _kept(value) for name, value in self.values.items()},
        }
        return found | ({"parts": [_kept(part) for part in self.parts]} if self.parts else {})

    def both(self) -> dict[str, str]:
        """Return the text in every language, as result files hold it."""
        return {language: self[language] for language in LANGUAGES}


def message(code: str, /, **values: object) -> Message:
    """Return the message of a code with its values."""
    return Message(code, values)


def message_of(kept: Mapping[str, Any]) -> Message:
    """Return the message that `as_dict` gave this value for.

    Raises:
        KeyError: the catalogues have no such code, as of a message that a newer version kept.
    """
    values = {name: _unkept(value) for name, value in kept["values"].items()}
    return Message(kept["code"], values, tuple(_unkept(part) for part in kept.get("parts", ())))


def line_of(record: Mapping[str, Any]) -> Message:
    """Return what a record says in its `line`: in every language where it keeps that as a message, too, of a code that is known."""
    if isinstance(record.get("message"), Mapping):
        with suppress(KeyError):  # of another version: its English text stands
            return message_of(record["message"])
    return as_is(record["line"])


def joined(code: str, parts: Iterable[object]) -> Message:
    """Return several messages as one, with the text of `code` between them; nothing at all is an empty text.

    >>> joined("join.list", ["a", "b"])["zh"]
    'a、b'
    """
    parts = tuple(parts)
    return Message(code, parts=parts) if parts else as_is("")


def as_is(text: object) -> Message:
    """Return a name of the data, which reads the same in every language."""
    return message("join.as_is", text=text)


def term(text: str) -> Message:
    """Return the message of a fixed word of a result (a name, a unit, a label), in English as it is; of any other text itself.

    >>> term("rows in")["zh"], term("tokens_per_second")["zh"]
    ('输入行数', 'tokens per second')
    """
    if isinstance(text, Message):
        return text
    text = text.replace("_", " ")
    return Message(f"terms.{text}") if f"terms.{text}" in catalogue("en", "terms") else as_is(text)


def name_of(text: str) -> Message:
    """Return what a fixed word is called where it stands alone: of a task, an application; of any other word the word.

    >>> name_of("tag"), name_of("rows")
    ('named entities', 'rows')
    """
    if isinstance(text, Message):
        return text
    text = text.replace("_", " ")
    return Message(f"names.{text}") if f"names.{text}" in catalogue("en", "names") else term(text)


def key_name(key: str) -> Message:
    """Return what a key of the data is called where it is a word, as of a language or a topic; an identifier stays as it is.

    >>> key_name("zh"), key_name("my_topic"), key_name("hotel")["zh"]
    ('Chinese', 'my_topic', '酒店')
    """
    known = next((name for name in ("names", "terms") if f"{name}.{key}" in catalogue("en", name)), "")
    return Message(f"{known}.{key}") if known else as_is(key)


def environment_language(environ: Mapping[str, str] = os.environ) -> Language:
    """Return the language that a terminal's environment asks for: Chinese or, failing that, English.

    >>> environment_language({"LANG": "zh_CN.UTF-8"}), environment_language({"NORIA_LANG": "en", "LANG": "zh_CN.UTF-8"})
    ('zh', 'en')
    """
    chosen = next((environ[name] for name in ENVIRONMENT if environ.get(name)), "")
    return "zh" if chosen.lower().startswith("zh") else "en"


def for_terminal(text: str) -> str:
    """Return a message in the language that the terminal's environment asks for; any other text as it is."""
    return text[environment_language()] if isinstance(text, Message) else text


@cache
def catalogue(language: str, name: str) -> Mapping[str, str]:
    """Return every text of a catalogue, by code.

    Raises:
        KeyError: there is no such language or catalogue.
    """
    path = CATALOGUES / language / f"{name}.toml"
    if not path.is_file():
        raise KeyError(f"{name} ({language})")
    return dict(_flat(name, tomllib.loads(path.read_text(encoding="utf-8"))))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value


def _text(code: str, values: Mapping[str, object], parts: tuple[object, ...], language: str) -> str:
    text = catalogue(language, code.partition(".")[0])[code]
    if parts:
        return text.join(str(_rendered(part, language)) for part in parts)
    return text.format_map({name: _rendered(value, language) for name, value in values.items()})


def _rendered(value: object, language: str) -> object:
    return value[language] if isinstance(value, Message) else value


def _kept(value: object) -> object:
    if isinstance(value, Message):
        return value.as_dict()
    return value if isinstance(value, str | int | float | None) else str(value)


def _unkept(value: object) -> object:
    return message_of(value) if isinstance(value, Mapping) else value
