"""The texts alone of whatever holds them: documents, or rows whatever field or column they stand in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from noria.core.errors import RowError
from noria.core.folder import Source, sha256_file
from noria.core.messages import message
from noria.core.progress import Report
from noria.text.records import read_records

from .documents import Gathered, gather, read_documents
from .settings import CleanSettings


def texts_of(*sources: Path, report: Report | None = None) -> Iterator[str]:
    """Yield the texts of files and folders of documents.

    Args:
        sources: files and folders.
        report: told of the files in folders that are not read.

    Raises:
        InputError: one is missing, of an unknown kind, or holds a row without text.
    """
    return _texts_in(gather(sources), report)


def training_texts(corpus: Path, report: Report | None = None) -> tuple[Iterator[str], list[Source]]:
    """Return the texts to learn from, and their lineage: of a corpus folder its train.jsonl files, else all there is."""
    files = sorted(corpus.rglob("train.jsonl")) if corpus.is_dir() else []
    gathered = gather(files or [corpus])
    return _texts_in(gathered, report), [Source(file.name, sha256_file(file)) for file in gathered.files]


def _texts_in(gathered: Gathered, report: Report | None) -> Iterator[str]:
    if report:
        for line in gathered.lines():
            report.note(line)
    for document in read_documents(gathered, CleanSettings(), report=report):
        yield document.text


def all_texts(files: Sequence[Path], report: Report | None = None) -> Iterator[str]:
    """Yield every text in files of rows or documents, whatever field or column it stands in; rows that cannot be read are told."""
    for file in files:
        if file.is_dir():
            yield from texts_of(file, report=report)
            continue
        bad: list[RowError] = []
        records = read_records(file, report)
        if records.format.is_prose:
            yield records.document.text
            continue
        for _, record in records:
            if isinstance(record, RowError):
                bad.append(record)
            else:
                yield from _texts(record)
        if bad and report:
            report.note(
                message("work.unreadable_rows", file=file, rows=len(bad), first=bad[0].as_message()),
                skipped=len(bad),
            )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
