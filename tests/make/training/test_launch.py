"""Processes are started, heard and ended together: by a bad row, by kill -9, by SIGTERM, and when their caller dies."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import make_encoder

from noria.core.errors import InputError, ResourceError
from noria.core.folder import read_manifest
from noria.core.progress import MetricsLog, Report
from noria.make.training.finetune.recipe import finetune
from noria.make.training.parallel import launch
from noria.make.training.settings import FinetuneSettings, ParallelSettings
from noria.tasks.task import task_for
from tests.make.training import launched


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def numbers(folder: Path, workers: int = 2) -> list[int]:
    until(lambda: all((folder / str(rank)).exists() and (folder / str(rank)).read_text() for rank in range(workers)))
    return [int((folder / str(rank)).read_text()) for rank in range(workers)]


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_the_first_speaks_for_all() -> None:
    heard = io.StringIO()
    launch.run(launched.speak, (), {}, 2, Report("programs", heard))
    events = [json.loads(line) for line in heard.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["plan", "progress", "ledger"]
    assert events[1] == {"event": "progress", "title": "work", "done": 3, "total": 4, "unit": "step", "loss": 0.5}
    assert events[2] == {"event": "ledger", "line": "done", "workers": 2}


def test_what_one_finds_wrong_is_what_the_caller_hears() -> None:
    with pytest.raises(InputError, match=r"^rows\.jsonl, line 3: no text$"):
        launch.run(launched.fail, (), {}, 3, Report.silent())


def test_one_that_is_killed_ends_all(tmp_path: Path) -> None:
    found: list[int] = []

    def kill() -> None:
        found.extend(numbers(tmp_path))
        os.kill(found[1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ResourceError, match=r"worker 1 of 2 was killed by signal 9 \(SIGKILL\)"):
        launch.run(launched.wait, (tmp_path,), {}, 2, Report.silent())
    thread.join()
    assert not any(map(alive, found))


def test_none_outlives_a_caller_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import launched, sys; launched.call(sys.argv[1])", str(tmp_path)]
    caller = subprocess.Popen(command, cwd=Path(launched.__file__).parent)
    found = numbers(tmp_path)
    caller.kill()
    caller.wait()
    until(lambda: not any(map(alive, found)), seconds=5)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and opinions to learn from."""
    folder, dice = tmp_path_factory.mktemp("opinions"), random.Random(0)
    make_encoder(folder / "base", "classify", ["negative", "positive"], 2, compiled=False)
    for name, count in (("train", 120), ("valid", 20)):
        lines = []
        for _ in range(count):
            good = dice.random() < 0.5
            text = dice.choice(["物流", "the film "]) + dice.choice(["很好", "lovely"] if good else ["太差", "awful"])
            lines.append({"text": text * dice.randint(1, 3), "label": "positive" if good else "negative"})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def tune(rows: Path, out: Path, workers: int) -> None:
    settings = FinetuneSettings(
        steps=80,
        tokens_per_batch=256,
        max_length=64,
        number_type="fp32",
        evaluations=2,
        parallel=ParallelSettings(workers=workers),
    )
    finetune(
        task_for("classify"), rows / "base", rows / "train.jsonl", rows / "valid.jsonl", out, settings, Report.silent()
    )


def test_two_processes_fine_tune_what_one_does_though_stopped_on_the_way(rows: Path, tmp_path: Path) -> None:
    tune(rows, tmp_path / "one", 1)
    work = tmp_path / ".two.work"
    # In a process of its own: what else this one has loaded has no part in it, and a signal that nobody heard would end the tests.
    command = [
        sys.executable,
        "-c",
        f"from pathlib import Path; from test_launch import tune; tune(Path({str(rows)!r}), Path({str(tmp_path / 'two')!r}), 2)",
    ]
    caller = subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    until(lambda: len(MetricsLog(work / "metrics.jsonl").read()) > 3)
    caller.terminate()
    assert "interrupted at step" in caller.communicate(timeout=60)[1]
    assert not (tmp_path / "two").exists()
    done = len(MetricsLog(work / "metrics.jsonl").read())
    assert (work / "checkpoint.safetensors").exists()
    tune(rows, tmp_path / "two", 2)
    one, two = (read_manifest(tmp_path / name).facts for name in ("one", "two"))
    assert done < 80
    assert two["tokens"] == one["tokens"]
    assert [loss for _, loss in two["curves"]["train"]] == pytest.approx(
        [loss for _, loss in one["curves"]["train"]], abs=1e-4
    )
    assert [figure["name"] for figure in two["metrics"]] == [figure["name"] for figure in one["metrics"]] != []
    # Sums of several processes are added in another order: their last digits differ.
    assert [figure["value"] for figure in two["metrics"]] == pytest.approx(
        [figure["value"] for figure in one["metrics"]], abs=1e-6
    )
