"""What all commands have alike, walked over every one of them: flags, what they mean, examples, exit codes, where words go."""

from __future__ import annotations

import io
import json
import re
import shlex
import threading
import types
import typing
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.cli.main import _each_value, app, main
from noria.cli.manners import FLAGS, JsonLines, finite
from noria.cli.spelling import OLDER, as_spelled_now
from noria.lake.outbox import Outbox
from noria.server.meter import Meter, read_secret
from noria.text.personal_data import mask

DOCS = Path(__file__).resolve().parents[2] / "docs"
Words = tuple[str, ...]
SEVERAL_KINDS = {
    "--channels": "customer service has a file of them, a budget the columns",
    "--console": "ship watch only switches it on: what it shows lies beside the list of sources",
    "--lake": "grow users takes the address of an engine, too",
    "--model": "a forecast chooses among its own by name",
}
"""Flags whose values are of several kinds, and why."""


def walked(node: Any = app, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Yield every command that does something, by its words."""
    if node.default_command:
        yield words, node
    for name in node:
        if not name.startswith("-"):
            yield from walked(node[name], (*words, name))


COMMANDS = dict(walked())


def name_of(words: Words) -> str:
    return " ".join(words)


def flags() -> dict[str, dict[Words, Any]]:
    """Return every flag that is one by itself, with its argument in each command."""
    found: dict[str, dict[Words, Any]] = defaultdict(dict)
    for words, node in COMMANDS.items():
        for argument in node.assemble_argument_collection(parse_docstring=True):
            for name in set(argument.names) - set(argument.negatives):
                # What is given by its place has a flag too, which nobody is told of; settings within settings have dots.
                if name.startswith("--") and "." not in name and argument.index is None and not argument.children:
                    found[name][words] = argument
    return found


FOUND = flags()


def kind_of(hint: Any) -> str:
    """Return the kind of a flag's values, without None and what annotates it."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(sorted(kind_of(one) for one in typing.get_args(hint) if one is not type(None)))
    if typing.get_origin(hint) is typing.Literal:
        return "str"
    if typing.get_origin(hint) is tuple:  # several of a kind
        return kind_of(typing.get_args(hint)[0])
    return {"float": "number", "int": "number"}.get(getattr(hint, "__name__", ""), str(getattr(hint, "__name__", hint)))


@pytest.mark.parametrize("words", COMMANDS, ids=name_of)
def test_every_command_has_the_flags_that_all_have_with_one_sentence_each(words: Words):
    for name, annotated in FLAGS.items():
        argument = FOUND[f"--{name}"][words]
        assert argument.parameter.help == typing.get_args(annotated)[1].help
        assert not argument.negatives


def shared() -> dict[str, set[str]]:
    """Return the flags of several commands whose help is not the same in all of them."""
    helps = {flag: {one.parameter.help for one in found.values()} for flag, found in FOUND.items() if len(found) > 1}
    return {flag: texts for flag, texts in helps.items() if len(texts) > 1}


@pytest.mark.parametrize("page", ["command-line.md", "command-line.zh-CN.md"])
def test_a_flag_of_several_commands_has_one_meaning_that_the_page_names(page: str):
    text = (DOCS / page).read_text(encoding="utf-8")
    rows = [re.findall(r"`(--[a-z-]+)`", line.split("|")[1]) for line in text.splitlines() if line.startswith("| `--")]
    named = [flag for row in rows for flag in row]
    assert len(named) == len(set(named)), "one row says what a flag means"
    assert set(shared()) - set(named) == set(), "several commands have it, in other words each: one name for one thing"
    assert set(named) - set(FOUND) == set(), "no command has it"


def test_a_flag_has_values_of_one_kind():
    kinds = {flag: {kind_of(one.hint) for one in found.values()} for flag, found in FOUND.items()}
    assert {flag for flag, several in kinds.items() if len(several) > 1} == set(SEVERAL_KINDS), kinds


def test_minutes_are_what_a_budget_is_in():
    assert not [
        flag for flag in FOUND if flag.endswith("seconds") and any(words[0] == "build" for words in FOUND[flag])
    ]
    trained = ("pretrain", "finetune", "align", "crossvalidate", "search")
    assert {("build", name) for name in trained} <= FOUND["--minutes"].keys()


def examples() -> Iterator[tuple[Words, str]]:
    for words, node in COMMANDS.items():
        text = re.sub(r"\s*\\\n\s*", " ", (node.help or "").partition("Examples::")[2])
        for line in re.findall(r"^\s+(noria .*)$", text, re.MULTILINE):
            yield words, re.split(r"\s{3,}| > ~", line)[0].strip()


@pytest.mark.parametrize(
    ("words", "line"), list(examples()), ids=lambda value: value if isinstance(value, str) else None
)
def test_an_example_is_read_as_it_stands(words: Words, line: str):
    given = shlex.split(line)[1:]
    assert as_spelled_now(given) == given, "an older spelling"
    if "--help" not in given:
        app.parse_args(_each_value(given), exit_on_error=False, print_error=False)


def test_every_command_has_an_example():
    assert {words for words, _ in examples()} == set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=name_of)
