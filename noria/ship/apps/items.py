"""What can be recommended: one item's form, read alike from a file and from the body of a request.

    items = read_items("products.jsonl")          # {"id", "text", "title"}, or a title in "meta"

An item whose id comes again replaces the one before it, as it does when it is sent to a running server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.text.encoding import decoded
from noria.text.lines import json_objects


@dataclass(frozen=True)
class Item:
    """Something to read."""

    id: str
    title: str
    text: str


def item_of(value: Mapping[str, Any]) -> Item:
    """Return the item that an object tells: its id, its text, and its title where it has one, in `title` or in `meta.title`.

    An id may be a whole number. Without a title the text's first line is it, without a text the title is.

    Raises:
        InputError: there is no id, or neither text nor title.
    """
    meta = value.get("meta")
    titled = value.get("title") or (meta.get("title") if isinstance(meta, Mapping) else None)
    id, text, title = _told(value, "id"), _told(value, "text"), str(titled or "").strip()
    if not id:
        raise InputError("an item needs an id", found=value.get("id"), allowed='{"id", "text", "title"}')
    if not text and not title:
        raise InputError("an item needs a text or a title", found=f"id {id} alone", allowed='{"id", "text", "title"}')
    return Item(id, title or title_of(text), text or title)


def _told(value: Mapping[str, Any], field: str) -> str:
    found = value.get(field)
    if found is None:
        return ""
    if isinstance(found, str) or (isinstance(found, int) and not isinstance(found, bool)):
        return str(found).strip()
    raise InputError(f"an item's {field} is no text", found=found, allowed="a string")


def title_of(text: str, width: int = 40) -> str:
    """Return the first line of a text, cut to `width` characters."""
    first = text.strip().split("\n", 1)[0].strip()
    return first if len(first) <= width else first[: width - 1] + "…"


def read_items(
    path: str | Path, most: int | None = None, note: Callable[[str], None] = lambda said: None
) -> list[Item]:
    """Return the items of a JSON Lines file in any usual encoding, the first `most` of them.

    `note` is told how many items were replaced by a later one of the same id.

    Raises:
        InputError: the file is missing, no text, or holds no item. RowError: a line is no item.
    """
    try:
        image = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("no such file of items", found=str(path)) from None
    items: dict[str, Item] = {}
    read = 0
    for line, value in json_objects(decoded(image, path), path):
        if most is not None and len(items) == most:
            break
        if isinstance(value, RowError):
            raise value
        try:
            item = item_of(value)
        except InputError as error:
            raise RowError(error.what, file=path, line=line, found=error.found, allowed=error.allowed) from None
        items[item.id] = item
        read += 1
    if not items:
        raise InputError("a file of items holds none", found=str(path))
    if read > len(items):
        note(f"{path}: {read - len(items)} of {read} items were replaced by a later one of the same id")
    return list(items.values())


def append_items(path: Path, items: Iterable[Item]) -> None:
    """Write items behind those that a file holds; they are on the disk when this returns."""
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items))
        stream.flush()
        os.fsync(stream.fileno())
