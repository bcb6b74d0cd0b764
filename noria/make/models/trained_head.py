"""The trained head of a base, reused by the names of its labels: rows of labels that are ours move to our places.

A head's size says nothing: {0: positive, 1: negative} is not {0: negative, 1: positive}, and two labels of another task are
not ours at all. Names as LABEL_0, which transformers gives where nobody gave any, say nothing either: such a head starts anew.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from noria.core.errors import FolderError
from noria.core.folder import MANIFEST, read_manifest
from noria.tasks.task import task_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAMELESS = re.compile(r"LABEL_\d+", re.IGNORECASE)


def named(id2label: Mapping[Any, Any] | None, ours: Sequence[str]) -> list[str]:
    """Return the labels of a configuration, in the order of the head's rows; none where they have no names but LABEL_0 ..."""
    by_row = sorted((int(row), str(label)) for row, label in (id2label or {}).items())
    labels = [label for _, label in by_row]
    nameless = all(_NAMELESS.fullmatch(label) for label in labels) and not set(ours) <= set(labels)
    return [] if nameless or [row for row, _ in by_row] != list(range(len(labels))) else labels


def matched(ours: Sequence[str], theirs: Sequence[str]) -> list[int | None]:
    """Return for each of our labels the row of theirs of the same name, else of one alone that differs in case or width.

    A single row is a score and no label: nothing matches it.
    """
    if len(theirs) < 2:
        return [None] * len(ours)
    exact = {label: row for row, label in enumerate(theirs)}
    near: dict[str, list[int]] = {}
    for row, label in enumerate(theirs):
        near.setdefault(_plain(label), []).append(row)
    alike = [_plain(label) for label in ours]
    found: list[int | None] = []
    for label, plain in zip(ours, alike, strict=True):
        one = len(near.get(plain, ())) == 1 and alike.count(plain) == 1
        found.append(exact.get(label, near[plain][0] if one else None))
    return found


def _plain(label: str) -> str:
    return unicodedata.normalize("NFKC", label).strip().casefold()


def rows_of_labels(model: PreTrainedModel) -> list[str]:
    """Return the names of the tensors that have a row for each label.

    They are found by building the model for one label more, without memory, and comparing shapes.
    """
    shapes = []
    labels = cast(int, model.config.num_labels)
    for count in (labels, labels + 1):
        config = copy.deepcopy(model.config)
        config.num_labels = count
        with torch.device("meta"):
            shapes.append({name: one.shape for name, one in type(model)(config).named_parameters()})
    return [name for name, shape in shapes[0].items() if shape != shapes[1].get(name)]


def reuse(
    model: PreTrainedModel,
    ours: Sequence[str],
    folder: Path,
    info: Mapping[str, Any],
    own: Callable[[], PreTrainedModel],
) -> str:
    """Give each of our labels the row of the folder's head that has its name, or a new one, in place; return what was done.

    Args:
        model: loaded from the folder with a head for our labels.
        ours: our labels, in order.
        folder: the base.
        info: what transformers says of the loading: `missing_keys`, `mismatched_keys`.
        own: loads the base with the head as the folder holds it.
    """
    id2label = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label")
    theirs = named(id2label, ours) or of_manifest(folder)
    if theirs == list(ours):
        return ""
    other = {one[0] for one in info["mismatched_keys"]}
    absent = set(info["missing_keys"]) - other
    held = [name for name in rows_of_labels(model) if name not in absent]
    if not held:
        return ""
    rows = matched(ours, theirs)
    taken = any(row is not None for row in rows)
    old = {name: one.clone() for name, one in (own() if taken and other else model).named_parameters() if name in held}
    deviation = float(getattr(model.config, "initializer_range", None) or 0.02)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in held:
            fresh = torch.zeros_like(parameters[name])
            if fresh.ndim > 1:
                nn.init.normal_(fresh, std=deviation)
            for place, row in enumerate(rows):
                if row is not None and name in old:
                    fresh[place] = old[name][row]
            parameters[name].copy_(fresh)
    return head_reuse_text(ours, theirs, rows)


def of_manifest(folder: Path) -> list[str]:
    """Return the names that Noria's manifest gives a head's rows, where the configuration has none."""
    if not (folder / MANIFEST).is_file():
        return []
    try:
        return list(task_of(read_manifest(folder)).outputs)
    except FolderError:
        return []


def head_reuse_text(ours: Sequence[str], theirs: Sequence[str], rows: Sequence[int | None]) -> str:
    """Return in words what became of a trained head."""
    taken = sum(row is not None for row in rows)
    if not theirs:
        return "the base's head has no label names (LABEL_0 ...), so it starts anew"
    if taken == 0:
        return f"the base's head is for other labels ({_some(theirs)}), so it starts anew"
    if taken < len(ours):
        new = [label for label, row in zip(ours, rows, strict=True) if row is None]
        return f"the base's head knows {taken} of {len(ours)} labels; new: {_some(new)}"
    return f"the base's head knows all {len(ours)} labels, of {len(theirs)}; its rows were put in our order"


def _some(labels: Sequence[str], most: int = 4) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")
