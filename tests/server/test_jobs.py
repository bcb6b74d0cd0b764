"""Jobs in processes of their own: found again after any kill, never lost, never twice at once; a training among them, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from serving import until
from tiny_models import make_encoder

from noria.core.errors import SettingError
from noria.core.folder import read_manifest
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings
from noria.server.job_runner import Log
from noria.server.jobs import FINAL, Job, Jobs

COMMAND = r"""
import os, pathlib, signal, sys, time
name, place, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3])
def note(text):
    with (place / "notes").open("a") as stream: stream.write(f"{text} {name}\n")
def stopped(number, frame):
    (place / "here").unlink(missing_ok=True)
    note("stopped"); sys.exit(130)
signal.signal(signal.SIGTERM, stopped)
try: (place / "here").touch(exist_ok=False)
except FileExistsError: note("TWICE")
note("begun")
print('{"event": "progress", "done": 1, "total": 2}', flush=True); print(os.getpid(), flush=True)
end = time.monotonic() + seconds
while time.monotonic() < end and not (place / "enough").exists(): time.sleep(0.01)
(place / "here").unlink()
note("done")
"""
"""A command that notes what it does, and whether another one runs beside it."""
PROGRAM = (sys.executable, "-c", COMMAND)
SERVER = """
import sys, time
from noria.server.jobs import Jobs
jobs = Jobs(sys.argv[1], program=(sys.executable, "-c", sys.argv[2]))
print("up", flush=True)
while True:
    jobs.tick()
    time.sleep(0.01)
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path / "jobs", program=PROGRAM)
    yield made
    (tmp_path / "enough").touch()
    until(lambda: all(job.state != "running" for job in made.list()))


def notes(place: Path) -> list[str]:
    return (place / "notes").read_text().splitlines() if (place / "notes").exists() else []


def ended(jobs: Jobs, job: Job) -> Job:
    until(lambda: jobs.get(job.id).state in FINAL)
    return jobs.get(job.id)


def test_jobs_run_one_after_another_in_the_order_of_asking(jobs: Jobs, tmp_path: Path) -> None:
    asked = [jobs.add([name, str(tmp_path), "0"], f"job {name}", "somebody") for name in "abc"]
    with pytest.raises(SettingError, match="no such job"):
        jobs.get("../jobs")
    until(lambda: not jobs.tick() and all(job.state in FINAL for job in jobs.list()))
    assert notes(tmp_path) == ["begun a", "done a", "begun b", "done b", "begun c", "done c"]
    assert [(job.id, job.state, job.code, job.runs) for job in jobs.list()] == [(job.id, "done", 0, 1) for job in asked]
    assert [line["event"] for line in jobs.list()[0].lines()] == ["progress", "text"]


