"""Quantising: smaller, near the trained model on real text, silent, and still the same model for plain transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_models import LABELS, TEXTS, make_causal, make_encoder

from noria.core.errors import InputError, SettingError
from noria.core.folder import new_folder, read_manifest, verify
from noria.infer.choose import best_kind, open_engine
from noria.infer.engine import answer
from noria.make.compress.quantize import choose, packed, quantize, seal, size_of
from noria.make.compress.settings import CompressSettings
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.task import Features

IDS = [[1, 5 + number % 90, 40, 7, 2] for number in range(20)]
SHOWN = [Features(ids, [], {}) for ids in IDS]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("quantize") / "m", "classify", LABELS, 2, compiled=False)


@pytest.fixture(scope="module")
def embedder_int8(e5_base: Path, review_lines: list[str]) -> Path:
    tokenizer = load_tokenizer(e5_base)
    shown = [Features(tokenizer.encode("query: " + text).ids[:64], [], {}) for text in review_lines[:24]]
    return quantize(e5_base, shown, e5_base.parent / "int8", CompressSettings(method="int8"))


def test_a_real_encoder_keeps_its_meaning_at_a_quarter_of_the_size(
    e5_base: Path, embedder_int8: Path, review_lines: list[str]
):
    texts = [text[:80] for text in review_lines[100:124]] + ["The film was great.", "Prices fell sharply."]
    exact, small = open_engine(e5_base, prefer="torch"), open_engine(embedder_int8, prefer="openvino")
    one, two = (np.array([row["embedding"] for row in answer(engine, texts)]) for engine in (exact, small))
    assert (one * two).sum(1).mean() > 0.97
    trained, compressed = size_of(embedder_int8)
    assert compressed < 0.3 * trained


def test_the_folder_is_still_the_trained_model_for_plain_transformers(e5_base: Path, embedder_int8: Path):
    verify(embedder_int8)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (embedder_int8 / name).read_bytes() == (e5_base / name).read_bytes()
    facts = read_manifest(embedder_int8).facts
    assert facts["engine"]["method"] == "int8"
    assert facts["pooling"] == "mean"
    assert read_manifest(embedder_int8).sources[0].sha256 == read_manifest(e5_base).identity()


def test_weights_alone(classifier: Path, tmp_path: Path, capfd: pytest.CaptureFixture):
    folder = quantize(classifier, SHOWN, tmp_path / "w", CompressSettings(method="weights"))
    assert read_manifest(folder).facts["engine"]["method"] == "weights"
    exact, small = open_engine(classifier, prefer="torch"), open_engine(folder, prefer="openvino")
    for one, two in zip(exact.forward(IDS), small.forward(IDS), strict=True):
        np.testing.assert_allclose(one, two, atol=0.05)
    assert capfd.readouterr() == ("", "")


def test_weights_are_packed_within_half_a_scale():
    matrix = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)
    matrix[0, :64] = 0
    integers, scales = packed(matrix, 64)
    assert integers.dtype == np.int8
    assert integers.shape == (12, 64)
    unpacked = (integers * scales).reshape(matrix.shape)
    assert (np.abs(unpacked - matrix).reshape(-1, 64) <= scales / 2 + 1e-7).all()
    assert np.abs(integers[1:]).max(axis=1).tolist() == [127] * 11


def test_a_real_encoder_with_packed_weights_is_nearer_still(e5_base: Path, tmp_path: Path, review_lines: list[str]):
    small = quantize(e5_base, SHOWN, tmp_path / "small", CompressSettings(method="weights"))
    texts = [text[:80] for text in review_lines[100:110]]
    one, two = (
        np.array([row["embedding"] for row in answer(engine, texts)])
        for engine in (open_engine(e5_base, prefer="torch"), open_engine(small, prefer="openvino"))
    )
    assert (one * two).sum(1).min() > 0.995
    trained, compressed = size_of(small)
    assert compressed < 0.3 * trained


def test_a_folder_that_holds_an_engine_keeps_it_when_another_is_made_from_it(classifier: Path, tmp_path: Path):
    first = quantize(classifier, SHOWN, tmp_path / "first", CompressSettings(method="float"))
    before = {path: path.read_bytes() for path in (first / "engine").iterdir()}
    second = quantize(first, SHOWN, tmp_path / "second", CompressSettings(method="weights"))
    assert {path: path.read_bytes() for path in (first / "engine").iterdir()} == before
    verify(first)
    assert read_manifest(second).facts["engine"]["method"] == "weights"


def test_without_a_passed_certificate_it_serves_as_trained(classifier: Path, tmp_path: Path):
    trial = quantize(classifier, SHOWN, tmp_path / "trial", CompressSettings(method="weights"))
    assert best_kind(trial) == "torch"
    assert best_kind(seal(trial, tmp_path / "refused", {"passed": False})) == "torch"
    sealed = seal(trial, tmp_path / "sealed", {"passed": True})
    assert best_kind(sealed) == "openvino"
    assert "certificate.json" in verify(sealed).files
    assert answer(open_engine(sealed), TEXTS[:2])[0]["label"] in LABELS


def test_the_choice_of_texts_depends_on_the_seed_alone():
    drawn: Callable = lambda seed: choose(IDS, CompressSettings(samples=8, seed=seed))  # noqa: E731
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(choose(IDS, CompressSettings(samples=500))) == len(IDS)


def test_bad_input_is_plain_errors(classifier: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no text to calibrate on"):
        quantize(classifier, [], tmp_path / "out", CompressSettings())
    with pytest.raises(SettingError, match="causal"):
        quantize(make_causal(tmp_path / "c"), SHOWN, tmp_path / "out", CompressSettings())
    with new_folder(net := tmp_path / "net", kind="model") as folder:
        folder.facts.update(task="numeric", labels=["a", "b"], max_length=8)
    with pytest.raises(SettingError, match="net over numbers"):
        quantize(net, SHOWN, tmp_path / "out", CompressSettings())
    assert not (tmp_path / "out").exists()
