"""Monitor: what was said over time, alerts with their proof and verdicts, stories, topics, a search; sources, and who is notified."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from nicegui import ui

from noria.console.figures import figures
from noria.console.session import require
from noria.console.shell import View, block, card, empty, heading, paragraph
from noria.console.words import Words
from noria.core.figure import Figure, number, proportion
from noria.core.messages import key_name
from noria.server.http.keys import may

from . import monitor_found, monitor_people, monitor_time
from .monitor_found import text_item
from .monitor_time import moment

if TYPE_CHECKING:
    from noria.apps.monitor.routes import Monitor

MOST_TEXTS = 8
Verdict = Literal["confirmed", "dismissed"]
CHOICES: tuple[Verdict, ...] = ("confirmed", "dismissed")
SECONDS_BETWEEN_LOOKS = 3.0
Windows = Sequence[dict[str, Any]]


async def show(view: View) -> None:
    """Draw the page, and draw it anew when a window closes, an alert is raised or topics were found."""
    from noria.apps.monitor.routes import Monitor

    app = next((one for one in view.state.apps if isinstance(one, Monitor)), None)
    if app is None:
        empty(view.words, "monitor.empty", "noria demo")
        return
    titles = {topic: titled(app, topic, view.words) for topic in app.topics.names}
    people = monitor_people.SubscriptionsCard(view, app, titles)
    if not app.shown.windows:  # nothing was said yet: what is heard and who is notified can be seen to
        empty(view.words, "monitor.empty", "POST /v1/apps/monitor/texts")
        _sources(view, app)
        await people.draw()
        return
    await app.discovery.shown(replay=not app.shown.bounded)
    seen = _stamp(app)

    @ui.refreshable
    def content() -> None:
        _content(view, app, view.state.meter.now())

    def look() -> None:
        nonlocal seen
        if _stamp(app) != seen:
            seen = _stamp(app)
            content.refresh()

    content()
    monitor_found.SearchCard(view.words, app, titles).draw()
    _sources(view, app)
    await people.draw()
    ui.timer(SECONDS_BETWEEN_LOOKS, look)


def _sources(view: View, app: Monitor) -> None:
    """Show the sources, and show them anew whenever somebody says how they stand."""
    seen = app.standing.changes

    @ui.refreshable
    def content() -> None:
        monitor_people.sources(view.words, app)

    def look() -> None:
        nonlocal seen
        if app.standing.changes != seen:
            seen = app.standing.changes
            content.refresh()

    content()
    ui.timer(SECONDS_BETWEEN_LOOKS, look)


def _stamp(app: Monitor) -> tuple[object, ...]:
    stream = app.shown
    alerts = ((key, alert["end"], alert.get("verdict")) for key, alert in stream.alerts.items())
    found = app.discovery.found.get(not stream.bounded)
    topics = tuple((topic.id, topic.texts) for topic in found.topics) if found else ()
    return stream.bounded, stream.windows[-1]["start"], topics, *alerts


def _content(view: View, app: Monitor, now: datetime) -> None:
    words, stream = view.words, app.shown
    titles = {topic: titled(app, topic, words) for topic in app.topics.names}
    present = [
        topic for topic in titles if any(window["counts"].get(topic, {}).get("total") for window in stream.windows)
    ]
    monitor_time.draw(words, app, titles)
    with ui.element("div").classes("columns"):
        with ui.element("div").classes("stack"):
            with card(words("monitor.by_topic")):
                source = words("monitor.source", model=app.sentiment)
                found = [negative_share(stream.windows, topic, titles[topic], source) for topic in present]
                figures(sorted(found, key=lambda figure: -figure.n), words, rows=True)
            monitor_found.stories(words, app, now)
        with ui.element("div").classes("stack"):
            heading(words("monitor.alerts"))
            if not stream.alerts:
                paragraph(words("monitor.no_alerts"), "soft")
            for alert in reversed(stream.alerts.values()):
                _alert(view, app, alert, titles)
    monitor_found.topics(words, app)


def titled(app: Monitor, topic: str, words: Words) -> str:
    """Return a topic's title in the language of the page."""
    title = str(app.topics.titles.get(topic, {}).get(words.language) or key_name(topic)[words.language])
    return title if title == topic else title[:1].upper() + title[1:]


