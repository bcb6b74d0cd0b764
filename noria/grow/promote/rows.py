"""Rows of an experiment before they are users: groups whose names mean one, and users of several rows.

The sum of a user's rows of 0 and 1 is no rate any more, and a copied row counts twice: so rows are summed only where that was
said, or where outcomes are amounts, and then it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from noria.core.errors import InputError
from noria.core.messages import Message, joined, message
from noria.grow.log.names import alike, one_spelling

from .balance import DOUBTFUL

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

Duplicates = Literal["sum", "any", "first", "refuse"]
MOST_NAMES = 5000
"""Names of groups beyond which none are joined: no experiment has so many."""
ROWS: dict[Duplicates, str] = {
    "sum": "sum({0})",
    "any": "max(CAST({0} > 0 AS DOUBLE))",
    "first": "first({0} ORDER BY time, line)",
}
"""How the rows of a user become one, in SQL."""


def rows_of_one(
    connection: Backend,
    tables: tuple[str, str],
    duplicates: Duplicates | None,
    weighted: bool,
    line_of: Callable[[int], int],
    source: str,
) -> tuple[Duplicates, list[Message]]:
    """Return how several rows of a user become one, and what to tell of it.

    Args:
        connection: where the tables are.
        tables: the rows, each with what is wrong with it in `problem`; and the users, with how many rows each has in `seen`.
        duplicates: how; None asks where outcomes are 0 and 1, and sums others.
        weighted: whether the metric is a ratio, whose parts are summed.
        line_of: a row's line in its file.
        source: what a refusal names.

    Raises:
        InputError: there are such users, and they are refused, or nobody said what their rows of 0 and 1 mean.
    """
    checked, joined = tables
    several = f'FROM "{joined}" WHERE seen > 1 AND variants = 1'
    users, rows, line = (
        connection.con.execute(f"SELECT count(*), sum(seen), min(line) {several}").fetchone() or (0,) * 3
    )
    if not users:
        return "sum", []
    kinds, rate = (
        connection.con.execute(f"""SELECT count(DISTINCT ("user", outcome, weight, before, time))
        FILTER ("user" IN (SELECT "user" {several})), bool_and(outcome IN (0, 1)) FROM "{checked}" WHERE problem IS NULL""").fetchone()
        or (0, False)
    )
    rate = rate and not weighted
    how: Duplicates = "sum" if duplicates is None or (duplicates == "any" and not rate) else duplicates
    found = message("grow.users_rows", users=users, rows=int(rows), copies=int(rows) - kinds, line=line_of(line))
    if how == "refuse":
        raise InputError(
            message("grow.several_rows_refused", source=source), found=found, allowed=message("grow.one_row_user")
        )
    if duplicates is None and rate:
        raise InputError(
            message("grow.several_rows_asked", source=source),
            found=found,
            allowed="sum, any, first, refuse",
            hint=message("grow.name_duplicates"),
        )
    return how, [message(f"experiment.duplicates.{how}", found=found)]


def join_names(connection: Backend, checked: str) -> list[Message]:
    """Give groups whose names differ in nothing that can be meant one name, and return what to tell of it."""
    run = connection.con.execute
    counted = run(
        f'SELECT variant, count(*) FROM "{checked}" WHERE problem IS NULL GROUP BY 1 ORDER BY min(line)'
    ).fetchall()
    if len(counted) > MOST_NAMES:
        return []
    spelling = one_spelling(dict(counted))
    for name, used in spelling.items():
        if name != used:
            run(f'UPDATE "{checked}" SET variant = ? WHERE variant = ?', [used, name])
    return [
        message("experiment.note.one_group", used=used, others=joined("join.list", map(repr, others)))
        for used, others in alike(spelling).items()
    ]


def lopsided(connection: Backend, checked: str, what: str) -> list[Message]:
    """Return a note where the rows set aside for `what` are not as many a part of every group: what is left may then not be alike."""
    from scipy.stats import chi2_contingency

    found = connection.con.execute(
        f"""SELECT variant, count(*) FILTER (problem = $what), count(*) FROM "{checked}"
            WHERE problem IS NULL OR problem = $what GROUP BY 1 ORDER BY 1""",
        {"what": what},
    ).fetchall()
    lost = sum(row[1] for row in found)
    if len(found) < 2 or not 0 < lost < sum(row[2] for row in found):
        return []
    p = float(chi2_contingency([[gone, rows - gone] for _, gone, rows in found], correction=False).pvalue)
    if p > DOUBTFUL:
        return []
    parts = joined(
        "join.list", [message("experiment.missing.part", name=name, gone=gone, rows=rows) for name, gone, rows in found]
    )
    return [message("experiment.missing.lopsided", parts=parts, p=p)]
