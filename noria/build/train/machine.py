"""What this machine does fast: number type, threads, and the speed of its matrix products."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from .settings import NumberType


@dataclass(frozen=True)
class Machine:
    """What was measured before a run, and what was chosen by it."""

    number_type: str
    """bf16 or fp32."""
    threads: int
    bf16_flops: float
    """Speed of a bf16 matrix product, in operations a second; 0 where it was not measured."""
    fp32_flops: float
    workers: int = 1
    """Processes that train together, each on as many threads."""

    def text(self) -> str:
        """Return threads, number type and speeds in a few words."""
        speeds = f"matrix products {self.bf16_flops / 1e12:.2f} TFLOP/s in bf16, {self.fp32_flops / 1e12:.2f} in fp32"
        processes = f"{self.workers} processes x " if self.workers > 1 else ""
        return f"{processes}{self.threads} threads, {self.number_type} ({speeds})"


def measure(number_type: NumberType = "auto") -> Machine:
    """Measure matrix products in both number types, about 0.2 s, and choose the number type where it is left open.

    bf16 is chosen where its products are at least 1.5 times as fast: below that, converting eats the gain.
    """
    bf16, fp32 = _flops(torch.bfloat16), _flops(torch.float32)
    chosen = number_type if number_type != "auto" else ("bf16" if bf16 > 1.5 * fp32 else "fp32")
    return Machine(chosen, torch.get_num_threads(), bf16, fp32)


def _flops(dtype: torch.dtype, rows: int = 2048, width: int = 512) -> float:
    # Shapes like those of a small model's layers; the best of a few, since other work on the machine only slows.
    left, right = torch.ones(rows, width, dtype=dtype), torch.ones(width, width, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        for _ in range(2):
            left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 2 * rows * width * width / best
