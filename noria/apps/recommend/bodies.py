"""What the routes of /v1/apps/recommend take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from noria.apps.settings import RulesSettings
from noria.server.http.fields import INTEGRAL, Body, Given, Name, Number, Rows, SomeId

from .rules import Asked

_PLAIN = {"user", "users", "count", "explain"}
"""Fields of a list that say nothing of its rules."""
Count = Annotated[int, Field(ge=1, le=50), INTEGRAL]
Price = Annotated[Number, Field(ge=0)]


class NewItem(Body):
    """One item to add: an id and a text, a title, or both."""

    id: SomeId
    text: str | None = None
    title: Name | None = None
    tags: list[Name] | None = None
    categories: list[Name] | None = None
    price: Price | None = None
    picture: Name | None = None
    """Path or address of a picture."""
    available: bool | None = None
    """Whether it can be had at present; what cannot is not offered."""
    time: Number | Name | None = None
    """When it came out: Unix seconds or ISO 8601."""
    meta: dict[str, Any] | None = None
    """A document's facts; `title` is read where the item names none itself."""


class NewItems(Body):
    """POST /items: add to the catalogue; an item whose id is known is replaced."""

    items: Rows[NewItem]


class OldItems(Body):
    """POST /items/remove: offer these no longer; they may be added again."""

    ids: Rows[SomeId]


class Within(Body):
    """What a list may hold, besides what the shop's rules say."""

    only: list[Name] | None = None
    """Categories that alone are offered, in the place of the rules' own."""
    without: list[Name] | None = None
    """Categories that are not offered either."""
    least_price: Price | None = None
    most_price: Price | None = None
    bought_again: bool | None = None
    """Offer what the user bought once more."""
    boosts: dict[str, Annotated[Number, Field(ge=-10, le=10)]] | None = None
    """Category or tag -> by how many standard deviations of the scores its items are moved up."""
    most_of_category: Annotated[int, Field(ge=1), INTEGRAL] | None = None
    not_items: list[SomeId] | None = None
    """Ids of items that stand on the page already."""
    explain: bool = False
    """Say of each pick why it is one, in every language."""

    def asked(self, rules: RulesSettings) -> Asked:
        """Return the rules of this list: the shop's, with what is said here above them."""
        if self.model_fields_set <= _PLAIN:
            return Asked(rules)
        said = {
            name: value
            for name in ("least_price", "most_price", "bought_again", "most_of_category")
            if (value := getattr(self, name)) is not None
        }
        if self.only is not None:
            said["only"] = tuple(self.only)
        without = (*rules.without, *(self.without or ()))
        merged = rules.model_copy(update={**said, "without": without, "boosts": rules.boosts | (self.boosts or {})})
        return Asked(merged, tuple(self.not_items or ()))


class PickFor(Within):
    """POST /pick."""

    user: SomeId
    count: Count = 5


class PicksFor(Within):
    """POST /picks: lists for many users at once, for a mail or a file; nothing counts as shown."""

    users: Rows[SomeId]
    count: Count = 20


class Like(Body):
    """POST /similar."""

    item: SomeId
    count: Count = 5


class SearchFor(Body):
    """POST /search."""

    query: Annotated[Given, Field(max_length=2_000)]
    count: Count = 20


class User(Body):
    """POST /history."""

    user: SomeId


class Click(Body):
    """POST /click and POST /buy."""

    user: SomeId
    item: SomeId
