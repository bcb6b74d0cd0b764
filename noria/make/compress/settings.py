"""The settings of compression. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings

Method = Literal["auto", "int8", "weights", "float", "int4"]


class CompressSettings(Settings):
    """How a model is compressed, and what its certificate promises."""

    method: Method = "auto"
    """float: as trained, in bf16 where the processor has it; weights: stored in 8 bits, computed with like float; int8: products in 8-bit integers; int4: a decoder's matrices in 4 bits; auto: whichever is fastest here and earns its certificate."""
    samples: Annotated[int, Field(ge=8, le=10_000)] = 200
    """Texts from which int8 learns the ranges of activations."""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Share of the activations' outliers that is moved into the weights (Xiao et al. 2023, SmoothQuant, alpha)."""
    agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least agreement with the trained model; by default 0.97 of labels or next tokens, 0.93 of spans, a cosine of 0.97."""
    divergence: Annotated[float, Field(gt=0, le=100)] = 0.05
    """Of a decoder: most divergence of the next token from the trained model, nats."""
    loss: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Most that the first measure may fall, by the lower end of its paired interval."""
    rounds: Annotated[int, Field(ge=6, le=1_000)] = 9
    """Rounds of timing, the two models in turns; an interval at 95 % needs six."""
    seed: int = 0
    """Seed of the choice of calibration texts and of the resampling."""
