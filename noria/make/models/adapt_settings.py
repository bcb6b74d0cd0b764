"""The settings of adapters. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from noria.core.settings import Settings

Kind = Literal["none", "lora", "adalora", "bottleneck", "prefix"]


class AdapterSettings(Settings):
    """A small part that learns while the base rests; `none` trains the base itself."""

    kind: Kind = "none"
    """lora, adalora (its ranks find their places), bottleneck (small layers between), prefix (keys and values before a text)."""
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """LoRA: rank of every change of a weight matrix. AdaLoRA: mean rank that is left at the end."""
    alpha: Annotated[float, Field(gt=0, le=10_000)] = 16.0
    """LoRA and AdaLoRA: the change is multiplied by alpha / rank."""
    targets: Literal["attention", "feed_forward", "all"] = "all"
    """LoRA and AdaLoRA: which of a layer's weight matrices change."""
    initial_rank: Annotated[int, Field(ge=1, le=1024)] = 12
    """AdaLoRA: rank of every matrix at the start."""
    width: Annotated[int, Field(ge=1, le=8192)] = 48
    """Bottleneck: width of its narrow middle."""
    places: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    """Bottleneck: after the feed-forward (Pfeiffer), or after attention too (Houlsby)."""
    tokens: Annotated[int, Field(ge=1, le=1024)] = 16
    """Prefix: keys and values put before those of every text, in every layer."""

    resting: Literal["auto", "fp32", "bf16", "fp16", "int8", "int4"] = "auto"
    """LoRA and AdaLoRA on a decoder: how the base is held while it rests; int8 and int4 are unpacked a layer at a time, and what is
    merged at the end is what was trained on. auto: bf16 where products are, else as its file has it, where Noria's own passes take it."""
    checkpointing: Literal["auto", "on", "off"] = "auto"
    """LoRA and AdaLoRA on a decoder: on keeps of every layer its input alone, and computes the rest again on the way back: a fourth
    more time, a third of the memory. auto: where a batch would take more than a third of the memory that is free."""

    @model_validator(mode="after")
    def _ranks_fall(self) -> AdapterSettings:
        if self.kind == "adalora" and self.initial_rank < self.rank:
            raise ValueError(
                f"initial_rank must not be below rank: found {self.initial_rank}; allowed {self.rank} or more"
            )
        return self
