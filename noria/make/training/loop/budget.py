"""A time budget for the whole of a run: what has gone of it, what is kept for its end, and how a plan is mended that keeps neither.

    budget = Budget(300.0)                         # begins now: reading, baselines, measuring, steps, judging and figures are in it
    with budget.part("reading"): ...
    budget.final_rows = 2000                       # what will be judged once more after the last step
    train(..., budget=budget)
    budget.text()                                  # 'reading 12 s, training 214 s, ...'

It knows clocks and counts, and nothing of models. A step's number is all that a step depends on, so the number of steps may
change at any step, as long as the change is in the written plan before the first step that follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from noria.core.errors import SettingError
from noria.core.messages import Message, joined, message, term
from noria.machine import process_seconds

from .plan import Plan, Revision

Clock = Callable[[], float]
JUDGING = 0.15
"""Most of a budget that judging valid rows takes, all evaluations together."""
FIGURES = 0.4
"""Most of a budget that the last figures take: of more test rows than fit, some are judged, evenly over all."""
LEAST_JUDGED = 50
"""Valid rows that judge at least, where there are so many: fewer choose by chance."""
OVER, START = 1.1, 20.0
"""A run ends within so many times its budget and so many seconds more: starting Python and loading libraries is in them."""
ENDING, LEAST_ROOM = 4.0, 4.0
"""Seconds of those that ending Python may take, and what is always taken to be left of them for the run itself."""
THIRD = 1 / 3
"""A plan is revised where speed differs by more than this from what it expects, where a sixth of the budget would be left over,"""
LATE = 0.04
"""or where the run would end later than its budget by more than this share of it."""
LATEST = 0.9
"""A run that has covered so much of its course gets no more steps: they would learn at next to no rate."""
LOOKED = 0.03
"""Share of the budget over which speed is looked at, bounded by:"""
SHORTEST, LONGEST = 0.5, 10.0
MARGIN = 1.1
"""What is kept for the last figures is so many times what was measured."""


class Budget:
    """The time of one run.

    Args:
        seconds: of all of it; None where the number of steps is given, and time is only told.
        clock: gives seconds.
        before: seconds that this process had taken when the run began, starting Python and loading libraries; told by
            the system where None.
    """

    def __init__(self, seconds: float | None, clock: Clock = time.perf_counter, *, before: float | None = None) -> None:
        self.seconds, self.clock = seconds, clock
        self.before = process_seconds() if before is None else before
        self.began = clock()
        self.parts: dict[str, float] = {}
        self.final_rows = 0.0
        """Rows that are judged after the last step beside those that judged before, each as dear as one of those."""
        self.again = 0
        """How often the rows that judged the weights are read again after the last step."""
        self.figure_seconds = 0.0
        """Of the figures and intervals of one row that is judged at the end."""
        self.row_seconds = 0.0
        """Of reading one row after the last step; 0 where that takes as long as judging it before."""
        self.final_seconds = 0.0
        """What else comes after the last step: a sample, the folder."""

    def spent(self) -> float:
        """Return the seconds that have gone."""
        return self.clock() - self.began

    def latest(self) -> float:
        """Return the seconds after its beginning at which the run must have ended."""
        assert self.seconds is not None
        return OVER * self.seconds + max(LEAST_ROOM, START - self.before - ENDING)

    def begin_at(self, share: float) -> None:
        """Count so much of the budget as gone, where less is: an earlier run has used it."""
        if self.seconds is not None:
            self.began = min(self.began, self.clock() - share * self.seconds)

    def check(self) -> None:
        """Refuse to begin measuring where what came before has taken all of the time, and what the bound allows beyond it.

        Raises:
            SettingError: says so, and what would do.
        """
        gone = self.spent()
        if self.seconds is not None and gone > self.latest():
            raise SettingError(
                message("make.budget_gone", budget=span(self.seconds), spent=span(gone)),
                hint=message("make.budget_hint", minutes=3 * gone / 60),
            )

    def until(self, share: float) -> Budget:
        """Return the budget that ends when this share of it is over."""
        part = Budget(None if self.seconds is None else share * self.seconds, self.clock, before=self.before)
        part.began = self.began
        return part

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[], float]]:
        """Add what the block takes to the part of a name; gives what tells the seconds since its beginning."""
        start = self.clock()
        try:
            yield lambda: self.clock() - start
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + self.clock() - start

    def facts(self) -> dict[str, float]:
        """Return the seconds of each part by its name."""
        return {name.removeprefix("the ").replace(" ", "_"): round(seconds, 2) for name, seconds in self.parts.items()}

    def text(self) -> Message:
        """Return in a few words what each part took, those of no time left out."""
        told = [
            message("make.time_part", name=term(name), seconds=span(seconds))
            for name, seconds in self.parts.items()
            if seconds >= 0.05
        ]
        budget = "" if self.seconds is None else message("make.time_of", seconds=span(self.seconds))
        return message("make.time_line", spent=span(self.spent()), budget=budget, parts=joined("join.comma", told))


def span(seconds: float) -> Message:
    """Return a length of time in a few characters.

    >>> span(3.21), span(48.2), span(150)
    ('3.2 s', '48 s', '2.5 min')
    """
    if seconds >= 90:
        return message("make.minutes", minutes=f"{seconds / 60:.1f}")
    return message("make.seconds", seconds=f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}")


def measure_speed(take: Callable[[int], int], limit: float, clock: Clock = time.perf_counter) -> float:
    """Return tokens a second, by the same few steps taken several times, each counted with its best time.

    So one slow moment would have to hit the same batch every time.

    Args:
        take: takes the step of a number for trial; returns its tokens.
        limit: seconds after which no new round begins; of the first round, half of them.
        clock: gives seconds; several processes read the same one, so that they try the same steps.
    """
    start = clock()
    best: dict[int, float] = {}
    tokens: dict[int, int] = {}
    rounds = 0
    # As many batches as half the limit allows, at least two; then the same again, at least once. Where one step takes as long as
    # all trials may, it is taken twice and no other: the plan can be mended on the way, and the time cannot.
    while (rounds < 2 and clock() - start < 2 * limit) or clock() - start < limit:
        for number in sorted(best) if rounds else range(1000):
            gone = clock() - start
            if best and (gone >= 2 * limit or (not rounds and gone >= (limit / 2 if len(best) >= 2 else limit))):
                break
            began = clock()
            tokens[number] = take(number)
            best[number] = min(best.get(number, float("inf")), clock() - began)
        rounds += 1
    return sum(tokens.values()) / sum(best.values())


def measure_judging(judge: Callable[[int], object], rows: int, limit: float, clock: Clock = time.perf_counter) -> float:
    """Return the seconds that judging one row takes, by judging more and more of them until that takes a while.

    Args:
        judge: judges so many rows.
        rows: how many there are.
        limit: seconds after which what was measured is good enough.
        clock: gives seconds.
    """
    count = min(rows, 8)
    judge(count)  # what is loaded and built once is not the rows'
    while True:
        start = clock()
        judge(count)
        seconds = clock() - start
        if seconds >= limit or count >= rows:
            return seconds / count
        # Straight to as many as will take so long, where that can be told.
        count = min(rows, max(2 * count, min(16 * count, int(1.2 * limit / max(1e-9, seconds) * count))))


@dataclass(frozen=True)
class Timed:
    """What was measured before a plan is made."""

    speed: float
    """Tokens a second of training."""
    row_seconds: float
    """Of judging one row; 0 where nothing is judged."""
    rows: int
    """Valid rows that there are; 0 where it cannot be told how many judge, and an evaluation counts as one row."""


def fit_plan(plan: Plan, budget: Budget, timed: Timed, evaluations: int, tokens_per_step: float) -> Plan:
    """Return the plan with as many steps, and as many rows to judge, as the budget holds.

    Raises:
        SettingError: the time is over before the first step.
    """
    assert budget.seconds is not None
    whole, spent, step = budget.seconds, budget.spent(), tokens_per_step / timed.speed
    # Where a budget is of seconds, or most of it has gone, judging and figures have their shares of what is left.
    free = budget.latest() - spent
    share = JUDGING * min(whole, free)
    # Where judging is cheap, by states that are kept, the same rows are dear at the end.
    judging = max(1e-9, evaluations * timed.row_seconds, budget.again * budget.row_seconds)
    judged = min(timed.rows, max(LEAST_JUDGED, int(share / judging)))
    evaluation = max(1, judged) * timed.row_seconds
    # The rows that judged the weights have figures of their own at the end.
    row = budget.row_seconds or timed.row_seconds
    others = budget.final_seconds + judged * (budget.again * row + budget.figure_seconds)
    final, most = budget.final_rows, min(FIGURES * whole, free / 2) - others
    final_seconds = row + budget.figure_seconds
    if final * final_seconds > most:
        final = min(final, max(float(LEAST_JUDGED), most / max(1e-9, final_seconds)))
    after = MARGIN * (others + final * final_seconds)
    # Fewer steps than evaluations: the weights are judged after each.
    steps, times = 0, evaluations + 1
    while times > 1 and steps < times:
        times -= 1
        left = whole - spent - after - times * evaluation
        # A third of a budget of seconds is for learning: loading a model has taken all of it, and the bound has room.
        left = max(left, min(whole / 3, free - after - times * evaluation))
        steps = int(left / step) if times == evaluations else min(times, int(left / step))
    if steps < 1 and step > free - after - evaluation:
        raise SettingError(
            message(
                "make.budget_over",
                budget=span(whole),
                spent=span(spent),
                step=span(step),
                after=span(after + evaluation),
            ),
            hint=message("make.budget_hint", minutes=max(0.1, 1.5 * (spent + step + after + evaluation) / 60)),
        )
    return replace(
        plan,
        steps=max(1, steps),
        measured_tokens_per_second=timed.speed,
        seconds=max(whole, spent + max(left, step) + after + times * evaluation),
        spent=spent,
        evaluation_seconds=evaluation,
        after_seconds=after,
        judged_rows=judged or None,
        final_share=min(1.0, final / budget.final_rows) if budget.final_rows else 1.0,
    )


def shares_text(plan: Plan, evaluations: int) -> Message:
    """Return in a line what each part of a budget is given.

    Args:
        plan: of the run.
        evaluations: how often valid rows are judged.
    """
    times, rows = min(evaluations, plan.steps), plan.judged_rows
    judging = times * plan.evaluation_seconds
    return message(
        "make.shares",
        budget=span(plan.seconds),
        spent=span(plan.spent),
        training=span(max(0.0, plan.seconds - plan.spent - judging - plan.after_seconds)),
        judging=span(judging),
        rows=message("make.judged_rows", rows=rows, times=times) if rows else "",
        after=span(plan.after_seconds),
    )


@dataclass
class Pace:
    """How fast steps are really taken, and what follows for the plan."""

    seconds: float = 0.0
    tokens: float = 0.0
    steps: int = 0
    """Since it was last looked at."""
    all_seconds: float = 0.0
    all_tokens: float = 0.0
    """Since the plan was made or last revised."""
    judging: float | None = None
    """Seconds of the last evaluation."""

    def add(self, seconds: float, tokens: float) -> None:
        """Take down a step."""
        self.seconds, self.tokens, self.steps = self.seconds + seconds, self.tokens + tokens, self.steps + 1
        self.all_seconds, self.all_tokens = self.all_seconds + seconds, self.all_tokens + tokens

    def revised(self, plan: Plan, step: int, elapsed: float, evaluations: int, tokens_per_step: float) -> Plan:
        """Return the plan as it is, or revised from this step on where what was found calls for it.

        Args:
            plan: as it is written.
            step: steps taken.
            elapsed: seconds of the budget that have gone.
            evaluations: how often valid rows are judged from here on, as planned.
            tokens_per_step: tokens of an average step.
        """
        if not plan.seconds or step >= plan.steps:
            return plan
        if plan.revisions and step < plan.revisions[-1].step:
            # Resumed from before a step at which the plan was revised already: it is followed to there.
            self.seconds = self.tokens = self.steps = self.all_seconds = self.all_tokens = 0
            return plan
        looked = min(LONGEST, max(SHORTEST, LOOKED * plan.seconds))
        # One step alone says little, unless hardly any are left.
        if not self.seconds or ((self.seconds < looked or self.steps < 2) and plan.steps - step > 2):
            return plan
        found, overall = self.tokens / self.seconds, self.all_tokens / self.all_seconds
        self.seconds = self.tokens = self.steps = 0

        def beside(speed: float) -> float:
            # Judging and the last figures are slower or faster by as much as the last evaluation was, else by as much as steps are.
            slower = plan.measured_tokens_per_second / speed
            if self.judging is not None and plan.evaluation_seconds:
                slower = self.judging / plan.evaluation_seconds
            return min(8.0, max(0.2, slower)) * (plan.after_seconds + evaluations * plan.evaluation_seconds)

        end = elapsed + (plan.steps - step) * tokens_per_step / overall + beside(overall)
        if abs(found / plan.tokens_per_second - 1) > THIRD:
            speed = found
        elif end > (1 + LATE) * plan.seconds or end < (1 - THIRD / 2) * plan.seconds:
            speed = overall
        else:
            return plan
        rest, as_planned = plan.steps - step, plan.after_seconds + evaluations * plan.evaluation_seconds
        steps = step + max(0, int((plan.seconds - elapsed - beside(speed)) * speed / tokens_per_step))
        if elapsed + as_planned < plan.seconds:
            # How slow judging will be is a guess: there is time to look again before most of the run is given up.
            steps = max(steps, step + rest // 3)
        little = abs(steps - plan.steps) * tokens_per_step / speed < LATE / 2 * plan.seconds
        if little or (steps > plan.steps and plan.progress(step) > LATEST):
            return plan
        self.all_seconds = self.all_tokens = 0.0
        return replace(plan, steps=steps, revisions=(*plan.revisions, Revision(step, plan.steps, speed)))
