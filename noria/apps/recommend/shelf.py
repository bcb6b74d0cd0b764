"""Picks items for users and learns from what they do: a list is planned by taste, rules and diversity, with a share left to chance.

    shelf = Shelf(settings)
    shelf.put(items, embeddings)
    for pick in shelf.choose(key, 5): ...            # Pick(item, score, why, propensity)
    shelf.show(key, "item 7")
    shelf.click(key, "item 7", second=1_700_000_000)
    shelf.buy(key, "item 7")                         # never offered to them again, unless the rules say so

A taste is the recent mean of what a user clicked; with a ranker that learned from behaviour, its scores stand in that place. The
same user of the same state gets the same list, before a restart and after. Knows nothing of HTTP, models or events.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import numpy as np
import xxhash

from noria.apps.settings import RecommendSettings
from noria.core.errors import InputError
from noria.core.messages import Message, message
from noria.infer.recommend import Ranker
from noria.tasks.deeds import Deed
from noria.tasks.items import Item

from .catalogue import Catalogue
from .plan import NEAR, Plan
from .rules import Asked, Offers
from .shortlist import Scored, Shortlist, Wanted, Why, diverse, shortlist
from .states import BUY, CLICK, Reader, States

DEED_KINDS = {CLICK: "click", BUY: "buy"}
_LIKE = 0.05
"""Cosine above which an item is said to be like another; of centred vectors of unlike items it is about 0."""


@dataclass(frozen=True)
class Pick:
    """One item recommended."""

    item: Item
    score: float
    """Cosine to the user's taste, centred on the catalogue, or a ranker's score; for popular ones the smoothed rate of clicks."""
    why: Why
    """What the taste is near to, what is popular, what chance chose, what is paid for; or again, for they have seen all else."""
    propensity: float = 1.0
    """Probability with which it stands at its place."""


class Shelf:
    """Picks items for users and learns from what they do."""

    def __init__(
        self,
        settings: RecommendSettings | None = None,
        ranker: Ranker | None = None,
        beside: Ranker | None = None,
    ) -> None:
        self.settings = settings or RecommendSettings()
        self.rankers = (ranker, beside) if self.settings.trial else (ranker,)
        """The live one, and the one that is tried on some users; None is by text."""
        self.catalogue = Catalogue([], np.zeros((0, 1)))
        self._offers = Offers(self.catalogue)
        self.shown = np.zeros(0)
        self.clicks = np.zeros(0)
        self.states = States(self.settings.readers)
        self._columns: list[np.ndarray] = []
        self._turn = Lock()
        """A list is made of one catalogue, and in a thread where that takes long."""

    def put(self, items: Sequence[Item], vectors: np.ndarray, *, encoder: str = "") -> None:
        """Add items, or replace those whose ids are known; users and counts stay.

        Args:
            items: to be offered.
            vectors: their embeddings, [items, width].
            encoder: identity of the model that made them: a ranker takes no other's.
        """
        self.use(self.grown(items, vectors), encoder=encoder)

    def grown(self, items: Sequence[Item], vectors: np.ndarray) -> Catalogue:
        """Return the catalogue with more items, for `use`; it takes a while, and may be made in a thread."""
        return self.catalogue.put(items, vectors)

    def use(self, catalogue: Catalogue, *, encoder: str = "") -> None:
        """Offer what a catalogue does that grew from the present one."""
        with self._turn:
            more = np.zeros(len(catalogue) - len(self.catalogue))
            self.catalogue, self._offers = catalogue, Offers(catalogue)
            self.shown, self.clicks = np.concatenate([self.shown, more]), np.concatenate([self.clicks, more])
            self._columns = [_extended(ranker, catalogue, encoder) for ranker in self.rankers]

    def rank_by(self, ranker: Ranker | None, beside: Ranker | None, trial: float, *, encoder: str) -> None:
        """Rank by others from now on. It may be called in a thread, for it takes a while: they are given the items that they never saw.

        Args:
            ranker: the live one; None is by text.
            beside: one that is tried on some users.
            trial: share of these users; nobody is ranked for by `beside` at 0.
            encoder: identity of the model that made the items' vectors.
        """
        others = (ranker, beside) if trial else (ranker,)
        while True:
            catalogue, known = self.catalogue, dict(zip(self.rankers, self._columns, strict=False))
            columns = [known[one] if one in known else _extended(one, catalogue, encoder) for one in others]
            with self._turn:
                if catalogue is self.catalogue:  # else items came meanwhile
                    self.rankers, self.settings, self._columns = others, self.settings.replace(trial=trial), columns
                    return

    def arm(self, key: int) -> int:
        """Return which of the rankers a user has: the same one always."""
        lot = xxhash.xxh3_64_intdigest(f"{self.settings.seed}/{key}".encode()) / 2**64
        return int(len(self.rankers) > 1 and lot < self.settings.trial)

    def only(self, arm: int | None, *, taste: bool = True) -> Shelf:
        """Return a shelf of the same items and users that leaves nothing to chance: one ranker's, or by text alone where None."""
        other, ranker = copy(self), None if arm is None else self.rankers[arm]
        other.settings, other.rankers = self.settings.replace(chance=0.0, trial=0.0, taste=taste), (ranker,)
        other._columns = [np.zeros(0, np.int64) if arm is None else self._columns[arm]]
        return other

    def choose(self, key: int, count: int, asked: Asked | None = None) -> list[Pick]:
        """Return `count` items for a user: what they have not seen first, then what they saw longest ago.

        Never what they bought or what the rules keep back; fewer items only where no more are left.

        Args:
            key: the user.
            count: how many items.
            asked: the rules; those of the settings unless told.
        """
        return self.choose_all([self.wanted(key, count, asked)])[0]

    def wanted(self, key: int, count: int, asked: Asked | None = None, *, copied: bool = False) -> Wanted:
        """Return what a list is made from; `copied` where it is made in a thread."""
        reader = self.states.look(key)
        return Wanted(key, reader.copy() if copied else reader, count, asked or Asked(self.settings.rules))

    def choose_all(self, wanted: Sequence[Wanted]) -> list[list[Pick]]:
        """Return a list for each of several users; together they take less time than one by one."""
        return [self.drawn(one, its) for one, its in zip(wanted, self.shortlists(wanted), strict=True)]

    def shortlists(self, wanted: Sequence[Wanted]) -> list[Shortlist]:
        """Return the best items for each of several users: of making lists, all that reads the whole catalogue.

        It may be done in a thread, of readers that are copies; `drawn` takes a fraction of a millisecond.
        """
        with self._turn:
            scored = self._scored(wanted)
            made = [
                shortlist(self.catalogue, self._offers.under(one.asked.rules), one, its)
                for one, its in zip(wanted, scored, strict=True)
            ]
            counts = [one.count - (short.paid is not None) for one, short in zip(wanted, made, strict=True)]
            diverse(made, counts, self.settings.diversity)
            return made

    def plan(self, key: int, count: int, asked: Asked | None = None) -> Plan:
        """Return what may stand at each place of a user's list, and how likely."""
        wanted = self.wanted(key, count, asked)
        return self._planned(wanted, self.shortlists([wanted])[0])

    def drawn(self, wanted: Wanted, short: Shortlist) -> list[Pick]:
        """Return the list of a user: the best one, and what chance put in its places."""
        reader, items = wanted.reader, short.catalogue.items
        plan = self._planned(wanted, short)
        drawn = plan.draw(np.random.default_rng([self.settings.seed, wanted.key, _moment(short.catalogue, reader)]))
        picks = []
        scores = short.exact([row for row, _, _ in drawn])
        for place, ((row, propensity, by_chance), score) in enumerate(zip(drawn, scores, strict=True)):
            why: Why = "chance" if by_chance else short.scored.why
            if place in plan.fixed:
                why = "again" if row in reader.seen else "sponsored"
            picks.append(Pick(items[row], round(score, 4), why, propensity))
        return picks

    def _planned(self, wanted: Wanted, short: Shortlist) -> Plan:
        settings, rules, paid = self.settings, wanted.asked.rules, short.paid
        best = list(short.best)
        fixed = set()
        if paid is not None and len(best) >= rules.sponsored_place - 1:
            best.insert(rules.sponsored_place - 1, paid)
            fixed.add(rules.sponsored_place - 1)
        again = short.again(wanted.reader, wanted.count - len(best), best, rules.most_of_category)
        fixed |= set(range(len(best), len(best) + len(again)))
        taken = set(best)
        free = len(best) + len(again) - len(fixed)
        next_best = (row for row in short.rows.tolist() if row not in taken)
        nearby = list(islice(next_best, NEAR * free)) if settings.nearby else []
        out = short.out.union(best, nearby)
        away = np.fromiter(out, np.int64, len(out))
        pools, others = short.catalogue.pools(free), short.offer.mask.copy()
        sizes = short.offer.sizes(free) - pools.sizes(away[others[away]])
        others[away] = False
        lots = (pools, sizes, settings.chance, settings.nearby)
        return Plan((*best, *again), frozenset(fixed), tuple(nearby), others, *lots)

    def show(self, key: int | None, item: str) -> None:
        """Learn that an item was shown to a user, None for nobody known; what is not on the shelf is passed over."""
        if (row := self.catalogue.places.get(item)) is None:
            return
        self.shown[row] += 1
        if key is not None:
            self.states.of(key).show(row)

    def click(self, key: int | None, item: str, second: int = 0) -> None:
        """Learn that a user opened an item. A second click on one showing tells nothing new.

        A click without a showing, such as one from a search, counts as shown: a rate of clicks is one at most.

        Raises:
            InputError: no such item.
        """
        self._act(key, item, CLICK, second)

    def buy(self, key: int | None, item: str, second: int = 0) -> None:
        """Learn that a user bought an item: it tells their taste as a click does, and is not offered to them again.

        Raises:
            InputError: no such item.
        """
        self._act(key, item, BUY, second)

    def _act(self, key: int | None, item: str, kind: int, second: int) -> None:
        if item not in self.catalogue.places:
            raise InputError(message("apps.unknown_item"), found=item)
        row = self.catalogue.places[item]
        reader = Reader() if key is None else self.states.of(key)
        shown = row in reader.seen
        if reader.act(row, kind, second):
            self.shown[row] += not shown
            self.clicks[row] += 1

    def taste(self, reader: Reader) -> np.ndarray | None:
        """Return the mean of the clicked items' vectors, of length 1; None before a click, or where tastes are not followed.

        A click weighs memory^a, a the number of clicks behind it, and the weights are divided by their sum: the
        exponential mean with its start corrected (Kingma and Ba 2015, section 3). [width]
        """
        rows = [row for _, row, _ in reader.deeds if self.catalogue.live[row]]
        if not rows or not self.settings.taste:
            return None
        weights = self.settings.memory ** np.arange(len(rows) - 1, -1, -1)
        mean = (weights / weights.sum()).astype(np.float32) @ self.catalogue.vectors[rows]
        # The mean of unit vectors, made a unit vector again: the scores of different readers stay comparable.
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))

    def popularity(self) -> np.ndarray:
        """Return clicks per showing of every item, drawn towards the mean by ten showings, [rows]."""
        mean = (self.clicks.sum() + 1) / (self.shown.sum() + 10)
        return np.asarray((self.clicks + 10 * mean) / (self.shown + 10))

    def history(self, reader: Reader) -> list[Deed]:
        """Return what a user did, the oldest first."""
        return [
            Deed(self.catalogue.items[row].id, DEED_KINDS[kind], 1.0, float(second))
            for second, row, kind in reader.deeds
        ]

    def reason(self, key: int, pick: Pick) -> Message:
        """Return why a user is offered an item: what they did that speaks for it, or what it is besides."""
        if pick.why != "taste":
            return message(f"apps.why_{pick.why}")
        reader, ranker = self.states.look(key), self.rankers[self.arm(key)]
        if ranker is not None:
            strongest = ranker.reasons(self.history(reader), pick.item.id)[0]
            if strongest.kind == "popular" or strongest.item not in self.catalogue.places:
                return message("apps.why_popular")
            title = self.catalogue.items[self.catalogue.places[strongest.item]].title
            return message("apps.since_together" if strongest.kind == "taste" else "apps.since_read", title=title)
        rows = [row for _, row, _ in reader.deeds if self.catalogue.live[row]]
        if not rows:
            return message("apps.why_taste")
        cosines = self.catalogue.exact(np.array(rows), self.catalogue.vectors[self.catalogue.places[pick.item.id]])
        best = int(np.argmax(cosines))
        if cosines[best] < _LIKE:
            return message("apps.why_taste")
        bought = rows[best] in reader.bought
        title = self.catalogue.items[rows[best]].title
        return message("apps.since_bought" if bought else "apps.since_read", title=title)

    def _scored(self, wanted: Sequence[Wanted]) -> list[Scored]:
        """Return how well every item suits each of some users."""
        found: list[Scored | None] = [None] * len(wanted)
        for arm, ranker in enumerate(self.rankers):
            mine = [number for number, one in enumerate(wanted) if self.arm(one.key) == arm]
            some = [wanted[number] for number in mine]
            if not some:
                continue
            made = (
                self._by_text(some) if ranker is None or not self.settings.taste else self._by_ranker(arm, ranker, some)
            )
            for number, one in zip(mine, made, strict=True):
                found[number] = one
        return [one for one in found if one is not None]

    def _by_text(self, wanted: Sequence[Wanted]) -> list[Scored]:
        tastes = [self.taste(one.reader) for one in wanted]
        known = [taste for taste in tastes if taste is not None]
        rough = iter(self.catalogue.rough(np.array(known))) if known else iter(())
        popular = self.popularity() if len(known) < len(wanted) else np.zeros(0)
        found = []
        for one, taste in zip(wanted, tastes, strict=True):
            if taste is not None:
                found.append(Scored(next(rough), taste, "taste"))
                continue
            # Equals are told apart by chance, each user's own: a new catalogue has no popular items yet.
            mixed = self.catalogue.salts * np.uint32(one.key & 0xFFFFFFFF | 1) + np.uint32(one.key >> 32 & 0xFFFFFFFF)
            found.append(Scored(popular + mixed * (1e-6 / 2**32), None, "popular"))
        return found

    def _by_ranker(self, arm: int, ranker: Ranker, wanted: Sequence[Wanted]) -> list[Scored]:
        columns = self._columns[arm]
        ranked, there = ranker.scores([self.history(one.reader) for one in wanted]), columns >= 0
        found = []
        for row, one in zip(ranked, wanted, strict=True):
            scores = np.full(len(self.catalogue), row.min(initial=0.0), np.float32)
            scores[columns[there]] = row[there]
            found.append(Scored(scores, None, "taste" if one.reader.deeds else "popular", by_ranker=True))
        return found


