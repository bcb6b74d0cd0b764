"""How large a market could be: top-down and bottom-up, by industry, as ranges; what the ranges come from; whether the two agree.

study = potential(read_ranges("sizes.csv"), draws=20_000, seed=0)
study.sizes[0].text()             # median and range of one industry by one approach
study.tornado["top-down"][0]      # the input whose range moves the total most
study.agreements[0].verdict

A file of ranges is CSV: industry, approach, factor, low, high, unit, source. A size is the product of its factors. Low and high are
the ends that you would bet nine in ten on (the 5 % and 95 % quantiles): a factor with unit `part`, such as a rate of adoption,
is logit-normal between 0 and 1, any other is log-normal. A factor whose industry is empty belongs to all industries of its
approach and is drawn once for them, so that what is uncertain for all is uncertain together.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from noria.core.errors import InputError, RowError
from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.grow.series.headed import read_headed
from noria.grow.series.series import Floats
from noria.grow.series.units import scale_of
from noria.text.numbers import Style, number_of, style_of

APPROACHES = ("top-down", "bottom-up")
COLUMNS = ("industry", "approach", "factor", "low", "high", "unit", "source")
_Z = 1.6448536269514722
"""The 95 % quantile of a standard normal."""


@dataclass(frozen=True)
class Range:
    """One input of a market size: what it lies between, in nine of ten cases."""

    industry: str
    """Empty: of all industries of the approach."""
    approach: str
    factor: str
    low: float
    high: float
    unit: str
    source: str

    @property
    def middle(self) -> float:
        """The median of its distribution."""
        if self.unit == "part" and self.low < self.high:
            return float(expit((logit(self.low) + logit(self.high)) / 2))
        return math.sqrt(self.low * self.high)

    def drawn(self, draws: int, seed: int) -> Floats:
        """Return draws that depend on the seed and the factor's own name alone, so that the order of rows changes nothing."""
        if self.low == self.high:
            return np.full(draws, self.low)
        name = f"{self.industry}|{self.approach}|{self.factor}"
        normal = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(draws)
        scale: Callable[[Any], Any] = logit if self.unit == "part" else np.log
        back: Callable[[Any], Any] = expit if self.unit == "part" else np.exp
        centre, half = (scale(self.low) + scale(self.high)) / 2, (scale(self.high) - scale(self.low)) / 2
        return np.asarray(back(centre + normal * half / _Z), dtype=np.float64)


@dataclass(frozen=True)
class Bar:
    """One bar of a tornado: the total of an approach with one input at its ends and all others at their middle."""

    industry: str
    factor: str
    low: float
    high: float
    part: float
    """Squared correlation of the input's logarithm with the total's: about the part of the total's variance it brings."""
    source: str

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Agreement:
    """Bottom-up over top-down, of one industry or of all."""

    industry: str
    ratio: float
    low: float
    high: float

    @property
    def agrees(self) -> bool:
        """Whether one lies inside the range."""
        return self.low <= 1 <= self.high

    @property
    def verdict(self) -> Message:
        """One sentence that says what it means."""
        if self.agrees:
            return message("potential.two_approaches_agree_within_their")
        far = self.low if self.low > 1 else 1 / self.high
        return message("potential.two_approaches_disagree_factor_or", far=far)


@dataclass(frozen=True)
class Potential:
    """Sizes of a market, as ranges."""

    sizes: tuple[Figure, ...]
    """By approach and industry, and each approach's total; n is the draws."""
    tornado: dict[str, tuple[Bar, ...]]
    """Approach -> inputs, the one that moves the total most first."""
    agreements: tuple[Agreement, ...]
    unit: str
    ranges: tuple[Range, ...]
    within: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "unit": self.unit,
            "sizes": [figure.as_dict() for figure in self.sizes],
            "tornado": {name: [bar.as_dict() for bar in bars] for name, bars in self.tornado.items()},
            "agreements": [
                {**asdict(item), "agrees": item.agrees, "verdict": item.verdict.both()} for item in self.agreements
            ],
        }


def potential(
    ranges: Sequence[Range], *, draws: int = 20_000, seed: int = 0, within: float = 0.9, unit: str = ""
) -> Potential:
    """Return the sizes that ranges of inputs lead to.

    Args:
        ranges: the inputs; a size is the product of an industry's own factors and its approach's common ones.
        draws: how often the inputs are drawn.
        seed: of the draws.
        within: part of the draws that a shown range holds.
        unit: of a size, as it is shown.

    Raises:
        InputError: no ranges, or an approach with common factors and no industry.
    """
    if not ranges:
        raise InputError(message("grow.there_ranges"), allowed=COLUMNS)
    drawn = [item.drawn(draws, seed) for item in ranges]
    source = "; ".join(dict.fromkeys(item.source for item in ranges))
    sizes: list[Figure] = []
    tornado: dict[str, tuple[Bar, ...]] = {}
    by_industry: dict[tuple[str, str], Floats] = {}
    covered: dict[str, set[str]] = {}
    for approach in APPROACHES:
        mine = [place for place, item in enumerate(ranges) if item.approach == approach]
        industries = list(dict.fromkeys(ranges[place].industry for place in mine if ranges[place].industry))
        if mine and not industries:
            industries = ["all"]
        for industry in industries:
            factors = [drawn[place] for place in mine if ranges[place].industry in ("", industry)]
            by_industry[approach, industry] = np.prod(factors, axis=0)
            sizes.append(_ranged(f"{approach}, {industry}", by_industry[approach, industry], within, unit, source))
        if industries:
            total = np.sum([by_industry[approach, industry] for industry in industries], axis=0)
            covered[approach] = set(industries)
            by_industry[approach, ""] = total
            if len(industries) > 1:
                sizes.append(_ranged(f"{approach}, total", total, within, unit, source))
            tornado[approach] = _tornado(
                [ranges[place] for place in mine], [drawn[place] for place in mine], industries, total
            )
    agreements = [
        _agreement(industry, by_industry["bottom-up", industry] / by_industry["top-down", industry], within)
        for approach, industry in by_industry
        if approach == "bottom-up"
        and ("top-down", industry) in by_industry
        # Totals are compared only where both are of the same industries.
        and (industry or covered["bottom-up"] == covered["top-down"])
    ]
    return Potential(tuple(sizes), tornado, tuple(agreements), unit, tuple(ranges), within)


