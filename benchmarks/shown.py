"""What the demo made, on the pages that people read first: tables filled from the kept lines of `wheel`, none typed by hand.

A page holds the place: a line `<!-- wheel -->`, and below it `<!-- /wheel -->`. `python -m benchmarks wheel --write` fills what lies
between, a column for each instruction set that was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from noria.core.figure import number
from noria.core.folder import write_bytes

from .results import kept_rows, named

Language = Literal["en", "zh"]
OPEN, CLOSE = "<!-- wheel -->\n", "<!-- /wheel -->"
PAGES: dict[str, Language] = {
    "README.md": "en",
    "README.zh-CN.md": "zh",
    "docs/first-turn.md": "en",
    "docs/first-turn.zh-CN.md": "zh",
}
SETS = {"AVX2": "avx2", "AMX": "native"}
"""Column -> the kept lines it is made of."""
ROWS: dict[str, dict[Language, str]] = {
    "the demo, from start to end": {"en": "from start to end", "zh": "从头到尾"},
    "sentiment, accuracy": {"en": "sentiment of reviews, accuracy", "zh": "评论情感，准确率"},
    "entities, span F1": {"en": "names in the newspaper, F1", "zh": "报纸中的实体，F1"},
    "pretrain, bits per byte": {"en": "pretraining, bits per byte", "zh": "预训练，每字节比特数"},
    "pretrain interpolated with the 5-gram, bits per byte": {
        "en": "the same interpolated with the 5-gram",
        "zh": "同上，与 5-gram 插值",
    },
    "compress, three models": {"en": "compressing three models", "zh": "压缩三个模型"},
}
"""Measure of a line -> its row."""
WORDS: dict[str, dict[Language, str]] = {
    "head": {"en": "what `make demo` made", "zh": "`make demo` 的结果"},
    "machine": {"en": "Machine, {isa}: {machine}.", "zh": "机器，{isa}：{machine}。"},
    "TF-IDF with logistic regression": {"en": "TF-IDF", "zh": "TF-IDF"},
    "dictionary of the training rows": {"en": "dictionary", "zh": "词典"},
    "unigram": {"en": "unigram", "zh": "unigram"},
    "5-gram, Kneser-Ney": {"en": "5-gram", "zh": "5-gram"},
}


def fill(root: Path) -> None:
    """Fill the tables of all pages below `root` that hold a place for one."""
    kept = {isa: kept_rows(root / "benchmarks" / "results", named("wheel", name)) for isa, name in SETS.items()}
    for name, language in PAGES.items():
        page = root / name
        text = page.read_text(encoding="utf-8")
        before, opened, rest = text.partition(OPEN)
        _, closed, after = rest.partition(CLOSE)
        if not opened or not closed:
            continue
        filled = "".join([before, OPEN, table(kept, language, brief=name.startswith("README")), CLOSE, after])
        if filled != text:
            write_bytes(page, filled.encode())


def table(kept: dict[str, list[dict[str, Any]]], language: Language, *, brief: bool = False) -> str:
    """Return the table of what was kept of each instruction set; nothing where nothing was.

    Args:
        kept: instruction set -> its lines.
        language: of the page.
        brief: leaves out intervals, n and machines, which the page that is linked to has.
    """
    measured = {isa: rows for isa, rows in kept.items() if rows}
    if not measured:
        return ""
    lines = [f"| {WORDS['head'][language]} | {' | '.join(measured)} |", "| --- |" + " --- |" * len(measured)]
    for measure, words in ROWS.items():
        cells = [
            _cell([row for row in rows if row["measure"] == measure], language, brief) for rows in measured.values()
        ]
        if any(cells):
            lines.append(f"| {words[language]} | {' | '.join(cells)} |")
    machines = [
        WORDS["machine"][language].format(isa=isa, machine=rows[0]["machine"]) for isa, rows in measured.items()
    ]
    return "\n".join([*lines, *([] if brief else ["", *machines]), ""])


def _cell(rows: Sequence[dict[str, Any]], language: Language, brief: bool) -> str:
    """Return a measure's value, and those of its peers with the difference and its interval."""
    if not rows:
        return ""
    first = rows[0]
    unit = "" if first["unit"] == "bits/byte" else first["unit"]  # which the row's words say
    value = f"{number(first['noria'])} {unit}".strip() + ("" if brief else f", n={first['n']:,}")
    beside = [
        f"{WORDS[row['peer_name']][language]} {number(row['peer'])}{'' if brief else _gain(row)}"
        for row in rows
        if row["peer_name"] in WORDS
    ]
    told = "; ".join(beside) if language == "en" else "；".join(beside)
    return f"{value} ({told})" if beside else value


def _gain(row: dict[str, Any]) -> str:
    """Return the interval of the difference, where more is better: that of the ratio, times the peer's value."""
    if row["unit"] or row["low"] is None or row["high"] is None:
        return ""
    low, high = (row["peer"] * (row[end] - 1) for end in ("low", "high"))
    return f", {low:+.3f} .. {high:+.3f}"
