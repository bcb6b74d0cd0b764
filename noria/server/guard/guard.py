"""What goes in and what comes out, checked: blocked words, personal data, marks of prompt injection, a classifier's word.

Each rule is off, counts, masks or blocks. What was found is counted by rule and never kept; a blocked text is told by the
name of its rule alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.settings import Settings
from noria.server.errors import ApiError
from noria.text.encoding import decoded
from noria.text.lines import numbered_lines

if TYPE_CHECKING:
    from noria.text.personal_data import Find

Action = Literal["off", "count", "mask", "block"]
Side = Literal["input", "output"]
_MOST_WORDS = 100_000
_REMARK = re.compile(r"(^|\s)#.*$", re.DOTALL)
_HELD = 64
"""Characters of a stream kept back while personal data may still be half said: the longest phone number or card has 25."""


class GuardSettings(Settings):
    """What is done about what the guard finds. Each of the actions is off, count, mask or block."""

    words: Path | None = None
    """File of words that are not let through, one a line; # begins a remark, but not inside a word such as C#."""
    on_words: Action = "block"
    """What is done about them."""
    personal: Action = "count"
    """What is done about personal data: phone numbers, identity cards, bank cards, addresses."""
    injection: Literal["off", "count", "block"] = "count"
    """What is done about words that try to undo a model's instructions; only what comes in is looked at."""
    model: str | None = None
    """Name of a served classifier that is asked about every text that comes in, and every whole one that goes out."""
    labels: tuple[str, ...] = ("unsafe",)
    """Labels of it that are not let through."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which a label counts."""
    on_label: Literal["count", "block"] = "block"
    """What is done about them."""


@dataclass(frozen=True)
class Finding:
    """A rule's hit: its name and place, never its words."""

    rule: str
    """word, personal/EMAIL, injection/override, label/unsafe ..."""
    start: int
    end: int
    action: Action
    score: float = 1.0


class Guard:
    """The rules of one server.

    Args:
        settings: see `GuardSettings`.
        personal: finds personal data; without it that rule finds nothing.

    Raises:
        InputError: the file of words is missing, empty or no text.
    """

    def __init__(
        self, settings: GuardSettings | None = None, personal: Callable[[str], Sequence[Find]] | None = None
    ) -> None:
        self.settings = settings or GuardSettings()
        self._personal = personal
        # Its patterns take 40 ms to be made, which commands that only name the settings must not pay.
        from .injection import find_injections

        self._marks = find_injections
        self._plain, self._joined = _patterns(_read_words(self.settings.words) if self.settings.words else [])
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """(rule, side, action) -> how often."""

    @property
    def holds(self) -> int:
        """Return how many characters of a stream are kept back; 0 where nothing that goes out is changed or blocked."""
        words = self.settings.on_words in ("mask", "block") and (self._plain or self._joined)
        personal = self.settings.personal in ("mask", "block") and self._personal
        return _HELD if words or personal else 0

    def find(self, text: str, side: Side = "input") -> list[Finding]:
        """Return what the rules find in a text, in order; rules that are off find nothing."""
        settings, found = self.settings, []
        if settings.on_words != "off" and (self._plain or self._joined):
            found += [Finding("word", start, end, settings.on_words) for start, end in self._words(text)]
        if settings.personal != "off" and self._personal:
            found += [
                Finding(f"personal/{one.kind}", one.start, one.end, settings.personal) for one in self._personal(text)
            ]
        if settings.injection != "off" and side == "input":
            found += [
                Finding(f"injection/{one.kind}", one.start, one.end, settings.injection, one.score)
                for one in self._marks(text)
            ]
        return sorted(found, key=lambda one: (one.start, one.end))

    def labelled(self, scores: dict[str, float], length: int) -> list[Finding]:
        """Return what a classifier's scores say of a text of so many characters."""
        settings = self.settings
        return [
            Finding(f"label/{label}", 0, length, settings.on_label, scores[label])
            for label in settings.labels
            if scores.get(label, 0.0) >= settings.threshold
        ]

    def count(self, found: Sequence[Finding], side: Side) -> None:
        """Count findings by rule."""
        for one in found:
            self.counts[one.rule, side, one.action] += 1

    def enter(self, text: str, extra: Sequence[Finding] = (), param: str = "input") -> str:
        """Return a text that comes in as it may be used: as it is, or masked.

        Raises:
            ApiError: a rule blocks it (400, content_filter); its name is told and nothing of the text.
        """
        return self.judge(text, [*self.find(text), *extra], param)

    def judge(self, text: str, found: Sequence[Finding], param: str = "input") -> str:
        """Return a text in which so much was found as it may be used; else like `enter`."""
        self.count(found, "input")
        if blocked := sorted({one.rule for one in found if one.action == "block"}):
            raise ApiError(
                400, f"the text is not let through: {', '.join(blocked)}", param=param, code="content_filter"
            )
        return masked(text, found)

    def _words(self, text: str) -> list[tuple[int, int]]:
        places = []
        if self._plain:
            folded, origin = fold(text)
            places += [(origin[hit.start()], origin[hit.end() - 1] + 1) for hit in self._plain.finditer(folded)]
        if self._joined:
            folded, origin = fold(text, squeeze=True)
            places += [(origin[hit.start()], origin[hit.end() - 1] + 1) for hit in self._joined.finditer(folded)]
        return places


