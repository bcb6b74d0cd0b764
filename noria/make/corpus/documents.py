"""Files, folders and rows to Documents, in every format and encoding that is read; what in a folder is not read is named."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.tasks.forms import form_of
from noria.tasks.records import columns_for, columns_text
from noria.tasks.task import task_for
from noria.text.formats import allowed, format_of, why_not
from noria.text.passages import TextDocument
from noria.text.records import Records, read_records
from noria.text.sources import Source

from .settings import CleanSettings


@dataclass(frozen=True)
class Document:
    """A text with its name and whatever else is known of it."""

    id: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON-able facts. `label` and `spans` ([{start, end, label}], in characters) are kept true through cleaning."""

    def as_dict(self) -> dict[str, Any]:
        """Return the document as one row of JSONL."""
        return {"id": self.id, "text": self.text, "meta": self.meta}


@dataclass(frozen=True)
class Gathered:
    """The files that sources stand for, and those in folders that are not read."""

    files: list[Path]
    left: dict[str, list[Path]]
    """Reason -> files that are not read for it."""
    found: frozenset[Path] = frozenset()
    """Those of the files that a folder held: one of them that cannot be opened is left, where one that was named is an error."""
    read: Counter[str] = field(default_factory=Counter)
    """Format -> files that were read, as far as reading has come."""

    def leave(self, path: Path, error: InputError) -> Message:
        """Count a file that cannot be opened, and return the line that tells it."""
        reason = error.what.replace(str(path), "", 1).strip(": ").removeprefix("is ")
        self.left.setdefault(reason, []).append(path)
        return _not_read(reason, [path])

    def lines(self) -> list[Message]:
        """Return a line a reason: how many files are not read, and which."""
        return [_not_read(reason, files) for reason, files in self.left.items()]

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return reason -> how many files, and the names of the first."""
        return {
            reason: {"files": len(files), "names": [file.name for file in files[:NAMED]]}
            for reason, files in self.left.items()
        }


NAMED = 20
"""Files of one reason that a manifest names."""


def gather(sources: Sequence[str | Path]) -> Gathered:
    """Return what the sources stand for: a file for itself, a folder for all files below it that are read.

    Every file below a folder is among those that are read or those that are left; of a link, what it leads to counts.

    Raises:
        InputError: a source is missing, or a folder holds no file that is read.
    """
    if not sources:
        raise InputError(message("errors.nothing_to_read"), allowed=message("errors.one_file"))
    files: list[Path] = []
    found: set[Path] = set()
    left: dict[str, list[Path]] = {}
    for source in map(Path, sources):
        if source.is_dir():
            good, bad = _below(source)
            files += good
            found.update(good)
            for path, reason in bad:
                left.setdefault(reason, []).append(path)
            if not good:
                reasons = "; ".join(sorted({reason for _, reason in bad})[:3])
                raise InputError(
                    message("make.holds_file", source=source),
                    found=reasons or message("make.empty_folder"),
                    allowed=allowed(),
                )
        elif not source.exists():
            raise InputError(message("errors.no_file_or_folder"), found=str(source))
        else:
            format_of(Source(str(source)))
            files.append(source)
    return Gathered(list(dict.fromkeys(files)), left, frozenset(found))


def _below(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return the files below a folder that are read, and those that are not with the reason."""
    good, bad = [], []

    def shut(error: OSError) -> None:
        bad.append((Path(error.filename), f"a folder that cannot be opened ({error.strerror})"))

    for top, folders, names in os.walk(folder, onerror=shut):
        here = Path(top)
        for name in sorted(folders):
            if (here / name).is_symlink():
                bad.append((here / name, "a link to a folder: give that folder itself"))
        for name in sorted(names):
            path = here / name
            if reason := _reason(path, folder):
                bad.append((path, reason))
            else:
                good.append(path)
    return sorted(good), sorted(bad)


def files_of(sources: Sequence[str | Path]) -> list[Path]:
    """Return the files that the sources stand for, as `gather` does."""
    return gather(sources).files


