"""Trackers: TensorBoard reads back what a run wrote; those that are not installed are told by one line."""

from __future__ import annotations

import io
import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import pytest

from noria.core.errors import SettingError
from noria.core.progress import MetricsLog, Report
from noria.make.training.loop.loop import train
from noria.make.training.loop.trackers import PACKAGES, Trackers
from noria.make.training.settings import TrainSettings
from tests.make.training.training_runs import classify_run


def run(work: Path, tracker: str, steps: int = 6) -> list[dict[str, float]]:
    setup = classify_run()
    settings = TrainSettings(
        seed=11,
        steps=steps,
        number_type="fp32",
        evaluations=2,
        trackers=(tracker,),
        checkpoint_seconds=1e-9,
        checkpoint_share=1.0,
    )
    train(
        setup.module,
        setup.batches,
        setup.objective,
        settings,
        work,
        Report(stream=io.StringIO()),
        setup.judge,
        title="fine-tune 客服",
    )
    return MetricsLog(work / "metrics.jsonl").read()


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_tracker_that_is_not_installed_is_named_with_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    with pytest.raises(SettingError, match=rf"^the tracker {name} is not installed: pip install {PACKAGES[name]}$"):
        Trackers((name,))


def test_tensorboard_shows_what_the_record_holds(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = run(tmp_path / "work", "tensorboard")
    folders = list((tmp_path / "tracking" / "tensorboard").iterdir())
    assert [folder.name.split("-")[0] for folder in folders] == ["fine"]
    seen = EventAccumulator(str(folders[0])).Reload()
    assert {"train/loss", "train/rate", "valid/score"} <= set(seen.Tags()["scalars"])
    losses = [(r["step"], pytest.approx(r["loss"], rel=1e-6)) for r in records if "rate" in r]
    assert [(event.step, event.value) for event in seen.Scalars("train/loss")] == losses
    scores = [(r["step"], pytest.approx(r["score"], rel=1e-6)) for r in records if "score" in r]
    assert [(event.step, event.value) for event in seen.Scalars("valid/score")] == scores


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed: pip install mlflow")
def test_mlflow_holds_what_the_record_holds(tmp_path: Path) -> None:
    records = run(tmp_path / "work", "mlflow")
    file = tmp_path / "tracking" / "mlflow" / "mlflow.db"
    with sqlite3.connect(file) as base:
        found = base.execute("select step, value from metrics where key = 'train/loss' order by step").fetchall()
    assert found == [(record["step"], record["loss"]) for record in records if "rate" in record]


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: pip install wandb")
def test_wandb_writes_a_run_that_can_be_sent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run(tmp_path / "work", "wandb")
    files = list((tmp_path / "tracking" / "wandb" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 1
    assert b"train/loss" in files[0].read_bytes()


def test_a_run_without_trackers_leaves_only_its_record(tmp_path: Path) -> None:
    setup = classify_run()
    settings = TrainSettings(seed=11, steps=2, number_type="fp32")
    train(setup.module, setup.batches, setup.objective, settings, tmp_path / "work", Report(stream=io.StringIO()))
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    assert json.loads((tmp_path / "work" / "metrics.jsonl").read_text().splitlines()[0])["step"] == 1
