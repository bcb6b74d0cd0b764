"""Faults on events, done to real servers; `python -m benchmarks.faults NAME` does them.

kill-server  kill -9 of the server under load, and of sealing beside it: no event that a client was told of is lost or doubled
kill-model   kill -9 of a model's process: its requests alone fail, and it is back within seconds
disk-full    a disk that fills while events are written: new work is refused, nothing acknowledged is lost, it heals
clock-back   a clock that jumps back and forth by days, through seals and restarts: each event once, under its day
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from noria.core.errors import ResourceError
from noria.lake.read import sealed_files
from noria.lake.reconcile import Reconciled, reconcile

from .asking import Asked, ask
from .served import TEXTS, Server, make_classifier, served

BODY: dict[str, object] = {"input": TEXTS, "user": "anna"}
BACK_SECONDS = 5.0
"""How soon a killed model must answer again."""
Result = dict[str, Any]


def kill_server(folder: Path, *, quick: bool) -> Result:
    """Kill the server 100 times while 16 clients ask; beside it seal, today's events too, and kill that as well."""
    model, lake, key = make_classifier(folder / "model"), folder / "lake", ""
    times, draw, told, statuses = 5 if quick else 100, random.Random(0), [], Counter[int]()
    for number in range(times):
        with served(lake, model, key=key, flags=("--threads", "1")) as server:
            key = server.key
            sealing = _sealing(lake)
            killer = threading.Timer(draw.uniform(0.2, 1.2), server.process.send_signal, [signal.SIGKILL])
            killer.start()
            asked = ask(server.url, key, BODY, clients=16, seconds=30, until=_ended(server))
            killer.join()
            sealing.kill()
            sealing.wait()
        told += asked.ids
        statuses += asked.statuses
        print(f"kill-server {number + 1}/{times}: {len(told):,} answers told so far", file=sys.stderr)
    books = reconcile(lake, told)
    _seal(lake)
    after = reconcile(lake, told)
    return {
        **_books(after),
        "kills": times,
        "told": len(told),
        "cut": statuses[0],
        "ok": books.exact and after.exact,
    }


