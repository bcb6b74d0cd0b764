"""Opinion monitoring: a stream of texts -> topic, sentiment, entities; a surge of negatives raises an alert with its texts.

`Monitor` mounts it at /v1/apps/monitor. One server watches one stream: every key adds to it and sees it. Closed windows and
alerts are kept in `<lake>/apps/monitor/`, so that the watch goes on after a restart; texts are masked before they are kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, Field

from noria.core.errors import InputError, SettingError
from noria.core.progress import MetricsLog

from ..server.bodies import Body, Given, Name
from .surge import Alert, Mention, Watch, WatchSettings, alert_dict, mention_dict, read_window, window_dict
from .topics import BUNDLED, read_topics

if TYPE_CHECKING:
    from fastapi import APIRouter

    from ..server.state import State

NEGATIVE = "negative"
SHOWN_WINDOWS = 500
"""Closed windows that GET /windows tells at most."""


class Watched(Body):
    """One text to watch."""

    text: Given
    time: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """When it was said, with its time zone; the present where it is left out. A replay gives a clock of its own."""
    id: Name = ""
    """The client's own id, shown with alerts; one is made where it is left out."""


class Texts(Body):
    """POST /texts."""

    texts: Annotated[list[Watched], Field(min_length=1)]
    user: Name = ""


class Clock(Body):
    """POST /clock: close the windows that ended by then, though no text has come since."""

    time: Annotated[AwareDatetime, Field(strict=False)]


@dataclass(frozen=True)
class Seen:
    """What came of a request: its texts as understood, and the alerts raised by windows that it closed."""

    mentions: list[Mention]
    alerts: list[Alert]


