"""Calls of tools read back from a model's text, as it comes: what is said, and what is called.

reader = CallReader(form, names)
reader.feed(piece)    # [Plain("..."), Begun(0, "weather"), Argued(0, '{"city"'), ...]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .tools import ID, CallForm


@dataclass(frozen=True)
class Plain:
    """Text that is no call."""

    text: str


@dataclass(frozen=True)
class Begun:
    """A call begins."""

    index: int
    name: str


@dataclass(frozen=True)
class Argued:
    """Some more of a call's arguments, as JSON."""

    index: int
    text: str


Event = Plain | Begun | Argued


class CallReader:
    """Reads a model's text as it comes: what is said, and calls.

    Args:
        form: of the model's template.
        names: of the tools that may be called; what is no call of one of them is said.
        specials: names of special tokens, which the text that comes does not hold.
    """

    def __init__(self, form: CallForm, names: Iterable[str], specials: Iterable[str] = ()) -> None:
        hidden = [name for name in specials if name]
        self._opening, self._middle, self._between, self._closing = (
            _squeezed(part or "", hidden) for part in (form.opening, form.middle, form.between, form.closing)
        )
        self._names = frozenset(names)
        self._first_only = not self._opening.split("{")[0]
        """A call is told from JSON that is said only by its being the first thing in a turn."""
        self._read, self._held, self._opened, self._spoken = self._text, "", "", False
        self._scan = _Scan()
        self.calls = 0
        """Calls that are whole."""

    def feed(self, text: str) -> list[Event]:
        """Return what is certain with some more text."""
        self._held += text
        events: list[Event] = []
        while self._held and self._read(events):
            pass
        return events

    def close(self) -> list[Event]:
        """Return what was held back, once no more comes."""
        events: list[Event] = []
        if self._read in (self._text, self._name):
            self._pass(self._opened + self._held, events)
        self._held = self._opened = ""
        return events

    def _text(self, events: list[Event]) -> bool:
        """Say what opens no call, up to where one may be opened."""
        blank = len(self._held) - len(self._held.lstrip())
        places = range(blank, len(self._held)) if not (self._first_only and self._spoken) else ()
        for place in places[:1] if self._first_only else places:
            end = _met(self._held, place, self._opening)
            if end is not None:
                said = len(self._held[:place].rstrip())
                self._pass(self._held[:said], events)
                if end:
                    self._opened, self._held, self._read = self._held[said:end], self._held[end:], self._name
                else:
                    self._held = self._held[said:]
                return bool(end)
        if self._held.strip():
            self._pass(self._held, events)
            self._held = ""
        return False

    def _name(self, events: list[Event]) -> bool:
        """Read the name of a call; what only looks like one is said."""
        wait = False
        for name in sorted(self._names, key=len, reverse=True):
            wait = wait or name.startswith(self._held)
            if self._held.startswith(name):
                end = _met(self._held, len(name), self._middle)
                if end:
                    events.append(Begun(self.calls, name))
                    self._held, self._opened, self._scan = self._held[end:], "", _Scan()
                    self._read = self._arguments
                    return True
                wait = wait or end == 0
        if not wait:
            self._pass(self._opened, events)
            self._opened, self._read = "", self._text
        return not wait

    def _arguments(self, events: list[Event]) -> bool:
        """Pass a call's arguments on until they are whole."""
        if not self._scan.begun:
            self._held = self._held.lstrip()
        end = self._scan.end(self._held)
        events.append(Argued(self.calls, self._held[:end]))
        self._held = self._held[end:]
        if self._scan.whole:
            self.calls, self._read = self.calls + 1, self._behind
        return self._scan.whole

    def _behind(self, events: list[Event]) -> bool:
        """Pass over what stands between two calls, or closes the last."""
        end = _met(self._held, 0, self._between) if self._between else None
        if end:
            self._opened, self._held, self._read = self._held[:end], self._held[end:], self._name
            return True
        closed = _met(self._held, 0, self._closing)
        if end is None and closed != 0:
            self._held, self._read = self._held[closed or 0 :], self._text
            return True
        return False

    def _pass(self, text: str, events: list[Event]) -> None:
        """Say a text; blanks round calls are none."""
        if text.strip() or (text and self._spoken and not self.calls):
            self._spoken = True
            events.append(Plain(text))


class _Scan:
    """Finds the end of a JSON object or list that comes piece by piece."""

    def __init__(self) -> None:
        self._depth, self._quoted, self._escaped = 0, False, False
        self.begun = self.whole = False

    def end(self, text: str) -> int:
        """Return how many characters of some more text still belong to it."""
        self.begun = self.begun or bool(text)
        for place, letter in enumerate(text):
            if self._quoted:
                self._quoted = self._escaped or letter != '"'
                self._escaped = letter == "\\" and not self._escaped
            elif letter == '"':
                self._quoted = True
            else:
                self._depth += (letter in "{[") - (letter in "}]")
                if self._depth <= 0 and not letter.isspace():
                    self.whole = True
                    return place + 1
        return len(text)


def _squeezed(text: str, hidden: Sequence[str]) -> str:
    for name in hidden:
        text = text.replace(name, "")
    return "".join(text.split())


def _met(text: str, start: int, wanted: str) -> int | None:
    """Return where `wanted` ends in a text from `start` on, blanks apart; 0: the text ends before; None: it is not there."""
    place = start
    for letter in wanted:
        while place < len(text) and (text[place].isspace() or (letter == ID and text[place].isalnum())):
            place += 1
        if letter == ID:
            continue
        if place == len(text):
            return 0
        if text[place] != letter:
            return None
        place += 1
    return place
