"""A benchmark's child: one run in a process of its own, with the most memory it held."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def run(module: str, *arguments: str) -> dict[str, float]:
    """Run `python -m module arguments`; return the numbers of its last line, and its peak memory as `megabytes`.

    Raises:
        RuntimeError: the child failed; tells its last words.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = process.stdout.read(), process.stderr.read()
    # Waited for by hand: the kernel tells what this child alone used, its own children included.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {(errors.strip() or 'no words').splitlines()[-1]}")
    return {**json.loads(output.strip().splitlines()[-1]), "megabytes": usage.ru_maxrss / 1024}
