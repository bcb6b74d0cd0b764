"""`noria build tokenizer`, `noria build compress`, and the compression stage of the main job."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tiny_models import LABELS, TEXTS, make_encoder

from noria.cli.demo.compress import STAGE
from noria.cli.demo.settings import Context, DemoSettings
from noria.cli.main import main
from noria.core.figure import Figure
from noria.core.folder import read_manifest, verify
from noria.core.progress import Report
from noria.infer.choose import best_kind


def rows_file(path: Path, spans: bool = False) -> Path:
    """Write the tiny texts as rows of classify, and of tag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"text": text, "label": LABELS[place % 2]} for place, text in enumerate(TEXTS * 2)]
    if spans:
        rows = [{"text": row["text"], "spans": [{"start": 0, "end": 2, "label": "place"}]} for row in rows]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_tokenizer_is_trained_from_a_corpus_folder(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = rows_file(tmp_path / "corpus" / "reviews" / "train.jsonl")
    rows_file(tmp_path / "corpus" / "reviews" / "test.jsonl")
    code = main(["build", "tokenizer", str(tmp_path / "corpus"), "--out", str(tmp_path / "t"), "--vocab-size", "600"])
    assert code == 0
    manifest = verify(tmp_path / "t")
    assert manifest.kind == "tokenizer"
    assert [source.name for source in manifest.sources] == [file.name]
    assert manifest.facts["texts"] == 2 * len(TEXTS) - 1  # one is held out
    assert "characters/token" in capsys.readouterr().err


def test_a_tokenizer_too_small_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = rows_file(tmp_path / "rows.jsonl")
    assert main(["build", "tokenizer", str(file), "--out", str(tmp_path / "t"), "--vocab-size", "9"]) == 2
    assert capsys.readouterr().err == "noria: vocab_size is out of range: found 9; allowed 512 to 1,000,000\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run that has come to compression, with tiny models."""
    root = tmp_path_factory.mktemp("run")
    make_encoder(root / "sentiment", "classify", LABELS, 2, compiled=False)
    make_encoder(root / "entities", "tag", ["person", "place"], 5, compiled=False)
    make_encoder(root / "e5", "embed", [], 2, compiled=False)
    for name in ("reviews", "entities", "news"):
        for split in ("train", "test"):
            rows_file(root / "corpus" / name / f"{split}.jsonl", spans=name == "entities")
    return root


def test_a_model_that_is_refused_leaves_nothing(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    rows = str(tiny / "corpus" / "news" / "test.jsonl")
    out = tmp_path / "small"
    arguments = ["--calibration", rows, "--rows", rows, "--out", str(out), "--agreement", "1.0", "--method", "int8"]
    assert main(["build", "compress", str(tiny / "e5"), *arguments]) == 3
    told = capsys.readouterr().err
    assert "noria: no certificate: " in told
    assert "agreement" in told.split("noria: no certificate: ")[1]
    assert list(tmp_path.iterdir()) == []


def test_the_stage_gives_every_model_its_certificate_and_keeps_what_is_done(tiny: Path):
    context = Context(tiny, DemoSettings(out=tiny, quick=True), Report(stream=io.StringIO()))
    result = STAGE.run(context)
    written = {}
    for name in ("sentiment", "entities", "embed"):
        folder = tiny / f"{name}-served"
        verify(folder)
        certificate = json.loads((folder / "certificate.json").read_text())
        assert result.facts[name] == certificate
        # Whether so tiny a model gets faster is the machine's to say; what then serves is not.
        assert (best_kind(folder) != "torch") == certificate["passed"]
        assert read_manifest(folder).facts["certified"] == certificate["passed"]
        assert ("certified" in result.line.split(name)[1].split(";")[0]) == certificate["passed"]
        assert {Figure(**figure).name for figure in certificate["figures"]} >= {"agreement", "speed in batches", "size"}
        written[name] = (folder / "noria.json").stat().st_ino
    assert {"sentiment: accuracy above trained model", "entities: span F1", "embed: agreement"} <= {
        figure.name for figure in result.figures
    }
    assert [path.name for path in tiny.glob(".*.part")] == []
    # Cut short after two models: the third is made again, the two are left alone.
    (tiny / "embed-served" / "certificate.json").unlink()
    again = STAGE.run(context)
    assert [figure for figure in again.figures if not figure.name.startswith("embed")] == [
        figure for figure in result.figures if not figure.name.startswith("embed")
    ]
    inodes = {name: (tiny / f"{name}-served" / "noria.json").stat().st_ino for name in written}
    assert {name for name in written if inodes[name] != written[name]} == {"embed"}
