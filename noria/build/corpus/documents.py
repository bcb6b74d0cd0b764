"""Files, folders and rows to Documents: JSONL, Parquet and plain text, in UTF-8 or an older encoding."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from noria.core.errors import InputError, RowError
from noria.text.encoding import encoding_of

from .settings import CleanSettings

JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet",)
TEXT = (".txt", ".text", ".md")
KINDS = (*JSON_LINES, *(f"{suffix}.gz" for suffix in JSON_LINES), *PARQUET, *TEXT)


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


def files_of(sources: Sequence[str | Path]) -> list[Path]:
    """Return the files that the sources stand for: a file for itself, a folder for all readable files below it.

    Raises:
        InputError: a source is missing, of an unknown kind, or a folder without any readable file.
    """
    if not sources:
        raise InputError("nothing to read", allowed="at least one file or folder")
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if path.is_file() and _kind(path))
            if not found:
                raise InputError(f"{source} holds no file to read", allowed=KINDS)
            files += found
        elif not source.exists():
            raise InputError("no such file or folder", found=str(source))
        elif not _kind(source):
            raise InputError("unknown kind of file", found=source.name, allowed=KINDS)
        else:
            files.append(source)
    return list(dict.fromkeys(files))


def count_documents(files: Iterable[Path], settings: CleanSettings) -> int | None:
    """Return how many rows `read_documents` will meet, or None where only reading tells."""
    total = 0
    for file in files:
        kind = _kind(file)
        if kind in PARQUET:
            import pyarrow.parquet

            total += pyarrow.parquet.read_metadata(file).num_rows
        elif kind in JSON_LINES:
            with _open(file) as stream:
                total += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
        elif settings.unit == "file":
            total += 1
        else:
            return None
    return total


def read_documents(
    sources: str | Path | Sequence[str | Path], settings: CleanSettings | None = None, bad: list[RowError] | None = None
) -> Iterator[Document]:
    """Yield the documents of files and folders, in the order of their names.

    Args:
        sources: files or folders.
        settings: names the text field and what a document of a plain text file is.
        bad: takes the errors of rows that cannot be read; without it the first one is raised.

    Raises:
        InputError: a source is missing, of an unknown kind, or cannot be decoded.
        RowError: a row is no JSON object, or its text is missing or no text.
    """
    settings = settings or CleanSettings()
    for file in files_of([sources] if isinstance(sources, str | Path) else sources):
        kind = _kind(file)
        if kind in JSON_LINES:
            rows = _json_rows(file)
        elif kind in PARQUET:
            rows = _parquet_rows(file)
        else:
            yield from _text_documents(file, settings.unit)
            continue
        for line, row in rows:
            try:
                yield document_of(row, file=file, line=line, text_field=settings.text_field)
            except RowError as error:
                if bad is None:
                    raise
                bad.append(error)


def document_of(row: object, *, file: str | Path, line: int, text_field: str = "text") -> Document:
    """Return the document of one row; fields beside id, text and meta become meta.

    Raises:
        RowError: the row is no JSON object, or its text is missing or no text.
    """
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, dict):
        raise RowError("a row is a JSON object", file=file, line=line, found=row)
    if text_field not in row:
        raise RowError("the text is missing", file=file, line=line, field=text_field, found=", ".join(row) or "no field",
                       hint="name the field that holds it with --text-field")  # fmt: skip
    text = row[text_field]
    if not isinstance(text, str):
        raise RowError("the text is no text", file=file, line=line, field=text_field, found=text, allowed="a string")
    meta = row.get("meta")
    facts = {key: value for key, value in row.items() if key not in ("id", "meta", text_field)}
    if isinstance(meta, dict):
        facts = {**meta, **facts}
    elif meta is not None:
        facts["meta"] = meta
    return Document(str(row.get("id") or f"{Path(file).name}:{line}"), text, facts)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSONL in UTF-8, for a folder still in the making; return how many."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _kind(path: Path) -> str | None:
    suffixes = path.suffixes[-2:]
    last = suffixes[-1].lower() if suffixes else ""
    if last == ".gz" and len(suffixes) == 2 and suffixes[0].lower() in JSON_LINES:
        return suffixes[0].lower()
    return last if last in (*JSON_LINES, *PARQUET, *TEXT) else None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _json_rows(path: Path) -> Iterator[tuple[int, object]]:
    encoding = "utf-8-sig" if path.suffix.lower() == ".gz" else encoding_of(path)
    if encoding in ("utf-16", "utf-32"):
        raise InputError(f"{path} is in {encoding}", allowed="JSONL in UTF-8 or GB18030")
    try:
        with _open(path) as stream:
            for line, raw in enumerate(stream, 1):
                if raw.strip():
                    yield line, _json_row(raw, "utf-8-sig" if encoding == "utf-8" else encoding, path, line)
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is cut short or damaged", found=str(error)) from None


def _json_row(raw: bytes, encoding: str, path: Path, line: int) -> object:
    try:
        return json.loads(raw.decode(encoding))
    except UnicodeDecodeError as error:
        return RowError(f"the row is not {encoding.removesuffix('-sig')}", file=path, line=line, found=error.reason)
    except (ValueError, RecursionError) as error:
        return RowError("the row is not JSON", file=path, line=line, found=str(error))


def _parquet_rows(path: Path) -> Iterator[tuple[int, object]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        line = 0
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                line += 1
                yield line, row
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is not Parquet, or is damaged", found=str(error)) from None


def _text_documents(path: Path, unit: str) -> Iterator[Document]:
    encoding = encoding_of(path)
    try:
        text = path.read_bytes().decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not {encoding} throughout", found=f"{error.reason} at byte {error.start}"
        ) from None
    if unit == "file":
        yield Document(path.name, text)
        return
    pieces = re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if unit == "paragraph" else text.split("\n")
    for number, piece in enumerate(pieces, 1):
        if piece.strip():
            yield Document(f"{path.name}:{number}", piece.strip())
