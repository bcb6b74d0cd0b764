"""The special tokens of any tokenizer: begin, end, padding, mask, and the sentinels of span corruption.

special = special_tokens(folder)                                    # ids, whatever the tokenizer calls them
special = document_tokens(folder)                                   # the same, begin and end those of documents, not of turns
extend(folder, target, masks=True)                                  # the same tokenizer, with a mask
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import FolderError
from noria.core.folder import new_folder, write_json
from noria.core.messages import message
from noria.tasks.chat import Chat
from noria.tasks.specials import chat_template
from noria.tasks.tokenizer import write_tokenizer as write_bare
from noria.text.script import segmented

from .tokenizer import BEGIN, END, PAD, copy_tokenizer, lineage_of_tokenizer, load_tokenizer, write_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MASK = "<|mask|>"
SENTINELS = 100
"""As many as T5 has (Raffel et al. 2020, section 3.1.4)."""
_SENTINEL = "<extra_id_{}>"
_LONG = 1 << 16
"""Tokens that no template writes round three turns."""
_ROLES = {
    "begin": ("bos_token", "cls_token", BEGIN, "<s>", "[CLS]"),
    "end": ("eos_token", "sep_token", END, "</s>", "[SEP]"),
    "pad": ("pad_token", PAD, "<pad>", "[PAD]"),
    "mask": ("mask_token", MASK, "<mask>", "[MASK]"),
}


_DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")
"""How families of decoders call the end of a document, where the end of a turn is another token."""


@dataclass(frozen=True)
class Special:
    """Ids of a tokenizer's special tokens; None where it has none."""

    begin: int | None
    end: int | None
    pad: int | None
    mask: int | None
    sentinels: tuple[int, ...]
    """First to last, as they stand in a text."""

    def all(self) -> set[int]:
        """Return every id there is."""
        return {one for one in (self.begin, self.end, self.pad, self.mask, *self.sentinels) if one is not None}


def special_tokens(folder: Path, tokenizer: Tokenizer | None = None) -> Special:
    """Return the special tokens of a tokenizer's folder, by tokenizer_config.json, else by their usual names.

    `tokenizer` is the folder's where it has been read already.

    Raises:
        FolderError: the tokenizer is missing or cannot be read.
    """
    tokenizer, config = tokenizer or load_tokenizer(folder), _config(folder)
    found: dict[str, int | None] = {}
    for role, names in _ROLES.items():
        spelled = [_text(config.get(name, name)) for name in names]
        ids = [tokenizer.token_to_id(name) for name in spelled if name]
        found[role] = next((one for one in ids if one is not None), None)
    sentinels = [tokenizer.token_to_id(_SENTINEL.format(number)) for number in range(SENTINELS)]
    return Special(**found, sentinels=tuple(one for one in sentinels if one is not None))


def document_tokens(folder: Path) -> Special:
    """Return the special tokens of a tokenizer's folder, begin and end as they stand round a document.

    A model that chats often has the marks of a turn for them (`<|im_start|>`, `<|im_end|>`), while the documents that it was
    pretrained on ended otherwise: then that is taken, if its tokenizer knows it. One without a begin, such as Qwen, begins a
    document after the end of another.

    Raises:
        FolderError: the tokenizer cannot be read, or its chat template cannot be used.
    """
    tokenizer = load_tokenizer(folder)
    special = special_tokens(folder, tokenizer)
    begin, end = special.begin, special.end
    if chat_template(folder):
        chat = Chat().based_on(folder, tokenizer)
        turns = [{"role": role, "content": "?"} for role in ("user", "assistant", "user")]
        ends = chat.ends(tokenizer) if isinstance(chat, Chat) else frozenset()
        named = map(tokenizer.token_to_id, _DOCUMENT_ENDS)
        own = next((one for one in named if one is not None and one not in ends), None)
        if end in ends and own is not None:
            end = own
            ids = chat.features(tokenizer, {"messages": turns}, _LONG).ids
            begin = end if begin is not None and ids.count(begin) > 1 else begin
    return replace(special, begin=end if begin is None else begin, end=end)


def extend(folder: Path, target: Path, *, mask: bool = False, sentinels: bool = False) -> Path:
    """Write a tokenizer's folder anew with what an objective needs besides: a mask, or sentinels; old ids stay.

    A text is encoded with begin and end round it where there is a mask, with an end where there are sentinels, as BERT and
    T5 have it; a tokenizer that already puts something round a text keeps doing so.

    Raises:
        FolderError: the tokenizer has no end, or for masks no begin.
    """
    from tokenizers import AddedToken, processors

    tokenizer, special = load_tokenizer(folder), special_tokens(folder)
    if special.end is None or (mask and special.begin is None):
        raise FolderError(message("make.tokenizer_begin_end", folder=folder), allowed=(BEGIN, END))
    config = _config(folder)
    added = []
    if mask and special.mask is None:
        added.append(MASK)
        config["mask_token"] = MASK
    if sentinels and len(special.sentinels) < SENTINELS:
        added += [_SENTINEL.format(number) for number in range(SENTINELS)]
        config["extra_special_tokens"] = [_SENTINEL.format(number) for number in range(SENTINELS)]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in added])
    if (mask or sentinels) and tokenizer.post_processor is None:
        begin, end = tokenizer.id_to_token(special.begin or 0), tokenizer.id_to_token(special.end)
        head = f"{begin} " if mask else ""
        pairs = [(begin, special.begin or 0), (end, special.end)] if mask else [(end, special.end)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{head}$A {end}", pair=f"{head}$A {end} $B:1 {end}:1", special_tokens=pairs
        )
        if mask:
            config.update(cls_token=begin, sep_token=end)
    with new_folder(target, kind="tokenizer", sources=[lineage_of_tokenizer(folder)]) as new:
        copy_tokenizer(folder, new.path)
        write_bare(tokenizer, new.path)
        write_json(new.path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **config})
    return target


def byte_tokenizer(target: Path) -> Path:
    """Write a tokenizer whose tokens are the 256 bytes: nothing to train, nothing unknown, 259 tokens in all."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([PAD, BEGIN, END, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (PAD, BEGIN, END)])
    with new_folder(target, kind="tokenizer", settings={"vocab_size": 256}) as folder:
        write_tokenizer(folder, tokenizer)
    return target


def word_starts(text: str, offsets: list[tuple[int, int]]) -> list[bool]:
    """Return for each token whether a word begins in it: Chinese by rjieba, other scripts by runs of letters and digits.

    Args:
        text: the text.
        offsets: characters (start, stop) of each token.
    """
    borders, place = set(), 0
    for word in segmented(text):
        borders.add(place)
        place += len(word)
    borders -= {match.start() + inside for match in _LATIN.finditer(text) for inside in range(1, len(match[0]))}
    borders |= {match.start() for match in _LATIN.finditer(text)}
    flags, reached = [], -1
    for start, stop in offsets:
        # A token may begin with the space before its word.
        inside = range(max(start, reached + 1), max(stop, start + 1))
        flags.append(any(place in borders and not text[place : place + 1].isspace() for place in inside))
        reached = max(reached, stop - 1)
    return flags


_LATIN = re.compile(r"[^\W\d_\u2e80-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]+(?:['’][^\W\d_]+)*|\d+")


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except ValueError as error:
        raise FolderError(message("make.cannot_read_3", file=file), found=str(error)) from None


def _text(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value)
