"""What people did with items: one deed's form, and a log of them read, cleaned by counted rules and kept as columns.

    deeds = read_deeds("clicks.csv", note=print)         # user, item, time[, kind, value] under the names that people give them
    deeds, counts = clean(deeds, items=known, now=time.time())
    counts                                               # {"double": 41, "unknown_item": 7}: what was set aside, and why
    deeds.histories()["user 7"]                          # [Deed(item, kind, value, time), ...], oldest first

Every row is used or counted with a reason. It knows nothing of models or events.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, joined, message
from noria.text.columns import COLUMNS, RATINGS, as_it_should_be, no_such_column
from noria.text.headings import bare_name, heading_named
from noria.text.records import read_records
from noria.text.times import read_times

KINDS = ("impression", "click", "rating", "like", "cart", "buy", "return")
"""What a deed may be, from being shown an item to sending it back."""
STRENGTH: Mapping[str, float] = {
    "impression": 0.0,
    "click": 1.0,
    "rating": 1.0,
    "like": 2.0,
    "cart": 2.0,
    "buy": 3.0,
    "return": 0.0,
}
"""How much a deed speaks for its item, where several are seen; an order, not a measurement."""
WEIGHTS = np.sqrt(np.array([STRENGTH[kind] for kind in KINDS], np.float32))
"""How much a deed of each kind counts in sums over items: less than its strength, for it is rarer, not another taste. [kinds]"""
DOUBLE_SECONDS = 10.0
"""The same user, item and kind within this time is one deed that was sent twice."""
BOT_DEEDS, BOT_SECONDS = 600, 300.0
"""Deeds within this time that no person does by hand: two a second, five minutes long. Ratings come by the page and are exempt."""
BOT_DAY = 10_000
"""The same where a log knows only days."""
FUTURE_SECONDS = 86_400.0
"""How far a clock may be ahead: a day, as a log in another zone's local time is."""

_KIND_WORDS: Mapping[str, str] = {
    "impression": "impression|exposure|show|shown|display|expose|曝光|展示|展现",
    "click": "click|view|pv|open|read|visit|browse|play|watch|点击|浏览|查看|阅读|访问|播放|打开",
    "rating": "rating|rate|review|score|评分|评价|打分",
    "like": "like|fav|favorite|favourite|wish|wishlist|share|collect|star|收藏|喜欢|点赞|关注|分享",
    "cart": "cart|add to cart|addtocart|basket|加购|加入购物车|购物车",
    "buy": "buy|purchase|conversion|order|transaction|paid|pay|购买|下单|支付|成交|买",
    "return": "return|refund|returned|退货|退款|退",
}
_KIND_OF = {word: kind for kind, words in _KIND_WORDS.items() for word in words.split("|")}
_RATINGS = frozenset(RATINGS.split("|"))
_COMPACT = re.compile(r"(?:19|20)\d{6}(?:\d{6})?")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that a user did with an item."""

    item: str
    kind: str
    """One of `KINDS`."""
    value: float
    """A rating, an amount or a count; 1 where there is none."""
    time: float
    """When, in Unix seconds."""


@dataclass(frozen=True)
class Deeds:
    """A log as columns; D deeds in no particular order."""

    users: Sequence[str]
    """Ids; a user's number is its place here."""
    items: Sequence[str]
    user: np.ndarray
    """Numbers of users, int32 [D]."""
    item: np.ndarray
    """Numbers of items, int32 [D]."""
    kind: np.ndarray
    """Places in `KINDS`, uint8 [D]."""
    value: np.ndarray
    """Of each deed, float32 [D]."""
    time: np.ndarray
    """Unix seconds, float64 [D]; the order of the rows where `timed` is false."""
    timed: bool = True

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: np.ndarray) -> Deeds:
        """Return some of the deeds, told by a mask or by their places; users and items keep their numbers."""
        columns = {name: getattr(self, name)[which] for name in ("user", "item", "kind", "value", "time")}
        return replace(self, **columns)

    def in_order(self) -> Deeds:
        """Return the deeds by user, and by time within each; equal times keep their order."""
        return self.take(np.lexsort((self.time, self.user)))

    def histories(self) -> dict[str, list[Deed]]:
        """Return user -> what they did, oldest first; users who did nothing are left out."""
        found: dict[str, list[Deed]] = {}
        ordered = self.in_order()
        rows = (ordered.user, ordered.item, ordered.kind, ordered.value, ordered.time)
        for user, item, kind, value, time in zip(*(column.tolist() for column in rows), strict=True):
            found.setdefault(self.users[user], []).append(Deed(self.items[item], KINDS[kind], value, time))
        return found


def weight_of(deed: Deed, least: float) -> float:
    """Return how much a deed speaks for its item; 0 for a rating below `least`, and for what is no sign of liking."""
    if deed.kind == "rating" and deed.value < least:
        return 0.0
    return float(WEIGHTS[KINDS.index(deed.kind)])


