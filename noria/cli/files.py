"""Settings from a TOML file below those from flags, and columns from two short flags."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from noria.core.errors import SettingError, unknown
from noria.core.progress import Report
from noria.core.settings import Settings, read_toml
from noria.make.training.settings import ReadSettings

Kind = TypeVar("Kind", bound=Settings)
Reading = TypeVar("Reading", bound=ReadSettings)


def with_file(given: Kind, file: Path | None, section: str, others: Iterable[str] = ()) -> Kind:
    """Return `given`, with what it leaves open taken from one section of a TOML file.

    Args:
        given: settings from flags.
        file: the TOML file; None changes nothing.
        section: the file's section.
        others: keys of the section that are no settings but other flags of the command; they are passed over.

    Raises:
        InputError: the file is missing or is not TOML.
        SettingError: it has no such section, or a key or value that is not allowed.
    """
    if file is None:
        return given
    document = read_toml(file)
    if section not in document:
        raise unknown(f"section of {file}", section, document)
    values = document[section]
    if not isinstance(values, dict):
        raise SettingError(f"{section} of {file} is no section", found=values, allowed=f"[{section}]")
    passed = set(others) - set(type(given).model_fields)
    kept = {key: value for key, value in values.items() if key not in passed}
    return type(given).make(**merged(kept, given.model_dump(exclude_unset=True)))


def with_columns(reading: Reading, text: str | None, label: str | None) -> Reading:
    """Return how rows are read, with the columns of text and label that have flags of their own."""
    named = {field: column for field, column in (("text", text), ("label", label)) if column is not None}
    return reading.replace(columns={**reading.columns, **named}) if named else reading


def report_written(out: Path, report: Report) -> None:
    """Tell that a model was trained and written, and in the same breath what must be known of it."""
    from noria.core.caveats import caveats
    from noria.core.folder import read_manifest

    facts = read_manifest(out).facts
    known = caveats(facts)
    verdict = "" if facts.get("verdict") in (None, "no baseline", "not judged") else f" ({facts['verdict']})"
    report.ledger(f"model written to {out}{verdict}{'' if not known else ', BUT:'}", out=str(out), caveats=known)
    for words in known:
        report.ledger(f"- {words}")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return two nested dicts as one; where both say something, `above` holds."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both
