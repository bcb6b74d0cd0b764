"""How a plan is made: memory, speed and judging tried on a few real batches, and the module left as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from noria.core.errors import Interrupted
from noria.core.memory import release_memory
from noria.machine import measure
from noria.make.tokens.batches import Batch, BatchSource
from noria.make.training.settings import TrainSettings

from .budget import Budget, Timed, fit_plan, measure_judging, measure_speed
from .checkpoint import learned, restore_weights
from .memory import Need, check, forget_peak, peak, state_bytes, taken
from .plan import Plan
from .step import Stepper
from .stop import StopNow, StopRequests

WATCHED = 16
"""Steps among whose batches the largest is looked for."""
TRIED = 0.06
"""Share of the budget that measuring the speed takes, at most 6 s."""


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
    machine = replace(group.on_main(lambda: measure(settings.number_type)), workers=group.workers)
    group.on_main(budget.check)
    plan = stepper.plan = Plan("", fixed or 1_000_000, machine, 0.0)
    before = {name: tensor.clone() for name, tensor in learned(module).items()}
    group.learner.train()
    try:
        with stop.interruptible(), budget.part("measuring"):
            need = predict_memory(module, stepper.shard, stepper.try_passes, stepper.try_step, available_bytes, title)
            plan = replace(plan, memory_bytes=need.bytes)
            if fixed:
                return plan
            limit = min(6.0, TRIED * (budget.seconds or 0.0))
            speed = measure_speed(stepper.try_number, limit, lambda: group.on_main(budget.clock))
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
