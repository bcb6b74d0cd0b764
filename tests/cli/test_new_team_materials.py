"""Eight things that a team has, each from its file to a result by commands as the page shows them; `benchmarks workbench` walks the same with real models."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from causal_families import build
from made_files import sheet
from tiny_models import causal_tokenizer, make_encoder

from benchmarks.workbench_materials import MATERIALS, Material, lines_of, walk
from noria.cli.main import main
from tests.pages import commands

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"en": DOCS / "workbench.md", "zh": DOCS / "workbench.zh-CN.md"}
LANGUAGES = ("en", "zh")
LONG = "noria grow forecast"
"""What the benchmark alone types: it takes longer than all the rest."""
MOST_COMMANDS = 4


@pytest.fixture(scope="module")
def bases(quiet: None, embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models in the place of those that arrive in packages; that which chats as hubs have it, without a manifest."""
    folder = tmp_path_factory.mktemp("bases")
    make_encoder(folder / "encoder", "embed", [], 2, compiled=False)
    (folder / "decoder").mkdir()
    size = causal_tokenizer(folder / "decoder")
    build("qwen3", vocab_size=size, max_position_embeddings=256).save_pretrained(folder / "decoder")
    return {"model": embedder, "base": folder / "encoder", "smollm2": folder / "decoder"}


class Terminal:
    """A terminal in which a command takes a moment: small models in the place of large ones, two steps in that of minutes."""

    def __init__(self, bases: dict[str, Path], patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.bases, self.patch, self.capsys = bases, patch, capsys

    def run(self, words: list[str], folder: Path) -> str:
        """Run a command in a folder; return what it printed.

        Raises:
            RuntimeError: it failed.
        """
        self.patch.chdir(folder)
        if words[:2] == ["build", "base"]:
            out = words[words.index("--out") + 1]
            shutil.copytree(self.bases.get(words[2], self.bases[out]), out)
            return ""
        if "--minutes" in words:
            at = words.index("--minutes")
            words = [*words[:at], "--steps", "2", "--max-length", "64", *words[at + 2 :]]
        self.capsys.readouterr()
        code = main(words)
        shown = self.capsys.readouterr()
        if code:
            raise RuntimeError(f"{code}: {shown.err}")
        return shown.out + shown.err


@pytest.fixture
def terminal(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(bases, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("material", "language"),
    [pytest.param(one, LANGUAGES[at % 2], id=one.name) for at, one in enumerate(MATERIALS)],
)
def test_each_comes_to_a_result_by_a_few_commands(
    material: Material, language: str, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORIA_LANG", language)
    short = replace(material, commands=tuple(one for one in material.commands if not one.startswith(LONG)))
    walked = walk(short, tmp_path, terminal.run)
    assert walked.reached, walked.words
    assert walked.commands <= MOST_COMMANDS
    if material.leaves.endswith(".csv"):
        with (tmp_path / material.leaves).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert {row["user"] for row in rows} == {"u01", "u02", "u03"}
        assert len(rows) == 15
        assert any(row["why"] == "taste" for row in rows)  # what they clicked before is known


def test_a_faq_may_be_a_sheet(terminal: Terminal, tmp_path: Path) -> None:
    faq = MATERIALS[0]
    name = "常见问题.csv"

    def write(folder: Path, site: str) -> None:
        faq.write(folder, site)
        with (folder / name).open(encoding="utf-8-sig", newline="") as stream:
            rows: list[list[object]] = [list(row) for row in csv.reader(stream)]
        (folder / name).unlink()
        (folder / "faq.xlsx").write_bytes(sheet(rows))

    brought = replace(faq, write=write, commands=tuple(one.replace(name, "faq.xlsx") for one in faq.commands))
    walked = walk(brought, tmp_path, terminal.run)
    assert walked.reached, walked.words


def test_what_comes_to_no_result_counts_as_none(terminal: Terminal, tmp_path: Path) -> None:
    def nothing(folder: Path, site: str) -> None:
        """Bring nothing."""

    missing = Material("missing", nothing, ("noria grow users nowhere.csv",), "")
    otherwise = Material("another result", MATERIALS[5].write, MATERIALS[5].commands, "no line says this")
    walked = [walk(one, tmp_path, terminal.run) for one in (missing, otherwise)]
    assert not any(one.reached for one in walked)
    assert "nowhere.csv" in walked[0].words
    lines = lines_of(walked)
    assert {line.ratio for line in lines} == {0.0}
    assert any(line.peer_name.startswith("wanted") for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_these_commands(language: str) -> None:
    shown = [" ".join(words) for words in commands(PAGES[language])]
    for material in MATERIALS:
        for line in material.commands:
            typed = line.format(url="http://localhost:8400").replace("'", "")
            assert typed in shown, f"{material.name}: {typed}"
