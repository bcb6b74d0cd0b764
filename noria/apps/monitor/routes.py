"""Opinion monitoring: a stream of texts -> topic, sentiment, entities; a surge, or a source that falls silent, raises an alert with its texts.

`Monitor` mounts it at /v1/apps/monitor. One server watches one stream: every key adds to it and sees it. Beside it stands a
replay, whose clock is made up and which the live stream knows nothing of. The live clock goes on though no text comes. Closed windows,
alerts and what people say of them are kept in `<lake>/apps/monitor/`, so that the watch goes on after a restart; texts are masked
before they are kept, and authors are pseudonyms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.apps.settings import WatchSettings
from noria.core.errors import InputError, NoriaError, SettingError
from noria.core.messages import message
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.routing import Route

from .bodies import Clock, Judged, Texts, Watched, Which, WhichStories
from .discovery import Discovery
from .notify.brief import Material
from .notify.routes import Notifier
from .search import Search
from .standing import Standing
from .stories import Stories
from .stream import LATEST, SetAside, Stream, erase_authors
from .surge import NEGATIVE, Alert, Mention, Verdict, alert_dict, mention_dict
from .topics import BUNDLED, Topics, read_topics
from .whom import Whom, first_classifier

if TYPE_CHECKING:
    from noria.server.http.state import State


@dataclass(frozen=True)
class Seen:
    """What came of a request: its texts as understood, those that were not counted, and the alerts of windows it closed."""

    mentions: list[Mention]
    set_aside: list[SetAside]
    alerts: list[Alert]


class Monitor:
    """The application at /v1/apps/monitor.

    Args:
        mask: gives a text with personal data masked; nothing else of it is kept.
        sentiment: name of a served model for the task classify with a label `negative`; None takes the first one that reads texts alone.
        entities: name of a served model for the task tag; None takes the first one, and does without where there is none.
        settings: windows and alerts.
        topics: JSON file of topics and their words.
        embeddings: know rewrites of one story by the first served model for the task embed, too, where there is one, and discover topics.
        notifier: whom alerts are sent to; None: those who subscribe over the API.
        whom: the names and aspects of a team, and what judges what is said of each.
    """

    name = "monitor"

    def __init__(
        self,
        mask: Callable[[str], str],
        sentiment: str | None = None,
        entities: str | None = None,
        settings: WatchSettings | None = None,
        topics: str | Path = BUNDLED,
        embeddings: bool = False,
        notifier: Notifier | None = None,
        whom: Whom | None = None,
    ) -> None:
        self.mask, self.whom = mask, whom or Whom()
        self.sentiment, self.entities, self.embeddings = sentiment, entities, embeddings
        self.embedder: str | None = None
        self.settings = settings or WatchSettings()
        self.topics = read_topics(topics)
        self.notifier = notifier or Notifier()
        self.notes = self.notifier.notes(self.settings.false_alarms_a_week)
        """What its owner should know at the start."""
        self._streams: dict[bool, Stream] = {}
        self._stories: dict[bool, Stories] = {}
        self.search = Search(self._streams, self._stories, self.settings)
        self.discovery = Discovery()
        self.standing = Standing()
        self._turn = asyncio.Lock()
        self._folder = Path()

    def stream(self, *, replay: bool = False) -> Stream:
        """Return what is watched: the live stream, or the replay.

        Raises:
            InputError: the application has not started.
        """
        if not self._streams:
            raise InputError(message("apps.opinion_monitoring"))
        return self._streams[replay]

    def stories(self, *, replay: bool = False) -> Stories:
        """Return the stories of what is watched."""
        return self._stories[replay]

    @property
    def shown(self) -> Stream:
        """Return the stream that a page shows: the live one, or the replay while no live window has closed."""
        live, replay = self.stream(), self.stream(replay=True)
        return replay if replay.windows and not live.windows else live

    async def start(self, state: State) -> None:
        """Go on from the windows and alerts of the last run.

        Raises:
            SettingError: no model for sentiment is served, or it has no label `negative`.
        """
        alone = first_classifier(state, lambda facts: not (facts.get("pairs") or facts.get("many")))
        self.sentiment = self.sentiment or alone or state.model_for("classify")
        self.entities = self.entities or state.model_for("tag")
        self.whom.choose(state, self.entities)
        self.notes += self.whom.notes
        self.embedder = state.model_for("embed") if self.embeddings else None
        if self.sentiment is None:
            raise SettingError(message("apps.model_sentiment"), hint=message("apps.noria_ship_serve"))
        labels = state.served(self.sentiment).manifest.facts.get("labels") or []
        if NEGATIVE not in labels:
            raise SettingError(
                message("apps.cannot_watch", sentiment=self.sentiment),
                found=", ".join(labels),
                allowed=message("apps.label", negative=NEGATIVE),
            )
        self._folder = state.lake / "apps" / self.name
        for replay in (False, True):
            self.search.open(self._place(replay), replay=replay)
            if self.embedder:
                self.discovery.open(self._place(replay), state.served(self.embedder).version, replay=replay)
            self._open(replay)
        await self._forget()
        self.stream().watch.unwatched_until = state.meter.now()
        aspects = {name: one.title for name, one in self.whom.aspects.given.items()}
        material = Material(
            self.stream, lambda: self._stories[False], self.standing.brought, self.topics, self.judge, aspects
        )
        await self.notifier.start(state, material)
        state.tasks.append(asyncio.create_task(self._look_after(state)))

    def _place(self, replay: bool) -> Path:
        return self._folder / "replay" if replay else self._folder

    def _open(self, replay: bool) -> None:
        place = self._place(replay)
        given = self.whom.names.listed
        self._streams[replay] = Stream(place, self.settings, self.topics.names, bounded=not replay, given=given)
        self._stories[replay] = Stories(place)

    def _reopen(self, replay: bool) -> None:
        before = self._streams[replay]
        self._open(replay)
        self._streams[replay].set_aside = before.set_aside
        self._streams[replay].watch.unwatched_until = before.watch.unwatched_until

    async def reopen(self, settings: WatchSettings, topics: Topics) -> None:
        """Go on with other settings and topics, as after a restart with them."""
        async with self._turn:
            self.settings = self.search.settings = settings
            self.topics = topics
            for replay in self._streams:
                await asyncio.to_thread(self._reopen, replay)

    async def _forget(self) -> None:
        """Take authors who were erased out of all that is kept beside the texts, and go on as after a restart."""
        for replay, kept in self.search.texts.items():
            authors = await asyncio.to_thread(kept.erased)
            if not authors:
                continue
            async with self._turn:
                await asyncio.to_thread(erase_authors, self._place(replay), authors)
                await asyncio.to_thread(self._reopen, replay)
                await asyncio.to_thread(self.discovery.forget, authors, replay=replay)
                await self.notifier.forget()
                await asyncio.to_thread(kept.forgot, authors)

    async def _look_after(self, state: State) -> None:
        """Move the live clock, so that a silence is seen though nothing comes."""
        try:
            while True:
                await asyncio.sleep(60 * self.settings.step_minutes)
                await self.discovery.update()
                with suppress(NoriaError):  # of a full disk the next request tells
                    await self._forget()
                    await asyncio.to_thread(self.search.limit, state.meter.now())
                    watch = self.stream().watch
                    if watch.closed_until is not None:
                        await self.advance(RequestContext(state), state.meter.now() - watch.grace)
        finally:
            self.discovery.close()

    async def see(self, context: RequestContext, texts: Sequence[Watched], *, replay: bool = False) -> Seen:
        """Understand and count texts; alerts that come of them are recorded as events before this returns."""
        usage = context.usage
        # Masked before all else: so no answer, and no name found in the text, can hold what the text may not.
        words, links = await asyncio.to_thread(self._masked, texts)
        feelings, subjects, vectors = await asyncio.gather(
            context.ask(str(self.sentiment), words), self.whom.subjects(context, words), self._vectors(context, words)
        )
        topics = await asyncio.to_thread(lambda: [self.topics.of(text) for text in words])
        now = context.state.meter.now()
        mentions = [
            Mention(
                one.id or f"{context.id}:{place}",
                one.time or now,
                topic,
                feeling["label"] == NEGATIVE,
                round(float(feeling["score"]), 4),
                text,
                about.entities,
                source=one.source,
                author=context.state.meter.pseudonym(one.author),
                link=link,
                by_entity=about.by_entity,
                by_aspect=about.by_aspect,
            )
            for place, (one, text, link, topic, feeling, about) in enumerate(
                zip(texts, words, links, topics, feelings, subjects, strict=True)
            )
        ]
        usage.model, usage.version = str(self.sentiment), context.served(str(self.sentiment)).version
        usage.units, usage.unit = len(texts), "items"
        usage.segment = topics[0] if len(set(topics)) == 1 else "mixed"
        async with self._turn:
            stories = self._stories[replay]
            # A replay's clock is that of its texts, but for those whose time stands for none.
            clock = max([now, *(mention.time for mention in mentions if mention.time < LATEST)]) if replay else now
            placed = await asyncio.to_thread(stories.place, mentions, clock, vectors)
            mentions = [replace(mention, story=story) for mention, story in zip(mentions, placed, strict=True)]
            raised, aside = await asyncio.to_thread(self.stream(replay=replay).take, mentions, now, context.id)
            labels = [str(feeling["label"]) for feeling in feelings]
            await asyncio.to_thread(self.search.keep, mentions, labels, aside, now, replay=replay)
            await asyncio.to_thread(self.discovery.take, mentions, vectors, aside, replay=replay)
            self.standing.note(mentions, now)
            await self._record(context, raised, replay=replay)
        return Seen(mentions, aside, raised)

    def _masked(self, texts: Sequence[Watched]) -> tuple[list[str], list[str]]:
        """Return the texts masked, and the links of those whose link leads to no person."""
        links = [one.link if not one.link or self.mask(one.link) == one.link else "" for one in texts]
        return [self.mask(one.text) for one in texts], links

    async def advance(self, context: RequestContext, time: datetime, *, replay: bool = False) -> list[Alert]:
        """Close the windows that ended by `time` and return the alerts that raises.

        Raises:
            InputError: the time is ahead of the server's clock, or in a replay so far ahead that it stands for none.
        """
        latest = context.state.meter.now() + timedelta(minutes=self.settings.ahead_minutes)
        if not replay and time > latest:
            raise InputError(
                message("apps.time_ahead"),
                found=time.isoformat(),
                allowed=message("apps.up_replay", isoformat=latest.isoformat(timespec="seconds")),
            )
        if time >= LATEST:
            raise InputError(
                message("apps.time_stands"),
                found=time.isoformat(),
                allowed=message("apps.before", isoformat=LATEST.isoformat()),
            )
        async with self._turn:
            raised = await asyncio.to_thread(self.stream(replay=replay).advance, time, context.id)
            await self._record(context, raised, replay=replay)
        return raised

    def routes(self) -> Sequence[Route]:
        """Return POST /texts, /clock and /alerts/{alert}, GET /windows, /alerts, /stories, one of these, and those of its parts."""
        return (
            Route("POST", "/texts", self._texts, body=Texts, reply=dict[str, Any]),
            Route("POST", "/clock", self._clock, body=Clock, reply=dict[str, Any]),
            Route("GET", "/windows", self._windows, query=Which, reply=dict[str, Any]),
            Route("GET", "/alerts", self._alerts, query=Which, reply=list[dict[str, Any]]),
            Route("GET", "/alerts/{alert}", self._alert, reply=dict[str, Any]),
            Route("POST", "/alerts/{alert}", self._judge, body=Judged, reply=dict[str, Any], people="agent"),
            Route("GET", "/stories", self._list_stories, query=WhichStories, reply=dict[str, Any]),
            Route("GET", "/stories/{story}", self._story, reply=dict[str, Any]),
            *self.standing.routes(),
            *self.notifier.routes(),
            *self.whom.routes(self.stream),
            *self.search.routes(),
            *self.discovery.routes(),
        )

    async def _texts(self, context: RequestContext, body: Texts) -> dict[str, Any]:
        """Watch texts."""
        most = context.state.settings.max_rows
        if len(body.texts) > most:
            raise ApiError(422, "too many texts", param="texts", found=len(body.texts), allowed=f"1 to {most}")
        context.note_user(body.user, None)
        seen = await self.see(context, body.texts, replay=body.replay)
        return {
            "mentions": [mention_dict(mention) for mention in seen.mentions],
            "counted": len(seen.mentions) - len(seen.set_aside),
            "set_aside": [asdict(one) for one in seen.set_aside],
            "alerts": [alert_dict(alert, texts=False) for alert in seen.alerts],
        }

    async def _clock(self, context: RequestContext, body: Clock) -> dict[str, Any]:
        """Move the clock."""
        alerts = await self.advance(context, body.time, replay=body.replay)
        return {"alerts": [alert_dict(alert, texts=False) for alert in alerts]}

    async def _windows(self, context: RequestContext, query: Which) -> dict[str, Any]:
        """Tell the closed windows, texts and negatives by topic, and how many texts were set aside since the start, by reason."""
        stream = self.stream(replay=query.replay)
        return {"titles": self.topics.titles, "windows": stream.windows, "set_aside": dict(stream.set_aside)}

    async def _alerts(self, context: RequestContext, query: Which) -> list[dict[str, Any]]:
        """List the alerts, newest first, without their texts."""
        return [
            {key: value for key, value in alert.items() if key not in ("mentions", "voices")}
            for alert in reversed(self.stream(replay=query.replay).alerts.values())
        ]

    async def _alert(self, context: RequestContext, alert: str) -> dict[str, Any]:
        """Tell one alert with the texts behind it."""
        found = next((stream.alerts[alert] for stream in self._streams.values() if alert in stream.alerts), None)
        if found is None:
            raise ApiError(404, "no such alert", param="alert", found=alert)
        return found

    async def _judge(self, context: RequestContext, body: Judged, alert: str) -> dict[str, Any]:
        """Confirm or dismiss an alert, which sets the threshold of those to come."""
        found = await self.judge(alert, body.verdict, body.by, context.state.meter.now())
        if found is None:
            raise ApiError(404, "no such alert", param="alert", found=alert)
        return {key: value for key, value in found.items() if key not in ("mentions", "voices")}

    async def judge(self, alert: str, verdict: Verdict, by: str, now: datetime) -> dict[str, Any] | None:
        """Keep what somebody says of an alert, and return the alert; None where there is none."""
        async with self._turn:
            stream = next((stream for stream in self._streams.values() if alert in stream.alerts), None)
            return await asyncio.to_thread(stream.judge, alert, verdict, by, now) if stream else None

    async def _list_stories(self, context: RequestContext, query: WhichStories) -> dict[str, Any]:
        """List the stories that were told by more than one text, those with most texts first, and the authors who wrote most of all."""
        stories, now = self._stories[query.replay], context.state.meter.now()
        found = [one for one in stories.stories.values() if one.texts >= query.least]
        found.sort(key=lambda one: (-one.texts, one.id))
        return {
            "stories": [one.as_dict(now) for one in found[: query.most]],
            "found": len(found),
            "loud": stories.loud(),
        }

    async def _story(self, context: RequestContext, story: str) -> dict[str, Any]:
        """Tell one story: its first text, sources, growth, and other ways in which it was told."""
        names = [(stories, stories.resolve(story)) for stories in self._stories.values()]
        found = next((stories.stories[name] for stories, name in names if name in stories.stories), None)
        if found is None:
            raise ApiError(404, "no such story", param="story", found=story)
        return found.as_dict(context.state.meter.now())

    async def _vectors(self, context: RequestContext, texts: Sequence[str]) -> list[list[float]] | None:
        if self.embedder is None:
            return None
        return [answer["embedding"] for answer in await context.ask(self.embedder, texts)]

    async def _record(self, context: RequestContext, alerts: Sequence[Alert], *, replay: bool) -> None:
        if not replay:
            await self.notifier.plan(alerts)
        for alert in alerts:
            await context.record(
                "alert",
                app=self.name,
                subject=alert.id,
                segment=alert.topic,
                units=alert.negative if alert.kind == "negatives" else alert.total,
                value=float(f"{alert.p:.3g}"),
            )