def deeds_of(rows: Iterable[tuple[str, str, str, float, float]], *, timed: bool = True) -> Deeds:
    """Return the columns of rows of user, item, kind, value and time, such as those of a lake's events."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    places = {kind: place for place, kind in enumerate(KINDS)}
    user, item, kind, value, time = array("i"), array("i"), array("B"), array("f"), array("d")
    for one, what, how, size, when in rows:
        user.append(users.setdefault(one, len(users)))
        item.append(items.setdefault(what, len(items)))
        kind.append(places[how])
        value.append(size)
        time.append(when)
    return Deeds(
        list(users),
        list(items),
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.array(kind, np.uint8),
        np.array(value, np.float32),
        np.array(time, np.float64),
        timed,
    )


def read_deeds(
    path: str | Path, columns: Mapping[str, str] | None = None, note: Callable[[Message], None] = lambda said: None
) -> Deeds:
    """Return the deeds of a file of rows in any format that is read.

    Times are seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size, or days and clocks (ISO 8601,
    2024/1/2 3:04, 2024年1月2日); those without a zone are taken for UTC. Kinds that no word is known of count as clicks.

    Args:
        path: the file.
        columns: user, item, time, kind, value -> the column that holds it, where its name does not tell.
        note: told which columns were taken, and how many rows were set aside and why.

    Raises:
        InputError: the file is missing, of a kind that is not read, has no column of users or items, or holds no deed.
    """
    reader = _Reader(str(path), dict(columns or {}))
    records = read_records(path)
    deeds = deeds_of(reader.rows(records))
    if not len(deeds):
        raise InputError(message("recommend.no_deeds"), found=str(path), allowed=message("recommend.deed_columns"))
    for said in (*reader.notes(), *records.notes()):
        note(said)
    return replace(deeds, timed="time" in reader.names)


class _Reader:
    """The rows of one file: its columns are chosen at the first row."""

    def __init__(self, path: str, asked: dict[str, str]) -> None:
        self.path, self.asked = path, asked
        self.names: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._kinds: dict[str, str] = {}
        self._days: dict[Any, float | None] = {}

    def rows(
        self, records: Iterable[tuple[int, Mapping[str, Any] | RowError]]
    ) -> Iterable[tuple[str, str, str, float, float]]:
        """Yield what each row tells; what it does not tell is counted."""
        plain = "click"
        for number, (_line, record) in enumerate(records):
            if isinstance(record, RowError):
                self.counts["bad_row"] += 1
                continue
            if not self.names:
                self._choose(list(record))
                plain = "rating" if bare_name(self.names.get("value", "")) in _RATINGS else "click"
            user, item = _id(record.get(self.names["user"])), _id(record.get(self.names["item"]))
            if not user or not item:
                self.counts["no_user" if not user else "no_item"] += 1
                continue
            time = self._time(record.get(self.names["time"])) if "time" in self.names else float(number)
            if time is None:
                self.counts["bad_time"] += 1
                continue
            kind = self._kind(record.get(self.names["kind"])) if "kind" in self.names else plain
            yield user, item, kind, self._value(record), time

    def notes(self) -> list[Message]:
        """Return which columns were taken, and the counts."""
        named = joined("join.list", [f"{part}: {name}" for part, name in self.names.items()])
        counted = [message(f"recommend.rule.{rule}", count=count) for rule, count in self.counts.items()]
        untimed = [] if "time" in self.names else [message("recommend.untimed")]
        return [message("recommend.columns", columns=named), *untimed, *counted]

    def _choose(self, header: Sequence[str]) -> None:
        for name in self.asked.values():
            if name not in header:
                raise no_such_column(name, header)
        self.names = dict(self.asked)
        for part, known in COLUMNS["deeds"].items():
            if part not in self.names and (name := heading_named(known, header, self.names.values())):
                self.names[part] = name
        if "user" not in self.names or "item" not in self.names:
            missing = "user" if "user" not in self.names else "item"
            raise InputError(
                message("recommend.column_missing", part=missing, path=self.path),
                found=", ".join(header),
                allowed=message("recommend.deed_columns"),
                hint=as_it_should_be(["user", "item", "time", "kind"]),
            )

    def _kind(self, value: object) -> str:
        word = str(value or "")
        if word not in self._kinds:
            known = _KIND_OF.get(bare_name(word))
            self._kinds[word] = known or ""
        kind = self._kinds[word]
        if not kind:
            self.counts["unknown_kind"] += 1
        return kind or "click"

    def _value(self, record: Mapping[str, Any]) -> float:
        found = record.get(self.names["value"]) if "value" in self.names else None
        if found is None or found == "":
            return 1.0
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            self.counts["bad_value"] += 1
            return 1.0
        return value

    def _time(self, value: Any) -> float | None:
        # Whole days come again and again; clocks do not, and are not kept.
        if isinstance(value, str) and len(value) <= 10 and not value.isdigit():
            if value not in self._days:
                self._days[value] = seconds_of(value)
            return self._days[value]
        return seconds_of(value)


def _id(value: object) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def seconds_of(value: Any) -> float | None:
    """Return a moment in Unix seconds; None where it is none.

    >>> seconds_of(1700000000), seconds_of("1700000000000"), seconds_of("2023-11-14T22:13:20Z"), seconds_of("2023年11月14日")
    (1700000000.0, 1700000000.0, 1700000000.0, 1699920000.0)
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    text = str(value).strip() if value is not None and not isinstance(value, bool) else ""
    if not text or _COMPACT.fullmatch(text):
        return _clock_seconds(text) if text else None
    try:
        number = float(text)
    except ValueError:
        return _clock_seconds(text)
    if not math.isfinite(number):
        return None
    # 1e11 seconds are the year 5138, and as milliseconds 1973: a moment's size tells its unit.
    for scale in (1.0, 1e3, 1e6, 1e9):
        if abs(number) < 1e11 * scale:
            return number / scale
    return None


