"""A table of any shape as rows of a series: long with columns of any names, wide with entities side by side, or with times side by side.

    shaped = shaped_rows(read_table(Path("sales.csv")), SeriesOptions(), Path("sales.csv"))
    shaped.rows[0]        # (2, {"time": "2024-01", "entity": "甲", "segment": "", "measure": "销量", "value": "12", "unit": "万台"})
    shaped.flags          # which column was read as what

What a column holds is told by its cells first and by its name second: times, numbers, or names. Nothing is guessed where two columns
could be meant; then the person is asked, and what is left out is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noria.core.errors import InputError, did_you_mean
from noria.core.messages import Message, joined, message
from noria.grow.log.columns import column_named
from noria.text.columns import as_it_should_be
from noria.text.headings import bare_name
from noria.text.numbers import MISSING, number_of, style_of
from noria.text.times import DateOrder

from .around import Row, Shaped, fill_down, is_number, leave_footnotes, unit_above
from .cells import MARKS, Flag
from .headed import Headed
from .periods import are_times

PARTS = ("time", "entity", "segment", "measure", "value", "unit")
_BRACKETS = re.compile(r"\s*[(（\[【]\s*(?:unit|单位)?\s*[:：]?\s*([^()（）\[\]【】]*?)\s*[)）\]】]\s*$", re.IGNORECASE)
_NO_MEASURE = re.compile(
    r"rank(?:ing)?|no|nr|id|index|#|排名|名次|序号|编号|同比.*|环比.*|yoy.*|mom.*|.*growth.*|.*change.*|.*增长.*|.*增速.*"
)
"""Names of columns of numbers that are no amounts of an entity."""
_SHARE = re.compile(r"share|percent|pct|anteil|part de march|cuota|quota|份额|占比|占有率|市占率|比例|比重|百分比")


@dataclass(frozen=True)
class SeriesOptions:
    """What a person says of a series' file; what is empty the file itself tells, or what is kept beside it."""

    source: str = ""
    """Who published it, where."""
    licence: str = ""
    unit: str = ""
    """Of values that name none."""
    time: str = "time"
    """The column of times; so for `value` and `segment`."""
    value: str = "value"
    segment: str = "segment"
    date_order: DateOrder = ""
    decimal: str = ""
    """What stands before the decimals."""
    zone: str = ""
    """In which seconds since 1970 are days."""


def shaped_rows(table: Headed, options: SeriesOptions, path: Path) -> Shaped:
    """Return a table's rows as those of a series, without totals and footnotes.

    Raises:
        InputError: no column of times or of numbers, or several that could be meant.
    """
    made = Shaped(list(table.rows))
    unit = options.unit
    made.above = unit_above(table.titles, made)
    header = [name for name in table.columns if name]
    if all(name in header for name in ("time", "entity", "value")) and all(
        getattr(options, part) == part for part in ("time", "value", "segment")
    ):
        leave_footnotes(made, totals=True)
        return _completed(made, header, unit)
    across = [name for name in header if are_times([_BRACKETS.sub("", name)])]
    if len(across) >= 2 and len(across) >= len(header) - 4:
        leave_footnotes(made, totals=False)  # there a total is an entity
        return _times_across(made, header, across, unit, path)
    leave_footnotes(made, totals=True)
    time = _time_column(made.rows, header, options, path)
    fill_down(made, [time])
    return _times_down(made, header, time, options, unit, path)


def _completed(made: Shaped, header: Sequence[str], unit: str) -> Shaped:
    """Return rows that have time, entity and value by these names, with what else a series needs."""
    told = (
        {}
        if "unit" in header
        else {"unit": _unit_of("value", [row.get("value", "") for _, row in made.rows], unit, made.above)}
    )
    made.rows = [(line, {"segment": "", **row, **told}) for line, row in made.rows]
    return made if "unit" in header and "measure" in header else _finished(made, unit)


def _time_column(rows: Sequence[Row], header: Sequence[str], options: SeriesOptions, path: Path) -> str:
    if options.time != "time":
        if options.time not in header:
            raise _missing("time", options.time, header, path)
        return options.time
    named = column_named("time", header)
    order = [named, *(name for name in header if name != named)] if named else list(header)
    for name in order:
        cells = [row.get(name, "") for _, row in rows]
        if are_times(cells) or (name == named and _serials(cells)):
            return name
    raise _missing("time", "time", header, path)


def _serials(cells: Iterable[str]) -> bool:
    """Return whether the cells of a column that is called a time are plain numbers: days of a spreadsheet, seconds since 1970."""
    known = [cell.strip() for cell in cells if cell.strip()]
    return bool(known) and sum(bool(re.fullmatch(r"\d{5,16}(?:\.0*)?", cell)) for cell in known) >= 0.8 * len(known)


