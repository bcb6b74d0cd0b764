"""Trim a vocabulary to a corpus: the same tokens for every text of the corpus, from a fraction of the embeddings.

A multilingual encoder spends four fifths of its parameters on pieces that a corpus of one or two languages never uses. The
best path of a Unigram tokenizer through a text stays the best when pieces it does not use are taken away (its score
stays, rivals only vanish), so keeping every piece in use keeps the tokens; the whole corpus is tokenised again to see it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.build.tokens.tokenizer import load_tokenizer
from noria.core.errors import FolderError, InputError, InternalError
from noria.core.folder import (
    MANIFEST,
    OpenFolder,
    Source,
    new_folder,
    read_manifest,
    sha256_file,
    source_of,
    write_json,
)
from noria.core.progress import Bar, Report

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 2_048
_BY_PIECE = (
    "word_embeddings.weight", "embed_tokens.weight", "lm_head.weight",
    "predictions.bias", "predictions.decoder.weight", "predictions.decoder.bias",
)  # fmt: skip
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
        folder: a model folder with a Unigram tokenizer.
        texts: the corpus; read once and kept in memory.
        target: the folder to write.
        report: where progress goes.
        sources: lineage of the texts.

    Raises:
        FolderError: `folder` is no such model.
        InputError: there is no text.
    """
    folder, report = Path(folder), report or Report()
    document = _unigram(folder)
    tokenizer = load_tokenizer(folder)
    corpus = [text for text in texts if text.strip()]
    if not corpus:
        raise InputError("no text to trim to", hint="give at least one text that is not empty")
    pieces = document["model"]["vocab"]
    report.plan(f"trim: {len(pieces):,} pieces to those of {len(corpus):,} texts, about {2 + len(corpus) // 8_000} s")
    with report.bar("trim", total=2 * len(corpus), unit="texts") as bar:
        before = [_ids(tokenizer, batch) for batch in _batches(corpus, bar)]
        uses = np.bincount(np.concatenate([batch.ids for batch in before]), minlength=len(pieces))
        cut = _cut(document, np.union1d(np.flatnonzero(uses), _safety(document, tokenizer, folder, corpus)))
        after = cut.tokenizer()
        for known, batch in zip(before, _batches(corpus, bar), strict=True):
            _check_same(known, _ids(after, batch), cut.kept, batch)
    with new_folder(target, kind="model", sources=[_lineage(folder), *sources]) as out:
        _write(folder, cut, out)
        out.facts["trim"] |= {
            "pieces_before": len(pieces), "pieces": len(cut.kept), "texts": len(corpus), "tokens": int(uses.sum()),
            "new_text_cut": float((uses == 1).sum() / uses.sum()),
        }  # fmt: skip
        parameters = out.facts["parameters"]
    report.ledger(
        f"trim: {len(pieces):,} -> {len(cut.kept):,} pieces, {out.facts['trim']['parameters_before']:,} -> "
        f"{parameters:,} parameters; tokens of all {len(corpus):,} texts unchanged"
    )
    return Path(target)


def _unigram(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        kind = document["model"]["type"]
    except FileNotFoundError:
        raise FolderError(f"{folder} holds no tokenizer.json", hint="it is not a model folder") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{folder / 'tokenizer.json'} cannot be read", found=str(error)) from None
    if kind != "Unigram":
        raise FolderError("only a Unigram vocabulary can be trimmed", found=kind, allowed="Unigram")
    return document


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


def _safety(document: dict[str, Any], tokenizer: Tokenizer, folder: Path, corpus: list[str]) -> np.ndarray:
    """Return the ids that stay whatever the corpus."""
    wanted = set(map(chr, range(0x20, 0x7F)))
    wanted |= set(map(chr, (*range(0x2010, 0x2028), *range(0x3000, 0x3020), *range(0xFF01, 0xFF61))))
    for row in range(0xB0, 0xD8):
        # Row D7 of GB 2312 ends five places early.
        wanted |= set(bytes(byte for cell in range(0xA1, 0xFF) for byte in (row, cell)).decode("gb2312", "ignore"))
    # Each character of the corpus by itself, for a tagger that reads character by character.
    wanted |= set().union(*map(set, corpus))
    wanted |= {"▁", *("▁" + letter for letter in map(chr, range(0x21, 0x7F)))}
    ids = [index for index, (piece, _) in enumerate(document["model"]["vocab"]) if piece in wanted]
    ids += [token["id"] for token in document["added_tokens"]]
    ids += tokenizer.encode(" ".join(("query: passage:", _facts(folder).get("prefix", "")))).ids
    # The penalty of an unknown character is 10 below the least probable piece: that piece stays, so the penalty stays.
    scores = [score for _, score in document["model"]["vocab"]]
    return np.array([*ids, int(np.argmin(scores))])


@dataclass(frozen=True)
class _Cut:
    """A vocabulary cut down."""

    document: dict[str, Any]
    """The content of the new `tokenizer.json`."""
    kept: np.ndarray
    """New id -> old id."""

    def tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(json.dumps(self.document, ensure_ascii=False))


def _cut(document: dict[str, Any], kept: np.ndarray) -> _Cut:
    new = {int(old): index for index, old in enumerate(kept)}
    model = document["model"]
    out = {
        **document,
        "model": {**model, "vocab": [model["vocab"][old] for old in kept], "unk_id": new[model["unk_id"]]},
        "added_tokens": [{**token, "id": new[token["id"]]} for token in document["added_tokens"]],
    }
    template = document.get("post_processor") or {}
    if "special_tokens" in template:
        tokens = {
            name: {**token, "ids": [new[index] for index in token["ids"]]}
            for name, token in template["special_tokens"].items()
        }
        out["post_processor"] = {**template, "special_tokens": tokens}
    return _Cut(out, kept)


def _check_same(before: _Tokens, after: _Tokens, kept: np.ndarray, batch: Sequence[str]) -> None:
    if np.array_equal(before.lengths, after.lengths) and np.array_equal(before.ids, kept[after.ids]):
        return
    old, new = np.split(before.ids, before.lengths.cumsum()), np.split(kept[after.ids], after.lengths.cumsum())
    text = next(text for text, one, two in zip(batch, old, new, strict=False) if not np.array_equal(one, two))
    raise InternalError("a text of the corpus changed its tokens", found=text)


def _write(folder: Path, cut: _Cut, out: OpenFolder) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = config["vocab_size"]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FolderError(f"{folder} holds no safetensors", hint="it is not a model folder")
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
    for key in [key for key in config if key.endswith("_token_id") and config[key] is not None]:
        config[key] = new[config[key]]
    write_json(out.path / "config.json", {**config, "vocab_size": len(cut.kept)})
    (out.path / "tokenizer.json").write_text(json.dumps(cut.document, ensure_ascii=False), encoding="utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, out.path / name)
    parameters = sum(tensor.size for tensor in state.values())
    out.facts.update(_facts(folder), parameters=parameters)
    out.facts["trim"] = {"parameters_before": before}


def _facts(folder: Path) -> dict[str, Any]:
    return read_manifest(folder).facts if (folder / MANIFEST).exists() else {}


def _lineage(folder: Path) -> Source:
    if (folder / MANIFEST).exists():
        return source_of(folder)
    return Source(folder.name, sha256_file(next(iter(sorted(folder.glob("*.safetensors"))))))
