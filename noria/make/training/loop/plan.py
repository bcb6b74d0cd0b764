"""What is fixed before the first step: how many steps, on which numbers and threads, in how much memory.

A time budget is turned into a number of steps once, and never again. A schedule that followed the clock would keep to the
minute on a machine that slows down, but then a run that was killed and resumed could not end with the weights of one
never killed: the clock has no replay. With the steps fixed, rate, order and evaluations depend on nothing but the step.

What could go wrong is the one measurement, at a moment when the machine was busy elsewhere. So the same few batches are
taken several times, and each counts with its best time: a slow moment would have to hit the same batch every time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from noria.core.caveats import WHOLE
from noria.core.folder import write_json
from noria.core.memory import release_memory
from noria.machine import Machine
from noria.make.tokens.batches import Batch, BatchSource

from .memory import Need, check, forget_peak, gigabytes, peak, state_bytes, taken

WATCHED = 16
"""Steps among whose batches the largest is looked for."""


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first step."""

    identity: str
    """Hash of everything the run depends on; a plan of another identity is not resumed."""
    steps: int
    machine: Machine
    measured_tokens_per_second: float
    """While calibrating; 0 where the number of steps was given."""
    memory_bytes: int = 0
    """What the run takes beyond the weights: gradients, optimiser and the largest batch."""

    def text(self, tokens_per_step: float, parameters: int, steps_per_epoch: float = 0) -> str:
        """Return the plan in one line: steps, tokens, epochs, memory and minutes expected, threads, number type."""
        speed = self.measured_tokens_per_second
        minutes = (
            f", about {self.steps * tokens_per_step / speed / 60:.1f} min at {speed:,.0f} tokens/s" if speed else ""
        )
        return (
            f"{self.steps:,} {'step' if self.steps == 1 else 'steps'} of about {tokens_per_step:,.0f} tokens"
            f"{epochs_text(self.steps, steps_per_epoch)}, {parameters / 1e6:.1f} M parameters learn, "
            f"{gigabytes(self.memory_bytes)} of memory beyond the weights{minutes}, {self.machine.text()}"
        )


def epochs_text(steps: int, steps_per_epoch: float) -> str:
    """Return in words how often the steps see every row, and whether some rows are not seen at all; nothing where unknown."""
    if not steps_per_epoch:
        return ""
    epochs = steps / steps_per_epoch
    if epochs >= WHOLE:
        return f", {epochs:.1f} epochs"
    return f", {epochs:.2g} epochs (LESS THAN ONE: {1 - epochs:.0%} of the rows are never seen; one takes {steps_per_epoch:,.0f} steps)"


def read_plan(work: Path) -> Plan | None:
    """Return the plan that lies in a run's folder, or None."""
    try:
        raw = json.loads((work / "plan.json").read_text(encoding="utf-8"))
        return Plan(**{**raw, "machine": Machine(**raw["machine"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_plan(work: Path, plan: Plan) -> None:
    """Write the plan into a run's folder."""
    write_json(work / "plan.json", asdict(plan))


def predict_memory(
    module: nn.Module,
    batches: BatchSource,
    passes: Callable[[Sequence[Batch]], object],
    step: Callable[[Sequence[Batch]], object],
    available_bytes: int,
    title: str,
) -> Need:
    """Return what a run takes beyond what it has taken, by trying a small batch before the largest.

    Args:
        module: what learns.
        batches: those of the run; the first `WATCHED` steps are looked through for the largest batch.
        passes: takes batches forward and backward, and forgets the gradients.
        step: takes batches through a whole optimiser step.
        there: bytes that may be taken.
        title: name of the run, for the error.

    Raises:
        ResourceError: it would not fit; nothing large was tried.
    """
    state = state_bytes(module)
    check(Need(state, 0), available_bytes, title)
    known = sorted((batch for number in range(WATCHED) for batch in batches.at(number)), key=_size)
    small, large = known[0], known[-1]
    passes([small])  # what is loaded and built once is not the batch's
    seen = _growth(lambda: passes([small]))
    expected = max(0, seen - state // 3) * _size(large) / _size(small)
    check(Need(state, int(expected)), available_bytes, title)
    need = Need(state, max(0, _growth(lambda: step([large])) - state))
    check(need, available_bytes, title)
    return need


def _growth(call: Callable[[], object]) -> int:
    # Also what an earlier run in this process keeps: a pass that fits into free pages would seem to take nothing.
    release_memory(kept=True)
    before = taken()
    forget_peak()
    call()
    return max(0, peak() - before)


def _size(batch: Batch) -> float:
    # Of a transformer's activations a token, 34 parts are linear in width and 5 T / (width of a head) are attention
    # (Korthikanti et al. 2022, equation 1); heads are about 64 wide.
    shapes = [tuple(tensor.shape) for tensor in batch.tensors.values() if hasattr(tensor, "shape")]
    return max((_elements(shape) * (34 + 5 * shape[1] / 64) for shape in shapes if len(shape) > 1), default=1.0) or 1.0


def _elements(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]


def steps_within(
    seconds: float,
    spent: float,
    take: Callable[[int], int],
    judge: Callable[[], Any] | None,
    evaluations: int,
    tokens_per_step: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, float]:
    """Return how many steps fit a time budget, and the speed in tokens a second.

    Args:
        seconds: the budget.
        spent: what has gone of it already.
        take: takes the step of a number for trial; returns its tokens.
        judge: evaluates once, where the run has an evaluator.
        evaluations: how many are to come.
        tokens_per_step: tokens of an average step.
        clock: gives seconds; several processes read the same one, so that they try the same steps.
    """
    start, limit = clock(), min(6.0, 0.06 * seconds)
    best: dict[int, float] = {}
    tokens: dict[int, int] = {}
    rounds = 0
    # As many batches as half the limit allows, at least two; then the same again, at least once.
    while rounds < 2 or clock() - start < limit:
        for number in sorted(best) if rounds else range(1000):
            if not rounds and len(best) >= 2 and clock() - start >= limit / 2:
                break
            began = clock()
            tokens[number] = take(number)
            best[number] = min(best.get(number, float("inf")), clock() - began)
        rounds += 1
    speed = sum(tokens.values()) / sum(best.values())
    began, evaluation = clock(), 0.0
    if judge is not None:
        judge()
        evaluation = clock() - began
    spent += clock() - start
    # At least half the budget is for learning, whatever measuring and judging took while the machine was busy elsewhere.
    left = max(seconds / 2, seconds - spent - evaluations * evaluation)
    return max(1, int(left * speed / tokens_per_step)), speed
