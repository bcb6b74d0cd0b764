"""The guard's recall and false alarms by language: `python -m benchmarks.guard [--write]`; some seconds, no model.

Marks of injection: 40 attacks a language (attacks.jsonl, split test), written by Noria's authors after the rules were mended
on others (split mend) and not used since; some are paraphrased, indirect or encoded, as attacks are. Personal data: numbers and addresses made by chance in the forms
people write them, put into real sentences. False alarms: real texts of customers and of the web, as they are; the sets are
read from the folder that NORIA_DATA names.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from noria.build.corpus.pii import find, is_bank_card, is_identity_card
from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.ship.server.guard import Guard

from .line import machine
from .results import keep_rows, write_page
from .start import started

app = App(name="guard", help="The guard's recall and false alarms by language.")
PAGE = Path(__file__).with_name("RESULTS.md")
ATTACKS = Path(__file__).with_name("attacks.jsonl")
PLANTED = 400
"""Pieces of personal data of each kind and language."""
SETS = {
    "en": (("banking77", "intent/banking77/test.jsonl"), ("clinc150", "intent/clinc150/test.jsonl")),
    "zh": (("CrossWOZ, users' turns", "dialogue/crosswoz/test.jsonl"), ("UNER Chinese", "ner/uner-zh/test.jsonl")),
}


@app.default
def run(*, write: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Measure; one JSON line a rule and language.

    Parameters
    ----------
    write
        Keep the lines below benchmarks/results, and write benchmarks/RESULTS.md anew from all that are kept.
    """
    rows = [row for language in SETS for row in measure(language)]
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), flush=True)
    if write:
        keep_rows(PAGE.parent / "results", "guard", rows)
        write_page(PAGE)


def measure(language: str) -> Iterator[dict[str, Any]]:
    """Yield what the rules find of what they should, and of what they should not."""
    guard, texts = Guard(personal=find), dict(_texts(language))
    attacks = [row["text"] for row in _rows(ATTACKS) if row["language"] == language and row["split"] == "test"]
    found = sum(any(one.rule.startswith("injection/") for one in guard.find(text)) for text in attacks)
    yield _row("marks of injection", "recall", language, "attacks", proportion("recall", found, len(attacks)))
    draw = random.Random(language)
    carriers = [text for many in texts.values() for text in many if not find(text)]
    for kind, make in _KINDS.items():
        hits = 0
        for _ in range(PLANTED):
            value, carrier = make(draw), draw.choice(carriers)
            text = f"{carrier} {draw.choice(_LEADS[language])}{value}"
            hits += any(one.kind == kind and text[one.start : one.end] in value for one in find(text))
        yield _row(f"personal data, {kind}", "recall", language, "planted", proportion("recall", hits, PLANTED))
    for name, many in texts.items():
        for rule, prefix in (("marks of injection", "injection/"), ("personal data", "personal/")):
            alarms = sum(any(one.rule.startswith(prefix) for one in guard.find(text)) for text in many)
            yield _row(rule, "false alarms", language, name, proportion("false alarms", alarms, len(many)))


def _row(rule: str, measure: str, language: str, source: str, figure: Figure) -> dict[str, Any]:
    return {
        "rule": rule, "measure": measure, "language": language, "set": source, "value": round(figure.value, 5),
        "low": round(figure.low or 0.0, 5), "high": round(figure.high or 0.0, 5), "n": figure.n, "machine": machine(),
    }  # fmt: skip


def _texts(language: str) -> Iterator[tuple[str, list[str]]]:
    for name, place in SETS[language]:
        file = Path(os.environ.get("NORIA_DATA", "")) / place
        if not file.is_file():
            raise InputError("a set is missing", found=str(file), hint="let NORIA_DATA name the folder of data sets")
        yield name, [text for row in _rows(file) for text in _said(row)]


def _said(row: dict[str, Any]) -> list[str]:
    if "turns" in row:
        return [turn["text"] for turn in row["turns"] if turn["speaker"] == "user"]
    return ["".join(row["tokens"]) if "tokens" in row else row["text"]]


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choice("0123456789") for _ in range(count))


def _phone(draw: random.Random) -> str:
    start = draw.choice(("13", "15", "17", "18", "19")) + draw.choice("0356789")
    middle, last = _digits(draw, 4), _digits(draw, 4)
    return draw.choice(
        (f"{start}{middle}{last}", f"{start}-{middle}-{last}", f"{start} {middle} {last}", f"+86 {start}{middle}{last}")
    )


def _email(draw: random.Random) -> str:
    name = "".join(draw.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(draw.randrange(5, 12)))
    return f"{name}{draw.choice(('', '.li', '_88'))}@{draw.choice(('qq.com', '163.com', 'gmail.com', 'mail.company.co.uk'))}"


def _identity(draw: random.Random) -> str:
    start = f"{draw.choice(('110105', '310104', '440306', '510107'))}{draw.randrange(1950, 2008)}{draw.randrange(1, 13):02d}"
    start += f"{draw.randrange(1, 29):02d}{_digits(draw, 3)}"
    return next(start + last for last in "0123456789X" if is_identity_card(start + last))


def _card(draw: random.Random) -> str:
    start = draw.choice(("6222", "4111", "5105")) + _digits(draw, 11)
    whole = next(start + last for last in "0123456789" if is_bank_card(start + last))
    return draw.choice((whole, " ".join(whole[place : place + 4] for place in range(0, 16, 4))))


_KINDS: dict[str, Callable[[random.Random], str]] = {"PHONE": _phone, "EMAIL": _email, "ID": _identity, "CARD": _card}
_LEADS = {
    "en": ("my number is ", "reach me: ", "it is ", "", "here it is, "),
    "zh": ("我的号码是", "请联系：", "是", "", "如下，"),
}


if __name__ == "__main__":
    started(app)
