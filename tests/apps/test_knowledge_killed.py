"""A run that is killed with SIGKILL at any step leaves a base that answers as before or as after it, and the same command ends it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from noria.apps.support.faq import read_faq
from noria.apps.support.knowledge.base import Knowledge
from noria.apps.support.knowledge.building import PassageEmbedder, build
from noria.apps.support.knowledge.quotes import Quote
from noria.apps.support.knowledge.store import Store
from noria.core.errors import FolderError

KILLS = 5
QUESTIONS = (
    "How long is the warranty of the lamp?",
    "How is the shade cleaned?",
    "保修期多久？",
    "What does a battery cost?",
    "When are you open on Sundays?",
)
BEFORE = {
    "lamp.md": "# Lamp\n\n## Warranty\n\nThe lamp has a warranty of 24 months.\n\n## Cleaning\n\nWipe the shade with a dry cloth.\n",
    "台灯.md": "# 台灯\n\n## 保修\n\n整机保修两年，电池保修一年。\n",
    "prices.csv": "product,price\nlamp,49 euros\nspare battery,12 euros\n",
    "faq.csv": "question,answer\nWhere is your shop?,In Lamp Street 3.\n",
    "rules.csv": "words,answer\nparking,Behind the house.\n",
}
AFTER = {
    "lamp.md": "# Lamp\n\n## Warranty\n\nThe lamp has a warranty of 36 months.\n\n## Cleaning\n\nWash the shade by hand.\n",
    "manual/台灯.md": BEFORE["台灯.md"],
    "faq.csv": "question,answer\nWhere is your shop?,In Battery Street 5.\n",
    "hours.md": "# Hours\n\nOn Sundays we are open from 10 to 12.\n",
    "rules.csv": BEFORE["rules.csv"],
}
KILLER = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from test_knowledge_killed import embedder, points
from noria.apps.support.knowledge.building import build

team, start, folder = map(Path, sys.argv[1:])
steps, last, out = 0, 0, ""

def step(*_):
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(event, given):
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and out and str(given[0]).startswith(out):
        step()

connect = sqlite3.connect

def connected(*given, **settings):
    database = connect(*given, **settings)
    database.set_trace_callback(step)
    return database

sqlite3.connect = connected
sys.addaudithook(watch)

def run(name, at):
    global steps, last, out
    target = folder / name
    if start.is_dir():
        shutil.copytree(start, target)
    steps, last, out = 0, at, str(target)
    build([team], target, embedder=embedder())
    out = ""

def forked(name, at):
    child = os.fork()
    if not child:
        run(name, at)
        (folder / "steps").write_text(str(steps))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert forked("whole", 0) == 0
for at in points(int((folder / "steps").read_text())):
    assert forked(f"killed-{at}", at) == -signal.SIGKILL
"""


def points(steps: int) -> list[int]:
    """Draw the steps at which a run is killed, its last ones among them."""
    return sorted({*random.Random(steps).sample(range(1, steps + 1), KILLS), steps - 1, steps})


def embedder() -> PassageEmbedder:
    """Embed by counts of letters: no model, and vectors that mean something."""

    def letters(texts: Sequence[str]) -> np.ndarray:
        rows = np.array(
            [[text.lower().count(one) + 1e-3 for one in "abcdefghijklmnopqrstuvwxyz保修"] for text in texts]
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return PassageEmbedder("letters", letters, letters)


def answers(folder: Path) -> list[Quote | None]:
    base = Knowledge.open(folder)
    try:
        return [base.find(question, embedder().probe([question])[0]) for question in QUESTIONS]
    finally:
        base.close()


def team(folder: Path, files: dict[str, str]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("start", ["no base", "an older base"])
def test_a_run_that_is_killed_at_any_step_ends_as_if_it_never_was(tmp_path: Path, start: str) -> None:
    older = tmp_path / "older"
    before: list[Quote | None] | None = None
    if start == "an older base":
        build([team(tmp_path / "team", BEFORE)], older, embedder=embedder())
        before = answers(older)
    team(tmp_path / "team", AFTER)
    runs = tmp_path / "runs"
    runs.mkdir()
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path / "team"), str(older), str(runs)],
        env={
            **os.environ,
            "PYTHONPATH": f"{root}:{Path(__file__).parent}",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        },
        cwd=root,
        check=True,
    )
    after = answers(runs / "whole")
    assert before is None or all(one != other for one, other in zip(before, after, strict=True))
    killed = sorted(runs.glob("killed-*"))
    assert len(killed) >= KILLS
    for folder in killed:
        if (folder / "index").is_dir():  # not so before a first run has written it, and between its two names
            assert answers(folder) in (before, after)
        else:
            with pytest.raises(FolderError):
                Knowledge.open(folder)
        built = build([tmp_path / "team"], folder, embedder=embedder())
        assert answers(folder) == after
        assert json.loads((folder / "faq.jsonl").read_text(encoding="utf-8"))["answer"] == "In Battery Street 5."
        assert built.passages == 4
        for file in sorted((runs / "whole" / "index").glob("*.npy")):
            assert file.read_bytes() == (folder / "index" / file.name).read_bytes()
        assert not list(folder.glob(".*.part"))


