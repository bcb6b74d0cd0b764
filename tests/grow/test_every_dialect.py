"""One true log and one true market, written in every dialect that people's programs write: each is read to the same cells, or what is
said names the flag with which it is."""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.errors import InputError
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.read import read_log
from noria.grow.series.series import read_series
from noria.grow.series.shapes import SeriesOptions
from tests.made_files import sheet

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EPOCH, SERIAL = datetime(1970, 1, 1), datetime(1899, 12, 30)
FULL = str.maketrans("0123456789.,", "０１２３４５６７８９．，")

NUMBERS: Mapping[str, Callable[[float], str]] = {
    "plain": lambda value: f"{value:.2f}",
    "english": lambda value: f"{value:,.2f}",
    "german": lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")),
    "french": lambda value: f"{value:,.2f}".replace(",", "\u202f").replace(".", ","),
    "swiss": lambda value: f"{value:,.2f}".replace(",", "'"),
    "spaced": lambda value: f"{value:,.2f}".replace(",", " "),
    "full width": lambda value: f"{value:.2f}".translate(FULL),
    "money": lambda value: f"¥{value:,.2f}",
}
TIMES: Mapping[str, Callable[[datetime], str]] = {
    "iso": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso without a zone": lambda at: at.strftime("%Y-%m-%d %H:%M"),
    "slashes": lambda at: f"{at.year}/{at.month}/{at.day} {at:%H:%M}",
    "english": lambda at: f"{at.month}/{at.day}/{at.year} {at.hour}:{at:%M}",
    "american": lambda at: at.strftime("%m/%d/%y %I:%M %p"),
    "british": lambda at: f"{at.day}/{at.month}/{at.year} {at.hour}:{at:%M}",
    "german": lambda at: at.strftime("%d.%m.%Y %H:%M"),
    "chinese": lambda at: f"{at.year}年{at.month}月{at.day}日 {at.hour}:{at:%M}",
    "words": lambda at: at.strftime("%d-%b-%Y %H:%M"),
    "seconds": lambda at: str(int((at - EPOCH).total_seconds())),
    "milliseconds": lambda at: str(int((at - EPOCH).total_seconds() * 1000)),
    "spreadsheet": lambda at: repr(round((at - SERIAL).total_seconds() / 86_400, 6)),
}
DELIMITERS = (",", ";", "\t", "|", " ")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "gb18030")
CONTAINERS = ("csv", "gz", "xlsx", "parquet")
NAMES = {"en": ("user", "time", "value"), "zh": ("用户", "下单时间", "金额（元）")}


def written(
    folder: Path, header: Sequence[str], rows: Sequence[Sequence[str]], container: str, delimiter: str, encoding: str
) -> Path:
    """Return a file of the rows."""
    if container == "xlsx":
        path = folder / "t.xlsx"
        path.write_bytes(sheet([list(header), *map(list, rows)]))
    elif container == "parquet":
        path = folder / "t.parquet"
        pq.write_table(pa.table({name: [row[place] for row in rows] for place, name in enumerate(header)}), path)
    else:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *rows])
        path = folder / ("t.csv.gz" if container == "gz" else "t.csv")
        image = out.getvalue().encode(encoding)
        path.write_bytes(gzip.compress(image) if container == "gz" else image)
    return path


