"""Several outcomes of one experiment: each is analysed alone, and the p values of all comparisons of all of them are corrected together.

found = corrected(("bought", "revenue"), [analyse(bought), analyse(revenue)], "holm")
found.experiments[1].comparisons[0].p_adjusted   # of four comparisons, where there are two treated groups
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from noria.core.messages import Message, joined, message

from .experiment import Experiment
from .several import benjamini_hochberg, holm

Correction = Literal["holm", "bh", "none"]


@dataclass(frozen=True)
class Outcomes:
    """One experiment judged by several outcomes."""

    names: tuple[str, ...]
    """Of the outcomes, in the order asked for."""
    experiments: tuple[Experiment, ...]
    """One for each outcome, its p values corrected for all of them."""
    correction: Correction

    @property
    def tests(self) -> int:
        """Comparisons, of all outcomes together."""
        return sum(len(experiment.comparisons) for experiment in self.experiments)

    def correction_text(self) -> Message:
        """Return how the p values were corrected."""
        return message(f"experiment.correction.{self.correction}", outcomes=len(self.names), tests=self.tests)

    def text(self) -> Message:
        """Return what is found of each outcome, and how their p values were corrected."""
        doubt = max((one.balance for one in self.experiments), key=lambda one: -one.p).doubt
        told = [
            message("experiment.of_outcome", outcome=name, told=one.findings())
            for name, one in zip(self.names, self.experiments, strict=True)
        ]
        return joined("join.nothing", [doubt, joined("join.sentences", [*told, self.correction_text()])])

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "outcomes": [
                {"outcome": name, **one.as_dict()} for name, one in zip(self.names, self.experiments, strict=True)
            ],
            "correction": self.correction,
            "tests": self.tests,
            "verdict": self.text().both(),
        }


def corrected(names: Sequence[str], experiments: Sequence[Experiment], correction: Correction) -> Outcomes:
    """Return experiments of one assignment with the p values of all their comparisons corrected together.

    Args:
        names: of the outcomes.
        experiments: what each shows alone.
        correction: holm bounds the chance of any false alarm, bh the part of false ones among what is found; none leaves p alone.
    """
    p = np.array([item.found.p for one in experiments for item in one.comparisons])
    if correction != "none":
        p = holm(p) if correction == "holm" else benjamini_hochberg(p)
    rest = iter(p.tolist())
    made = []
    for one in experiments:
        raised = [(item, next(rest)) for item in one.comparisons]
        items = tuple(
            item if correction == "none" else replace(item, p_adjusted=value, held=item.held and value <= 1 - one.level)
            for item, value in raised
        )
        made.append(replace(one, comparisons=items))
    return Outcomes(tuple(names), tuple(made), correction)