class Monitor:
    """The application at /v1/apps/monitor.

    Args:
        mask: gives a text with personal data masked; nothing else of it is kept.
        sentiment: name of a served model for the task classify with a label `negative`; None takes the first one.
        entities: name of a served model for the task tag; None takes the first one, and does without where there is none.
        settings: windows and alerts.
        topics: JSON file of topics and their words.
    """

    name = "monitor"

    def __init__(
        self,
        mask: Callable[[str], str],
        sentiment: str | None = None,
        entities: str | None = None,
        settings: WatchSettings | None = None,
        topics: str | Path = BUNDLED,
    ) -> None:
        self.mask = mask
        self.sentiment, self.entities = sentiment, entities
        self.settings = settings or WatchSettings()
        self.topics = read_topics(topics)
        self.watch = Watch(self.settings, self.topics.names)
        self.alerts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Alerts by id, oldest first, as JSON-able dicts with their texts."""
        self.windows: list[dict[str, Any]] = []
        """Closed windows, oldest first, at most `SHOWN_WINDOWS`."""
        self._turn = asyncio.Lock()
        self._window_log: MetricsLog | None = None
        self._alert_log: MetricsLog | None = None

    async def start(self, state: State) -> None:
        """Go on from the windows and alerts of the last run.

        Raises:
            SettingError: no model for sentiment is served, or it has no label `negative`.
        """
        self.sentiment = self.sentiment or state.model_for("classify")
        self.entities = self.entities or state.model_for("tag")
        if self.sentiment is None:
            raise SettingError(
                "no model for sentiment is served", hint="noria ship serve MODELS with one for the task classify"
            )
        labels = state.served(self.sentiment).manifest.facts.get("labels") or []
        if NEGATIVE not in labels:
            raise SettingError(
                f"{self.sentiment} cannot watch opinions", found=", ".join(labels), allowed=f"a label {NEGATIVE!r}"
            )
        folder = state.lake / "apps" / self.name
        self._window_log, self._alert_log = MetricsLog(folder / "windows.jsonl"), MetricsLog(folder / "alerts.jsonl")
        self.windows = self._window_log.read()[-SHOWN_WINDOWS:]
        for alert in self._alert_log.read():
            self._keep(alert)
        history = [read_window(window) for window in self.windows]
        same = [window for window in history if set(window.counts) == set(self.topics.names)]
        self.watch = Watch(self.settings, self.topics.names, same)

    async def see(self, state: State, texts: Sequence[Watched]) -> Seen:
        """Understand and count texts; alerts that come of them are recorded as events before this returns."""
        if self.sentiment is None:
            raise InputError("opinion monitoring has not started")
        usage = state.usage()
        # Masked before all else: so no answer, and no name found in the text, can hold what the text may not.
        words = [self.mask(one.text) for one in texts]
        feelings, names = await asyncio.gather(state.ask(self.sentiment, words), self._names(state, words))
        now = datetime.now(UTC)
        mentions = [
            Mention(
                one.id or f"{usage.id}:{place}",
                one.time or now,
                self.topics.of(text),
                feeling["label"] == NEGATIVE,
                round(float(feeling["score"]), 4),
                text,
                tuple(found),
            )
            for place, (one, text, feeling, found) in enumerate(zip(texts, words, feelings, names, strict=True))
        ]
        usage.model, usage.version = self.sentiment, state.served(self.sentiment).version
        usage.units, usage.unit = len(texts), "items"
        topics = {mention.topic for mention in mentions}
        usage.segment = topics.pop() if len(topics) == 1 else "mixed"
        async with self._turn:
            raised = [alert for mention in mentions for alert in self._log(list(self.watch.add(mention, usage.id)))]
            await self._record(state, raised)
        return Seen(mentions, raised)

    async def advance(self, state: State, now: datetime) -> list[Alert]:
        """Close the windows that ended by `now` and return the alerts that raises."""
        async with self._turn:
            raised = self._log(list(self.watch.advance(now, state.usage().id)))
            await self._record(state, raised)
        return raised

    def router(self, state: State) -> APIRouter:
        """Return POST /texts, POST /clock, GET /windows, GET /alerts and GET /alerts/{id}."""
        from fastapi import APIRouter

        from ..server.errors import ApiError

        router = APIRouter()

        @router.post("/texts")
        async def texts(body: Texts) -> dict[str, Any]:
            """Watch texts."""
            if len(body.texts) > state.settings.max_rows:
                raise ApiError(422, "too many texts", param="texts", found=len(body.texts),
                               allowed=f"1 to {state.settings.max_rows}")  # fmt: skip
            state.usage().user = body.user or state.usage().user
            seen = await self.see(state, body.texts)
            return {
                "mentions": [mention_dict(mention) for mention in seen.mentions],
                "alerts": [alert_dict(alert, texts=False) for alert in seen.alerts],
            }

        @router.post("/clock")
        async def clock(body: Clock) -> dict[str, Any]:
            """Move the clock."""
            alerts = await self.advance(state, body.time)
            return {"alerts": [alert_dict(alert, texts=False) for alert in alerts]}

        @router.get("/windows")
        async def windows() -> dict[str, Any]:
            """Tell the closed windows: texts and negatives by topic."""
            return {"titles": self.topics.titles, "windows": self.windows, "late": self.watch.late}

        @router.get("/alerts")
        async def alerts() -> list[dict[str, Any]]:
            """List the alerts, newest first, without their texts."""
            return [
                {key: value for key, value in alert.items() if key != "mentions"}
                for alert in reversed(self.alerts.values())
            ]

        @router.get("/alerts/{alert}")
        async def alert(alert: str) -> dict[str, Any]:
            """Tell one alert with the texts behind it."""
            if alert not in self.alerts:
                raise ApiError(404, "no such alert", param="alert", found=alert)
            return self.alerts[alert]

        return router

    async def _names(self, state: State, texts: Sequence[str]) -> list[list[str]]:
        if self.entities is None:
            return [[] for _ in texts]
        answers = await state.ask(self.entities, texts)
        return [list(dict.fromkeys(span["text"] for span in answer["spans"])) for answer in answers]

    def _log(self, closed: Sequence[tuple[Any, list[Alert], list[Alert]]]) -> list[Alert]:
        """Keep what closed windows brought; return the alerts they raised."""
        if self._window_log is None or self._alert_log is None:
            raise InputError("opinion monitoring has not started")
        new = []
        for window, raised, longer in closed:
            value = window_dict(window)
            self._window_log.write(**value)
            self.windows = [*self.windows, value][-SHOWN_WINDOWS:]
            for alert in (*raised, *longer):
                self._keep(alert_dict(alert))
                self._alert_log.write(**alert_dict(alert))  # of one id the last line holds
            new += raised
        return new

    def _keep(self, alert: dict[str, Any]) -> None:
        self.alerts[alert["id"]] = alert
        while len(self.alerts) > self.settings.kept_alerts:
            self.alerts.popitem(last=False)

    async def _record(self, state: State, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            await state.record(
                "alert",
                app=self.name,
                subject=alert.id,
                segment=alert.topic,
                units=alert.negative,
                value=float(f"{alert.p:.3g}"),
            )
