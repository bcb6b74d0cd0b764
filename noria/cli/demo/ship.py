"""Stage 5, ship: the real server with the models and three applications, held-out text over HTTP, every event counted."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import noria
from noria.api.stages import StageResult
from noria.core.figure import Figure, proportion
from noria.core.folder import write_json
from noria.core.messages import Message, message

from .settings import Context, Stage

if TYPE_CHECKING:
    from noria.api.serving import Server
    from noria.server.http.state import App

    from .replay import Client, Stream

MODELS = ("sentiment-served", "entities-served", "embed-served", "pretrain")
CUSTOMERS = 3
USERS = 40
MARK = "replay.json"
"""Lies in the lake: says whether its replay was ended."""


@dataclass(frozen=True)
class Plan:
    """How much is replayed."""

    hours: int
    each: int
    burst: int
    questions: int
    readers: int
    rounds: int
    prompts: int

    @classmethod
    def of(cls, context: Context) -> Plan:
        """Return the plan for the settings: about a minute, or some seconds where it must be quick."""
        if context.settings.quick:
            return cls(hours=18, each=4, burst=12, questions=60, readers=12, rounds=3, prompts=4)
        return cls(hours=36, each=8, burst=20, questions=252, readers=60, rounds=5, prompts=16)


def plan(context: Context) -> Message:
    """Return what the stage is about to do."""
    chosen = Plan.of(context)
    return message(
        "demo.ship.plan",
        models=len(MODELS),
        reviews=chosen.hours * chosen.each + chosen.burst,
        questions=chosen.questions,
        visits=chosen.readers * chosen.rounds,
        prompts=chosen.prompts,
        seconds=20 if context.settings.quick else 60,
    )


def models(root: Path) -> list[Path]:
    """Return the model folders that the demo serves."""
    return [root / name for name in MODELS]


def apps(root: Path) -> list[App]:
    """Return the demo's applications: on its own models, questions on Noria, and the newspaper's held-out articles."""
    from noria.apps.monitor.routes import Monitor
    from noria.apps.recommend.routes import Recommend
    from noria.apps.support.routes import Support
    from noria.tasks.items import read_items
    from noria.text.personal_data import mask

    items = read_items(root / "corpus" / "news" / "test.jsonl")
    return [
        Support("embed-served"),
        Monitor(lambda text: mask(text)[0], "sentiment-served", "entities-served"),
        Recommend(items, "embed-served"),
    ]


def run(context: Context) -> StageResult:
    """Write root/lake, and return how the applications did and that every event was counted.

    A replay that was cut by a kill is not resumed but thrown away with its lake and done again: nothing but the
    replay writes there before this stage is done, so the figures are those of a run never cut. A lake whose replay was
    ended holds people's own use, too, and is put aside under the time of the change instead.
    """
    lake = context.root / "lake"
    make_room(lake)
    write_json(lake / MARK, {"complete": False})
    chosen = Plan.of(context)
    context.report.note(message("demo.loading"))
    with noria.serve(*models(context.root), apps=apps(context.root), background=True, port=0, lake=lake) as server:
        found = asyncio.run(_replay(context, server, chosen))
    result = _result(context, lake, found)
    write_json(lake / MARK, {"complete": True})
    return result


STAGE = Stage("ship", message("demo.ship.title"), plan, run)


def make_room(lake: Path) -> None:
    """Make sure that there is no lake: remove one whose replay was cut, put any other one aside."""
    if not lake.exists():
        return
    try:
        complete = json.loads((lake / MARK).read_text(encoding="utf-8"))["complete"]
    except (OSError, ValueError, KeyError):
        complete = any(lake.rglob("*.sqlite"))  # not made by this stage, yet with events: not ours to remove
    if complete:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        lake.rename(lake.with_name(f"{lake.name}-until-{stamp}"))
    else:
        shutil.rmtree(lake)


@dataclass
class Found:
    """What a replay brought."""

    client: Client
    stream: Stream
    alerts: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    handovers: int
    impressions: int
    figures: list[Figure]
    tests: int
    """Tests of the monitor outside the surge's topic and hour."""


