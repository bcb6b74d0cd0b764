"""Names are words of the field: none of `noria/` holds a word that the glossary in CONTRIBUTING.md replaces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HAN = re.compile(r"[\u4e00-\u9fff]")
EXCEPTIONS = {
    "noria.apps.settings.RecommendSettings.chance": "a flag and a key of noria.toml",
    "noria.grow.market.settings.DriverSettings.chance": "a flag and a key of noria.toml",
    "noria.apps.support.channels.dingtalk.DingTalk": "a platform's name",
    "noria.apps.support.channels.settings.DingTalkChannel": "a platform's name",
    "noria.cli.events.reconcile.told": "a flag, --told",
    "noria.lake.tables._Pieces.tell": "a method of Python's files",
    "noria.server.http.rollout.VersionsTold": "the name of a schema in the API's OpenAPI document",
}


def glossary() -> list[tuple[str, ...]]:
    """Return the rows of the glossary: idea, our term, Chinese, words that are not used."""
    part = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Words\n")[2]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows[2:]]


def words_of(name: str) -> str:
    """Return a name's words in small letters, each between underscores.

    >>> words_of("VersionsTold"), words_of("_is_said")
    ('_versions_told_', '_is_said_')
    """
    return f"_{'_'.join(re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+', name)).lower()}_"


def defined(tree: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    """Yield the full name and the own name of all that a module defines."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{place}.{node.name}"
            yield inside, node.name
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
            yield from ((f"{inside}.{one.arg}", one.arg) for one in every if one is not None)
            yield from defined(node, inside)
        elif isinstance(node, ast.ClassDef):
            yield f"{place}.{node.name}", node.name
            yield from defined(node, f"{place}.{node.name}")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(tree, ast.ClassDef):
            yield f"{place}.{node.target.id}", node.target.id
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from defined(node, place)


def names() -> Iterator[tuple[str, str]]:
    """Yield all names that are defined in noria, its modules among them."""
    for file in sorted((ROOT / "noria").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield module, module.rpartition(".")[2]
        yield from defined(ast.parse(file.read_text(encoding="utf-8")), module)


def test_no_name_holds_a_word_that_the_glossary_replaces() -> None:
    instead = {word: row[1] for row in glossary() for word in re.findall(r"`(\w+)`", row[3])}
    assert len(instead) > 25
    found = {full: word for full, name in names() for word in instead if f"_{word}_" in words_of(name)}
    wrong = [f"{full}: {instead[word]}, not {word}" for full, word in found.items() if full not in EXCEPTIONS]
    assert not wrong, "\n".join(wrong)
    assert set(found) == set(EXCEPTIONS), "an exception that no name needs goes"


def test_the_walk_sees_every_kind_of_name() -> None:
    source = "class A:\n    b: int = 0\n\n    def c(self, d, *, e):\n        if d:\n            def f(g): ...\n"
    assert {name for _, name in defined(ast.parse(source), "m")} == {"A", "b", "c", "self", "d", "e", "f", "g"}


@pytest.mark.parametrize("row", glossary(), ids=lambda row: row[0])
def test_a_term_has_its_idea_its_chinese_and_what_it_replaces(row: tuple[str, ...]) -> None:
    assert len(row) == 4
    assert all(row)
    assert HAN.search(row[2])
    assert not HAN.search(row[1])
