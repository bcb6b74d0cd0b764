"""Data sets: every row read or counted in every format, labels of several editors all kept, versions whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import NoriaError
from noria.core.messages import message_of
from noria.server.data import child, reading
from noria.server.data.kept import check_name, file_name, set_name
from noria.server.data.labels import read_journal
from noria.server.data.reading import read_upload
from noria.server.data.rows import rows_of
from noria.server.data.sets import DataSets, Given
from noria.server.data.view import Wanted
from noria.server.errors import ApiError
from noria.tasks.task import read_rows, task_for
from noria.text.minhash import key_of
from tests.contracts.test_formats import PACKERS, WRITERS
from tests.server.data_work import inside
from tests.strategies import chinese, english

__all__ = ["inside"]

ENDINGS = {
    "lines": ".jsonl",
    "json": ".json",
    "table": ".csv",
    "sheet": ".xlsx",
    "parquet": ".parquet",
    "page": ".html",
}
LABELS = ("退货", "换货", "refund", "")
WORDS = {
    "zh": ("怎么", "退货", "换货", "快递", "到了", "没有", "发票", "什么", "时候", "客服", "地址", "修改"),
    "en": ("how", "refund", "parcel", "where", "is", "my", "order", "invoice", "address", "change", "late", "agent"),
}


@pytest.fixture
def sets(tmp_path: Path, inside: None) -> DataSets:
    return DataSets(tmp_path / "data")


def take(sets: DataSets, name: str, file: str, content: bytes, **asked: object) -> dict[str, Any]:
    with sets.part() as part:
        (part / file).write_bytes(content)
        return sets.take(name, part / file, by="ann", **asked)  # type: ignore[arg-type]


def bring(sets: DataSets, name: str, rows: Sequence[dict[str, str]], file: str = "rows.jsonl", **asked: object) -> str:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    take(sets, name, file, lines.encode(), **asked)
    return sets.get(name).current.version


def questions(language: str, count: int, seed: int = 0) -> list[dict[str, str]]:
    """Return texts whose label their first word decides."""
    chance, found, seen = random.Random(seed), [], set()
    while len(found) < count:
        first = WORDS[language][chance.randrange(4)]
        rest = chance.sample(WORDS[language][4:], 5)
        text = ("" if language == "zh" else " ").join([first, *rest, str(len(found))])
        if text not in seen:
            seen.add(text)
            found.append({"text": text, "label": first})
    return found


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", sorted(ENDINGS))
@settings(max_examples=6)
@given(
    drawn=st.lists(st.tuples(st.one_of(chinese, english, st.just("")), st.sampled_from(LABELS)), min_size=2, max_size=8)
)
def test_every_row_of_every_format_is_taken_or_counted(
    kind: str, packed: str, drawn: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [{"内容": text, "意图": label} for text, label in drawn if text or label]
    if len(rows) < 2 or not any(row["意图"] for row in rows):
        return
    file = tmp_path_factory.mktemp("upload") / f"客服{ENDINGS[kind]}{packed}"
    file.write_bytes(PACKERS[packed](WRITERS[kind](rows, ())))  # type: ignore[index]
    read = read_upload(file, "classify")
    blank = sum(not row["内容"] for row in rows)
    assert read.read == len(rows) == len(read.rows) + sum(one.rows for one in read.refused.values())
    assert sum(one.rows for one in read.refused.values()) == blank
    assert all(one.reason and one.examples for one in read.refused.values())
    wanted = [row for row in rows if row["内容"]]
    assert ["".join(row["text"].split()) for row in read.rows] == ["".join(row["内容"].split()) for row in wanted]
    assert [row.get("label") for row in read.rows] == [row["意图"] or None for row in wanted]
    assert len({row["id"] for row in read.rows}) == len(read.rows)
    assert not read.rows or read.columns == {"text": "内容", "label": "意图"}


def test_a_file_that_names_no_text_is_kept_until_a_person_says_which_column_it_is(sets: DataSets) -> None:
    rows = [{"说了啥": f"第{number}条", "谁": "甲", "怎么办": "退" if number % 2 else "换"} for number in range(6)]
    rows.append({"说了啥": "", "谁": "乙", "怎么办": "退"})
    version = bring(sets, "raw", rows)
    assert sets.get("raw").current.rows == 7
    read = sets.columns("raw", {"说了啥": "text", "怎么办": "label", "谁": None}, by="ann", version=version)
    assert (read["taken"], sum(one["rows"] for one in read["refused"])) == (6, 1)
    now = sets.get("raw").current
    assert (now.labelled, now.labels, list(now.columns)) == (6, {"退": 3, "换": 3}, ["text", "label"])
    for columns in ({"text": "label"}, {"nowhere": "x"}, {"label": "id"}, {"label": " "}):
        with pytest.raises(NoriaError):
            sets.columns("raw", columns, by="ann", version=now.version)
    with pytest.raises(ApiError, match="somebody changed"):
        sets.columns("raw", {"label": None}, by="ben", version=version)
    assert sets.get("raw").current == now


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_version_is_a_file_that_training_takes(sets: DataSets, language: str) -> None:
    rows = questions(language, 30)
    bring(sets, "q", [*rows, {"text": "???"}])
    path = sets.path("q")
    assert path.name.split(".")[0] == sets.get("q").current.version
    found = read_rows(path, task_for("classify"))
    assert [(row["text"], row["label"]) for row in found] == [(row["text"], row["label"]) for row in rows]
    told = take(sets, "q", "rows.jsonl", sets.file("q").read_bytes(), add=True)  # the same rows again
    assert (told["taken"], told["there"]) == (0, 31)
    assert len(sets.versions("q")) == 1


def test_labels_of_two_editors_are_all_kept_and_the_last_one_stands(sets: DataSets) -> None:
    """Two servers on one folder, each with an editor, while a third makes versions."""
    bring(sets, "q", [{"text": f"row {number}"} for number in range(40)])
    ids = [row["id"] for row in rows_of(sets.file("q"))]
    labelled: dict[str, set[str]] = {one: set() for one in ids}
    unseen: list[str] = []

    def edit(name: str, seed: int) -> None:
        mine, chance = DataSets(sets.folder), random.Random(seed)
        for one in chance.sample(ids, len(ids)):
            told = mine.label("q", [Given(one, f"{name}-{one}", seen=None)], by=name)
            unseen.extend(mark.id for mark in told)
            labelled[one].add(f"{name}-{one}")
            if chance.random() < 0.1:
                mine.keep("q", name)

    editors = [threading.Thread(target=edit, args=(name, seed)) for seed, name in enumerate(("ann", "ben"))]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    sets.keep("q", "ann")
    files = sorted((sets.folder / "q").glob("labels.*"), key=lambda path: int(path.name.split(".")[1]))
    journals = [mark for path in files for mark in read_journal(path)]
    given_to = {one: {mark.label for mark in journals if mark.id == one} for one in ids}
    assert given_to == labelled
    last = {mark.id: mark.label for mark in journals}
    assert {row["id"]: row["label"] for row in rows_of(sets.file("q"))} == last
    assert Counter(unseen) == Counter(ids)  # whoever came second was told, once


def test_a_label_is_undone_and_one_that_a_kill_tore_is_none(sets: DataSets) -> None:
    bring(sets, "q", questions("en", 12))
    rows = list(rows_of(sets.file("q")))
    first, second = rows[0]["id"], rows[1]["id"]
    before = sets.get("q").current
    assert not sets.label("q", [Given(first, "new", seen=rows[0]["label"])], by="ann")
    assert not sets.label("q", [Given(first, rows[0]["label"], seen="new")], by="ann")
    assert sets.keep("q", "ann") is None
    assert sets.get("q").current == before
    sets.label("q", [Given(second, None)], by="ann")
    journal = sets.journal("q").path
    journal.write_bytes(journal.read_bytes() + b'{"id": "tor')
    again = DataSets(sets.folder)
    again.label("q", [Given(first, "x")], by="ben")
    assert again.keep("q", "ben")
    found = {row["id"]: row.get("label") for row in rows_of(again.file("q"))}
    assert (found[first], found[second], again.get("q").current.labelled) == ("x", None, 11)
    for wrong in (Given("nobody", "x"), Given(first, " \u202e "), Given(first, "x" * 300)):
        with pytest.raises(NoriaError):
            sets.label("q", [wrong], by="ann")


SPANS = {
    "zh": ("张三在北京工作。", [(0, 2, "人名"), (3, 5, "地名")]),
    "en": ("Ann works in 😀 Leeds.", [(0, 3, "person"), (15, 20, "place")]),
}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_spans_and_several_labels_are_given_in_the_form_that_training_takes(sets: DataSets, language: str) -> None:
    text, places = SPANS[language]
    spans = [{"start": start, "end": end, "label": label} for start, end, label in places]
    bring(sets, "tag", [{"text": text}, {"text": "nothing 没有"}, {"text": "waits 等着"}], task="tag")
    ids = [row["id"] for row in rows_of(sets.file("tag"))]
    assert not sets.label("tag", [Given(ids[0], spans[::-1]), Given(ids[1], [])], by="ann")
    (told,) = sets.label("tag", [Given(ids[0], spans[:1], seen=None)], by="ben")  # who saw nothing is told of ann's
    assert (told.label, told.by) == (spans, "ann")
    assert not sets.label("tag", [Given(ids[0], spans, seen=spans[:1])], by="ben")
    wrong: list[Any] = [
        "person",
        [*spans, {**spans[0], "label": "again"}],
        [{**spans[0], "end": len(text) + 1}],
        [{**spans[0], "label": " "}],
        ["person"],
    ]
    for given_wrong in wrong:
        with pytest.raises(NoriaError):
            sets.label("tag", [Given(ids[0], given_wrong)], by="ann")
    now = sets.get("tag").current
    assert [row.get("spans") for row in rows_of(sets.file("tag"))] == [spans, [], None]
    assert (now.labelled, sets.get("tag").current.labels) == (0, {label: 1 for *_, label in places})
    found = list(read_rows(sets.path("tag"), task_for("tag")))
    assert found == [{"text": text, "spans": spans}, {"text": "nothing 没有", "spans": []}]

    bring(sets, "many", [{"text": f"第{number} row"} for number in range(3)])
    assert sets.field("many") == ""
    ids = [row["id"] for row in rows_of(sets.file("many"))]
    labels = [label for *_, label in places]
    sets.label("many", [Given(ids[0], labels), Given(ids[1], [])], by="ann")
    assert sets.field("many") == "labels"  # the first decides, before a version and after it
    for one in ("label", [1], [""]):
        with pytest.raises(NoriaError):
            sets.label("many", [Given(ids[2], one)], by="ann")  # type: ignore[arg-type]
    rows = list(read_rows(sets.path("many"), task_for("classify")))
    assert [row["labels"] for row in rows] == [sorted(labels), []]
    assert sets.field("many") == "labels"
    sets.label("many", [Given(ids[0], None)], by="ann")
    assert [row.get("labels") for row in rows_of(sets.file("many"))] == [None, [], None]
    bring(sets, "talk", [{"messages": [{"role": "user", "content": "你好"}]}], task="chat")
    with pytest.raises(NoriaError):
        sets.field("talk")


def test_labels_that_an_earlier_server_wrote_are_read(sets: DataSets) -> None:
    bring(sets, "q", questions("zh", 4))
    first = next(iter(rows_of(sets.file("q"))))
    old = {"id": first["id"], "label": "新", "was": first["label"], "by": "ann", "at": "2026-01-01T00:00:00+00:00"}
    sets.journal("q").path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert next(iter(rows_of(sets.file("q"))))["label"] == "新"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_turned_labels_are_doubted_and_repeats_found_and_kept_on_one_side(sets: DataSets, language: str) -> None:
    rows = questions(language, 240)
    wrong = range(0, 240, 20)
    for place in wrong:
        rows[place] = {**rows[place], "label": next(one for one in WORDS[language][:4] if one != rows[place]["label"])}
    repeated = [{**rows[place], "text": f"{rows[place]['text']}!"} for place in (1, 2, 3)]
    two = {"text": rows[5]["text"], "label": next(one for one in WORDS[language][:4] if one != rows[5]["label"])}
    version = bring(sets, "q", [*rows, *repeated, two])
    ids = [row["id"] for row in rows_of(sets.file("q"))]
    found = sets.review("q")
    doubtful = {one["id"] for one in found["doubtful"]}
    assert len(doubtful & {ids[place] for place in wrong}) >= 0.9 * len(wrong)
    first = [one["id"] for one in found["doubtful"]][: len(wrong)]
    assert len(set(first) & {ids[place] for place in wrong}) >= 0.8 * len(wrong)
    reasons = {one["id"]: one["reason"] for one in found["repeats"]}
    assert {reasons.get(one) for one in ids[240:243]} == {"exact duplicate"}  # but for a mark
    assert reasons[ids[5]] == reasons[ids[243]] == "conflicting labels"
    page = sets.page("q", Wanted(show="doubtful", limit=200))
    assert page.total == len(found["doubtful"])
    told = sets.split("q", by="ann", valid=0.2, test=0.2)
    parts = {name: list(rows_of(sets.path("q", version, name))) for name in told["rows"]}
    assert sum(map(len, parts.values())) == 244
    keys = [{key_of(row["text"]) for row in part} for part in parts.values()]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    change = sets.remove("q", by="ann", version=version, repeats=True)
    gone = sum(reason != "conflicting labels" for reason in reasons.values())  # chance may have made one more
    assert (change.rows, change.count) == (244 - gone, gone)
    assert sets.diff("q", version)["removed"] == gone >= 3
    sets.back("q", version, by="ben")
    assert sets.get("q").current.version == version
    assert [change.action for change in sets.versions("q")] == ["upload", "remove", "back"]


def test_pages_search_and_filter(sets: DataSets) -> None:
    rows = [
        {"text": f"第{number}条 Order", "label": "a" if number % 3 else "b", "来源": "电话"} for number in range(60)
    ]
    rows += [{"text": f"open {number}"} for number in range(5)]
    bring(sets, "q", rows)
    everything = [
        one["row"] for start in range(0, 65, 20) for one in sets.page("q", Wanted(start=start, limit=20)).rows
    ]
    assert [row["text"] for row in everything] == [row["text"] for row in rows]
    for wanted, total in (
        (Wanted(search="ORDER"), 60),
        (Wanted(search="电话", label="b"), 20),
        (Wanted(show="unlabelled"), 5),
        (Wanted(show="labelled", search="第1"), 11),
        (Wanted(search="nothing of it"), 0),
    ):
        page = sets.page("q", wanted)
        assert (page.total, len(page.rows)) == (total, min(total, wanted.limit)), wanted
    sets.label("q", [Given(everything[60]["id"], "c")], by="ann")
    assert sets.page("q", Wanted(show="unlabelled")).total == 4
    assert [one["by"] for one in sets.page("q", Wanted(label="c")).rows] == ["ann"]


STAGES = {
    "upload": "import time; print('here', flush=True); time.sleep(60)",
    "read": "import time; module.in_child = lambda *a, **b: (print('here', flush=True), time.sleep(60))",
    "install": "import time; kept.write_json = lambda *a: (print('here', flush=True), time.sleep(60))",
}
KILLED = """
import sys
from pathlib import Path
import noria.server.data.kept as kept, noria.server.data.sets as module
sets = module.DataSets(Path(sys.argv[1]))
with sets.part() as part:
    (part / "b.csv").write_text("text,label\\n" + "x,y\\n" * 1000)
    {stage}
    sets.take("b", part / "b.csv", by="ann")
