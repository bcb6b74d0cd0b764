"""`noria build clean`: a corpus folder, whole or not at all, that goes on after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noria.cli.main import main
from noria.core.errors import FolderError, InputError
from noria.core.folder import read_manifest, sha256_file, verify
from noria.make.corpus import build
from noria.make.corpus.build import build_corpus
from noria.make.corpus.settings import CleanSettings


def _rows(file: Path, count: int, start: int = 0) -> Path:
    words = ["春天", "江南", "湖边", "花开", "garden", "rain", "walked", "回家", "喝茶", "lake", "笑了", "从前"]
    with file.open("w", encoding="utf-8") as stream:
        for number in range(start, start + count):
            text = " ".join(
                words[(number * step * step + number // step) % len(words)] + str(number * step) for step in range(1, 8)
            )
            stream.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    return file


def _documents(folder: Path) -> dict[str, list[dict[str, object]]]:
    return {
        name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "valid", "test")
    }


def test_the_folder_names_its_sources_settings_and_counts(tmp_path: Path) -> None:
    source = _rows(tmp_path / "rows.jsonl", 200)
    out = build_corpus([source], tmp_path / "corpus", CleanSettings(seed=3), licence="CC BY 4.0")
    manifest = verify(out)
    assert manifest.kind == "corpus"
    assert manifest.settings["seed"] == 3
    assert [(entry.name, entry.sha256, entry.licence) for entry in manifest.sources] == [
        ("rows.jsonl", sha256_file(source), "CC BY 4.0")
    ]
    parts = _documents(out)
    assert sum(map(len, parts.values())) == manifest.facts["kept"] == 200
    assert {name: len(part) for name, part in parts.items()} == manifest.facts["splits"]
    assert json.loads((out / "drops.json").read_text())["rows"] == 200
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_again_is_done_at_once_and_a_change_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = _rows(tmp_path / "rows.jsonl", 50)
    out = build_corpus([source], tmp_path / "corpus")
    created = (out / "noria.json").stat().st_mtime_ns
    build_corpus([source], out)
    assert "up to date" in capsys.readouterr().err
    assert (out / "noria.json").stat().st_mtime_ns == created
    _rows(source, 60)
    assert read_manifest(build_corpus([source], out)).facts["rows"] == 60


def test_bad_rows_stop_it_or_are_counted(tmp_path: Path) -> None:
    source = _rows(tmp_path / "rows.jsonl", 30)
    with source.open("a", encoding="utf-8") as stream:
        stream.write('{"no": "text"}\nnot json\n')
    with pytest.raises(InputError, match="line 31, field 'text'"):
        build_corpus([source], tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    facts = read_manifest(build_corpus([source], tmp_path / "corpus", CleanSettings(skip_bad_rows=True))).facts
    assert facts["drops"] == {"bad row": 2}
    assert facts["rows"] == 32


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    source = _rows(tmp_path / "rows.jsonl", 30)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    with pytest.raises(FolderError, match="taken"):
        build_corpus([source], mine)
    with pytest.raises(FolderError, match="taken"):
        build_corpus([source], source)
    assert (mine / "letter.txt").read_text() == "dear"
    with pytest.raises(InputError, match="no document is left: found '30 too short'"):
        build_corpus([source], tmp_path / "corpus", CleanSettings(min_length=10_000))


def test_a_folder_of_files_is_one_source(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "deep").mkdir(parents=True)
    _rows(raw / "a.jsonl", 20)
    (raw / "deep" / "b.txt").write_bytes("春天来了，江南的花都开了，大家都笑了起来，说起从前的事情。".encode("gb18030"))
    manifest = read_manifest(build_corpus([raw], tmp_path / "corpus"))
    assert manifest.sources[0].name == "raw/ (2 files)"
    assert manifest.facts["rows"] == 21
    assert any(
        "江南" in str(document["text"]) for part in _documents(tmp_path / "corpus").values() for document in part
    )


def test_a_finished_part_is_not_cleaned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _rows(tmp_path / "rows.jsonl", 90)
    whole = build_corpus([source], tmp_path / "whole")
    monkeypatch.setattr(build, "_PART_ROWS", 20)
    cleaned: list[str] = []
    prepare = build.prepare

    def cut(documents, settings, tally):  # type: ignore[no-untyped-def]
        cleaned.extend(document.id for document in documents)
        if len(cleaned) == 50:
            raise KeyboardInterrupt
        return prepare(documents, settings, tally)

    monkeypatch.setattr(build, "prepare", cut)
    with pytest.raises(KeyboardInterrupt):
        build_corpus([source], tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    build_corpus([source], tmp_path / "corpus")
    assert cleaned[50:] == [str(number) for number in range(40, 90)]
    assert _documents(tmp_path / "corpus") == _documents(whole)
    assert read_manifest(tmp_path / "corpus").identity() == read_manifest(whole).identity()


def test_kill_9_loses_at_most_a_part(tmp_path: Path) -> None:
    source = _rows(tmp_path / "rows.jsonl", 8_000)
    command = [sys.executable, "-m", "noria", "build", "clean", str(source), "--out", str(tmp_path / "corpus")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        part = tmp_path / ".corpus.clean" / "000000.json"
        deadline = time.monotonic() + 60
        while not part.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert part.exists()
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "corpus").exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "going on after" in done.stderr
    build_corpus([source], tmp_path / "whole")
    assert read_manifest(tmp_path / "corpus").identity() == read_manifest(tmp_path / "whole").identity()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "corpus"], "nothing to clean"),
        (["none.jsonl", "--out", "corpus"], "no such file or folder: found 'none.jsonl'"),
        (["rows.jsonl"], "--out"),
        (["rows.jsonl", "--out", "corpus", "--near", "3"], "--near is not allowed: found '3'"),
        (["rows.jsonl", "--out", "corpus", "--min-lenght", "3"], "--min-length"),
        (["rows.jsonl", "--out", "corpus", "--valid-share", "0.6", "--test-share", "0.6"], "nothing for training"),
        (["rows.jsonl", "--out", "corpus", "--text-field", "body"], "line 1, field 'body': the text is missing"),
        (["rows.jsonl", "--out", "corpus", "--unit", "word"], "unit"),
    ],
)
def test_bad_input_is_one_plain_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    _rows(tmp_path / "rows.jsonl", 5)
    assert main(["build", "clean", *arguments]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("○")]
    assert len(told) == 1
    assert words in told[0]
    assert not (tmp_path / "corpus").exists()


def test_the_command_cleans_the_shared_sets(
    shared_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, language in (("zh-tech", "zh"), ("shakespeare", "en")):
        source = next((shared_corpus / name).glob("*.jsonl"))
        out = tmp_path / name
        assert main(["build", "clean", str(source), "--out", str(out), "--languages", language, "--json"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert lines[0]["event"] == "plan"
        ledger = lines[-1]
        assert ledger["event"] == "ledger"
        assert ledger["kept"] >= 0.9 * ledger["rows"]
        assert all(_documents(out).values())
