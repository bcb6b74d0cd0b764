"""The workbench's benchmark: what its lines say of visits and of days, and a lake of made-up use that is what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import workbench_newcomer, workbench_pages
from benchmarks.workbench_browser import Visit
from benchmarks.workbench_commands import commands
from benchmarks.workbench_newcomer import Day, table
from benchmarks.workbench_pages import COLD, DAYS, WARM, fill
from noria.cli.main import app
from noria.grow.log.lake import events
from noria.lake.read import sealed_files
from noria.lake.reconcile import reconcile

visits = st.builds(Visit, st.floats(0.1, 9), st.floats(0.1, 9), st.floats(1, 9_999))


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.sampled_from(["overview", "data", "users"]), st.lists(visits, min_size=3, max_size=5), min_size=1
    )
)
def test_a_page_s_lines_say_whether_it_kept_to_the_bar(found: dict[str, list[Visit]]) -> None:
    lines = workbench_pages.lines_of(found, 1_000)
    for name, (cold, *_) in found.items():
        (line,) = [one for one in lines if one.measure.startswith(f"{name}: useful, cold")]
        assert (line.ratio >= 1) == (cold.useful <= COLD)
    shares = [one for one in lines if one.unit == "share"]
    assert [one.n for one in shares] == [len(found)] * 2
    assert shares[0].noria == sum(one[0].useful <= COLD for one in found.values()) / len(found)
    if all(one.useful <= WARM for several in found.values() for one in several[1:]):
        assert shares[1].ratio == 1
    assert all(one.peer_name.startswith("wanted") for one in lines if "sent" not in one.measure)


def test_a_day_s_lines_count_what_was_not_done_and_what_a_page_did_not_do() -> None:
    day = Day("en", {"asks": 30.0, "adds a source": 30.0}, {"trains": "timeout"}, ["adds a source"], [True, False])
    done, alone, minutes, mended = workbench_newcomer.lines_of([day])
    assert [round(one.noria, 3) for one in (done, alone, minutes, mended)] == [0.667, 0.333, 1.0, 0.5]
    assert minutes.ratio == pytest.approx(10)
    assert [one.n for one in (done, alone, mended)] == [3, 3, 2]


def test_the_lake_holds_so_many_events_of_finished_days_and_its_books_balance(tmp_path: Path) -> None:
    fill(tmp_path, 3_000)
    assert reconcile(tmp_path).exact
    days = {path.parent.name.removeprefix("day=") for path in sealed_files(tmp_path)}
    assert len(days) == DAYS
    assert max(days) == str(datetime.now(UTC).date() - timedelta(days=1))
    assert events(tmp_path).count().to_pyarrow().as_py() == 3_000


def test_a_newcomer_s_table_has_labels_of_the_model_that_answers() -> None:
    lines = table().splitlines()
    assert len(lines) == 601
    assert {line.rpartition(",")[2] for line in lines[1:]} == {"negative", "positive"}


def test_every_command_is_walked() -> None:
    found = set(commands(app))
    assert {("build", "base"), ("grow", "users"), ("ship", "serve")} <= found
    assert len(found) > 40