def test_a_file_of_another_name_is_quoted_by_it_and_one_that_is_gone_by_none(tmp_path: Path) -> None:
    build([team(tmp_path / "team", BEFORE)], tmp_path / "kb", embedder=embedder())
    (tmp_path / "team" / "lamp.md").rename(tmp_path / "team" / "lantern.md")
    built = build([tmp_path / "team"], tmp_path / "kb", embedder=embedder())
    assert (built.read, built.removed) == (["lantern.md"], ["lamp.md"])
    quote = answers(tmp_path / "kb")[0]
    assert quote is not None
    assert (quote.source, quote.text) == ("lantern.md", "The lamp has a warranty of 24 months.")
    (tmp_path / "team" / "lantern.md").unlink()
    assert build([tmp_path / "team"], tmp_path / "kb", embedder=embedder()).removed == ["lantern.md"]
    assert all(quote is None or quote.source != "lantern.md" for quote in answers(tmp_path / "kb"))


class StoppedError(Exception):
    """Ends a run in the middle of its embeddings."""


def test_a_large_base_answers_by_words_while_it_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [team(tmp_path / "team", BEFORE)]
    build(sources, tmp_path / "words")
    build(sources, tmp_path / "whole", embedder=embedder())
    monkeypatch.setattr("noria.apps.support.knowledge.building.LATER", 3)
    monkeypatch.setattr("noria.apps.support.knowledge.building.BATCH", 2)
    opened: list[Knowledge] = []

    def looking(texts: Sequence[str]) -> np.ndarray:
        if not opened:
            opened.append(Knowledge.open(tmp_path / "kb"))
        elif len(opened) == 1:
            opened.append(opened[0])
            raise StoppedError
        assert answers(tmp_path / "kb") == answers(tmp_path / "words")
        assert (tmp_path / "kb" / "faq.jsonl").is_file()
        return embedder().embed(texts)

    slow = PassageEmbedder("letters", looking, embedder().probe)
    with pytest.raises(StoppedError):
        build(sources, tmp_path / "kb", embedder=slow)
    assert answers(tmp_path / "kb") == answers(tmp_path / "words")
    assert build(sources, tmp_path / "kb", embedder=slow).embedded == 2  # the other two were kept
    assert answers(tmp_path / "kb") == answers(tmp_path / "whole")
    assert [opened[0].find(one, embedder().probe([one])[0]) for one in QUESTIONS] == answers(tmp_path / "whole")
    (tmp_path / "team" / "lamp.md").write_text(AFTER["lamp.md"], encoding="utf-8")
    monkeypatch.setattr("noria.apps.support.knowledge.building.LATER", 1)

    def not_by_words(texts: Sequence[str]) -> np.ndarray:
        assert answers(tmp_path / "kb") == answers(
            tmp_path / "whole"
        )  # most passages have theirs: it answers as before
        return embedder().embed(texts)

    build(sources, tmp_path / "kb", embedder=PassageEmbedder("letters", not_by_words, embedder().probe))


def test_a_large_base_answers_by_beginnings_before_all_is_embedded_and_ends_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [team(tmp_path / "team", BEFORE)]
    beginnings = replace(
        embedder(), model="beginnings", embed=lambda texts: embedder().embed([one[:9] for one in texts])
    )
    for name, one in {"words": None, "whole": embedder(), "beginnings": beginnings}.items():
        build(sources, tmp_path / name, embedder=one)
    monkeypatch.setattr("noria.apps.support.knowledge.building.LATER", 1)
    monkeypatch.setattr("noria.apps.support.knowledge.building.BATCH", 1)
    steps = []

    def looking(texts: Sequence[str], name: str, stop: bool) -> np.ndarray:
        if not any(text in bundled for text in texts):
            steps.append(name)
            assert answers(tmp_path / "kb") == answers(tmp_path / ("beginnings" if name == "whole" else "words"))
            if stop and steps.count(name) == 2:
                raise StoppedError
        return (beginnings if name == "brief" else embedder()).embed(texts)

    bundled = {answer for entry in read_faq().entries for answer in entry.answers.values()}

    def slow(stop: str = "") -> PassageEmbedder:
        one, other = (
            replace(held, embed=partial(looking, name=name, stop=stop == name))
            for name, held in (("brief", beginnings), ("whole", embedder()))
        )
        return replace(other, brief=one)

    monkeypatch.setattr("noria.apps.support.knowledge.building.WINDOW", 1)
    for stop in ("brief", "whole"):
        with pytest.raises(StoppedError):
            build(sources, tmp_path / "kb", embedder=slow(stop))
    build(sources, tmp_path / "kb", embedder=slow())
    # Of four passages one was embedded before each of the two kills, and none twice.
    assert Counter(steps) == {"brief": 2 + 3, "whole": 2 + 3}
    assert answers(tmp_path / "kb") == answers(tmp_path / "whole")
    for file in sorted((tmp_path / "whole" / "index").glob("*.npy")):
        assert file.read_bytes() == (tmp_path / "kb" / "index" / file.name).read_bytes()
    store = Store(tmp_path / "kb")
    assert not store.known_vectors("beginnings")
    store.close()


def test_while_a_base_is_made_anew_it_answers_as_before(tmp_path: Path) -> None:
    build([team(tmp_path / "team", BEFORE)], tmp_path / "kb", embedder=embedder())
    before = answers(tmp_path / "kb")
    opened = Knowledge.open(tmp_path / "kb")
    team(tmp_path / "team", AFTER)
    seen = []

    def looking(texts: Sequence[str]) -> np.ndarray:
        seen.append(answers(tmp_path / "kb"))
        seen.append([opened.find(question, embedder().probe([question])[0]) for question in QUESTIONS])
        return embedder().embed(texts)

    build([tmp_path / "team"], tmp_path / "kb", embedder=PassageEmbedder("letters", looking, embedder().probe))
    assert seen
    assert all(one == before for one in seen)
    assert [opened.find(question, embedder().probe([question])[0]) for question in QUESTIONS] == answers(
        tmp_path / "kb"
    )
    assert answers(tmp_path / "kb") != before
