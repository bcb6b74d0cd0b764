"""Which recipe a budget is spent on: what each would cost here is measured, and the deepest that sees enough epochs is taken.

    costs = Costs(depth=12, forward=2e-4, step=9e-4, tokens=677_000, rows=13_800)
    choose(costs, lambda layers: 170.0)            # Recipe(layers=10, learning=2, share=0.59, epochs=1.0)

A linear head on layers at rest learns from every row for the price of reading it once (linear probing); the topmost layers,
unfrozen from that head with the time that is left, then go on (Kumar et al. 2022, "Fine-tuning can distort pretrained features
and underperform out-of-distribution", section 3: probing first keeps what the layers know). Tuning all layers costs thrice the
reading, every epoch. It knows counts and seconds, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from noria.core.messages import Message, message


@dataclass(frozen=True)
class Part:
    """How layers learn from a part of the rows."""

    layers: float
    """Share of the encoder's layers that is kept."""
    learning: float
    """Share of those that learns, the topmost."""
    least: float
    """Share of the rows below which this is not done."""


ALL_EPOCHS = 2.0
"""Epochs from which tuning all layers is worth more than tuning the topmost for longer."""
TOP_EPOCHS = 1.0
"""Epochs that the topmost layers need, so that every row teaches them."""
TEXT_DEPTHS = (5 / 6,)
"""Shares of the layers that are kept where the topmost learn from all rows. Lower layers know little of a text as a whole, and the
uppermost most of what they were made for: a linear head on all of 13,800 reviews is right in 0.828 of others at 6 of 12 layers, 0.842
at 8, 0.849 at 10 and 0.843 at 12 (n = 15,524, five folds); the upper half of 10, in five minutes, ends at 0.310 nats a valid row, of 12
at 0.312 (n = 1,710)."""
TOKEN_DEPTHS = (1.0, 5 / 6, 2 / 3, 1 / 2)
"""Of a head with a target a token, for which lower layers do as well."""
HEAD_DEPTHS = (5 / 6, 2 / 3)
"""Where a linear head is all."""
TOPS = (1 / 2, 1 / 3, 1 / 4, 1 / 6)
"""Shares of the kept layers that may learn; of a head with a target a token the first two."""
TEXT_PARTS = (Part(5 / 6, 1 / 5, 0.4), Part(2 / 3, 1 / 5, 0.4))
"""Where no layer can learn from all rows. Rows of one target say much the same of a linear head: on 8 layers 40 % of 13,800 reviews
are worth as much as all, so what layers learn from a part is worth more (valid loss, with the companion, 0.029 nats below the
companion's alone by the upper 2 of 10 layers on 59 %, 0.018 by a head on all)."""
TEXT_EPOCHS = 1.0
TOKEN_PARTS = (Part(1 / 2, 1 / 2, 0.3), Part(1 / 3, 1 / 2, 0.0))
TOKEN_EPOCHS = 2.0
"""Over the rows that are taken, of a head with a target a token: twice over half as many rows is worth more than once over all of
them (entities of a newspaper, 4 of 12 layers: F1 0.872 against 0.860), and far more than a linear head on all (0.81)."""
LEAST_SHARE = 0.4
"""Of the rows that a linear head alone reads on so many layers, where fewer would let it read more."""
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

    def kept(shares: tuple[float, ...]) -> list[int]:
        return sorted({max(1, round(share * depth)) for share in shares}, reverse=True)

    every = (1 - FITTING) * available(depth) / costs.epoch(depth, depth)
    if wanted == "auto" and every >= ALL_EPOCHS:
        return Recipe(depth, depth, 1.0, every)
    for layers in kept(TOKEN_DEPTHS if by_token else TEXT_DEPTHS) if wanted != "head" else ():
        left = (1 - FITTING) * available(layers) - costs.head(layers)
        for learning in [max(1, round(share * layers)) for share in TOPS[: 2 if by_token else None]]:
            epochs = left / costs.epoch(layers, learning)
            if epochs >= TOP_EPOCHS:
                return Recipe(layers, learning, 1.0, epochs)
    if wanted != "head":
        epochs = TOKEN_EPOCHS if by_token else TEXT_EPOCHS
        for part in TOKEN_PARTS if by_token else TEXT_PARTS:
            layers = max(1, round(part.layers * depth))
            learning = max(1, round(part.learning * layers))
            whole = costs.head(layers) + epochs * costs.epoch(layers, learning)
            reached = (1 - FITTING) * available(layers) / whole
            # What is measured on a busy machine is mended on the way by more steps, which then have rows to learn from.
            share = max(reached, min(1.0, LEAST_ROWS / costs.rows))
            found = Recipe(layers, learning, min(1.0, share), epochs * max(1.0, share))
            if reached >= part.least:
                return found
        if wanted == "top":
            return found
    for layers in kept(HEAD_DEPTHS):
        reached = (1 - FITTING) * available(layers) / costs.head(layers)
        if reached >= LEAST_SHARE:
            break
    return Recipe(layers, 0, min(1.0, reached), 0.0)


def deepen(costs: Costs, recipe: Recipe, available: float, *, by_token: bool = False) -> Recipe:
    """Return what a linear head can be followed by on the layers that it was fitted on; the recipe as it is where time is short.

    Args:
        costs: as they are now.
        recipe: of the head.
        available: seconds for learning that are left.
        by_token: the head has a target a token.
    """
    layers, left = recipe.layers, (1 - FITTING) * available
    for learning in [max(1, round(share * layers)) for share in TOPS[: 2 if by_token else None]]:
        # The states below what learns are computed anew: those of the head were not kept.
        epochs = (left - costs.head(layers - learning)) / costs.epoch(layers, learning)
        if learning < layers and epochs >= TOP_EPOCHS:
            return Recipe(layers, learning, 1.0, epochs)
    epochs = TOKEN_EPOCHS if by_token else TEXT_EPOCHS
    for part in TOKEN_PARTS if by_token else TEXT_PARTS:
        learning = max(1, round(part.learning * layers))
        reached = left / (costs.head(layers - learning) + epochs * costs.epoch(layers, learning))
        if learning < layers and reached >= part.least:
            return Recipe(layers, learning, min(1.0, reached), epochs * max(1.0, reached))
    return recipe