def test_what_writes_the_same_waits_and_what_may_run_beside_does_not(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", at_once=9, program=PROGRAM)
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    first = jobs.add(["a", str(places[0]), "60"], "a", "x", tmp_path / "out")
    second = jobs.add(["b", str(places[1]), "0"], "b", "x", tmp_path / "out")
    third = jobs.add(["c", str(places[2]), "0"], "c", "x", beside=True)
    assert [job.id for job in jobs.tick()] == [first.id, third.id]
    assert ended(jobs, third).state == "done"
    assert (jobs.tick(), jobs.get(second.id).state) == ([], "waiting")
    (places[0] / "enough").touch()
    assert ended(jobs, first).state == "done"
    until(lambda: bool(jobs.tick()))
    assert ended(jobs, second).state == "done"


def test_servers_killed_at_any_moment_lose_no_job_and_begin_none_twice(tmp_path: Path) -> None:
    jobs, chance = Jobs(tmp_path / "jobs"), random.Random(0)
    asked = [jobs.add([str(number), str(tmp_path), "0.1"], "", "x") for number in range(6)]
    rounds = 0
    while any(job.state not in FINAL for job in jobs.list()):
        command = [sys.executable, "-c", SERVER, str(jobs.folder), COMMAND]
        # Two of them at a time: servers may share a lake.
        servers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for server in servers:
            assert server.stdout
            server.stdout.readline()
        time.sleep(chance.uniform(0, 0.4))
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout
            server.stdout.close()
        rounds += 1
        assert rounds < 60
    assert rounds > 1
    done = notes(tmp_path)
    assert sorted(done) == sorted(f"{what} {number}" for what in ("begun", "done") for number in range(6))
    assert [(job.id, job.state, job.runs) for job in jobs.list()] == [(job.id, "done", 1) for job in asked]


@pytest.mark.parametrize("victim", ["leader", "command"])
def test_a_killed_job_is_known_as_such_and_goes_on(jobs: Jobs, tmp_path: Path, victim: str) -> None:
    job = jobs.add(["a", str(tmp_path), "60"], "", "x")
    jobs.tick()
    until(lambda: len(jobs.get(job.id).lines()) == 2)
    leader = jobs.get(job.id).leader
    assert leader
    command = int(jobs.get(job.id).lines()[1]["line"])
    os.kill(leader[0] if victim == "leader" else command, signal.SIGKILL)
    found = ended(jobs, job)
    assert (found.state, found.code) == ("failed", None if victim == "leader" else -9)
    jobs.tick()
    assert jobs.get(job.id).ended
    (tmp_path / "here").unlink()
    assert jobs.resume(job.id).state == "waiting"
    (tmp_path / "enough").touch()
    until(lambda: bool(jobs.tick()))
    found = ended(jobs, job)
    assert (found.state, found.code, found.runs) == ("done", 0, 2)
    with pytest.raises(SettingError, match="cannot go on"):
        jobs.resume(job.id)


def test_a_job_is_stopped_while_it_waits_and_while_it_runs(jobs: Jobs, tmp_path: Path) -> None:
    running, waiting = (jobs.add([name, str(tmp_path), "60"], "", "x") for name in "ab")
    jobs.tick()
    until(lambda: "begun a" in notes(tmp_path))
    assert jobs.stop(waiting.id).state == "stopped"
    jobs.stop(running.id)
    found = ended(Jobs(jobs.folder), running)  # also by a server that did not begin it
    assert (found.state, found.code) == ("stopped", 130)
    assert jobs.tick() == []
    assert notes(tmp_path) == ["begun a", "stopped a"]
    with pytest.raises(SettingError, match="has ended"):
        jobs.stop(running.id)
    (tmp_path / "enough").touch()
    for job in (running, waiting):
        jobs.resume(job.id)
    until(lambda: not jobs.tick() and all(job.state == "done" for job in jobs.list()))
    assert notes(tmp_path)[2:] == ["begun a", "done a", "begun b", "done b"]


@pytest.mark.parametrize(
    ("code", "state"), [(0, "done"), (1, "failed"), (3, "failed"), (130, "stopped"), (143, "stopped")]
)
def test_the_exit_code_of_a_command_says_how_its_job_ended(code: int, state: str, tmp_path: Path) -> None:
    made = Jobs(tmp_path / "jobs", program=(sys.executable, "-c", "import sys; sys.exit(int(sys.argv[1]))"))
    job = made.add([str(code)], "", "x")
    made.tick()
    found = ended(made, job)
    assert (found.state, found.code) == (state, code)


def test_what_a_job_says_stays_within_bounds_and_keeps_its_course(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", most=20_000)
    log.add(b'{"event": "plan", "line": "first"}')
    for number in range(2_000):
        log.add(json.dumps({"event": "progress", "done": number}).encode())
        if number % 100 == 0:
            log.add(b"Traceback " + b"\xff" * 50)
    log.add(b'{"event": "ledger", "line": "last"}')
    size = (tmp_path / "log.jsonl").stat().st_size
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert size <= 20_000
    assert (lines[0]["line"], lines[-1]["line"]) == ("first", "last")
    done = [line["done"] for line in lines if line["event"] == "progress"]
    assert len(done) > 50
    assert done == sorted(done)
    assert done[-1] == 1_999
    assert max(b - a for a, b in pairwise(done)) < 600  # from the beginning to the end


ROWS = "".join(f"第{number}间房 很好 great,好评\n第{number}次 太差 awful,差评\n" for number in range(30))


@pytest.fixture(scope="module")
def root(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a base and rows."""
    folder = tmp_path_factory.mktemp("jobs") / "run"
    make_encoder(folder / "base", "embed", [], 2, compiled=False)
    (folder / "rows.csv").write_text("内容,标签\n" + ROWS, encoding="utf-8")
    return folder


def served(root: Path) -> AbstractContextManager[Running]:
    return serving(ServerSettings(port=0, lake=root / "lake"), [])


def posted(server: Running, path: str, **body: object) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/jobs{path}", json=body, headers=server.headers)


ASKED = {"kind": "finetune", "task": "classify", "rows": "rows.csv", "model": "base", "recipe": "full", "steps": 300}


def test_a_training_goes_on_over_a_restart_and_a_stop_and_ends_to_the_bit(root: Path) -> None:
    with served(root) as server:
        job = posted(server, "", **ASKED, name="through", test="rows.csv").json()
        until(lambda: server.state.jobs.get(job["id"]).state == "running")
    with served(root) as server:  # it went on meanwhile, and is found
        assert server.state.jobs.get(job["id"]).runs == 1
        steps = root / ".through.work" / "metrics.jsonl"
        until(lambda: steps.exists() and steps.read_text().count("\n") > 30)
        assert posted(server, f"/{job['id']}", action="stop").status_code == 200
        until(lambda: server.state.jobs.get(job["id"]).state == "stopped")
        assert steps.read_text().count("\n") < 300
        assert posted(server, f"/{job['id']}", action="resume").json()["state"] == "waiting"
        until(lambda: server.state.jobs.get(job["id"]).state in FINAL)
        told = httpx.get(f"{server.url}/v1/jobs/{job['id']}", headers=server.headers).json()
    assert (told["state"], told["code"], told["runs"]) == ("done", 0, 2)
    assert any(line.get("event") == "progress" and line["done"] == 300 for line in told["lines"])
    assert any("to_beat" in line for line in told["lines"])
    number_type = read_manifest(root / "through").facts["number_type"]
    whole = ["build", "finetune", "classify", "--base", "base", "--train", "rows.csv", "--test", "rows.csv"]
    whole += ["--out", "whole", "--recipe", "full", "--steps", "300", "--number-type", number_type]
    subprocess.run([sys.executable, "-m", "noria", *whole], cwd=root, check=True, capture_output=True)
    through, whole_weights = ((root / name / "model.safetensors").read_bytes() for name in ("through", "whole"))
    assert through == whole_weights


def test_what_cannot_be_asked_for_is_told_and_nothing_begins(root: Path) -> None:
    with served(root) as server:
        secret = root / "lake" / "server" / "keys.json"
        assert secret.exists()
        (root.parent / "outside.csv").write_text("text,label\na,b\n", encoding="utf-8")
        for rows in (
            "lake/server/keys.json",
            "../outside.csv",
            str(root.parent / "outside.csv"),
            "nothing.csv",
            "base",
            "a\0b",
        ):
            answer = posted(server, "", **{**ASKED, "rows": rows}, name="new")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cannot_be_used"), rows
        for change, status in (
            ({"name": "base"}, 400),  # it is there
            ({"name": "../new"}, 422),
            ({"model": "lake"}, 400),
            ({"task": "--help"}, 422),
            ({"minutes": 0}, 422),
        ):
            assert posted(server, "", **{**ASKED, "name": "new", **change}).status_code == status, change
        assert posted(server, "", **ASKED).status_code == 400  # no name
        assert posted(server, "/nothing", action="stop").status_code == 404
        client = server.state.keys.make("a client", "client")
        headers = {"authorization": f"Bearer {client}"}
        assert httpx.get(f"{server.url}/v1/jobs", headers=headers).status_code == 403
        listed = httpx.get(f"{server.url}/v1/jobs", headers=server.headers).json()["data"]
    assert [one for one in listed if one["title"] == "new"] == []


def test_whatever_learns_is_asked_for_in_flags_that_its_command_has(root: Path) -> None:
    from types import SimpleNamespace
    from typing import Any, cast

    from noria.cli.main import app
    from noria.server.data.sets import DataSets
    from noria.server.http.jobs import TRAINED, NewJob, add_job, offered_corpora
    from noria.server.http.state import State

    for part in ("train", "valid", "test"):
        (root / "news" / "zh").mkdir(parents=True, exist_ok=True)
        (root / "news" / "zh" / f"{part}.jsonl").write_text('{"text": "新闻"}\n', encoding="utf-8")
    lake = root / "lake"
    noted: list[str] = []
    audit = SimpleNamespace(add=lambda actor, action, subject, **facts: noted.append(action))
    parts: Any = {"jobs": Jobs(lake / "never-ticked"), "data": DataSets(lake / "data"), "audit": audit}
    state = cast(State, SimpleNamespace(root=root, lake=lake, **parts))
    assert offered_corpora(state) == ["news", "news/zh"]
    asked: dict[str, dict[str, Any]] = {
        "finetune": {"task": "classify", "rows": "rows.csv", "model": "base"},
        "align": {"rows": "@lake", "model": "base", "steps": 5},
        "pretrain": {"rows": "news", "objective": "masked", "model": "base"},
        "recommend": {"rows": "rows.csv", "behaviour": "@lake", "model": "base", "minutes": 2.5},
    }
    assert asked.keys() == {*TRAINED}
    for kind, given in asked.items():
        job = add_job(state, NewJob(kind=kind, name=f"{kind}-made", **given), "ann")  # type: ignore[arg-type]
        plan = add_job(state, NewJob(kind="plan", of=kind, name=f"{kind}-plan", **given), "ann")  # type: ignore[arg-type]
        for one in (job, plan):
            command, bound = app.parse_args(
                [word for word in one.command if word != "--json"], exit_on_error=False, print_error=False
            )[:2]
            assert command.__name__ == ("advise" if one is plan and kind == "finetune" else kind)
            values = str(bound.arguments)
            wanted = [root / "base", *([lake.absolute()] if "@lake" in given.values() else [])]
            assert all(str(path) in values for path in wanted), values
            assert bound.arguments.get("dry_run", False) == (one is plan and kind != "finetune")
        assert (job.out, plan.out, plan.beside) == ((root / f"{kind}-made").absolute(), None, True)
    assert noted == ["job.start"] * 8
    for kind, wrong in (
        ("align", {"rows": "rows.csv", "name": "x"}),  # no model
        ("recommend", {"rows": "rows.csv", "name": "x"}),  # nothing that anybody did
        ("plan", {"of": "pretrain", "rows": "news"}),  # a plan says what is there already
    ):
        with pytest.raises(ValueError, match="needs"):
            NewJob(kind=kind, **wrong)  # type: ignore[arg-type]
    for kind, refused in (
        ("pretrain", {"rows": "rows.csv", "name": "x"}),
        ("pretrain", {"rows": "../run", "name": "x"}),
        ("recommend", {"rows": "@lake", "behaviour": "rows.csv", "name": "x"}),
    ):
        with pytest.raises(SettingError):
            add_job(state, NewJob(kind=kind, **refused), "ann")  # type: ignore[arg-type]
