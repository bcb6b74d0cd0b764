"""LSTM language model: the small baseline, in a folder of the Hugging Face layout that `load` reads.

    model = LstmForCausalLM(config(5_000_000, vocab_size=6144, context=256))
    model(input_ids=ids).logits                                                       # (B, T, V)

Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000) over a tied embedding (Press and Wolf 2017).
Importing this file makes it known to transformers' AutoConfig and AutoModelForCausalLM.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .sizes import STEP

MODEL_TYPE = "noria_lstm"
LAYERS = 2


class LstmConfig(PreTrainedConfig):
    """Sizes of the model."""

    model_type = MODEL_TYPE
    vocab_size: int = 6144
    hidden_size: int = 256
    num_hidden_layers: int = LAYERS
    max_position_embeddings: int = 256
    dropout: float = 0.0
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2


def config(parameters: int, vocab_size: int, context: int, *, dropout: float = 0.0) -> LstmConfig:
    """Return the configuration with two layers that comes nearest to `parameters`."""
    # vocab x width + layers x 8 x width^2, solved for the width
    squares = 8 * LAYERS
    width = (math.sqrt(vocab_size**2 + 4 * squares * parameters) - vocab_size) / (2 * squares)
    width = max(STEP, round(width / STEP) * STEP)
    return LstmConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=LAYERS,
        max_position_embeddings=context,
        dropout=dropout,
    )


class LstmForCausalLM(PreTrainedModel):
    """Embedding, LSTM, and the embedding again as output."""

    config_class = LstmConfig
    base_model_prefix = "lstm"
    _supports_sdpa = True  # there is no attention that could not
    _tied_weights_keys = {"lm_head.weight": "embedding.weight"}  # noqa: RUF012 - as transformers reads it

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.lstm = nn.LSTM(width, width, config.num_hidden_layers, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]  # transformers

    def hidden_states(self, ids: torch.Tensor, documents: torch.Tensor | None = None) -> torch.Tensor:
        """Return the states above the last layer (B, T, D); each document of a row begins with an empty memory.

        Args:
            ids: token ids (B, T).
            documents: number of the document within the row (B, T); where None, a row is one document.
        """
        vectors = self.drop(self.embedding(ids))
        if documents is None:
            states: torch.Tensor = self.drop(self.lstm(vectors)[0])
            return states
        # Rows cut where the document changes, run side by side, put back together.
        _, lengths = documents_of(documents)
        found = self.lstm(pack_sequence(list(vectors.flatten(0, 1).split(lengths)), enforce_sorted=False))[0]
        together: torch.Tensor = self.drop(torch.cat(unpack_sequence(found)).view(vectors.shape))
        return together

    def forward(self, input_ids: torch.Tensor, **others: Any) -> CausalLMOutput:
        """Return the logits of every next token (B, T, V); padding must stand behind the text."""
        return CausalLMOutput(logits=self.lm_head(self.hidden_states(input_ids)))

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put another embedding in its place."""
        self.embedding = cast(nn.Embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer."""
        head: nn.Module = self.lm_head
        return head

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                nn.init.uniform_(parameter, -(module.hidden_size**-0.5), module.hidden_size**-0.5)
                if name.startswith("bias_ih"):
                    # An open forget gate at the start (Gers et al. 2000).
                    parameter[module.hidden_size : 2 * module.hidden_size] = 1.0
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def documents_of(documents: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Return where documents begin (B, T), and the length of each, row by row, from their numbers within the row (B, T)."""
    firsts = torch.ones_like(documents, dtype=torch.bool)
    firsts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = firsts.flatten().nonzero().squeeze(1).cpu()
    return firsts, torch.diff(starts, append=torch.tensor([firsts.numel()])).tolist()


AutoConfig.register(MODEL_TYPE, LstmConfig, exist_ok=True)
AutoModelForCausalLM.register(LstmConfig, LstmForCausalLM, exist_ok=True)
