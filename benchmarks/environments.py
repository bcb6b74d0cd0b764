"""Environments of their own for peers whose pins clash with ours: made once, below a cache folder, with plain pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from noria.core.errors import PackageError


def python_of(name: str, *requirements: str) -> str:
    """Return the Python of an environment that holds `requirements`; makes it where it is not there yet.

    The folder is NORIA_BENCH_ENVIRONMENTS, or noria-benchmarks below the user's cache.

    Raises:
        PackageError: pip could not install them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noria-benchmarks"
    folder = Path(os.environ.get("NORIA_BENCH_ENVIRONMENTS", cache)) / name
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(requirements)
    if python.exists() and done.exists() and done.read_text(encoding="utf-8") == wanted:
        return str(python)
    print(f"making an environment for {', '.join(requirements)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    made = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *requirements], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise PackageError(
            f"{name}: pip could not install {', '.join(requirements)}",
            found=(made.stderr.strip().splitlines() or ["no words"])[-1],
        )
    done.write_text(wanted, encoding="utf-8")
    return str(python)
