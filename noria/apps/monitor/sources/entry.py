"""What any source gives: a text with what it is known again by, when it was said, by whom and where."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from noria.core.errors import InputError
from noria.core.messages import Message
from noria.text.times import read_times

TEXT_CHARACTERS = 20_000
"""Of a text; what is longer is cut, and the inbox counts it."""


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
    """Return a time as people and programs write it, UTC; None where it is none, or a whole month.

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
    (stamp,) = read_times([text])
    if stamp is not None:
        return None if stamp.month else stamp.moment()
    try:
        # Years of two digits, and zones by letters: EST is New York's in feeds and letters (RFC 822), and elsewhere anyone's.
        return parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
