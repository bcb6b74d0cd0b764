"""Which recipe a budget is spent on: what each would cost here is measured, and the deepest that sees enough epochs is taken.

    costs = Costs(depth=12, forward=2e-4, step=9e-4, tokens=677_000, rows=13_800)
    choose(costs, lambda layers: 170.0)            # Recipe(layers=8, frozen=8, share=1.0, epochs=0.0)

A linear head on layers at rest learns from every row for the price of reading it once (linear probing); the topmost layers,
unfrozen from that head with the time that is left, then go on (Kumar et al. 2022, "Fine-tuning can distort pretrained features
and underperform out-of-distribution", section 3: probing first keeps what the layers know). Tuning all layers costs thrice the
reading, every epoch. It knows counts and seconds, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from noria.core.messages import Message, message

ALL_EPOCHS = 2.0
"""Epochs from which tuning all layers is worth more than tuning the topmost for longer."""
TOP_EPOCHS = 1.0
"""Epochs that the topmost layers need, so that every row teaches them."""
DEPTHS = (1.0, 5 / 6, 2 / 3, 1 / 2)
"""Shares of the layers that may be kept, the whole first. Below half of an encoder little is known of a text."""
TOPS = (1 / 2, 1 / 3, 1 / 4, 1 / 6)
"""Shares of the kept layers that may learn; of a head with a target a token the first two."""
SAMPLED_EPOCHS = 2.0
"""Epochs over the rows that are taken, where a head with a target a token is given no time for all: twice over half as many rows is
worth more than once over all of them (entities of a newspaper, 4 of 12 layers: F1 0.872 against 0.860), and far more than a linear
head on all (0.81): every row has many targets."""
SAMPLED = ((1 / 2, 0.3), (1 / 3, 0.0))
"""Then so much of the encoder is kept, where so large a share of the rows can be taken; the upper half of that learns."""
LEAST_ROWS = 1000
"""Of those that are taken."""
FITTING = 0.05
"""Share of the time that fitting linear heads takes."""


@dataclass(frozen=True)
class Costs:
    """What was measured of a model on this machine, and what there is to learn from."""

    depth: int
    """Layers of the encoder."""
    forward: float
    """Seconds a token takes through all of them."""
    step: float
    """Seconds a token takes forward, backward and through the optimiser where all layers learn."""
    tokens: int
    """Of the training rows."""
    rows: int
    """How many there are."""
    kept: bool = True
    """The states below what learns can be kept, so that they are computed once."""

    def head(self, layers: int) -> float:
        """Return the seconds in which every row is read through so many layers."""
        return self.tokens * self.forward * layers / self.depth

    def epoch(self, layers: int, learning: int) -> float:
        """Return the seconds of an epoch of the topmost `learning` of so many layers."""
        above = self.tokens * self.step * learning / self.depth
        return above if self.kept else above + self.head(layers - learning)


@dataclass(frozen=True)
class Recipe:
    """What is done with a budget."""

    layers: int
    """Kept of the encoder, the lowest."""
    learning: int
    """Layers that learn, the topmost of those kept; with all of the encoder's the embeddings do too. 0: the linear head is all."""
    share: float
    """Of the training rows, those that the linear head is fitted to."""
    epochs: float
    """Expected of the layers that learn."""

    def text(self, depth: int, full: float, minutes: float) -> Message:
        """Return what is done and why, in a line.

        Args:
            depth: layers of the encoder.
            full: epochs that tuning all layers would reach.
            minutes: of the whole budget.
        """
        values = {
            "kept": self.layers,
            "depth": depth,
            "learning": self.learning,
            "share": self.share,
            "epochs": self.epochs,
            "full": full,
            "minutes": minutes,
        }
        if not self.learning:
            return message("make.recipe_head" if self.share >= 1 else "make.recipe_sample", **values)
        if self.share < 1:
            return message("make.recipe_some", **values)
        return message("make.recipe_all" if self.learning == depth else "make.recipe_top", **values)


def choose(costs: Costs, available: Callable[[int], float], *, wanted: str = "auto", by_token: bool = False) -> Recipe:
    """Return the deepest recipe that sees enough epochs.

    Args:
        costs: as measured.
        available: layers kept -> seconds for learning, when judging and figures have theirs: fewer layers judge faster.
        wanted: auto; top, where layers learn whatever the time; head, where none does.
        by_token: the head has a target a token.
    """
    depth = costs.depth
    depths = sorted({max(1, round(share * depth)) for share in DEPTHS}, reverse=True)
    for layers in depths if wanted != "head" else ():
        left = (1 - FITTING) * available(layers) - costs.head(layers)
        tops = [max(1, round(share * layers)) for share in TOPS[: 2 if by_token else None]]
        for learning in (layers, *tops) if layers == depth and wanted == "auto" else tops:
            epochs = left / costs.epoch(layers, learning)
            if epochs >= (ALL_EPOCHS if learning == layers else TOP_EPOCHS):
                return Recipe(layers, learning, 1.0, epochs)
    if wanted == "top" or (by_token and wanted == "auto"):
        return _sampled(costs, available)
    for layers in depths:
        reached = (1 - FITTING) * available(layers) / costs.head(layers)
        if reached >= 1 or layers == depths[-1]:
            break
    return Recipe(layers, 0, min(1.0, reached), 0.0)


def _sampled(costs: Costs, available: Callable[[int], float]) -> Recipe:
    """Return a recipe that takes some of the rows, several times."""
    for kept, least in SAMPLED:
        layers = max(1, round(kept * costs.depth))
        learning = max(1, round(layers / 2))
        whole = costs.head(layers) + SAMPLED_EPOCHS * costs.epoch(layers, learning)
        # What is measured on a busy machine is mended on the way by more steps, which then have rows to learn from.
        share = max((1 - FITTING) * available(layers) / whole, min(1.0, LEAST_ROWS / costs.rows))
        if share >= least:
            break
    return Recipe(layers, learning, min(1.0, share), SAMPLED_EPOCHS * max(1.0, share))
