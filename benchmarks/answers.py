"""Do intervals of a share of answer hold what they promise? Simulated: questions of a beta distribution, binomial draws of each.

192 designs: 10 to 100 questions, 1 to 20 draws, a brand named in 5 to 80 % of answers, answers to one question alike by an intraclass correlation of
.1 to .8. Beside Noria's interval over questions stand those in use: Wilson's over all answers, as if they were independent, and the
percentiles of a bootstrap over questions. The differences are of two assistants asked the same questions, equally good or not.
The truth is known, so coverage is counted; wanted is what is promised, 90 %. `least` is the worst of all designs.
"""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist
from typing import Any

import numpy as np

from .line import Line, machine

QUESTIONS, DRAWS = (10, 25, 50, 100), (1, 5, 20)
RATES, ALIKE = (0.05, 0.2, 0.5, 0.8), (0.1, 0.3, 0.5, 0.8)
LEVEL = 0.9
Table = np.ndarray[Any, np.dtype[np.float64]]
WILSON, BOOTSTRAP = "Wilson's interval over all answers", "bootstrap over questions, 999 samples, percentiles"
WANTED = "wanted, 90 % as promised"


def hits(random: np.random.Generator, worlds: int, design: tuple[int, int, float, float]) -> Table:
    """Return how many draws of each question name the brand, (worlds, questions)."""
    questions, draws, rate, alike = design
    whole = 1 / alike - 1
    return random.binomial(draws, random.beta(rate * whole, (1 - rate) * whole, (worlds, questions))).astype(float)


def noria(found: Table, draws: int) -> tuple[Table, Table]:
    """Return Noria's intervals."""
    from noria.grow.answers.intervals import rates

    one = rates(found, np.full(found.shape[1], float(draws)), LEVEL)
    return one.low, one.high


def wilson(found: Table, draws: int) -> tuple[Table, Table]:
    """Return the intervals of a proportion of independent answers."""
    n, z = found.shape[1] * draws, NormalDist().inv_cdf((1 + LEVEL) / 2)
    share = found.sum(1) / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def bootstrap(found: Table, draws: int, samples: int = 999) -> tuple[Table, Table]:
    """Return the percentiles of means of questions drawn anew."""
    random, means = np.random.default_rng(1), found / draws
    size = means.shape[1]
    counts = random.multinomial(size, np.full(size, 1 / size), samples).astype(float)
    ends = np.quantile(means @ counts.T / size, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return ends[0], ends[1]


def covered(ends: tuple[Table, Table], truth: float) -> float:
    """Return how often an interval holds the truth."""
    return float(((ends[0] <= truth) & (truth <= ends[1])).mean())


def pairs(random: np.random.Generator, worlds: int) -> Table:
    """Return the coverage of differences of two assistants, design by design."""
    from noria.grow.answers.intervals import differences

    found = []
    for questions, draws, alike in itertools.product((10, 25, 50), (1, 5), (0.3, 0.6)):
        for one, other in ((0.1, 0.1), (0.2, 0.4), (0.5, 0.5), (0.3, 0.8)):
            whole = 1 / alike - 1
            # What both have in common: questions that name many brands do so with either.
            common = random.beta(0.5, 0.5, (worlds, questions)) - 0.5
            sides = []
            for rate in (one, other):
                own = random.beta(rate * whole, (1 - rate) * whole, (worlds, questions))
                chance = own + 2 * common * np.minimum(rate, 1 - rate) * np.minimum(own, 1 - own)
                sides.append((random.binomial(draws, chance).astype(float), np.full(questions, float(draws))))
            truth = other - one
            gap = differences(sides[0], sides[1], LEVEL)
            found.append(covered((gap.low, gap.high), truth))
    return np.array(found)


def measure(*, quick: bool) -> list[Line]:
    """Return coverages; quick counts 500 worlds a design, else 4,000."""
    worlds = 500 if quick else 4000
    random = np.random.default_rng(0)
    designs = list(itertools.product(QUESTIONS, DRAWS, RATES, ALIKE))
    kinds = {"": noria, WILSON: wilson, BOOTSTRAP: bootstrap}
    held: dict[str, list[float]] = {name: [] for name in kinds}
    for design in designs:
        found = hits(random, worlds, design)
        for name, intervals in kinds.items():
            held[name].append(covered(intervals(found, design[1]), design[2]))
    tables = {name: np.array(values) for name, values in held.items()}
    lines = []
    for draws in DRAWS:
        of = np.array([design[1] == draws for design in designs])
        what = f"coverage of 90 % intervals, {draws} draw{'s' if draws > 1 else ''} a question, mean of {int(of.sum())} designs"
        lines += _lines(what, tables[""][of], {name: tables[name][of] for name in (WILSON, BOOTSTRAP)}, worlds)
    lines += _lines(
        f"coverage of 90 % intervals, least of {len(designs)} designs",
        tables[""].min(keepdims=True),
        {name: tables[name].min(keepdims=True) for name in (WILSON, BOOTSTRAP)},
        worlds,
    )
    both = pairs(random, worlds)
    lines += _lines(f"coverage of 90 % intervals of differences, mean of {len(both)} designs", both, {}, worlds)
    lines += _lines(
        f"coverage of 90 % intervals of differences, least of {len(both)} designs", both.min(keepdims=True), {}, worlds
    )
    return lines


def _lines(what: str, mine: Table, peers: dict[str, Table], worlds: int) -> list[Line]:
    """Return lines against the peers, by how far off 90 % each is, and against what is promised."""
    ours, n = float(mine.mean()), len(mine) * worlds
    half = 1.96 * math.sqrt(ours * (1 - ours) / n)
    lines = [
        Line(
            "answers",
            what,
            ours,
            float(peer.mean()),
            f"{name}; the ratio is how far off 90 %",
            "",
            (abs(float(peer.mean()) - LEVEL) + 0.01) / (abs(ours - LEVEL) + 0.01),
            n,
            math.nan,
            math.nan,
            machine(),
        )
        for name, peer in peers.items()
    ]
    ratio = ours / LEVEL
    lines.append(
        Line(
            "answers", what, ours, LEVEL, WANTED, "", ratio, n, (ours - half) / LEVEL, (ours + half) / LEVEL, machine()
        )
    )
    return lines