def count_documents(files: Iterable[Path], settings: CleanSettings) -> int | None:
    """Return how many rows `read_documents` will meet, or None where only reading tells."""
    total = 0
    for file in files:
        source = Source(str(file))
        try:
            found = format_of(source)
        except InputError:
            return None
        if found.kind == "parquet":
            total += _parquet_rows(file)
        elif found.kind == "lines":
            with source.open() as stream:
                total += sum(block.count(b"\n") for block in iter(partial(stream.read, 1 << 20), b""))
        elif settings.unit == "file" and (found.kind == "text" or found.is_prose):
            total += 1
        else:
            return None
    return total


def read_documents(
    sources: str | Path | Sequence[str | Path] | Gathered,
    settings: CleanSettings | None = None,
    bad: list[RowError] | None = None,
    report: Report | None = None,
) -> Iterator[Document]:
    """Yield the documents of files and folders, in the order of their names.

    A file that a folder held and that cannot be opened is told and left, and counted in what was gathered.

    Args:
        sources: files or folders, or what was gathered from them.
        settings: names the text field and what a document of a plain text file is.
        bad: takes the errors of rows that cannot be read; without it the first one is raised.
        report: told of encodings, of columns that were guessed and of what was passed over.

    Raises:
        InputError: a source is missing, of an unknown kind, or cannot be decoded.
        RowError: a row is no JSON object, or its text is missing or no text.
    """
    settings = settings or CleanSettings()
    if not isinstance(sources, Gathered):
        sources = gather([sources] if isinstance(sources, str | Path) else sources)
    for file in sources.files:
        begun = False
        try:
            records = read_records(file, report)
            for document in _documents(file, records, settings, bad, report):
                begun = True
                yield document
        except RowError:
            raise
        except (InputError, OSError) as error:
            # What a file said before it broke off is in the corpus by now: that is no file left out, and is not hidden.
            if begun or file not in sources.found:
                raise
            told = (
                error
                if isinstance(error, InputError)
                else InputError(message("make.unreadable", strerror=error.strerror))
            )
            line = sources.leave(file, told)
            if report:
                report.note(line)
        else:
            sources.read[records.format.name] += 1


def _documents(
    file: Path, records: Records, settings: CleanSettings, bad: list[RowError] | None, report: Report | None
) -> Iterator[Document]:
    if records.format.is_prose:
        yield from _prose(file, records.document, settings.unit)
        return
    if records.format.kind == "text":
        yield from _text_documents(file, records, settings.unit)
        return
    names = _columns(records, settings.text_field, report)
    for number, (line, row) in enumerate(records, 1):
        try:
            document = document_of(_renamed(row, names), file=file, line=line, text_field=settings.text_field)
        except RowError as error:
            if bad is None:
                raise
            bad.append(error)
            continue
        # Rows of an array may share a line, and a name is one document's.
        shared = records.format.kind == "json" and document.id == f"{file.name}:{line}"
        yield replace(document, id=f"{file.name}:{number}") if shared else document


def document_of(row: object, *, file: str | Path, line: int, text_field: str = "text") -> Document:
    """Return the document of one row; fields beside id, text and meta become meta.

    Raises:
        RowError: the row is no JSON object, or its text is missing or no text.
    """
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, dict):
        raise RowError(message("make.row_json"), file=file, line=line, found=row)
    row = _with_text(row, text_field, file, line)
    if text_field not in row:
        raise RowError(
            message("make.text_missing"),
            file=file,
            line=line,
            field=text_field,
            found=", ".join(row) or message("make.field"),
            hint=message("make.name_field"),
        )
    text = row[text_field]
    if not isinstance(text, str):
        raise RowError(
            message("make.text_text"),
            file=file,
            line=line,
            field=text_field,
            found=text,
            allowed=message("make.string"),
        )
    meta = row.get("meta")
    facts = {key: value for key, value in row.items() if key not in ("id", "meta", text_field)}
    if isinstance(meta, dict):
        facts = {**meta, **facts}
    elif meta is not None:
        facts["meta"] = meta
    if "spans" in facts:
        facts["spans"] = _checked_spans(facts["spans"], text, file, line)
    return Document(str(row.get("id") or f"{Path(file).name}:{line}"), text, facts)


