"""A file's rows made into acts: what its texts mean, and what of them cannot be used, counted by reason with the first of each.

Times, amounts and names are read by the engine where they are written in the usual way; what is not is looked at once for each
distinct value (`stamps`, `amounts`) and joined. Who acted, and when, decides whether a row is an act. An amount that cannot be used is
set aside alone, and an id that is empty is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from noria.core.errors import shorten
from noria.core.messages import Message, message
from noria.text.times import DateOrder

from .amounts import DecimalMark, currencies, decimal_mark, multiplied, read_amounts
from .columns import no_column
from .instants import instant_sql, odd_times, times_sql, zoned_or_refused
from .loaded import NUMBER, Loaded, quoted
from .names import NO_IDS, literal, placeholder_sql, word_list
from .problems import Problem
from .tables import drop, put
from .zones import UTC_DAYS, LocalCalendar

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


@dataclass(frozen=True)
class Reading:
    """How a file's rows are to be read."""

    names: Mapping[str, str]
    """user, time, value, units, segment and id -> their columns, of which the last four may be absent."""
    place: str
    """The file's name, for messages."""
    now: datetime
    zone: str | None = None
    """The zone of times that name none."""
    calendar: LocalCalendar = UTC_DAYS
    """Its zone is that of bare days."""
    date_order: DateOrder = ""
    decimal: DecimalMark = ""
    keep_users: tuple[str, ...] = ()


# What is wrong with a row, in the order in which it is asked; the first that holds is the reason told.
_REASONS = (
    ("the header again", '"user" = $user_column AND raw_time = $time_column'),
    ("the user is empty", "\"user\" = ''"),
    ("the user stands for nobody", "nobody"),
    ("the time is empty", "coalesce(trim(raw_time), '') = ''"),
    ("the time cannot be read", "time IS NULL"),
    ("the time is before 1970", "time < TIMESTAMP '1970-01-01'"),
    ("the time lies in the future", "time > $now"),
    ("the id came before", "copy > 1"),
)
_FIELDS = {"the user stands for nobody": '"user"'}


def checked(connection: Backend, loaded: Loaded, how: Reading) -> tuple[ibis.Table, list[Problem], list[Message]]:
    """Return the usable rows (user, time, value, units, segment), what was set aside, and what a person should know besides.

    Raises:
        InputError: no such column, times without a zone, or days and months that cannot be told apart.
    """
    for needed in ("user", "time"):
        if how.names[needed] not in loaded.kinds:
            raise no_column(needed, how.names[needed], list(loaded.kinds), how.place)
    parsed = _parsed(connection, loaded, how)
    odd, notes = odd_times(connection, parsed, "record", how.place, loaded.line, how.date_order)
    zoned_or_refused(connection, parsed, odd, how.zone, "record", how.place, loaded.line)
    value, more = _number(connection, parsed, "value", how)
    units, still_more = _number(connection, parsed, "units", how)
    notes += [*more, *still_more]
    table = _flagged_rows(connection, parsed, odd, value, units, how)
    problems = [*loaded.problems, *_problems(connection, loaded, parsed, table)]
    drop(connection, parsed, odd, *(name for name in (value, units) if name))
    rows = connection.table(table)
    kept = rows.filter(rows.problem.isnull()).select("user", "time", "value", "units", "segment")
    return (
        kept,
        sorted(problems, key=lambda problem: (problem.kept, -problem.rows, problem.what)),
        [*loaded.notes, *notes, *_rounded(connection, table)],
    )


def _rounded(connection: Backend, table: str) -> list[Message]:
    """Return what is told of units that are no whole numbers."""
    found = connection.con.execute(
        f'SELECT count(*), min(told_units) FROM "{table}" WHERE problem IS NULL AND isfinite(told_units) AND told_units <> round(told_units)'
    ).fetchone()
    if not found or not found[0]:
        return []
    rows = message("log.rows.one" if found[0] == 1 else "log.rows.many", rows=found[0])
    return [message("log.note.rounded", rows=rows, example=found[1])]


