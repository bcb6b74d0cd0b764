"""Every format of rows and texts that is read, in one table; and of others the reason why not, with the way round it.

format_of(Source("reviews.csv.gz")).kind       # "table"
why_not(Path("notes.rtf"))                     # "RTF is not read: save its text as .txt or .md"
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from noria.core.errors import InputError
from noria.core.messages import Message, message

from .encoding import SAMPLE_BYTES, text_of
from .sources import PACKED, Source

Kind = Literal["lines", "json", "table", "sheet", "parquet", "columns", "text", "page", "word", "pdf", "markup"]


@dataclass(frozen=True)
class Format:
    """One way to write rows or prose."""

    kind: Kind
    name: str
    endings: tuple[str, ...]

    @property
    def has_columns(self) -> bool:
        """Return whether a row's fields are the cells of a table, so that lists stand in them as text."""
        return self.kind in ("table", "sheet", "parquet", "page", "word", "markup")

    @property
    def is_prose(self) -> bool:
        """Return whether a file is a document that reads on; where rows are wanted, those of its first table are taken."""
        return self.kind in ("page", "word", "pdf")

    @property
    def is_document(self) -> bool:
        """Return whether it is opened whole, and its rows are those of a table in it."""
        return self.is_prose or self.kind == "markup"


FORMATS = (
    Format("lines", "JSON Lines", (".jsonl", ".ndjson", ".jsonlines")),
    Format("json", "JSON", (".json",)),
    Format("table", "CSV or TSV", (".csv", ".tsv", ".tab")),
    Format("sheet", "Excel", (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")),
    Format("parquet", "Parquet", (".parquet", ".pq")),
    Format("columns", "a token a line", (".conll", ".bio", ".bmes", ".bioes", ".iob", ".iob2")),
    Format("text", "text or Markdown", (".txt", ".text", ".md", ".markdown")),
    Format("page", "HTML", (".html", ".htm", ".xhtml")),
    Format("word", "Word", (".docx",)),
    Format("pdf", "PDF", (".pdf",)),
    Format("markup", "a table in HTML", ()),  # what some web shops call .xls
)
ENDINGS = tuple(ending for one in FORMATS for ending in one.endings)
OWN_RECORDS = ("noria.json", "drops.json", "provenance.jsonl", "certificate.json")
"""Files that Noria writes beside rows, and that hold none."""
_OTHERS = {
    ".doc": "word_97",
    ".docm": "word_macros",
    ".mht": "web_archive",
    ".mhtml": "web_archive",
    ".rtf": "rtf",
    ".odt": "odt",
    ".ppt": "powerpoint",
    ".pptx": "powerpoint",
    ".xml": "xml",
    ".epub": "epub",
    ".ann": "brat",
    ".arrow": "arrow",
    ".feather": "feather",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".pt": "weights",
    ".safetensors": "weights",
    ".sqlite": "database",
    ".db": "database",
    ".zip": "archive",
    ".tar": "archive",
    ".tgz": "archive",
    ".rar": "archive",
    ".7z": "archive",
}
"""Ending -> why files of it are not read, and what to do: code of a message."""
_TAG = re.compile(r"(?:O|[BIMESLU][-_]\S+)$")


def allowed(*, rows: bool = False) -> Message:
    """Return what a message says that may be given: every ending, or those of files of rows."""
    endings = [ending for one in FORMATS if not (rows and one.kind == "pdf") for ending in one.endings]
    return message("text.each_packed", endings=", ".join(endings), packed=", ".join(PACKED))


def format_of(source: Source) -> Format:
    """Return how a file is written: by its ending, unless its first bytes say otherwise.

    Raises:
        InputError: it is of a kind that is not read; the message says why and what to do.
    """
    suffix = source.suffix
    known = next((one for one in FORMATS if suffix in one.endings), None)
    head = source.head(SAMPLE_BYTES)
    if known is None and suffix in _OTHERS:
        raise InputError(
            message("text.not_read", name=source.name, why=message(f"text.others.{_OTHERS[suffix]}")), allowed=allowed()
        )
    if head[:4] == b"PAR1":
        return _of("parquet")
    if known and known.kind == "parquet":
        return known
    if known and known.kind in ("word", "pdf"):
        return known
    if head[:5] == b"%PDF-":
        return _of("pdf")
    if head[:4] == b"PK\x03\x04" or head[:4] == b"\xd0\xcf\x11\xe0" or (known and known.kind == "sheet"):
        return _sheet(source, known, head)
    if known and known.kind == "page":
        return known
    text = text_of(head, source.name).lstrip("\ufeff")
    if known and known.kind != "text" and re.match(r"\s*<(?:!doctype html|html|table)\b", text, re.IGNORECASE):
        raise InputError(message("text.html_page", name=source.name), hint=message("text.give_ending"))
    found = _by_content(text, known, source.name)
    if found is None:
        raise InputError(message("text.unknown_kind"), found=source.name, allowed=allowed())
    return _of(found)


def why_not(path: Path) -> Message | None:
    """Return why a file in a folder is not read, or None where its name speaks for one that is."""
    suffix = Source(path.name).suffix
    if path.name.startswith("."):
        return message("text.hidden")
    if path.name in OWN_RECORDS:
        return message("text.own_record")
    if suffix in ENDINGS:
        return None
    if suffix in _OTHERS:
        return message(f"text.others.{_OTHERS[suffix]}")
    return message("text.unknown_ending", suffix=suffix) if suffix else message("text.no_ending")


def _of(kind: Kind) -> Format:
    return next(one for one in FORMATS if one.kind == kind)


def _sheet(source: Source, known: Format | None, head: bytes) -> Format:
    if known and known.kind not in ("sheet", "table"):
        raise InputError(
            message("text.is_not", name=source.name, name_2=known.name),
            found=message("text.spreadsheet_archive"),
            hint=message("text.give_ending_own"),
        )
    if head[:1] in (b"{", b"[") or (
        known and known.kind == "sheet" and head[:4] not in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
    ):
        # What some web shops call .xls is a table of tabs or of HTML.
        text = text_of(head, source.name)
        if "<table" in text.lower() or "<html" in text.lower():
            return _of("markup")
        return _of("table")
    return _of("sheet")


def _by_content(text: str, known: Format | None, name: str) -> Kind | None:
    """Return the kind that a text's beginning speaks for; JSON is known by its brackets whatever its file is called."""
    bare = text.lstrip()
    if known and known.kind == "table" and not (bare[:1] in ("{", "[") and _begins_with_rows(bare)):
        return "table"
    if known and known.kind in ("lines", "json") and not _has_brackets(bare):
        raise InputError(
            message("text.is_not", name=name, name_2=known.name),
            found=bare.partition("\n")[0],
            allowed=message("text.or_2"),
            hint=message("text.table_ending"),
        )
    if bare[:1] in ("{", "["):
        if (known is None or known.kind == "text") and not _begins_with_rows(bare):
            return known.kind if known else None
        return "lines" if _is_lines(bare, known) else "json"
    if (known is None or known.kind == "text") and _is_columns(bare):
        return "columns"
    return known.kind if known else None


def _begins_with_rows(bare: str) -> bool:
    """Say whether a text's first line is JSON rows; [1] may also begin a list of references."""
    try:
        value = json.loads(bare.partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _has_brackets(bare: str) -> bool:
    """Say whether any line begins as JSON rows do, or there is no line at all."""
    lines = [line.lstrip("\ufeff \t")[:1] for line in bare.split("\n") if line.strip()]
    return not lines or any(first in ("{", "[") for first in lines)


def _is_lines(bare: str, known: Format | None) -> bool:
    """Say whether each line is an object of its own, rather than the whole one value."""
    first, _, rest = bare.partition("\n")
    called = known.kind if known else "lines"
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # An object or an array written over many lines begins with a line that is none by itself.
        return called != "json" and first[0] == "{" and first.strip() != "{"
    if isinstance(value, list):
        return called == "lines" and bool(rest.strip()) and not rest.lstrip().startswith(("{", ","))
    return called != "json" or bool(rest.strip())


def _is_columns(bare: str) -> bool:
    """Say whether a text has a token and its tag on each line."""
    lines = [line.split() for line in bare.split("\n")[:200] if line.strip()][:-1] or [bare.split()]
    tagged = sum(2 <= len(line) <= 12 and bool(_TAG.fullmatch(line[-1])) for line in lines)
    return tagged >= 2 and tagged >= 0.9 * len(lines)
