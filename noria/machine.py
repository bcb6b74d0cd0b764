"""What this machine does fast: number type, threads, and the speed of its matrix products. The one place that is asked.

    machine = measure("auto")              # once a process; bf16 where its products are measured clearly faster, else fp32
    with computing(machine.number_type):   # matrix products inside are in that type: training, judging and last figures alike
        ...

Nothing else decides a number type: on a processor without instructions for bf16 a product in it is emulated, and takes a
hundred times as long. So the measurement begins with a product so small that even an emulated one takes a millisecond, and
ends there where bf16 is slower.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Chosen = Literal["bf16", "fp32"]
NumberType = Literal["auto", Chosen]
PAYS = 1.5
"""Products in bf16 must be so many times as fast: below that, converting eats the gain."""
HOPELESS = 1 / 3
"""A small product in bf16 that is slower than this is emulated; where it is not, calling it costs less than that."""
SMALL, MIDDLE = 128, 512
"""Width of the square matrices by which the number type is chosen; the second only where the first was not hopeless."""
SECONDS = 0.1
"""Longest time for each of the two speeds that the record shows."""


@dataclass(frozen=True)
class Machine:
    """What was measured before a run, and what was chosen by it."""

    number_type: Chosen
    threads: int
    bf16_flops: float
    """Speed of a bf16 matrix product, in operations a second; where bf16 is emulated, that of a small product on one thread."""
    fp32_flops: float
    workers: int = 1
    """Processes that train together, each on as many threads."""

    def text(self) -> str:
        """Return threads, number type and speeds in a few words."""
        in_bf16 = f"{self.bf16_flops / 1e12:.2f}" if self.bf16_flops > 5e9 else f"{self.bf16_flops / 1e12:.4f}"
        speeds = f"matrix products {in_bf16} TFLOP/s in bf16, {self.fp32_flops / 1e12:.2f} in fp32"
        processes = f"{self.workers} processes x " if self.workers > 1 else ""
        return f"{processes}{self.threads} threads, {self.number_type} ({speeds})"


def measure(number_type: NumberType = "auto") -> Machine:
    """Return what this machine does fast, and the number type asked for, or the faster one where it is left open.

    The choice is measured once a process, the speeds once for a number of threads, in about 0.3 s where nothing else runs.
    """
    import torch

    fast, _ = _bf16()
    bf16, fp32 = _speeds(torch.get_num_threads())
    chosen: Chosen = number_type if number_type != "auto" else ("bf16" if fast else "fp32")
    return Machine(chosen, torch.get_num_threads(), bf16, fp32)


def bf16_is_fast() -> bool:
    """Return whether products in bf16 are measured clearly faster than in fp32 here."""
    return _bf16()[0]


def allowed_here(number_type: str) -> Chosen:
    """Return the number type that something was made with, or fp32 where that is bf16 and this machine would emulate it."""
    return "bf16" if number_type == "bf16" and bf16_is_fast() else "fp32"


def computing(number_type: str, device: str = "cpu") -> AbstractContextManager[Any]:
    """Return a context whose matrix products are in that number type."""
    import torch

    return torch.autocast(device, torch.bfloat16, enabled=number_type == "bf16")


@cache
def _bf16() -> tuple[bool, float]:
    """Return whether bf16 pays, and where it is slower than fp32 the speed of a small product in it, else 0."""
    import torch

    # On one thread: where others use the machine, waiting for a second thread would be most of a small product's time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = small = _square(SMALL)
        if small[torch.bfloat16] >= HOPELESS * small[torch.float32]:
            found = _square(MIDDLE)
    finally:
        torch.set_num_threads(threads)
    bf16, fp32 = found[torch.bfloat16], found[torch.float32]
    return bf16 > PAYS * fp32, small[torch.bfloat16] if bf16 < fp32 else 0.0


@cache
def _speeds(threads: int) -> tuple[float, float]:
    """Return the speeds of products in bf16 and in fp32 on so many threads, those set now, in operations a second."""
    import torch

    _, slow = _bf16()
    return slow or _flops(torch.bfloat16), _flops(torch.float32)


def _square(width: int, rounds: int = 3) -> dict[Any, float]:
    """Return the speed of a square product in both types, the best of rounds in turns."""
    import torch

    pairs = {one: torch.ones(width, width, dtype=one) for one in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(pairs, float("inf"))
    for _ in range(rounds):
        for dtype, matrix in pairs.items():
            start = time.perf_counter()
            matrix @ matrix
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return {dtype: 2 * width**3 / seconds for dtype, seconds in best.items()}


def _flops(dtype: Any, rows: int = 2048, width: int = 512) -> float:
    """Return the speed of a product on all threads, the best of a few, since other work on the machine only slows."""
    import torch

    # Shapes like those of a small model's layers.
    left, right = torch.ones(rows, width, dtype=dtype), torch.ones(width, width, dtype=dtype)
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * rows * width * width / best
