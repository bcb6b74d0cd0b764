"""Augmentation: a text said a little differently each epoch, by pure functions that the row and the epoch decide.

    check_augmentations(["delete", "swap"])
    augmented("送货很快，下次还来", ["delete", "swap"], seed=0, row=17, epoch=2)

Units are words where words stand apart, and single characters of Chinese. Deleting and swapping follow Wei and Zou (2019, "EDA"),
punctuating Karimi et al. (2021, "AEDA"). Packages add their own through entry points of the group `noria.augment`:
functions (text, random.Random) -> text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from noria.core.errors import SettingError, unknown
from noria.core.messages import message
from noria.text.script import HAN, has_han

Augmentation = Callable[[str, random.Random], str]
GROUP = "noria.augment"
SHARE = 0.1
"""Share of a text's units that is changed (Wei and Zou 2019, section 3: alpha of 0.1), one at least."""
_UNITS = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
_MARKS = {True: "，。、；：？！", False: ".,;:?!"}


def delete(text: str, rng: random.Random) -> str:
    """Leave some units out, never all."""
    units = list(_UNITS.finditer(text))
    if len(units) < 2:
        return text
    gone = {units[place].span() for place in rng.sample(range(len(units)), min(_count(units), len(units) - 1))}
    kept, at = [], 0
    for start, end in sorted(gone):
        # A word goes with the space before it.
        kept.append(text[at:start].rstrip(" ") if text[end : end + 1] in ("", " ") else text[at:start])
        at = end
    return ("".join(kept) + text[at:]).strip() or text


def swap(text: str, rng: random.Random) -> str:
    """Let some neighbouring units change places."""
    units = list(_UNITS.finditer(text))
    if len(units) < 2:
        return text
    words = [unit.group() for unit in units]
    for place in rng.sample(range(len(words) - 1), min(_count(units), len(words) - 1)):
        words[place], words[place + 1] = words[place + 1], words[place]
    return _rebuilt(text, units, words)


def punctuate(text: str, rng: random.Random) -> str:
    """Put some marks of punctuation after units, Chinese ones after Chinese characters."""
    units = list(_UNITS.finditer(text))
    chosen = set(rng.sample(range(len(units)), min(_count(units), len(units)))) if units else set()
    words = [unit.group() for unit in units]
    for place in sorted(chosen):
        words[place] += rng.choice(_MARKS[has_han(words[place][-1])])
    return _rebuilt(text, units, words)


def case(text: str, rng: random.Random) -> str:
    """Write all in small letters, all in capitals, or each word with a capital; Chinese stays as it is."""
    return rng.choice((str.lower, str.upper, str.title))(text)


BUILT_IN: dict[str, Augmentation] = {"delete": delete, "swap": swap, "punctuate": punctuate, "case": case}


def augmentation(name: str) -> Augmentation:
    """Return the augmentation called `name`.

    Raises:
        SettingError: no such augmentation here or among the entry points of installed packages, or it cannot be loaded.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    others = {one.name: one for one in entry_points(group=GROUP)}
    if name not in others:
        raise unknown("augmentation", name, {*BUILT_IN, *others})
    try:
        found = others[name].load()
    except (ImportError, AttributeError) as error:
        raise SettingError(message("make.augmentation_installed", name=name), found=error) from error
    if not callable(found):
        raise SettingError(
            message("make.augmentation_function", name=name), found=found, allowed="(text, random.Random) -> text"
        )
    function: Augmentation = found
    return function


def check_augmentations(names: Sequence[str]) -> None:
    """Refuse names that are no augmentations, before any training.

    Raises:
        SettingError: as `augmentation`.
    """
    for name in names:
        augmentation(name)


def augmented(text: str, names: Sequence[str], *, seed: int, row: int, epoch: int) -> str:
    """Return a text as one of the augmentations says it; in the first epoch, and without names, as it is.

    Args:
        text: any text; what comes back is never blank.
        names: augmentations, one of which is drawn.
        seed, row, epoch: decide all that is drawn, so that a run resumed sees what one never killed would.
    """
    if not names or epoch == 0:
        return text
    rng = random.Random(f"{seed} {row} {epoch}")
    changed = augmentation(rng.choice(list(names)))(text, rng)
    return changed if changed.strip() else text


def augmented_row(
    row: Mapping[str, Any], names: Sequence[str], *, seed: int, number: int, epoch: int
) -> dict[str, Any]:
    """Return a row with its text said differently; one that points into the text stays as it is."""
    if "text" not in row or {"spans", "tags", "places"} & row.keys():
        return dict(row)
    return {**row, "text": augmented(row["text"], names, seed=seed, row=number, epoch=epoch)}


def _count(units: Sequence[object]) -> int:
    return max(1, round(SHARE * len(units)))


def _rebuilt(text: str, units: Sequence[re.Match[str]], words: Sequence[str]) -> str:
    parts, at = [], 0
    for unit, word in zip(units, words, strict=True):
        parts += [text[at : unit.start()], word]
        at = unit.end()
    return "".join([*parts, text[at:]])
