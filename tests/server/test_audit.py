"""The audit log: every change stands in it with who made it, and whatever is done to it afterwards shows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from noria.server.audit import Audit, Wanted
from noria.server.http.keys import Keys

START = datetime(2026, 3, 1, tzinfo=UTC)


def made(folder: Path, count: int = 6) -> Audit:
    """Return a log with a change an hour, read anew: by a process that wrote none of them."""
    hours = iter(range(10_000))
    audit = Audit(
        folder / "audit.jsonl",
        lambda actor: "admin" if actor == "a" else "",
        lambda: START + timedelta(hours=next(hours)),
    )
    for number in range(count):
        audit.add(
            "ab"[number % 2], ("key.make", "data.upload")[number % 2], f"subject {number}", rows=number, why="报修"
        )
    return Audit(audit.path, lambda actor: "")


def test_a_log_is_whole_as_it_was_written_and_says_who(tmp_path: Path):
    audit = made(tmp_path)
    assert (audit.check().entries, audit.check().whole, audit.check().torn) == (6, True, 0)
    first, second, *_ = audit.entries()
    assert (first.actor, first.role, first.action, first.details["rows"]) == ("a", "admin", "key.make", 0)
    assert (second.role, second.line, second.at) == ("", 2, "2026-03-01T01:00:00.000+00:00")
    assert Audit(tmp_path / "none.jsonl", str).check().entries == 0
    assert oct(audit.path.stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("line", range(6))
def test_whatever_is_done_to_a_line_breaks_the_chain(tmp_path: Path, line: int):
    audit = made(tmp_path)
    noted, lines = audit.check().last, audit.path.read_bytes().splitlines(keepends=True)

    def after(*changed: bytes) -> bool:
        audit.path.write_bytes(b"".join(changed))
        return audit.check(noted).whole

    assert after(*lines)
    assert not after(*lines[:line], *lines[line + 1 :])
    assert not after(*lines[:line], lines[line].replace(b'"rows":', b'"rows":1'), *lines[line + 1 :])
    assert not after(*lines[:line], b"{}\n", *lines[line + 1 :])
    assert not after(*lines[: line + 1], *lines[line:])
    entry = json.loads(lines[line])
    forged = json.dumps({**entry, "actor": "nobody"}, separators=(",", ":")).encode() + b"\n"
    assert not after(*lines[:line], forged, *lines[line + 1 :])
    if line < 5:
        assert not after(*lines[:line], lines[line + 1], lines[line], *lines[line + 2 :])


def test_lines_taken_from_the_end_are_missed_by_whoever_noted_the_last(tmp_path: Path):
    audit = made(tmp_path)
    noted, lines = audit.check().last, audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(lines[:-2]))
    assert audit.check().whole  # nothing in the file tells
    assert audit.check(noted).missing
    audit.add("a", "key.make", "x")
    audit.path.write_bytes(b"".join(lines[:-2]))
    assert audit.check().missing  # the process that wrote it knows


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_line_that_a_crash_cut_short_is_told_and_the_log_goes_on(tmp_path: Path, left: int):
    audit = made(tmp_path)
    content = audit.path.read_bytes()
    last = content.splitlines(keepends=True)[-1]
    audit.path.write_bytes(content[: -len(last)] + last[:left])
    audit.add("a", "key.make", "after")
    checked = audit.check()
    assert checked.whole
    assert checked.entries == 7
    assert checked.torn == (0 if left == -1 else 1)
    assert [entry.subject for entry in audit.latest(most=1)] == ["after"]


def test_many_writers_at_once_make_one_chain(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: Audit(path, str).add("a", "key.make", str(number)), range(48)))
    audit = Audit(path, str)
    assert audit.check().whole
    assert {entry.subject for entry in audit.entries()} == set(map(str, range(48)))


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        (Wanted(actor="a"), [4, 2, 0]),
        (Wanted(action="data"), [5, 3, 1]),
        (Wanted(action="dat"), []),
        (Wanted(text="SUBJECT 3"), [3]),
        (Wanted(text="报修", below=3), [1, 0]),
        (Wanted(since=START + timedelta(hours=4)), [5, 4]),
        (Wanted(until=START + timedelta(hours=1)), [0]),
    ],
)
def test_entries_are_found_by_what_they_hold(tmp_path: Path, wanted: Wanted, subjects: list[int]):
    found = made(tmp_path).latest(wanted, most=3)
    assert [entry.subject for entry in found] == [f"subject {number}" for number in subjects]


def test_what_is_done_to_keys_is_written_down_and_no_secret_is(tmp_path: Path):
    keys = Keys(tmp_path)
    key = keys.make("shop", scopes=["chat"], by="11111111")
    number = key.split("_")[1]
    new = keys.rotate(number)
    keys.revoke(number)
    keys.revoke(number)
    told = [(entry.actor, entry.role, entry.action, entry.subject) for entry in keys.audit.entries()]
    assert told == [
        ("11111111", "", "key.make", number),
        ("command line", "admin", "key.rotate", number),
        ("command line", "admin", "key.revoke", number),
    ]
    text = keys.audit.path.read_text()
    assert not any(secret.split("_", 2)[2] in text for secret in (key, new))
