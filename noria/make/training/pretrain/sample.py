"""A sample of what a causal model writes, labelled as made by a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from noria.make.tokens.special import special_tokens
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.padding import usable_length


def sample(
    model: nn.Module,
    tokenizer: Path,
    prompts: list[str],
    *,
    seed: int,
    tokens: int = 80,
    temperature: float = 0.8,
    top_k: int = 40,
) -> dict[str, Any]:
    """Return what the model writes after each prompt, and how it was drawn (JSON-able).

    Args:
        model: a causal model in the Hugging Face form.
        tokenizer: its tokenizer's folder.
        prompts: beginnings; an empty one lets it begin by itself.
        seed: seed of the draws.
        tokens: most tokens to write.
        temperature: below 1 makes the likely likelier.
        top_k: how many of the likeliest tokens are drawn from (Fan et al. 2018, section 5.1).
    """
    encoder = load_tokenizer(tokenizer)
    special = special_tokens(tokenizer)
    end = special.end
    first = next((one for one in (special.begin, end) if one is not None), 0)
    random = torch.Generator().manual_seed(seed)
    # A recurrent model has no longest text; what it has read so far is then all read again.
    context = usable_length(model.config) or 10 * tokens
    texts = []
    for prompt in prompts:
        ids = [first, *encoder.encode(prompt, add_special_tokens=False).ids]
        written: list[int] = []
        while len(written) < tokens:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*ids, *written][-context:]]), use_cache=False).logits[0, -1]
            best, place = logits.float().topk(min(top_k, len(logits)))
            chosen = int(place[torch.multinomial((best / temperature).softmax(0), 1, generator=random)])
            if chosen == end:
                break
            written.append(chosen)
        texts.append({"prompt": prompt, "text": encoder.decode(written)})
    return {"made_by": "machine", "texts": texts, "seed": seed, "temperature": temperature, "top_k": top_k}
