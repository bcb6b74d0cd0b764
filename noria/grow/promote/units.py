"""Units of an experiment: who was in which group, and what became of each; from a table, or from a lake's events.

units = read_units("campaign.csv", variant="group", outcome="bought", before="spend_before")
units = units_of_events(events("runs/lake"), variant="version", outcome="conversion")
units.problems        # what was set aside, why, and how often

One user is one unit: several rows of a user become one, as is told or asked, and a user seen in two groups is in none. Groups whose names differ only
in case, width or spaces are one, and told. Missing is not zero: a user without an outcome is set aside and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from noria.core.errors import InputError, unknown
from noria.core.messages import Message, message
from noria.grow.log.columns import columns_note, named_columns
from noria.grow.log.files import load_table
from noria.grow.log.instants import add_local_times
from noria.grow.log.lake import connect
from noria.grow.log.loaded import NUMBER, Loaded, quoted
from noria.grow.log.log import SERVER_EVENTS
from noria.grow.log.names import NO_IDS, PLACEHOLDERS, plain, word_list
from noria.grow.log.numbers import add_numbers
from noria.grow.log.problems import Problem
from noria.lake.event import KINDS
from noria.text.times import DateOrder

from .rows import ROWS, Duplicates, join_names, lopsided, rows_of_one

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

Floats = npt.NDArray[np.float64]
CONTROLS = ("control", "a", "baseline", "holdout", "none", "0", "对照", "对照组")
"""Names of a group by which the control group is known where none is told."""
VARIANT_COLUMNS = ("version", "model", "segment", "app", "tenant")
"""Columns of a lake's events that can tell groups apart."""


