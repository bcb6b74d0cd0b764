"""The routes of notifying: subscriptions, the link by which an alert is confirmed or dismissed, and the brief; and what runs behind them.

notifier = Notifier(read_notify("sources.toml"))
notifier.routes()                            # mounted by the monitor, below /v1/apps/monitor
await notifier.start(state, material)
await notifier.plan(alerts)                  # of each that is raised: on the disk when it returns
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, field_validator
from starlette.responses import HTMLResponse, Response

from noria.apps.monitor.stream import EARLIEST, LATEST
from noria.apps.monitor.surge import Alert, alert_dict
from noria.apps.monitor.topics import Topics
from noria.core.messages import Language, Message, message
from noria.core.settings import time_zone
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.keys import Caller, Limits
from noria.server.http.routing import Raw, Route
from noria.server.meter import read_secret

from .brief import Brief, Material, brief_of
from .notice import title_of
from .outbox import Kept, Outbox
from .pages import HEADERS, brief_html, brief_markdown, verdict_page
from .phrasing import phrased
from .senders import Senders
from .sending import Sending
from .settings import NOBODY, AnySubscription, Notified
from .subscribing import Subscriptions

if TYPE_CHECKING:
    from noria.server.http.state import State

VERDICT_BYTES = 1_024
"""Of a form on which an alert is judged."""
VERDICTS_MINUTE = 60
"""Requests a minute from one address to the pages that need no key."""
_TOKEN = re.compile(r"([0-9a-f-]{36})\.([0-9a-f]{32})")


class WhichBrief(BaseModel):
    """GET /brief: of which days, in which form."""

    day: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    """The last day, as in 2026-11-29, by the clock of the zone; the last 24 hours where it is left out."""
    days: Annotated[int, Field(ge=1, le=31)] = 1
    zone: str = "UTC"
    language: Language = "en"
    form: Literal["json", "markdown", "html"] = "json"
    phrased: bool = False
    """With a served decoder's words, as far as the sentences carry them."""

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return time_zone(name)


