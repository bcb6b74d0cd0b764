"""Whether the groups have the sizes that were meant: as meant, doubtful, or a mismatch that says the experiment is broken.

A mismatch is called at p = 0.001 and below: at that threshold one sound experiment in a thousand is taken for broken, while a
defect of assignment or logging that moves one user in a hundred is seen from about 100,000 users on (the practice of Fabijan
et al. 2019, Diagnosing Sample Ratio Mismatch in Online Controlled Experiments; Kohavi, Tang and Xu 2020, Trustworthy Online
Controlled Experiments, chapter 21). Up to p = 0.05 the sizes are doubtful: one sound experiment in twenty shows such, and so
does a defect that too few users have met. Two groups: the exact binomial test; more: the chi-square test, or its exact
distribution drawn where a group was to have fewer than five.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import chdtrc
from scipy.stats import binomtest

from noria.core.errors import SettingError
from noria.core.messages import Message, as_is, message

State = Literal["as meant", "doubtful", "mismatch"]
DOUBTFUL, MISMATCH = 0.05, 0.001
"""p values at which, and below which, sizes are doubted and not believed."""
_DRAWS = 100_000


@dataclass(frozen=True)
class Balance:
    """Sizes of the groups beside those meant."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    expected: tuple[float, ...]
    """Users that the meant shares give each group."""
    p: float

    @property
    def state(self) -> State:
        """as meant; doubtful, as one sound experiment in twenty is; or a mismatch, as one in a thousand is."""
        return "mismatch" if self.p <= MISMATCH else "doubtful" if self.p <= DOUBTFUL else "as meant"

    @property
    def sound(self) -> bool:
        """Whether the sizes are as meant, and so nothing of them need be looked into."""
        return self.state == "as meant"

    @property
    def doubt(self) -> Message:
        """What stands before every finding: nothing where the sizes are as meant."""
        return as_is("") if self.sound else message(f"experiment.doubt.{self.state}")

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {**asdict(self), "state": self.state, "sound": self.sound}

    def text(self) -> Message:
        """Return the finding."""
        sizes = ", ".join(f"{name} {count:,}" for name, count in zip(self.names, self.counts, strict=True))
        p = f"{self.p:.2g}"
        if self.state == "mismatch":
            return message("experiment.sample_ratio_mismatch_p_below", sizes=sizes, p=p, threshold=MISMATCH)
        if self.state == "doubtful":
            return message("experiment.sample_ratio_doubtful_p", sizes=sizes, p=p, doubtful=DOUBTFUL, mismatch=MISMATCH)
        return message("experiment.sample_ratio_as_meant_p", sizes=sizes, p=p)


def balance(counts: Mapping[str, int], meant: Sequence[float] | None = None, *, seed: int = 0) -> Balance:
    """Return whether the group sizes agree with the shares that were meant.

    Args:
        counts: users of each group.
        meant: the share, or a multiple of it, that each group was to have, in the same order; even where not given.
        seed: of the draws for small groups.

    Raises:
        SettingError: one share a group is needed, each above zero.
    """
    names, seen = tuple(counts), np.array(list(counts.values()), dtype=np.int64)
    wanted = np.ones(seen.size) if meant is None else np.asarray(meant, dtype=np.float64)
    if wanted.size != seen.size or not (wanted > 0).all() or not np.isfinite(wanted).all():
        raise SettingError(
            message("grow.shares_meant"),
            found=list(wanted),
            allowed=message("grow.numbers_above", size=seen.size, names=", ".join(names)),
        )
    parts = wanted / wanted.sum()
    total = int(seen.sum())
    expected = parts * total
    return Balance(
        names,
        tuple(int(count) for count in seen),
        tuple(float(value) for value in expected),
        _p_value(seen, parts, expected, total, seed),
    )


def _p_value(seen: np.ndarray[Any, Any], parts: Any, expected: Any, total: int, seed: int) -> float:
    if seen.size < 2 or not total:
        return 1.0
    if seen.size == 2:
        return float(binomtest(int(seen[0]), total, float(parts[0])).pvalue)
    distance = float(((seen - expected) ** 2 / expected).sum())
    if expected.min() >= 5:
        return float(chdtrc(seen.size - 1, distance))
    drawn = np.random.default_rng(seed).multinomial(total, parts, _DRAWS)
    far = ((drawn - expected) ** 2 / expected).sum(1) >= distance - 1e-9
    return float((far.sum() + 1) / (_DRAWS + 1))
