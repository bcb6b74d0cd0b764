"""A benchmark's child: one run in a process of its own, with the most memory it held.

The kernel begins the peak of a process with the memory of the one that started it, for until it loads its own program it holds the same.
So a small interpreter stands between, which starts the child, waits for it, and tells: this file, run as `python child.py COMMAND...`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def run(module: str, *arguments: str) -> dict[str, Any]:
    """Run `python -m module arguments`, and return what `measured` does.

    Raises:
        RuntimeError: the child failed; tells its last words.
    """
    return measured([sys.executable, "-m", module, *arguments], " ".join(arguments))


def measured(command: Sequence[str], name: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a command; return the numbers of its last line, a JSON object, and as `megabytes` the most that it held, or any process below it.

    Args:
        command: a program and its arguments.
        name: what it is called where it fails.
        environment: its own, where not that of this process.

    Raises:
        RuntimeError: it failed; tells its last words.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    *_, told, kilobytes = done.stdout.strip().splitlines()
    return {**json.loads(told), "megabytes": int(kilobytes) / 1024}


def main(command: list[str]) -> int:
    """Run a command, print the most memory that it held (KiB) on a line of its own, and return how it ended."""
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    print(usage.ru_maxrss)
    return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