async def _replay(context: Context, server: Server, chosen: Plan) -> Found:
    import httpx

    from noria.apps.recommend.readers import make_readers, opens, topics_of
    from noria.apps.support.faq import read_faq
    from noria.apps.support.judging import figures_of
    from noria.lake.simulated import mark_simulated
    from noria.tasks.items import read_items

    from . import replay

    seed, root = context.settings.seed, context.root
    stream = replay.make_stream(
        replay.read_rows(root / "corpus" / "reviews" / "test.jsonl"), chosen.hours, chosen.each, chosen.burst, seed
    )
    news = read_items(root / "corpus" / "news" / "test.jsonl")
    topics = topics_of(news)
    readers = make_readers(chosen.readers, topics, seed)
    keys = [server.state.keys.make(f"simulated customer {number + 1}") for number in range(CUSTOMERS)]
    mark_simulated(server.state.lake, [key.split("_")[1] for key in keys])
    total = sum(map(len, stream.windows)) + chosen.questions * 2 + chosen.readers * chosen.rounds * 2 + chosen.prompts
    async with httpx.AsyncClient(timeout=60) as http:
        with context.report.bar("replay", total=total, unit="request") as bar:
            client = replay.Client(server.url, keys, http, bar)
            alerts, labels = await replay.replay_stream(client, stream, USERS)
            replies = await replay.replay_questions(client, read_faq(), chosen.questions, USERS, seed)
            visits, impressions = await replay.replay_readers(
                client, readers, chosen.rounds, 5, lambda reader, item: opens(reader, item, topics, seed)
            )
            await replay.replay_prompts(client, "pretrain", [item.text[:60] for item in news[: chosen.prompts]], USERS)
        full = [
            (await http.get(f"{server.url}/v1/apps/monitor/alerts/{alert['id']}", headers=server.headers)).json()
            for alert in alerts
        ]
        windows = (await http.get(f"{server.url}/v1/apps/monitor/windows?replay=true", headers=server.headers)).json()[
            "windows"
        ]
    right = sum(label == told for label, told in labels)
    accuracy = proportion("sentiment over HTTP", right, len(labels), source="held-out reviews")
    chose_none = sum(
        reply.action == "confirm" and meant not in [choice.entry for choice in reply.choices]
        for meant, reply in replies
    )
    handovers = chose_none + sum(reply.action == "handover" for _, reply in replies)
    figures = [
        accuracy,
        *figures_of(replies),
        *_reading(context, server, readers, topics, visits, chosen.rounds),
    ]
    tests = chosen.hours * 5 - 1
    return Found(client, stream, full, windows, handovers, impressions, figures, tests)


def _reading(
    context: Context, server: Server, readers: Any, topics: dict[str, str], visits: Any, rounds: int
) -> list[Figure]:
    """Return click-through over HTTP beside that of the same readers under popularity and chance, in this process."""
    from noria.apps.recommend.readers import Visits, browsing, figures_of, opens, visit
    from noria.apps.recommend.routes import Recommend
    from noria.apps.recommend.shelf import Shelf
    from noria.apps.settings import RecommendSettings

    recommend = next(app for app in server.state.apps if isinstance(app, Recommend))
    seed = context.settings.seed
    policies = {"by taste": visits}
    by_chance = RecommendSettings(chance=1.0, nearby=0.0)
    for name, settings in (("popular", RecommendSettings(taste=False)), ("at random", by_chance)):
        shelf = Shelf(settings)
        shelf.use(recommend.shelf.catalogue)
        pick, click = browsing(shelf)
        policies[name] = [Visits([], []) for _ in readers]
        for _ in range(rounds):
            for reader, one in zip(readers, policies[name], strict=True):
                opened = partial(opens, reader, topics=topics, seed=seed)
                visit(reader, one, pick, click, opened)
    return figures_of(policies, seed)


