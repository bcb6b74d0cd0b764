"""Train and load a tokenizer, byte-level BPE or Unigram, bounded on Chinese as on English.

A text is first cut into runs that no token crosses (`runs`). Chinese has no spaces, so without cuts whole clauses would
count as words of their own, and time and memory would grow with the corpus. Distinct runs are counted in a table of
bounded size; merges (`merges`) or pieces (`learn_pieces`) are learnt from it, and the result is the library's own format.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from noria.core.errors import InputError, SettingError, unknown
from noria.core.folder import OpenFolder, Source, lineage_of, new_folder, write_json
from noria.core.messages import joined, message
from noria.core.progress import Report
from noria.machine import cores
from noria.tasks.tokenizer import FILE, read_tokenizer
from noria.tasks.tokenizer import write_tokenizer as write_bare

from . import older
from .density import density, table
from .runs import BETWEEN, RUNS, Runs, Seen, count_runs

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["bpe", "unigram"]
PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
"""Ids 0, 1, 2. END stands after every document; none is put in by `encode`."""
FILES = (FILE, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""A tokenizer in a folder; the first is always there."""
HELD_OUT_EVERY = 20
HELD_OUT_MOST = 2_000
_UNIGRAM_RUNS = 1_000_000
"""Characters of distinct runs for Unigram: its training takes several hundred bytes and microseconds for each."""


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    target: str | Path,
    report: Report | None = None,
    *,
    sources: list[Source] | None = None,
    kind: Kind = "bpe",
    beside: Mapping[str, Tokenizer] | None = None,
) -> Path:
    """Train a tokenizer and write its folder: any text encodes, and decodes to itself in composed form (Unicode NFC).

    Every 20th text, up to 2,000, is kept out of training; `facts["figures"]` tells characters and bytes per token and
    unknown tokens on those, by language, and `facts["beside"]` the same of the tokenizers given.

    Args:
        texts: documents; read once.
        vocab_size: tokens wanted, 512 to 1,000,000; a small corpus gives fewer.
        target: the folder to write.
        report: where progress goes.
        sources: lineage of the texts.
        kind: bpe, byte-level byte-pair encoding; unigram, pieces with probabilities, and bytes for what has none.
        beside: known tokenizers by name, to compare with.

    Raises:
        SettingError: `vocab_size` is out of range, or the kind is unknown.
        InputError: there is no text.
    """
    if not 512 <= vocab_size <= 1_000_000:
        raise SettingError(message("make.vocab_size"), found=vocab_size, allowed=message("make.to_4"))
    if kind not in get_args(Kind):
        raise unknown("kind of tokenizer", kind, get_args(Kind))
    report = report or Report()
    split, seen = _Split(texts), Seen()
    with report.bar("tokenizer: count", unit="texts") as bar:
        most = {"most": _UNIGRAM_RUNS} if kind == "unigram" else {}
        runs = count_runs(split.training(bar.advance), seen=seen, threads=cores(), **most)
    if not seen.texts:
        raise InputError(message("make.text_train"), hint=message("make.give_least_one_document"))
    with report.bar("tokenizer: learn", total=vocab_size, unit="tokens") as bar:
        tokenizer = _bpe(runs, vocab_size, bar.advance) if kind == "bpe" else _unigram(runs, vocab_size)
    held_out, source = split.held_out or split.first, "held-out texts" if split.held_out else "its own text"
    figures = density(tokenizer, held_out, source)
    others = {name: density(other, held_out, source, note=name) for name, other in (beside or {}).items()}
    settings = {"vocab_size": vocab_size, "kind": kind}
    with new_folder(target, kind="tokenizer", settings=settings, sources=sources) as folder:
        write_tokenizer(folder, tokenizer)
        folder.facts.update(
            vocab_size=tokenizer.get_vocab_size(),
            texts=seen.texts,
            characters=seen.characters,
            runs=len(runs.counts),
            rare_runs_drawn_below=runs.least,
            figures=[figure.as_dict() for figure in figures],
            beside={name: [figure.as_dict() for figure in found] for name, found in others.items()},
        )
    told = joined("join.clauses", [one.line() for one in figures])
    report.ledger(message("work.tokenizer", tokens=tokenizer.get_vocab_size(), figures=told))
    for line in table([figure for found in others.values() for figure in found]):
        report.ledger(message("work.beside", line=line))
    return Path(target)


def copy_tokenizer(folder: Path, target: Path) -> None:
    """Copy the tokenizer of a model or tokenizer folder into another folder, without padding and truncation."""
    for name in FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    file = target / FILE
    if not file.is_file() or _fills_or_cuts(file):
        write_bare(load_tokenizer(folder), target)


def _fills_or_cuts(file: Path) -> bool:
    document = json.loads(file.read_text(encoding="utf-8"))
    return bool(document.get("padding") or document.get("truncation"))


