"""Draw the captioned tree of the house; `python tests/contracts/tree.py` writes it into docs/house.md, and docs/reference anew."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ORDER = [
    "core",
    "text",
    "tasks",
    "make",
    "infer",
    "lake",
    "server",
    "apps",
    "grow",
    "api",
    "console",
    "cli",
    "corpus",
    "tokens",
    "models",
    "training",
    "loop",
    "parallel",
    "objectives",
    "pretrain",
    "finetune",
    "search",
    "kernels",
    "evaluate",
    "compress",
    "http",
    "guard",
    "log",
    "series",
    "users",
    "market",
    "forecast",
    "promote",
    "answers",
    "report",
]
"""Folders in the order in which work flows through them; any other comes after, by name."""
BEGIN, END = "<!-- tree: begin -->", "<!-- tree: end -->"
WIDTH = 28
NAMED = [REPOSITORY / "docs" / name for name in ("house.md", "house.zh-CN.md", "index.md", "index.zh-CN.md")]
"""Pages whose links to files are named by the files' paths."""


def caption(file: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return words.splitlines()[0].rstrip(".") if words else ""


def draw(folder: Path, depth: int = 1) -> list[str]:
    """Return the lines of the tree below a package: each module and package with its caption."""
    lines = []
    for file in sorted(folder.glob("*.py")):
        if not file.name.startswith("__"):
            lines.append(line(file.name, caption(file), depth))
    packages = [path for path in folder.iterdir() if (path / "__init__.py").exists()]
    rank = {name: position for position, name in enumerate(ORDER)}
    for package in sorted(packages, key=lambda path: (rank.get(path.name, len(ORDER)), path.name)):
        lines.append(line(package.name + "/", caption(package / "__init__.py"), depth))
        lines += draw(package, depth + 1)
    return lines


def line(name: str, words: str, depth: int) -> str:
    """Return one line of the tree."""
    return f"{'  ' * depth + name:<{WIDTH}} {words}".rstrip()


def block() -> str:
    """Return the tree as it stands in docs/house.md."""
    return "\n".join([BEGIN, "```text", "noria/", *draw(REPOSITORY / "noria"), "```", END])


def parts(text: str) -> tuple[str, str, str]:
    """Return what stands before the tree in a page, the tree, and what stands after it."""
    before, rest = text.split(BEGIN, 1)
    tree, after = rest.split(END, 1)
    return before, BEGIN + tree + END, after


def named(text: str) -> str:
    """Return a page with each link to a file of noria named by the path that it leads to."""

    def link(found: re.Match[str]) -> str:
        return f"[{'noria/' if found[1].startswith('noria/') else ''}{found[2]}](../noria/{found[2]})"

    return re.sub(r"\[(\w+/[\w/.]+)\]\(\.\./noria/([\w/.]+)\)", link, text)


if __name__ == "__main__":
    for page in NAMED:
        page.write_text(named(page.read_text(encoding="utf-8")), encoding="utf-8")
    page = REPOSITORY / "docs" / "house.md"
    before, _, after = parts(page.read_text(encoding="utf-8"))
    page.write_text(before + block() + after, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "tests.contracts.reference"], cwd=REPOSITORY, check=True)
