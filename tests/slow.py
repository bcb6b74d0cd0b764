"""Which tests are slow, set by measurement: `make test ARGS="--durations=0 --durations-min=0.05" | tee log`, then `slow.py < log`.

A test function is slow where all its cases together, with what they set up, take longer than `SECONDS`; `make test ARGS="-m 'not slow'"`
leaves those out. Seconds and names stand in slow.txt; the files that take longest are begun with.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

COLLECTED = pytest.StashKey[set[str]]()
"""The files of which a run collected a test, before any were left out."""
SECONDS = 1.0
NAMES = Path(__file__).with_name("slow.txt")
_LINE = re.compile(r"^\s*([\d.]+)s (?:call|setup|teardown)\s+(tests/\S+?::[^\[\s]+)")


def slow_seconds() -> dict[str, float]:
    """Return the seconds of slow test functions, by their node ids without their cases."""
    pairs = (line.split() for line in NAMES.read_text(encoding="utf-8").splitlines())
    return {name: float(seconds) for seconds, name in pairs}


def seconds_of_files(seconds: dict[str, float]) -> dict[str, float]:
    """Return the seconds of every file that has slow functions."""
    found: dict[str, float] = {}
    for name, taken in seconds.items():
        file = name.partition("::")[0]
        found[file] = found.get(file, 0.0) + taken
    return found


def measured(lines: Iterable[str]) -> list[str]:
    """Return the slow ones of pytest's table of durations, each after its seconds."""
    seconds: dict[str, float] = {}
    for line in lines:
        if found := _LINE.match(line):
            seconds[found[2]] = seconds.get(found[2], 0.0) + float(found[1])
    return [f"{taken:.0f} {name}" for name, taken in sorted(seconds.items()) if taken > SECONDS]


if __name__ == "__main__":
    NAMES.write_text("\n".join(measured(sys.stdin)) + "\n", encoding="utf-8")
