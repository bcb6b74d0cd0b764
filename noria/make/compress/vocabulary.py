"""What a vocabulary must keep so that kept text keeps its tokens: of Unigram, WordPiece and BPE.

- Unigram: the best path through a text stays the best when pieces it does not use are taken away (its score stays, rivals
  only vanish). The least probable piece stays, as the penalty of an unknown character is counted from it.
- WordPiece takes the longest piece that fits, again and again: what it took stays the longest. A word that it cannot
  write might be written by shorter pieces once longer ones are gone, so every piece within such a word stays.
- BPE applies merges in their order. Every piece that stands between the characters and a kept piece stays, and with them
  the merges; of those, the first that applies is the one that applied first before, and at the end none is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.make.tokens.merges import byte_letters
from noria.tasks.tokenizer import document_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KINDS = ("Unigram", "WordPiece", "BPE")
_ASCII = tuple(map(chr, range(0x20, 0x7F)))
_PUNCTUATION = tuple(map(chr, (*range(0x2010, 0x2028), *range(0x3000, 0x3020), *range(0xFF01, 0xFF61))))


class Vocabulary:
    """A tokenizer, as the content of its `tokenizer.json`, seen as pieces by id.

    Raises:
        FolderError: the tokenizer is of a kind that cannot be trimmed.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.document: dict[str, Any] = document_of(tokenizer)
        self.model: dict[str, Any] = self.document["model"]
        self.kind = str(self.model["type"])
        if self.kind not in KINDS:
            raise FolderError(message("make.vocabulary_kind"), found=self.kind, allowed=KINDS)
        if self.kind == "BPE" and (self.model.get("continuing_subword_prefix") or self.model.get("end_of_word_suffix")):
            raise FolderError(
                message("make.bpe_vocabulary"),
                allowed=message("make.byte_level"),
            )

    @cached_property
    def ids(self) -> dict[str, int]:
        """Piece -> id, added tokens included."""
        vocabulary = self.model["vocab"]
        if self.kind == "Unigram":
            found = {piece: index for index, (piece, _) in enumerate(vocabulary)}
        else:
            found = dict(vocabulary)
        return found | {token["content"]: token["id"] for token in self.document["added_tokens"]}

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return max(self.ids.values(), default=-1) + 1

    def safety(self, tokenizer: Tokenizer, corpus: Iterable[str], prefix: str) -> np.ndarray:
        """Return the ids that stay whatever the corpus.

        They are the special tokens, ASCII, general and CJK punctuation, GB 2312 level 1, each character of the corpus by
        itself (for a tagger that reads character by character), the pieces of `prefix`, and whatever the kind needs.
        """
        characters = {*_ASCII, *_PUNCTUATION, *level_one()}.union(*map(set, corpus))
        forms = {form for character in characters for form in self._forms(character)}
        forms |= set(byte_letters().values()) if self._byte_level else set()
        ids = {index for piece, index in self.ids.items() if piece in forms or _is_byte(piece)}
        ids |= {token["id"] for token in self.document["added_tokens"]}
        ids |= set(tokenizer.encode(" ".join(("query: passage:", prefix))).ids)
        if self.kind == "Unigram":
            scores = [score for _, score in self.model["vocab"]]
            ids |= {int(np.argmin(scores))} | ({self.model["unk_id"]} - {None})
        elif self.model.get("unk_token") in self.ids:
            ids.add(self.ids[self.model["unk_token"]])
        return np.array(sorted(ids), dtype=np.int64)

    def within(self, tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
        """Return the ids of all pieces within the words of some texts, for a WordPiece vocabulary."""
        mark = self.model.get("continuing_subword_prefix") or ""
        longest = max(map(len, self.ids), default=0)
        found = set()
        for text in texts:
            normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
            parts = tokenizer.pre_tokenizer.pre_tokenize_str(normal) if tokenizer.pre_tokenizer else [(normal, (0, 0))]
            for word in {word for word, _ in parts if len(word) <= self.model.get("max_input_chars_per_word", 100)}:
                for start in range(len(word)):
                    for end in range(start + 1, min(len(word), start + longest) + 1):
                        piece = (mark if start else "") + word[start:end]
                        if piece in self.ids:
                            found.add(self.ids[piece])
        return found

    def closed(self, kept: np.ndarray) -> np.ndarray:
        """Return the ids with those of all pieces that merges pass on the way to them."""
        if self.kind != "BPE":
            return kept
        ranks = {pair: rank for rank, pair in enumerate(self._merges)}
        pieces = {index: piece for piece, index in self.ids.items()}
        found = set(kept.tolist())
        for index in kept.tolist():
            for piece in _passed(pieces[index], ranks):
                if piece in self.ids:
                    found.add(self.ids[piece])
        return np.array(sorted(found), dtype=np.int64)

    def cut(self, kept: np.ndarray) -> dict[str, Any]:
        """Return the content of a `tokenizer.json` that holds the kept ids alone, numbered anew in their order."""
        new = {int(old): index for index, old in enumerate(kept)}
        model = dict(self.model)
        if self.kind == "Unigram":
            model |= {"vocab": [model["vocab"][old] for old in new if old < len(model["vocab"])]}
            model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
        else:
            model["vocab"] = {
                piece: new[old] for piece, old in sorted(model["vocab"].items(), key=lambda one: one[1]) if old in new
            }
        if self.kind == "BPE":
            vocabulary = model["vocab"]
            model["merges"] = [
                [left, right]
                for left, right in self._merges
                if left in vocabulary and right in vocabulary and left + right in vocabulary
            ]
        added = [{**token, "id": new[token["id"]]} for token in self.document["added_tokens"]]
        return {
            **self.document,
            "model": model,
            "added_tokens": added,
            "post_processor": _renumbered(self.document.get("post_processor"), new),
        }

    @cached_property
    def _merges(self) -> list[tuple[str, str]]:
        # Older files write a merge as one string with a space between.
        pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in self.model["merges"])
        return [(first, second) for first, second in pairs]

    def _forms(self, character: str) -> list[str]:
        """Return the pieces that would stand for a character."""
        if self.kind == "WordPiece":
            return [character, (self.model.get("continuing_subword_prefix") or "") + character]
        if self._byte_level:
            letters = byte_letters()
            form = "".join(letters[byte] for byte in character.encode("utf-8", "replace"))
            return [form, letters[0x20] + form]
        return [character, "▁" + character] if character in _ASCII else [character]

    @cached_property
    def _byte_level(self) -> bool:
        return '"ByteLevel"' in json.dumps([self.document.get("pre_tokenizer"), self.document.get("decoder")])


