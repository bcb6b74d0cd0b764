"""Texts and rows that a command was given, read for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from noria.core.folder import Source, read_manifest, sha256_file
from noria.tasks.records import is_table
from noria.tasks.task import Row, read_rows, task_of


def texts_of(*sources: Path) -> Iterator[str]:
    """Yield the texts of files and folders of documents.

    Raises:
        InputError: one is missing, of an unknown kind, or holds a row without text.
    """
    from noria.build.corpus.documents import files_of, read_documents
    from noria.build.corpus.settings import CleanSettings

    return (document.text for document in read_documents(files_of(sources), CleanSettings()))


def calibration_texts(model: Path, file: Path) -> list[str]:
    """Return texts that show a model what is to come: of a table those that its task reads, of other files all there are.

    Raises:
        FolderError: `model` is no model folder.
        InputError: the file cannot be used.
    """
    task = task_of(read_manifest(model))
    if not is_table(file):
        return list(texts_of(file))
    return [text for row in read_rows(file, task) for text in task.texts(row)]


def training_texts(corpus: Path) -> tuple[Iterator[str], list[Source]]:
    """Return the texts to learn from, and their lineage: of a corpus folder its train.jsonl files, else all there is."""
    from noria.build.corpus.documents import files_of

    files = sorted(corpus.rglob("train.jsonl")) if corpus.is_dir() else []
    files = files or files_of([corpus])
    return texts_of(*files), [Source(file.name, sha256_file(file)) for file in files]


def held_out_rows(model: Path, file: Path) -> list[Row]:
    """Return the rows that a model is judged on; for one that embeds, texts alone.

    Raises:
        FolderError: `model` is no model folder.
        InputError: the file cannot be used.
    """
    task = task_of(read_manifest(model))
    if task.name == "embed":
        return [{"text": text} for text in texts_of(file)]
    return read_rows(file, task)
