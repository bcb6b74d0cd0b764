"""What was set aside of a file's rows: by reason, how often, where the first one stands, what stands there, and what helps."""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.errors import shorten
from noria.core.messages import Message, as_is, joined, message

_REASONS = {
    "the header again": "header_again",
    "the user is empty": "user_empty",
    "the user stands for nobody": "user_stands_for_nobody",
    "the time is empty": "time_empty",
    "the time is missing": "time_missing",
    "the time cannot be read": "time_cannot_be_read",
    "the time is before 1970": "time_before_1970",
    "the time lies in the future": "time_lies_future",
    "the id came before": "id_came_before",
    "the value cannot be read": "value_cannot_be_read",
    "the value is negative, as of a refund": "value_negative_as_refund",
    "the units cannot be read": "units_cannot_be_read",
    "the units are negative": "units_negative",
    "more cells than columns": "more_cells_than_columns",
    "not a line of a table": "not_line_table",
    "bytes that are not of the file's encoding": "bytes_not_file_encoding",
    "the group is empty": "group_empty",
    "the group is a word for none": "group_word_for_none",
    "the outcome is missing or no finite number": "outcome_missing_or_no_finite_number",
    "the weight is missing, negative or no finite number": "weight_missing_negative_or_no_finite",
}
"""Reason -> the end of its code; what follows one in brackets is of the data."""


@dataclass(frozen=True)
class Problem:
    """Rows, or amounts in them, that were set aside, and why."""

    what: str
    rows: int
    example: str
    """Where the first one stands."""
    found: str = ""
    """What stands there."""
    hint: str = ""
    """What can be done about it."""
    kept: bool = False
    """The rows count all the same; what they say of an amount, or of units, does not."""

    def text(self) -> Message:
        """Return the problem on one line."""
        reason, bracket, rest = self.what.partition(" (")
        known = _REASONS.get(reason)
        stands = [shorten(self.found)] if self.found else []
        more = joined("join.clauses", [*stands, *([self.hint] if self.hint else [])])
        told = {
            "rows": message("log.rows.one" if self.rows == 1 else "log.rows.many", rows=self.rows),
            "reason": message(f"log.reason.{known}") if known else as_is(reason),
            "bracket": as_is(bracket + rest),
            "place": _place(self.example),
            "more": message("log.problem.more", more=more) if more else as_is(""),
        }
        return message("log.problem.kept", **told) if self.kept else message("log.problem.aside", **told)


def _place(example: str) -> Message:
    return message("log.line", line=example.removeprefix("line ")) if example.startswith("line ") else as_is(example)