"""


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_kill_in_the_midst_leaves_nothing(sets: DataSets, stage: str) -> None:
    bring(sets, "a", questions("en", 10))
    before = listing(sets.folder)
    script = KILLED.format(stage=STAGES[stage])
    work = subprocess.Popen([sys.executable, "-c", script, str(sets.folder)], stdout=subprocess.PIPE)
    assert work.stdout
    assert work.stdout.readline() == b"here\n"
    os.kill(work.pid, signal.SIGKILL)
    work.wait()
    work.stdout.close()
    assert listing(sets.folder) > before  # what it left
    again = DataSets(sets.folder)
    assert [one.name for one in again.list()] == ["a"]
    with again.part():
        assert len(list(sets.folder.glob("*.part"))) == 1
    assert listing(sets.folder) == before
    assert bring(again, "b", [{"text": "x", "label": "y"}])


def test_a_second_server_does_not_sweep_an_upload_that_is_on_its_way(sets: DataSets) -> None:
    bring(sets, "a", questions("en", 10))
    with sets.part() as part, DataSets(sets.folder).part():
        assert part.exists()


HOSTILE = (
    "../../x.csv",
    "..\\..\\x.csv",
    "a/b/c.jsonl",
    "rows\u202evsc.exe",
    "\u2066客服\u2069.csv",
    "\x00\x1f.csv",
    ".",
    "...csv",
)


@settings(max_examples=150)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200), chinese.map(lambda name: f"{name}.csv.gz")))
def test_names_of_files_lose_what_nobody_sees_and_keep_what_they_are(given_name: str) -> None:
    name = file_name(given_name)
    assert name
    assert not re.search(r"[/\\]|^\.", name)
    assert all(unicodedata.category(one)[0] != "C" for one in name)
    assert len(name.encode()) < 200
    assert file_name(name) == name
    assert check_name(set_name(given_name))


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", ".x", "sets.json", "\u202eabc", "a\u200bb", "x" * 65, "a\n"])
def test_names_of_sets_are_plain(sets: DataSets, name: str) -> None:
    with pytest.raises(NoriaError, match="plain name"):
        bring(sets, name, questions("en", 10))
    assert sets.list() == []


def bombs(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield files that are refused, and what the refusal says."""
    elf = b"\x7fELF\x02\x01\x01" + bytes(600)
    for name in ("run.exe", "run.csv", "run.xlsx", "run"):
        (folder / name).write_bytes(elf)
        yield folder / name, name
    (folder / "many.csv.gz").write_bytes(gzip.compress(b"text,label\n" + b"0" * (1 << 21)))
    yield folder / "many.csv.gz", "unpacks"
    (folder / "long.csv").write_bytes(b"text,label\n" + b"x,y\n" * 51)
    yield folder / "long.csv", "too many rows: allowed up to 50"
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", "text,label\nx,y\n")
    yield folder / "all.zip", "all.zip"
    (folder / "cut.csv.gz").write_bytes(gzip.compress(b"text,label\nx,y\n" * 99)[:-9])
    yield folder / "cut.csv.gz", "cut.csv.gz"
    for name, content in (
        ("none.csv", b"\n"),
        ("head.csv", b"text,label\n"),
        ("scan.pdf", b"%PDF-1.4\n"),
        ("x.json", b"[{"),
    ):
        (folder / name).write_bytes(content)
        yield folder / name, ""


