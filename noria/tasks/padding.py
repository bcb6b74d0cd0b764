"""How texts of unlike length become one table, by what a model's configuration says: which id, on which side, how long.

    padding = padding_of(config)
    ids, mask = padded([one.ids for one in features], padding)

Training, judging and serving fill texts up alike, so that a text's answer does not hang on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .encode import Features

OFFSET = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Kinds whose first position is that after the padding's (for MPNet after 1): of RoBERTa's 514 positions 512 can be used."""
ALIKE = frozenset({"canine", "convbert", "fnet", "funnel", "mobilebert", "nystromformer", "yoso"})
"""Kinds that mix what fills a text up into its answer: they have no mask, or reach over it to a token's neighbours."""
_TYPED = frozenset({"xlnet"})
"""Kinds that tell texts apart without a table of token types in their configuration."""
_POSITIONS = (
    "max_position_embeddings",
    "max_encoder_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "seq_length",
)
"""Names that configurations give the number of positions."""


@dataclass(frozen=True)
class Padding:
    """How a model wants short texts filled up."""

    id: int = 0
    """Token that fills; it is masked."""
    left: bool = False
    """Whether it stands before the text: for a model whose head reads the last place."""
    alike: bool = False
    """Whether only texts of one length can be computed together."""
    types: bool = True
    """Whether the model takes token types: which of two texts a token is of."""


def padding_of(config: Any) -> Padding:
    """Return how a model wants texts filled up, by its configuration (a mapping, or an object with such attributes)."""
    kind, pad = _of(config, "model_type"), _of(config, "pad_token_id")
    types = _of(config, "type_vocab_size")
    return Padding(
        id=pad if isinstance(pad, int) and pad >= 0 else 0,
        left=kind == "xlnet" or _of(config, "summary_type") == "last",
        alike=kind in ALIKE,
        types=kind in _TYPED or (isinstance(types, int) and types > 1),
    )


def usable_length(config: Any) -> int | None:
    """Return how many tokens the longest text may have, special tokens included; None where nothing bounds it."""
    if _of(config, "relative_attention_num_buckets") is not None and _of(config, "is_encoder_decoder"):
        return None  # T5 and its kin know distances only, whatever an old n_positions says
    found = (_of(config, name) for name in _POSITIONS)
    positions = next((int(one) for one in found if isinstance(one, int) and one > 0), None)
    if positions is None or _of(config, "model_type") not in OFFSET:
        return positions
    pad = 1 if _of(config, "model_type") == "mpnet" else _of(config, "pad_token_id")
    return positions - (1 if pad is None else int(pad)) - 1


def padded(
    rows: Sequence[Sequence[int]], padding: Padding, *, width: int = 0, filler: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows filled up to the longest, or to `width`, and 1 where they are not filling, both int64 [rows, T].

    `filler` is what fills them, the padding's id by default.
    """
    width = max(width, *map(len, rows))
    table = np.full((len(rows), width), padding.id if filler is None else filler, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for place, values in enumerate(rows):
        inside = within(len(values), width, padding)
        table[place, inside] = values
        mask[place, inside] = 1
    return table, mask


SPARE = 64
"""Tokens of padding in a batch that cost more than computing it in two."""


def like_groups(lengths: Sequence[int], padding: Padding) -> list[list[int]]:
    """Return the places of texts to compute together: those of like lengths, or where a model cannot do otherwise of one length.

    Args:
        lengths: tokens of each text.
        padding: how the model wants texts filled up.
    """
    groups: list[list[int]] = []
    width = filled = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        filled += width - lengths[place]
        if not groups or (padding.alike and width != lengths[place]) or filled > SPARE:
            groups.append([])
            width, filled = lengths[place], 0
        groups[-1].append(place)
    return groups


def within(length: int, width: int, padding: Padding) -> slice:
    """Return the places of a text of `length` tokens in a row of `width`."""
    return slice(width - length, width) if padding.left else slice(0, length)


def text_arrays(features: Sequence[Features], padding: Padding) -> dict[str, np.ndarray]:
    """Return a model's arguments for texts: ids, a mask where they differ in length, token types where there are any."""
    ids, mask = padded([one.ids for one in features], padding)
    arrays = {"input_ids": ids}
    if not mask.all():
        arrays["attention_mask"] = mask
    if types := types_of(features, padding):
        arrays["token_type_ids"] = padded(types, padding, filler=0)[0]
    return arrays


def types_of(features: Sequence[Features], padding: Padding) -> list[list[int]]:
    """Return each text's token types where the model takes them and a text has any; else none."""
    if not padding.types or not any(one.types for one in features):
        return []
    return [one.types or [0] * len(one.ids) for one in features]


def _of(config: Any, name: str) -> Any:
    """Return a value of a configuration, or of the part of it that is about text where a model does more than read."""
    if isinstance(config, Mapping):
        part = config.get("text_config")
        return (part if isinstance(part, Mapping) else config).get(name)
    text = getattr(config, "get_text_config", None)
    return getattr(text() if text else config, name, None)
