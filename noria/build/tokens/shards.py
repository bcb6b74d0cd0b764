"""Memory-mapped token ids: a corpus is encoded once, and read without being held in memory.

write_shards(target, {"train": texts, "valid": texts}, tokenizer, sources)
shards = open_shards(target, "train")
shards[0]                                      # ids of the first document: begin, its tokens, end
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import FolderError
from noria.core.folder import Source, new_folder, read_manifest
from noria.core.progress import Report

from .tokenizer import BEGIN, END

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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
        raise FolderError("the tokenizer has no begin and end tokens", allowed=(BEGIN, END))
    kind = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    with new_folder(target, kind="shards", sources=sources) as folder:
        for name, texts in splits.items():
            lengths, sizes = [], []
            with (
                (folder.path / f"{name}.ids").open("wb") as stream,
                (report or Report()).bar(f"encode {name}", unit="texts") as bar,
            ):
                rest = iter(texts)
                while part := list(islice(rest, 1000)):
                    for text, encoding in zip(
                        part, tokenizer.encode_batch(part, add_special_tokens=False), strict=True
                    ):
                        stream.write(np.array([begin, *encoding.ids, end], dtype=kind).tobytes())
                        lengths.append(len(encoding.ids) + 2)
                        sizes.append(len(text.encode()))
                    bar.advance(len(part))
            np.save(folder.path / f"{name}.ends.npy", np.cumsum(lengths, dtype=np.int64), allow_pickle=False)
            np.save(folder.path / f"{name}.sizes.npy", np.array(sizes, dtype=np.int64), allow_pickle=False)
            folder.facts[name] = {"documents": len(lengths), "tokens": sum(lengths), "bytes": sum(sizes)}
        folder.facts["type"] = np.dtype(kind).name
    return target


def open_shards(folder: Path, split: str) -> Shards:
    """Return one split of a folder of shards.

    Raises:
        FolderError: the folder is missing, damaged, or lacks the split.
    """
    manifest = read_manifest(folder)
    if split not in manifest.facts:
        raise FolderError(
            f"{folder} has no such split", found=split, allowed=[n for n in manifest.facts if n != "type"]
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
