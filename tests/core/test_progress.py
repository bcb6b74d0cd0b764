"""Bars for people, JSON lines for programs, quiet when piped."""

import io
import json

import pytest

from noria.core.figure import Figure, number
from noria.core.progress import MetricsLog, Report, listening, stage, steps


def test_a_pipe_gets_plan_and_ledger_only():
    stream = io.StringIO()
    report = Report.for_terminal(stream=stream)
    report.plan("读取 3 行")
    with report.bar("work", total=3) as bar:
        for _ in range(3):
            bar.advance(1, loss=0.5)
    report.ledger("done")
    assert stream.getvalue() == "○ 读取 3 行\n● done\n"


def test_programs_get_one_object_a_line():
    stream = io.StringIO()
    report = Report.for_terminal(as_json=True, stream=stream)
    report.plan("three rows", rows=3)
    with report.bar("work", total=3, unit="row") as bar:
        bar.advance(3, loss=0.5)
    plan, progress = map(json.loads, stream.getvalue().splitlines())
    assert plan == {"event": "plan", "line": "three rows", "rows": 3}
    assert progress == {"event": "progress", "title": "work", "done": 3, "total": 3, "unit": "row", "loss": 0.5}


def test_a_step_of_larger_work_says_all_but_what_it_has_come_to():
    stream = io.StringIO()
    report = Report.for_terminal(stream=stream)
    for one in (report, report.step()):
        one.plan("two rows")
        one.ledger("loss 0.5")
        one.closing("model written to out")
    assert stream.getvalue() == "○ two rows\n● loss 0.5\n● model written to out\n○ two rows\n● loss 0.5\n"
    assert report.step().mode == report.mode == "quiet"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_people_get_a_bar_with_the_measurement():
    stream = Terminal()
    report = Report.for_terminal(stream=stream)
    assert report.mode == "people"
    with report.bar("fine-tune", total=2) as bar:
        bar.advance(2, loss=0.25)
    assert bar.done == 2


def test_metrics_survive_a_line_cut_short_and_forget_what_came_later(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(5):
        log.write(step=step, note="水")
    with log.path.open("a") as stream:
        stream.write('{"step": 5, "no')
    assert [record["step"] for record in log.read()] == [0, 1, 2, 3, 4]
    log.keep(lambda record: record["step"] <= 2)
    assert [record["step"] for record in log.read()] == [0, 1, 2]
    log.write(step=3)
    assert log.read()[-1] == {"step": 3}


def test_a_figure_shows_n_interval_and_baseline():
    figure = Figure("accuracy", 0.8927, n=1746, low=0.878, high=0.907, baseline=0.8575, note="(simulated)")
    assert figure.text() == "accuracy 0.893 [0.878, 0.907] n=1,746 (baseline 0.858) (simulated)"
    assert Figure(**figure.as_dict()) == figure
    assert [number(x) for x in (0.5, 10.25, 1234.5, 70_000.0, -3.0)] == ["0.500", "10.2", "1,234", "70,000", "-3"]


def test_what_lies_deep_is_heard_by_who_listens() -> None:
    stream = io.StringIO()
    assert list(steps([1, 2], "alone")) == [1, 2]  # nobody listens
    with listening(Report("programs", stream)), stage("outer", total=1.0) as bar:
        assert [2 * item for item in steps([1, 2, 3], "inner")] == [2, 4, 6]
        bar.advance()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["title"], one["done"], one["total"]) for one in told] == [("inner", 3, 3), ("outer", 1, 1.0)]
    with listening(Report("quiet", stream)), stage("piped"):
        pass
    assert len(stream.getvalue().splitlines()) == 2


def test_bars_of_inner_work_stand_below_the_outer_ones() -> None:
    stream = Terminal()
    with listening(Report.for_terminal(stream=stream)), stage("the whole", total=1.0) as bar:
        for _ in steps(range(3), "a part"):
            bar.advance(1 / 3)
    assert "the whole" in stream.getvalue()
    assert "a part" in stream.getvalue()


def test_a_fault_leaves_no_bar_behind() -> None:
    report = Report.for_terminal(stream=Terminal())

    def fails() -> None:
        with listening(report), stage("the whole"):
            assert [1 / item for item in steps([1, 0], "a part")]

    with pytest.raises(ZeroDivisionError):
        fails()
    with listening(report), stage("again"):
        pass
    assert report._shown is None
