"""What can be recommended: one item's form, read alike from a file and from the body of a request.

    items = read_items("products.csv")            # id, title and text, or {"id", "text", "meta": {"title"}}, ...

An item whose id comes again replaces the one before it, as it does when it is sent to a running server.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.columns import COLUMNS
from noria.text.headings import bare_name
from noria.text.records import read_records

from .deeds import seconds_of

DESCRIBED, LEAD = 600, 200
"""Characters of an item that its words, and that its vector, are made from: a description says first what matters, and a vector's time
is paid for every item."""
_PARTS = re.compile(r"[|;；、>]|,\s*|，")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NO = frozenset(["no", "false", "none", "n", "否", "无", "缺货", "下架", "out of stock"])


@dataclass(frozen=True)
class Item:
    """Something to read, to watch or to buy."""

    id: str
    title: str
    text: str
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    price: float | None = None
    picture: str = ""
    """Path or address of a picture; never opened here."""
    available: bool = True
    """Whether it can be had at present: in stock, on sale."""
    time: float | None = None
    """When it came out, in Unix seconds."""

    @property
    def described(self) -> str:
        """Return what is told of it in words, what says most first: what its vector and its words are made from."""
        text = "" if self.text == self.title else self.text
        told = "\n".join(part for part in (self.title, " ".join((*self.categories, *self.tags)), text) if part)
        return told[:DESCRIBED]


def item_of(value: Mapping[str, Any]) -> Item:
    """Return the item that an object tells: its id, its text, and its title where it has one, in `title` or in `meta.title`.

    An id may be a whole number. Without a title the text's first line is it, without a text the title is. Tags and categories
    are lists, or texts whose parts stand between bars, semicolons or commas. What cannot be read as a price or a time is none.

    Raises:
        InputError: there is no id, or neither text nor title.
    """
    meta = value.get("meta")
    titled = value.get("title") or (meta.get("title") if isinstance(meta, Mapping) else None)
    id, text, title = _text_field(value, "id"), _text_field(value, "text"), str(titled or "").strip()
    if not id:
        raise InputError(message("apps.item_needs"), found=value.get("id"), allowed='{"id", "text", "title"}')
    if not text and not title:
        raise InputError(
            message("apps.item_needs_text"), found=message("apps.id_alone", id=id), allowed='{"id", "text", "title"}'
        )
    return Item(
        id,
        title or title_of(text),
        text or title,
        _parts(value.get("tags")),
        _parts(value.get("categories")),
        _price(value.get("price")),
        str(value.get("picture") or "").strip(),
        _available(value.get("available")),
        seconds_of(value.get("time")),
    )


def _text_field(value: Mapping[str, Any], field: str) -> str:
    found = value.get(field)
    if found is None:
        return ""
    if isinstance(found, str) or (isinstance(found, int) and not isinstance(found, bool)):
        return str(found).strip()
    raise InputError(message("apps.item_text", field=field), found=found, allowed=message("apps.string"))


def _parts(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list | tuple) else _PARTS.split(str(value)) if value is not None else ()
    return tuple(dict.fromkeys(part for one in found if (part := str(one).strip())))


def _price(value: object) -> float | None:
    found = _NUMBER.search(str(value).replace(",", "")) if value is not None else None
    price = float(found[0]) if found else math.nan
    return price if math.isfinite(price) and price >= 0 else None


def _available(value: object) -> bool:
    """Return whether a cell says that there is one: a count above nothing, or any word but a no; an empty cell does."""
    if value is None or isinstance(value, bool):
        return value is not False
    plain = str(value).strip().casefold()
    number = _NUMBER.fullmatch(plain)
    return float(number[0]) > 0 if number else plain not in _NO


def title_of(text: str, width: int = 40) -> str:
    """Return the first line of a text, cut to `width` characters."""
    first = text.strip().split("\n", 1)[0].strip()
    return first if len(first) <= width else first[: width - 1] + "…"


def read_items(
    path: str | Path,
    most: int | None = None,
    note: Callable[[str], None] = lambda said: None,
    *,
    textless: bool = False,
    refused: Callable[[RowError], None] | None = None,
) -> list[Item]:
    """Return the items of a file of rows in any format that is read, the first `most` of them.

    A table's columns may have other names, such as `product_id`, `name`, `description`, 编号, 名称 or 描述. `note` is told how
    many items were replaced by a later one of the same id, and what the reader passed over. `textless` takes an item with neither
    title nor text by its id. `refused`, where it is given, is told of each row that is no item, and the others are read.

    Raises:
        InputError: the file is missing, of a kind that is not read, or holds no item. RowError: a row is no item.
    """
    records = read_records(path)
    items: dict[str, Item] = {}
    read = 0
    for line, record in records:
        if most is not None and len(items) == most:
            break
        try:
            item = _item(record, path, line, textless=textless)
        except RowError as error:
            if refused is None:
                raise
            refused(error)
            continue
        items[item.id] = item
        read += 1
    if not items:
        raise InputError(message("apps.file_items"), found=str(path))
    if read > len(items):
        replaced = message("work.items_replaced", replaced=read - len(items), items=read)
        note(message("work.named", name=path, text=replaced))
    for said in records.notes():
        note(message("work.named", name=path, text=said))
    return list(items.values())


def _item(record: Mapping[str, Any] | RowError, path: str | Path, line: int, *, textless: bool) -> Item:
    if isinstance(record, RowError):
        raise record
    try:
        return item_of(_named(record, textless=textless))
    except InputError as error:
        raise RowError(error.what, file=path, line=line, found=error.found, allowed=error.allowed) from None


def _named(record: Mapping[str, Any], *, textless: bool) -> dict[str, Any]:
    """Return a record with its fields under these names, where each stands under one other usual name."""
    plain = {bare_name(name): value for name, value in record.items()}
    for field, usual in COLUMNS["items"].items():
        found = [name for name in usual.split("|") if name in plain or name.replace(" ", "") in plain]
        if field not in plain and len(found) == 1:
            plain[field] = plain.get(found[0], plain.get(found[0].replace(" ", "")))
    if textless and not any(str(plain.get(field) or "").strip() for field in ("title", "text", "meta")):
        plain["title"] = plain.get("id")
    return plain


def append_items(path: Path, items: Iterable[Item], removed: Iterable[str] = ()) -> None:
    """Write items, and ids of those that left, behind what a file holds; they are on the disk when this returns."""
    rows = [*(asdict(item) for item in items), *({"id": id, "removed": True} for id in removed)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        stream.flush()
        os.fsync(stream.fileno())
