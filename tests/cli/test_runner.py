"""The runner of the main job: done stages are kept, changed ones done again, killed ones gone on with."""

import io
import json

import pytest

from noria.api.stages import StageResult, clear, held, read_stage, stage_file
from noria.cli.demo.runner import INPUTS, forget, run_stage, stage_key
from noria.cli.demo.settings import Context, DemoSettings, Stage
from noria.core.errors import ResourceError
from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.core.progress import Report


def context_in(root, **settings):
    return Context(root, DemoSettings(out=root, **settings), Report("quiet", io.StringIO()))


def counting_stage(name="sentiment"):
    """Return a stage that writes how often it ran into its folder, and the list of what it found there."""
    found = []

    def run(context):
        folder = context.root / name
        found.append(sorted(path.name for path in folder.glob("*")) if folder.exists() else [])
        folder.mkdir(exist_ok=True)
        (folder / f"run-{len(found)}").touch()
        return StageResult(as_is(f"ran {len(found)}"), [Figure("accuracy", 0.9, 10, 0.8, 0.95)], {"runs": len(found)})

    return Stage(name, message("demo.sentiment.title"), lambda context: "count", run), found


def test_a_done_stage_is_kept_with_its_figures(tmp_path):
    stage, found = counting_stage()
    context = context_in(tmp_path)
    run_stage(stage, context, "1/1")
    first = stage_file(tmp_path, "sentiment").read_bytes()
    run_stage(stage, context, "1/1")
    assert found == [[]]
    assert stage_file(tmp_path, "sentiment").read_bytes() == first
    record = json.loads(first)
    assert record["figures"][0]["low"] == 0.8
    assert record["facts"] == {"runs": 1}
    assert "done before. ran 1" in context.report.stream.getvalue()


def test_a_killed_stage_finds_what_it_left(tmp_path):
    stage, found = counting_stage()
    killed = Stage(stage.name, stage.title, stage.plan, lambda context: (stage.run(context), exit(9))[0])
    with pytest.raises(SystemExit):
        run_stage(killed, context_in(tmp_path), "1/1")
    assert read_stage(tmp_path, "sentiment") is None
    run_stage(stage, context_in(tmp_path), "1/1")
    assert found == [[], ["run-1"]]


def test_other_settings_begin_anew(tmp_path):
    stage, found = counting_stage()
    run_stage(stage, context_in(tmp_path), "1/1")
    run_stage(stage, context_in(tmp_path, sentiment_minutes=9), "1/1")
    run_stage(stage, context_in(tmp_path, sentiment_minutes=9, entities_minutes=9), "1/1")
    assert found == [[], []], "the second run began in a cleared folder; the third was not needed"


def test_a_stage_reads_the_stages_before_it(tmp_path):
    names = list(INPUTS)
    for name, reads in INPUTS.items():
        for other in reads:
            assert other in DemoSettings.model_fields or names.index(other) < names.index(name)
    seed_changes_all = {name: stage_key(name, context_in(tmp_path, seed=1)) for name in INPUTS}
    assert not set(seed_changes_all.values()) & {stage_key(name, context_in(tmp_path)) for name in INPUTS}


def test_redo_forgets_what_follows_and_nothing_else(tmp_path):
    for name in INPUTS:
        stage_file(tmp_path, name).write_text(json.dumps({"name": name, "key": "k", "line": "x"}))
    forget(tmp_path, ["entities"])
    kept = {name for name in INPUTS if read_stage(tmp_path, name)}
    assert kept == {"corpus", "pretrain", "base", "sentiment"}


def test_clear_removes_results_and_work_in_progress(tmp_path):
    for name in ("sentiment", ".sentiment.work", "entities"):
        (tmp_path / name).mkdir()
    clear(tmp_path, ["sentiment"])
    assert [path.name for path in tmp_path.iterdir()] == ["entities"]


def test_one_run_a_folder(tmp_path):
    with held(tmp_path), pytest.raises(ResourceError, match="another run uses this folder"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_quick_keeps_what_was_asked_for():
    budgets = DemoSettings(quick=True, port=9000, seed=3).budgets()
    assert (budgets.pretrain_minutes, budgets.port, budgets.seed) == (0.75, 9000, 3)
    assert DemoSettings().budgets() == DemoSettings()
