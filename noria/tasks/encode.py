"""A text, or two, as token ids with places in the text: cut to a length, or read in windows that overlap."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tokenizers import Encoding, Tokenizer

from noria.core.errors import InputError
from noria.core.messages import message

ENDS = ("<|im_end|>", "<|end|>", "</s>", "<eos>", "<|endoftext|>", "[SEP]")
"""Tokens that end a text, by the names that tokenizers give them; the first that one knows is meant."""

_MIXED_SCRIPTS = frozenset(
    (
        "LATIN",
        "GREEK",
        "CYRILLIC",
        "CJK",
        "HIRAGANA",
        "KATAKANA",
        "HANGUL",
        "FULLWIDTH",
        "HALFWIDTH",
        "MODIFIER",
        "MICRO",
        "MASCULINE",
        "FEMININE",
    )
)
"""Scripts that texts do mix, by the first word of their letters' names."""


@dataclass(frozen=True)
class Features:
    """One text as a model sees it, special tokens included."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """First and past-the-last character of the text under every token; equal for tokens that stand for none of it."""
    meta: dict[str, Any]
    """"text": the text itself; "truncated": whether its end (for a causal model its start) was cut off."""
    types: list[int] = field(default_factory=list)
    """Which of two texts a token is of, 0 or 1, where the tokenizer tells them apart (some mark special tokens too); empty: all 0."""


def encode(tokenizer: Tokenizer, text: str, max_length: int, *, prefix: str = "", keep: str = "left") -> Features:
    """Return a text's features: ids with special tokens, offsets into `text` (not counting `prefix`), `max_length` at most.

    Args:
        tokenizer: is not changed; truncation is done here, so that two callers can share it.
        text: any text.
        max_length: bound on the ids, special tokens included.
        prefix: put before the text.
        keep: which end survives truncation, left or right.
    """
    encoding = tokenizer.encode(prefix + text, add_special_tokens=False)
    room = max_length - tokenizer.num_special_tokens_to_add(False)
    truncated = len(encoding.ids) > room
    if truncated:
        encoding.truncate(room, direction="right" if keep == "left" else "left")
    encoding = tokenizer.post_process(encoding)
    meta = {"text": text, "truncated": truncated}
    return Features(list(encoding.ids), _places(encoding.offsets, len(prefix)), meta, _types(encoding))


def encode_bare(tokenizer: Tokenizer, text: str, max_length: int) -> Features:
    """Return a text that names its special tokens itself, and gets no others; of a long one the end is kept.

    `meta["places"]` are the characters under every token, also of tokens that share theirs with the next.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    truncated = len(encoding.ids) > max_length
    if truncated:
        encoding.truncate(max_length, direction="left")
    meta = {"text": text, "truncated": truncated, "places": list(encoding.offsets)}
    return Features(list(encoding.ids), _places(encoding.offsets, 0), meta)


def encode_pair(tokenizer: Tokenizer, text: str, pair: str, max_length: int, *, prefix: str = "") -> Features:
    """Return two texts as one sequence, as the tokenizer joins them; offsets into the first, and equal for the second.

    The longer of the two is cut until both fit.
    """
    first = tokenizer.encode(prefix + text, add_special_tokens=False)
    second = tokenizer.encode(pair, add_special_tokens=False)
    room = max_length - _specials_of_pair(tokenizer)
    left, right = _shares(len(first.ids), len(second.ids), room)
    truncated = left < len(first.ids) or right < len(second.ids)
    first.truncate(left)
    second.truncate(right)
    ids, types, sides, offsets = _joined(tokenizer, first, second)
    places = _places([place if side == 0 else (0, 0) for place, side in zip(offsets, sides, strict=True)], len(prefix))
    return Features(ids, places, {"text": text, "pair": pair, "truncated": truncated}, types if any(types) else [])