def _result(context: Context, lake: Path, found: Found) -> StageResult:
    client = found.client
    in_lake, books = count_events(lake)
    requests = {one.id for one in client.answered}
    expected = len(requests) + found.handovers + found.impressions + len(found.alerts)
    exact = (
        requests <= in_lake["request"] | in_lake["feedback"] | in_lake["click"]
        and len(requests) == len(client.answered) == client.sent
        and sum(map(len, in_lake.values())) == expected == books["acknowledged"]
        and books["exact"]
    )
    by_kind = {kind: len(ids) for kind, ids in in_lake.items() if ids}
    real = [alert for alert in found.alerts if _behind(alert, found.stream) >= 0.5]
    figures = [
        Figure("requests sent", client.sent, client.sent, unit="requests", source="replay"),
        Figure("requests answered", len(client.answered), client.sent, unit="requests", source="replay"),
        Figure(
            "events expected",
            expected,
            expected,
            unit="events",
            source="requests, impressions, handovers, alerts of the replay",
        ),
        Figure(
            "events counted",
            sum(by_kind.values()),
            expected,
            unit="events",
            source="outbox and lake",
            note="exact" if exact else "does not reconcile",
        ),
        proportion("surges found", min(1, len(real)), 1, source="held-out reviews", note="simulated order"),
        proportion(
            "false alarms",
            len(found.alerts) - len(real),
            found.tests,
            source="tests of topics by the hour",
            note="simulated order",
        ),
        *found.figures,
        *client.figures(),
    ]
    facts = {
        "exact": exact,
        "kinds": by_kind,
        "books": books,
        "models": list(MODELS),
        "monitor": {
            "windows": found.windows,
            "alerts": found.alerts,
            "order": "simulated",
            "burst_hour": found.stream.burst,
        },
        "support": [figure.as_dict() for figure in found.figures if "FAQ" in figure.source],
        "recommend": [figure.as_dict() for figure in found.figures if "simulated readers" in figure.note],
        "seconds": client.seconds,
    }
    return StageResult(_line(figures, exact, found), figures, facts)


def count_events(lake: Path) -> tuple[dict[str, set[str]], dict[str, Any]]:
    """Return the ids of all events by kind, as the analytics see them, and the server's own books."""
    from noria.grow.log.lake import events
    from noria.lake.event import KINDS
    from noria.lake.outbox import reconcile

    rows = events(lake).select("id", "kind").to_pyarrow().to_pydict()
    ids: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for id, kind in zip(rows["id"], rows["kind"], strict=True):
        ids[kind].add(id)
    books = reconcile(lake)
    return ids, {"acknowledged": books.acknowledged, "exact": books.exact}


def _behind(alert: dict[str, Any], stream: Stream) -> float:
    """Return the share of the surge's reviews that an alert lists."""
    listed = Counter(mention["id"] in stream.burst_ids for mention in alert["mentions"])
    return listed[True] / len(stream.burst_ids)


def _line(figures: list[Figure], exact: bool, found: Found) -> Message:
    by_name = {figure.name: figure for figure in figures}
    counted = by_name["events counted"]
    alert = max(found.alerts, key=lambda alert: _behind(alert, found.stream), default=None)
    seen = alert is not None and _behind(alert, found.stream) >= 0.5
    surge = message("demo.ship.found", texts=alert["texts"]) if alert and seen else message("demo.ship.missed")
    solved, right = by_name["solved at once or after asking back"], by_name["right when answered at once"]
    taste, popular = by_name["click-through, by taste"], by_name["click-through, popular"]
    p99 = by_name.get("monitor latency p99")
    return message(
        "demo.ship.line",
        sent=by_name["requests sent"].value,
        answered=by_name["requests answered"].value,
        events=counted.value,
        exact=message("demo.ship.exact") if exact else message("demo.ship.not_exact"),
        p50=by_name["monitor latency p50"].value,
        p99=message("demo.ship.p99", p99=p99.value) if p99 else "",
        surge=surge,
        alarms=int(by_name["false alarms"].value * found.tests + 0.5),
        solved=solved.value,
        low=solved.low or 0.0,
        high=solved.high or 0.0,
        right=right.value,
        taste=taste.value,
        popular=popular.value,
    )
