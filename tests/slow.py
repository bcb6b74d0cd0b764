"""Which tests are slow, set by measurement: `make test ARGS="--durations=0 --durations-min=0.05" | tee log`, then `slow.py < log`.

A test function is slow where all its cases together, with what they set up, take longer than `SECONDS`; `make test ARGS="-m 'not slow'"`
leaves those out. The names stand in slow.txt.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

SECONDS = 1.0
NAMES = Path(__file__).with_name("slow.txt")
_LINE = re.compile(r"^\s*([\d.]+)s (?:call|setup|teardown)\s+(tests/\S+?::[^\[\s]+)")


def slow_names() -> frozenset[str]:
    """Return the node ids of slow test functions, without their cases."""
    return frozenset(NAMES.read_text(encoding="utf-8").split())


def measured(lines: Iterable[str]) -> list[str]:
    """Return the slow ones of pytest's table of durations."""
    seconds: dict[str, float] = {}
    for line in lines:
        if found := _LINE.match(line):
            seconds[found[2]] = seconds.get(found[2], 0.0) + float(found[1])
    return sorted(name for name, sum_of in seconds.items() if sum_of > SECONDS)


if __name__ == "__main__":
    NAMES.write_text("\n".join(measured(sys.stdin)) + "\n", encoding="utf-8")
