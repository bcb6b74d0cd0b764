"""Names that differ in nothing that can be meant: letter case, width, spaces, marks that nobody sees. One spelling for each.

one_spelling(Counter({"Control": 50, "control ": 50, "B": 9}))     # {'Control': 'Control', 'control ': 'Control', 'B': 'B'}
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping


def plain(name: str) -> str:
    """Return a name without what cannot be meant by it; a whole number written with a point is the whole number."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(mark for mark in folded if unicodedata.category(mark) != "Cf")
    told = " ".join(seen.split())
    return re.sub(r"^(-?\d+)\.0+$", r"\1", told)


def one_spelling(names: Mapping[str, int]) -> dict[str, str]:
    """Return for each name the spelling to use: of those that are alike the most frequent, and the first of equals.

    Args:
        names: name -> how often it stands, in order of appearance.
    """
    chosen: dict[str, str] = {}
    for name, count in names.items():
        key = plain(name)
        if key not in chosen or count > names[chosen[key]]:
            chosen[key] = name
    return {name: _trimmed(chosen[plain(name)]) for name in names}


def alike(spelling: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each spelling in use with the others that were joined to it, where there are any but outer blanks."""
    groups: dict[str, list[str]] = {}
    for name, used in spelling.items():
        if name != used:
            groups.setdefault(used, []).append(name)
    return groups


def _trimmed(name: str) -> str:
    seen = "".join(mark for mark in name if unicodedata.category(mark) != "Cf")
    return " ".join(seen.split())
