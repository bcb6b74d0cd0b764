"""Every format of `noria.text.formats`, packed or not, for every command that reads files: read right, or refused in one line that
says what is allowed. Each is asked through the function that the command calls, up to where training or serving would begin."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_files import html_table, pdf, sheet, word

from noria.apps.monitor.topics import read_topics
from noria.apps.support.faq import read_faq
from noria.core.errors import UserError
from noria.core.folder import new_folder
from noria.core.progress import Report
from noria.grow.log.lake import connect
from noria.grow.log.read import read_log
from noria.grow.promote.units import read_units
from noria.grow.series.series import read_series
from noria.make.compress.rows import calibration_texts, held_out_rows
from noria.make.corpus.documents import read_documents
from noria.make.corpus.texts import all_texts, training_texts
from noria.make.training.pretrain.material import corpus_files
from noria.make.training.settings import ReadSettings
from noria.tasks.items import read_items
from noria.tasks.task import read_rows, task_for
from noria.text.formats import FORMATS, Kind
from noria.text.sources import PACKED

Rows = Sequence[dict[str, str]]
LABELLED: Rows = [{"text": "物流很快，包装也好", "label": "好评"}, {"text": "too slow, all in all", "label": "差评"}]
ASKED: Rows = [
    {"question": "怎么退货？", "answer": "七天内可以退货。"},
    {"question": "How to pay?", "answer": "By card."},
]
ITEMS: Rows = [
    {"id": "a1", "title": "杯子", "text": "一只白色的杯子"},
    {"id": "a2", "title": "Cup", "text": "a red cup"},
]
ACTS: Rows = [
    {"user": user, "time": f"2026-01-0{day}T10:00:00Z", "value": "5", "variant": "ab"[day % 2]}
    for day in range(1, 8)
    for user in (f"u{day}", f"v{day}")
]
HEAD = ["# source: counted", "# licence: CC0", "# as_of: 2026-01-01"]
POINTS: Rows = [
    {
        "time": f"2025-0{month}",
        "entity": entity,
        "segment": "",
        "measure": "users",
        "value": str(100 + month),
        "unit": "users",
    }
    for month in range(1, 7)
    for entity in ("A", "B")
]
TOPICS = {"paper": {"title": {"en": "paper", "zh": "纸"}, "words": ["paper", "纸"]}}


def cells(rows: Rows) -> list[list[str]]:
    return [list(rows[0]), *([*row.values()] for row in rows)]


def table(rows: Rows, head: Sequence[str] = (), delimiter: str = ",") -> bytes:
    out = io.StringIO()
    out.writelines(f"{line}\n" for line in head)
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(cells(rows))
    return out.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), out)
    return out.getvalue()


WRITERS: dict[Kind, Callable[[Rows, Sequence[str]], bytes]] = {
    "lines": lambda rows, head: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(),
    "json": lambda rows, head: json.dumps({"data": list(rows)}, ensure_ascii=False).encode(),
    "table": table,
    "sheet": lambda rows, head: sheet([*([line] for line in head), *cells(rows)]),
    "parquet": lambda rows, head: parquet(rows),
    "columns": lambda rows, head: "北 B-LOC\n京 E-LOC\n很 O\n大 O\n\n去 O\n京 S-LOC\n".encode(),
    "text": lambda rows, head: "\n".join(" ".join(row.values()) for row in rows).encode(),
    "page": lambda rows, head: html_table(rows),
    "word": lambda rows, head: word([*head, cells(rows)]),
    "pdf": lambda rows, head: pdf([[" ".join(row.values())] for row in rows]),
}


def zstandard(image: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(image)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    with new_folder(path, kind="model") as folder:
        folder.facts.update(task="classify", labels=["好评", "差评"])
    return path


def texts_are(found: Sequence[str], file: Path) -> None:
    """Check that the texts hold those that were written, or the sentences of a file of tokens and tags."""
    tokens = any(ending in file.name for ending in next(one.endings for one in FORMATS if one.kind == "columns"))
    whole = "".join("".join(found).split())
    for text in ["北京很大", "去京"] if tokens else [row["text"] for row in LABELLED]:
        assert "".join(text.split()) in whole, text


def cleaned(file: Path, model: Path) -> None:
    texts_are([document.text for document in read_documents(file)], file)


def tokenised(file: Path, model: Path) -> None:
    texts_are([*training_texts(file)[0]], file)


def trimmed_to(file: Path, model: Path) -> None:
    texts_are([*all_texts([file])], file)


def calibrated(file: Path, model: Path) -> None:
    found = calibration_texts(model, file, ReadSettings(), Report.silent())
    texts_are([one if isinstance(one, str) else one["text"] for one in found], file)


def same(found: object, wanted: object) -> None:
    assert found == wanted


engine = cache(connect)  # one for all: to start one takes longer than to read such a file


def counted(file: Path, model: Path) -> None:
    log = read_log(file, zone="UTC", connection=engine())
    same(len({row for row in log.table.select("user").to_pyarrow().to_pylist() for row in row.values()}), 14)


ROWS: frozenset[Kind] = frozenset({"lines", "json", "table", "sheet", "parquet", "page", "word"})
ALL: frozenset[Kind] = frozenset(one.kind for one in FORMATS if one.endings)
HEADED: frozenset[Kind] = frozenset({"table", "sheet"})
Check = Callable[[Path, Path], Any]
COMMANDS: dict[str, tuple[Rows, frozenset[Kind], Check]] = {
    "build clean": (LABELLED, ALL, cleaned),
    "build tokenizer": (LABELLED, ALL, tokenised),
    "build base --trim-to": (LABELLED, ALL, trimmed_to),
    "build pretrain": (LABELLED, frozenset(), lambda file, model: corpus_files(file, ())),
    "build finetune": (LABELLED, ROWS, lambda file, model: same(read_rows(file, task_for("classify")), LABELLED)),
    "build evaluate": (
        LABELLED,
        ROWS,
        lambda file, model: same(held_out_rows(model, file, ReadSettings(), Report.silent()), LABELLED),
    ),
    "build compress --calibration": (LABELLED, ALL, calibrated),
    "ship support --faq": (
        ASKED,
        ROWS,
        lambda file, model: same(
            [entry.title("") for entry in read_faq(file).entries], [row["question"] for row in ASKED]
        ),
    ),
    "ship recommend --items": (
        ITEMS,
        ROWS,
        lambda file, model: same(
            [{name: vars(item)[name] for name in ITEMS[0]} for item in read_items(file)], [dict(row) for row in ITEMS]
        ),
    ),
    "ship monitor --topics": (LABELLED, frozenset(), lambda file, model: read_topics(file)),
    "grow users": (ACTS, ROWS, counted),
    "grow promote": (
        ACTS,
        ROWS,
        lambda file, model: same(read_units(file, outcome="value", zone="UTC", connection=engine()).n, len(ACTS)),
    ),
    "grow share, forecast, report": (
        POINTS,
        HEADED,
        lambda file, model: same(
            [one.value for one in read_series(file).points], [float(row["value"]) for row in POINTS]
        ),
    ),
}


def test_the_table_of_formats_is_walked_whole() -> None:
    assert set(WRITERS) == ALL
    assert set(PACKERS) - {""} <= set(PACKED)


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("kind", sorted(WRITERS))
@pytest.mark.parametrize("command", COMMANDS)
def test_every_format_is_read_right_or_refused_in_a_line(
    command: str, kind: Kind, packed: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows, read, check = COMMANDS[command]
    image = PACKERS[packed](WRITERS[kind](rows, HEAD if rows is POINTS else ()))
    for ending in next(one.endings for one in FORMATS if one.kind == kind):
        file = Path(f"rows{ending}{packed}")
        file.write_bytes(
            image
            if kind != "table" or ending == ".csv"
            else PACKERS[packed](table(rows, HEAD if rows is POINTS else (), "\t"))
        )
        if kind in read:
            check(file, model)
            continue
        with pytest.raises(UserError) as caught:
            check(file, model)
        told = str(caught.value)
        assert "\n" not in told
        assert file.name in told
        assert "allowed" in told or "the field is missing" in told  # that one is named, and those that are there


@pytest.mark.parametrize("packed", PACKERS)
def test_topics_are_one_object_of_json(packed: str, tmp_path: Path) -> None:
    (tmp_path / f"topics.json{packed}").write_bytes(PACKERS[packed](json.dumps(TOPICS, ensure_ascii=False).encode()))
    assert read_topics(tmp_path / f"topics.json{packed}").names == ("paper", "other")