def write_tokenizer(folder: OpenFolder, tokenizer: Tokenizer) -> None:
    """Write a tokenizer whose special tokens are `PAD`, `BEGIN` and `END`, as plain transformers loads it."""
    write_bare(tokenizer, folder.path)
    write_json(
        folder.path / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "bos_token": BEGIN,
            "eos_token": END,
            "pad_token": PAD,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )


def _bpe(runs: Runs, vocab_size: int, advance: Callable[[float], None]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    from .merges import byte_letters, learn_merges

    letters = byte_letters()
    names = (PAD, BEGIN, END)
    vocabulary = {name: index for index, name in enumerate((*names, *letters.values()))}
    merges = []
    for left, right in learn_merges(runs, vocab_size - len(vocabulary), advance):
        merges.append(("".join(map(letters.__getitem__, left)), "".join(map(letters.__getitem__, right))))
        vocabulary.setdefault("".join(merges[-1]), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(RUNS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _finished(tokenizer)


def _unigram(runs: Runs, vocab_size: int) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    names = [(name, 0.0) for name in (PAD, BEGIN, END)]
    pieces = learn_pieces(runs, vocab_size - len(names) - 256)
    vocabulary = [*names, *byte_pieces(pieces[-1][1] if pieces else 0.0), *pieces]
    # The library wants an id for what is unknown; nothing is, as every byte has a piece.
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(RUNS), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return _finished(tokenizer)


def _finished(tokenizer: Tokenizer) -> Tokenizer:
    from tokenizers import AddedToken, normalizers

    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (PAD, BEGIN, END)])
    return tokenizer


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Return the tokenizer of a model or tokenizer folder; one in the files of an older form is converted (see `older`).

    Raises:
        FolderError: the folder holds no tokenizer, or one that cannot be read.
    """
    folder = Path(folder)
    if not (folder / FILE).is_file() and (found := older.files(folder)):
        return older.converted(folder, found)
    return read_tokenizer(folder)


def lineage_of_tokenizer(folder: Path) -> Source:
    """Return the lineage entry for a folder with a tokenizer: what its manifest says, or the hash of the tokenizer's file."""
    found = () if (folder / FILE).is_file() else older.files(folder)
    return lineage_of(folder, found[0] if found else FILE)


@dataclass
class _Split:
    """Texts on their way to training, a few of them held out."""

    texts: Iterable[str]
    held_out: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)

    def training(self, advance: Callable[[float], None]) -> Iterator[str]:
        for index, text in enumerate(text for text in self.texts if text.strip()):
            if index % 1_000 == 999:
                advance(1_000)
            if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 and len(self.held_out) < HELD_OUT_MOST:
                self.held_out.append(text)
                continue
            if not self.first:
                self.first.append(text)
            yield text


FED = 4_000_000
"""Characters that training sees at most, give or take the rounding of counts."""
LONGEST = 16
_BATCH = 1_000


def learn_pieces(runs: Runs, pieces: int) -> list[tuple[str, float]]:
    """Return up to `pieces` pieces of a Unigram vocabulary with their log-probabilities, the most probable first.

    The library's expectation maximisation (Kudo 2018, "Subword regularization") is fed distinct runs, each as often as its
    count says, scaled down where that would be more than `FED` characters. It gives a piece to every character it sees, so
    rare characters are kept from it: at most half of the pieces are characters, and the rest is written in its 256 bytes.
    """
    import json

    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(RUNS), "isolated")
    trainer = trainers.UnigramTrainer(vocab_size=pieces, max_piece_length=LONGEST, show_progress=False)
    tokenizer.train_from_iterator(_fed(runs, pieces // 2), trainer)
    found = json.loads(tokenizer.to_str())["model"]["vocab"]
    return sorted(((piece, score) for piece, score in found), key=lambda one: (-one[1], one[0]))[:pieces]


def byte_pieces(score: float) -> list[tuple[str, float]]:
    """Return the pieces that stand for the bytes of a character without a piece."""
    return [(f"<0x{byte:02X}>", score) for byte in range(256)]


def _fed(runs: Runs, characters: int) -> Iterator[list[str]]:
    """Yield runs in batches, each as often as it counts, cut at characters that are not among the most frequent."""
    seen = np.bincount(runs.codes, weights=np.repeat(runs.counts, runs.lengths))
    rare = np.argsort(-seen, kind="stable")[characters:]
    codes = runs.codes.copy()
    codes[np.isin(codes, rare[seen[rare] > 0])] = ord(BETWEEN)
    text = codes.tobytes().decode("utf-32-le", "replace")
    factor = max(runs.least, float((runs.counts * runs.lengths).sum()) / FED)
    times = np.ceil(runs.counts / factor).astype(int).tolist()
    batch: list[str] = []
    start = 0
    for length, often in zip(runs.lengths.tolist(), times, strict=True):
        batch += [part for part in text[start : start + length].split(BETWEEN) if part] * often
        start += length
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
