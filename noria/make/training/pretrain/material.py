"""What pretraining reads: files of a corpus -> tokenizer, shards and word borders, made once and kept in the work folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from noria.core.errors import InputError, RowError, unknown
from noria.core.folder import MANIFEST, Source, is_up_to_date, new_folder, sha256_file, source_of
from noria.core.messages import message, term
from noria.core.progress import Report
from noria.make.corpus.texts import texts_of
from noria.make.tokens.shards import Shards, open_shards, write_shards
from noria.make.tokens.special import Special, byte_tokenizer, document_tokens, extend, word_starts
from noria.make.tokens.tokenizer import lineage_of_tokenizer, load_tokenizer, train_tokenizer
from noria.make.training.settings import PretrainSettings
from noria.text.records import read_records

SPLITS = ("train", "valid", "test")
KEPT = "keep"
"""Name of the text that must not be forgotten, beside the splits."""
BYTES_A_TOKEN, MOST_TOKENS, LEAST_TOKENS = 1_200, 6144, 512
"""A vocabulary that is not asked for has a token for so many bytes of training text, within these bounds."""
BYTES = 256
"""Size of a vocabulary that stands for the bytes alone."""


@dataclass(frozen=True)
class Material:
    """A corpus as tokens."""

    files: dict[str, list[Path]]
    """Split -> its files; text to keep, where there is any, is one more."""
    tokenizer: Path
    special: Special
    vocab_size: int
    shards: dict[str, Shards]
    words: dict[str, np.ndarray] | None
    """Split -> whether a word begins at each token; only for whole-word masking."""

    @property
    def identity(self) -> str:
        """Return what changes with the texts or the tokenizer."""
        return self.shards["train"].identity


def prepare(
    corpus: Path, work: Path, settings: PretrainSettings, report: Report, *, keep: Path | None = None
) -> tuple[PretrainSettings, Material]:
    """Return the settings with the size of the vocabulary, and a corpus as tokens; what an earlier run of the same left in `work`
    is used again.

    Args:
        corpus: folder of the corpus.
        work: folder of the unfinished run.
        settings: objective, sets and tokenizer.
        report: where progress goes.
        keep: text that is judged by and never learned from.

    Raises:
        InputError: the corpus holds no split, a line is no document, or a split is empty.
        FolderError: the tokenizer folder cannot be used.
        SettingError: an unknown set is named.
    """
    files = corpus_files(corpus, settings.sets)
    if keep is not None:
        files[KEPT] = [keep]
    if settings.vocab_size is None:
        settings = settings.replace(vocab_size=vocabulary_for(read_texts(files["train"])))
    tokenizer = _tokenizer(files, work, settings, report)
    shards = _shards(files, tokenizer, work, report)
    words = None
    if settings.objective == "words":
        words = {split: _words(files, split, tokenizer, shards[split], work, report) for split in files}
    vocab_size = load_tokenizer(tokenizer).get_vocab_size()
    return settings, Material(files, tokenizer, document_tokens(tokenizer), vocab_size, shards, words)


def vocabulary_for(texts: Iterable[str]) -> int:
    """Return how many tokens suit training texts, which are read until they are enough for the most."""
    size = 0
    for text in texts:
        size += len(text.encode())
        if size >= BYTES_A_TOKEN * MOST_TOKENS:
            break
    return max(LEAST_TOKENS, min(MOST_TOKENS, size // BYTES_A_TOKEN // 64 * 64))


def corpus_files(corpus: Path, sets: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return split -> its files, one of each set.

    Raises:
        InputError: no set has all three splits.
        SettingError: an unknown set is named.
    """
    folders = [corpus, *sorted(path for path in corpus.glob("*") if path.is_dir())] if corpus.is_dir() else []
    found = {
        folder.name: folder for folder in folders if all((folder / f"{split}.jsonl").is_file() for split in SPLITS)
    }
    if not found:
        raise InputError(
            message("make.corpus_there"),
            found=str(corpus),
            allowed=message("make.train_jsonl"),
            hint=message("make.noria_build_clean"),
        )
    for name in sets:
        if name not in found:
            raise unknown("set of the corpus", name, found)
    chosen = [found[name] for name in (sets or sorted(found))]
    return {split: [folder / f"{split}.jsonl" for folder in chosen] for split in SPLITS}


