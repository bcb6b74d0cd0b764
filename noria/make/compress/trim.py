"""Trim a vocabulary to a corpus: the same tokens for every text of the corpus, from a fraction of the embeddings.

A multilingual encoder spends four fifths of its parameters on pieces that a corpus of one or two languages never uses.
Works for Unigram, WordPiece and BPE: `vocabulary` says what must stay so that tokens stay; the whole corpus is tokenised
again to see it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, InputError, InternalError, unknown
from noria.core.folder import (
    MANIFEST,
    OpenFolder,
    Source,
    lineage_of,
    new_folder,
    read_manifest,
    sha256_file,
    write_json,
)
from noria.core.messages import message
from noria.core.progress import Bar, Report
from noria.make.corpus.texts import all_texts
from noria.make.models.bundled import e5_small, minilm, smollm2
from noria.make.tokens.density import unknown_id
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer
from noria.tasks.companion import copy_companion
from noria.tasks.pooling import copy_sentence_folder
from noria.tasks.tokenizer import tokenizer_of, write_tokenizer

from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 2_048
_BY_PIECE = (
    "word_embeddings.weight",
    "embed_tokens.weight",
    "wte.weight",
    "shared.weight",
    "lm_head.weight",
    "lm_head.bias",
    "predictions.bias",
    "predictions.decoder.weight",
    "predictions.decoder.bias",
)
"""Ends of the names of tensors with one row a piece."""


def trim(
    folder: str | Path,
    texts: Iterable[str],
    target: str | Path,
    report: Report | None = None,
    *,
    sources: Sequence[Source] = (),
) -> Path:
    """Write a copy of a model whose vocabulary holds only what `texts` use, and a safety set.

    The safety set: special tokens, ASCII, general and CJK punctuation, the 3,755 characters of GB 2312 level 1, and every
    single character of the corpus, so that other Chinese and English text still tokenises, if into shorter pieces.
    `facts["trim"]` tells sizes before and after, and the Good-Turing estimate (Good 1953) of how often a token of new text
    of the same kind was cut.

    Args:
        folder: a model folder with a Unigram, WordPiece or BPE tokenizer.
        texts: the corpus; read once and kept in memory.
        target: the folder to write.
        report: where progress goes.
        sources: lineage of the texts.

    Raises:
        FolderError: `folder` is no such model.
        InputError: there is no text.
    """
    folder, report = Path(folder), report or Report()
    tokenizer = load_tokenizer(folder)
    vocabulary = Vocabulary(tokenizer)
    corpus = [text for text in texts if text.strip()]
    if not corpus:
        raise InputError(message("make.text_trim"), hint=message("make.give_least_one"))
    report.plan(message("work.trim", pieces=vocabulary.size, texts=len(corpus), seconds=2 + len(corpus) // 8_000))
    with report.bar("trim", total=2 * len(corpus), unit="texts") as bar:
        before = [_ids(tokenizer, batch) for batch in _batches(corpus, bar)]
        uses = np.bincount(np.concatenate([batch.ids for batch in before]), minlength=vocabulary.size)
        cut = _cut(vocabulary, tokenizer, uses, corpus, _facts(folder).get("prefix", ""))
        after = cut.tokenizer()
        for known, batch in zip(before, _batches(corpus, bar), strict=True):
            _check_same(known, _ids(after, batch), cut.kept, batch)
    with new_folder(target, kind="model", sources=[lineage_of(folder, "*.safetensors"), *sources]) as out:
        _write(folder, cut, out)
        out.facts["trim"] |= {
            "pieces_before": vocabulary.size,
            "pieces": len(cut.kept),
            "texts": len(corpus),
            "tokens": int(uses.sum()),
            "new_text_cut": float((uses == 1).sum() / uses.sum()),
        }
        parameters = out.facts["parameters"]
    report.ledger(
        message(
            "work.trimmed",
            pieces=vocabulary.size,
            kept=len(cut.kept),
            before=out.facts["trim"]["parameters_before"],
            parameters=parameters,
            texts=len(corpus),
        )
    )
    return Path(target)


@dataclass(frozen=True)
class _Tokens:
    ids: np.ndarray
    """Ids of a batch of texts, one after the other."""
    lengths: np.ndarray


def _batches(corpus: list[str], bar: Bar) -> Iterator[list[str]]:
    for start in range(0, len(corpus), BATCH):
        batch = corpus[start : start + BATCH]
        yield batch
        bar.advance(len(batch))


def _ids(tokenizer: Tokenizer, batch: Sequence[str]) -> _Tokens:
    lists = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(batch), add_special_tokens=False)]
    flat = np.fromiter((index for ids in lists for index in ids), np.int32)
    return _Tokens(flat, np.array([len(ids) for ids in lists]))


@dataclass(frozen=True)
class _Cut:
    """A vocabulary cut down."""

    document: dict[str, Any]
    """The content of the new `tokenizer.json`."""
    kept: np.ndarray
    """New id -> old id."""

    def tokenizer(self) -> Tokenizer:
        return tokenizer_of(self.document)


def _cut(vocabulary: Vocabulary, tokenizer: Tokenizer, uses: np.ndarray, corpus: list[str], prefix: str) -> _Cut:
    kept = np.union1d(np.flatnonzero(uses), vocabulary.safety(tokenizer, corpus, prefix))
    unknown = unknown_id(tokenizer)
    if vocabulary.kind == "WordPiece" and unknown >= 0 and uses[unknown]:
        encodings = zip(corpus, tokenizer.encode_batch_fast(corpus, add_special_tokens=False), strict=True)
        texts = [text for text, encoding in encodings if unknown in encoding.ids]
        kept = np.union1d(kept, list(vocabulary.within(tokenizer, texts)))
    kept = vocabulary.closed(kept)
    return _Cut(vocabulary.cut(kept), kept)


def _check_same(before: _Tokens, after: _Tokens, kept: np.ndarray, batch: Sequence[str]) -> None:
    if np.array_equal(before.lengths, after.lengths) and np.array_equal(before.ids, kept[after.ids]):
        return
    old, new = np.split(before.ids, before.lengths.cumsum()), np.split(kept[after.ids], after.lengths.cumsum())
    text = next(text for text, one, two in zip(batch, old, new, strict=False) if not np.array_equal(one, two))
    raise InternalError(message("make.text_corpus"), found=text)


def _write(folder: Path, cut: _Cut, out: OpenFolder) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = config["vocab_size"]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FolderError(message("make.holds_safetensors", folder=folder), hint=message("make.model_folder"))
    state: dict[str, np.ndarray] = {}
    for file in files:
        with safe_open(file, "numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                state[name] = tensors.get_tensor(name)
    before = sum(tensor.size for tensor in state.values())
    for name, tensor in state.items():
        if name.endswith(_BY_PIECE) and tensor.shape[0] == rows:
            state[name] = np.ascontiguousarray(tensor[cut.kept])
    save_file(state, out.path / "model.safetensors", metadata={"format": "pt"})
    (out.path / "model.safetensors").chmod(0o644)
    new = {int(old): index for index, old in enumerate(cut.kept)}
    write_json(out.path / "config.json", {**_renumbered(config, new), "vocab_size": len(cut.kept)})
    generation = folder / "generation_config.json"
    if generation.exists():
        values = json.loads(generation.read_text(encoding="utf-8"))
        write_json(out.path / generation.name, _renumbered(values, new))
    copy_tokenizer(folder, out.path)
    copy_sentence_folder(folder, out.path)
    copy_companion(folder, out.path)
    write_tokenizer(cut.tokenizer(), out.path)
    parameters = sum(tensor.size for tensor in state.values())
    out.facts.update(_facts(folder), parameters=parameters)
    out.facts["trim"] = {"parameters_before": before}


def _renumbered(config: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """Return a configuration with the ids of its special tokens numbered anew; one or several a key."""
    out = dict(config)
    for key, value in config.items():
        if key.endswith("_token_id") and value is not None:
            out[key] = [new[one] for one in value] if isinstance(value, list) else new[value]
    return out


def _facts(folder: Path) -> dict[str, Any]:
    return read_manifest(folder).facts if (folder / MANIFEST).exists() else {}


NAMES = ("e5-small", "minilm", "smollm2")


def bundled(name: str, out: Path, report: Report, *, trim_to: Sequence[Path] = ()) -> Path:
    """Write a bundled model as a folder.

    Args:
        name: e5-small, minilm or smollm2.
        out: the folder to write.
        report: where plan and result are reported.
        trim_to: files whose texts' tokens stay in the vocabulary; without any it stays whole.

    Raises:
        SettingError: no such name.
        PackageError: the package that holds it is missing, or is not the one known here.
        FolderError: its vocabulary is of a kind that cannot be trimmed.
        InputError: there is no text to trim to.
    """
    makers = dict(zip(NAMES, (e5_small, minilm, smollm2), strict=True))
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
