"""Pretrained encoders by their short names, whole or with the vocabulary of one's own texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from noria.core.errors import RowError, unknown
from noria.core.folder import Source, sha256_file
from noria.core.progress import Report
from noria.text.records import read_records

from .texts import texts_of

NAMES = ("e5-small", "minilm")


def bundled(name: str, out: Path, report: Report, *, trim_to: Sequence[Path] = ()) -> Path:
    """Write a bundled encoder as a model folder.

    Args:
        name: e5-small or minilm.
        out: the folder to write.
        report: where plan and result are told.
        trim_to: files whose texts' tokens stay in the vocabulary; without any it stays whole.

    Raises:
        SettingError: no such name.
        PackageError: the package that holds it is missing, or is not the one known here.
        FolderError: its vocabulary is of a kind that cannot be trimmed.
        InputError: there is no text to trim to.
    """
    from noria.make.compress.trim import trim
    from noria.make.models.bundled import e5_small, minilm

    makers = dict(zip(NAMES, (e5_small, minilm), strict=True))
    if name not in makers:
        raise unknown("base model", name, makers)
    if not trim_to:
        return makers[name](out, report)
    texts = list(all_texts(trim_to, report))
    work = out.with_name(f".{out.name}.work")
    whole = makers[name](work / name, report)
    trim(
        whole, texts, out, report, sources=[Source(file.name, sha256_file(file)) for file in trim_to if file.is_file()]
    )
    shutil.rmtree(work, ignore_errors=True)
    return out


def all_texts(files: Sequence[Path], report: Report | None = None) -> Iterator[str]:
    """Yield every text in files of rows or documents, whatever field or column it stands in; rows that cannot be read are told."""
    for file in files:
        if file.is_dir():
            yield from texts_of(file)
            continue
        bad: list[RowError] = []
        for _, record in read_records(file, report):
            if isinstance(record, RowError):
                bad.append(record)
            else:
                yield from _texts(record)
        if bad and report:
            report.note(
                f"{file}: {len(bad):,} rows cannot be read, their texts are left out, the first: {bad[0]}",
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
