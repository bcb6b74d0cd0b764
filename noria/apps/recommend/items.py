"""What can be recommended: one item's form, read alike from a file and from the body of a request.

    items = read_items("products.csv")            # id, title and text, or {"id", "text", "meta": {"title"}}, ...

An item whose id comes again replaces the one before it, as it does when it is sent to a running server.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.records import read_records

_ALIASES = {
    "id": "item_id product_id article_id sku 编号 商品编号 商品id 条目编号 文章编号",
    "title": "name product_name headline 标题 名称 商品名称 品名",
    "text": "content description body summary 内容 正文 描述 简介 详情",
}


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
    id, text, title = _text_field(value, "id"), _text_field(value, "text"), str(titled or "").strip()
    if not id:
        raise InputError(message("apps.item_needs"), found=value.get("id"), allowed='{"id", "text", "title"}')
    if not text and not title:
        raise InputError(
            message("apps.item_needs_text"), found=message("apps.id_alone", id=id), allowed='{"id", "text", "title"}'
        )
    return Item(id, title or title_of(text), text or title)


def _text_field(value: Mapping[str, Any], field: str) -> str:
    found = value.get(field)
    if found is None:
        return ""
    if isinstance(found, str) or (isinstance(found, int) and not isinstance(found, bool)):
        return str(found).strip()
    raise InputError(message("apps.item_text", field=field), found=found, allowed=message("apps.string"))


def title_of(text: str, width: int = 40) -> str:
    """Return the first line of a text, cut to `width` characters."""
    first = text.strip().split("\n", 1)[0].strip()
    return first if len(first) <= width else first[: width - 1] + "…"


def read_items(
    path: str | Path, most: int | None = None, note: Callable[[str], None] = lambda said: None
) -> list[Item]:
    """Return the items of a file of rows in any format that is read, the first `most` of them.

    A table's columns may have other names, such as `product_id`, `name`, `description`, 编号, 名称 or 描述. `note` is told how
    many items were replaced by a later one of the same id, and what the reader passed over.

    Raises:
        InputError: the file is missing, of a kind that is not read, or holds no item. RowError: a row is no item.
    """
    records = read_records(path)
    items: dict[str, Item] = {}
    read = 0
    for line, record in records:
        if most is not None and len(items) == most:
            break
        if isinstance(record, RowError):
            raise record
        try:
            item = item_of(_named(record))
        except InputError as error:
            raise RowError(error.what, file=path, line=line, found=error.found, allowed=error.allowed) from None
        items[item.id] = item
        read += 1
    if not items:
        raise InputError(message("apps.file_items"), found=str(path))
    if read > len(items):
        note(f"{path}: {read - len(items)} of {read} items were replaced by a later one of the same id")
    for said in records.notes():
        note(f"{path}: {said}")
    return list(items.values())


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its id, title and text under these names, where each stands under one other usual name."""
    plain = {re.sub(r"[\s-]+", "_", name.strip().casefold()): value for name, value in record.items()}
    for field, usual in _ALIASES.items():
        found = [name for name in usual.split() if name in plain]
        if field not in plain and len(found) == 1:
            plain[field] = plain[found[0]]
    return plain


def append_items(path: Path, items: Iterable[Item]) -> None:
    """Write items behind those that a file holds; they are on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in items))
        stream.flush()
        os.fsync(stream.fileno())
