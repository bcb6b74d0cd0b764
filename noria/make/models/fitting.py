"""What a base's folder leaves open, mended: a padding token, rows for added tokens; or the fault named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from noria.core.errors import FolderError
from noria.tasks.specials import pad_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


def mend(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> list[str]:
    """Give a model rows for all tokens of its tokenizer, and a padding token; return what was done, in words.

    Raises:
        FolderError: the tokenizer is of another model.
    """
    notes = [rows_for_all(model, tokenizer, folder)]
    config = model.config.get_text_config()
    if getattr(config, "pad_token_id", None) is None or config.pad_token_id < 0:
        model.config.pad_token_id = config.pad_token_id = pad_id(folder, tokenizer)
    for part in model.modules():
        # Its sparse attention draws blocks by the length of the batch, and the first short batch turns it off for good: what
        # a text is answered would hang on what was asked before it.
        switch = getattr(part, "set_attention_type", None)
        if callable(switch) and getattr(part, "attention_type", "") == "block_sparse":
            switch("original_full")
            model.config.attention_type = "original_full"
    return [note for note in notes if note]


def rows_for_all(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> str:
    """Give a model's table of embeddings rows for tokens that were added to its tokenizer without any; say how many.

    A new row is the mean of the others.

    Raises:
        FolderError: the tokenizer's own vocabulary is larger than the table: it is of another model.
    """
    try:
        rows = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    except (NotImplementedError, AttributeError):  # an architecture that reads characters has no table
        return ""
    own = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1) + 1
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if size <= rows:
        return ""
    if own > rows:
        raise FolderError(
            f"{folder}: the tokenizer is of another model",
            found=f"{own:,} tokens",
            allowed=f"{rows:,}, the rows of the model's table",
        )
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            if table is not None:
                weight = cast(torch.Tensor, table.weight)
                weight[rows:] = weight[:rows].mean(0)
    return f"{size - rows:,} added tokens had no row in the table of embeddings; each got one, the mean of the others"
