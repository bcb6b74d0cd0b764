"""Faults done to real servers: `python -m benchmarks.faults NAME [--quick] [--write]`; one JSON line a fault.

hostile   10,000 hostile requests: no answer of 500 or more, no crash, no path or trace of ours in an answer
vanish    1,000 clients that vanish in the middle of a stream: nothing of theirs is left behind
sigterm   SIGTERM with 50 streams open: within the grace time all finish; past it all are told; exit 0, events flushed
soak      50 requests a second for 10 minutes: none fails, memory stays flat

With those of `faults_events`: kill-server, kill-model, disk-full, clock-back.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from noria.core.errors import unknown
from noria.lake.reconcile import reconcile

from .faults_events import FAULTS as ON_EVENTS
from .hostile import hostile as make_hostile
from .line import machine
from .raw import Line, Place, once
from .results import keep_rows, kept_rows, write_page
from .served import Server, make_classifier, served
from .start import started
from .writers import make_writer

app = App(name="faults", help="Faults done to real servers; one JSON line a fault.")
PAGE = Path(__file__).with_name("RESULTS.md")
Result = dict[str, Any]
CLIENTS = 8
_OURS = (b"Traceback", b"site-packages", b".py", b"/root/", b"/home/", b"/usr/", b"root:x:", b"noria_console=")
"""What no answer may hold."""
_FLAT = 0.05
"""Share by which memory may grow over the soak's second half, and `_FLAT_MEGABYTES` in any case: allocators breathe."""
_FLAT_MEGABYTES = 16.0
_FILES = 2
"""Open files more than before: the outbox and its log may just be at work."""


def hostile(folder: Path, *, quick: bool) -> Result:
    """Send 10,000 hostile requests; between them now and then a good one, which must be answered."""
    count = 500 if quick else 10_000
    models = (
        make_classifier(folder / "classifier"),
        make_writer(folder / "writer"),
        make_writer(folder / "chat", "chat"),
    )
    with served(folder / "lake", *models, flags=("--threads", "1")) as server:
        before = _memory(server)
        statuses, kinds, bad = asyncio.run(_hostile(server, count, str(folder).encode()))
        alive = server.process.poll() is None and asyncio.run(_ready(server)) == 200
        grown = _memory(server) - before
        exact = reconcile(folder / "lake").exact
    return {
        "requests": count,
        "statuses": statuses,
        "kinds": kinds,
        "faults": len(bad),
        "first_faults": bad[:3],
        "grown_megabytes": round(grown, 1),
        "books": exact,
        "ok": not bad and alive and exact,
    }


async def _hostile(server: Server, count: int, folder: bytes) -> tuple[dict[str, int], dict[str, int], list[str]]:
    place, draw = Place.of(server.url, server.key), random.Random(0)
    statuses, kinds, bad = Counter[str](), Counter[str](), list[str]()
    good = place.request("/v1/classify", {"input": "很好"}, close=True)
    left = iter(range(count))

    async def client() -> None:
        for number in left:
            kind, request = make_hostile(draw, place)
            reply = await once(place, request, seconds=8)
            kinds[kind] += 1
            statuses[str(reply.status or "closed")] += 1
            if reply.status >= 500 or any(ours in reply.body for ours in (*_OURS, folder)):
                bad.append(f"{kind}: {reply.status} {reply.body[:200]!r} to {request[:200]!r}")
            if number % 100 == 0 and (answer := await once(place, good)).status != 200:
                bad.append(f"a good request got {answer.status}")

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return dict(sorted(statuses.items())), dict(sorted(kinds.items())), bad


def vanish(folder: Path, *, quick: bool) -> Result:
    """Let 1,000 clients vanish after the first piece of a stream, half of them with a reset."""
    count = 60 if quick else 1_000
    with served(folder / "lake", make_writer(folder / "writer"), flags=("--threads", "1", "--queue", "4096")) as server:
        asyncio.run(_vanish(server, 20))  # what is made once is made before the first look
        asyncio.run(_quiet(server))
        files, memory, places = _files(server), _memory(server), 20
        asyncio.run(_vanish(server, count))
        left = asyncio.run(_quiet(server))
        after, grown = _files(server), _memory(server) - memory
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    books = reconcile(folder / "lake")
    ok = (
        left == 0
        and after <= files
        and grown < _FLAT_MEGABYTES
        and code == 0
        and books.exact
        and books.acknowledged == count + places
    )
    return {
        "clients": count,
        "left_in_flight": left,
        "files_before": files,
        "files_after": after,
        "exit_code": code,
        "grown_megabytes": round(grown, 1),
        "events": books.acknowledged,
        "books": books.exact,
        "ok": ok,
    }


