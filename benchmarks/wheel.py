"""The wheel: the demo's own ledger against its baselines, and against what is wanted of it here.

`noria demo --no-serve` runs once in a process of its own, in a new folder; everything told is read from the ledger that it leaves.
A gain over a baseline is a line of two scores: the baseline's, and the baseline's with the gain; where an interval is wanted to
lie above something, it is the gain's lower end that is added. So a ratio of 1 is the bar itself, however small the gain. Intervals
are those of the paired bootstrap over test rows, whose number is n.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.machine import isa

from .line import Line, compare, machine, single


@dataclass(frozen=True)
class Bars:
    """What is wanted of the demo on one kind of machine."""

    minutes: float
    sentiment: float
    """Lower end of accuracy above TF-IDF."""
    entities: float
    """F1 above the dictionary."""
    pretrain: tuple[str, float]
    """Which n-gram the model alone must beat, and by how many bits a byte."""


BARS = {
    "AVX2": Bars(20.0, 0.005, 0.03, ("unigram", 0.35)),
    "AMX": Bars(15.0, 0.015, 0.05, ("5-gram", 0.0)),
}


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of one turn; quick turns it with the demo's own small budgets."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        minutes, announced = turned(Path(place) / "demo", quick=quick)
        ledger = json.loads((Path(place) / "demo" / "ledger.json").read_text(encoding="utf-8"))
        mixture = read_manifest(Path(place) / "demo" / "pretrain").facts.get("mixture", {"figures": []})
    mixed = [Figure(**one) for one in mixture["figures"]]
    return lines_of(ledger["stages"], mixed, minutes, announced, BARS["AMX" if isa() == "AMX" else "AVX2"])


def turned(out: Path, *, quick: bool) -> tuple[float, float]:
    """Turn the wheel below `out`; return the minutes it took, from the start of Python, and the seconds that compressing announced.

    Raises:
        RuntimeError: it failed; tells its last words.
    """
    command = [sys.executable, "-m", "noria", "demo", "--no-serve", "--json", "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *(["--quick"] if quick else [])], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    announced, last = 0.0, ""
    for line in process.stderr:
        last = line.strip() or last
        event = _event(line)
        if event.get("event") not in ("plan", "ledger"):
            continue
        print(f"wheel {time.perf_counter() - start:6.0f} s: {event.get('line', '')}", file=sys.stderr)
        if event["event"] == "plan" and event.get("stage") == "compress":
            announced = seconds_in(event["line"])
    if process.wait():
        raise RuntimeError(f"demo failed: {last}")
    return (time.perf_counter() - start) / 60, announced


def seconds_in(plan: str) -> float:
    """Return how many seconds the plan line of a stage announces; 0 where it announces none.

    >>> seconds_in("8-bit engines for 3 models; about 60 s"), seconds_in("about 2.5 min")
    (60.0, 150.0)
    """
    found = re.search(r"about ([\d.]+) (s|min)\b", plan)
    return float(found[1]) * (60 if found[2] == "min" else 1) if found else 0.0


def lines_of(
    stages: Sequence[Mapping[str, Any]], mixed: Sequence[Figure], minutes: float, announced: float, bars: Bars
) -> list[Line]:
    """Return what a ledger's stages say beside their baselines and bars.

    Args:
        stages: records, as in `ledger.json`.
        mixed: what the pretrained model and an n-gram say together, bits per byte first; none where they are not mixed.
        minutes: that the whole took.
        announced: seconds that compressing said it would take; 0 where it did not say.
        bars: what is wanted.
    """
    told = {stage["name"]: stage for stage in stages}
    figures = {name: [Figure(**one) for one in stage["figures"]] for name, stage in told.items()}
    lines = [
        compare(
            "wheel",
            "the demo, from start to end",
            [minutes],
            [bars.minutes],
            "wanted: at most",
            "min",
            higher_is_better=False,
        )
    ]
    lines += _gain("sentiment", "TF-IDF with logistic regression", figures["sentiment"], bars.sentiment, low=True)
    lines += _gain("entities", "dictionary of the training rows", figures["entities"], bars.entities, low=False)
    lines += _bits(figures["pretrain"], mixed, *bars.pretrain)
    if announced:
        took, name = float(told["compress"]["seconds"]), "wanted: what it announces"
        lines.append(compare("wheel", "compress, three models", [took], [announced], name, "s", higher_is_better=False))
    return lines


def _gain(stage: str, peer: str, figures: Sequence[Figure], wanted: float, *, low: bool) -> list[Line]:
    """Return the lines of a score beside its baseline's, and beside what is wanted above that: of the gain, or of its lower end."""
    score = figures[0]
    gain = next(figure for figure in figures if figure.name.endswith("above baseline"))
    assert score.baseline is not None
    assert gain.low is not None
    what, base, least = f"{stage}, {score.name}", score.baseline, score.baseline + gain.low
    at_least = f"{what}, lower end of the paired interval"
    lines = [_more(what, gain, base, base, peer)]
    if low:
        return [*lines, single("wheel", at_least, least, base + wanted, f"wanted: {peer} and {wanted:g}", "", gain.n)]
    return [
        *lines,
        _more(what, gain, base, base + wanted, f"wanted: {peer} and {wanted:g}"),
        single("wheel", at_least, least, base, f"wanted: {peer}", "", gain.n),
    ]


def _bits(figures: Sequence[Figure], mixed: Sequence[Figure], beaten: str, by: float) -> list[Line]:
    """Return the lines of bits per byte beside every n-gram, of the model alone and where it is interpolated of both, and the bars."""
    model, joined = figures[0], next(iter(mixed), None)
    rivals = {one.name.partition(",")[0]: one for one in figures if one.name == "unigram" or "gram," in one.name}
    alone, both = "pretrain, bits per byte", "pretrain interpolated with the 5-gram, bits per byte"
    lines = [_less(alone, model, rival.value, str(rival.name)) for rival in rivals.values()]
    if joined:
        lines += [_less(both, joined, rival.value, str(rival.name)) for rival in rivals.values()]
    wanted = f"wanted: {rivals[beaten].name}" + (f" less {by:g}" if by else "")
    lines.append(_less(alone, model, rivals[beaten].value - by, wanted))
    if joined and beaten == "5-gram":
        lines.append(_less(both, joined, rivals[beaten].value, wanted))
    return lines


def _more(what: str, gain: Figure, base: float, theirs: float, peer: str) -> Line:
    """Return the line of a baseline's score with a gain, beside another score."""
    value, low, high = (base + (end or 0.0) for end in (gain.value, gain.low, gain.high))
    return Line("wheel", what, value, theirs, peer, "", value / theirs, gain.n, low / theirs, high / theirs, machine())


def _less(what: str, ours: Figure, theirs: float, peer: str) -> Line:
    """Return the line of a figure of which less is better."""
    low, high = (theirs / (end or ours.value) for end in (ours.high, ours.low))
    return Line("wheel", what, ours.value, theirs, peer, ours.unit, theirs / ours.value, ours.n, low, high, machine())


def _event(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
