"""What pages show: their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path


def blocks(text: str, kind: str) -> list[str]:
    """Return the blocks of a kind in a page's text, in its order."""
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Return the commands of a page's shell blocks as words, in its order; comments are left out, lines that go on are one."""
    text = "".join(blocks(page.read_text(encoding="utf-8"), "bash")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]