def _times_down(
    made: Shaped, header: Sequence[str], time: str, options: SeriesOptions, unit: str, path: Path
) -> Shaped:
    columns = {name: [row.get(name, "") for _, row in made.rows] for name in header if name != time}
    numbers = [name for name in columns if _are_numbers(columns[name])]
    names = [name for name in columns if name not in numbers and any(cell.strip() for cell in columns[name])]
    used = {"time": time}
    taken = [time]
    for part in ("measure", "unit"):
        found = column_named(part, names, taken)
        if found:
            used[part] = found
            taken.append(found)
    marks = {mark: name for name in names if (mark := bare_name(name)) in MARKS}
    others = [name for name in names if name not in taken and name not in marks.values()]
    values = _value_columns(numbers, columns, options, header, path)
    fill_down(made, others)
    used |= _entity_and_segment(made.rows, others, time, options, header, path)
    asked = [used[part] for part in ("time", "entity", "segment", "measure", "unit") if part in used]
    wide = "entity" not in used
    units = {name: _unit_of(name, columns[name], unit, made.above) for name in values}
    if wide and len(values) > 1:
        units = dict.fromkeys(values, _common_unit(values, columns, unit) or made.above)
    rows: list[Row] = []
    for line, row in made.rows:
        for name in values:
            bare = _BRACKETS.sub("", name).strip() or name
            known = {part: row.get(used[part], "") for part in ("segment", "measure", "unit") if part in used}
            rows.append(
                (
                    line,
                    {
                        "time": row.get(time, ""),
                        "entity": bare if wide else row.get(used["entity"], ""),
                        "segment": known.get("segment", ""),
                        "measure": known.get("measure") or ("" if wide and len(values) > 1 else bare),
                        "value": row.get(name, ""),
                        "unit": known.get("unit") or units[name],
                        **{mark: row.get(column, "") for mark, column in marks.items()},
                    },
                )
            )
    made.rows = rows
    made.flags.append(_columns_flag(used, values, wide=wide))
    left = [name for name in header if name not in (*asked, *values, *marks.values())]
    if left:
        made.flags.append(
            Flag("columns", "", message("flags.columns.columns_not_read", names=joined("join.list", left)))
        )
    return made if "unit" in used and "measure" in used else _finished(made, unit)


def _times_across(made: Shaped, header: Sequence[str], across: Sequence[str], unit: str, path: Path) -> Shaped:
    """Return the rows of a table with a column for each time."""
    others = [name for name in header if name not in across]
    names = [name for name in others if not _are_numbers([row.get(name, "") for _, row in made.rows])]
    fill_down(made, names)
    used = _entity_and_segment(made.rows, names, "", SeriesOptions(), header, path)
    if "entity" not in used:
        raise _missing("entity", "entity", header, path)
    cells = [row.get(name, "") for _, row in made.rows for name in across]
    told = _unit_of(used["entity"] if _BRACKETS.search(used["entity"]) else "value", cells, unit, made.above)
    rows = []
    for line, row in made.rows:
        for name in across:
            rows.append(
                (
                    line,
                    {
                        "time": _BRACKETS.sub("", name).strip(),
                        "entity": row.get(used["entity"], ""),
                        "segment": row.get(used["segment"], "") if "segment" in used else "",
                        "value": row.get(name, ""),
                        "unit": told,
                    },
                )
            )
    made.rows = rows
    made.flags.append(_columns_flag({**used, "time": f"{across[0]} … {across[-1]}"}, [], wide=False))
    return _finished(made, unit)


def _value_columns(
    numbers: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    options: SeriesOptions,
    header: Sequence[str],
    path: Path,
) -> list[str]:
    if options.value != "value":
        if options.value not in header:
            raise _missing("value", options.value, header, path)
        return [options.value]
    if "value" in numbers:
        return ["value"]
    found = [
        name
        for name in numbers
        if not _NO_MEASURE.fullmatch(bare_name(name))
        and not any(cell.strip().startswith(("-", "−", "(")) and is_number(cell) for cell in columns[name])
    ]
    if not found:
        raise _missing("value", "value", header, path)
    return found


