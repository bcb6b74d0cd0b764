"""Every page is found from the index, every link ends at a heading that is there, and the reference says what the code says."""

import ast
import re
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

import noria
from tests.contracts.reference.markdown import AGAIN, anchor
from tests.contracts.reference.pages import FOLDER, pages
from tests.contracts.tree import NAMED, REPOSITORY, named

DOCS = REPOSITORY / "docs"
INDEX, CHINESE = DOCS / "index.md", DOCS / "index.zh-CN.md"
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])
LEAST_FEATURES = 10


def links(text: str) -> list[str]:
    """Return where the links of a page lead, those to other sites left out."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", plain) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them; a heading that comes again gets a number."""
    found: dict[str, int] = {}
    plain = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    made = set()
    for heading in re.findall(r"^#{1,6} (.+)$", plain, re.MULTILINE):
        name = anchor(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip())
        made.add(f"{name}-{found[name]}" if found.get(name) else name)
        found[name] = found.get(name, 0) + 1
    return made


def linked(page: Path) -> set[Path]:
    """Return the files and folders that a page links."""
    return {
        (page.parent / target.split("#")[0]).resolve()
        for target in links(page.read_text(encoding="utf-8"))
        if not target.startswith("#")
    }


def translated(page: Path) -> Path:
    return page.with_name(page.name.replace(".md", ".zh-CN.md"))


def test_every_page_is_linked_from_the_index():
    assert set(DOCS.rglob("*.md")) - {INDEX} - linked(INDEX) == set()


def test_the_chinese_index_links_every_page_in_chinese_where_there_is_one():
    english = {page for page in DOCS.rglob("*.md") if not page.name.endswith(".zh-CN.md")} - {INDEX}
    wanted = {translated(page) if translated(page).exists() else page for page in english}
    assert wanted - linked(CHINESE) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_headings_that_are_there(page):
    for target in links(page.read_text(encoding="utf-8")):
        name, _, wanted = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        if wanted and other.suffix == ".md":
            assert wanted in anchors(other), target


@cache
def defined(module: str) -> set[str] | None:
    """Return the names that a module of noria defines or imports, and its modules where it is a package; None: no such module."""
    path = REPOSITORY / module.replace(".", "/")
    lazily = noria._PLACES.get(module.removeprefix("noria."))
    if lazily == module.removeprefix("noria."):  # a part of the Python API, such as noria.promote
        path = REPOSITORY / "noria" / "api" / lazily
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists():
        return None
    names = {one.stem for one in path.iterdir()} if path.is_dir() else set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name for one in node.names}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_python_in_the_pages_imports_what_is_there(page):
    text = page.read_text(encoding="utf-8")
    said = [(module, name) for module, name in re.findall(r"`(noria(?:\.[a-z_]+)+)\.(\w+)\b", text)]
    for line in re.findall(r"^ *from (noria[\w.]* import [^(#\n]+)$", text, re.MULTILINE):
        module, names = line.split(" import ")
        said += [(module, name.split(" as ")[0].strip()) for name in names.split(",")]
    for module, name in said:
        names = defined(module)
        assert names is not None, f"no module {module}"
        assert name in names, f"{module} has no {name}"


@pytest.mark.parametrize("index", [INDEX, CHINESE], ids=lambda path: path.name)
def test_features_lead_to_a_page_and_to_the_file_that_does_it(index):
    features = index.read_text(encoding="utf-8").rsplit("\n## ", 1)[1]
    rows = [line for line in features.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= LEAST_FEATURES
    for row in rows:
        page, code = ((DOCS / target.split("#")[0]).resolve() for target in links(row))
        assert page.suffix == ".md", row
        assert code.is_relative_to(REPOSITORY / "noria"), row


@pytest.mark.parametrize("page", ["house.md", "house.zh-CN.md"])
def test_each_journey_goes_one_way_through_files_that_are_there(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    journeys = [part for part in text.split("\n## ")[1:] if "\n1. " in part]
    assert len(journeys) == 3
    for journey in journeys:
        steps = re.findall(r"^(\d+)\. ", journey, re.MULTILINE)
        assert steps == [str(number) for number in range(1, len(steps) + 1)]
        passed = [target for target, _ in groupby(one for one in links(journey) if one.startswith("../noria/"))]
        assert len(passed) > len(steps)
        assert len(set(passed)) == len(passed), "a file is come back to"


@pytest.mark.parametrize("page", NAMED, ids=lambda path: path.name)
def test_a_link_to_a_file_is_named_by_its_path(page):
    text = page.read_text(encoding="utf-8")
    assert named(text) == text, "run: python tests/contracts/tree.py"


def test_the_reference_says_what_the_code_says():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    made = pages()
    assert set(written) == set(made), f"run: {AGAIN}"
    stale = [name for name in made if made[name] != written[name]]
    assert not stale, f"docs/reference is older than the code ({', '.join(stale)}); run: {AGAIN}"
