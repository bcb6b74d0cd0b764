"""A benchmark's command line: what a person can mend is one line on the screen, and an exit code."""

from __future__ import annotations

import sys

from cyclopts import App

from noria.core.errors import NoriaError


def started(app: App) -> None:
    """Run a command line."""
    try:
        app()
    except NoriaError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
