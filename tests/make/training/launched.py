"""What the tests of the launcher let its processes do."""

from __future__ import annotations

import os
import time
from pathlib import Path

from noria.core.errors import RowError
from noria.core.progress import Report
from noria.make.training.parallel import launch


def wait(folder: Path, *, report: Report) -> None:
    """Write this process's number, then do nothing for a minute."""
    (folder / os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(60)


def speak(*, report: Report) -> None:
    """Say and show something."""
    report.plan("a plan")
    with report.bar("work", total=4, unit="step") as bar:
        bar.advance(3, loss=0.5)
    report.ledger("done", workers=int(os.environ["WORLD_SIZE"]))


def fail(*, report: Report) -> None:
    """The second process finds a bad row, the others a fault of their own a little later."""
    if os.environ["RANK"] == "1":
        raise RowError("no text", file="rows.jsonl", line=3)
    time.sleep(0.2)
    raise RuntimeError("Connection closed by peer")


def call(folder: str) -> None:
    """Start two that wait."""
    launch.run(wait, (Path(folder),), {}, 2, Report.silent())
