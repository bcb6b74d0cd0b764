"""A run followed by TensorBoard, Weights & Biases or MLflow, where they are installed and asked for.

The record of a run is always its `metrics.jsonl`; trackers are given the same numbers as they come. Each is an object with
`write(step, values)` and `close()`, made by a function of its own, which imports its package only then. Where a run goes
on after a kill, each goes on with the same curve. Nothing is sent anywhere unless the tracker's own environment
variables say so: MLFLOW_TRACKING_URI, and WANDB_MODE=online.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from noria.core.errors import SettingError
from noria.core.messages import message

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Tracker -> the name that pip knows; mlflow-skinny will do as well."""


class Tracker(Protocol):
    """One place that numbers go to."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        ...

    def close(self) -> None:
        """Let what was taken be seen by others."""
        ...


class Trackers:
    """All trackers of a run.

    Raises:
        SettingError: one was asked for whose package is not installed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if find_spec(name) is None:
                raise SettingError(message("make.tracker_installed", name=name), hint=f"pip install {PACKAGES[name]}")
        self._names, self._open = tuple(names), list[Tracker]()

    @contextmanager
    def following(self, folder: Path, title: str, identity: str, step: int) -> Iterator[None]:
        """Follow a run while the block runs: begin, or go on after `step`.

        Args:
            folder: where what stays on this machine is written, a subfolder a tracker.
            title: name of the run.
            identity: hash of the run; the same run goes on under the same one.
            step: the last step that counts.
        """
        try:
            for name in self._names:
                (folder / name).mkdir(parents=True, exist_ok=True)
                self._open.append(_MAKERS[name](folder / name, title, identity[:16], step))
            yield
        finally:
            while self._open:
                self._open.pop().close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Give every tracker the numbers of a step: those of training as train/, those of an evaluation as valid/."""
        kind = "valid" if "score" in values else "train"
        for tracker in self._open:
            tracker.write(step, {f"{kind}/{name.replace(' ', '_')}": float(value) for name, value in values.items()})


def _tensorboard(folder: Path, title: str, identity: str, step: int) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / f"{title.replace('/', '-')}-{identity}"), purge_step=step + 1)

    class Board:
        def write(self, step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        def close(self) -> None:
            writer.close()

    return Board()


def _wandb(folder: Path, title: str, identity: str, step: int) -> Tracker:
    import wandb

    run = wandb.init(
        project="noria",
        name=title,
        id=identity,
        resume="allow",
        dir=str(folder),
        mode=os.environ.get("WANDB_MODE", "offline"),
        settings=wandb.Settings(silent=True),
    )
    # Evaluations come after their step, and a resumed run repeats steps: the step is a number of its own, not a counter.
    run.define_metric("step")
    run.define_metric("*", step_metric="step")

    class Board:
        def write(self, step: int, values: Mapping[str, float]) -> None:
            run.log({"step": step, **values})

        def close(self) -> None:
            run.finish()

    return Board()


def _mlflow(folder: Path, title: str, identity: str, step: int) -> Tracker:
    from mlflow.entities import Metric, RunStatus
    from mlflow.tracking import MlflowClient

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    known = client.get_experiment_by_name("noria")
    experiment = known.experiment_id if known else client.create_experiment("noria")
    same = client.search_runs([experiment], f"tags.identity = '{identity}'", max_results=1)
    run = same[0] if same else client.create_run(experiment, tags={"identity": identity}, run_name=title)
    number = run.info.run_id

    class Board:
        def write(self, step: int, values: Mapping[str, float]) -> None:
            # The step stands for the time: a step that is taken again after a kill is the same point again.
            client.log_batch(number, [Metric(name, value, step, step) for name, value in values.items()])

        def close(self) -> None:
            client.set_terminated(number, RunStatus.to_string(RunStatus.FINISHED))

    return Board()


_MAKERS: dict[str, Callable[[Path, str, str, int], Any]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