def _entity_and_segment(
    rows: Sequence[Row], names: Sequence[str], time: str, options: SeriesOptions, header: Sequence[str], path: Path
) -> dict[str, str]:
    """Return which of the columns of names holds the entity, and which the segment."""
    used: dict[str, str] = {}
    if options.segment != "segment":
        if options.segment not in header:
            raise _missing("segment", options.segment, header, path)
        used["segment"] = options.segment
    free = [name for name in names if name not in used.values()]
    if len(free) == 1:
        return {"entity": free[0], **used}
    if not free:
        return used
    entity = column_named("entity", free)
    segment = used.get("segment") or column_named("segment", free, [entity] if entity else [])
    left = [name for name in free if name != segment]
    entity = entity or (left[0] if len(left) == 1 else "")
    if not entity:
        raise InputError(
            message("grow.several_names", path=path),
            found=", ".join(free),
            allowed=message("grow.entity_column"),
            hint=message("grow.name_segment"),
        )
    used["entity"] = entity
    keys = [(row.get(time, ""), row.get(entity, "")) for _, row in rows]
    if segment or len(set(keys)) < len(keys):
        rest = [name for name in free if name not in (entity, segment)]
        chosen = segment or (rest[0] if len(rest) == 1 else "")
        if chosen:
            used["segment"] = chosen
    return used


def _are_numbers(cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if cell.strip() and cell.strip().casefold() not in MISSING]
    return bool(known) and sum(map(is_number, known)) >= 0.8 * len(known)


def _unit_of(name: str, cells: Iterable[str], unit: str, above: str = "") -> str:
    """Return the unit of a column: what the person says, what stands in its name or with its numbers, what a line above says, or its name."""
    bracketed = _BRACKETS.search(name)
    if unit or (bracketed and bracketed[1]):
        return unit or (bracketed[1] if bracketed else "")
    known = [cell.strip() for cell in cells if cell.strip()]
    if any(cell.endswith(("%", "％", "‰")) for cell in known):
        return "percent" if any(cell.endswith(("%", "％")) for cell in known) else "‰"
    bare = bare_name(name)
    if _SHARE.search(bare):
        return "share"
    if above:
        return above
    return "" if bare in ("value", "values", "数值", "值", "amount") else name


def _common_unit(values: Sequence[str], columns: Mapping[str, Sequence[str]], unit: str) -> str:
    """Return the unit of numbers under the names of entities: what all of these say, and else what their sums do."""
    if unit:
        return unit
    told = {_unit_of("value", columns[name], "") for name in values}
    bracketed = {found[1] for name in values if (found := _BRACKETS.search(name))}
    if len(bracketed) == 1:
        return bracketed.pop()
    return "percent" if "percent" in told else ""


def _finished(made: Shaped, given: str) -> Shaped:
    """Return rows with a unit and a measure for each: where nobody told a unit, sums of 100 or of one at all times are shares."""
    silent = [row for _, row in made.rows if not row["unit"]]
    if silent:
        unit = _sums(silent)
        for row in silent:
            row["unit"] = unit or "units"
        made.flags.append(
            Flag("unit", "", message("flags.unit.found", unit=unit) if unit else message("flags.unit.none"))
        )
    for _, row in made.rows:
        row["measure"] = row.get("measure") or ("share" if row["unit"] in ("percent", "share", "%", "‰") else "value")
    return made


def _sums(rows: Sequence[Mapping[str, str]]) -> str:
    """Return percent where the numbers of each time sum to 100, share where they sum to one; else nothing."""
    times: dict[tuple[str, ...], list[float]] = {}
    try:
        style = style_of(row["value"] for row in rows)
        for row in rows:
            number = number_of(row["value"], style)
            if number is not None:
                times.setdefault((row["time"], row["segment"], row.get("measure", "")), []).append(number.value)
    except ValueError:
        return ""
    sums = [sum(values) for values in times.values() if len(values) > 1]
    if len(sums) < 2:
        return ""
    for unit, whole in (("percent", 100.0), ("share", 1.0)):
        if all(abs(total / whole - 1) <= 0.005 for total in sums):
            return unit
    return ""


def _columns_flag(used: Mapping[str, str], values: Sequence[str], *, wide: bool) -> Flag:
    listed = [
        message("log.note.column", part=message(f"log.part.{part}"), column=column) for part, column in used.items()
    ]
    told = joined("join.list", values)
    if values:
        listed.append(
            message("flags.shape.entities", names=told) if wide else message("flags.shape.values", names=told)
        )
    return Flag("shape", "", message("log.note.columns", columns=joined("join.list", listed)))


def _missing(part: str, name: str, header: Sequence[str], path: Path) -> InputError:
    flags = {"time": "--time", "value": "--value", "segment": "--segment"}
    hint: Message | None = message("grow.name_flag", flag=flags[part]) if part in flags else None
    form = as_it_should_be(["time", "entity", "value"])
    hint = did_you_mean(name, header) or (joined("join.clauses", [hint, form]) if hint else form)
    if column_named("user", header):
        hint = message("grow.perhaps_a_log")
    return InputError(
        message("grow.column_2", place=path, needed=message(f"log.part.{part}")),
        found=", ".join(header),
        allowed=message("grow.series_allowed") if name == part else message("grow.one_named", names=name),
        hint=hint,
    )