async def _vanish(server: Server, count: int) -> None:
    place = Place.of(server.url, server.key)
    request = place.request("/v1/completions", {"prompt": "大", "max_tokens": 400, "stream": True})
    left = iter(range(count))

    async def client() -> None:
        for number in left:
            line = await Line.open(place)
            line.writer.write(request)
            status, _ = await line.head()
            assert status == 200
            await anext(line.pieces())
            line.vanish(rudely=number % 2 == 0)

    await asyncio.gather(*(client() for _ in range(min(count, 100))))


async def _quiet(server: Server) -> float:
    """Return how many requests are still in flight when none should be, after waiting for it a while."""
    flight = 0.0
    for _ in range(150):
        figures = await _figures(server)
        # This very question is one of them.
        flight = (
            figures["noria_in_flight"]
            - 1
            + sum(value for name, value in figures.items() if name.startswith("noria_queue"))
        )
        if flight == 0:
            break
        await asyncio.sleep(0.1)
    return flight


def sigterm(folder: Path, *, quick: bool) -> Result:
    """Stop a server with 50 streams open: once with time to finish, once with none."""
    count = 10 if quick else 50
    model = make_writer(folder / "writer")
    found: Result = {"streams": count, "ok": True}
    for name, grace, tokens in (("long_grace", 120, 200), ("no_grace", 0, 480)):
        lake = folder / name
        with served(lake, model, flags=("--threads", "1", "--grace", str(grace))) as server:
            ends = asyncio.run(_stopped(server, count, tokens))
            code = server.process.wait(30)
        books = reconcile(lake)
        whole, told = ends["finished"], ends["told"]
        found[name] = {
            "finished": whole,
            "told": told,
            "cut_off": ends["cut off"],
            "ready": ends["ready"],
            "exit_code": code,
            "events": books.acknowledged,
            "books": books.exact,
        }
        found["ok"] &= (whole == count if grace else whole + told == count) and code == 0 and books.exact
        found["ok"] &= books.acknowledged == count
    return found


async def _stopped(server: Server, count: int, tokens: int) -> dict[str, int]:
    """Open streams, stop the server, and return how they ended."""
    place = Place.of(server.url, server.key)
    request = place.request("/v1/completions", {"prompt": "大", "max_tokens": tokens, "stream": True})
    begun, ends = asyncio.Event(), Counter[str]()

    async def stream() -> str:
        line = await Line.open(place)
        line.writer.write(request)
        try:
            status, headers = await line.head()
            begun.set()
            if status != 200:
                body = await line.reader.readexactly(int(headers["content-length"]))
                return "told" if status == 503 and b"stopping" in body else f"status {status}"
            text = b"".join([piece async for piece in line.pieces()])
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return "cut off"
        if not text.endswith(b"data: [DONE]\n\n"):
            return "cut off"
        return "finished" if b'"finish_reason":"length"' in text else "told" if b'"error"' in text else "cut off"

    streams = [asyncio.create_task(stream()) for _ in range(count)]
    await begun.wait()
    for _ in range(100):  # until all are within, one at least in the middle; the question is one of them, too
        if (await _figures(server))["noria_in_flight"] > count:
            break
        await asyncio.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    ready = await _ready(server)
    for end in await asyncio.gather(*streams):
        ends[end] += 1
    return {**{name: ends[name] for name in ("finished", "told", "cut off")}, "ready": ready}


