"""Names and aliases that a team gives, joined with those that a tagger finds: whom a text names, each under one name, and where.

names.toml                                     # or rows of name, kind, aliases, excluded in any format that is read
[[name]]
name = "华为"
kind = "organisation"
aliases = ["菊厂", "Huawei"]
excluded = ["成华为"]

A name of the list stands above what the tagger says of its place, and is found as `noria.text.mentions` tells: the longest counts,
one in letters as a whole word, one in Chinese anywhere, a capitalised word not in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from noria.core.errors import InputError, RowError, SettingError
from noria.core.messages import message
from noria.core.settings import Settings, read_toml
from noria.text.columns import COLUMNS, cell_of
from noria.text.headings import bare_name
from noria.text.mentions import Brand, Finder, readable
from noria.text.records import read_records

MOST_NAMED = 16
"""Names of one text that are counted: those of the list first, then in their order. A text that lists a thousand is about none."""
_KINDS = {
    **dict.fromkeys(("person", "people", "per", "人物", "人", "人名"), "person"),
    **dict.fromkeys(
        ("organisation", "organization", "org", "company", "corporation", "group", "机构", "组织", "公司", "企业"),
        "organisation",
    ),
    **dict.fromkeys(("product", "prod", "产品", "商品"), "product"),
    **dict.fromkeys(("place", "location", "loc", "gpe", "地点", "地名"), "place"),
}
"""What lists and taggers call a kind -> the kind."""
_PARTS = re.compile(r"[/|;；、,，\n]")


class Listed(Settings):
    """A name of the list."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it is called in counts and alerts."""
    kind: Literal["person", "organisation", "product", "place"] = "organisation"
    """What it is."""
    aliases: tuple[str, ...] = ()
    """What else it is called: short names, other languages, tickers."""
    excluded: tuple[str, ...] = ()
    """Phrases that hold one of its names and do not mean it."""


@dataclass(frozen=True)
class Named:
    """One that a text names."""

    name: str
    kind: str
    places: tuple[tuple[int, int], ...]
    """First and past-the-last character of each place."""


class KnownNames:
    """The names of a list, found in texts and joined with a tagger's spans."""

    def __init__(self, listed: Sequence[Listed] = ()) -> None:
        self.listed: Mapping[str, Listed] = {one.name: one for one in listed}
        self._finder = Finder([Brand(one.name, (one.name, *one.aliases), excluded=one.excluded) for one in listed])
        self._owners = {readable(alias).casefold(): one.name for one in listed for alias in (one.name, *one.aliases)}

    def named(self, text: str, spans: Iterable[Mapping[str, Any]] = ()) -> list[Named]:
        """Return whom a text names, at most `MOST_NAMED`: those of the list first, then those that a tagger found elsewhere.

        Args:
            text: any text.
            spans: what a tagger found in it: {start, end, label, text}.
        """
        found: dict[str, list[tuple[int, int]]] = {}
        kinds: dict[str, str] = {}
        covered = bytearray(len(text))
        for mention in self._finder.find_in(text).mentions:
            found.setdefault(mention.brand, []).append((mention.start, mention.end))
            covered[mention.start : mention.end] = b"\1" * (mention.end - mention.start)
        for span in spans:
            start, end = int(span["start"]), int(span["end"])
            if any(covered[start:end]):
                continue
            name = self._owners.get(readable(str(span["text"])).casefold(), str(span["text"]))
            kinds.setdefault(name, kind_of(str(span["label"])))
            found.setdefault(name, []).append((start, end))
        named = [
            Named(name, self.listed[name].kind if name in self.listed else kinds[name], tuple(sorted(places)))
            for name, places in found.items()
        ]
        return sorted(named, key=lambda one: (one.name not in self.listed, one.places[0]))[:MOST_NAMED]


def kind_of(label: str) -> str:
    """Return the kind that a tagger's label means; of labels of its own the label in small letters.

    >>> kind_of("PER"), kind_of("corporation"), kind_of("creative-work")
    ('person', 'organisation', 'creative-work')
    """
    return _KINDS.get(label.strip().casefold(), label.strip().casefold())


def read_names(path: str | Path) -> KnownNames:
    """Return the names of a file: TOML of [[name]], or rows in any format that is read.

    Raises:
        InputError: the file is missing, is of no such form, or holds no name.
        SettingError: a name has a key that is unknown or a value that is not allowed, or two share an alias.
    """
    listed: dict[str, Listed] = {}
    owners: dict[str, str] = {}
    for place, values in enumerate(_values(Path(path)), 1):
        one = _listed(values, path, place)
        if one.name in listed:
            raise SettingError(message("apps.name_twice", path=path), found=one.name)
        listed[one.name] = one
        for alias in (one.name, *one.aliases):
            owner = owners.setdefault(readable(alias).casefold(), one.name)
            if owner != one.name:
                raise SettingError(
                    message("apps.alias_twice", path=path, one=owner, other=one.name),
                    found=alias,
                    allowed=message("apps.alias_once"),
                )
    if not listed:
        raise InputError(message("apps.no_names", path=path), allowed="[[name]] name, kind, aliases, excluded")
    return KnownNames(list(listed.values()))


def _values(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == ".toml":
        rows = read_toml(path).get("name")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(message("apps.no_names", path=path), allowed="[[name]] name, kind, aliases, excluded")
        yield from rows
        return
    for _, row in read_records(path):
        if isinstance(row, RowError):
            raise row
        cells = {bare_name(str(key)): value for key, value in row.items()}
        held: dict[str, Any] = {field: cell_of("names", field, cells) for field in COLUMNS["names"]}
        if held["name"]:
            yield {field: value for field, value in held.items() if value not in (None, "")}


def _listed(values: Mapping[str, Any], path: str | Path, place: int) -> Listed:
    given = dict(values)
    for field in ("aliases", "excluded"):
        parts = given.get(field, ())
        parts = _PARTS.split(parts) if isinstance(parts, str) else parts
        if isinstance(parts, list | tuple):
            given[field] = tuple(dict.fromkeys(part for part in (str(one).strip() for one in parts) if part))
    if isinstance(given.get("name"), str):
        given["name"] = given["name"].strip()
    if isinstance(given.get("kind"), str):
        given["kind"] = kind_of(given["kind"])
    try:
        return Listed.make(**given)
    except SettingError as error:
        raise SettingError(
            message("apps.name_wrong", path=path, name=str(values.get("name", place)), what=error.what),
            found=error.found,
            allowed=error.allowed,
            hint=error.hint,
        ) from None
