"""The graph of imports: no circle between files, wherever the imports stand; and no folder that a tool would pass by."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IGNORED = {
    *("build", "dist", "sdist", "wheels", "eggs", "parts", "lib", "lib64", "bin", "obj", "out", "target", "var", "tmp"),
    *("downloads", "env", "venv", "site", "instance", "cover", "htmlcov", "vendor", "node_modules", "site-packages"),
}
"""Folders that templates of .gitignore for Python, or linters and test runners by themselves, pass by."""

SMALL = 60
"""Lines below which a file that only one other imports repays no opening of its own."""
KEPT_SMALL = {
    "noria.__main__": "what `python -m noria` runs",
    "noria.cli.run": "a command of its own, each of which is a file",
    "noria.cli.doctor": "a command of its own, each of which is a file",
    "noria.cli.demo.serve": "a stage of the demo, each of which is a file",
    "noria.cli.grow.joint": "a command of its own, each of which is a file",
    "noria.cli.grow.promote.size": "a command of its own, each of which is a file",
    "noria.cli.grow.promote.policy": "a command of its own, each of which is a file",
    "noria.grow.market.nested": "names inside other names: `share` would be over 400 lines with it",
    "noria.make.evaluate.beside": "what a certificate asks of evaluation, which compression does not import: the API hands it over",
    "noria.server.http.moderation": "a route of OpenAI's API, each of which is a file",
    "noria.text.article": "a parser of the confined process, each of which is a file, opened by its name",
}
"""Modules that are small and imported once, and why they stand alone."""


def modules() -> dict[str, Path]:
    """Return every module of noria and benchmarks, by its name."""
    files = [file for root in ("noria", "benchmarks") for file in (REPOSITORY / root).rglob("*.py")]
    named = {".".join(file.relative_to(REPOSITORY).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


def imported(module: str, known: dict[str, Path]) -> set[str]:
    """Return the modules that a module imports: at its top, in its functions, or only for its types."""
    package = module if known[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(known[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{one.name}") in known else base for one in node.names}
    return found & known.keys() - {module}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {module: imported(module, known) for module in known}


def test_the_graph_sees_imports_of_every_kind(graph: dict[str, set[str]]):
    assert "noria.infer.torch" in graph["noria.infer.choose"]  # in a function
    assert "noria.server.http.state" in graph["noria.server.http.facts"]  # relative
    assert "noria.infer.scheduler" in graph["noria.infer.engine"]  # for its types only


def test_no_file_imports_itself_by_way_of_others(graph: dict[str, set[str]]):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_folder_is_on_an_ignore_list():
    folders = {
        file.parent.relative_to(REPOSITORY) for root in ("noria", "tests") for file in (REPOSITORY / root).rglob("*.py")
    }
    assert not [str(folder) for folder in folders if IGNORED & set(folder.parts)]


def test_every_package_says_what_it_is():
    bare = [
        str(folder.relative_to(REPOSITORY))
        for folder in {file.parent for file in (REPOSITORY / "noria").rglob("*.py")}
        if not (folder / "__init__.py").is_file() or not (folder / "__init__.py").read_text(encoding="utf-8").strip()
    ]
    assert not bare, "a package folder without a first line"


def test_a_small_file_with_one_importer_has_a_reason(graph: dict[str, set[str]]):
    known = modules()
    importers = {module: sum(module in found for found in graph.values()) for module in known}
    small = {
        module
        for module, file in known.items()
        if module.startswith("noria") and file.name != "__init__.py" and importers[module] <= 1
        if len(file.read_text(encoding="utf-8").splitlines()) < SMALL
    }
    assert small == KEPT_SMALL.keys(), "merge it with what it serves, or say why not; and forget what is no longer so"
