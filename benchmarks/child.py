"""A benchmark's child: one run in a process of its own, with the most memory it held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def run(module: str, *arguments: str) -> dict[str, float]:
    """Run `python -m module arguments`; return the numbers of its last line, and its peak memory as `megabytes`, unless the child tells that.

    Raises:
        RuntimeError: the child failed; tells its last words.
    """
    command = [sys.executable, "-m", module, *arguments]
    with (
        tempfile.TemporaryFile("w+") as words,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True) as process,
    ):
        assert process.stdout is not None
        output = process.stdout.read()
        # Waited for by hand: the kernel tells what this child alone used, its own children included.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        words.seek(0)
        errors = words.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {(errors.strip() or 'no words').splitlines()[-1]}")
    return {"megabytes": usage.ru_maxrss / 1024, **json.loads(output.strip().splitlines()[-1])}


def most_megabytes() -> float:
    """Return the most that this process held: what a child of a large process tells of itself, for the kernel counts what was held
    where it was begun."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
