"""Replay text against a running server over HTTP: who asks what, in which order, and what came back and how fast.

What is asked is real held-out text; who asks, when, and what readers click is made up, and labelled simulated.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from noria.apps.monitor.topics import read_topics
from noria.apps.recommend.readers import SimulatedReader, Visits
from noria.apps.support.faq import Faq
from noria.apps.support.replies import Choice, Reply
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.core.progress import Bar
from noria.text.lines import numbered_lines

AT_ONCE = 8
"""Requests under way at once."""
BURST_TOPIC = "hotel"


@dataclass(frozen=True)
class Sent:
    """One request that was answered."""

    app: str
    status: int
    id: str
    """The request id, which is the id of its event."""
    ms: float


@dataclass
class Client:
    """Sends requests and keeps the book of them: what was sent, what was answered, how fast."""

    url: str
    keys: Sequence[str]
    """Keys of made-up customers; each user belongs to one of them."""
    http: httpx.AsyncClient
    bar: Bar | None = None
    sent: int = 0
    answered: list[Sent] = field(default_factory=list)
    lost: int = 0
    """Requests that got no answer at all."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each application's replay."""

    async def post(self, app: str, path: str, customer: int, **body: Any) -> dict[str, Any] | None:
        """Return the answer to one request, or None where it was an error."""
        self.sent += 1
        started = time.perf_counter()
        headers = {"authorization": f"Bearer {self.keys[customer % len(self.keys)]}"}
        try:
            response = await self.http.post(self.url + path, json=body, headers=headers)
        except httpx.HTTPError:
            self.lost += 1
            return None
        ms = (time.perf_counter() - started) * 1e3
        self.answered.append(Sent(app, response.status_code, response.headers.get("x-request-id", ""), ms))
        if self.bar:
            self.bar.advance(1)
        return response.json() if response.is_success else None

    def figures(self) -> list[Figure]:
        """Return latency and throughput of every application, and the number of errors."""
        figures = []
        for app in dict.fromkeys(one.app for one in self.answered):
            times = np.array([one.ms for one in self.answered if one.app == app])
            source = f"{AT_ONCE} requests at once over HTTP, all processes on one machine"
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                if len(times) * (1 - share) < 1:
                    continue  # too few to tell the slowest hundredth
                low, high = _quantile_interval(times, share)
                figures.append(
                    Figure(
                        message("figures.latency", app=term(app), quantile=name),
                        float(np.quantile(times, share, method="inverted_cdf")),
                        len(times),
                        low,
                        high,
                        "ms",
                        source,
                    )
                )
            if app in self.seconds:
                rate = len(times) / self.seconds[app]
                figures.append(
                    Figure(
                        message("figures.throughput", app=term(app)), rate, len(times), unit="requests/s", source=source
                    )
                )
        errors = self.lost + sum(one.status >= 400 for one in self.answered)
        return [*figures, Figure("request errors", errors, self.sent, unit="requests", source="replay")]


async def run_concurrently(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs, `AT_ONCE` at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await job()

    await asyncio.gather(*(one(job) for job in jobs))


@dataclass(frozen=True)
class Stream:
    """Reviews in the order of a made-up clock, with one made-up surge of real negative ones."""

    windows: list[list[dict[str, Any]]]
    """Windows of {text, label, time, id}, in order of time."""
    burst: int
    """The window that holds the surge."""
    burst_ids: frozenset[str]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for _, line in numbered_lines(path.read_text(encoding="utf-8"))]


def make_stream(reviews: Sequence[dict[str, Any]], windows: int, each: int, burst: int, seed: int) -> Stream:
    """Return held-out reviews in a simulated order: steady hours, but one in which many bad reviews of hotels arrive.

    Args:
        reviews: classify rows {text, label}; label and words only decide the order, the server is shown the text alone.
        windows: hours of the clock.
        each: reviews an hour.
        burst: further negative hotel reviews in the one hour, five sixths through.
        seed: of the order.
    """
    random = np.random.default_rng(seed)
    topics = read_topics()
    order = [int(place) for place in random.permutation(len(reviews))]
    bad = [
        place
        for place in order
        if reviews[place]["label"] == "negative" and topics.of(reviews[place]["text"]) == BURST_TOPIC
    ][:burst]
    chosen = set(bad)
    steady = [place for place in order if place not in chosen][: windows * each]
    at = windows * 5 // 6
    start = datetime(2030, 1, 1, tzinfo=UTC)
    hours: list[list[dict[str, Any]]] = []
    for hour in range(windows):
        places = steady[hour * each : (hour + 1) * each] + (bad if hour == at else [])
        step = timedelta(hours=1) / (len(places) + 1)
        hours.append(
            [
                {
                    **reviews[place],
                    "id": f"review-{place}",
                    "time": (start + timedelta(hours=hour) + step * (n + 1)).isoformat(),
                }
                for n, place in enumerate(places)
            ]
        )
    return Stream(hours, at, frozenset(f"review-{place}" for place in bad))


