"""What a text says about one mention in it, as the two texts that a model reads: the text with the mention marked, and the words near it.

    about("Siemens rallied while Huhtamaki fell", "Huhtamaki")
    # ("Siemens rallied while @ Huhtamaki @ fell", "Siemens rallied while X fell")

Marks of punctuation tell a model that reads in order which mention is meant (Zhou and Chen 2022, "entity marker (punct)"); the words near
it, with another word in its place, are what a model of n-grams can learn from, which knows no order and should not learn names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .names import Place, cuts_word

MARK, STAND_IN = "@", "X"
BEFORE, AFTER = 0, 80
"""Characters of a text in letters that are near a mention, at most, before it and behind it. Of 0 to 150 and 40 to 200 these told most
of five folds of FinEntity's training rows (macro-F1 of n-grams 0.723, of 80 and 80 0.710)."""
BEFORE_CHINESE, AFTER_CHINESE = 8, 20
"""The same of a text in Chinese and the like, whose characters hold more: of 0 to 16 and 12 to 32, by constructed sentences about two
companies (F1 of n-grams 0.825, of 16 and 32 0.817)."""
PASSAGE, PASSAGE_CHINESE = 600, 160
"""Characters of the text that are read at most, of letters and of Chinese: those round the first mention, which no cut at a length then loses."""
MOST_PLACES = 8
"""Places of one mention that are marked at most."""
_STOP = re.compile(r"[。！？；!?;\n]|\.(?=\s|$)")
_CHINESE = "\u2e80"


def about(text: str, mention: str, places: Sequence[Sequence[int]] = ()) -> tuple[str, str]:
    """Return the text with a mention marked, and the words near it with `STAND_IN` in its place.

    Args:
        text: any text.
        mention: words of it; where they are not in it, the text and the mention are returned as they are.
        places: first and past-the-last character of each place that is meant; every place of the words where there are none.
    """
    known = sorted({(int(start), int(end)) for start, end in places if 0 <= start < end <= len(text)})
    found = (known or places_of(text, mention))[:MOST_PLACES]
    if not found:
        return text, mention
    most = PASSAGE_CHINESE if _is_chinese(text, *found[0]) else PASSAGE
    low = max(0, found[0][0] - most // 2) if len(text) > most else 0
    high = max(min(len(text), low + most), found[0][1])
    marked = _replaced(text, low, high, found, lambda words: f"{MARK} {words} {MARK}")
    near: list[Place] = []
    for start, end in (_near(text, *place) for place in found):
        if near and start <= near[-1][1]:
            near[-1] = (near[-1][0], max(end, near[-1][1]))
        else:
            near.append((start, end))
    parts = (_replaced(text, start, end, found, lambda words: STAND_IN).strip() for start, end in near)
    return marked, " … ".join(parts)


def places_of(text: str, mention: str) -> list[Place]:
    """Return where the words of a mention stand, in any casing: as whole words, or within others where they are nowhere else."""
    found = (
        [one.span() for one in re.finditer(re.escape(mention.strip()), text, re.IGNORECASE)] if mention.strip() else []
    )
    return [place for place in found if not any(cuts_word(text, at) for at in place)] or found


def is_within(text: str, mention: str) -> bool:
    """Return whether words are a mention in a text: a part of it that is shorter."""
    return 0 < len(mention.strip()) < len(text.strip()) and mention.strip().casefold() in text.casefold()


def _near(text: str, start: int, end: int) -> Place:
    """Return from where to where a text is near a place: within its sentence, and no word cut."""
    before, after = (BEFORE_CHINESE, AFTER_CHINESE) if _is_chinese(text, start, end) else (BEFORE, AFTER)
    low, high = max(0, start - before), min(len(text), end + after)
    stops = [one.end() for one in _STOP.finditer(text, low, start)]
    low = stops[-1] if stops else low
    stop = _STOP.search(text, end, high)
    high = stop.start() if stop else high
    while low < start and cuts_word(text, low):
        low += 1
    while high > end and cuts_word(text, high):
        high -= 1
    return low, high


def _is_chinese(text: str, start: int, end: int) -> bool:
    """Return whether a mention or what stands next to it is written in Chinese or the like."""
    return max(text[max(0, start - 1) : end + 1]) >= _CHINESE


def _replaced(text: str, low: int, high: int, places: Sequence[Place], shown: Callable[[str], str]) -> str:
    parts, at = [], low
    for start, end in places:
        if at <= start and end <= high:
            parts += [text[at:start], shown(text[start:end])]
            at = end
    return "".join((*parts, text[at:high]))
