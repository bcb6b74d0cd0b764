"""What is fixed before the first step: how many steps, on which numbers and threads, in how much memory.

A time budget is turned into a number of steps before the first one. A schedule that followed the clock would keep to the
minute on a machine that slows down, but then a run that was killed and resumed could not end with the weights of one
never killed: the clock has no replay. With the steps fixed, rate, order and evaluations depend on nothing but the step.

What could go wrong is that the machine is slower or faster later than when it was measured. So the plan may be revised: from
a step on there are fewer or more in all, and that is written before it is used. Rate and evaluations then go by how far a
run is, in the part of a course that it has covered, which depends on the step and the written plan alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from noria.core.caveats import WHOLE
from noria.core.folder import write_json
from noria.core.messages import Message, message
from noria.machine import Machine

from .memory import gigabytes


@dataclass(frozen=True)
class Revision:
    """Another number of steps, found out on the way."""

    step: int
    """From which on it holds."""
    before: int
    """Steps that there were to be until then."""
    tokens_per_second: float
    """Found, and expected from there on."""


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first step."""

    identity: str
    """Hash of everything the run depends on; a plan of another identity is not resumed."""
    steps: int
    """In all, as it stands now."""
    machine: Machine
    measured_tokens_per_second: float
    """While calibrating; 0 where the number of steps was given."""
    memory_bytes: int = 0
    """What the run takes beyond the weights: gradients, optimiser and the largest batch."""
    held_bytes: int = 0
    """What the process held when that was measured: weights, rows and libraries."""
    seconds: float = 0.0
    """In which the whole run is to end, the budget or where that is small a little more; 0 where the number of steps was given, and
    is never revised."""
    spent: float = 0.0
    """Of it before the first step."""
    evaluation_seconds: float = 0.0
    """Expected of one evaluation."""
    after_seconds: float = 0.0
    """Kept for what comes after the last step."""
    judged_rows: int | None = None
    """Valid rows that judge the weights; None for all that the evaluator has."""
    final_share: float = 1.0
    """Share of the test rows that are judged at the end: all, unless they would take most of the budget."""
    revisions: tuple[Revision, ...] = ()
    """In the order of their steps."""

    @property
    def first_steps(self) -> int:
        """Return how many steps there were to be at first."""
        return self.revisions[0].before if self.revisions else self.steps

    @property
    def tokens_per_second(self) -> float:
        """Return the speed that is expected from the last revision on."""
        return self.revisions[-1].tokens_per_second if self.revisions else self.measured_tokens_per_second

    def progress(self, step: float) -> float:
        """Return which share of its course a run has covered after so many steps, from 0 to 1."""
        covered, begun, total = self._stretch(lambda _, end: step <= end)
        return covered + (1 - covered) * min(1.0, (step - begun) / (total - begun)) if total > begun else 1.0

    def in_force(self, step: int) -> Plan:
        """Return the plan as it was when the step after so many was taken: what was revised later did not count yet."""
        kept = tuple(one for one in self.revisions if one.step <= step)
        return replace(self, steps=self.revisions[len(kept)].before, revisions=kept) if kept != self.revisions else self

    def place(self, step: int) -> float:
        """Return the step at which a run of `steps` that was never revised would be as far."""
        return self.progress(step) * self.steps if self.revisions else step

    def evaluation_steps(self, count: int) -> list[int]:
        """Return the steps after which the weights are judged, evenly over the course, the last time at its end."""
        count = min(count, self.first_steps)
        if not self.revisions:
            return [round(self.steps * (number + 1) / count) for number in range(count)]
        found = []
        for number in range(count):
            share = (number + 1) / count
            covered, begun, total = self._stretch(lambda reached, _, share=share: share <= reached)  # type: ignore[misc]
            part = (share - covered) / (1 - covered) if covered < 1 else 1.0
            found.append(round(total * share) if not begun else begun + round(part * (total - begun)))
        return found

    def _stretch(self, ends_in: Callable[[float, int], bool]) -> tuple[float, int, int]:
        """Return of the first stretch between revisions that something ends in, or of the last: what was covered before it, the
        step it began at, and the steps in all that it was to have. `ends_in` is given what is covered at its end, and that step.
        """
        covered, begun = 0.0, 0
        for one in self.revisions:
            reached = covered + (1 - covered) * (one.step - begun) / (one.before - begun)
            if ends_in(reached, one.step):
                return covered, begun, one.before
            covered, begun = reached, one.step
        return covered, begun, self.steps

    def text(self, tokens_per_step: float, parameters: int, steps_per_epoch: float = 0) -> Message:
        """Return the plan in one line: steps, tokens, epochs, memory and minutes expected, threads, number type."""
        speed = self.measured_tokens_per_second
        in_all = gigabytes(self.memory_bytes + self.held_bytes) if self.held_bytes else None
        minutes = self.steps * tokens_per_step / speed / 60 if speed else 0.0
        return message(
            "work.plan.line",
            steps=message("work.plan.one_step" if self.steps == 1 else "work.plan.steps", steps=self.steps),
            tokens=tokens_per_step,
            epochs=epochs_text(self.steps, steps_per_epoch),
            parameters=parameters / 1e6,
            memory=gigabytes(self.memory_bytes),
            in_all=message("work.plan.in_all", memory=in_all) if in_all else "",
            minutes=message("work.plan.minutes", minutes=minutes, speed=speed) if speed else "",
            machine=self.machine.text(),
        )


def epochs_text(steps: int, steps_per_epoch: float) -> Message | str:
    """Return in words how often the steps see every row, and whether some rows are not seen at all; nothing where unknown."""
    if not steps_per_epoch:
        return ""
    epochs = steps / steps_per_epoch
    if epochs >= WHOLE:
        return message("work.plan.epochs", epochs=epochs)
    return message("work.plan.less_than_one", epochs=epochs, unseen=1 - epochs, steps=steps_per_epoch)


def read_plan(work: Path) -> Plan | None:
    """Return the plan that lies in a run's folder, or None."""
    try:
        raw = json.loads((work / "plan.json").read_text(encoding="utf-8"))
        revisions = tuple(Revision(**one) for one in raw.get("revisions", ()))
        return Plan(**{**raw, "machine": Machine(**raw["machine"]), "revisions": revisions})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_plan(work: Path, plan: Plan) -> None:
    """Write the plan into a run's folder."""
    write_json(work / "plan.json", asdict(plan))
