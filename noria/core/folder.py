"""A result's folder: written whole or not at all, with a manifest of hashes and lineage.

    with new_folder("runs/demo/corpus", kind="corpus") as folder:
        (folder.path / "train.jsonl").write_text(...)
        folder.facts["rows"] = 17_000

A reader sees either no folder or a whole one: files are written beside the target, flushed to the disk, listed with
their hashes in `noria.json`, and the folder is renamed into place, or exchanged with an older one.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import FolderError, plain_errors
from .messages import message

MANIFEST = "noria.json"
FORMAT = 1


@dataclass(frozen=True)
class Source:
    """One thing a result was made from: its name, the SHA-256 of its content, its licence and where it came from."""

    name: str
    sha256: str
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Manifest:
    """What `noria.json` says of a folder."""

    kind: str
    """corpus, tokenizer, shards, model, report, lake ..."""
    created: str
    """UTC time, ISO 8601."""
    noria: str
    """Version of Noria that wrote it."""
    settings: dict[str, Any]
    sources: tuple[Source, ...]
    """What it was made from."""
    facts: dict[str, Any]
    """What is known of it. For a model: task, labels, base, licence, metrics, baseline, curves."""
    files: dict[str, dict[str, Any]]
    """Relative path -> {"sha256", "bytes"}."""
    format: int = FORMAT

    def identity(self) -> str:
        """Return the hash of all the files' hashes: equal for equal content (SHA-256, hexadecimal)."""
        joined = "\n".join(f"{name} {entry['sha256']}" for name, entry in sorted(self.files.items()))
        return hashlib.sha256(joined.encode()).hexdigest()


@dataclass
class OpenFolder:
    """A folder while it is written: put files below `path`; fill `settings`, `sources` and `facts`."""

    path: Path
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def new_folder(
    target: str | Path,
    *,
    kind: str,
    settings: Mapping[str, Any] | None = None,
    sources: list[Source] | None = None,
) -> Iterator[OpenFolder]:
    """Write a folder whole or not at all, replacing an older one at `target` only when the new one is complete.

    Raises:
        ResourceError: the disk is full or cannot be written; nothing is left behind.
    """
    from noria import __version__

    target = Path(target)
    with plain_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            work.chmod(0o755)
            folder = OpenFolder(work, kind, dict(settings or {}), list(sources or []))
            yield folder
            files = {
                str(path.relative_to(work)): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
                for path in sorted(work.rglob("*"))
                if path.is_file() and path.name != MANIFEST
            }
            manifest = Manifest(
                kind=folder.kind,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                noria=__version__,
                settings=folder.settings,
                sources=tuple(folder.sources),
                facts=folder.facts,
                files=files,
            )
            write_json(work / MANIFEST, asdict(manifest))
            for path in work.rglob("*"):
                sync(path)
            sync(work)
            _replace(work, target)
        finally:
            if work.exists():
                shutil.rmtree(work, ignore_errors=True)


def read_manifest(path: str | Path) -> Manifest:
    """Return the manifest of a folder, after checking that every file is there at its full length.

    Raises:
        FolderError: no folder, no manifest, or a file is missing or cut short.
    """
    path = Path(path)
    if not path.is_dir():
        raise FolderError(message("errors.no_folder"), found=str(path))
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        sources = tuple(Source(**source) for source in raw.pop("sources"))
        manifest = Manifest(sources=sources, **raw)
    except FileNotFoundError:
        raise FolderError(
            message("errors.no_manifest", path=path, manifest=MANIFEST), hint=message("errors.not_ours")
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise FolderError(message("errors.unreadable", path=path / MANIFEST), found=str(error)) from None
    if manifest.format > FORMAT:
        raise FolderError(
            message("errors.newer", path=path), found=manifest.format, allowed=message("errors.up_to", most=FORMAT)
        )
    for name, entry in manifest.files.items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != entry["bytes"]:
            what = (
                message("errors.file_missing", file=file)
                if size is None
                else message("errors.file_altered", file=file, size=size, bytes=entry["bytes"])
            )
            raise FolderError(what, hint=message("errors.make_again"))
    return manifest


def is_up_to_date(path: str | Path, sources: Sequence[Source], settings: Mapping[str, Any] | None = None) -> bool:
    """Return whether a folder is there and whole, made from these sources, with these settings among its own."""
    try:
        manifest = read_manifest(path)
    except FolderError:
        return False
    asked = settings or {}
    return list(manifest.sources) == list(sources) and {**manifest.settings, **asked} == dict(manifest.settings)


def verify(path: str | Path) -> Manifest:
    """Return the manifest of a folder after reading every file and comparing its hash.

    Raises:
        FolderError: as `read_manifest`, or a file's content differs from its hash.
    """
    path = Path(path)
    manifest = read_manifest(path)
    for name, entry in manifest.files.items():
        if sha256_file(path / name) != entry["sha256"]:
            raise FolderError(message("errors.altered_later", file=path / name), hint=message("errors.make_again"))
    return manifest


def source_of(folder: str | Path, *, origin: str = "") -> Source:
    """Return the lineage entry for a folder that Noria wrote."""
    manifest = read_manifest(folder)
    licence = "; ".join(sorted({source.licence for source in manifest.sources if source.licence}))
    return Source(
        f"{manifest.kind}:{Path(folder).name}", manifest.identity(), manifest.facts.get("licence", licence), origin
    )


def lineage_of(folder: Path, content: str) -> Source:
    """Return the lineage entry for any folder: what its manifest says, or the hash of its first file like `content`."""
    if (folder / MANIFEST).is_file():
        return source_of(folder)
    return Source(folder.name, sha256_file(min(folder.glob(content))))


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all: beside the target, flushed to the disk, renamed into place.

    Raises:
        ResourceError: the disk is full or cannot be written; the old file stays.
    """
    with new_file(path) as part:
        part.write_bytes(content)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Give a path beside the target to write to; the file is flushed to the disk and renamed into place at the end.

    Raises:
        ResourceError: the disk is full or cannot be written; the old file stays.
    """
    path = Path(path)
    with plain_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)
            sync(part)
            part.replace(path)
            sync(path.parent)
        finally:
            part.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON file whole or not at all, readable by people and by `diff`."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def cache_root() -> Path:
    """Return the folder for what can be made again: NORIA_CACHE, else `noria` in the user's cache."""
    own, users = os.environ.get("NORIA_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(users) if users else Path.home() / ".cache") / "noria"


def clear_partial(parent: str | Path) -> None:
    """Remove what a killed writer left below `parent`: hidden `*.part` files and folders."""
    for path in Path(parent).glob(".*.part"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _replace(work: Path, target: Path) -> None:
    if not target.exists():
        work.rename(target)
    elif not _exchanged(work, target):
        # A folder that is not empty cannot be renamed over, so the old one steps aside first.
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        target.rename(aside / "old")
        work.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    sync(target.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, where the system can: there is then no moment without either."""
    if sys.platform != "linux" or other.is_symlink() or not other.is_dir():
        return False
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc 2.28; flag 2 is RENAME_EXCHANGE, -100 AT_FDCWD
    return exchange is not None and exchange(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, would survive the machine's death."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
