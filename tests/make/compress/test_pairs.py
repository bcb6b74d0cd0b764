"""Pairs: tried where one engine is not enough, both judged, and what is refused is left out of what is tried next."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import LABELS, make_encoder
from tiny_models import TEXTS as SENTENCES

from noria.core.figure import Figure
from noria.core.folder import read_manifest, verify
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.choose import best_kind, open_engine
from noria.infer.engine import answer
from noria.make.compress import candidates as tried
from noria.make.compress import certify as certifying
from noria.make.compress.candidates import Candidate, Timed
from noria.make.compress.certify import ALONE, BATCHED, DIFFER, Certificate, Pair, certify
from noria.make.compress.pairs import CLEARLY, TRAINED, best_pair, left
from noria.make.compress.recipe import certificate_text, compress_model
from noria.make.compress.settings import CompressSettings
from tests.make.compress.test_certify import SETTINGS, TASK, TEXTS, Watch

KINDS = ("packed", "onnx", "openvino")
SPEED = st.floats(0.2, 5)


@given(st.lists(st.tuples(st.sampled_from(KINDS), SPEED, SPEED), unique_by=lambda one: one[0]))
def test_a_pair_is_made_where_no_engine_is_nearly_as_fast_both_ways(known: list[tuple[str, float, float]]):
    found = [Timed(Candidate(kind, str(place)), Path(), *speeds) for place, (kind, *speeds) in enumerate(known)]
    whole = [*found, Timed(TRAINED, Path(), 1.0, 1.0)]
    pair = best_pair(found, Path())
    if pair is None:
        others = [(one, other) for one in whole for other in whole if one.candidate.kind != other.candidate.kind]
        for (
            one,
            several,
        ) in others:  # none is clearly better than every engine by itself, unless by a hair over the trained model
            gain = min(max(one.single / each.single, several.batched / each.batched) for each in whole)
            assert gain <= CLEARLY**2 + 1e-9
    else:
        one, several = pair
        assert one.candidate.kind != several.candidate.kind
        assert all(one.single >= CLEARLY * each.single or several.batched >= CLEARLY * each.batched for each in whole)


@given(SPEED, SPEED, st.booleans())
def test_what_is_too_slow_at_one_of_two_may_be_a_pair_with_the_trained_model(
    batched: float, alone: float, unlike: bool
):
    one, other = Candidate("onnx", "int8"), Candidate("openvino", "float")
    pool = [Timed(one, Path(), 2.0, 2.0), Timed(other, Path(), 1.5, 1.5)]
    slow = [name for name, low in ((BATCHED, batched), (ALONE, alone)) if low <= 1]
    reasons = [message("certificate.no_faster", measure=name, value=1.0, low=0.9) for name in slow]
    reasons += [message("certificate.disagrees", agreement=0.9, bound=0.97)] if unlike or not slow else []
    figures = (Figure(BATCHED, 3.0, 5, batched, 4.0), Figure(ALONE, 3.0, 5, alone, 4.0))
    kept = left(pool, one, Certificate(False, "", tuple(reasons), figures, {}))
    assert pool[1] in kept
    if slow and not unlike and max(batched, alone) > CLEARLY:
        assert kept[0].candidate == one
        assert not kept[0].rank[0]  # by itself it is not tried again
        assert (pair := best_pair(kept[:1], Path())) is not None
        assert TRAINED in {each.candidate for each in pair}
    else:
        assert kept == pool[1:]


def certified(single_wrong: int, several_wrong: int = 0, *, fast: float = 1, pair_trained: str = "") -> Certificate:
    watch = Watch()
    single, several = watch.model(lambda turn: fast, single_wrong), watch.model(lambda turn: fast, several_wrong)
    pair = Pair(single, pair_trained)
    reference = watch.model(lambda turn: 4)
    return certify(TASK, TEXTS, reference, several, sizes=(400, 100), settings=SETTINGS, pair=pair, clock=watch)


def test_both_engines_are_judged_and_how_far_they_differ_is_told():
    found = certified(4, 2)
    assert found.passed
    assert found.figure("agreement").value == 0.99
    assert found.figure("agreement, one text alone").value == 0.98
    assert (found.figure(DIFFER).value, found.figure(DIFFER).n) == (pytest.approx(0.01), 200)
    assert found.figure(DIFFER).low < 0.01 < found.figure(DIFFER).high
    assert f"{DIFFER} 0.0100" in certificate_text(found)
    assert message("certificate.rule_pair", rule="").strip("; ") in found.rule
    assert Certificate.from_dict(found.as_dict()) == found


def test_either_of_two_is_refused_by_its_own_answers():
    first, second = certified(20), certified(0, 20)
    assert first.reasons == ("one text alone: agreement 0.9 is below 0.97",)
    assert second.reasons == ("agreement 0.9 is below 0.97",)
    assert certified(0, fast=5).reasons[0].startswith(BATCHED)
    for slow in (BATCHED, ALONE):
        reasons = certified(0, fast=5, pair_trained=slow).reasons
        assert len(reasons) == 1
        assert not reasons[0].startswith(slow), "the trained model itself answers there"


SPEEDS = {"packed": (2.0, 1.2), "onnx": (0.6, 2.0), "openvino": (1.1, 1.0)}
"""Kind -> how many times as fast as trained in batches, and alone, on a machine that is not here."""


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("pairs")
    return tuple(make_encoder(place / str(seed), "classify", LABELS, 2, compiled=False, seed=seed) for seed in (0, 1))  # type: ignore[return-value]


def compressed(
    model: Path, out: Path, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, tuple[float, float]]
) -> tuple[Certificate, str]:
    """Compress on a machine of such speeds, and return the certificate and what was told meanwhile."""

    def faster(self: tried.Screening, engine: object, work: object) -> float:
        return speeds[engine.kind][work is self._work[1]]  # type: ignore[attr-defined]

    def known(*_: object) -> tuple[Figure, Figure]:
        batched, alone = (Figure(name, 2.0, 6, 1.9, 2.1, unit="times") for name in (BATCHED, ALONE))
        return batched, alone

    monkeypatch.setattr(tried.Screening, "_times_as_fast", faster)
    monkeypatch.setattr(tried, "product_gain", lambda: 0.1)
    monkeypatch.setattr(certifying, "speed", known)
    told = io.StringIO()
    rows = [{"text": text, "label": LABELS[0]} for text in SENTENCES]
    settings = CompressSettings(samples=8, rounds=6)
    found = compress_model(model, SENTENCES, rows, out, settings, Report(stream=told), or_trained=True)
    return found, told.getvalue()


def test_a_folder_gets_both_and_the_right_one_answers(
    classifiers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, out = classifiers[0], tmp_path / "out"
    certificate, told = compressed(model, out, monkeypatch, SPEEDS)
    assert "ONNX Runtime in 8-bit integers: 0.60 times as fast as trained together, 2.00 alone" in told
    assert certificate.passed, certificate.reasons
    verify(out)
    assert best_kind(out) == "pair"
    assert json.loads((out / "engine" / "pair.json").read_text()) == {"one": "onnx", "several": "packed"}
    known = read_manifest(out).facts["engine"]
    assert known["bytes"] == known["one"]["bytes"] + known["several"]["bytes"]
    assert certificate.figure(DIFFER).n == len(SENTENCES)
    assert "answers that differ alone and in batches" in json.dumps(certificate.as_dict())
    engine, exact = open_engine(out, threads=1), open_engine(model, threads=1)
    alone = [answer(engine, [text])[0] for text in SENTENCES]
    assert len(alone) == len(answer(engine, SENTENCES))
    for row, trained in zip(alone, answer(exact, SENTENCES), strict=True):
        assert row["score"] == pytest.approx(trained["score"], abs=0.05)


def test_what_is_refused_is_left_out_of_what_is_tried_next(
    classifiers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, other = classifiers
    own = tried.export_onnx
    monkeypatch.setattr(tried, "export_onnx", lambda folder, *more: own(other, *more))
    certificate, told = compressed(model, tmp_path / "out", monkeypatch, SPEEDS)
    assert "one text alone: agreement" in told
    assert certificate.passed, certificate.reasons
    assert best_kind(tmp_path / "out") == "packed"
    assert not (tmp_path / "out" / "engine" / "model.onnx").exists()


def test_the_trained_model_itself_may_be_one_of_two(
    classifiers: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    slow = {"packed": (0.9, 0.9), "onnx": (0.6, 2.0), "openvino": (0.9, 0.9)}
    certificate, _ = compressed(classifiers[0], tmp_path / "out", monkeypatch, slow)
    assert certificate.passed, certificate.reasons
    assert json.loads((tmp_path / "out" / "engine" / "pair.json").read_text()) == {"one": "onnx", "several": "torch"}
    assert certificate.figure("agreement").value == 1.0
