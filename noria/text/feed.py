"""A feed as its entries: RSS, Atom and RDF by feedparser (BSD), JSON Feed by itself; in any encoding, declared rightly, wrongly or not.

Run in the process of `noria.text.confined`, for a feed is what somebody else wrote: entities that unfold for ever cost that process and
nothing more. feedparser keeps no entity that names another one, and opens no file and no address here: it is given bytes.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from noria.core.errors import InputError
from noria.core.messages import message

from .confined import Part
from .web_page import page_text
from .web_page import parts as page_parts

MOST_ENTRIES = 2_000
"""Entries of one feed that are read: the first, which are the newest ones. Feeds hold 10 to 100."""
MOST_CHARACTERS = 20_000
"""Of an entry's text; what is longer is cut."""
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")
_FEW_BAD = 1000
_LINES = re.compile(r"[ \t\r\f\v]*\n\s*")


def parts(image: bytes, name: str, url: str = "", content_type: str = "") -> Iterator[Part]:
    """Yield {"feed": its title, "version": ...}, then each entry: id, link, title, text, author, and time as it is written there.

    Titles and texts are plain; links are whole addresses. `parsed` is the time in ISO 8601, UTC, where feedparser knows it.

    Args:
        image: the feed's bytes, unpacked.
        name: for messages.
        url: address that it came from, against which its links are read.
        content_type: what the server called it.

    Raises:
        InputError: it is no feed.
    """
    text = _text(image, name, content_type)
    found = _json_feed(text) if text.lstrip()[:1] == "{" else _feed(text, url)
    if found is None:
        raise InputError(
            message("text.no_feed", name=name), found=" ".join(text[:120].split()), allowed="RSS, Atom, RDF, JSON Feed"
        )
    head, entries = found
    yield head
    for entry in entries[:MOST_ENTRIES]:
        link = str(entry.get("link") or "").strip()
        yield {
            **{key: str(entry.get(key) or "").strip() for key in ("id", "time", "parsed")},
            "link": urljoin(url, link) if link else "",
            "title": " ".join(_plain(entry.get("title"), name).split()),
            "text": _plain(entry.get("text"), name),
            "author": " ".join(str(entry.get("author") or "").split()),
        }


def _text(image: bytes, name: str, content_type: str) -> str:
    """Return a feed's text, in the encoding that its server names, else in what it declares itself, else by its bytes."""
    named = _CHARSET.search(content_type)
    if named and not image.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = image.decode(named[1], errors="replace")
        except LookupError:
            text = "\ufffd"
        # A server's default, put on whatever it sends, is wrong in many bytes.
        if text.count("\ufffd") * _FEW_BAD <= len(text):
            return text
    return page_text(image, name)[0].removeprefix("\ufeff")


def _feed(text: str, url: str) -> tuple[Part, list[Mapping[str, Any]]] | None:
    import feedparser

    image = _DECLARATION.sub("", text).encode("utf-8", "replace")
    # A stream, for of bytes it would ask whether they are the name of a file.
    found = feedparser.parse(
        io.BytesIO(image),
        response_headers={"content-type": "application/xml; charset=utf-8", "content-location": url},
    )
    if not found.get("version") and not found.entries:
        return None
    entries: list[Mapping[str, Any]] = []
    for one in found.entries[:MOST_ENTRIES]:
        # Of an entry without `updated` feedparser gives `published` under that name, with a warning.
        dates = [key for key in ("published", "updated", "created") if key in one]
        bodies = [body.get("value", "") for body in one.get("content", ())]
        entries.append(
            {
                "id": one.get("id"),
                "link": one.get("link"),
                "title": one.get("title"),
                "text": max([one.get("summary") or "", *bodies], key=len),
                "author": one.get("author"),
                "time": one[dates[0]] if dates else "",
                "parsed": _moment(one.get(f"{dates[0]}_parsed")) if dates else "",
            }
        )
    return {"feed": _title(found.feed.get("title")), "version": found.get("version") or ""}, entries


def _json_feed(text: str) -> tuple[Part, list[Mapping[str, Any]]] | None:
    """Return the entries of a JSON Feed (versions 1 and 1.1), or None where the JSON is another."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(items := value.get("items"), list):
        return None
    if "jsonfeed.org" not in str(value.get("version")):
        return None
    entries: list[Mapping[str, Any]] = []
    for item in items[:MOST_ENTRIES]:
        if not isinstance(item, dict):
            continue
        authors = item.get("authors") or [item.get("author")]
        names = [one.get("name") for one in authors if isinstance(one, dict)] if isinstance(authors, list) else []
        entries.append(
            {
                "id": item.get("id"),
                "link": item.get("url") or item.get("external_url"),
                "title": item.get("title"),
                "text": item.get("content_text") or item.get("content_html") or item.get("summary"),
                "author": ", ".join(str(one) for one in names if one),
                "time": item.get("date_published") or item.get("date_modified"),
            }
        )
    return {"feed": _title(value.get("title")), "version": "json"}, entries


def _plain(markup: object, name: str) -> str:
    """Return what a piece of HTML says; of a text without any, itself."""
    text = str(markup or "")[: 4 * MOST_CHARACTERS]
    if "<" in text or "&" in text:
        text = "\n".join(_part_text(part) for part in page_parts(text.encode("utf-8", "replace"), name))
    return _LINES.sub("\n", text).strip()[:MOST_CHARACTERS]


def _part_text(part: Part) -> str:
    if "table" in part:
        return "\n".join(" ".join(cells) for cells in part["table"])
    return str(part.get("text", ""))


def _title(given: object) -> str:
    return " ".join(str(given or "").split())[:200]


def _moment(parsed: Any) -> str:
    """Return a time as feedparser has it, a tuple in UTC, in ISO 8601."""
    try:
        year, month, day, hour, minute, second = parsed[:6]
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).isoformat()
    except (TypeError, ValueError):
        return ""
