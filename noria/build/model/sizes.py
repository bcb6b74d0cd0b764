"""One dial -> a whole configuration: how many parameters, and everything else follows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from noria.core.errors import SettingError

if TYPE_CHECKING:
    from transformers import LlamaConfig

STEP = 64
"""Widths are multiples of this: one attention head, and whole tiles of the CPU's matrix unit."""
ASPECT = 64
"""Width over depth that small Llama-style models do well with; a soft aim."""


def causal(parameters: int, vocab_size: int, context: int) -> LlamaConfig:
    """Return the Llama configuration that comes nearest to `parameters`, input and output embeddings tied.

    Width and depth are searched together: within about a tenth of the parameters asked for, the shape nearest to width
    = 64 x depth wins. Heads are 64 wide, the feed-forward 8/3 of the width, as in Touvron et al. (2023), "LLaMA".

    Args:
        parameters: all of them, embeddings included, 100,000 to 10 billion.
        vocab_size: tokens of the tokenizer.
        context: longest sequence, in tokens, 16 to 131,072.

    Raises:
        SettingError: a number is out of range, or the vocabulary alone is larger than the model.
    """
    from transformers import LlamaConfig

    if not 100_000 <= parameters <= 10_000_000_000:
        raise SettingError("parameters is out of range", found=parameters, allowed="100,000 to 10,000,000,000")
    if not 16 <= context <= 131_072:
        raise SettingError("context is out of range", found=context, allowed="16 to 131,072")
    width, layers = _shape(parameters, vocab_size)
    return LlamaConfig(
        vocab_size=vocab_size, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // STEP,
        num_key_value_heads=width // STEP, head_dim=STEP, intermediate_size=feed_forward(width),
        max_position_embeddings=context, tie_word_embeddings=True, initializer_range=0.02, rms_norm_eps=1e-5,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, attention_bias=False, use_cache=True,
    )  # fmt: skip


def feed_forward(width: int) -> int:
    """Return the width of the feed-forward: 8/3 of `width`, up to the next multiple of 64."""
    return math.ceil(width * 8 / 3 / STEP) * STEP


def count(width: int, layers: int, vocab_size: int) -> int:
    """Return the parameters of that Llama: tied embedding, four projections, a gated feed-forward, norms."""
    return vocab_size * width + layers * (4 * width**2 + 3 * width * feed_forward(width) + 2 * width) + width


def _shape(parameters: int, vocab_size: int) -> tuple[int, int]:
    def miss(shape: tuple[int, int]) -> float:
        width, layers = shape
        off = abs(math.log(count(width, layers, vocab_size) / parameters))
        return abs(math.log(width / layers / ASPECT)) + 20 * max(off - 0.05, 0.0)

    least = count(STEP, 1, vocab_size)
    if parameters < 0.9 * least:
        raise SettingError(
            "the vocabulary alone is larger than the model", found=f"{parameters:,} parameters",
            allowed=f"{least:,} or more with {vocab_size:,} tokens", hint="use more parameters or a smaller vocabulary",
        )  # fmt: skip
    shapes = []
    for width in range(STEP, 16_384 + STEP, STEP):
        layer = count(width, 1, vocab_size) - count(width, 0, vocab_size)
        layers = round((parameters - vocab_size * width) / layer)
        if layers < 1 and width > STEP:
            break
        shapes.append((width, max(layers, 1)))
    return min(shapes, key=miss)
