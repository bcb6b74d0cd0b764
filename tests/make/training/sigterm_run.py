"""A run that is sent SIGTERM while a pass or an evaluation takes long, and resumed; beside one that nothing stops.

In a process of its own, which the signal may end, and in which nothing before has set threads or random numbers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from noria.core.errors import Interrupted
from noria.core.progress import Report
from noria.make.tokens.batches import Batch
from noria.make.training.loop.loop import Evaluation, Objective, train
from noria.make.training.settings import TrainSettings
from tests.make.training.training_runs import accumulated_run

SETTINGS = TrainSettings(seed=11, number_type="fp32", evaluations=4, checkpoint_seconds=1000, steps=12)


def run(work: Path, objective: Objective | None = None, judge: Callable[[nn.Module], Evaluation] | None = None) -> None:
    """Run to the end, resuming what `work` holds."""
    setup = accumulated_run()
    objective, judge = objective or setup.objective, judge or setup.judge
    train(setup.module, setup.batches, objective, SETTINGS, work, Report.silent(), judge, after_step=setup.after_step)


def main(place: str, folder: Path) -> None:
    """Print, as JSON, how the run ended, how long after the signal, and whether the handler from before is back."""
    setup, counts, asked = accumulated_run(), {"a pass": 0, "an evaluation": 0}, 0.0
    judge = setup.judge

    def slow(kind: str, at: int) -> None:
        nonlocal asked
        counts[kind] += 1
        if place == kind and counts[kind] == at:
            asked = time.monotonic()
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            torch.rand(100)  # what was drawn before the signal must be drawn again
            time.sleep(60)

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        slow("a pass", 20)
        return setup.objective(module, batch)

    def judged(module: nn.Module) -> Evaluation:
        slow("an evaluation", 2)
        return judge(module)

    run(folder / "whole")
    before = signal.getsignal(signal.SIGTERM)
    try:
        run(folder / "stopped", objective, judged)
        words = "ran to its end"
    except Interrupted as error:
        words = str(error)
    seconds, restored = time.monotonic() - asked, signal.getsignal(signal.SIGTERM) is before
    run(folder / "stopped")
    print(json.dumps({"words": words, "seconds": seconds, "restored": restored}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], Path(sys.argv[2]))