def test_what_cannot_be_read_is_refused_in_one_line_and_nothing_is_left(
    sets: DataSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(reading, "MOST_ROWS", 50)
    bring(sets, "a", questions("en", 10))
    before = listing(sets.folder)
    (tmp_path / "bad").mkdir()
    for file, what in bombs(tmp_path / "bad"):
        with pytest.raises(NoriaError) as refused:
            take(sets, "b", file.name, file.read_bytes())
        for language in ("en", "zh"):
            line = refused.value.text(language)
            assert "\n" not in line
            assert len(line) < 400
            assert str(tmp_path) not in line, line  # no path of the machine
        assert what in str(refused.value), refused.value
    assert listing(sets.folder) == before


def test_the_work_has_a_process_of_its_own_that_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = DataSets(tmp_path / "data")
    bring(sets, "q", [{"text": "怎么退货", "label": "退货"}, {"text": ""}])
    told = sets.facts("q", sets.get("q").current.version, "read")
    assert told
    assert (told["taken"], told["refused"][0]["rows"]) == (1, 1)
    assert message_of(told["refused"][0]["reason"])["zh"]
    with pytest.raises(NoriaError, match=r"run\.bin"):
        take(sets, "b", "run.bin", b"\x7fELF" + bytes(99))


def test_every_change_is_audited(tmp_path: Path, inside: None) -> None:
    told: list[tuple[str, str, str]] = []
    sets = DataSets(
        tmp_path / "data", audit=lambda actor, action, subject, **facts: told.append((actor, action, subject))
    )
    version = bring(sets, "q", questions("en", 40))
    row = next(rows_of(sets.file("q")))
    sets.label("q", [Given(row["id"], "x")], by="ben")
    sets.keep("q", "ben")
    sets.remove("q", by="ann", version=sets.get("q").current.version, ids=[row["id"]])
    sets.columns("q", {"label": "kind"}, by="ann", version=sets.get("q").current.version)
    sets.back("q", version, by="ann")
    sets.split("q", by="ann")
    sets.delete("q", by="ann")
    assert [one[1] for one in told] == [
        f"data.{name}" for name in ("upload", "label", "remove", "columns", "back", "split", "delete")
    ]
    assert {one[2] for one in told} == {"q"}
    assert told[1][0] == "ben"
    assert listing(sets.folder) == {"sets.json", ".lock"}
