"""What a run of fine-tuning would take and has to beat, as it is told before the run. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.figure import Figure
from noria.core.messages import Message, message


@dataclass(frozen=True)
class Advice:
    """What a run would take and has to beat."""

    rows: int
    """To learn from."""
    valid_rows: int
    minutes: float
    """Of the whole run: the budget, or of so many steps what they were measured to take."""
    epochs: float
    """That layers which learn would see of the rows; 0 where a linear head is all."""
    epoch_minutes: float
    """Of all layers over all rows, once."""
    memory_bytes: int
    """Most that the process would hold, about."""
    free_bytes: int
    recipe: Message | None
    """What learns, and why; None where it is not for the machine to choose."""
    to_beat: Figure | None = None
    """First measure of the light baseline on the valid rows; None for a task that has no baseline."""

    def lines(self, name: str) -> list[Message]:
        """Return it in lines for people; `name` is that of the rows."""
        told = [message("make.advice_rows", name=name, rows=self.rows, valid=self.valid_rows)]
        told += [self.recipe] if self.recipe is not None else []
        values = {"minutes": self.minutes, "epoch": self.epoch_minutes}
        if self.epochs:
            told.append(message("make.advice_time", epochs=self.epochs, **values))
        else:
            told.append(message("make.advice_head", **values))
        told.append(message("make.advice_memory", need=self.memory_bytes / 1e9, free=self.free_bytes / 1e9))
        if self.memory_bytes > self.free_bytes:
            told.append(message("make.advice_no_room"))
        return told
