"""Tables that an engine makes once and reads often, whatever engine it is; they are gone with its session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ibis


def made(expression: ibis.Table, name: str) -> ibis.Table:
    """Return a temporary table with the rows of an expression, in the engine that holds what it reads."""
    return expression.get_backend().create_table(ibis.util.gen_name(name), expression, temp=True)


@contextmanager
def scratch(expression: ibis.Table, name: str) -> Iterator[ibis.Table]:
    """Give such a table for as long as the block lasts."""
    table = made(expression, name)
    try:
        yield table
    finally:
        expression.get_backend().drop_table(table.get_name(), force=True)