def kill_model(folder: Path, *, quick: bool) -> Result:
    """Kill one of two models' processes 50 times while clients ask both."""
    struck, other = make_classifier(folder / "struck"), make_classifier(folder / "other")
    times, back, late = 3 if quick else 50, list[float](), 0
    done = threading.Event()
    with served(folder / "lake", struck, other, flags=("--threads", "1")) as server:
        results: dict[str, Asked] = {}
        threads = [
            threading.Thread(target=lambda name=name: results.update({name: _both(server, name, done)}))
            for name in ("struck", "other")
        ]
        for thread in threads:
            thread.start()
        kills = []
        for number in range(times):
            time.sleep(1.0)
            process = _process_of(server, struck)
            kills.append(time.monotonic())
            os.kill(process, signal.SIGKILL)
            # Its requests are over when it answers again: ask like anybody else.
            while ask(server.url, server.key, {**BODY, "model": "struck"}, clients=1, seconds=0.01).statuses[200] == 0:
                if time.monotonic() - kills[-1] > 60:
                    raise RuntimeError("the model did not come back")
                time.sleep(0.05)
            back.append(time.monotonic() - kills[-1])
            late += back[-1] > BACK_SECONDS
            print(f"kill-model {number + 1}/{times}: back after {back[-1]:.2f} s", file=sys.stderr)
        done.set()
        for thread in threads:
            thread.join()
    failed, unharmed = results["struck"].statuses, results["other"].statuses
    books = reconcile(folder / "lake", [*results["struck"].ids, *results["other"].ids])
    return {
        **_books(books),
        "kills": times,
        "back_seconds_median": round(sorted(back)[len(back) // 2], 3),
        "back_seconds_most": round(max(back), 3),
        "struck": _named(failed),
        "other": _named(unharmed),
        "ok": books.exact and late == 0 and set(unharmed) == {200} and set(failed) <= {200, 503, 429},
    }


def disk_full(folder: Path, *, quick: bool) -> Result:
    """Fill the disk under a server's lake, little by little and at once; free it again."""
    model, disk = make_classifier(folder / "model"), folder / "disk"
    times, told, seen = 2 if quick else 10, list[str](), Counter[int]()
    disk.mkdir()
    _mount(disk, "160m")
    try:
        with served(disk / "lake", model, flags=("--threads", "1")) as server:
            for number in range(times):
                seconds = 1.0 if quick else 3.0
                before = ask(server.url, server.key, BODY, clients=8, seconds=seconds)
                # To the last byte half of the times: commits fail; else below what the server wants free.
                _fill(disk / "ballast", disk, 0 if number % 2 else 40 << 20)
                during = ask(server.url, server.key, BODY, clients=8, seconds=seconds)
                (disk / "ballast").unlink()
                time.sleep(1.5)
                after = ask(server.url, server.key, BODY, clients=8, seconds=seconds)
                for one in (before, during, after):
                    told += one.ids
                    seen += one.statuses
                if set(before.statuses) | set(after.statuses) != {200} or during.statuses[503] == 0:
                    raise RuntimeError(
                        f"{_named(before.statuses)}, {_named(during.statuses)}, {_named(after.statuses)}"
                    )
                print(f"disk-full {number + 1}/{times}: {_named(during.statuses)} while full", file=sys.stderr)
            server.process.terminate()
            code = server.process.wait(60)
        books = reconcile(disk / "lake", told)
        _seal(disk / "lake")
        sealed = reconcile(disk / "lake", told)
        commits = _to_the_last_byte(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    statuses = _named(seen)
    return {
        **_books(sealed),
        "fills": times,
        "told": len(told),
        "statuses": statuses,
        "exit_code": code,
        "commits": commits,
        "ok": books.exact
        and sealed.exact
        and code == 0
        and set(seen) <= {200, 503}
        and commits["exact"]
        and commits["healed"],
    }


def _to_the_last_byte(disk: Path) -> Result:
    """Store, and seal, without the room that a server wants free, until the disk itself says no; then go on."""
    from noria.lake.event import Event, new_id
    from noria.lake.outbox import Outbox, everything

    lake, told, failed = disk / "bare", list[str](), Counter[str]()

    def store() -> None:
        events = [Event(new_id(), datetime.now(UTC), "request", segment="x" * 500) for _ in range(300)]
        try:
            outbox.append(events)
        except ResourceError as error:
            failed[str(error.found)] += 1
        else:
            told.extend(event.id for event in events)

    with Outbox(lake, reserve_bytes=0) as outbox:
        store()
        _fill(disk / "ballast", disk, 4 << 20)
        while sum(failed.values()) < 20:
            store()
        try:
            outbox.seal(before=everything())
        except ResourceError as error:
            failed[f"seal: {error.what}"] += 1
        (disk / "ballast").unlink()
        before = len(told)
        store()
        outbox.seal(before=everything())
    return {**_books(reconcile(lake, told)), "told": len(told), "failed": dict(failed), "healed": len(told) > before}


def clock_back(folder: Path, *, quick: bool) -> Result:
    """Store and seal by a clock that jumps, in processes that are started anew; ids are made by it, too."""
    lake, times, ids = folder / "lake", 5 if quick else 40, list[str]()
    for number in range(times):
        command = [sys.executable, "-m", "benchmarks.faults_events", str(lake), str(number)]
        ids += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"clock-back {number + 1}/{times}: {len(ids):,} events", file=sys.stderr)
    books = reconcile(lake, ids)
    _seal(lake)
    sealed = reconcile(lake, ids)
    import pyarrow.parquet as pq

    astray = sum(
        f"{one:%Y-%m-%d}" != path.parent.name.removeprefix("day=")
        for path in sealed_files(lake)
        for one in pq.ParquetFile(path).read(["time"])["time"].to_pylist()
    )
    ok = books.exact and sealed.exact and astray == 0 and len(set(ids)) == len(ids)
    return {**_books(sealed), "restarts": times, "told": len(ids), "under_another_day": astray, "ok": ok}


def jumps(lake: Path, seed: int) -> None:
    """Store events by a clock that jumps, sealing by it now and then; print the ids that are stored."""
    from noria.lake.outbox import Outbox
    from noria.server.meter import Meter

    draw, start = random.Random(seed), datetime(2026, 3, 15, 23, 59, 58, tzinfo=UTC)
    moment = start
    with Outbox(lake) as outbox:
        meter = Meter(outbox, b"s" * 32, lambda: moment)
        for _ in range(60):
            # Small slips as a time server makes them, and a battery that died.
            moment = draw.choice([moment, moment, start]) + timedelta(
                seconds=draw.choice([-3, 0.001, 2, -86_400, 90_000, -1e7])
            )
            events = [meter.event("request", user="anna") for _ in range(draw.randrange(1, 40))]
            outbox.append(events)
            print(*(event.id for event in events))
            if draw.random() < 0.2:
                outbox.seal(before=moment)


FAULTS: dict[str, Callable[..., Result]] = {
    "kill-server": kill_server,
    "kill-model": kill_model,
    "disk-full": disk_full,
    "clock-back": clock_back,
}


def _both(server: Server, model: str, done: threading.Event) -> Asked:
    return ask(server.url, server.key, {**BODY, "model": model}, clients=4, seconds=3_600, until=done.is_set)


def _ended(server: Server) -> Callable[[], bool]:
    return lambda: server.process.poll() is not None


def _sealing(lake: Path) -> subprocess.Popen[bytes]:
    code = "import sys; from pathlib import Path; from noria.lake.outbox import everything; from noria.lake.seal import seal_all\n"
    loop = "while True: seal_all(Path(sys.argv[1]), everything())"
    return subprocess.Popen([sys.executable, "-c", code + loop, str(lake)], stderr=subprocess.DEVNULL)


def _seal(lake: Path) -> None:
    from noria.lake.outbox import everything
    from noria.lake.seal import seal_all

    seal_all(lake, everything())


def _process_of(server: Server, model: Path) -> int:
    """Return the process that holds a model: the server's child that was started on its folder."""
    for _ in range(200):
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
                parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):  # it ended meanwhile
                continue
            if parent == server.process.pid and str(model).encode() in words:
                return int(place.name)
        time.sleep(0.05)
    raise RuntimeError("the model has no process")


def _mount(place: Path, size: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ResourceError(
            "a small disk cannot be mounted",
            found=done.stderr.strip(),
            hint="as root, or: unshare --map-root-user --mount python -m benchmarks.faults disk-full",
        )


def _fill(file: Path, disk: Path, leave: int) -> None:
    """Write a file until only so many bytes of the disk are left."""
    with file.open("wb") as stream:
        while (free := shutil.disk_usage(disk).free - leave) > 0:
            try:
                stream.write(b"\0" * min(free, 1 << 20))
                stream.flush()
            except OSError:
                return


def _books(books: Reconciled) -> Result:
    lost = books.lost + books.missing
    return {"acknowledged": books.acknowledged, "lost": lost, "doubled": books.twice, "exact": books.exact}


def _named(statuses: Counter[int]) -> dict[str, int]:
    return {str(status) if status else "cut off": count for status, count in sorted(statuses.items())}


if __name__ == "__main__":
    jumps(Path(sys.argv[1]), int(sys.argv[2]))
