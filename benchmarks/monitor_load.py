"""Texts through the monitor's windows: how many a second with all that makes them durable, and memory as it goes on.

No model is asked: texts come with topic, label and names. They are real (fin-tweets), in requests of 256, some 1,400 an hour over a month
of a made-up clock, each with one or two of 2,000 names (Zipf), from ten sources; a process of its own tells the memory that it holds
after a tenth and at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from . import child
from .line import Line, single

NAME = "monitor"
REQUEST = 256
AN_HOUR = 1_400
TOPICS = ("price", "service", "other")
WANTED_RATE, WANTED_GROWTH = 60.0, 1.05


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick sends 20,000 texts and tells nothing of memory, else a million."""
    texts = 20_000 if quick else 1_000_000
    told = child.run("benchmarks.monitor_load", str(texts))
    print(f"monitor, {texts:,} texts: {told}", file=sys.stderr)
    rate = told["rate"]
    what, wanted = f"texts a second into windows, durable, {texts:,} of them", "wanted: at least, with models and all"
    lines = [single(NAME, what, rate, WANTED_RATE, wanted, "texts/s")]
    if not quick:
        what, growth = f"memory after {texts:,} texts, by that after a tenth of them", told["growth"]
        lines.append(single(NAME, what, growth, WANTED_GROWTH, "wanted, at most", "times", higher_is_better=False))
    return lines


def run(texts: int) -> dict[str, float]:
    """Return "rate" (texts a second) and "growth" (memory at the end by that after a tenth)."""
    from noria.apps.monitor.stream import Stream
    from noria.apps.monitor.surge import Mention
    from noria.apps.settings import WatchSettings

    from .monitor_streams import _rows

    rows = _rows()
    chooser = np.random.default_rng(0)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        stream = Stream(Path(folder), WatchSettings(), TOPICS, bounded=False)
        began, early = time.perf_counter(), 0.0
        for first in range(0, texts, REQUEST):
            names = np.minimum(chooser.zipf(1.3, (REQUEST, 2)), 2_000)
            mentions = [
                Mention(
                    f"t{first + at}",
                    start + timedelta(hours=(first + at) / AN_HOUR),
                    TOPICS[(first + at) % len(TOPICS)],
                    *(rows[(first + at) % len(rows)][0], 0.9, rows[(first + at) % len(rows)][1]),
                    tuple({f"name {name}" for name in names[at]}),
                    f"source {at % 10}",
                )
                for at in range(REQUEST)
            ]
            stream.take(mentions, mentions[-1].time, f"r{first}")
            if not early and first >= texts / 10:
                early = _memory()
        return {"rate": texts / (time.perf_counter() - began), "growth": _memory() / early}


def _memory() -> float:
    """Return the memory that this process holds, in kB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1])


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