def level_one() -> set[str]:
    """Return the 3,755 characters of GB 2312 level 1, those of everyday Chinese."""
    found: set[str] = set()
    for row in range(0xB0, 0xD8):
        # Row D7 ends five places early.
        found |= set(bytes(byte for cell in range(0xA1, 0xFF) for byte in (row, cell)).decode("gb2312", "ignore"))
    return found


def _passed(piece: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """Return the pieces that merges pass from a piece's characters to the piece."""
    parts = list(piece)
    passed = set(parts)
    while len(parts) > 1:
        rank, place = min(
            (ranks.get((left, right), len(ranks)), place) for place, (left, right) in enumerate(pairwise(parts))
        )
        if rank == len(ranks):
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
        passed.add(parts[place])
    return passed


def _is_byte(piece: str) -> bool:
    """Say whether a piece stands for a byte of what has no piece: <0x0A>."""
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _renumbered(part: Any, new: dict[int, int]) -> Any:
    """Return a post-processor with its ids numbered anew."""
    if not isinstance(part, dict):
        return part
    out = dict(part)
    if isinstance(out.get("special_tokens"), dict):
        out["special_tokens"] = {
            name: {**token, "ids": [new[index] for index in token["ids"]]}
            for name, token in out["special_tokens"].items()
        }
    for role in ("sep", "cls"):  # those of BERT and RoBERTa: [piece, id]
        if isinstance(out.get(role), list):
            out[role] = [out[role][0], new[out[role][1]]]
    if isinstance(out.get("processors"), list):
        out["processors"] = [_renumbered(one, new) for one in out["processors"]]
    return out
