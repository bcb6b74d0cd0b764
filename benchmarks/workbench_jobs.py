"""Jobs of the workbench: kept over a kill of their server, resumed after a kill of their own, and what those who ask meanwhile feel of them.

Trainings of a small encoder, asked for over HTTP, in processes of their own. The server is killed with -9 while one runs, and another is
started on the same lake: the job must go on, begun once, and be found done. A job's own process is killed with -9 and resumed: its
weights must be those of the same run that nobody killed, bit for bit. Beside one that runs, a classifier of the same server is asked by one
client; the peer is the same server at rest, in turns.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from .asking import ask
from .line import Line, compare, single
from .served import TEXTS, Server, make_classifier, make_embedder, served

NAME = "workbench"
STEPS, FOREVER = 300, 1_000_000
LONGEST = 180.0
"""Seconds that anything is waited for."""
FLAGS = ("--threads", "1")


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick kills one server and one job, and compares two pairs of 2 seconds, else ten, five, and six of 10."""
    servers, jobs, pairs, seconds = (1, 1, 2, 2.0) if quick else (10, 5, 6, 10.0)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        root = Path(folder)
        model = make_classifier(root / "sentiment")
        make_embedder(root / "base")
        (root / "rows.csv").write_text(rows(), encoding="utf-8")
        kept = _servers_killed(root, model, servers)
        same = _jobs_killed(root, model, jobs)
        beside, rest = _asked_beside(root, model, pairs, seconds)
    return [
        single(
            NAME,
            "trainings that went on over a kill -9 of their server",
            kept / servers,
            1.0,
            "wanted: all",
            "share",
            servers,
        ),
        single(
            NAME,
            "trainings killed by -9 and resumed to the same weights",
            same / jobs,
            1.0,
            "wanted: all",
            "share",
            jobs,
        ),
        compare(
            NAME,
            "classify while a training runs, median",
            beside,
            rest,
            "the same server at rest",
            "ms",
            higher_is_better=False,
        ),
    ]


def rows() -> str:
    """Return a table of 600 labelled texts."""
    lines = (
        f"第{number}间房 {('很好 great', '太差 awful')[number % 2]},{('good', 'bad')[number % 2]}"
        for number in range(600)
    )
    return "\n".join(["text,label", *lines]) + "\n"


class _Api:
    """The routes of jobs on one server."""

    def __init__(self, server: Server) -> None:
        self._web = httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {server.key}"}, timeout=60)

    def start(self, name: str, steps: int) -> str:
        """Let a training wait for its turn; return its id."""
        body = {
            "kind": "finetune",
            "task": "classify",
            "rows": "rows.csv",
            "model": "base",
            "name": name,
            "steps": steps,
        }
        return str(self._said(self._web.post("/v1/jobs", json=body))["id"])

    def job(self, job: str) -> dict[str, Any]:
        """Return how a job stands, and what it said."""
        return self._said(self._web.get(f"/v1/jobs/{job}"))

    def act(self, job: str, action: str) -> None:
        """Stop a job, or let it go on."""
        self._said(self._web.post(f"/v1/jobs/{job}", json={"action": action}))

    def learns(self, job: str) -> None:
        """Wait until a job has made a step."""
        until(lambda: any(line.get("event") == "progress" for line in self.job(job)["lines"]))

    def ended(self, job: str) -> dict[str, Any]:
        """Wait until a job has ended, and return it."""
        until(lambda: self.job(job)["state"] not in ("waiting", "running"))
        return self.job(job)

    @staticmethod
    def _said(answer: httpx.Response) -> dict[str, Any]:
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        RuntimeError: it did not come to be.
    """
    end = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > end:
            raise RuntimeError("a job did not come to what was waited for")
        time.sleep(0.1)


def _servers_killed(root: Path, model: Path, times: int) -> int:
    """Return how many of the trainings went on, begun once, though their server was killed."""
    lake, key, kept = root / "lake", "", 0
    flags = ("--console", str(root), *FLAGS)
    for number in range(times):
        with served(lake, model, key=key, flags=flags) as server:  # killed at the end of the block
            api, key = _Api(server), server.key
            job = api.start(f"kept-{number}", STEPS)
            api.learns(job)
        with served(lake, model, key=key, flags=flags) as server:
            ended = _Api(server).ended(job)
        kept += (ended["state"], ended["runs"]) == ("done", 1)
        print(
            f"workbench, server killed {number + 1}/{times}: {ended['state']}, begun {ended['runs']}", file=sys.stderr
        )
    return kept


def _jobs_killed(root: Path, model: Path, times: int) -> int:
    """Return how many of the trainings that were killed ended with the weights of one that was not."""
    from noria.server.jobs import Jobs

    lake, same = root / "lake-of-jobs", 0
    with served(lake, model, flags=("--console", str(root), *FLAGS)) as server:
        api = _Api(server)
        api.ended(api.start("whole", STEPS))
        for number in range(times):
            name = f"killed-{number}"
            job = api.start(name, STEPS)
            api.learns(job)
            leader = Jobs(lake / "server" / "jobs").get(job).leader
            if leader is not None:  # it may have come to its end
                os.kill(leader[0], signal.SIGKILL)
            state = api.ended(job)["state"]
            if state == "failed":
                api.act(job, "resume")
                api.ended(job)
            equal = weights(root / name) == weights(root / "whole")
            same += state == "failed" and equal
            print(f"workbench, job killed {number + 1}/{times}: {state}, same weights: {equal}", file=sys.stderr)
    return same


def weights(folder: Path) -> str:
    """Return the hash of a model folder's weights; "" where it has none."""
    file = folder / "model.safetensors"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def _asked_beside(root: Path, model: Path, pairs: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return medians of an answer's time, ms: while a training runs, and at rest."""
    found: dict[bool, list[float]] = {True: [], False: []}
    with served(root / "lake-beside", model, flags=("--console", str(root), *FLAGS)) as server:
        api = _Api(server)
        ask(server.url, server.key, {"input": TEXTS[0]}, clients=1, seconds=1.0)  # warm
        for number in range(pairs):
            for training in (True, False) if number % 2 else (False, True):
                job = api.start(f"beside-{number}", FOREVER) if training else ""
                if job:
                    api.learns(job)
                asked = ask(server.url, server.key, {"input": TEXTS[number % 2]}, clients=1, seconds=seconds)
                found[training].append(1_000 * sorted(asked.latencies)[len(asked.latencies) // 2])
                if job:
                    api.act(job, "stop")
                    api.ended(job)
            print(
                f"workbench, asked {number + 1}/{pairs}: {found[True][-1]:.1f} and {found[False][-1]:.1f} ms",
                file=sys.stderr,
            )
    return found[True], found[False]
