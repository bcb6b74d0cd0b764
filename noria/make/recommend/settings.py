"""The settings of a recommender's training. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from noria.core.settings import Settings


class RecommendTraining(Settings):
    """How a recommender is trained and judged."""

    model: Path | None = None
    """Folder of a model for the task embed, whose vectors of the items' texts are used beside their words; the same that will serve.
    Without it words are all that new items are known by."""
    positive: float | None = None
    """Least rating that counts as liking; lower ones are only not shown again. 0 counts all. Where None, six tenths of the way from the
    lowest rating to the highest."""
    split: Literal["auto", "time", "last", "random"] = "auto"
    """What is held out to fit the weights, and to judge. time: what came last of all; last: what came last of each user's; random:
    deeds drawn from each user's. Where auto, by time, or random where the log has no times."""
    held_out: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the behaviour that is held out."""
    minutes: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Time budget. Where it is short, the linear item model covers fewer items and the weights are fitted on fewer users."""
    user_column: str | None = None
    """Column of the log that holds the user, where its name does not tell."""
    item_column: str | None = None
    """Column of the log that holds the item."""
    time_column: str | None = None
    """Column of the log that holds the time."""
    kind_column: str | None = None
    """Column of the log that holds what was done."""
    value_column: str | None = None
    """Column of the log that holds a rating or an amount."""
    seed: int = 0
    """Seed of what is drawn: users, held-out deeds, candidates."""

    def columns(self) -> dict[str, str]:
        """Return part of a row -> the column that was named for it."""
        named = {part: getattr(self, f"{part}_column") for part in ("user", "item", "time", "kind", "value")}
        return {part: name for part, name in named.items() if name}
