"""Bars for people, JSON lines for programs, quiet when piped."""

import io
import json

from noria.core.figure import Figure, number
from noria.core.progress import MetricsLog, Report


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
