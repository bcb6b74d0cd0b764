"""When a run ends before its last step: a signal, patience, numbers that end, a loss that runs away."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from noria.core.errors import Interrupted, UserError
from noria.core.messages import message

WINDOW = 20
"""Steps whose mean loss is looked at: one batch alone says little."""


class StopNow(BaseException):
    """Raised where the run stands, inside what may be broken off; like KeyboardInterrupt it passes by `except Exception`."""


class StopRequests:
    """SIGINT and SIGTERM as a wish; a second signal does what it would have done without this.

    What changes nothing that counts (the passes of a step, an evaluation) runs under `interruptible`: a signal breaks it off
    at once, so that even steps of minutes leave the run's last whole step within a second or two; what cannot be broken
    off is the backward pass of one batch. All else runs to its end, and the loop looks at `asked`.
    """

    def __init__(self, *, breaks: bool = True) -> None:
        self.asked = False
        self._breaks, self._open = breaks, False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Break the block off with `StopNow` when a signal comes, or has come."""
        if self.asked and self._breaks:
            raise StopNow
        self._open = self._breaks
        try:
            yield
        finally:
            self._open = False

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Listen while the block runs; does nothing outside the main thread, where Python hears no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in numbers}

        received = signal.SIGINT

        def handler(number: int, frame: FrameType | None) -> None:
            nonlocal received
            self.asked, received = True, signal.Signals(number)
            for each in numbers:
                signal.signal(each, before[each])
            if self._open:
                raise StopNow

        for number in numbers:
            signal.signal(number, handler)
        try:
            yield
        except Interrupted as interrupted:
            interrupted.exit_code = 128 + received
            raise
        finally:
            for number in numbers:
                signal.signal(number, before[number])


def not_finite(loss: float, length: float, weight: float, step: int, rows: Sequence[int]) -> UserError | None:
    """Return the error that names step and rows where loss or gradient is no finite number, else None."""
    if math.isfinite(loss) and math.isfinite(length):
        return None
    what = "gradient" if math.isfinite(loss) else "loss"
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    return UserError(
        message("make.finite_number", what=what, step=step, rows=", ".join(map(str, rows[:8])), more=more),
        found=length if what == "gradient" else loss / weight,
        hint=message("make.look_those"),
    )


class Divergence:
    """Tells a loss that runs away, from the losses alone: a run that goes on judges as one never killed.

    The mean of the last `WINDOW` losses counts as bad where it is above 1.25 times the first mean plus half a nat, or
    where it has lost nine tenths of what the best mean had gained on the first (and that was a quarter of it or more).
    It has run away once it was bad at `WINDOW` steps on end, or at a tenth of all steps where that is more: a spike
    heals, and is left alone.
    """

    def __init__(self, steps: int, losses: Sequence[float] = ()) -> None:
        self._patience = max(WINDOW, steps // 10)
        self._last: list[float] = []
        self._first = self._best = math.nan
        self._bad = 0
        for loss in losses:
            self.add(loss)

    def add(self, loss: float) -> bool:
        """Take the next step's loss; return whether the loss has run away."""
        self._last = [*self._last[-WINDOW + 1 :], loss]
        if len(self._last) < WINDOW:
            return False
        mean = sum(self._last) / WINDOW
        if math.isnan(self._first):
            self._first = self._best = mean
        self._best = min(self._best, mean)
        gained = self._first - self._best
        far = mean > 1.25 * abs(self._first) + 0.5
        lost = gained >= 0.25 * abs(self._first) and mean > self._first - 0.1 * gained
        self._bad = self._bad + 1 if far or lost else 0
        return self._bad >= self._patience

    def error(self, step: int, rate: float, best: str) -> UserError:
        """Return the error that says what happened and what to do; `best` says where the best weights are, or nothing."""
        mean = sum(self._last) / WINDOW
        return UserError(
            message("make.loss_ran", first=self._first, best=self._best, mean=mean, window=WINDOW, step=step),
            hint=message("make.lower_learning", rate=rate, best=best),
        )
