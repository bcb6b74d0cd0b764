"""A line of results: Noria and one peer on one measure, the ratio with its interval over repeats."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from noria.machine import cores

from .isa import current, named_here


@dataclass(frozen=True)
class Line:
    """What one benchmark found against one peer; a ratio above 1 means that Noria is better."""

    name: str
    measure: str
    noria: float
    peer: float
    peer_name: str
    """With its settings: "transformers.Trainer, defaults"."""
    unit: str
    ratio: float
    n: int
    """Repeats."""
    low: float
    high: float
    machine: str

    def json(self) -> str:
        """Return the line as one JSON object."""
        values = {key: _rounded(value) for key, value in asdict(self).items()}
        return json.dumps(values, ensure_ascii=False)


def compare(
    name: str,
    measure: str,
    noria: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    unit: str,
    *,
    higher_is_better: bool = True,
) -> Line:
    """Return the line for paired repeats: geometric means, and the t interval (95 %) of the ratio's logarithm.

    Args:
        name: the benchmark.
        measure: what was measured.
        noria: Noria's value in every repeat.
        peer: the peer's value in the same repeats.
        peer_name: the peer and its settings.
        unit: unit of both.
        higher_is_better: whether more is better; turns the ratio.
    """
    from scipy.special import stdtrit

    logs = [math.log(one / other) * (1 if higher_is_better else -1) for one, other in zip(noria, peer, strict=True)]
    n, middle = len(logs), sum(logs) / len(logs)
    spread = math.sqrt(sum((value - middle) ** 2 for value in logs) / (n - 1) / n) if n > 1 else math.inf
    half = float(stdtrit(n - 1, 0.975)) * spread if n > 1 else math.inf
    return Line(
        name,
        measure,
        _mean(noria),
        _mean(peer),
        named_here(peer_name),
        unit,
        math.exp(middle),
        n,
        math.exp(middle - half),
        math.exp(middle + half),
        machine(),
    )


def single(
    name: str,
    measure: str,
    noria: float,
    peer: float,
    peer_name: str,
    unit: str,
    n: int = 1,
    *,
    higher_is_better: bool = True,
) -> Line:
    """Return the line of one number beside another, which has no interval.

    Args:
        name, measure, peer_name, unit, higher_is_better: as in `compare`.
        noria, peer: the numbers.
        n: how many were counted for it.
    """
    ratio = noria / peer if higher_is_better else peer / noria
    return Line(name, measure, noria, peer, named_here(peer_name), unit, ratio, n, math.nan, math.nan, machine())


def machine() -> str:
    """Return what the figures were measured on: processor, cores, memory and versions; never a name."""
    import torch

    words = [
        f"{_processor()}, {cores()} cores, {_memory_bytes() / 2**30:.0f} GiB",
        f"isa {current()}",
        platform.system(),
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    return ", ".join(words)


def _memory_bytes() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    """Return the processor's name and the vector units that matter here."""
    facts: dict[str, str] = {}
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.exists() else ():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    units = [
        name
        for flag, name in (("avx512f", "AVX-512"), ("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX-BF16"))
        if flag in flags
    ]
    name = facts.get("model name") or platform.machine()
    return f"{name} ({', '.join(units)})" if units else name


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def _rounded(value: Any) -> Any:
    """Round to four digits; what is not finite (the interval of one repeat) becomes null."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None
