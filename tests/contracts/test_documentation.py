"""The documentation cannot lie: trees match the folders, commands exist and explain themselves, links lead somewhere."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.tree import REPOSITORY, block, caption, parts

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
MODULES = sorted((REPOSITORY / "noria").rglob("*.py"))
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def commands() -> list[tuple[str, ...]]:
    """Return every command of noria, as its words."""
    from noria.cli.main import app

    def walk(node, words):
        yield words
        for name in node:
            if not name.startswith("-"):
                yield from walk(node[name], (*words, name))

    return list(walk(app, ()))


def fenced(page: Path) -> list[str]:
    """Return the command lines in the fenced shell blocks of a page."""
    lines = []
    for body in re.findall(r"```(?:bash|sh|shell|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        lines += [line.strip().removeprefix("$ ") for line in body.replace("\\\n", " ").splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("#")]


def test_the_tree_in_the_page_of_the_house_is_the_tree():
    page = (REPOSITORY / "docs" / "house.md").read_text(encoding="utf-8")
    assert parts(page)[1] == block(), "run: python tests/contracts/tree.py"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_read_in_a_few_minutes(name):
    assert (REPOSITORY / name).stat().st_size <= 6 * 1024


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_figures_of_the_readme_are_measured(name):
    """Four rows of the results as they stand there, and the machine of each; words of the Chinese page are its own."""
    results = (REPOSITORY / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    readme = (REPOSITORY / name).read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines() if line.startswith("| ")]
    figures = [cells for cells in rows if len(cells) == 8][2:]
    assert len(figures) == 4
    for benchmark, *told in figures:
        section = results.split(f"\n## {benchmark}\n", 1)[1].split("\n## ", 1)[0]
        numbers = [1, 3, 4, 5, 6] if "zh" in name else range(7)
        measured = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if "|" in line]
        assert [told[place] for place in numbers] in [[cells[place] for place in numbers] for cells in measured], told
        kept = (REPOSITORY / "benchmarks" / "results" / f"{benchmark}.jsonl").read_text(encoding="utf-8")
        machines = {json.loads(line)["machine"].replace("isa native, ", "") for line in kept.splitlines()}
        assert all(machine in readme for machine in machines), benchmark


def test_the_chinese_page_of_the_house_names_every_folder():
    tree = parts((REPOSITORY / "docs" / "house.zh-CN.md").read_text(encoding="utf-8"))[1]
    named = set(re.findall(r"^\s*([a-z_]+)/", tree, re.MULTILINE))
    folders = {path.parent.name for path in MODULES if path.name == "__init__.py"}
    assert named == folders, "docs/house.zh-CN.md has a line for each folder"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_module_has_a_caption(module):
    assert caption(module), "the first line of the docstring is the caption in the tree"


def spent(*arguments: str) -> tuple[float, str]:
    """Return the processor time of a Python process, and what it printed; the clock on the wall counts whatever else the machine does."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        text = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime, text


@pytest.fixture(scope="module")
def frame_seconds() -> float:
    """Processor time that this machine takes to start Python with the frame that every command stands on: the least of five."""
    return min(spent("-c", "import cyclopts, pydantic, rich.console")[0] for _ in range(5))


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words) or "noria")
def test_every_command_answers_help_at_once_with_examples(words, frame_seconds):
    # 0.3 s on a machine that is not slowed down; torch, a web framework or a database would take several times that.
    allowed = max(0.3, 4 * frame_seconds)
    tries = (spent("-m", "noria", *words, "--help") for _ in range(5))
    seconds, text = next((one for one in tries if one[0] < allowed), (None, ""))
    assert seconds is not None, "five times"
    if words and words[0] in ("build", "ship", "grow") and len(words) == 1:
        assert "Commands" in text
    else:
        assert re.search(r"^ +noria ", text, re.MULTILINE), "the help shows no example"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_in_the_pages_exist(page):
    known = set(commands())
    for line in fenced(page):
        words = shlex.split(line, comments=True)
        words = words[1:] if words and words[0] == "time" else words
        if words[:1] == ["make"]:
            targets = [word for word in words[1:] if "=" not in word]
            assert set(targets) <= MAKE_TARGETS, line
        elif words[:1] == ["noria"]:
            names = []
            for word in words[1:]:
                if (*names, word) not in known:
                    break
                names.append(word)
            assert tuple(names) in known, line
            assert names or words[1].startswith("-"), f"unknown command: {line}"
            check_flags(tuple(names), [word for word in words if word.startswith("--")], line)


def check_flags(names: tuple[str, ...], flags: list[str], line: str) -> None:
    """Fail if a command does not know one of the flags."""
    from noria.cli.main import app

    node = app
    for name in names:
        node = node[name]
    known = {"--help", "--version", "--debug"}
    if node.default_command:
        for argument in node.assemble_argument_collection():
            known.update(argument.names)
            known.update(argument.negatives)
    for flag in flags:
        assert flag.split("=")[0] in known, f"{flag} in: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
