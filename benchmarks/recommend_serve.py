"""The recommender as it serves: latency over 100,000 items, memory of a million users, clicks over kills, off-policy intervals.

Items are CrossWOZ's restaurants, hotels and sights, each told again under numbers of branches until there are enough; their vectors of 384
numbers are made up, in 200 clusters, for what a list costs does not depend on what they mean. Users clicked 30 items each before the server
started. The server runs in a process of its own, with one thread for numbers; a user is asked for again and again as clients do.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import child
from .line import Line, single
from .load import Load, load
from .recommend_offpolicy import CROSSWOZ, coverage
from .served import Server, make_embedder, served

NAME = "recommend"
ITEMS, WIDTH, USERS, DEEDS = 100_000, 384, 500, 30
P50_MS, P99_MS, LIST_MS, STATES_MIB = 15.0, 40.0, 15.0, 1024.0
MOST_USERS = 1_000_000


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick asks for 6 s a number of clients, kills 3 times and judges 20 runs."""
    return [*_latency(quick=quick), *_states(quick=quick), *_kills(quick=quick), *coverage(quick=quick)]


def items(count: int) -> list[dict[str, Any]]:
    """Return so many items with texts: those of CrossWOZ, and branches of them."""
    known = [json.loads(line) for line in CROSSWOZ.read_text(encoding="utf-8").splitlines()]
    return [
        {
            "id": f"{known[n % len(known)]['id']}/{n // len(known)}",
            "title": f"{known[n % len(known)]['name']} {n // len(known)}",
            "text": known[n % len(known)]["text"],
            "categories": [known[n % len(known)]["kind"]],
        }
        for n in range(count)
    ]