def read_texts(files: list[Path]) -> Iterator[str]:
    """Yield the text of every line of JSONL files.

    Raises:
        InputError: a line is no JSON object with a text.
    """
    for file in files:
        for number, record in read_records(file):
            text = record if isinstance(record, RowError) else record.get("text")
            if not isinstance(text, str):
                raise InputError(
                    message("make.line_document", file=file, number=number),
                    found=getattr(record, "found", record),
                    allowed='{"text": "..."}',
                )
            if text.strip():
                yield text


def _texts(files: dict[str, list[Path]], split: str) -> Iterator[str]:
    """Yield the texts of a split: documents of the corpus, or whatever a person brought to be kept."""
    return texts_of(*files[split]) if split == KEPT else read_texts(files[split])


def sources_of(corpus: Path, files: dict[str, list[Path]]) -> list[Source]:
    """Return the lineage of a corpus: its manifest's, or its files'."""
    kept = [_source(file) for file in files.get(KEPT, []) if file.is_file()]
    if (corpus / MANIFEST).is_file():
        return [source_of(corpus), *kept]
    return [*(_source(file) for split in SPLITS for file in files[split]), *kept]


def _source(file: Path) -> Source:
    return Source(f"{file.parent.name}/{file.name}", sha256_file(file))


def _tokenizer(files: dict[str, list[Path]], work: Path, settings: PretrainSettings, report: Report) -> Path:
    """Return the base's tokenizer, the one given, or a new one; with a mask or sentinels where the objective needs them."""
    given = settings.model.base or settings.tokenizer
    tokenizer = given or _own_tokenizer(files, work, settings, report)
    mask, sentinels = settings.objective in ("masked", "words"), settings.objective == "spans"
    if not (mask or sentinels):
        return tokenizer
    target, source = work / "extended", _identity(tokenizer)
    if not is_up_to_date(target, [source]):
        extend(tokenizer, target, mask=mask, sentinels=sentinels)
    return target


def _own_tokenizer(files: dict[str, list[Path]], work: Path, settings: PretrainSettings, report: Report) -> Path:
    target = work / "tokenizer"
    if settings.vocab_size == BYTES:
        return target if is_up_to_date(target, []) else byte_tokenizer(target)
    assert settings.vocab_size is not None
    sources = [Source(file.name, sha256_file(file)) for file in files["train"]]
    if is_up_to_date(target, sources, {"vocab_size": settings.vocab_size}):
        return target
    return train_tokenizer(read_texts(files["train"]), settings.vocab_size, target, report, sources=sources)


def _shards(files: dict[str, list[Path]], tokenizer: Path, work: Path, report: Report) -> dict[str, Shards]:
    target = work / "shards"
    gathered = [one for split in files for file in files[split] for one in _files_in(file)]
    sources = [*map(_source, gathered), _identity(tokenizer)]
    if not is_up_to_date(target, sources):
        texts = {split: _texts(files, split) for split in files}
        special = document_tokens(tokenizer)
        write_shards(target, texts, load_tokenizer(tokenizer), sources, report, ends=(special.begin, special.end))
    shards = {split: open_shards(target, split) for split in files}
    for split in files:
        if not len(shards[split]):
            raise InputError(message("make.corpus_documents", split=split), found=", ".join(map(str, files[split])))
    return shards


def _files_in(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def _words(
    files: dict[str, list[Path]], split: str, tokenizer: Path, shards: Shards, work: Path, report: Report
) -> np.ndarray:
    """Return whether a word begins at each token of a split; begin and end tokens begin none."""
    target = work / f"words-{split}"
    sources = [Source(f"shards:{split}", shards.identity)]
    if not is_up_to_date(target, sources):
        encoder = load_tokenizer(tokenizer)
        with (
            new_folder(target, kind="words", sources=sources) as folder,
            report.bar(message("work.bar.words", split=term(split)), total=len(shards), unit="texts") as bar,
        ):
            parts, rest = [], _texts(files, split)
            while texts := list(islice(rest, 1000)):
                for text, found in zip(texts, encoder.encode_batch(texts, add_special_tokens=False), strict=True):
                    parts.append(np.array([False, *word_starts(text, found.offsets), False]))
                bar.advance(len(texts))
            np.save(folder.path / "starts.npy", np.concatenate(parts), allow_pickle=False)
    starts: np.ndarray = np.load(target / "starts.npy", mmap_mode="r", allow_pickle=False)
    return starts


def _identity(tokenizer: Path) -> Source:
    load_tokenizer(tokenizer)  # tells what is wrong with it
    return lineage_of_tokenizer(tokenizer)
