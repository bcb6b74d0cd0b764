"""The settings of alignment. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings
from noria.machine import NumberType
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.training.settings import RateSettings, Share, Tracker

Method = Literal["auto", "dpo", "kto", "grpo"]


class AlignRates(RateSettings):
    """The optimiser of alignment."""

    warmup: Share = 0.1
    """Share of the steps over which the rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Decay of weight matrices; what holds an adapter near zero here is the reference."""


class AlignSettings(Settings):
    """Alignment of a tuned decoder with what people prefer. The defaults suit some hundred judged answers and minutes."""

    method: Method = "auto"
    """dpo: pairs of answers, one preferred (Rafailov et al. 2023). kto: answers with a thumb each (Ethayarajh et al. 2024). grpo:
    answers are drawn and a reward compares them (Shao et al. 2024). auto: what the rows hold; grpo where a reward is named."""
    reward: str | None = None
    """What an answer is worth: FILE.py:FUNCTION, schema:FILE.json, match, match:EXPRESSION, or http://HOST/v1#LABEL of a
    classifier that is served. grpo learns by it; with dpo and kto it judges drawn answers before and after."""
    beta: Annotated[float, Field(ge=0, le=100)] | None = None
    """How much the model is held to where it began. Where None, 0.1, and 0.02 for grpo."""
    minutes: Annotated[float, Field(gt=0, le=6000)] = 5.0
    """Time budget of the whole run, in minutes. The number of steps is fixed from it at the start, and revised on the way."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps; where given, `minutes` is not looked at."""
    seed: int = 0
    """Seed of the adapter's first weights, of the order of rows and of what is drawn."""
    valid_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the rows that is set aside where no held-out rows are given, 2,000 at most."""
    max_length: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Longest conversation in tokens, its answer included; longer ones lose their beginning. Where None nothing is cut."""
    tokens_per_batch: Annotated[int, Field(ge=64, le=1_000_000)] = 2048
    """Tokens that pass at once, of all answers that are compared."""
    accumulate: Annotated[int, Field(ge=1, le=1000)] = 2
    """Batches of one optimiser step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Highest rate."""
    rates: AlignRates = AlignRates()
    """Its course over time, and the rest of AdamW."""
    liked_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    """kto: what an answer that was liked counts."""
    disliked_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    """kto: what one that was not counts."""
    group: Annotated[int, Field(ge=2, le=256)] = 8
    """grpo: answers drawn to a question, which are compared with each other."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 1.0
    """grpo: at which answers are drawn."""
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 64
    """Tokens of a drawn answer at most."""
    adapter: AdapterSettings = AdapterSettings(kind="lora")
    """What learns: LoRA or AdaLoRA. Without it the model is what it began as, which is the reference."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 3
    """How often held-out rows are judged; the best weights are kept."""
    number_type: NumberType = "auto"
    """Number type of matrix products: bf16, fp32, or whichever is measured faster here."""
    device: str = "auto"
    """Where it is computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one."""
    trackers: tuple[Tracker, ...] = ()
    """Who follows the run beside its metrics.jsonl: tensorboard, wandb, mlflow, where installed."""

    def beta_of(self, method: str) -> float:
        """Return how much the model is held to where it began under a method."""
        return self.beta if self.beta is not None else 0.02 if method == "grpo" else 0.1