def vectors(count: int) -> np.ndarray:
    """Return made-up embeddings in 200 clusters, [count, WIDTH]."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(200, WIDTH)).astype(np.float32)
    return centres[np.arange(count) % 200] + draw.normal(scale=0.7, size=(count, WIDTH)).astype(np.float32)


def _latency(*, quick: bool) -> list[Line]:
    seconds, lines = 6.0 if quick else 40.0, []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder = Path(place)
        model = make_embedder(folder / "model")
        rows = _prepare(folder, model, ITEMS)
        flags = ("--threads", "1", "--shelf.most-items", "200000", "--shelf.no-per-key")
        with served(folder / "lake", model, rows, flags=flags, what="recommend") as server:
            bodies = [json.dumps({"user": f"u{n}", "count": 20}) for n in range(USERS)]
            headers = {"authorization": f"Bearer {server.key}"}
            for clients in (1, 16):
                asked = Load(f"{server.url}/v1/apps/recommend/pick", bodies, clients, seconds, headers=headers)
                load(Load(asked.url, bodies, clients, 2.0, headers=headers))
                found = load(asked)
                print(f"recommend, {clients} clients: {found}", file=sys.stderr)
                for what, wanted in (("p50", P50_MS), ("p99", P99_MS)):
                    measure = f"{what} of 20 of {ITEMS:,} items over HTTP, {clients} client{'s' * (clients > 1)}"
                    lines.append(_wanted(measure, found[what], wanted, "ms", int(found["n"])))
                rate = f"lists a second, {clients} client{'s' * (clients > 1)}"
                print(f"recommend, {rate}: {found['rate']:.0f}", file=sys.stderr)
    told = child.run("benchmarks.recommend_serve", "list")
    lines.append(
        _wanted(f"a list of 20 of {ITEMS:,} items, one core", told["median_ms"], LIST_MS, "ms", int(told["n"]))
    )
    return lines


def _prepare(folder: Path, model: Path, count: int) -> Path:
    """Write items, their embeddings where the server keeps them, and what users clicked; return the file of items."""
    import xxhash

    from noria.apps.embedding import file_of
    from noria.apps.recommend.importing import import_deeds
    from noria.core.folder import read_manifest
    from noria.server.meter import read_secret
    from noria.tasks.deeds import deeds_of
    from noria.tasks.items import LEAD, item_of

    rows, lake = items(count), folder / "lake"
    file = folder / "items.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    keys = [xxhash.xxh3_128_hexdigest(item_of(row).described[:LEAD].encode()) for row in rows]
    kept = file_of(lake, "recommend", read_manifest(model).identity()[:12])
    kept.parent.mkdir(parents=True)
    np.savez(kept, keys=np.array(keys), vectors=vectors(count))
    draw, now = random.Random(0), time.time()
    deeds = deeds_of(
        (
            f"u{user}",
            rows[(draw.randrange(200) + 200 * draw.randrange(count // 200)) % count]["id"],
            "click",
            1.0,
            now - at,
        )
        for user in range(USERS)
        for at in range(DEEDS)
    )
    import_deeds(lake, deeds, read_secret(lake / "server"), now=now)
    return file


def _states(*, quick: bool) -> list[Line]:
    users = MOST_USERS // 10 if quick else MOST_USERS
    told = child.run("benchmarks.recommend_serve", "states", str(users))
    print(f"recommend, states: {told}", file=sys.stderr)
    measure = f"memory of {users:,} users of 40 deeds and 40 showings"
    if quick:
        measure += ", times 10"
    return [_wanted(measure, told["mib"] * (MOST_USERS // users), STATES_MIB, "MiB", 1)]


def _kills(*, quick: bool) -> list[Line]:
    """Kill the server while clicks arrive; count those told as taken that the next start does not know."""
    times, told, missing = 3 if quick else 50, list[tuple[str, str]](), 0
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder, key, draw = Path(place), "", random.Random(0)
        model = make_embedder(folder / "model")
        rows = folder / "items.jsonl"
        rows.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in items(500)), encoding="utf-8")
        flags = ("--threads", "1", "--shelf.snapshot-minutes", "0.02")
        for number in range(times + 1):
            with served(folder / "lake", model, rows, key=key, flags=flags, what="recommend") as server:
                key = server.key
                checked = told if number == times else told[-400:]
                missing += _unknown(server, checked)
                if number == times:
                    break
                killer = threading.Timer(draw.uniform(0.3, 1.5), server.process.send_signal, [signal.SIGKILL])
                killer.start()
                told += _clicks(server, number)
                killer.join()
            print(
                f"recommend, kill {number + 1}/{times}: {len(told):,} clicks taken, {missing} missing", file=sys.stderr
            )
    wanted = f"acknowledged clicks known after {times} kills, of {len(told):,}"
    known = 1 - missing / max(len(told), 1)
    return [single(NAME, wanted, known, 1.0, "wanted: all", "share", times)]


def _clicks(server: Server, number: int) -> list[tuple[str, str]]:
    """Send clicks from 8 clients until the server is gone; return those it took."""
    import httpx

    taken: list[list[tuple[str, str]]] = [[] for _ in range(8)]
    ids = [row["id"] for row in items(500)]

    def send(client: int) -> None:
        with httpx.Client(base_url=f"{server.url}/v1/apps/recommend", timeout=5) as web:
            web.headers["authorization"] = f"Bearer {server.key}"
            for at in range(100_000):
                user, item = f"u{number}/{client}/{at // 5}", ids[(at * 8 + client) % 500]
                try:
                    answer = web.post("/click", json={"user": user, "item": item})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    taken[client].append((user, item))

    threads = [threading.Thread(target=send, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for some in taken for one in some]


def _unknown(server: Server, told: list[tuple[str, str]]) -> int:
    """Return how many of some clicks the server does not know."""
    import httpx

    by_user: dict[str, set[str]] = {}
    for user, item in told:
        by_user.setdefault(user, set()).add(item)
    missing = 0
    with httpx.Client(base_url=f"{server.url}/v1/apps/recommend", timeout=30) as web:
        web.headers["authorization"] = f"Bearer {server.key}"
        for user, clicked in by_user.items():
            deeds = web.post("/history", json={"user": user}).json()["deeds"]
            missing += len(clicked - {deed["item"] for deed in deeds})
    return missing


def _wanted(measure: str, value: float, wanted: float, unit: str, n: int) -> Line:
    return single(NAME, measure, value, wanted, "wanted, at most", unit, n, higher_is_better=False)


def list_times() -> dict[str, float]:
    """Return how long a list takes in this process, milliseconds."""
    from noria.apps.recommend.shelf import Shelf
    from noria.apps.settings import RecommendSettings
    from noria.tasks.items import Item

    shelf = Shelf(RecommendSettings())
    shelf.put([Item(str(n), f"item {n}", "") for n in range(ITEMS)], vectors(ITEMS))
    draw, taken = np.random.default_rng(1), []
    for user in range(200):
        for at in range(DEEDS):
            shelf.click(user, str(int(draw.integers(ITEMS))), at)
        begun = time.perf_counter()
        shelf.choose(user, 20)
        taken.append(1e3 * (time.perf_counter() - begun))
    return {"median_ms": statistics.median(taken[20:]), "p99_ms": sorted(taken[20:])[-2], "n": len(taken) - 20}


def state_bytes(users: int) -> dict[str, float]:
    """Return what so many users take of this process's memory, MiB."""
    from noria.apps.recommend.states import CLICK, States, key_of

    before, states, draw = _memory(), States(users), random.Random(0)
    for number in range(users):
        reader = states.of(key_of("shop", f"user {number}"))
        for at in range(40):
            reader.act(draw.randrange(ITEMS), CLICK, 1_700_000_000 + at)
            reader.show(draw.randrange(ITEMS))
    return {"mib": (_memory() - before) / 1024}


def _memory() -> float:
    """Return the memory that this process holds, in kB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1])


if __name__ == "__main__":
    print(json.dumps(list_times() if sys.argv[1] == "list" else state_bytes(int(sys.argv[2]))))
