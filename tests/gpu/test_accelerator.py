"""On a real accelerator: every objective and method learns as on the processor, and a run goes on there. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from noria.infer import device
from tests.make.training.test_device import StoppedError, run, without_dropout
from tests.make.training.training_runs import KINDS

pytestmark = pytest.mark.skipif(not torch.accelerator.is_available(), reason="torch finds no accelerator here")


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_the_processor(kind: str, tmp_path: Path):
    here = run(without_dropout(KINDS[kind]), tmp_path / "here" / "run")
    setup = without_dropout(KINDS[kind])
    device.placed(setup.module, device.chosen())
    assert run(setup, tmp_path / "there" / "run") == pytest.approx(here, rel=5e-3)


@pytest.mark.parametrize("order", [("cpu", "auto"), ("auto", "cpu")])
def test_a_run_goes_on_on_the_other_device(order: tuple[str, str], tmp_path: Path):
    whole = run(without_dropout(KINDS["classify"]), tmp_path / "whole" / "run")
    work = tmp_path / "moved" / "run"
    first, second = (device.placed(without_dropout(KINDS["classify"]).module, device.chosen(name)) for name in order)
    setup = without_dropout(KINDS["classify"])
    setup.module = first
    with pytest.raises(StoppedError):
        run(setup, work, stopped=True)
    setup = without_dropout(KINDS["classify"])
    setup.module = second
    assert run(setup, work) == pytest.approx(whole, rel=5e-3)
