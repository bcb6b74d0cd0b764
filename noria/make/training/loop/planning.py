"""How a plan is made: memory, speed and judging tried on a few real batches, and the module left as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from noria.core.errors import Interrupted
from noria.core.memory import release_memory
from noria.machine import measure
from noria.make.tokens.batches import Batch, part_of
from noria.make.training.settings import TrainSettings

from .budget import Budget, Timed, fit_plan, measure_judging, measure_speed
from .checkpoint import learned, restore_weights
from .memory import PROCESSOR, Need, check, forget_peak, peak, state_bytes, taken
from .plan import Plan
from .step import Stepper
from .stop import StopNow, StopRequests

WATCHED = 16
"""Steps among whose batches the largest is looked for."""
PARTS = 4
"""The first batch that is tried is no larger than one of so many parts of the largest: on a slow machine that takes seconds."""
TRIED = 0.05
"""Share of the budget that measuring memory and speed takes, at most 6 s; half of it for each."""


def make_plan(
    stepper: Stepper,
    module: nn.Module,
    settings: TrainSettings,
    budget: Budget,
    judging: tuple[Any, Callable[[Any], object] | None],
    available_bytes: int,
    title: str,
    stop: StopRequests,
) -> Plan:
    """Measure what a run needs, and return its plan; module and optimiser are left as they were.

    Args:
        stepper: takes steps for trial.
        module: what learns, as the caller handed it in.
        settings: of the run.
        budget: of all that it is part of.
        judging: the evaluator, and what asks one as the run will, where there are any.
        available_bytes: memory that may be taken.
        title: name of the run, for errors.
        stop: breaks it off.

    Raises:
        ResourceError: memory would not suffice.
        SettingError: the time budget is over before the first step.
        Interrupted: a signal came.
    """
    group, fixed = stepper.group, settings.steps
    machine = group.on_main(lambda: measure(settings.number_type, str(group.place)))
    machine = replace(machine, workers=group.workers)
    group.on_main(budget.check)
    plan = stepper.plan = Plan("", fixed or 1_000_000, machine, 0.0)
    before = {name: tensor.clone() for name, tensor in learned(module).items()}
    group.learner.train()
    try:
        with stop.interruptible(), budget.part("measuring"):
            limit = min(6.0, TRIED * (budget.seconds or 0.0)) / 2
            clock = lambda: group.on_main(budget.clock)  # noqa: E731
            need, speed = try_memory(module, stepper, available_bytes, title, None if fixed else limit, clock)
            plan = replace(plan, memory_bytes=need.bytes, held_bytes=need.held)
            if fixed:
                return plan
            # Where the same two steps cannot be taken twice in that time, what was tried for memory has to do.
            if 4 * stepper.tokens_per_step / speed < limit:
                speed = measure_speed(stepper.try_number, limit, clock)
            group.gather_weights()
            timed = group.on_main(lambda: _timed(speed, budget, *judging))
    except StopNow:
        raise Interrupted(f"{title} was interrupted before its first step", hint="run the same again") from None
    finally:
        restore_weights(module, before, title)
        group.scatter_weights()
        stepper.fresh()
    tokens = stepper.tokens_per_step
    return group.on_main(lambda: fit_plan(plan, budget, timed, settings.evaluations, tokens))


def _timed(speed: float, budget: Budget, evaluator: Any, judge: Callable[[Any], object] | None) -> Timed:
    """Return what judging costs, measured on some of the rows where the evaluator can be told how many."""
    if judge is None:
        return Timed(speed, 0.0, 0)
    clock, rows = budget.clock, getattr(evaluator, "rows", 0)
    if not rows:
        start = clock()
        judge(evaluator)
        return Timed(speed, clock() - start, 0)
    limit = 0.01 * (budget.seconds or 0.0)
    return Timed(speed, measure_judging(lambda count: judge(evaluator.of(count)), rows, limit, clock), rows)


def try_memory(
    module: nn.Module,
    stepper: Stepper,
    available_bytes: int,
    title: str,
    limit: float | None,
    clock: Callable[[], float],
) -> tuple[Need, float]:
    """Return what a run takes beyond what it has taken, and tokens a second, by trying part of a batch before the largest.

    Args:
        module: what learns.
        stepper: takes batches for trial; those of the first `WATCHED` steps are looked through for the largest.
        available_bytes: memory that may be taken.
        title: name of the run, for the error.
        limit: seconds that the step over the largest batch may be expected to take; where it would take longer it is not
            tried, and what the part said is carried over to it. None tries it always.
        clock: gives seconds, the same in all processes.

    Raises:
        ResourceError: it would not fit; nothing large was tried.
    """

    def tokens_of(batch: Batch) -> float:
        return max(1.0, stepper.group.all_reduce_sum(batch.tokens)[0])

    def tried(call: Callable[[Sequence[Batch]], object], *batches: Batch) -> tuple[int, float]:
        times: list[float] = []

        def timed() -> None:
            start = clock()
            call(batches)
            times.append(clock() - start)

        grown = _growth(timed, stepper.group.place)
        return grown, sum(map(tokens_of, batches)) / max(1e-9, times[0])

    state = state_bytes(module)
    release_memory(kept=True)
    place = stepper.group.place
    held = taken(place)
    check(Need(state, 0), available_bytes, title)
    known, start = list[Batch](), clock()
    for number in range(WATCHED):
        # Asking for a batch may compute its states in layers that do not learn.
        if known and limit is not None and clock() - start > limit:
            break
        known += stepper.shard.at(number)
    known.sort(key=_size)
    large = known[-1]
    small = _part(known[0], _size(large) / PARTS)
    stepper.try_passes([small])  # what is loaded and built once is not the batch's
    seen, speed = tried(stepper.try_passes, small)
    expected = max(0, seen - state // 3) * _size(large) / _size(small)
    while Need(state, int(expected)).bytes > available_bytes:
        # Some of it does not grow with the batch: a larger part, as long as one surely fits, says it better.
        larger = _part(large, _size(large) * max(0, available_bytes - state) / (2 * expected))
        if _size(larger) < 2 * _size(small):
            break
        small = larger
        seen, speed = tried(stepper.try_passes, small)
        expected = max(0, seen - state // 3) * _size(large) / _size(small)
    need = Need(state, int(expected), held=held)
    check(need, available_bytes, title)
    if limit is None or tokens_of(large) / speed < limit:
        # One of another shape first: what it leaves in pieces the largest cannot use.
        others = [one for one in known if _shape(one) != _shape(large)][-1:]
        grown, speed = tried(stepper.try_step, *others, large)
        need = Need(state, max(0, grown - state), held=held)
        check(need, available_bytes, title)
    return need, speed


def _growth(call: Callable[[], object], place: torch.device = PROCESSOR) -> int:
    # Also what an earlier run in this process keeps: a pass that fits into free pages would seem to take nothing.
    release_memory(kept=True)
    before = taken(place)
    forget_peak(place)
    call()
    return max(0, peak(place) - before)


def _part(batch: Batch, size: float) -> Batch:
    """Return about so large a part of a batch, or all of one that is no larger."""
    return part_of(batch, 0, 0, max(1, math.ceil(_size(batch) / max(1.0, size))))


def _size(batch: Batch) -> float:
    # Of a transformer's activations a token, 34 parts are linear in width and 5 T / (width of a head) are attention
    # (Korthikanti et al. 2022, equation 1); heads are about 64 wide.
    shapes = [tuple(tensor.shape) for tensor in batch.tensors.values() if hasattr(tensor, "shape")]
    return max((_elements(shape) * (34 + 5 * shape[1] / 64) for shape in shapes if len(shape) > 1), default=1.0) or 1.0


def _shape(batch: Batch) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in batch.tensors.values() if hasattr(tensor, "shape")]


def _elements(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1]