def _moment(catalogue: Catalogue, reader: Reader) -> int:
    """Return a number that changes with what is known of a user, and that no numbering of rows decides."""
    lasts = [row for _, row, _ in reader.deeds[-1:]]
    lasts += [row for rows in (reader.seen, reader.bought) if (row := next(reversed(rows), None)) is not None]
    ids = (catalogue.items[row].id for row in lasts)
    counts = f"{len(reader.deeds)} {len(reader.seen)} {len(reader.bought)}"
    return xxhash.xxh3_64_intdigest("\n".join((counts, *ids)).encode())


def _extended(ranker: Ranker | None, catalogue: Catalogue, encoder: str) -> np.ndarray:
    """Give a ranker the items that it never saw; return the row of each of its items, -1 of those that are not here."""
    if ranker is None:
        return np.zeros(0, np.int64)
    ranked = set(ranker.items)
    new = [row for row, item in enumerate(catalogue.items) if item.id not in ranked and catalogue.live[row]]
    fits = encoder == ranker.encoder and catalogue.raw.shape[1] == ranker.width
    if new:
        items = [catalogue.items[row] for row in new]
        ranker.extend(
            [item.id for item in items],
            catalogue.raw[new] if fits else None,
            [item.described for item in items],
            prices=[item.price for item in items],
            times=[item.time for item in items],
        )
    return np.array([catalogue.places.get(id, -1) for id in ranker.items], dtype=np.int64)