def _clock_seconds(text: str) -> float | None:
    try:
        try:
            moment = datetime.fromisoformat(text)  # as most programs write it, and soonest read
        except ValueError:
            (stamp,) = read_times([text])
            if stamp is None or stamp.month:
                return None
            moment = stamp.moment()
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def clean(deeds: Deeds, items: Collection[str] | None, now: float) -> tuple[Deeds, dict[str, int]]:
    """Return the deeds that count, and how many were set aside by which rule.

    In this order: `unknown_item` (not among `items`), `future` (more than a day after `now`), `bot` (all deeds of a user who
    did more than a hand can), `double` (the same again within ten seconds; of ratings the last one stands), `returned` (a
    return, and the purchase before it that it takes back).

    Args:
        deeds: as read.
        items: ids of the items there are; None where every item of the log is one.
        now: Unix seconds.
    """
    counts: dict[str, int] = {}

    def keep(rule: str, which: np.ndarray) -> None:
        nonlocal deeds
        if gone := int((~which).sum()):
            counts[rule] = gone
            deeds = deeds.take(which)

    if items is not None:
        known = frozenset(items)
        keep("unknown_item", np.array([item in known for item in deeds.items], bool)[deeds.item])
    if deeds.timed:
        keep("future", deeds.time <= now + FUTURE_SECONDS)
    deeds = deeds.in_order()
    if deeds.timed:
        keep("bot", ~np.isin(deeds.user, _bots(deeds)))
    keep("double", ~_doubles(deeds))
    keep("returned", ~_returned(deeds))
    return deeds, counts


def _bots(deeds: Deeds) -> np.ndarray:
    """Return the numbers of users who did more than a hand can; of deeds in order."""
    by_hand = deeds.take(deeds.kind != KINDS.index("rating"))
    whole_days = bool(len(by_hand)) and not np.any(by_hand.time % 86_400)
    most, within = (BOT_DAY, 0.0) if whole_days else (BOT_DEEDS, BOT_SECONDS)
    if len(by_hand) <= most:
        return np.zeros(0, np.int32)
    first, last = slice(None, -most), slice(most, None)
    fast = (by_hand.user[last] == by_hand.user[first]) & (by_hand.time[last] - by_hand.time[first] <= within)
    return np.unique(by_hand.user[last][fast])


def _doubles(deeds: Deeds) -> np.ndarray:
    """Return which deeds repeat another one, a mask [D]."""
    order = np.lexsort((deeds.time, deeds.kind, deeds.item, deeds.user))
    user, item, kind, time = (getattr(deeds, name)[order] for name in ("user", "item", "kind", "time"))
    same = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (kind[1:] == kind[:-1])
    ratings = kind[1:] == KINDS.index("rating")
    doubled = np.zeros(len(deeds), bool)
    doubled[order[:-1][same & ratings]] = True
    near = (time[1:] - time[:-1] <= DOUBLE_SECONDS) if deeds.timed else np.ones(len(same), bool)
    doubled[order[1:][same & ~ratings & near]] = True
    return doubled


def _returned(deeds: Deeds) -> np.ndarray:
    """Return which deeds are returns, or purchases that one took back, a mask [D]; of deeds in order."""
    gone = np.asarray(deeds.kind == KINDS.index("return"))
    open_purchases: dict[tuple[int, int], list[int]] = {}
    if not gone.any():
        return gone
    for place in np.flatnonzero(gone | (deeds.kind == KINDS.index("buy"))).tolist():
        bought = open_purchases.setdefault((int(deeds.user[place]), int(deeds.item[place])), [])
        if not gone[place]:
            bought.append(place)
        elif bought:
            gone[bought.pop()] = True
    return gone