def _parsed(connection: Backend, loaded: Loaded, how: Reading) -> str:
    """Return a table of the rows' texts, with the times that are written as usual; the raw one is gone."""
    name: str = ibis.util.gen_name("parsed")

    def text(part: str) -> str:
        column = how.names[part]
        if column not in loaded.kinds:
            return "NULL::VARCHAR"
        whole = quoted(column) if loaded.kinds[column] == "VARCHAR" else f"CAST({quoted(column)} AS VARCHAR)"
        # To trim costs five times what it costs to see that there is nothing to trim.
        return f"CASE WHEN contains({whole}, ' ') OR contains({whole}, chr(9)) THEN trim({whole}, chr(9) || ' ') ELSE {whole} END"

    number = {
        part: f"TRY_CAST({quoted(how.names[part])} AS DOUBLE)" if how.names[part] in loaded.kinds else "NULL::DOUBLE"
        for part in ("value", "units")
    }
    connection.con.execute(
        f"""CREATE TEMP TABLE "{name}" AS SELECT "{NUMBER}" AS record, coalesce({text("user")}, '') AS "user", {text("segment")} AS segment,
            {text("id")} AS id, {times_sql(how.names["time"], loaded.kinds[how.names["time"]])},
            {text("value")} AS raw_value, {number["value"]} AS value, {text("units")} AS raw_units, {number["units"]} AS units
        FROM "{loaded.name}" """
    )
    drop(connection, loaded.name)
    return name


def _number(connection: Backend, parsed: str, part: str, how: Reading) -> tuple[str, list[Message]]:
    """Return a table of the numbers that are not written as usual, "" where there are none: raw -> number; and what to say of it."""
    run = connection.con.execute
    raw, plain_number = f"raw_{part}", f"{part} IS NOT NULL AND isfinite({part})"
    texts = [
        row[0]
        for row in run(
            f"SELECT DISTINCT {raw} FROM \"{parsed}\" WHERE {raw} <> '' AND NOT coalesce({plain_number}, false) AND {_is_something(raw)}"
        ).fetchall()
    ]
    notes: list[Message] = []
    if not how.decimal:
        # Nothing but values such as 1.234: parts of one, as far as anyone can tell; a person may know better.
        tells = f"SELECT min({raw}), bool_and(regexp_full_match({raw}, '-?[0-9]{{1,3}}\\.[0-9]{{3}}')) FROM \"{parsed}\" WHERE {plain_number} AND {raw} LIKE '%.%'"
        example, doubtful = run(tells).fetchone() or (None, None)
        if example is not None and doubtful and not texts:
            notes.append(message("log.note.point", part=part, text=example, value=float(example)))
    if not texts and how.decimal != ",":
        return "", notes
    pointed = run(
        f"SELECT {raw} FROM \"{parsed}\" WHERE {plain_number} AND {raw} LIKE '%.%' AND NOT regexp_full_match({raw}, '-?[0-9]{{1,3}}(\\.[0-9]{{3}})+') LIMIT 1"
    ).fetchone()
    mark = how.decimal or decimal_mark([*texts, *([pointed[0]] if pointed else [])])
    if mark == ",":  # then 1.234 is more than a thousand, however well it casts
        texts = [row[0] for row in run(f"SELECT DISTINCT {raw} FROM \"{parsed}\" WHERE {raw} <> ''").fetchall()]
    texts.sort()
    amounts = read_amounts(texts, mark)
    name = put(connection, pa.table({raw: pa.array(texts, pa.string()), "amount": pa.array(amounts, pa.float64())}))
    if len(named := currencies(texts)) > 1:
        notes.append(message("log.note.currencies", part=part, names=", ".join(map(repr, named.values()))))
    if mark == ",":
        notes.append(message("log.note.comma", part=part))
    many = next(
        (
            (text, amount)
            for text, amount in zip(texts, amounts, strict=True)
            if amount is not None and multiplied(text)
        ),
        None,
    )
    if many:
        notes.append(message("log.note.multiplied", part=part, text=many[0], value=many[1]))
    return name, notes