class Notifier:
    """Subscriptions of a file and of the API, and all that is sent to them.

    Args:
        notified: what the file says.
        environ: where the secrets are.
    """

    def __init__(self, notified: Notified = NOBODY, environ: Mapping[str, str] = os.environ) -> None:
        self.settings = notified.settings
        self.subscribed = Subscriptions(notified, environ)
        self._environ = environ
        self._secret = b""
        self._stale = False
        """An author was erased before the outbox was opened."""
        self._outbox: Outbox | None = None
        self._material: Material | None = None
        self._sending: Sending | None = None

    def notes(self, raised: float) -> list[Message]:
        """Return what its owner should know at the start.

        Args:
            raised: false alarms a week that the watch raises.
        """
        told = [
            message("notify.budget", name=one.name, asked=one.false_alarms_a_week, raised=raised)
            for one in self.subscribed.file.values()
            if one.false_alarms_a_week is not None and one.false_alarms_a_week > raised
        ]
        return told + ([message("notify.links")] if self.subscribed.file and not self.settings.address else [])

    async def start(self, state: State, material: Material) -> None:
        """Go on with what was still to be sent, until the server stops."""
        folder = state.lake / "apps" / "monitor"
        self._secret = hmac.digest(read_secret(state.lake / "server"), b"noria notify", "sha256")
        self._material = material
        self._outbox = await asyncio.to_thread(Outbox, folder, list(material.stream.alerts))
        if self._stale:
            await self.forget()
        senders = Senders(self.settings, self._environ)
        self.subscribed.open(self._outbox, senders, state.meter.now)
        self._sending = Sending(
            self._outbox,
            material,
            self.subscriptions,
            senders,
            self.link,
            state.meter.now,
            self.settings.address,
            lambda: self.subscribed.paused,
        )
        state.tasks.append(asyncio.create_task(self._run(self._sending, self._outbox)))

    def renew(self, given: Notifier, topics: Topics, aspects: Mapping[str, Mapping[str, str]]) -> None:
        """Take the subscriptions and settings of another one, which has not started, and the titles of topics and aspects, from now on."""
        self.settings = given.settings
        senders = Senders(self.settings, self._environ)
        self.subscribed.renew(given.subscribed, senders)
        if self._sending and self._material:
            self._material = replace(self._material, topics=topics, aspects=aspects)
            self._sending.use(self._material, senders, self.settings.address)

    async def _run(self, sending: Sending, outbox: Outbox) -> None:
        try:
            await sending.run()
        finally:
            outbox.close()

    def subscriptions(self) -> Mapping[str, AnySubscription]:
        """Return all subscriptions by name; where two share one, that of the file."""
        return self.subscribed.all()

    async def plan(self, alerts: Sequence[Alert]) -> None:
        """Keep on the disk to whom alerts are sent.

        Raises:
            ResourceError: the disk is full; they are planned later.
        """
        if self._sending is not None and alerts:
            await self._sending.plan([alert_dict(alert) for alert in alerts])

    async def forget(self) -> None:
        """Word what waits anew: an author was erased, whose texts may stand in it."""
        if self._outbox is None:
            self._stale = True
        else:
            await asyncio.to_thread(self._outbox.forget_words)

    def link(self, key: str) -> str:
        """Return the address at which the reader of a message judges its alert; empty where the server's own is not known."""
        if not self.settings.address:
            return ""
        return f"{self.settings.address}/v1/apps/monitor/verdicts/{key}.{self._sign(key)}"

    def _sign(self, key: str) -> str:
        return hmac.digest(self._secret, key.encode(), "sha256").hex()[:32]

    def routes(self) -> Sequence[Route]:
        """Return those of subscriptions, GET and POST /verdicts/{token}, GET /brief."""
        return (
            *self.subscribed.routes(),
            Route("GET", "/verdicts/{token}", self._ask, role="anyone", shown=False),
            Route("POST", "/verdicts/{token}", self._judge, raw=True, role="anyone", shown=False),
            Route("GET", "/brief", self._brief, query=WhichBrief, reply=dict[str, Any]),
        )

    async def _ask(self, context: RequestContext, token: str) -> Response:
        """Show an alert, and ask whether it was worth raising: whoever only looks, as mail scanners do, says nothing."""
        kept, one, alert = await self._found(context, token)
        if alert is None:
            return self._page(one, message("notify.page.gone"))
        if kept.verdict:
            return self._page(one, message("notify.page.judged"), alert)
        return self._page(one, None, alert)

    async def _judge(self, context: RequestContext, raw: Raw, token: str) -> Response:
        """Confirm or dismiss an alert, once a link."""
        kept, one, alert = await self._found(context, token)
        if len(raw.content) > VERDICT_BYTES:
            raise ApiError(
                413, "the body is too large", code="body_too_large", allowed=f"up to {VERDICT_BYTES:,} bytes"
            )
        given = parse_qs(raw.content.decode("utf-8", "replace")).get("verdict", [""])[0]
        if given not in ("confirmed", "dismissed"):
            raise ApiError(422, "no such verdict", param="verdict", found=given, allowed=("confirmed", "dismissed"))
        if alert is None:
            return self._page(one, message("notify.page.gone"))
        if kept.verdict:
            return self._page(one, message("notify.page.judged"), alert)
        outbox, material = self._started()
        verdict: Literal["confirmed", "dismissed"] = "confirmed" if given == "confirmed" else "dismissed"
        # Said of the alert before the link is used up: a kill in between leaves a link that says the same again.
        others = await asyncio.to_thread(outbox.of_subscription, kept.subscription)
        for name in (kept.about, *(each.about for each in others if each.state == "joined" and each.why == kept.about)):
            await material.judge(name, verdict, kept.subscription, context.state.meter.now())
        await asyncio.to_thread(outbox.judge, kept.key, verdict)
        return self._page(one, message("notify.page.kept"), alert)

    async def _found(
        self, context: RequestContext, token: str
    ) -> tuple[Kept, AnySubscription | None, dict[str, Any] | None]:
        """Return the message of a link, its subscription and its alert, where these are there still.

        Raises:
            ApiError: no message has this link (404).
        """
        limits = Limits(requests_minute=VERDICTS_MINUTE)
        context.state.rates.admit(Caller(f"verdicts from {context.address}", "client", "", limits=limits))
        outbox, material = self._started()
        match = _TOKEN.fullmatch(token)
        good = match is not None and hmac.compare_digest(self._sign(match[1]), match[2])
        kept = await asyncio.to_thread(outbox.of_key, match[1]) if match and good else None
        if kept is None:
            raise ApiError(404, "no such link", param="token")
        return kept, self.subscriptions().get(kept.subscription), material.stream.alerts.get(kept.about)

    def _page(
        self, one: AnySubscription | None, remark: Message | None, alert: dict[str, Any] | None = None
    ) -> Response:
        _, material = self._started()
        language: Language = one.language if one else "en"
        zone = one.zone if one else "UTC"
        title = title_of(alert, material.titles, language, zone)[language] if alert else ""
        page = verdict_page(title, language, remark=remark[language] if remark else "", ask=remark is None)
        return HTMLResponse(page, headers=HEADERS)

    async def _brief(self, context: RequestContext, query: WhichBrief) -> Any:
        """Tell a time in sentences that each name their source: volume and sentiment, stories, alerts with verdicts, silent sources."""
        _, material = self._started()
        since, until = _period(query, context.state.meter.now())
        brief: Brief = await asyncio.to_thread(
            brief_of, material, since, until, query.zone, query.language, base=self.settings.address
        )
        if query.phrased:
            model = context.state.model_for("chat")
            if model is None:
                raise ApiError(422, "no served model chats", param="phrased", code="invalid_field")
            brief = await phrased(context, model, brief)
        if query.form == "json":
            return brief.as_dict()
        if query.form == "html":
            return HTMLResponse(brief_html(brief), headers=HEADERS)
        return Response(brief_markdown(brief), media_type="text/markdown; charset=utf-8")

    def _started(self) -> tuple[Outbox, Material]:
        if self._outbox is None or self._material is None:
            raise ApiError(503, "the monitor has not started", code="not_ready", retry_after=1)
        return self._outbox, self._material


def _period(query: WhichBrief, now: datetime) -> tuple[datetime, datetime]:
    """Return from when until when a brief tells.

    Raises:
        ApiError: there is no such day (422).
    """
    zone = ZoneInfo(query.zone)
    if not query.day:
        until = now.astimezone(UTC)
        return until - timedelta(days=query.days), until
    try:
        last = datetime.fromisoformat(query.day).date()
        begins, ends = last - timedelta(days=query.days - 1), last + timedelta(days=1)
        since, until = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (begins, ends))
        if not EARLIEST <= since < LATEST:
            raise ValueError("no day of a stream")
    except (ValueError, OverflowError):
        raise ApiError(422, "no such day", param="day", code="invalid_field", found=query.day) from None
    return since, until
