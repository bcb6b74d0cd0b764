"""One dial -> a whole configuration: how many parameters, and everything else follows.

Decoder: Llama. Encoder: BERT. Encoder-decoder: T5 with gated feed-forwards. Plain transformers trains and loads all three;
llama.cpp loads them too, and vLLM loads Llama and BERT. T5 rather than BART for the third: span corruption is its own
objective, it stays stable with its norms before each part, its relative positions know no longest text, and llama.cpp
knows it, while neither llama.cpp nor vLLM (since 0.11) loads BART.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from noria.core.errors import SettingError
from noria.core.messages import message

if TYPE_CHECKING:
    from transformers import BertConfig, LlamaConfig, T5Config

STEP = 64
"""Widths are multiples of this: one attention head, and whole tiles of the CPU's matrix unit."""
ASPECT = 64
"""Width over depth that small Llama-style models do well with; a soft aim."""
Count = Callable[[int, int, int], int]
"""Width, layers and vocabulary -> parameters."""


def causal(parameters: int, vocab_size: int, context: int, *, tied: bool = True) -> LlamaConfig:
    """Return the Llama configuration that comes nearest to `parameters`, input and output embeddings tied or not.

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

    width, layers = shape(parameters, vocab_size, context, partial(count, tied=tied))
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // STEP,
        num_key_value_heads=width // STEP,
        head_dim=STEP,
        intermediate_size=feed_forward(width),
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        initializer_range=0.02,
        rms_norm_eps=1e-5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attention_bias=False,
        use_cache=True,
    )


def encoder(parameters: int, vocab_size: int, context: int, *, dropout: float = 0.0) -> BertConfig:
    """Return the BERT configuration that comes nearest to `parameters`; arguments and errors as for `causal`.

    Heads are 64 wide, the feed-forward 4 times the width, as in Devlin et al. (2019), "BERT".
    """
    from transformers import BertConfig

    def count(width: int, layers: int, vocabulary: int) -> int:
        return count_encoder(width, layers, vocabulary, context)

    width, layers = shape(parameters, vocab_size, context, count)
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // STEP,
        intermediate_size=4 * width,
        max_position_embeddings=context,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def sequence_to_sequence(parameters: int, vocab_size: int, context: int, *, dropout: float = 0.0) -> T5Config:
    """Return the T5 configuration that comes nearest to `parameters`; arguments and errors as for `causal`.

    As many layers in the decoder as in the encoder; heads 64 wide, gated feed-forwards of 8/3 of the width (Shazeer 2020),
    embeddings tied, as in Raffel et al. (2020), "Exploring the Limits of Transfer Learning". Texts of any length can be
    read: `context` only bounds what is trained on.
    """
    from transformers import T5Config

    width, layers = shape(parameters, vocab_size, context, count_sequence_to_sequence)
    others: dict[str, Any] = {"bos_token_id": 1, "decoder_start_token_id": 0}  # which its own class does not name
    return T5Config(
        vocab_size=vocab_size,
        d_model=width,
        d_kv=STEP,
        d_ff=feed_forward(width),
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=width // STEP,
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=2,
        layer_norm_epsilon=1e-6,
        **others,
    )


def feed_forward(width: int) -> int:
    """Return the width of the feed-forward: 8/3 of `width`, up to the next multiple of 64."""
    return math.ceil(width * 8 / 3 / STEP) * STEP


def count(width: int, layers: int, vocab_size: int, *, tied: bool = True) -> int:
    """Return the parameters of that Llama: embeddings, four projections, a gated feed-forward, norms."""
    return (
        (1 if tied else 2) * vocab_size * width
        + layers * (4 * width**2 + 3 * width * feed_forward(width) + 2 * width)
        + width
    )


def count_encoder(width: int, layers: int, vocab_size: int, context: int) -> int:
    """Return the parameters of that BERT: embeddings, layers with biases, and the head that predicts masked tokens."""
    embeddings = (vocab_size + context + 2) * width + 2 * width
    return embeddings + layers * (12 * width**2 + 13 * width) + width**2 + 3 * width + vocab_size


def count_sequence_to_sequence(width: int, layers: int, vocab_size: int) -> int:
    """Return the parameters of that T5: tied embedding, layers of both halves, norms, relative positions."""
    feed = 3 * width * feed_forward(width)
    halves = (4 * width**2 + feed + 2 * width) + (8 * width**2 + feed + 3 * width)
    return vocab_size * width + layers * halves + 2 * width + 2 * 32 * (width // STEP)


def shape(parameters: int, vocab_size: int, context: int, count: Count) -> tuple[int, int]:
    """Return width and layers of the model that comes nearest to what was asked.

    Raises:
        SettingError: a number is out of range, or the vocabulary alone is larger than the model.
    """
    if not 100_000 <= parameters <= 10_000_000_000:
        raise SettingError(message("make.parameters_out"), found=parameters, allowed=message("make.to_2"))
    if not 16 <= context <= 131_072:
        raise SettingError(message("make.context_out"), found=context, allowed=message("make.to_3"))

    def miss(shape: tuple[int, int]) -> float:
        width, layers = shape
        off = abs(math.log(count(width, layers, vocab_size) / parameters))
        return abs(math.log(width / layers / ASPECT)) + 20 * max(off - 0.05, 0.0)

    least = count(STEP, 1, vocab_size)
    if parameters < 0.9 * least:
        raise SettingError(
            message("make.vocabulary_alone"),
            found=message("make.parameters", parameters=parameters),
            allowed=message("make.more_tokens_2", least=least, vocab_size=vocab_size),
            hint=message("make.use_more"),
        )
    shapes = []
    for width in range(STEP, 16_384 + STEP, STEP):
        outside = count(width, 0, vocab_size)
        layers = round((parameters - outside) / (count(width, 1, vocab_size) - outside))
        if layers < 1 and width > STEP:
            break
        shapes.append((width, max(layers, 1)))
    return min(shapes, key=miss)
