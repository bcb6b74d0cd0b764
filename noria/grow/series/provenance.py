"""Where a series came from: told above its columns, in a line of the file, or once by a person, and then kept beside the file.

options = kept_options(Path("sales.csv"))                     # what sales.csv.provenance.toml says
found = provenance_of(head, options, Path("sales.csv"))       # InputError where nobody has said who publishes the figures
keep_options(Path("sales.csv"), options, found)               # the next command asks nothing
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime
from pathlib import Path

from noria.core.errors import InputError, unknown
from noria.core.messages import Message, joined, message

from .cells import Flag
from .shapes import SeriesOptions

KEYS = ("source", "licence", "as_of", "changes", "notice")
ENDING = ".provenance.toml"
"""What the name of the file beside a series' file ends with."""


@dataclass(frozen=True)
class Provenance:
    """Where a series came from."""

    source: str
    """Who published it, where."""
    licence: str
    """Under which the figures may be used; nothing where nobody says."""
    as_of: date
    """The day on which the publisher's figures stood as they are here."""
    changes: str = ""
    """What was changed against the source."""
    notice: str = ""
    """Name of the file with the licence's notice, beside the series."""
    days: Message | None = None
    """Whose days, weeks and months its times are, where they were counted here."""

    def text(self) -> Message:
        """Return the citation that goes under a chart."""
        facts = {"source": self.source, "as_of": self.as_of.isoformat()}
        cited = (
            message("series.cited", **facts, licence=self.licence)
            if self.licence
            else message("series.cited_unlicensed", **facts)
        )
        return joined("join.nothing", [cited, message("log.cited_days", days=self.days)]) if self.days else cited


def beside(path: Path) -> Path:
    """Return the file in which is kept what a person said of a series' file."""
    return path.with_name(path.name + ENDING)


def kept_options(path: Path, options: SeriesOptions | None = None) -> tuple[SeriesOptions, dict[str, str]]:
    """Return what a person says, completed by what is kept beside the file; and the provenance kept there.

    Raises:
        InputError: the file beside is not TOML, or has an unknown key.
    """
    options, kept = options or SeriesOptions(), beside(path)
    if not kept.is_file():
        return options, {}
    try:
        told = {key: str(value) for key, value in tomllib.loads(kept.read_text(encoding="utf-8")).items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(message("errors.unreadable", path=kept), found=str(error)) from None
    names = [one.name for one in fields(SeriesOptions)]
    if strange := [key for key in told if key not in (*names, *KEYS)]:
        raise unknown("key of provenance", strange[0], dict.fromkeys((*KEYS, *names)))
    plain = SeriesOptions()
    more = {name: told[name] for name in names if name in told and getattr(options, name) == getattr(plain, name)}
    return replace(options, **more), {key: told[key] for key in KEYS if key in told}  # type: ignore[arg-type]


def provenance_of(
    head: Mapping[str, str], kept: Mapping[str, str], options: SeriesOptions, path: Path, found_source: str = ""
) -> tuple[Provenance, list[Flag]]:
    """Return where a series came from, and what nobody told of it.

    Args:
        head: what the lines above the columns say.
        kept: what the file beside says.
        options: what the person says.
        path: the file.
        found_source: what a line such as "Source: ..." of the file says.

    Raises:
        InputError: nobody has said who publishes the figures, a key is unknown, or `as_of` is no day.
    """
    if strange := [key for key in head if key not in KEYS]:
        raise unknown("key of provenance", strange[0], KEYS)
    told = {key: value for key in KEYS if (value := kept.get(key) or head.get(key))}
    told |= {key: value for key, value in (("source", options.source), ("licence", options.licence)) if value}
    source = told.get("source") or found_source
    if not source:
        raise InputError(
            message("grow.does_say", path=path),
            found=message("grow.no_source"),
            allowed=message("grow.lines_such"),
            hint=message("grow.say_source", name=path, kept=beside(path).name),
        )
    flags = []
    if not told.get("source"):
        flags.append(Flag("provenance", "", message("flags.provenance.found", source=source)))
    if "as_of" not in told:
        told["as_of"] = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
        flags.append(Flag("provenance", "", message("flags.provenance.as_of", as_of=told["as_of"])))
    try:
        as_of = date.fromisoformat(told["as_of"])
    except ValueError:
        raise InputError(message("grow.day", path=path), found=told["as_of"], allowed="YYYY-MM-DD") from None
    return Provenance(source, told.get("licence", ""), as_of, told.get("changes", ""), told.get("notice", "")), flags


def keep_options(path: Path, given: SeriesOptions, options: SeriesOptions, provenance: Provenance) -> list[Flag]:
    """Keep beside a file what a person said of it, where that is more than is kept; return what is to be said of it.

    Args:
        path: the series' file.
        given: what the person said now.
        options: the same with what was kept before.
        provenance: the series'.
    """
    plain = asdict(SeriesOptions())
    if asdict(given) == plain:
        return []
    told = {key: value for key, value in asdict(options).items() if value != plain[key]}
    told |= {"source": provenance.source, "as_of": provenance.as_of.isoformat()}
    if provenance.licence:
        told["licence"] = provenance.licence
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in sorted(told.items()))
    kept = beside(path)
    try:
        if kept.is_file() and kept.read_text(encoding="utf-8") == text:
            return []
        kept.write_text(text, encoding="utf-8")
    except OSError as error:
        return [Flag("provenance", "", message("flags.provenance.not_kept", kept=kept.name, why=error.strerror))]
    return [Flag("provenance", "", message("flags.provenance.kept", kept=kept.name))]
