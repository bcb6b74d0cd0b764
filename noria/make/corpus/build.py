"""Files and folders -> a corpus folder with splits, lineage and counts; resumes where a killed run stopped.

corpus = build_corpus(["raw/"], "corpus", CleanSettings(), licence="CC BY 4.0")

corpus/train.jsonl  valid.jsonl  test.jsonl    one Document a line
corpus/drops.json                              every reason, its count and samples
corpus/noria.json                              settings, hashes of the sources, counts
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from noria.core.errors import FolderError, InputError, RowError
from noria.core.folder import MANIFEST, Source, new_folder, read_manifest, sha256_file, write_bytes, write_json
from noria.core.messages import message
from noria.core.progress import Bar, Report
from noria.core.settings import fingerprint

from .documents import Document, Gathered, count_documents, gather, read_documents, write_rows
from .pipeline import deduplicate, prepare, splits
from .settings import CleanSettings
from .tally import Tally

_PART_ROWS = 5_000  # what a kill may cost: a few seconds of cleaning
_BYTES_PER_SECOND = 1_200_000  # measured on short Chinese reviews; longer texts go faster


def build_corpus(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: CleanSettings | None = None,
    *,
    licence: str = "",
    report: Report | None = None,
) -> Path:
    """Clean files and folders into a corpus folder and return its path.

    The same call again returns at once while sources and settings are unchanged; after a kill it goes on with the part
    that was cut. A folder at `out` is replaced only by a whole new one.

    Args:
        sources: files in any format that is read (`noria.text.formats`), or folders of them.
        out: the folder to write.
        licence: licence of the sources, kept in the lineage.

    Raises:
        InputError: a source cannot be used, or nothing at all is kept.
        FolderError: `out` exists and is no corpus of Noria's.
        RowError: a bad row, unless the settings say to count them.
    """
    settings = settings or CleanSettings()
    report = report or Report()
    out = Path(out)
    gathered = gather(sources)
    files = gathered.files
    lineage = [_source(Path(source), files, licence) for source in sources]
    key = fingerprint({"settings": settings.fingerprint(), "sources": [source.sha256 for source in lineage]})
    if _is_done(out, key):
        report.note(message("work.up_to_date", out=out))
        return out
    for line in gathered.lines():
        report.note(line)
    work = out.parent / f".{out.name}.clean"
    tally, documents = _prepared(gathered, work, key, settings, report)
    kept = deduplicate(documents, settings, tally, report)
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.drops.most_common(3))
        reasons = reasons or "; ".join(gathered.lines()[:3])
        raise InputError(
            message("make.document_left"),
            found=reasons or message("make.row_all"),
            hint=message("make.loosen_filters") if tally.drops else None,
        )
    parts = splits(kept, settings)
    with new_folder(out, kind="corpus", settings=settings.model_dump(mode="json"), sources=lineage) as folder:
        for name, part in parts.items():
            write_rows(folder.path / f"{name}.jsonl", (document.as_dict() for document in part))
        write_json(folder.path / "drops.json", tally.as_dict())
        counts = {name: len(part) for name, part in parts.items()}
        facts = tally.as_dict()
        del facts["samples"]
        read = dict(sorted(gathered.read.items()))
        folder.facts.update(facts, splits=counts, read=read, not_read=gathered.facts(), licence=licence, key=key)
    shutil.rmtree(work, ignore_errors=True)
    report.ledger(
        message(
            "work.corpus", tally=tally.line(), splits=", ".join(f"{name} {count:,}" for name, count in counts.items())
        ),
        out=str(out),
        **tally.as_dict(),
    )
    return out


def _prepared(
    gathered: Gathered, work: Path, key: str, settings: CleanSettings, report: Report
) -> tuple[Tally, list[Document]]:
    """Clean the rows part by part; a finished part is kept on disk until the corpus is whole."""
    if not (work / "key").is_file() or (work / "key").read_text() != key:
        shutil.rmtree(work, ignore_errors=True)
        write_bytes(work / "key", key.encode())
    tally, documents = Tally(), []
    bad: list[RowError] | None = [] if settings.skip_bad_rows else None
    files = gathered.files
    rows = read_documents(gathered, settings, bad, report)
    total = count_documents(files, settings)
    size = sum(file.stat().st_size for file in files)
    done = len(list(work.glob("*.json"))) * _PART_ROWS
    report.plan(
        message(
            "work.clean",
            megabytes=size / 1e6,
            files=len(files),
            rows="" if total is None else message("work.rows_in", rows=total),
            seconds=max(1, round(size / _BYTES_PER_SECOND)),
            after=message("work.going_on_after", rows=done) if done else "",
        )
    )
    with report.bar("clean", total=total, unit="document") as bar:
        for number in itertools.count():
            part = _part(rows, work / f"{number:06}.json", settings, bar)
            if part is None:
                break
            tally.add(part[0])
            documents += part[1]
    for error in bad or []:
        tally.drop("bad row", f"{Path(error.file).name}:{error.line}", str(error))
    tally.rows += len(bad or [])
    return tally, documents


def _part(
    rows: Iterator[Document], file: Path, settings: CleanSettings, bar: Bar
) -> tuple[Tally, list[Document]] | None:
    batch = list(itertools.islice(rows, _PART_ROWS))
    if not batch:
        return None
    if file.is_file():
        bar.advance(len(batch))
        saved = json.loads(file.read_text(encoding="utf-8"))
        return Tally.from_dict(saved["tally"]), [Document(**row) for row in saved["documents"]]
    tally = Tally()
    documents: list[Document] = []
    for document in batch:
        documents += prepare([document], settings, tally)
        bar.advance()
    saved = {"tally": tally.as_dict(), "documents": [document.as_dict() for document in documents]}
    write_bytes(file, json.dumps(saved, ensure_ascii=False, default=str).encode("utf-8"))
    return tally, documents


def _source(source: Path, files: list[Path], licence: str) -> Source:
    """The lineage entry of a file, or of a folder by its files' names and hashes."""
    if source.is_file():
        return Source(source.name, sha256_file(source), licence, "given by the user")
    inside = [file for file in files if file.is_relative_to(source)]
    listing = "\n".join(f"{file.relative_to(source)} {sha256_file(file)}" for file in inside)
    return Source(
        f"{source.name}/ ({len(inside)} files)",
        hashlib.sha256(listing.encode()).hexdigest(),
        licence,
        "given by the user",
    )


def _is_done(out: Path, key: str) -> bool:
    if not out.exists():
        return False
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise FolderError(
            message("make.place_corpus"),
            found=str(out),
            allowed=message("make.new_folder"),
            hint=message("make.choose_another"),
        )
    try:
        manifest = read_manifest(out)
    except FolderError:
        return False
    if manifest.kind != "corpus":
        raise FolderError(
            message("make.place_corpus"),
            found=message("make.folder", out=out, kind=manifest.kind),
            allowed=message("make.new_folder"),
            hint=message("make.choose_another"),
        )
    return manifest.facts.get("key") == key
