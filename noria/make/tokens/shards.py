"""Memory-mapped token ids: a corpus is encoded once, and read without being held in memory.

write_shards(target, {"train": texts, "valid": texts}, tokenizer, sources)
shards = open_shards(target, "train")
shards[0]                                      # ids of the first document: begin, its tokens, end
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import FolderError
from noria.core.folder import Source, new_folder, read_manifest
from noria.core.messages import message
from noria.core.progress import Bar, Report
from noria.tasks.tokenizer import document_of, tokenizer_of

from .tokenizer import BEGIN, END

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PART, PART_TEXTS = 1_000_000, 2_000
"""Characters and texts that are encoded at a time."""


@dataclass(frozen=True)
class Shards:
    """The documents of one split."""

    ids: np.ndarray
    """Token ids of all documents, one after the other (memory-mapped)."""
    ends: np.ndarray
    """Where each document ends in `ids`."""
    sizes: np.ndarray
    """UTF-8 bytes of each document's text."""
    identity: str
    """Hash of the folder's content and the split."""

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> np.ndarray:
        start = int(self.ends[row - 1]) if row else 0
        return self.ids[start : int(self.ends[row])]

    @property
    def lengths(self) -> np.ndarray:
        """Return the tokens of each document, begin and end included."""
        return np.diff(self.ends, prepend=0)


def write_shards(
    target: Path,
    splits: Mapping[str, Iterable[str]],
    tokenizer: Tokenizer,
    sources: list[Source],
    report: Report | None = None,
    *,
    ends: tuple[int | None, int | None] | None = None,
) -> Path:
    """Encode every split's texts, a begin token before and an end token after each, and write a folder of shards.

    Args:
        target: the folder to write.
        splits: name -> texts, read once.
        tokenizer: knows `<|begin|>` and `<|end|>`, unless `ends` says what its are.
        sources: lineage: the texts' files and the tokenizer.
        report: where progress is shown.
        ends: ids of the begin and end tokens.

    Raises:
        FolderError: the tokenizer has no begin or no end token.
    """
    begin, end = ends or (tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END))
    if begin is None or end is None:
        raise FolderError(message("make.tokenizer_begin"), allowed=(BEGIN, END))
    kind = np.dtype(np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32)
    settings = {
        "type": kind.name,
        "begin": begin,
        "end": end,
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
    }
    with new_folder(target, kind="shards", settings=settings, sources=sources) as folder:
        for name, texts in splits.items():
            with (report or Report()).bar(message("work.bar.encode", name=name), unit="texts") as bar:
                lengths, sizes, content = _write_ids(
                    folder.path / f"{name}.ids", texts, tokenizer, (begin, end), kind, bar
                )
            np.save(folder.path / f"{name}.ends.npy", np.cumsum(lengths, dtype=np.int64), allow_pickle=False)
            np.save(folder.path / f"{name}.sizes.npy", np.array(sizes, dtype=np.int64), allow_pickle=False)
            folder.facts[name] = {
                "documents": len(lengths),
                "tokens": sum(lengths),
                "bytes": sum(sizes),
                "texts_sha256": content,
            }
        folder.facts["type"] = kind.name
    return target


def _write_ids(
    file: Path, texts: Iterable[str], tokenizer: Tokenizer, ends: tuple[int, int], kind: np.dtype, bar: Bar
) -> tuple[list[int], list[int], str]:
    """Write the ids of all texts; return tokens and UTF-8 bytes of each, and the hash of the texts.

    The library encodes a batch on all cores, but hands the ids over one by one: while one batch is handed over and
    written, the next are being encoded, and never more than two of them wait.
    """
    lengths: list[int] = []
    sizes: list[int] = []
    content = hashlib.sha256()

    bare = _without_nfc(tokenizer)

    def encoded(part: list[str]) -> tuple[list[int], bytes]:
        ids: list[int] = []
        counts = []
        composed = all(unicodedata.is_normalized("NFC", text) for text in part)
        for encoding in (bare if composed else tokenizer).encode_batch_fast(part, add_special_tokens=False):
            one = encoding.ids
            ids.append(ends[0])
            ids += one
            ids.append(ends[1])
            counts.append(len(one) + 2)
        return counts, np.array(ids, dtype=kind).tobytes()

    with file.open("wb") as stream, ThreadPoolExecutor(2) as pool:
        waiting: deque[Future[tuple[list[int], bytes]]] = deque()

        def flush() -> None:
            counts, ids = waiting.popleft().result()
            stream.write(ids)
            lengths.extend(counts)
            bar.advance(len(counts))

        for part in _parts(texts):
            for text in part:
                raw = text.encode()
                content.update(len(raw).to_bytes(8, "little") + raw)
                sizes.append(len(raw))
            waiting.append(pool.submit(encoded, part))
            if len(waiting) > 2:
                flush()
        while waiting:
            flush()
    return lengths, sizes, content.hexdigest()


def _without_nfc(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy for texts that are in NFC already: asking is quicker than normalising, a sixth of the time."""
    document = document_of(tokenizer)
    if document["normalizer"] != {"type": "NFC"}:
        return tokenizer
    return tokenizer_of({**document, "normalizer": None})


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield texts in batches of about a million characters, however long each is."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= PART or len(part) >= PART_TEXTS:
            yield part
            part, size = [], 0
    if part:
        yield part


def open_shards(folder: Path, split: str) -> Shards:
    """Return one split of a folder of shards.

    Raises:
        FolderError: the folder is missing, damaged, or lacks the split.
    """
    manifest = read_manifest(folder)
    if split not in manifest.facts:
        raise FolderError(
            message("make.such_split", folder=folder), found=split, allowed=[n for n in manifest.facts if n != "type"]
        )
    file = folder / f"{split}.ids"
    # A file of no bytes cannot be mapped.
    ids = (
        np.memmap(file, dtype=manifest.facts["type"], mode="r") if file.stat().st_size else np.zeros(0, dtype=np.int64)
    )
    return Shards(
        ids=ids,
        ends=np.load(folder / f"{split}.ends.npy", allow_pickle=False),
        sizes=np.load(folder / f"{split}.sizes.npy", allow_pickle=False),
        identity=f"{manifest.identity()}:{split}",
    )
