"""Labels as people write them: what only looks different is one label, and what was joined is reported.

one_label(" 好评\u200b"), one_label(1.0), one_label("True")      # "好评", "1", "true"
names = Joined(); names.take(" 好评"); names.lines()             # what was joined under which name
separator_of(["物流|价格", "质量"])                               # "|"
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from noria.core.messages import Message, as_is, joined, message

# Marks that nobody sees: zero-width spaces, byte-order marks, soft hyphens, directions, and controls.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0e-\x1b\x7f]")
_JOINERS = "\u200c\u200d"
"""Zero-width joiners hold an emoji or a Persian word together inside; at an end they hold nothing."""
_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_TRUTHS = {"true": "1", "false": "0"}
STRONG = ("|", "｜", "；", "﹔", ";", "、", "\n")
"""Marks that stand between labels wherever they stand in a cell."""
WEAK = ("，", ",")
"""Marks that may belong to a label."""
_SHOWN = 5


def one_label(value: object) -> str | None:
    """Return a label's one name, or None where there is none: null, or a number that is none or has no end.

    Outer and doubled blanks, invisible marks, composed and decomposed letters, full-width letters and digits, 1.0 for 1,
    and True for true make no other label. A blank label stays blank, for the task to refuse.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        return str(value)
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", value)).translate(_WIDE)
    text = " ".join(text.split()).strip(_JOINERS).strip()
    if whole := _WHOLE.fullmatch(text):
        return whole[1]
    return text.lower() if text.lower() in _TRUTHS else text


def same_label(value: object) -> object:
    """Return what two labels share exactly where they are the same label, to compare by: of true and 1 the same, too."""
    if isinstance(value, list):
        return tuple(sorted(str(same_label(one)) for one in value))
    name = one_label(value)
    return None if name is None else _TRUTHS.get(name, name)


@dataclass
class Joined:
    """Names of labels in a file, and the ways in which each was written."""

    known: Mapping[str, str] = field(default_factory=dict)
    """One name -> the name that a model has for it."""
    spellings: dict[str, Counter[str]] = field(default_factory=dict)
    _names: dict[tuple[type, object], tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def for_labels(cls, labels: Iterable[str]) -> Joined:
        """Return names that keep to those a model already has."""
        return cls({str(one_label(label)): label for label in labels})

    def take(self, value: object) -> object:
        """Return the name of a label, and remember how it was written; what is no label is given back as it is."""
        if isinstance(value, list | dict):
            return value
        found = self._names.get((type(value), value))
        if found is None:
            name = one_label(value)
            if name is None:
                return None
            found = self._names[type(value), value] = (self.known.get(name, name), _shown(value))
        self.spellings.setdefault(found[0], Counter())[found[1]] += 1
        return found[0]

    def truths(self) -> dict[str, str]:
        """Return true -> 1 and false -> 0 where a file writes both ways and has no other label; else nothing."""
        names = {name for name in self.spellings if name}
        both = names & set(_TRUTHS) and names & set(_TRUTHS.values())
        return {name: _TRUTHS[name] for name in _TRUTHS} if both and names <= {*_TRUTHS, *_TRUTHS.values()} else {}

    def lines(self) -> list[Message]:
        """Return what was joined, a line a label, and which labels differ by case alone."""
        spellings = dict(self.spellings)
        for name, one in self.truths().items():
            if name in spellings:
                spellings[one] = spellings.get(one, Counter()) + spellings.pop(name)
        told = [
            message(
                "work.joined",
                spellings=_listed([f"{way} ({count:,})" for way, count in written.most_common()]),
                label=repr(name),
            )
            for name, written in spellings.items()
            if len(written) > 1
        ]
        cases: dict[str, list[str]] = {}
        for name in spellings:
            cases.setdefault(_letters(name), []).append(name)
        for names in cases.values():
            if len(names) > 1:
                cased = len({name.casefold() for name in names}) == 1
                listed = _listed([repr(name) for name in names])
                told.append(message("work.kept_apart.case" if cased else "work.kept_apart.marks", labels=listed))
        return told


def _letters(name: str) -> str:
    """Return what is left of a label without case, blanks, punctuation and leading zeros; all of it where nothing is."""
    bare = "".join(one for one in unicodedata.normalize("NFKC", name).casefold() if one.isalnum() or one in "+-#&/")
    return (bare.lstrip("0") or bare or name) if bare.isdigit() else bare or name


def separator_of(cells: Iterable[str]) -> str:
    """Return the marks at which cells of several labels are to be cut, as a class of characters; "" where there are none.

    | ; ； 、 and line breaks always divide. A comma divides unless the cells speak against it: each that holds one comes
    again and again as it is, and shares no part with another.
    """
    counts = Counter(cells)
    strong = "".join(mark for mark in STRONG if any(mark in cell for cell in counts))
    pattern = re.compile("[" + re.escape(strong) + "]") if strong else None
    pieces: Counter[str] = Counter()
    for cell, count in counts.items():
        for piece in pattern.split(cell) if pattern else [cell]:
            pieces[piece.strip()] += count
    weak = "".join(mark for mark in WEAK if any(mark in piece for piece in pieces))
    if not weak:
        return strong
    held: Counter[str] = Counter()
    commas = [piece for piece in pieces if set(piece) & set(weak)]
    for piece in pieces:
        held.update({part.strip() for part in re.split("[" + weak + "]", piece) if part.strip()})
    shared = any(
        held[part.strip()] > 1 for piece in commas for part in re.split("[" + weak + "]", piece) if part.strip()
    )
    repeated = all(pieces[piece] > 2 for piece in commas)
    return strong if repeated and not shared else strong + weak


def parts_of(cell: str, separators: str) -> list[str]:
    """Return the labels of a cell, cut at the separators; blank ones are left out."""
    pieces = re.split("[" + re.escape(separators) + "]", cell) if separators else [cell]
    return [piece.strip() for piece in pieces if piece.strip()]


def counted(labels: Iterable[str], rare: int = 5, most: int = 10) -> str:
    """Return labels with their counts in words, the most frequent first, those below `rare` named beside them."""
    found = Counter(labels).most_common()
    seldom = [(name, count) for name, count in found if count < rare]
    often = [(name, count) for name, count in found if count >= rare] or found
    line = ", ".join(f"{name} {count:,}" for name, count in often[:most])
    line += f" and {len(often) - most:,} more" if len(often) > most else ""
    if seldom and seldom != often:
        names = ", ".join(f"{name} {count:,}" for name, count in seldom[:most])
        line += f"; rare: {names}" + (f" and {len(seldom) - most:,} more" if len(seldom) > most else "")
    return line


def _shown(value: object) -> str:
    """Return a label as it was written, so that what nobody sees is seen."""
    if not isinstance(value, str):
        return str(value)
    plain = "".join(
        one if one.isprintable() and (one == " " or not one.isspace()) else f"\\u{ord(one):04x}" for one in value
    )
    decomposed = unicodedata.normalize("NFC", value) != value
    return f"{plain!r}".replace("\\\\u", "\\u") + (" (decomposed)" if decomposed else "")


def _listed(names: Sequence[str]) -> Message:
    more = [message("work.more", count=len(names) - _SHOWN)] if len(names) > _SHOWN else []
    *most, last = [*(as_is(name) for name in names[:_SHOWN]), *more]
    return joined("join.and", [joined("join.list", most), last]) if most else last