def _flagged_rows(connection: Backend, parsed: str, odd: str, value: str, units: str, how: Reading) -> str:
    """Return the table of all rows with what is wrong with each."""
    run = connection.con.execute
    name: str = ibis.util.gen_name("log")
    joins = f'LEFT JOIN "{odd}" USING (raw_time)'
    number = {"value": f'"{parsed}".value', "units": f'"{parsed}".units'}
    for part, table in (("value", value), ("units", units)):
        if table:
            joins += f' LEFT JOIN "{table}" USING (raw_{part})'
            number[part] = f'CASE WHEN "{table}".raw_{part} IS NOT NULL THEN "{table}".amount ELSE {number[part]} END'
    placeholders = placeholder_sql(connection, parsed, how.keep_users)
    repeated = run(f'SELECT count(id) - count(DISTINCT id) FROM "{parsed}" WHERE {_is_something("id")}').fetchone()
    copy = (
        f"CASE WHEN {_is_something('id')} THEN row_number() OVER (PARTITION BY id ORDER BY record) ELSE 1 END"
        if repeated and repeated[0]
        else "1"
    )
    cases = " ".join(f"WHEN {test} THEN '{what}'" for what, test in _REASONS)
    moment = how.now.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    for mark, text in (
        ("$now", f"TIMESTAMP '{moment}'"),
        ("$user_column", literal(how.names["user"])),
        ("$time_column", literal(how.names["time"])),
    ):
        cases = cases.replace(mark, text)
    run(
        f"""CREATE TEMP TABLE "{name}" AS
        WITH read AS (
            SELECT record, "user", coalesce(segment, '') AS segment, id, raw_time, {placeholders} AS nobody, {number["value"]} AS value,
                   {number["units"]} AS units, coalesce("{parsed}".wall, "{odd}".wall) AS wall, coalesce("{parsed}".ahead, "{odd}".ahead) AS ahead,
                   coalesce("{odd}"."day", "{parsed}"."day") AS "day"
            FROM "{parsed}" {joins}),
        timed AS (SELECT *, make_timestamp({instant_sql(how.zone, how.calendar)}) AS time, {copy} AS copy FROM read)
        SELECT record, "user", time, CASE WHEN isfinite(value) AND value >= 0 THEN value END AS value,
               CASE WHEN units >= 0 AND units < 9e18 THEN CAST(units AS BIGINT) ELSE 1 END AS units, segment, CASE {cases} END AS problem,
               value AS told_value, units AS told_units
        FROM timed"""
    )
    return name


def _is_something(column: str) -> str:
    return f"coalesce(lower({column}), '') NOT IN ({word_list(('', *NO_IDS))})"


def _problems(connection: Backend, loaded: Loaded, parsed: str, table: str) -> list[Problem]:
    """Return what was set aside by reason, each with the first place and what stands there."""
    run = connection.con.execute

    def problem_of(
        what: str, rows: int, record: int, field: str, hint: str = "", kept: bool = False, of: str = ""
    ) -> Problem:
        stands = run(f'SELECT {field} FROM "{parsed}" WHERE record = {record} LIMIT 1').fetchone()
        found = str(stands[0]) if stands and stands[0] is not None else ""
        return Problem(
            what, rows, f"line {loaded.line(record)}", found, hint or _hint(of, shorten(found).strip("'")), kept
        )

    problems = []
    grouped = f'SELECT problem, count(*), min(record) FROM "{table}" WHERE problem IS NOT NULL GROUP BY 1'
    for what, rows, record in run(grouped).fetchall():
        field = "id" if "id" in what.split() else _FIELDS.get(what, "raw_time" if "time" in what.split() else "''")
        said = what
        if what in _FIELDS:
            words = [
                row[0]
                for row in run(
                    f'SELECT "user" FROM "{table}" WHERE problem = {literal(what)} GROUP BY 1 ORDER BY min(record)'
                ).fetchall()
            ]
            said += f" ({', '.join(words[:8])}{' ...' if len(words) > 8 else ''})"
        problems.append(problem_of(said, rows, record, field, of=what))
    for part in ("value", "units"):
        verb = "is" if part == "value" else "are"
        for what, test, hint in (
            (
                f"the {part} cannot be read",
                f"{_is_something(f'raw_{part}')} AND NOT coalesce(isfinite(told_{part}), false)",
                message("log.hint.amounts"),
            ),
            (
                f"the {part} {verb} negative, as of a refund" if part == "value" else f"the {part} {verb} negative",
                f"told_{part} < 0 AND isfinite(told_{part})",
                "",
            ),
        ):
            found = run(
                f'SELECT count(*), min(record) FROM "{table}" JOIN "{parsed}" USING (record) WHERE problem IS NULL AND {test}'
            ).fetchone()
            if found and found[0]:
                problems.append(problem_of(what, found[0], found[1], f"raw_{part}", hint, kept=True))
    return problems


def _hint(reason: str, found: str) -> str:
    if reason == "the user stands for nobody":
        return message("log.hint.keep_user", found=found)
    return message("log.hint.times") if reason == "the time cannot be read" else ""