@dataclass(frozen=True)
class Units:
    """Users of an experiment; arrays over users, (N,)."""

    names: tuple[str, ...]
    """The groups, the control group first."""
    group: npt.NDArray[np.int64]
    """Index into `names`."""
    outcome: Floats
    source: str
    weight: Floats | None = None
    """What the outcome is divided by in a ratio metric."""
    before: Floats | None = None
    """A covariate from before the experiment; nan where unknown."""
    day: npt.NDArray[np.int64] | None = None
    """Day of the user's first row, counted from 1970-01-01."""
    features: Mapping[str, Floats | npt.NDArray[np.str_]] = field(default_factory=dict)
    """What is known of a user from before, by name."""
    meant: tuple[float, ...] = ()
    """Share of users that each group was to have, in the order of `names`; even where empty."""
    licence: str = ""
    note: str = ""
    """What a reader must know: "simulated"."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[Message, ...] = ()
    """What was understood in a way of its own, such as names joined."""

    @property
    def n(self) -> int:
        """Users."""
        return int(self.group.size)

    @property
    def counts(self) -> dict[str, int]:
        """Users of each group."""
        return dict(zip(self.names, np.bincount(self.group, minlength=len(self.names)).tolist(), strict=True))

    @property
    def as_of(self) -> str:
        """The last day on which a user came, or nothing."""
        return "" if self.day is None else (date(1970, 1, 1) + timedelta(int(self.day.max()))).isoformat()


def read_units(
    path: str | Path,
    *,
    user: str = "user",
    variant: str = "variant",
    outcome: str = "outcome",
    weight: str = "weight",
    before: str = "before",
    time: str = "time",
    zone: str | None = None,
    date_order: DateOrder = "",
    features: Sequence[str] = (),
    control: str | None = None,
    duplicates: Duplicates | None = None,
    source: str = "",
    licence: str = "",
    connection: Backend | None = None,
) -> Units:
    """Return the units in a CSV, Excel or Parquet file.

    Args:
        path: the file. CSV has a header line.
        user: the column that names the user; so for `variant` and `outcome`.
        variant: the column of the group.
        outcome: a number.
        weight: what the outcome is divided by; may be absent.
        before: a covariate from before the experiment; may be absent, or empty for some.
        time: when the user came; may be absent.
        zone: the time zone of times that name none.
        date_order: of dates such as 12/1/2010: dmy, mdy or ymd; told by the data where it can be.
        features: columns known before the experiment, numbers or words.
        control: name of the control group; that named like one of `CONTROLS`, or the first by name, where not told.
        duplicates: how several rows of one user become one: their sum; any, whether one is above 0, of outcomes of 0 and 1, and
            of others their sum; the first in time, or in the file; or refuse. Where not told, outcomes of 0 and 1 are asked about,
            for their sum is no rate, and others are summed.
        source: what the figures cite; the file's name where not given.
        licence: under which the data may be used.
        connection: where to put the table.

    Raises:
        InputError: no such file or column, fewer than two groups, not one usable row, or users of several rows that are refused
            or must be told about.
    """
    path, connection = Path(path), connection or connect()
    loaded = load_table(connection, path)
    kinds, place = loaded.kinds, str(path)
    named, found = named_columns(list(kinds), {"user": user, "variant": variant, "outcome": outcome})
    user, variant, outcome = named["user"], named["variant"], named["outcome"]
    for flag, column, needed in (
        ("user", user, True),
        ("variant", variant, True),
        ("outcome", outcome, True),
        ("weight", weight, weight != "weight"),
        ("before", before, before != "before"),
        ("time", time, time != "time"),
        *(("features", name, True) for name in features),
    ):
        if needed and column not in kinds:
            raise InputError(
                message("grow.column_4", place=place, column=column),
                found=", ".join(kinds),
                allowed=message("grow.column_there"),
                hint=message("grow.name_2", flag=flag),
            )
    numbers, notes = {}, []
    for name, column in (("outcome", outcome), ("weight", weight), ("before", before)):
        numbers[name], example = (
            add_numbers(connection, loaded.name, column) if column in kinds else ("NULL::DOUBLE", "")
        )
        if example:
            notes.append(message("experiment.note.cells_read", column=column, example=example))
    moment = add_local_times(connection, loaded, time, zone, place, date_order) if time in kinds else "NULL::TIMESTAMP"
    more = "".join(f", CAST({quoted(name)} AS VARCHAR) AS feature_{index}" for index, name in enumerate(features))
    rows = f"""SELECT "{NUMBER}" AS line, trim(coalesce(CAST({quoted(user)} AS VARCHAR), '')) AS "user",
        trim(coalesce(CAST({quoted(variant)} AS VARCHAR), '')) AS variant, {numbers["outcome"]} AS outcome,
        {numbers["weight"]} AS weight, {numbers["before"]} AS before, {moment} AS time{more} FROM "{loaded.name}" """
    has = {"weight": weight in kinds, "before": before in kinds, "time": time in kinds}
    units = _units(connection, rows, features, has, control, source or path.name, licence, loaded, duplicates)
    return replace(units, notes=(*columns_note(found), *loaded.notes, *notes, *units.notes))


def units_of_events(
    table: ibis.Table,
    *,
    variant: str = "version",
    outcome: str = "conversion",
    exposure: str = "request",
    ratio: bool = False,
    control: str | None = None,
    connection: Backend | None = None,
) -> Units:
    """Return the units in a lake's events: users who saw one variant, and what they did from then on.

    Args:
        table: what `noria.grow.log.lake.events` returned.
        variant: the column that tells the groups apart, one of `VARIANT_COLUMNS`.
        outcome: the kind of event that counts, such as conversion, click or feedback. Of feedback only "right" counts.
        exposure: the kind of event by which a user enters: request or impression.
        ratio: the outcome is counted per exposure; else it is whether it came at all.
        control: name of the control group.
        connection: the table's.

    Raises:
        SettingError: no such column or kind.
        InputError: no user entered.
    """
    for what, name, known in (
        ("column of variants", variant, VARIANT_COLUMNS),
        ("kind of event", outcome, KINDS),
        ("kind of event", exposure, KINDS),
    ):
        if name not in known:
            raise unknown(what, name, known)
    shown = table.filter((table.kind == exposure) & (table.user != "") & (table[variant] != ""))
    shown = shown.select(user=shown.user, variant=shown[variant], time=shown.time)
    first = shown.group_by("user").aggregate(first=shown.time.min())
    acts = table.filter((table.kind == outcome) & (table.user != ""))
    if outcome == "feedback":
        acts = acts.filter(acts.value > 0)
    later = acts.join(first, "user").filter(lambda both: both.time >= both.first)
    counted = later.group_by("user").aggregate(acts=later.count())
    # A user of two variants keeps a row for each, so that the check for crossed users sees them.
    entered = shown.group_by(["user", "variant"]).aggregate(time=shown.time.min(), weight=shown.count())
    joined = entered.left_join(counted, "user").select(
        "user", "variant", "time", "weight", acts=ibis.coalesce(counted.acts, 0)
    )
    backend: Any = connection or table.get_backend()
    name = ibis.util.gen_name("exposed")
    backend.con.register(name, joined.to_pyarrow())
    value = "CAST(acts AS DOUBLE)" if ratio else "CAST(acts > 0 AS DOUBLE)"
    weight = "CAST(weight AS DOUBLE)" if ratio else "NULL::DOUBLE"
    rows = f"""SELECT row_number() OVER () AS line, "user", variant, {value} AS outcome, {weight} AS weight,
        NULL::DOUBLE AS before, time FROM "{name}" """
    return _units(backend, rows, (), {"weight": ratio, "before": False, "time": True}, control, SERVER_EVENTS, "")


def read_features(
    path: str | Path, features: Sequence[str], *, user: str = "user", connection: Backend | None = None
) -> tuple[list[str], dict[str, Floats | npt.NDArray[np.str_]]]:
    """Return users and their features, in the order of the file.

    Raises:
        InputError: no such file or column, or no row.
    """
    path, connection = Path(path), connection or connect()
    loaded = load_table(connection, path)
    raw, kinds = loaded.name, loaded.kinds
    for flag, column in (("user", user), *(("features", name) for name in features)):
        if column not in kinds:
            raise InputError(
                message("grow.column_3", path=path, column=column),
                found=", ".join(kinds),
                allowed=message("grow.column_there"),
                hint=message("grow.name_2", flag=flag),
            )
    columns = "".join(f", CAST({quoted(name)} AS VARCHAR) AS feature_{place}" for place, name in enumerate(features))
    data = connection.con.execute(
        f'SELECT CAST({quoted(user)} AS VARCHAR) AS "user"{columns} FROM "{raw}" ORDER BY "row number"'
    ).to_arrow_table()
    if not data.num_rows:
        raise InputError(message("grow.holds_users", path=path))
    return data["user"].to_pylist(), {name: _feature(data[f"feature_{place}"]) for place, name in enumerate(features)}


_NOBODY = tuple(
    word for word in PLACEHOLDERS if not word.lstrip("-").startswith("0") and word != "-1"
)  # units may be numbered from 0
_NO_GROUP = tuple(word for word in NO_IDS if word not in (*CONTROLS, "0.0", "-1"))
_NO_OUTCOME = "the outcome is missing or no finite number"
_REASONS = (
    ("the user is empty", "\"user\" = ''"),
    ("the user stands for nobody", 'lower("user") IN ($nobody)'),
    ("the group is empty", "variant = ''"),
    ("the group is a word for none", "lower(variant) IN ($nothing)"),
    (_NO_OUTCOME, "NOT coalesce(isfinite(outcome), false)"),
    (
        "the weight is missing, negative or no finite number",
        "$weight AND NOT coalesce(isfinite(weight) AND weight >= 0, false)",
    ),
    ("the time cannot be read", "$time AND time IS NULL"),
)


def _units(
    connection: Backend,
    rows: str,
    features: Sequence[str],
    has: Mapping[str, bool],
    control: str | None,
    source: str,
    licence: str,
    loaded: Loaded | None = None,
    duplicates: Duplicates | None = None,
) -> Units:
    """Return checked rows as units, one a user; count what was set aside."""
    run = connection.con.execute
    checked, joined = ibis.util.gen_name("checked"), ibis.util.gen_name("units")
    cases = " ".join(f"WHEN {test} THEN '{what}'" for what, test in _REASONS)
    cases = cases.replace("$nobody", word_list(_NOBODY)).replace("$nothing", word_list(_NO_GROUP))
    cases = cases.replace("$weight", str(has["weight"])).replace("$time", str(has["time"]))
    run(f'CREATE TEMP TABLE "{checked}" AS SELECT *, CASE {cases} END AS problem FROM ({rows})')
    found = run(
        f'SELECT problem, count(*), min(line) FROM "{checked}" WHERE problem IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1'
    )
    line_of = loaded.line if loaded else int
    problems = list(loaded.problems) if loaded else []
    problems += [Problem(what, count, f"line {line_of(line)}") for what, count, line in found.fetchall()]
    notes = join_names(connection, checked)
    if any(problem.what == _NO_OUTCOME for problem in problems):
        notes += lopsided(connection, checked, _NO_OUTCOME)
    more = "".join(
        f", first(feature_{index} ORDER BY line) FILTER (feature_{index} IS NOT NULL) AS feature_{index}"
        for index in range(len(features))
    )

    def join(row: str) -> None:
        run(f"""CREATE OR REPLACE TEMP TABLE "{joined}" AS SELECT "user", min(variant) AS variant, count(DISTINCT variant) AS variants,
            count(*) AS seen, min(line) AS line, {row.format("outcome")} AS outcome, {row.format("weight")} AS weight,
            first(before ORDER BY line) FILTER (isfinite(before)) AS before,
            date_diff('day', DATE '1970-01-01', min(time)) AS day{more} FROM "{checked}" WHERE problem IS NULL GROUP BY 1""")

    join(ROWS["sum"])
    how, told = rows_of_one(connection, (checked, joined), duplicates, has["weight"], line_of, source)
    notes += told
    if how != "sum":
        join(ROWS[how])
    crossed = run(f'SELECT count(*), sum(seen), min(line) FROM "{joined}" WHERE variants > 1').fetchone()
    if crossed and crossed[0]:
        problems.append(
            Problem(f"{crossed[0]:,} users were in more than one group", int(crossed[1]), f"line {line_of(crossed[2])}")
        )
    data: pa.Table = run(
        f'SELECT * EXCLUDE (variants, seen) FROM "{joined}" WHERE variants = 1 ORDER BY line'
    ).to_arrow_table()
    for name in (checked, joined):
        run(f'DROP TABLE "{name}"')
    if not data.num_rows:
        raise InputError(
            message("grow.holds_usable", source=source),
            found="; ".join(problem.text() for problem in problems) or message("grow.rows"),
            allowed=message("grow.rows_user_one"),
        )
    seen = data["variant"].to_numpy()
    names = _ordered(sorted(set(seen.tolist())), control, source)
    place = {name: index for index, name in enumerate(names)}
    if has["weight"] and not float(np.sum(data["weight"].to_numpy())):
        raise InputError(message("grow.weights_all", source=source), allowed=message("grow.what_outcome"))
    return Units(
        names,
        np.array([place[name] for name in seen], dtype=np.int64),
        data["outcome"].to_numpy(),
        source,
        weight=data["weight"].to_numpy() if has["weight"] else None,
        before=_before(data) if has["before"] else None,
        day=data["day"].to_numpy().astype(np.int64) if has["time"] else None,
        features={name: _feature(data[f"feature_{index}"]) for index, name in enumerate(features)},
        licence=licence,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _ordered(names: list[str], control: str | None, source: str) -> tuple[str, ...]:
    """Return the groups with the control group first."""
    if len(names) < 2:
        raise InputError(message("grow.only_one", source=source), found=names, allowed=message("grow.control_group"))
    if len(names) > 50:
        raise InputError(
            message("grow.too_many", source=source),
            found=f"{len(names):,}",
            allowed=message("grow.to_5"),
            hint=message("grow.variant_right"),
        )
    if control is not None:
        control = next((name for name in names if plain(name) == plain(control)), control)
        if control not in names:
            raise unknown("group", control, names)
    chosen = control or next((name for known in CONTROLS for name in names if plain(name) == known), names[0])
    return (chosen, *(name for name in names if name != chosen))


def _before(data: pa.Table) -> Floats | None:
    values = data["before"].to_numpy().astype(np.float64)
    return None if np.isnan(values).all() else values


def _feature(column: pa.ChunkedArray) -> Floats | npt.NDArray[np.str_]:
    """Return a feature as numbers where all that is known of it are numbers, else as words."""
    words = column.to_pylist()
    try:
        return np.array([np.nan if word is None or not word.strip() else float(word) for word in words])
    except ValueError:
        return np.array([word or "" for word in words], dtype=np.str_)
