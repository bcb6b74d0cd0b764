"""What the overview says first: looked up once for all who ask, and of a new lake what to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from noria.console.summary import FINDINGS_SECONDS, Summary, _Aging
from tests.console.console_run import make_run


def state_of(lake: Path) -> Any:
    meter = SimpleNamespace(now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    return SimpleNamespace(lake=lake, days={}, apps=(), models={}, started=True, meter=meter)


def test_a_value_is_looked_up_once_until_it_is_old() -> None:
    clock, looked = [0.0], list[int]()

    async def look() -> int:
        looked.append(1)
        clock[0] += 6.0
        return len(looked)

    async def asked() -> list[int]:
        kept = _Aging(look, FINDINGS_SECONDS, lambda: clock[0])
        first = await asyncio.gather(*(kept.get() for _ in range(5)))
        clock[0] += 119.0  # it took six seconds, and rests twenty times as long
        again = await kept.get()
        clock[0] += 2.0
        return [*first, again, await kept.get()]

    assert asyncio.run(asked()) == [1, 1, 1, 1, 1, 1, 2]


def test_an_empty_lake_is_told_what_to_do_first(tmp_path: Path) -> None:
    found = asyncio.run(Summary(state_of(tmp_path / "lake"), tmp_path).findings())
    assert [one.key for one in found] == ["first models", "first use", "first grow"]
    assert all(one.do and one.do["zh"] != one.do for one in found)


def test_a_run_without_use_is_asked_something_first(tmp_path: Path) -> None:
    make_run(tmp_path)
    found = asyncio.run(Summary(state_of(tmp_path / "lake"), tmp_path).findings())
    assert "first use" in {one.key for one in found}
    assert "first models" not in {one.key for one in found}
