"""Pretrained encoders by their short names, whole or with the vocabulary of one's own texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from noria.core.errors import unknown
from noria.core.folder import Source, sha256_file
from noria.core.progress import Report
from noria.make.corpus.texts import all_texts
from noria.make.models.bundled import e5_small, minilm

from .trim import trim

NAMES = ("e5-small", "minilm")


def bundled(name: str, out: Path, report: Report, *, trim_to: Sequence[Path] = ()) -> Path:
    """Write a bundled encoder as a model folder.

    Args:
        name: e5-small or minilm.
        out: the folder to write.
        report: where plan and result are reported.
        trim_to: files whose texts' tokens stay in the vocabulary; without any it stays whole.

    Raises:
        SettingError: no such name.
        PackageError: the package that holds it is missing, or is not the one known here.
        FolderError: its vocabulary is of a kind that cannot be trimmed.
        InputError: there is no text to trim to.
    """
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