def negative_share(windows: Windows, topic: str, title: str, source: str) -> Figure:
    """Return the share of negatives among all texts of a topic."""
    counts = [window["counts"][topic] for window in windows if topic in window["counts"]]
    return proportion(title, sum(one["negative"] for one in counts), sum(one["total"] for one in counts), source=source)


def _alert(view: View, app: Monitor, alert: dict[str, Any], titles: dict[str, str]) -> None:
    words = view.words
    texts = "".join(map(text_item, _first(alert)))
    rest = len(alert["mentions"]) - MOST_TEXTS
    more = f'<p class="small soft">{escape(words("monitor.more", count=rest))}</p>' if rest > 0 else ""
    listed = (
        f'<details open><summary class="small">{escape(words("monitor.texts"))} (n = {number(len(alert["mentions"]))})</summary>'
        f"<ul>{texts}</ul>{more}</details>"
    )
    voices = "".join(map(text_item, alert.get("voices", ())))
    others = f'<details><summary class="small">{escape(words("monitor.voices"))}</summary><ul>{voices}</ul></details>'
    told, exact = proof(words, alert)
    verdict = alert.get("verdict")
    chip = f'<span class="chip">{escape(words(f"monitor.{verdict}"))}</span>' if verdict else ""
    with ui.element("section").classes("card alert"):
        block(
            f'<div class="card-head"><h3 translate="no">{escape(titles.get(alert["topic"], alert["topic"]))}</h3>{chip}'
            f'<span class="chip warn">{moment(alert["start"])} – {moment(alert["end"])} UTC</span></div><p>{escape(told)}</p>'
            f'<p class="small soft">{escape(exact)}</p>{listed if texts else ""}{others if voices else ""}'
        )
        if not verdict and "verdict" in alert and may(view.session.role, "agent"):
            with ui.row():
                for choice in CHOICES:
                    _choose(view, app, alert["id"], choice)


def _choose(view: View, app: Monitor, id: str, choice: Verdict) -> None:
    async def chosen() -> None:
        require(view.session, "agent")
        await app.judge(id, choice, "console", datetime.now(UTC))
        view.audit("alert.judge", id, verdict=choice)

    ui.button(view.words(f"monitor.{choice}.do"), on_click=chosen, color=None).props(
        f'flat dense data-verdict="{choice}"'
    )


def _first(alert: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the texts of an alert that are shown: the most telling ones, then the first."""
    telling = alert.get("telling", ())
    ordered = sorted(
        alert["mentions"], key=lambda one: telling.index(one["id"]) if one["id"] in telling else len(telling)
    )
    return ordered[:MOST_TEXTS]


def proof(words: Words, alert: dict[str, Any]) -> tuple[str, str]:
    """Return what an alert tells in a sentence, and how sure that is."""
    share = alert["negative"] / alert["total"] if alert["total"] else 0.0
    before = alert["baseline_negative"] / alert["baseline_total"] if alert["baseline_total"] else 0.0
    if alert.get("expected") is None:  # an alert of before
        told = words(
            "monitor.alert",
            negative=alert["negative"],
            total=alert["total"],
            share=f"{share:.0%}",
            before=f"{before:.0%}",
            windows=alert["baseline_windows"],
        )
        return told, words("monitor.exact", p=f"{alert['p']:.1e}", threshold=f"{alert['threshold']:.1e}")
    told = words(
        f"monitor.kind.{alert['kind']}",
        found=number(alert["found"]),
        expected=f"{alert['expected']:.3g}",
        low=number(alert["low"]),
        high=number(alert["high"]),
        negative=alert["negative"],
        total=alert["total"],
        share=f"{share:.0%}",
    )
    hours = number(alert["history_hours"])
    return told, words("monitor.sure", p=f"{alert['p']:.1e}", a_week=f"{alert['a_week']:.2g}", hours=hours)