def soak(folder: Path, *, quick: bool) -> Result:
    """Ask 50 times a second for 10 minutes, whatever the answers take: nine classifications, then a short stream."""
    seconds = 15.0 if quick else 600.0
    models = make_classifier(folder / "classifier"), make_writer(folder / "writer")
    with served(folder / "lake", *models, flags=("--threads", "1")) as server:
        statuses, times, memory = asyncio.run(_soak(server, rate=50.0, seconds=seconds))
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    books = reconcile(folder / "lake")
    half = memory[len(memory) // 2 :]
    grown = sum(half[-len(half) // 4 :]) / len(half[-len(half) // 4 :]) - sum(half[: len(half) // 4]) / len(
        half[: len(half) // 4]
    )
    failed = sum(count for status, count in statuses.items() if status != "200")
    ordered = sorted(times)
    return {
        "requests": sum(statuses.values()),
        "failed": failed,
        "statuses": dict(statuses),
        "exit_code": code,
        "p50_ms": round(1e3 * ordered[len(ordered) // 2], 1),
        "p99_ms": round(1e3 * ordered[int(len(ordered) * 0.99)], 1),
        "megabytes": round(memory[-1], 1),
        "grown_megabytes": round(grown, 1),
        "events": books.acknowledged,
        "books": books.exact,
        "ok": failed == 0
        and grown <= max(_FLAT * memory[-1], _FLAT_MEGABYTES)
        and books.exact
        and code == 0
        and books.acknowledged == sum(statuses.values()),
    }


async def _soak(server: Server, rate: float, seconds: float) -> tuple[Counter[str], list[float], list[float]]:
    place = Place.of(server.url, server.key)
    asks = [place.request("/v1/classify", {"input": ["物流很快", "It broke."]})] * 9
    asks.append(place.request("/v1/completions", {"prompt": "大", "max_tokens": 8, "stream": True}))
    statuses, times, memory, idle, tasks = (
        Counter[str](),
        list[float](),
        list[float](),
        list[Line](),
        set[asyncio.Task[None]](),
    )

    async def one(request: bytes, due: float) -> None:
        try:
            while idle and idle[-1].closed:  # idle for so long that the server closed it
                idle.pop()
            line = idle.pop() if idle else await Line.open(place)
            status = str((await line.ask(request)).status)
            idle.append(line)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            status = type(error).__name__
        statuses[status] += 1
        times.append(time.perf_counter() - due)  # from when it was due: a queue before us counts, too

    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(asks[number % len(asks)], due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if number % int(rate * max(1.0, seconds / 200)) == 0:
            memory.append(_memory(server))
    await asyncio.gather(*tasks)
    memory.append(_memory(server))
    for line in idle:
        line.vanish()
    return statuses, times, memory


async def _ready(server: Server) -> int:
    place = Place.of(server.url, server.key)
    return (await once(place, place.request("/ready", close=True))).status


async def _figures(server: Server) -> dict[str, float]:
    place = Place.of(server.url, server.key)
    text = (await once(place, place.request("/metrics", close=True))).body.decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def _files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def _memory(server: Server) -> float:
    """Return the megabytes that the server and its models' processes hold, in all."""
    total = 0
    for process in (server.process.pid, *_children(server.process.pid)):
        text = Path(f"/proc/{process}/status").read_text()
        total += int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])
    return total / 1024


def _children(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


FAULTS: dict[str, Callable[..., Result]] = {
    "hostile": hostile,
    "vanish": vanish,
    "sigterm": sigterm,
    "soak": soak,
    **ON_EVENTS,
}


@app.default
def run(
    name: str,
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    write: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Do one fault, or all; each ends with one JSON line, and the exit code is 1 where one was not ok.

    Parameters
    ----------
    name
        hostile, vanish, sigterm, soak, kill-server, kill-model, disk-full or clock-back; or all.
    quick
        Fewer times: each ends within two minutes.
    write
        Keep the lines below benchmarks/results, and write benchmarks/RESULTS.md anew from all that are kept.
    """
    if name not in (*FAULTS, "all"):
        raise unknown("fault", name, (*FAULTS, "all"))
    bad = 0
    for each in FAULTS if name == "all" else (name,):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="noria-fault-") as folder:
            result = FAULTS[each](Path(folder), quick=quick)
        line = {
            "fault": each,
            **result,
            "seconds": round(time.monotonic() - begun, 1),
            "quick": quick,
            "machine": machine(),
        }
        print(json.dumps(line), flush=True)
        bad += not result["ok"]
        if write:
            rows = [row for row in kept_rows(PAGE.parent / "results", "faults") if row["fault"] != each]
            keep_rows(PAGE.parent / "results", "faults", [*rows, line])
            write_page(PAGE)
    return int(bad > 0)


if __name__ == "__main__":
    started(app)