def _with_text(row: dict[str, Any], text_field: str, file: str | Path, line: int) -> dict[str, Any]:
    """Return a row with its text and spans where it is in another tool's form, or in tokens and tags."""
    form = form_of(row)
    if form is None and text_field not in row and {"tokens", "tags"} <= row.keys():
        return {
            **{key: value for key, value in row.items() if key not in ("tokens", "tags")},
            **task_for("tag").check(row, file=file, line=line),
        }
    if form and "tag" in form.tasks:
        return form.turned(row, file=file, line=line)[0]
    if form and text_field not in row:
        raise RowError(
            message("make.text_missing"),
            file=file,
            line=line,
            field=text_field,
            found=message("make.form", name=form.name),
            hint=message("make.noria_build", tasks=form.tasks[0]) if form.tasks else None,
        )
    return row


def _checked_spans(given: object, text: str, file: str | Path, line: int) -> list[dict[str, Any]]:
    """Return a document's spans; null is none."""
    if given is None:
        return []
    for span in given if isinstance(given, list) else [given]:
        start, end = (span.get("start"), span.get("end")) if isinstance(span, dict) else (None, None)
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise RowError(
                message("make.span"),
                file=file,
                line=line,
                field="spans",
                found=span,
                allowed=message("make.start_end", text=len(text)),
            )
    return list(given) if isinstance(given, list) else []


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSONL in UTF-8, for a folder still in the making; return how many."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _reason(path: Path, folder: Path) -> str | None:
    """Return why a file in a folder is not read, or None."""
    if any(part.startswith(".") for part in path.relative_to(folder).parts[:-1]):
        return "in a hidden folder"
    if reason := why_not(path):
        return reason
    try:
        if not path.is_file():
            return message("make.link_nothing") if path.is_symlink() else message("make.no_ordinary_file")
        if not os.access(path, os.R_OK):
            return message("make.no_permission")
        if not path.stat().st_size:
            return message("make.empty_file")
        if Source(path.name).suffix != ".json":
            return None
        # Settings and the like lie beside rows in such files; a row tells the difference.
        return None if next(iter(read_records(path)), None) else message("make.json_without")
    except InputError as error:
        return error.what.replace(str(path), "JSON that", 1) if "holds no rows" in error.what else None
    except OSError as error:
        return message("make.unreadable", strerror=error.strerror)


def _not_read(reason: str, files: Sequence[Path]) -> Message:
    named, one = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else ""), len(files) == 1
    return message(
        "work.not_read.one" if one else "work.not_read.several", files=len(files), names=named, reason=reason
    )


def _parquet_rows(file: Path) -> int:
    import pyarrow.parquet

    with Source(str(file)).open() as stream:
        return int(pyarrow.parquet.ParquetFile(stream).metadata.num_rows)


def _columns(records: Records, text_field: str, report: Report | None) -> dict[str, str]:
    """Return a table's columns that plainly stand for text and label under other names -> those names; it is told."""
    if records.columns is None:
        return {}
    fields = (*(["text"] if text_field == "text" else []), "label")
    found = columns_for(fields, records.columns)
    if report and found:
        report.note(message("work.named", name=records.source.name, text=columns_text(found)))
    return {column: field for field, column in found.items()}


def _renamed(row: object, names: dict[str, str]) -> object:
    return {names.get(key, key): value for key, value in row.items()} if names and isinstance(row, dict) else row


def _prose(path: Path, document: TextDocument, unit: str) -> Iterator[Document]:
    """Yield the documents of a page, a letter or a book, each with where it stood; a paragraph of a PDF is a page."""
    title = {"title": document.title} if document.title else {}
    if unit == "file":
        places = document.places()
        if document.passages:
            yield Document(path.name, document.text, title | ({"places": places} if places else {}))
        return
    number = 0
    for passage in document.passages:
        start = passage.start
        for piece in [passage.text] if unit == "paragraph" else passage.text.split("\n"):
            number += 1
            if piece.strip():
                yield Document(f"{path.name}:{number}", piece.strip(), title | passage.place | {"start": start})
            start += len(piece) + 1


def _text_documents(path: Path, records: Records, unit: str) -> Iterator[Document]:
    text = records.text()
    if unit == "file":
        yield Document(path.name, text)
        return
    pieces = re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if unit == "paragraph" else text.split("\n")
    for number, piece in enumerate(pieces, 1):
        if piece.strip():
            yield Document(f"{path.name}:{number}", piece.strip())