def read_ranges(path: str | Path) -> list[Range]:
    """Return the ranges of a CSV file with the columns of `COLUMNS`.

    Raises:
        InputError: no such file, no text, no rows, or a column is missing.
        RowError: a row with an unknown approach, an end that is no number above zero, a low above its high, a part of
            one or more, an input named twice, or no source.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            message("grow.such_file_ranges"),
            found=str(path),
            allowed=message("grow.csv_columns_2", columns=", ".join(COLUMNS)),
        )
    table = read_headed(path, COLUMNS, "ranges")
    try:
        style = style_of(
            (row[name] for _, row in table.rows for name in ("low", "high")), commas_divide=table.delimiter == ","
        )
    except ValueError as error:
        raise InputError(
            message("grow.numbers_written", path=path), found=str(error), allowed=message("grow.one_way")
        ) from None
    found: list[Range] = []
    for line, row in table.rows:
        item = _range(row, path, line, style)
        if any(
            (item.industry, item.approach, item.factor) == (other.industry, other.approach, other.factor)
            for other in found
        ):
            raise RowError(message("grow.input_came"), file=path, line=line, field="factor", found=item.factor)
        found.append(item)
    if not found:
        raise InputError(message("grow.holds_ranges", path=path))
    return found


def _range(row: dict[str, str], path: Path, line: int, style: Style) -> Range:
    text = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if text["approach"] not in APPROACHES:
        raise RowError(
            message("grow.unknown_approach"),
            file=path,
            line=line,
            field="approach",
            found=text["approach"],
            allowed=APPROACHES,
        )
    for name in ("factor", "unit", "source"):
        if not text[name]:
            raise RowError(message("grow.empty"), file=path, line=line, field=name)
    ends = []
    for name in ("low", "high"):
        try:
            number = number_of(text[name], style)
        except ValueError:
            number = None
        ends.append(math.nan if number is None else number.value / (scale_of(number.sign) or 1.0))
        if not (math.isfinite(ends[-1]) and ends[-1] > 0):
            raise RowError(message("grow.number_above"), file=path, line=line, field=name, found=text[name])
    low, high = ends
    if low > high:
        raise RowError(
            message("grow.low_above"),
            file=path,
            line=line,
            field="low",
            found=low,
            allowed=message("grow.up", high=high),
        )
    if text["unit"] == "part" and high >= 1 and low < high:
        raise RowError(
            message("grow.part_reaches"),
            file=path,
            line=line,
            field="high",
            found=high,
            allowed=message("grow.below_2"),
        )
    if text["unit"] == "part" and high > 1:
        raise RowError(
            message("grow.part_above"), file=path, line=line, field="high", found=high, allowed=message("grow.up_2")
        )
    return Range(text["industry"], text["approach"], text["factor"], low, high, text["unit"], text["source"])


def _ranged(name: str, values: Floats, within: float, unit: str, source: str) -> Figure:
    low, middle, high = np.quantile(values, [(1 - within) / 2, 0.5, (1 + within) / 2])
    return Figure(
        name,
        float(middle),
        values.size,
        float(low),
        float(high),
        unit=unit,
        source=source,
        level=within,
        note="drawn from ranges of inputs",
    )


def _agreement(industry: str, ratio: Floats, within: float) -> Agreement:
    low, middle, high = np.quantile(ratio, [(1 - within) / 2, 0.5, (1 + within) / 2])
    return Agreement(industry, float(middle), float(low), float(high))


def _tornado(ranges: list[Range], drawn: list[Floats], industries: list[str], total: Floats) -> tuple[Bar, ...]:
    def whole(values: Sequence[float]) -> float:
        return sum(
            math.prod(value for value, item in zip(values, ranges, strict=True) if item.industry in ("", industry))
            for industry in industries
        )

    middles = [item.middle for item in ranges]
    bars = []
    for place, item in enumerate(ranges):
        ends = [whole([*middles[:place], end, *middles[place + 1 :]]) for end in (item.low, item.high)]
        moved = np.log(drawn[place])
        part = float(np.corrcoef(moved, np.log(total))[0, 1] ** 2) if np.ptp(moved) > 0 else 0.0
        bars.append(Bar(item.industry, item.factor, ends[0], ends[1], part, item.source))
    return tuple(sorted(bars, key=lambda bar: (bar.low - bar.high, bar.factor)))
