"""Messages: every catalogue in every language, with the same places for values; the code uses those codes and no others."""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import noria
from noria.core.figure import Figure
from noria.core.messages import (
    CATALOGUES,
    LANGUAGES,
    Message,
    as_is,
    catalogue,
    environment_language,
    joined,
    message,
    message_of,
    name_of,
    term,
)
from noria.core.progress import Report

ROOT = Path(noria.__file__).parent
NAMES = sorted(path.stem for path in (CATALOGUES / "en").glob("*.toml"))
CHINESE = re.compile(r"[一-鿿]")
MAKERS = ("message", "joined", "Message")
CONSOLE = ROOT / "console"
"""Its pages call `words("models.title")`, which is code console.models.title."""
WORDS = ("terms.", "names.")
"""The catalogues whose keys are words of results: they come with the data, and no code names them."""


def texts(language: str) -> dict[str, str]:
    return {code: text for name in NAMES for code, text in catalogue(language, name).items()}


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@cache
def calls() -> list[tuple[str, ast.Call, str, ast.expr]]:
    """Return where a message is made, the call, its function's name, and the code that it is given."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "messages import" not in source or path == CONSOLE / "words.py":
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS and node.args:
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node, node.func.id, node.args[0]))
    return found


def codes_of(given: ast.expr) -> list[str]:
    """Return the codes, as patterns, that an expression may give: of an f-string each value stands for one part or the end of one."""
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return [re.escape(given.value)]
    if isinstance(given, ast.IfExp):
        return [*codes_of(given.body), *codes_of(given.orelse)]
    if isinstance(given, ast.JoinedStr):
        return ["".join(re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in given.values)]
    return []


def test_every_language_has_the_same_catalogues() -> None:
    assert len(NAMES) > 10
    for language in LANGUAGES:
        assert sorted(path.stem for path in (CATALOGUES / language).glob("*")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_message_has_both_languages_and_every_value_is_used_in_both(name: str) -> None:
    english, chinese = catalogue("en", name), catalogue("zh", name)
    assert english.keys() == chinese.keys()
    for code, text in english.items():
        assert not CHINESE.search(text), code
        assert places(text) == places(chinese[code]), code


@pytest.mark.parametrize("name", NAMES)
def test_what_reads_the_same_in_both_has_no_words(name: str) -> None:
    # Names that Chinese readers know by these letters too.
    same = {"SHA", "CRPS", "MASE", "HHI", "BG", "NBD", "Driscoll", "Kraay", "Pareto"}
    for code, text in catalogue("en", name).items():
        words = set(re.findall("[A-Za-z]{2,}", re.sub(r"\{[^}]*\}", "", text)))
        assert name == "join" or words <= same or CHINESE.search(catalogue("zh", name)[code]), code


def test_every_code_in_the_code_is_known() -> None:
    known = texts("en")
    unknown = [
        f"{place}: {pattern}"
        for place, _, maker, given in calls()
        for pattern in codes_of(given)
        if maker != "Message" and not any(re.fullmatch(pattern, code) for code in known)
    ]
    assert unknown == []


def console_calls() -> Iterator[tuple[str, ast.Call, list[str]]]:
    """Yield where the console asks for words, the call, and the codes that it may mean."""
    for path in sorted(CONSOLE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name == "words" and node.args:
                yield (
                    f"{path.relative_to(ROOT)}:{node.lineno}",
                    node,
                    [rf"console\.{one}" for one in codes_of(node.args[0])],
                )


def test_every_word_of_the_console_is_known_and_given_its_values() -> None:
    known = catalogue("en", "console")
    wrong, asked = [], 0
    for place, call, patterns in console_calls():
        names = {keyword.arg for keyword in call.keywords}
        for pattern in patterns:
            asked += 1
            meant = [code for code in known if re.fullmatch(pattern, code)]
            if not any(None in names or places(known[code]) == names for code in meant):
                wrong.append(f"{place}: {pattern} given {names}")
    assert wrong == []
    assert asked > 100


def test_every_word_of_the_console_is_used() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(CONSOLE.rglob("*.py")))
    patterns = [re.compile(pattern) for _, _, codes in console_calls() for pattern in codes]
    for code in catalogue("en", "console"):
        key = code.removeprefix("console.")
        # Some pages hold the key, or its end, beside what it names.
        plain = any(f'"{one}"' in source for one in (key, key.partition(".")[2]))
        assert plain or any(pattern.fullmatch(code) for pattern in patterns), key


def test_every_message_is_used() -> None:
    patterns = [re.compile(pattern) for _, _, _, given in calls() for pattern in codes_of(given)]
    patterns.append(re.compile("join.as_is"))  # `as_is` makes it, within the mechanism itself
    unused = [
        code
        for code in texts("en")
        if not code.startswith((*WORDS, "console.")) and not any(pattern.fullmatch(code) for pattern in patterns)
    ]
    assert unused == []


def test_every_message_is_given_the_values_that_its_text_names() -> None:
    known = texts("en")
    wrong = []
    for place, call, maker, given in calls():
        names = {keyword.arg for keyword in call.keywords}
        if maker != "message" or None in names:  # values that come as a whole are tested by who renders them
            continue
        for pattern in codes_of(given):
            for code in known:
                if re.fullmatch(pattern, code) and places(known[code]) != names:
                    wrong.append(f"{place}: {code} names {places(known[code])}, given {names}")
    assert wrong == []


def test_a_message_is_its_english_text_and_reads_in_any_language() -> None:
    inner = message("report.interval", level="95%")
    told = message("report.interval_from_to", name=inner, low="1", high="2")
    assert told == "95% interval 1 to 2"
    assert told["zh"] == "95% 区间 1 至 2"
    assert told.both() == {"en": str(told), "zh": told["zh"]}
    assert told[:2] == "95"
    again = pickle.loads(pickle.dumps(told))
    assert isinstance(again, Message)
    assert again["zh"] == told["zh"]


def test_names_of_the_data_and_fixed_words() -> None:
    assert as_is("{x}").both() == {"en": "{x}", "zh": "{x}"}
    assert term("rows in")["zh"] == "输入行数"
    assert all(term(code.removeprefix("terms.")) == code.removeprefix("terms.") for code in catalogue("en", "terms"))
    assert name_of("support").both() == {"en": "customer service", "zh": "智能客服"}
    assert term("a_name_of_theirs")["zh"] == "a name of theirs"
    assert joined("join.list", [term("positive"), "x"]).both() == {"en": "positive, x", "zh": "正面、x"}
    assert joined("join.list", []) == ""


def test_a_message_is_kept_in_a_record_and_read_again() -> None:
    inner = message("figures.age.week", age=3)
    figure = Figure(
        message("figures.retention", age=inner), 0.4, 20, unit="rows", note=message("figures.came.alone", acts=7.0)
    )
    record = json.loads(json.dumps(figure.as_record()))
    assert record["name"] == "retention, week 3"
    again = Figure(**record)
    assert again == figure
    assert isinstance(again.name, Message)
    assert again.name["zh"] == "留存率，第 3 周"
    assert again.as_dict() == figure.as_dict()
    assert "messages" not in figure.as_dict()
    record["messages"]["name"]["code"] = "figures.of_a_newer_version"
    assert Figure(**record).name == "retention, week 3"
    assert message_of(inner.as_dict())["zh"] == "第 3 周"


def test_an_unknown_code_or_a_missing_value_is_no_message() -> None:
    with pytest.raises(KeyError, match="no_such"):
        message("report.no_such")
    with pytest.raises(KeyError, match="no_such"):
        message("no_such.title")
    with pytest.raises(KeyError, match="level"):
        message("report.interval")


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"NORIA_LANG": "zh", "LC_ALL": "en_US.UTF-8"}, "zh"),
        ({"NORIA_LANG": "", "LANG": "de_DE"}, "en"),
    ],
)
def test_the_terminal_s_language(environ: dict[str, str], language: str) -> None:
    assert environment_language(environ) == language


LINES = ("plan", "ledger", "note", "closing", "bar")
"""Methods of a report whose first argument people read."""
BUILT = (ast.JoinedStr, ast.BinOp)


def reported() -> Iterator[tuple[str, str, ast.expr]]:
    """Yield where long work says something to its report, by which method, and what it says."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) and node.args else None
            if (
                isinstance(called, ast.Attribute)
                and called.attr in LINES
                and "report" in ast.unparse(called.value).lower()
            ):
                assert isinstance(node, ast.Call)
                yield f"{path.relative_to(ROOT)}:{node.lineno}", called.attr, node.args[0]


def test_what_long_work_says_is_said_in_the_readers_language() -> None:
    """A text that is put together in code, or of a figure alone, is English to everybody."""
    known, found = texts("en"), list(reported())
    assert len(found) > 100
    for place, method, given in found:
        assert not isinstance(given, BUILT), place
        assert not (
            isinstance(given, ast.Call)
            and isinstance(given.func, ast.Attribute)
            and given.func.attr in ("join", "text")
        ), place
        if isinstance(given, ast.Constant):
            assert method == "bar", place
            assert f"terms.{given.value}" in known, f"{place}: {given.value}"


def test_a_terminal_in_chinese_is_told_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    said, figure = io.StringIO(), Figure("accuracy", 0.8927, n=1746, low=0.878, high=0.907, note="baseline wins")
    monkeypatch.setenv("NORIA_LANG", "zh")
    Report("quiet", said).ledger(message("work.named", name="valid.jsonl", text=figure.line()))
    assert said.getvalue() == f"● valid.jsonl：{figure.text('zh')}\n"
    assert "准确率 0.893 [0.878, 0.907] n=1,746" in said.getvalue()
    assert figure.line() == figure.text() == "accuracy 0.893 [0.878, 0.907] n=1,746 baseline wins"
