"""Handovers and people's replies through kill -9 of the server: none lost, none doubled, none out of order.

Customers ask for a person, people claim, reply and resolve, over HTTP, while the server is killed and started again. Whoever gets no answer
sends the same thing with the same id, as a program does. What was acknowledged is then looked for in the file.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from noria.lake.conversation import conversations_file, turns_of
from noria.lake.event import OUTBOX_TABLE
from noria.lake.reconcile import reconcile
from noria.lake.store import connect

from .line import Line, compare
from .served import Server, make_embedder, served

ASKED = "我要转人工"
CUSTOMERS, AGENTS = 12, 4
WANTED = "wanted: none lost, doubled or out of order"


@dataclass
class Told:
    """What clients were told is kept."""

    handovers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Conversation -> numbers of the message and of the reply that handed it over."""
    replies: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Conversation -> its id among all, and the number of a person's reply."""
    again: int = 0
    """Requests that got no answer and were sent again."""


def measure(*, quick: bool) -> list[Line]:
    """Return the line: the share of acknowledged handovers and replies that are there once and in order."""
    kills, wanted = (4, 400) if quick else (50, 10_000)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        lake = Path(folder) / "lake"
        told = asyncio.run(_through_kills(lake, make_embedder(Path(folder) / "vectors"), kills, wanted))
        wrong = faults(lake, told)
    count = len(told.handovers) + len(told.replies)
    print(f"handovers: {count:,} acknowledged, {told.again:,} sent again, {dict(wrong)}", file=sys.stderr)
    # Nothing wrong of so many is 1; the share is of what was acknowledged.
    kept = max(1e-9, 1 - sum(wrong.values()) / count)
    return [
        compare(
            "handovers",
            f"{count:,} handovers and replies kept once and in order, {kills} kill -9",
            [kept],
            [1.0],
            WANTED,
            "share",
        )
    ]


def faults(lake: Path, told: Told) -> Counter[str]:
    """Return how many of what was acknowledged are lost, doubled or out of order; nothing where all is well."""
    wrong: Counter[str] = Counter()
    connection = connect(conversations_file(lake))
    names = dict(connection.execute("SELECT name, id FROM conversations").fetchall())
    for name, (asked, replied) in told.handovers.items():
        turns = turns_of(connection, names[name]) if name in names else []
        kinds = {turn.number: turn.kind for turn in turns}
        if (kinds.get(asked), kinds.get(replied), kinds.get(replied + 1)) != ("message", "reply", "handover"):
            wrong["handovers lost"] += 1
        if name in told.replies and kinds.get(told.replies[name][1]) != "person":
            wrong["replies lost"] += 1
        said = Counter(turn.kind for turn in turns)
        wrong["doubled"] += sum(said[kind] > 1 for kind in ("message", "reply", "handover", "person", "resolve"))
        if [turn.number for turn in turns] != list(range(1, len(turns) + 1)) or not _in_order(turns):
            wrong["out of order"] += 1
    events = _handover_events(lake)
    wrong["events lost or doubled"] += abs(
        connection.execute("SELECT count(*) FROM turns WHERE kind = 'handover'").fetchone()[0] - events
    )
    wrong["books"] += not reconcile(lake).exact
    connection.close()
    return +wrong


async def _through_kills(lake: Path, model: Path, kills: int, wanted: int) -> Told:
    told, place, done = Told(), _Place(), asyncio.Event()
    clients = [asyncio.create_task(_customer(place, told, number, done)) for number in range(CUSTOMERS)]
    clients += [asyncio.create_task(_person(place, told, f"person {number}", done)) for number in range(AGENTS)]
    draw, killed = random.Random(0), 0
    while killed < kills or len(told.handovers) + len(told.replies) < wanted:
        with served(lake, model, key=place.key, flags=("--apps", "support", "--threads", "1")) as server:
            place.move(server)
            # So many more are acknowledged first: a kill of a server that has done nothing yet tries nothing.
            more = len(told.handovers) + len(told.replies) + draw.randrange(1, 2 * wanted // kills)
            while len(told.handovers) + len(told.replies) < more:
                await asyncio.sleep(0.005)
            if killed < kills:
                killed += 1
                server.process.send_signal(signal.SIGKILL)
                place.gone()
            else:  # the last ones come through
                while len(told.handovers) + len(told.replies) < wanted:
                    await asyncio.sleep(0.05)
        print(f"handovers: kill {killed}/{kills}, {len(told.handovers):,} and {len(told.replies):,}", file=sys.stderr)
    done.set()
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    await place.close()
    return told


class _Place:
    """Where the server is just now."""

    def __init__(self) -> None:
        self.key, self._url = "", ""
        self._client = httpx.AsyncClient(timeout=10)
        self._up = asyncio.Event()

    def move(self, server: Server) -> None:
        self.key, self._url = server.key, server.url
        self._up.set()

    def gone(self) -> None:
        self._up.clear()

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, told: Told, body: dict[str, Any] | None = None) -> httpx.Response:
        """Return the answer, sending the same again until there is one."""
        while True:
            await self._up.wait()
            url, headers = f"{self._url}/v1/apps/support{path}", {"authorization": f"Bearer {self.key}"}
            try:
                answer = await self._client.request(method, url, json=body, headers=headers)
            except httpx.HTTPError:
                told.again += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status_code < 500:
                return answer
            told.again += 1


async def _customer(place: _Place, told: Told, number: int, done: asyncio.Event) -> None:
    turn = 0
    while not done.is_set():
        turn += 1
        body = {"text": ASKED, "conversation": f"chat-{number}-{turn}", "message_id": "m1"}
        answer = (await place.ask("POST", "/messages", told, body)).json()
        assert answer["action"] == "handover", answer
        told.handovers[body["conversation"]] = (answer["message"], answer["number"])


async def _person(place: _Place, told: Told, name: str, done: asyncio.Event) -> None:
    while not done.is_set():
        waiting = (await place.ask("GET", "/inbox", told)).json()["conversations"]
        for one in random.Random(name).sample(waiting, min(8, len(waiting))):
            path, who = f"/inbox/{one['id']}", {"agent": name}
            claimed = await place.ask("POST", f"{path}/claim", told, who)
            if claimed.status_code == 409:  # a colleague was first
                continue
            reply = await place.ask(
                "POST", f"{path}/reply", told, {**who, "text": f"to {one['conversation']}", "message_id": "r1"}
            )
            if reply.status_code == 409:  # done by a colleague after a lost answer: the id is theirs
                continue
            told.replies[one["conversation"]] = (one["id"], reply.json()["number"])
            await place.ask("POST", f"{path}/resolve", told, who)
        if not waiting:
            await asyncio.sleep(0.02)


def _in_order(turns: Any) -> bool:
    times = [turn.time for turn in turns]
    kinds = [turn.kind for turn in turns if turn.kind in ("message", "reply", "handover", "person", "resolve")]
    return times == sorted(times) and kinds == ["message", "reply", "handover", "person", "resolve"][: len(kinds)]


def _handover_events(lake: Path) -> int:
    found = 0
    for path in (lake / "outbox").glob("*.sqlite"):
        connection = connect(path)
        found += connection.execute(f"SELECT count(*) FROM {OUTBOX_TABLE} WHERE kind = 'handover'").fetchone()[0]
        connection.close()
    return found