def sampled(count: int, seed: int, *parts: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return combinations in which each value of each part comes, and others by chance."""
    draw = random.Random(seed)
    most = max(map(len, parts))
    covering = [tuple(part[place % len(part)] for part in parts) for place in range(most)]
    return covering + [tuple(draw.choice(part) for part in parts) for _ in range(count - most)]


def flags_in(said: str) -> set[str]:
    return set(re.findall(r"--([a-z-]+)", said))


def acts(seed: int) -> list[tuple[str, datetime, float]]:
    draw = random.Random(seed)
    found = [
        (f"顾客{draw.randrange(9)}", datetime(2025, 1, 1 + draw.randrange(28), draw.randrange(24), draw.randrange(60)))
        for _ in range(30)
    ]
    return [(user, at, draw.randrange(100, 10**7) / 100) for user, at in found]


def attempt(path: Path, connection: Any, **given: Any) -> tuple[Log | None, str]:
    """Return the log, or None and what is said."""
    try:
        return read_log(path, now=NOW, connection=connection, **given), ""
    except InputError as error:
        return None, str(error)


@pytest.fixture(scope="module")
def connection() -> Any:
    return connect()


LOGS = sampled(36, 5, list(TIMES), list(NUMBERS), DELIMITERS, ENCODINGS, CONTAINERS, list(NAMES))


@pytest.mark.parametrize("chunk", range(4))
def test_a_log_is_read_to_the_same_cells_in_every_dialect(chunk: int, tmp_path: Path, connection: Any) -> None:
    for number, (form, style, delimiter, encoding, container, names) in enumerate(LOGS[chunk::4]):
        meant = acts(number)
        rows = [(user, TIMES[form](at), NUMBERS[style](value)) for user, at, value in meant]
        folder = tmp_path / str(number)
        folder.mkdir()
        path = written(folder, NAMES[names], rows, container, delimiter, encoding)
        how = (form, style, delimiter, encoding, container, names)
        right = {"date-order": {"british": "dmy"}.get(form, "mdy"), "zone": "UTC"}
        log, said = attempt(path, connection, zone="UTC")
        if log is None:
            asked = flags_in(said) & right.keys() - {"zone"}
            assert asked, (how, said)
            given = {flag.replace("-", "_"): right[flag] for flag in asked}
            log, said = attempt(path, connection, zone="UTC", **given)
        assert log is not None, (how, said)
        assert log.problems == (), (how, log.problems)
        found = sorted((row["user"], row["time"], row["value"]) for row in log.table.to_pyarrow().to_pylist())
        assert found == sorted(meant), how


def test_whole_thousands_are_read_or_the_flag_is_named(tmp_path: Path, connection: Any) -> None:
    for style, mark in (("german", "."), ("english", ","), ("swiss", "'"), ("french", "\u202f")):
        rows = [(f"u{number}", "2025-01-03", f"{number + 1}{mark}{250 + number}") for number in range(9)]
        path = written(tmp_path, NAMES["en"], rows, "csv", ";", "utf-8")
        log = read_log(path, now=NOW, connection=connection)
        total = sum(1000 * (number + 1) + 250 + number for number in range(9))
        if style == "german":
            assert "decimal" in flags_in(" ".join(log.notes))
            log = read_log(path, now=NOW, connection=connection, decimal=",")
        assert sum(log.table.to_pyarrow()["value"].to_pylist()) == total, style


MONTHS: Mapping[str, Callable[[date], str]] = {
    "iso": lambda at: at.strftime("%Y-%m"),
    "slashes": lambda at: f"{at.year}/{at.month}",
    "chinese": lambda at: f"{at.year}年{at.month}月",
    "words": lambda at: at.strftime("%b %Y"),
    "short words": lambda at: at.strftime("%b-%y"),
    "days": lambda at: at.isoformat(),
    "english": lambda at: f"{at.month}/{at.day}/{at.year}",
    "german": lambda at: at.strftime("%d.%m.%Y"),
    "seconds": lambda at: str(int((datetime(at.year, at.month, at.day) - EPOCH).total_seconds())),
    "spreadsheet": lambda at: str((datetime(at.year, at.month, at.day) - SERIAL).days),
}
SHAPES = ("long", "wide", "across", "full")
ENTITIES = ("通义", "Doubao", "Kimi, Inc.")
MARKETS = sampled(40, 7, list(MONTHS), list(NUMBERS), DELIMITERS, ENCODINGS, CONTAINERS, SHAPES)


@pytest.mark.parametrize("chunk", range(2))
def test_a_market_is_read_to_the_same_cells_in_every_dialect(chunk: int, tmp_path: Path) -> None:
    times = [date(2023 + month // 12, month % 12 + 1, 1) for month in range(14)]
    for number, (form, style, delimiter, encoding, container, shape) in enumerate(MARKETS[chunk::2]):
        draw = random.Random(number)
        meant = {(at, name): draw.randrange(100, 10**7) / 100 for at in times for name in ENTITIES}
        tell, count = MONTHS[form], NUMBERS[style]
        if shape == "long":
            header: list[str] = ["月份", "品牌", "销量（万台）"]
            rows = [[tell(at), name, count(meant[at, name])] for at in times for name in ENTITIES]
        elif shape == "full":
            header = ["time", "entity", "segment", "measure", "value", "unit"]
            rows = [[tell(at), name, "", "销量", count(meant[at, name]), "万台"] for at in times for name in ENTITIES]
        elif shape == "wide":
            header = ["month", *ENTITIES]
            rows = [[tell(at), *(count(meant[at, name]) for name in ENTITIES)] for at in times]
        else:
            form = form if form not in ("english", "seconds", "spreadsheet") else "iso"
            tell = MONTHS[form]
            header = ["", *map(tell, times)]
            rows = [[name, *(count(meant[at, name]) for at in times)] for name in ENTITIES]
        folder = tmp_path / str(number)
        folder.mkdir()
        path = written(folder, header, rows, container, delimiter, encoding)
        how = (form, style, delimiter, encoding, container, shape)
        with pytest.raises(InputError, match="--source"):
            read_series(path)
        series = read_series(path, SeriesOptions(source="统计局"))
        assert {(point.time[:7], point.entity): point.value for point in series.points} == {
            (f"{at:%Y-%m}", name): value for (at, name), value in meant.items()
        }, how
        assert read_series(path).points == series.points, how  # what was said is kept
        assert {point.unit for point in series.points} == {"万台" if shape in ("long", "full") else "units"}