async def replay_stream(
    client: Client, stream: Stream, users: int
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Send a stream to the monitor hour by hour; return the alerts raised, and (label, predicted label) of every text."""
    alerts: list[dict[str, Any]] = []
    labels: list[tuple[str, str]] = []

    async def one(number: int, row: dict[str, Any]) -> None:
        text = {"text": row["text"], "time": row["time"], "id": row["id"]}
        answer = await client.post(
            "monitor",
            "/v1/apps/monitor/texts",
            number,
            texts=[text],
            user=f"watcher-{number % users}",
            replay=True,
        )
        if answer is not None:
            alerts.extend(answer["alerts"])
            negative = answer["mentions"][0]["negative"]
            labels.append((row["label"], "negative" if negative else "positive"))

    started = time.perf_counter()
    number = 0
    for hour in stream.windows:
        jobs = []
        for row in hour:
            jobs.append(lambda number=number, row=row: one(number, row))
            number += 1
        await run_concurrently(jobs)
    end = datetime.fromisoformat(stream.windows[-1][-1]["time"]) + timedelta(hours=1)
    answer = await client.post("monitor", "/v1/apps/monitor/clock", 0, time=end.isoformat(), replay=True)
    alerts.extend(answer["alerts"] if answer else [])
    client.seconds["monitor"] = time.perf_counter() - started
    return alerts, labels


async def replay_questions(client: Client, faq: Faq, most: int, users: int, seed: int) -> list[tuple[str, Reply]]:
    """Ask the questions kept for judging; return each with the entry that was meant.

    A simulated asker who is asked back names the right entry where it is offered, and else says that none was meant. Who
    got an answer says whether it was right.
    """
    questions = [(entry.id, text) for entry in faq.entries for texts in entry.test.values() for text in texts]
    questions += [("", row.text) for row in faq.outside if row.split == "test"]
    order = np.random.default_rng(seed).permutation(len(questions))[:most]
    replies: list[tuple[str, Reply]] = []

    async def one(number: int, entry: str, text: str) -> None:
        user = f"asker-{number % users}"
        answer = await client.post("support", "/v1/apps/support/ask", number, question=text, user=user)
        if answer is None:
            return
        request = answer.pop("id")
        choices = tuple(Choice(**choice) for choice in answer.pop("choices"))
        del answer["parts"], answer["others"]
        reply = Reply(**answer, choices=choices)
        replies.append((entry, reply))
        if reply.action == "confirm":
            chosen = entry if entry in [choice.entry for choice in choices] else None
            await client.post(
                "support",
                "/v1/apps/support/choose",
                number,
                entry=chosen,
                language=reply.language,
                about=request,
                user=user,
            )
        elif reply.action == "answer":
            await client.post("support", "/v1/feedback", number, request=request, right=reply.entry == entry, user=user)

    started = time.perf_counter()
    await run_concurrently([partial(one, number, *questions[place]) for number, place in enumerate(order)])
    client.seconds["support"] = time.perf_counter() - started
    return replies


async def replay_readers(
    client: Client,
    readers: Sequence[SimulatedReader],
    rounds: int,
    count: int,
    opened: Callable[[SimulatedReader, str], bool],
) -> tuple[list[Visits], int]:
    """Let simulated readers come several times; return what each was shown and opened, and the number of impressions."""
    visits = [Visits([], []) for _ in readers]

    async def one(number: int) -> None:
        reader = readers[number]
        answer = await client.post("recommend", "/v1/apps/recommend/pick", number, user=reader.name, count=count)
        if answer is None:
            return
        shown = [pick["item"]["id"] for pick in answer["picks"]]
        clicked = [item for item in shown if opened(reader, item)]
        for item in clicked:
            await client.post("recommend", "/v1/apps/recommend/click", number, user=reader.name, item=item)
        visits[number].shown.append(len(shown))
        visits[number].opened.append(len(clicked))

    started = time.perf_counter()
    for _ in range(rounds):
        await run_concurrently([partial(one, number) for number in range(len(readers))])
    client.seconds["recommend"] = time.perf_counter() - started
    return visits, sum(sum(one.shown) for one in visits)


async def replay_prompts(client: Client, model: str, prompts: Sequence[str], users: int) -> int:
    """Let the causal model go on from the beginnings of held-out articles; return how many it answered."""
    done: list[dict[str, Any]] = []

    async def one(number: int, prompt: str) -> None:
        answer = await client.post(
            "completions",
            "/v1/completions",
            number,
            model=model,
            prompt=prompt,
            max_tokens=24,
            seed=number,
            user=f"writer-{number % users}",
        )
        if answer is not None:
            done.append(answer)

    started = time.perf_counter()
    await run_concurrently([partial(one, number, prompt) for number, prompt in enumerate(prompts)])
    client.seconds["completions"] = time.perf_counter() - started
    return len(done)


def _quantile_interval(values: np.ndarray, share: float) -> tuple[float, float]:
    """Return the 95 % interval of a quantile from order statistics (normal approximation to the binomial ranks)."""
    ordered = np.sort(values)
    middle, half = len(ordered) * share, 1.96 * (len(ordered) * share * (1 - share)) ** 0.5
    low, high = max(0, int(np.floor(middle - half))), min(len(ordered) - 1, int(np.ceil(middle + half)))
    return float(ordered[low]), float(ordered[high])
