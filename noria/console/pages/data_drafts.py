"""Several labels of a text, or spans of it, as a person puts them together before the row is given them; and a text with its spans marked.

draft = Spans("我在北京工作", [])
draft.put("地名", (2, 4))                # True; where nothing was chosen, False
draft.value                             # [{"start": 2, "end": 4, "label": "地名"}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol

from noria.tasks.tag import Span

At = tuple[int, int]
"""Characters that are chosen, from one to before another; equal where none is."""
_COLOURS = 4


class Draft(Protocol):
    """What a row may be given, not given yet."""

    value: list[Any]

    def put(self, label: str, at: At) -> bool:
        """Bring a label in; return whether that could be done."""
        ...

    def drop(self, at: At) -> None:
        """Take away what stands where characters are chosen."""
        ...

    def parts(self) -> list[tuple[str, str]]:
        """Return what is held, each with its text and its label."""
        ...


class Several:
    """Labels of a text, of which it may have several or none."""

    def __init__(self, value: Sequence[str]) -> None:
        self.value = list(value)

    def put(self, label: str, at: At = (0, 0)) -> bool:
        """Put a label on the text, or take it off where it is there."""
        self.value = [one for one in self.value if one != label] if label in self.value else [*self.value, label]
        return True

    def drop(self, at: At = (0, 0)) -> None:
        """Take the last label off."""
        self.value = self.value[:-1]

    def parts(self) -> list[tuple[str, str]]:
        """Return the labels."""
        return [("", label) for label in self.value]


class Spans:
    """Labelled parts of a text, none over another."""

    def __init__(self, text: str, value: Sequence[Span]) -> None:
        self.text, self.value = text, list(value)

    def put(self, label: str, at: At) -> bool:
        """Label the characters that are chosen, without white space at their ends, in the place of what stood over any of them."""
        start, end = max(0, at[0]), max(0, min(at[1], len(self.text)))
        under = self.text[start:end]
        bare = under.strip()
        if not bare:
            return False
        start += len(under) - len(under.lstrip())
        end = start + len(bare)
        kept = [one for one in self.value if one["end"] <= start or end <= one["start"]]
        self.value = sorted([*kept, {"start": start, "end": end, "label": label}], key=lambda one: int(one["start"]))
        return True

    def drop(self, at: At) -> None:
        """Take the label off every part of which a character is chosen; where none is, off that in which the caret stands, or at whose end."""
        first, last = at
        self.value = [
            one
            for one in self.value
            if not (one["start"] < last and first < one["end"] if first < last else one["start"] <= first <= one["end"])
        ]

    def parts(self) -> list[tuple[str, str]]:
        """Return the parts with their labels."""
        return [(self.text[one["start"] : one["end"]], one["label"]) for one in self.value]


def marked_html(text: str, spans: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    """Return a text as HTML, its spans marked, each kind in its colour; its characters are those of the text, one by one.

    A label stands in an attribute that the style sheet shows: what is chosen in the text counts its own characters alone.
    """
    parts, done = [], 0
    for span in spans:
        start, end, label = span["start"], span["end"], str(span["label"])
        if start < done or not start < end <= len(text):
            continue  # of a file that no reader checked
        kind = labels.index(label) % _COLOURS if label in labels else 0
        named = f'class="kind-{kind}" data-kind="{escape(label, quote=True)}"'
        parts.append(f"{_exact(text[done:start])}<mark {named}>{_exact(text[start:end])}</mark>")
        done = end
    return "".join([*parts, _exact(text[done:])])


def _exact(text: str) -> str:
    """Return a text escaped so that a browser keeps its carriage returns, which it would read as line feeds."""
    return escape(text).replace("\r", "&#13;")