class Stream:
    """What goes out piece by piece, let through only once it is certain."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._holds = guard.holds
        self._held = ""
        self._before = ""
        self.blocked = False
        """A rule ended the stream; nothing more is let through."""

    def feed(self, text: str) -> str:
        """Return what may go out now."""
        if not self._holds or self.blocked:
            return "" if self.blocked else text
        self._held += text
        return self._let(len(self._held) - self._holds)

    def flush(self) -> str:
        """Return what was kept back, at the end."""
        if not self._holds or self.blocked:
            return ""
        return self._let(len(self._held))

    def _let(self, border: int) -> str:
        if border <= 0:
            return ""
        start = len(self._before)
        found = [one for one in self._guard.find(self._before + self._held, "output") if one.start >= start]
        # A finding that reaches over the border waits until it is whole.
        border = min([border, *(one.start - start for one in found if one.end - start > border)])
        done = [one for one in found if one.end - start <= border]
        self._guard.count(done, "output")
        first = next((one.start - start for one in done if one.action == "block"), None)
        if first is not None:
            self.blocked = True
            border = first
        said = self._held[:border]
        told = masked(said, [_moved(one, -start) for one in done if one.end - start <= border])
        self._before = (self._before + said)[-_HELD:]
        self._held = self._held[border:]
        return told


def masked(text: str, found: Sequence[Finding]) -> str:
    """Return a text with what rules mask replaced by the rule's name, as in <EMAIL>."""
    parts, last = [], 0
    for one in sorted(found, key=lambda one: one.start):
        if one.action == "mask" and one.start >= last:
            parts += [text[last : one.start], f"<{one.rule.rpartition('/')[2].upper()}>"]
            last = one.end
    return "".join([*parts, text[last:]])


def fold(text: str, *, squeeze: bool = False) -> tuple[str, list[int]]:
    """Return a text without differences of case, width and hidden characters, and where each character of it came from.

    With `squeeze` blanks and punctuation go too: Chinese words are hidden by putting them between characters.
    """
    folded, origin = [], []
    for place, character in enumerate(text):
        if unicodedata.category(character) in ("Cf", "Mn", "Cc") and not character.isspace():
            continue
        for plain in unicodedata.normalize("NFKC", character).casefold():
            if not squeeze or plain.isalnum():
                folded.append(plain)
                origin.append(place)
    return "".join(folded), origin


def _patterns(words: Sequence[str]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Return one pattern for words of letters, whole ones, and one for words with Chinese characters, anywhere."""
    plain: set[str] = set()
    joined: set[str] = set()
    for word in words:
        chinese = re.search(r"[\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]", word)
        folded = fold(word, squeeze=bool(chinese))[0].strip()
        if folded:
            (joined if chinese else plain).add(folded)

    def any_of(known: set[str]) -> str:
        return "|".join(re.escape(word) for word in sorted(known, key=lambda word: (-len(word), word)))

    return (
        re.compile(rf"(?<!\w)(?:{any_of(plain)})(?!\w)") if plain else None,
        re.compile(any_of(joined)) if joined else None,
    )


def _moved(one: Finding, by: int) -> Finding:
    return Finding(one.rule, one.start + by, one.end + by, one.action, one.score)


def _read_words(path: Path) -> list[str]:
    try:
        text = decoded(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(message("server.file_blocked_words"), found=str(path)) from None
    words = [word for _, line in numbered_lines(text) if (word := _REMARK.sub("", line).strip())]
    if not 1 <= len(words) <= _MOST_WORDS:
        raise InputError(
            message("server.file_blocked"),
            found=message("server.words", words=len(words)),
            allowed=message("server.to", most_words=_MOST_WORDS),
        )
    return words
