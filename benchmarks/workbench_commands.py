"""Help of the command line: how long `--help` takes, beside other command lines; each start is a process of its own, in turns.

The peers are what people have beside it: `hf` of huggingface_hub, which is Python too, and `ruff`, which is not. The slowest help is
looked for among all commands.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .line import Line, compare

NAME = "workbench"
PEERS = {"hf --help (huggingface_hub, Python)": "hf", "ruff --help (a program, not Python)": "ruff"}
HELP = ("--help",)
ASKED = ("build", "finetune", "--help")


def measure(*, quick: bool) -> list[Line]:
    """Return a line a help and peer; quick starts each three times and looks at every eighth command, else fifteen and at all."""
    repeats = 3 if quick else 15
    slowest = _slowest(8 if quick else 1)
    asked = {
        "noria --help": HELP,
        f"noria {' '.join(ASKED)}": ASKED,
        f"noria {' '.join(slowest)} (the slowest)": slowest,
    }
    there = {name: str(Path(sys.executable).with_name(program)) for name, program in PEERS.items()}
    there = {name: program for name, program in there.items() if Path(program).exists()}
    found: dict[str, list[float]] = {name: [] for name in (*asked, *there)}
    for number in range(repeats):
        turns = [(name, noria(words)) for name, words in asked.items()] + [
            (name, (one, "--help")) for name, one in there.items()
        ]
        for name, command in turns[::-1] if number % 2 else turns:
            found[name].append(seconds_of(command))
    for name, values in found.items():
        print(f"workbench, {name}: {sorted(values)[len(values) // 2]:.2f} s", file=sys.stderr)
    return [
        compare(NAME, name, found[name], found[peer], peer, "s", higher_is_better=False)
        for name in asked
        for peer in there
    ]


def noria(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command of Noria as a process."""
    return (sys.executable, "-m", "noria", *words)


def seconds_of(command: Sequence[str]) -> float:
    """Return how long a command takes.

    Raises:
        CalledProcessError: it failed.
    """
    began = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "100"}
    )
    return time.perf_counter() - began


def commands(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command below an app of cyclopts."""
    if node.default_command:
        yield words
    for name in node:
        if not name.startswith("-"):
            yield from commands(node[name], (*words, name))


def _slowest(every: int) -> tuple[str, ...]:
    """Return the words of the help that takes longest, each asked for once."""
    from noria.cli.main import app

    seconds = {words: seconds_of(noria((*words, "--help"))) for words in list(commands(app))[::every]}
    return (*max(seconds, key=lambda words: seconds[words]), "--help")