def test_a_flag_that_is_not_there_is_one_line_and_exit_code_2_for_people_and_programs(words: Words, capsys):
    assert main([*words, "--no-such-flag"]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert main([*words, "--json", "--no-such-flag"]) == 2
    seen = capsys.readouterr()
    error = json.loads(seen.err)
    assert (error["event"], error["exit_code"], error["kind"]) == ("error", 2, "SettingError")
    assert shown.out == seen.out == ""


@pytest.mark.parametrize("words", OLDER, ids=name_of)
def test_an_older_spelling_goes_on_as_a_flag_of_today(words: Words, capsys):
    node = COMMANDS[words]
    known = {name for argument in node.assemble_argument_collection() for name in argument.names}
    for flag, now in OLDER[words].items():
        assert not now.flag or now.flag in known
        assert flag not in FOUND or words not in FOUND[flag]
        given = as_spelled_now([*words, flag, "90", "--other"])
        value = f"{90 / now.divisor:g}"
        assert given == [*words, *([now.flag] if now.flag else []), value, "--other"]
        assert as_spelled_now([*words, f"{flag}=90"]) == [*words, f"{now.flag}={value}" if now.flag else value]
        assert flag in capsys.readouterr().err


def test_no_older_spelling_is_left_in_the_pages():
    for page in set(DOCS.rglob("*.md")) - set((DOCS / "reference").glob("*.md")):
        for line in re.findall(r"^noria .*$", page.read_text(encoding="utf-8"), re.MULTILINE):
            given = line.split(" #")[0].rstrip("\\").split()[1:]
            assert as_spelled_now(given) == given, f"{page.name}: {line}"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    with Outbox(folder) as outbox:
        long_ago = datetime.now(UTC) - timedelta(days=9)
        meter = Meter(outbox, read_secret(folder / "server"), lambda: long_ago, mask)
        asked = [meter.event("request", user=user, model="m") for user in ("小王", "小王", "小李")]
        outbox.append(asked)
    return folder


def run(capsys, *words: object) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the exit code, and what a program reads on stdout and on stderr."""
    code = main([*map(str, words), "--json"])
    shown = capsys.readouterr()
    return code, *([json.loads(line) for line in text.splitlines()] for text in (shown.out, shown.err))


def test_programs_get_json_lines_with_the_keys_of_the_result(lake: Path, tmp_path: Path, capsys):
    place = ("--lake", lake)
    _, [key], _ = run(capsys, "ship", "key", "make", "shop", *place)
    assert key["name"] == "shop"
    _, [listed], _ = run(capsys, "ship", "key", "list", *place)
    assert (listed["name"], listed["status"]) == ("shop", "works")
    assert "sha256" not in listed
    _, [revoked], _ = run(capsys, "ship", "key", "revoke", listed["id"], *place)
    assert revoked["id"] == listed["id"]
    assert run(capsys, "ship", "events", "seal", *place)[1][0]["files"] == 1
    assert run(capsys, "new", tmp_path / "desk", "--app", "support")[1][0]["folder"] == str(tmp_path / "desk")
    assert run(capsys, "completion", "bash")[1][0]["shell"] == "bash"
    code, [error], _ = *run(capsys, "new", tmp_path / "desk", "--app", "suport")[::2], None
    assert (code, error["kind"]) == (2, "SettingError")
    assert "support" in error["hint"]


def test_what_would_be_removed_is_what_is_removed_and_asking_removes_nothing(lake: Path, capsys):
    for first, then in ((("erase", "小王"), 2), (("keep", "--days", "3"), 1)):
        words = ("ship", "events", *first, "--lake", lake)
        before = sorted(path.read_bytes() for path in lake.rglob("*.parquet"))
        _, [would], _ = run(capsys, *words, "--dry-run")
        assert before == sorted(path.read_bytes() for path in lake.rglob("*.parquet"))
        _, [receipt], _ = run(capsys, *words)
        assert would["from_outboxes"] + would["from_lake"] == receipt["from_outboxes"] + receipt["from_lake"] == then
        assert would["dry_run"] is True
    assert run(capsys, *words, "--dry-run")[1][0]["from_lake"] == 0


def test_a_brief_that_is_only_tried_asks_nobody_and_writes_nothing(tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "brief.html"
    words = ("ship", "brief", out, "--days", 7, "--server", "http://127.0.0.1:9", "--dry-run")
    code, [plan], _ = run(capsys, *words)
    assert (code, plan["dry_run"], plan["writes"]) == (0, True, {"path": str(out), "state": "new"})
    assert "http://127.0.0.1:9" in plan["sends"]
    assert not out.exists()
    monkeypatch.setenv("NORIA_LANG", "zh")
    assert main([*map(str, words)]) == 0
    assert "7 天" in capsys.readouterr().out
    code, lines, [error] = run(capsys, "ship", "brief", tmp_path / "brief.pdf", "--dry-run")
    assert (code, lines) == (2, [])
    assert "brief.pdf" in error["line"]


def test_a_dry_run_reads_with_the_reader_of_the_command_and_writes_nothing(tmp_path: Path, capsys):
    rows, base = tmp_path / "客服.csv", tmp_path / "base"
    rows.write_text("客户消息,意图\n我要退货,退货\n几天到,物流\n", encoding="utf-8")
    base.mkdir()
    words = ("build", "finetune", "classify", "--base", base, "--train", rows, "--out", tmp_path / "out", "--dry-run")
    code, [plan], _ = run(capsys, *words, "--minutes", 2)
    assert code == 0
    assert (plan["minutes"], plan["reads"][0]["rows"], plan["writes"]["state"]) == (2, 2, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "客服.csv"]
    rows.write_text("a,b\n1,2\n", encoding="utf-8")
    code, lines, [error] = run(capsys, *words)
    assert (code, lines) == (2, [])
    assert "'a, b'" in error["line"]
    assert "text,label" in error["line"], "it shows the form that it should have"


def test_quiet_leaves_the_result_and_errors(tmp_path: Path, capsys):
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text("".join(f'{{"text": "the wheel turns for the {n}th time today"}}\n' for n in range(40)))
    out = tmp_path / "corpus"
    assert main(["build", "clean", str(corpus), "--out", str(out), "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (f"{out}\n", "")
    assert main(["build", "clean", str(tmp_path / "none.jsonl"), "--out", str(out), "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("noria: ")
    code, [result], progress = run(capsys, "build", "clean", corpus, "--out", out)
    assert (code, result["result"], result["path"]) == (0, "corpus", str(out))
    assert {"event"} <= set.intersection(*({*one} for one in progress))


def test_what_knows_nothing_of_programs_is_put_into_json_line_by_line():
    stream = io.StringIO()
    lines = JsonLines(stream, "text")
    print('{"a": 1}', file=lines)
    print("two\nlines", "{not json", file=lines, sep="\n")
    lines.write("begun")
    thread = threading.Thread(target=lambda: print("beside", file=lines))
    thread.start()
    thread.join()
    lines.finish()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert found[0] == {"a": 1}
    assert [one["line"] for one in found[1:]] == ["two", "lines", "{not json", "beside", "begun"]


def test_numbers_that_json_does_not_have_are_null_and_what_has_no_form_is_a_text():
    assert finite({"a": [float("nan"), 1.5], Path("b"): Path("c"), "d": True}) == {
        "a": [None, 1.5],
        "b": "c",
        "d": True,
    }


@pytest.mark.parametrize("words", [(), ("build", "finetune"), ("grow", "share")], ids=name_of)
def test_help_that_is_piped_is_plain_and_narrow(words: Words, capsys):
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert not re.search("[\u2500-\u257f\x1b]", text), "boxes and colours"
    assert "noria" in text
