"""What any source gives: a text with what it is known again by, when it was said, by whom and where; and times as people write them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from noria.core.errors import InputError
from noria.core.messages import Message

TEXT_CHARACTERS = 20_000
"""Of a text; what is longer is cut, and the inbox counts it."""
_CHINESE_DATE = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日?")
_SLASHED = re.compile(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?=\D|$)")
_CLOCK = re.compile(r"(\d{1,2})时(\d{1,2})分(?:(\d{1,2})秒)?")
_ISO = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?)?\s*(.*)$")
_OFFSET = re.compile(r"^([+-])(\d{2}):?(\d{2})?$")
_UNIX = re.compile(r"^\d{9,10}(?:\.\d+)?$|^\d{12,13}$")


@dataclass(frozen=True)
class Entry:
    """One text of a source, as it came."""

    text: str
    keys: tuple[str, ...]
    """What it is known again by, the strongest first: one that any of them is known of came before."""
    time: datetime | None = None
    """When it was said, UTC; None where nobody tells."""
    author: str = ""
    """As the source names him; the inbox keeps a pseudonym."""
    link: str = ""


@dataclass
class Asked:
    """What a source gave when it was asked."""

    entries: list[Entry] = field(default_factory=list)
    cursor: dict[str, Any] = field(default_factory=dict)
    """Where to go on, JSON-able; it holds from the moment when the entries are on the disk."""
    more: bool = False
    """There is more to be had at once."""
    unread: int = 0
    """Entries that hold no text, or cannot be read."""
    note: Message | None = None
    """What its owner should know, though it went on."""


class SourceError(InputError):
    """A source that cannot be read now.

    Args:
        what: what was wrong.
        wait: seconds before which it asked not to be asked again.
        facts: those of every error.
    """

    def __init__(self, what: str, *, wait: float = 0.0, **facts: Any) -> None:
        self.wait = wait
        super().__init__(what, **facts)


def key(*parts: str) -> str:
    """Return what an entry is known again by, of what it says of itself (32 hexadecimal digits)."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def keyed(guid: str, link: str, title: str, text: str, shared: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the keys of a feed's entry: its own id, where that is one, and its address with its title.

    An id that several entries of one document bear tells none of them, and neither does an address.

    Args:
        guid: the entry's own id.
        link: its address.
        title: its title; without one its text stands for it.
        text: its text.
        shared: ids and addresses that several entries of the document bear.
    """
    own = next((one for one in (guid, link) if one and one not in shared), "")
    named = key("named", link, title or text)
    return (key("id", own), named) if own else (named,)


def titled(title: str, text: str) -> str:
    """Return a title and a text as one, the title not twice.

    >>> titled("Phone recalled", "Phone recalled after fires"), titled("", "text"), titled("title", "")
    ('Phone recalled after fires', 'text', 'title')
    """
    title = title.strip()
    return text.strip() if text.strip().startswith(title) else f"{title}\n{text}".strip()


def moment_of(value: object, zone: str = "UTC") -> datetime | None:
    """Return a time as people and programs write it, UTC; None where it is none.

    ISO 8601, RFC 822, Unix seconds and milliseconds, 2026年11月30日 10:00, 2026/11/30.

    Args:
        value: text, number or datetime.
        zone: that of times which name none.

    >>> moment_of("2026年11月30日 10:05", "Asia/Shanghai"), moment_of("Mon, 30 Nov 2026 10:05:00 +0800")
    (datetime.datetime(2026, 11, 30, 2, 5, tzinfo=datetime.timezone.utc), datetime.datetime(2026, 11, 30, 2, 5, tzinfo=datetime.timezone.utc))
    >>> moment_of("yesterday") is None
    True
    """
    try:
        found = value if isinstance(value, datetime) else _parsed(str(value if value is not None else "").strip())
        if found is None:
            return None
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _parsed(text: str) -> datetime | None:
    if _UNIX.match(text):
        number = float(text)
        return datetime.fromtimestamp(number / 1000 if number >= 1e11 else number, UTC)
    plain = _CHINESE_DATE.sub(r"\1-\2-\3 ", text)
    plain = _SLASHED.sub(
        r"\1-\2-\3", _CLOCK.sub(lambda found: f"{found[1]}:{found[2]}:{found[3] or '00'}", plain)
    ).strip()
    if found := _ISO.match(plain):
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        micro = int((found[7] or "0").ljust(6, "0"))
        moment = datetime(year, month, day, hour, minute, second, micro)
        return _with_zone(moment, found[8])
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None


def _with_zone(moment: datetime, named: str) -> datetime | None:
    """Return a time with the zone that is written behind it; None where what stands there is none."""
    if not named:
        return moment
    if named in ("Z", "z", "UTC", "GMT"):
        return moment.replace(tzinfo=UTC)
    found = _OFFSET.match(named)
    if not found:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return (moment - offset if found[1] == "+" else moment + offset).replace(tzinfo=UTC)