def encode_windows(
    tokenizer: Tokenizer, text: str, max_length: int, *, prefix: str = "", overlap: float = 0.25
) -> list[Features]:
    """Return a text in windows of `max_length` that overlap by a share of their length.

    `meta["owns"]` are the characters from and up to which a window's answers count: every character is owned by one
    window, and each border lies in the middle of an overlap. The prefix stands before every window.
    """
    encoding = tokenizer.encode(text, add_special_tokens=False)
    before = tokenizer.encode(prefix, add_special_tokens=False) if prefix else None
    room = max_length - tokenizer.num_special_tokens_to_add(False) - (len(before.ids) if before else 0)
    if len(encoding.ids) <= room:
        whole = encode(tokenizer, text, max_length, prefix=prefix)
        return [Features(whole.ids, whole.offsets, {**whole.meta, "owns": (0, len(text))}, whole.types)]
    parts = _parts(encoding, max(1, room), overlap)
    places = [part.offsets for part in parts]
    borders = [0, *((left[-1][1] + right[0][0]) // 2 for left, right in pairwise(places)), len(text)]
    windows = []
    for part, owns in zip(parts, pairwise(borders), strict=True):
        if before:
            part = Encoding.merge([before, part], growing_offsets=False)
        part = tokenizer.post_process(part)
        offsets = list(part.offsets)
        if before:
            body = next((place for place, mask in enumerate(part.special_tokens_mask) if not mask), 0)
            offsets[body : body + len(before.ids)] = [(0, 0)] * len(before.ids)
        meta = {"text": text, "truncated": False, "owns": owns}
        windows.append(Features(list(part.ids), _places(offsets, 0), meta, _types(part)))
    return windows


def encode_question(
    tokenizer: Tokenizer, question: str, context: str, max_length: int, *, overlap: float = 0.25
) -> list[Features]:
    """Return a question with its context in windows; offsets into the context, and equal for all that is not of it.

    A question takes a third of `max_length` at most. `meta["context"]` says of every token whether it is of the context.
    """
    asked = tokenizer.encode(question, add_special_tokens=False)
    asked.truncate(max(1, max_length // 3))
    encoding = tokenizer.encode(context, add_special_tokens=False)
    room = max(1, max_length - _specials_of_pair(tokenizer) - len(asked.ids))
    windows = []
    for part in _parts(encoding, room, overlap):
        ids, types, sides, offsets = _joined(tokenizer, asked, part)
        places = _places([place if side == 1 else (0, 0) for place, side in zip(offsets, sides, strict=True)], 0)
        meta = {"text": context, "question": question, "truncated": False, "context": [side == 1 for side in sides]}
        windows.append(Features(ids, places, meta, types if any(types) else []))
    return windows


def text_of_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the text that ids of this very tokenizer stand for, special tokens left out.

    Ids of another tokenizer are numbers like any others, and the text they spell here is a jumble, which shows: the tokenizer
    would write it with other ids, or it runs through scripts that no text mixes.

    Raises:
        InputError: an id is none of the vocabulary's, or the ids are another tokenizer's.
    """
    allowed = message("tasks.ids_model", get_vocab_size=tokenizer.get_vocab_size())
    for one in ids:
        if tokenizer.id_to_token(one) is None:
            raise InputError(message("tasks.token_model"), found=one, allowed=allowed, hint=message("tasks.send_text"))
    text = tokenizer.decode(list(ids))
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    given = Counter(one for one in ids if one not in special)
    again = Counter(tokenizer.encode(text, add_special_tokens=False).ids)
    # A text cut between two tokens differs at its ends alone.
    strange = (given & again).total() < 0.8 * max(given.total(), again.total()) - 2
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()}
    if strange or len(scripts - _MIXED_SCRIPTS) > 2:
        raise InputError(message("tasks.ids_another"), allowed=allowed, hint=message("tasks.send_text"))
    return text


def end_of(tokenizer: Tokenizer) -> int | None:
    """Return the id of the token that ends a text: what the tokenizer itself puts last, else the first of `ENDS` it knows."""
    closing = tokenizer.post_process(tokenizer.encode("", add_special_tokens=False)).ids
    if closing:
        return int(closing[-1])
    known = (tokenizer.token_to_id(name) for name in ENDS)
    return next((number for number in known if number is not None), None)


def _types(encoding: Encoding) -> list[int]:
    """Return the token types of one text, where the tokenizer gives some that are not 0, as XLNet's does for its last token."""
    types = list(encoding.type_ids)
    return types if any(types) else []


def _places(offsets: list[tuple[int, int]], skip: int) -> list[tuple[int, int]]:
    """Return offsets less the prefix; of tokens that share their characters only the last stands for them."""
    places = [(max(start - skip, 0), max(end - skip, 0)) for start, end in offsets]
    for index, (here, after) in enumerate(pairwise(places)):
        # A lone word-start mark or the bytes of one character share their characters: only the last token stands for them.
        if here[0] == after[0] and here[1] <= after[1]:
            places[index] = (here[0], here[0])
    return places


def _parts(encoding: Encoding, room: int, overlap: float) -> list[Encoding]:
    if len(encoding.ids) <= room:
        return [encoding]
    encoding.truncate(room, stride=min(room - 1, int(room * overlap)))
    return [encoding, *encoding.overflowing]


def _shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each of two texts fit, the longer giving way."""
    half = room // 2
    if first + second <= room:
        return first, second
    if first <= half:
        return first, max(0, room - first)
    if second <= room - half:
        return max(0, room - second), second
    return half, max(0, room - half)


def _own_template(tokenizer: Tokenizer) -> bool:
    """Say whether the tokenizer knows how to join two texts: it then puts more round them than round one."""
    return bool(tokenizer.num_special_tokens_to_add(True) >= tokenizer.num_special_tokens_to_add(False) + 1)


def _specials_of_pair(tokenizer: Tokenizer) -> int:
    # Two texts that the tokenizer closes one by one: the second's opening is left out, so this is a bound.
    twice = 2 * tokenizer.num_special_tokens_to_add(False)
    return int(tokenizer.num_special_tokens_to_add(True) if _own_template(tokenizer) else twice)


def _joined(
    tokenizer: Tokenizer, first: Encoding, second: Encoding
) -> tuple[list[int], list[int], list[int | None], list[tuple[int, int]]]:
    """Return ids, token types, which text a token is of (None: neither) and offsets of two texts joined."""
    if _own_template(tokenizer):
        both = tokenizer.post_process(first, second)
        # The library's own record of which token is of which text is lost for the first text in some cases.
        order = iter([0] * len(first.ids) + [1] * len(second.ids))
        sides: list[int | None] = [None if mask else next(order) for mask in both.special_tokens_mask]
        return list(both.ids), list(both.type_ids), sides, list(both.offsets)
    left, right = tokenizer.post_process(first), tokenizer.post_process(second)
    marks = list(right.special_tokens_mask)
    opening = marks.index(0) if 0 in marks else 0
    sides = [None if mask else 0 for mask in left.special_tokens_mask]
    sides += [None if mask else 1 for mask in marks[opening:]]
    ids, offsets = [*left.ids, *right.ids[opening:]], [*left.offsets, *right.offsets[opening:]]
    return ids, [0] * len(ids), sides, offsets
