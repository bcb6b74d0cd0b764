"""What is known of users, packed: some hundreds of bytes each, so that a million of them fit into a gigabyte.

    states = States(most=1_000_000)
    reader = states.of(key_of("tenant", "user"))     # may be changed; unpacked while it is among the last that were asked for
    reader.act(7, BUY, second=1_700_000_000)
    reader.show(9)
    frozen = states.freeze()                         # for a snapshot: at once, however many users there are
    keys, packed = frozen.all()                      # in a thread, which takes a while
    states.thaw()                                    # what changed meanwhile stands beside, and goes in now

Items are numbers here; it knows nothing of their ids, of files or of events.
"""

from __future__ import annotations

from array import array
from bisect import insort_right
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from operator import itemgetter
from struct import Struct

import numpy as np
import xxhash

CLICK, BUY = 0, 1
"""Kinds of deeds, the stronger one above."""
DEEDS = 100
"""Deeds remembered of a user."""
SEEN = 300
"""Items remembered as shown to a user."""
HOT = 1_000
"""Users held unpacked: those who were asked for last."""
AT_ONCE = 4_096
"""Users that are copied together."""
_COUNTS = Struct("<III")
_OPEN = 1 << 31
_second = itemgetter(0)


@dataclass(slots=True)
class Reader:
    """What is known of a user, by the numbers of items."""

    deeds: list[tuple[int, int, int]] = field(default_factory=list)
    """(second since 1970, item, kind) of the last deeds, the oldest first; each item once."""
    seen: dict[int, bool] = field(default_factory=dict)
    """Items shown, the latest last -> whether the showing is still unanswered by a click."""
    bought: dict[int, None] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Return whether anything is known of them."""
        return bool(self.deeds or self.seen or self.bought)

    def copy(self) -> Reader:
        """Return the same, which may be changed by itself."""
        return Reader(self.deeds.copy(), self.seen.copy(), self.bought.copy())

    def show(self, item: int) -> None:
        """Learn that an item was shown."""
        self.seen.pop(item, None)
        self.seen[item] = True
        if len(self.seen) > SEEN:
            self._forget_seen()

    def act(self, item: int, kind: int, second: int) -> bool:
        """Learn of a click or a purchase; return whether it answers a showing that none has answered, or one not heard of.

        It is a deed, the latest on its item, though it answers nothing.
        """
        answers = self.seen.get(item, True)
        if kind == BUY:
            self.bought[item] = None
        self.seen[item] = False
        self._forget_seen()
        for place, (when, what, how) in enumerate(self.deeds):
            if what == item:
                del self.deeds[place]
                second, kind = max(second, when), max(kind, how)
                break
        # What happened within one second keeps the order in which it was heard.
        insort_right(self.deeds, (second, item, kind), key=_second)
        del self.deeds[:-DEEDS]
        return answers

    def _forget_seen(self) -> None:
        while len(self.seen) > SEEN:
            del self.seen[next(iter(self.seen))]

    def packed(self) -> bytes:
        """Return all of it as bytes: 9 a deed, 4 an item shown or bought, 12 besides."""
        shown = (item | _OPEN * unanswered for item, unanswered in self.seen.items())
        seconds, items = (deed[0] for deed in self.deeds), (deed[1] for deed in self.deeds)
        numbers = array("I", chain(seconds, items, shown, self.bought))
        kinds = bytes(deed[2] for deed in self.deeds)
        return _COUNTS.pack(len(self.deeds), len(self.seen), len(self.bought)) + numbers.tobytes() + kinds

    @classmethod
    def unpacked(cls, held: bytes) -> Reader:
        """Return what `packed` gave these bytes for."""
        deeds, seen, bought = _COUNTS.unpack_from(held)
        numbers, end = array("I"), _COUNTS.size + 4 * (2 * deeds + seen + bought)
        numbers.frombytes(held[_COUNTS.size : end])
        found = numbers.tolist()
        return cls(
            list(zip(found[:deeds], found[deeds : 2 * deeds], held[end:], strict=True)),
            {one & ~_OPEN: one >= _OPEN for one in found[2 * deeds : 2 * deeds + seen]},
            dict.fromkeys(found[2 * deeds + seen :]),
        )


@lru_cache(maxsize=10_000)
def key_of(tenant: str, user: str) -> int:
    """Return the number that a user of a tenant is known by; of a million users two meet once in 37 million cases."""
    return xxhash.xxh3_64_intdigest(f"{tenant}/{user}".encode())


@dataclass(frozen=True)
class Frozen:
    """What was known of every user at one moment; what is learned meanwhile changes none of it."""

    packed: dict[int, bytes]
    hot: list[tuple[int, Reader]]

    def all(self) -> tuple[np.ndarray, list[bytes]]:
        """Return every user's key, uint64 [users], the one not asked for longest first, and what is known of each, packed.

        It takes a while, and may be done in a thread: some users at a time, for none else runs while NumPy reads a list.
        """
        keys, packed = np.empty(len(self.packed) + len(self.hot), np.uint64), list[bytes]()
        users = chain(self.packed.items(), ((key, reader.packed()) for key, reader in self.hot))
        while some := list(islice(users, AT_ONCE)):
            begin = len(packed)
            keys[begin : begin + len(some)] = [key for key, _ in some]
            packed += [held for _, held in some]
        return keys, packed


class States:
    """What is known of each user, by key; the one not asked for longest is forgotten first.

    While it is frozen, nothing that stood there then is changed: a user who is asked for is a copy, and what is packed anew is kept beside.

    Args:
        most: users held.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._packed: dict[int, bytes] = {}
        self._hot: OrderedDict[int, Reader] = OrderedDict()
        self._frozen = False
        self._beside: dict[int, bytes] = {}
        """Packed since it was frozen."""
        self._left: set[int] = set()
        """Keys whose packed user was unpacked, or forgotten, since it was frozen."""
        self._lent: set[int] = set()
        """Keys whose unpacked user belongs to what was frozen."""

    def __len__(self) -> int:
        return len(self._packed) - len(self._left) + len(self._beside) + len(self._hot)

    def __contains__(self, key: int) -> bool:
        return key in self._hot or self._held(key) is not None

    def look(self, key: int) -> Reader:
        """Return what is known of a user, not to be changed; nobody is remembered for it."""
        if key in self._hot:
            return self._hot[key]
        held = self._held(key)
        return Reader.unpacked(held) if held else Reader()

    def of(self, key: int) -> Reader:
        """Return what is known of a user, to be changed; a new one is remembered."""
        reader = self._hot.get(key)
        if reader is not None:
            self._hot.move_to_end(key)
            if key in self._lent:
                self._lent.discard(key)
                reader = self._hot[key] = reader.copy()
            return reader
        held = self._taken(key)
        reader = self._hot[key] = Reader.unpacked(held) if held else Reader()
        while len(self._hot) > HOT:
            old, its = self._hot.popitem(last=False)
            self._lent.discard(old)
            (self._beside if self._frozen else self._packed)[old] = its.packed()
        # Many at once: a dict's first entry is found slowly after removals.
        if not self._frozen and len(self) > self._most + self._most // 100:
            self._shrink(len(self) - self._most)
        return reader

    def forget(self, key: int) -> None:
        """Know nothing of a user any more."""
        self._hot.pop(key, None)
        self._lent.discard(key)
        self._taken(key)

    def order(self) -> list[int]:
        """Return the key of every user, the one not asked for longest first."""
        return [*(key for key in self._packed if key not in self._left), *self._beside, *self._hot]

    def freeze(self) -> Frozen:
        """Return what is known now, which does not change until `thaw`; it takes no longer for a million users."""
        self.thaw()
        self._frozen, self._lent = True, set(self._hot)
        return Frozen(self._packed, list(self._hot.items()))

    def thaw(self) -> None:
        """Change in place again; whoever reads what was frozen must have ended."""
        for key in self._left:
            del self._packed[key]
        self._packed.update(self._beside)
        self._frozen, self._beside, self._left, self._lent = False, {}, set(), set()

    def load(self, keys: Iterable[int], packed: Iterable[bytes]) -> None:
        """Take what `Frozen.all` returned; what was known before is gone."""
        self._hot.clear()
        self._packed = dict(zip(keys, packed, strict=True))
        self._shrink(len(self) - self._most)

    def _held(self, key: int) -> bytes | None:
        if (held := self._beside.get(key)) is not None:
            return held
        return None if key in self._left else self._packed.get(key)

    def _taken(self, key: int) -> bytes | None:
        """Return a packed user, who is held here no more."""
        if not self._frozen:
            return self._packed.pop(key, None)
        if (held := self._beside.pop(key, None)) is not None:
            return held
        if key in self._left or key not in self._packed:
            return None
        self._left.add(key)
        return self._packed[key]

    def _shrink(self, count: int) -> None:
        for place in (self._packed, self._hot):
            gone = list(islice(place, max(count, 0)))
            for key in gone:
                del place[key]
            count -= len(gone)
