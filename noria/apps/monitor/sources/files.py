"""A file or a folder that grows: what stands behind the last row that was read, in every format that rows and texts are read in.

A file of lines (JSON Lines, text) is read on from where it was left. Any other is read anew once it has changed, and what stood in it
before is known. A file that was cut, or another one by its name, begins again. What may be half a row waits: a last line without an end, and
a table's last row, until nothing has been written for ten seconds.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError, from_system
from noria.core.messages import message
from noria.text.formats import format_of, why_not
from noria.text.lines import Numbered, filled_lines, json_rows
from noria.text.records import Records
from noria.text.sources import Source

from .entry import Asked, Entry, SourceError, key, moment_of, titled
from .listing import FilesSettings

ROWS = 5_000
"""Rows read in one go; the rest follows at once."""
_PIECE = 4 << 20
_RESTED_SECONDS = 10
_MOST_FILES = 10_000
_USUAL = {
    "text": "text content body message comment review post 正文 内容 文本 评论 评价 帖子 微博",
    "title": "title headline subject 标题 主题",
    "time": "time date timestamp datetime created_at published published_at 时间 发布时间 发表时间 日期",
    "author": "author user username user_name screen_name nickname 作者 用户 用户名 昵称 发布者",
    "link": "link url href permalink 链接 网址 地址",
    "id": "id guid post_id tweet_id comment_id 编号 序号",
}


def ask(source: FilesSettings, cursor: Mapping[str, Any], now: datetime) -> Asked:
    """Return what stands in the files behind what was read of them.

    Args:
        source: the file or the folder.
        cursor: how far each file was read.
        now: the present time.

    Raises:
        SourceError: nothing is there, or a file cannot be read; the others were.
    """
    found, passed = _files(source.path)
    asked = Asked(cursor={name: state for name, state in cursor.items() if name in found})
    wrong: SourceError | None = None
    for name, path in found.items():
        if len(asked.entries) >= ROWS:
            asked.more = True
            break
        try:
            state = path.stat()
            stamp = [state.st_ino, state.st_size, state.st_mtime_ns]
            before = cursor.get(name) or {}
            if before.get("stamp") != stamp or before.get("again"):
                rested = now.timestamp() - state.st_mtime > _RESTED_SECONDS
                asked.cursor[name] = _read(source, name, path, before, stamp, asked, rested=rested)
        except (InputError, OSError) as error:
            plain = error if isinstance(error, InputError) else from_system(error)
            wrong = SourceError(plain.what if plain else message("watch.unreadable"), found=f"{name}: {error}")
    if wrong and not asked.entries:
        raise wrong
    asked.note = message("watch.file_unreadable", why=wrong.what) if wrong else passed
    return asked


def _files(path: Path) -> tuple[dict[str, Path], Any]:
    if not path.exists():
        raise SourceError(message("errors.file_not_found"), found=str(path))
    if not path.is_dir():
        return {path.name: path}, None
    every = sorted(one for one in path.rglob("*") if one.is_file())
    read = [one for one in every if why_not(one) is None][:_MOST_FILES]
    note = message("watch.files_passed", count=len(every) - len(read)) if len(every) > len(read) else None
    return {str(one.relative_to(path)): one for one in read}, note


@dataclass(frozen=True)
class Reading:
    """How one file is read."""

    name: str
    """By which its rows are known."""
    as_json: bool
    rested: bool
    """Nothing has been written for a while: what stands at its end is whole."""


def _read(
    source: FilesSettings,
    name: str,
    path: Path,
    before: Mapping[str, Any],
    stamp: list[int],
    asked: Asked,
    *,
    rested: bool,
) -> dict[str, Any]:
    """Add the new rows of a file, and return where to go on in it; `again` says that it is to be looked at though it has not changed."""
    format = format_of(Source(str(path)))
    records: Records | None = None
    if format.kind in ("lines", "text") and Source(path.name).plain_name == path.name:
        records = Records(Source(str(path)))
        if records.encoding in ("utf-8", "utf-8-sig"):
            return _read_on(source, path, before, stamp, asked, Reading(name, format.kind == "lines", rested))
    return _read_anew(source, records or Records(Source(str(path))), before, stamp, asked, Reading(name, False, rested))


def _read_on(
    source: FilesSettings, path: Path, before: Mapping[str, Any], stamp: list[int], asked: Asked, reading: Reading
) -> dict[str, Any]:
    same = before.get("stamp", [None])[0] == stamp[0] and int(before.get("offset", 0)) <= stamp[1]
    offset = int(before.get("offset", 0)) if same else 0
    with path.open("rb") as stream:
        stream.seek(offset)
        piece = stream.read(_PIECE)
    more = len(piece) == _PIECE
    whole = piece if reading.rested and not more else piece[: piece.rfind(b"\n") + 1]
    if not whole and more:
        raise InputError(message("watch.line_too_long"), found=reading.name)
    rows: Iterator[Numbered]
    lines = io.StringIO(whole.decode("utf-8", "replace"), newline="\n")
    if reading.as_json:
        rows = json_rows(lines, reading.name)
    else:
        rows = ((line, {"text": text}) for line, text in filled_lines(lines))
    for line, row in rows:
        _add(source, row, asked, (reading.name, str(offset), str(line)))
    asked.more = asked.more or more
    return {"stamp": stamp, "offset": offset + len(whole), "again": more or len(whole) < len(piece)}


def _read_anew(
    source: FilesSettings, records: Records, before: Mapping[str, Any], stamp: list[int], asked: Asked, reading: Reading
) -> dict[str, Any]:
    name = reading.name
    if not records.has_rows:  # a document: the whole of it is one text
        document = records.document
        _add(source, {"text": document.text, "title": document.title}, asked, (name, document.text))
        return {"stamp": stamp}
    done = int(before.get("rows", 0)) if before.get("stamp") == stamp else 0
    waits = records.format.kind == "table" and not reading.rested
    same: Counter[str] = Counter()
    held: tuple[Mapping[str, Any] | RowError, tuple[str, ...]] | None = None
    for place, (_, row) in enumerate(records):
        if held is not None and place > done:
            _add(source, held[0], asked, held[1])
        if place - done >= ROWS:
            asked.more = True
            return {"stamp": stamp, "rows": place, "again": True}
        # A row is known by what it says and how many like it stood above, so that one put in above moves none.
        content = "" if isinstance(row, RowError) else repr(sorted((str(k), str(v)) for k, v in row.items()))
        same[content] += 1
        held = row, (name, content, str(same[content]))
    if held is not None and not waits:
        _add(source, held[0], asked, held[1])
    return {"stamp": stamp, "again": waits}


def _add(source: FilesSettings, row: Mapping[str, Any] | RowError, asked: Asked, place: tuple[str, ...]) -> None:
    if isinstance(row, RowError):
        asked.unread += 1
        return
    fields = named(row, source.columns)
    text = titled(fields.get("title", ""), fields.get("text", ""))
    own = fields.get("id", "")
    keys = (key("row", own),) if own else (key("place", *place, text),)
    time = moment_of(fields.get("time", ""), source.zone)
    asked.entries.append(Entry(text, keys, time, fields.get("author", ""), fields.get("link", "")))


def named(row: Mapping[str, Any], columns: Mapping[Any, str]) -> dict[str, str]:
    """Return a row's text, title, time, author, link and id under these names, as far as it has them.

    Args:
        row: as it stands in the file.
        columns: the file's own name for some of them; of the others the first usual one counts.
    """
    plain = {str(name).strip().casefold().replace(" ", "_"): value for name, value in row.items()}
    found = {}
    for field, usual in _USUAL.items():
        own = columns.get(field)
        value = row.get(own) if own else next((plain[one] for one in usual.split() if plain.get(one) is not None), None)
        if isinstance(value, Mapping):  # {"user": {"name": ...}}
            value = value.get("name") or value.get("screen_name")
        if value is not None and not isinstance(value, list):
            found[field] = str(value).strip()
    return found
