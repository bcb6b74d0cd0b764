"""Candidates: what cannot win is not made, what is slower is not compared for long, and the fastest that passes ships."""

from __future__ import annotations

import gc
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import LABELS, TEXTS, make_encoder

from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.choose import best_kind, open_engine
from noria.infer.engine import answer
from noria.infer.signal_stack import signal_stack
from noria.make.compress import candidates as tried
from noria.make.compress import recipe
from noria.make.compress.candidates import Candidate, Timed, candidates
from noria.make.compress.certify import Certificate
from noria.make.compress.recipe import compress_model
from noria.make.compress.settings import CompressSettings

SETTINGS = CompressSettings(samples=8, rounds=6, loss=1.0)
SPEEDS = {"packed": 2.0, "openvino": 1.5, "onnx": 1.4}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("candidates") / "m", "classify", LABELS, 2, compiled=False)


def compressed(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float], gain: float, *, bf16: bool = True
) -> str:
    """Compress with speeds of a machine that is not here, and return what was told meanwhile."""
    monkeypatch.setattr(tried, "bf16_is_fast", lambda: bf16)
    monkeypatch.setattr(tried.Screening, "_times_as_fast", lambda self, engine, work: speeds[engine.kind])
    monkeypatch.setattr(tried, "product_gain", lambda: gain)
    told = io.StringIO()
    rows = [{"text": text, "label": LABELS[0]} for text in TEXTS]
    compress_model(model, TEXTS, rows, out, SETTINGS, Report(stream=told), or_trained=True)
    return told.getvalue()


def test_signals_are_heard_after_every_candidate_was_made_and_timed(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A library that leaves a freed stack for signals behind makes of the next Ctrl-C a segmentation fault."""
    monkeypatch.setattr(tried, "CLEAR", 1e9)  # nothing is put off
    before = signal_stack()
    tried.product_gain(8, 16, 1)
    rows = [{"text": text, "label": LABELS[0]} for text in TEXTS]
    compress_model(classifier, TEXTS, rows, tmp_path / "out", SETTINGS, Report(stream=io.StringIO()), or_trained=True)
    assert signal_stack() == before
    gc.collect()
    assert signal_stack() == before


def test_what_cannot_win_is_not_made(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = compressed(classifier, tmp_path / "out", monkeypatch, SPEEDS, gain=1.1)
    assert "OpenVINO in 8-bit integers: not made; its products are 1.10 times as fast here" in told
    assert "about" in told.splitlines()[0]
    # The trained model answers whoever wins, or not.
    one, other = (answer(open_engine(folder), TEXTS[:2]) for folder in (classifier, tmp_path / "out"))
    assert [row["label"] for row in one] == [row["label"] for row in other]


def test_a_graph_in_fp32_is_put_off_and_made_where_nothing_faster_passes(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    certify, verdicts = recipe.certify, [True, False, True]

    def judged(*given: Any, **named: Any) -> Certificate:
        passed = verdicts.pop(0)
        reasons = () if passed else (message("certificate.disagrees", agreement=0.5, bound=0.97),)
        return replace(certify(*given, **named), passed=passed, reasons=reasons)

    monkeypatch.setattr(recipe, "certify", judged)
    told = compressed(classifier, tmp_path / "one", monkeypatch, SPEEDS, gain=1.1, bf16=False)
    assert "OpenVINO" not in told
    told = compressed(classifier, tmp_path / "two", monkeypatch, SPEEDS, gain=1.1, bf16=False)
    assert "OpenVINO, weights as trained: 1.50 times as fast" in told
    assert not verdicts


def test_where_nothing_is_faster_the_trained_model_serves_and_one_line_says_so(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = compressed(classifier, tmp_path / "out", monkeypatch, dict.fromkeys(SPEEDS, 0.5), gain=0.5)
    assert "nothing tried is faster here than the trained model" in told
    assert best_kind(tmp_path / "out") == "torch"
    assert "engine" not in read_manifest(tmp_path / "out").facts


def test_the_method_says_what_is_tried():
    everything = set(candidates("auto"))
    for method in ("int8", "weights", "float"):
        chosen = candidates(method)
        assert chosen
        assert set(chosen) < everything
    assert {one.kind for one in candidates("auto", packable=False)} == {"onnx", "openvino"}


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)), min_size=1))
def test_what_is_slower_one_way_never_stands_before_what_is_faster_both_ways(speeds: list[tuple[float, float]]):
    timed = [Timed(Candidate("openvino", "float"), Path(), *pair) for pair in speeds]
    best = max(timed, key=lambda one: one.rank)
    if any(min(pair) > 1 for pair in speeds):
        assert min(best.batched, best.single) > tried.NEARLY
