"""Monitor: the share of negative texts by topic over time, and every alert with its proof, the texts behind it, and what one says of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from nicegui import ui

from noria.console import charts
from noria.console.figures import figures
from noria.console.shell import View, block, card, empty, heading, paragraph
from noria.console.words import Words
from noria.core.figure import Figure, number, proportion

if TYPE_CHECKING:
    from noria.apps.monitor.routes import Monitor

MOST_POINTS = 24
"""Points of a line: so many that a day of hours shows each, and that a week's still rest on enough texts."""
MOST_TEXTS = 8
Verdict = Literal["confirmed", "dismissed"]
CHOICES: tuple[Verdict, ...] = ("confirmed", "dismissed")
SECONDS_BETWEEN_LOOKS = 3.0
Windows = Sequence[dict[str, Any]]


def show(view: View) -> None:
    """Draw the page, and draw it anew when a window closes or an alert is raised."""
    from noria.apps.monitor.routes import Monitor

    app = next((one for one in view.state.apps if isinstance(one, Monitor)), None)
    if app is None or not app.shown.windows:
        command = "noria demo" if app is None else "POST /v1/apps/monitor/texts"
        empty(view.words, "monitor.empty", command)
        return
    seen = _stamp(app)

    @ui.refreshable
    def content() -> None:
        _content(view.words, app)

    def look() -> None:
        nonlocal seen
        if _stamp(app) != seen:
            seen = _stamp(app)
            content.refresh()

    content()
    ui.timer(SECONDS_BETWEEN_LOOKS, look)


def _stamp(app: Monitor) -> tuple[object, ...]:
    stream = app.shown
    alerts = ((key, alert["end"], alert.get("verdict")) for key, alert in stream.alerts.items())
    return stream.bounded, stream.windows[-1]["start"], *alerts


def _content(words: Words, app: Monitor) -> None:
    stream = app.shown
    titles = {topic: titled(app, topic, words) for topic in app.topics.names}
    present = [
        topic for topic in titles if any(window["counts"].get(topic, {}).get("total") for window in stream.windows)
    ]
    source = words("monitor.source", model=app.sentiment)
    with card():
        with ui.element("div").classes("card-head"):
            heading(words("monitor.chart"))
            if not stream.bounded:
                block(f'<span class="chip build">{escape(words("monitor.simulated"))}</span>')
            everything = {"": words("monitor.all")} | {topic: titles[topic] for topic in present}
            choice = (
                ui.select(everything, value="", label=words("monitor.topic"))
                .props("outlined dense")
                .style("min-width: 170px")
            )
        plot = charts.show(
            trend_chart(stream.windows, {topic: titles[topic] for topic in present}, words),
            words("monitor.chart"),
            tall=True,
        )

        def chosen() -> None:
            topics = [choice.value] if choice.value else present
            plot.options.clear()
            plot.options.update(trend_chart(stream.windows, {topic: titles[topic] for topic in topics}, words))
            plot.update()

        choice.on_value_change(chosen)
        total = sum(counts["total"] for window in stream.windows for counts in window["counts"].values())
        span = f"{_moment(stream.windows[0]['start'])} – {_moment(stream.windows[-1]['start'])} UTC"
        block(f'<div class="chart-foot">n = {total:,} · {escape(span)} · {escape(source)}</div>')
    with ui.element("div").classes("columns"):
        with card(words("monitor.by_topic")):
            found = [negative_share(stream.windows, topic, titles[topic], source) for topic in present]
            figures(sorted(found, key=lambda figure: -figure.n), words, rows=True)
        with ui.element("div").classes("stack"):
            heading(words("monitor.alerts"))
            if not stream.alerts:
                paragraph(words("monitor.no_alerts"), "soft")
            for alert in reversed(stream.alerts.values()):
                _alert(words, app, alert, titles)


def titled(app: Monitor, topic: str, words: Words) -> str:
    """Return a topic's title in the language of the page."""
    return str(app.topics.titles.get(topic, {}).get(words.language) or words.phrase(topic)).capitalize()


def negative_share(windows: Windows, topic: str, title: str, source: str) -> Figure:
    """Return the share of negatives among all texts of a topic."""
    counts = [window["counts"][topic] for window in windows if topic in window["counts"]]
    return proportion(title, sum(one["negative"] for one in counts), sum(one["total"] for one in counts), source=source)


def trend_chart(windows: Windows, titles: dict[str, str], words: Words) -> charts.Options:
    """Return a line a topic; of a single topic also its interval, and the windows that were a surge."""
    step = -(-len(windows) // MOST_POINTS)
    groups = [windows[at : at + step] for at in range(0, len(windows), step)]
    labels = [_moment(group[0]["start"]) for group in groups]
    options = charts.base(y=words("monitor.negative"), legend=list(titles.values()), percent=True)
    options["xAxis"].update(type="category", data=labels, boundaryGap=False)
    options["yAxis"].update(min=0, max=100)
    for index, (topic, title) in enumerate(titles.items()):
        points, spread = [], []
        for label, group in zip(labels, groups, strict=True):
            share = negative_share(group, topic, title, "")
            known = share.n > 0 and share.low is not None and share.high is not None
            points.append([label, round(100 * share.value, 1) if known else None])
            if known and share.low is not None and share.high is not None:
                spread.append([label, round(100 * share.low, 1), round(100 * share.high, 1)])
        line = charts.line(title, points, index) | {"connectNulls": True}
        surges = [
            label
            for label, group in zip(labels, groups, strict=True)
            if any(one["counts"].get(topic, {}).get("surge") for one in group)
        ]
        if surges:
            line["markPoint"] = {
                "symbol": "pin",
                "symbolSize": 34,
                "label": {"formatter": "!", "color": "#fff"},
                "itemStyle": {"color": "#a8482c"},
                "data": [{"coord": point} for point in points if point[0] in surges and point[1] is not None],
            }
        options["series"].append(line)
        if len(titles) == 1:
            options["series"] += charts.band(title, spread, index)
    return options


def _alert(words: Words, app: Monitor, alert: dict[str, Any], titles: dict[str, str]) -> None:
    texts = "".join(f'<li translate="no">{escape(mention["text"])}</li>' for mention in _first(alert))
    rest = len(alert["mentions"]) - MOST_TEXTS
    more = f'<p class="small soft">{escape(words("monitor.more", count=rest))}</p>' if rest > 0 else ""
    listed = (
        f'<details open><summary class="small">{escape(words("monitor.texts"))} (n = {number(len(alert["mentions"]))})</summary>'
        f"<ul>{texts}</ul>{more}</details>"
    )
    voices = "".join(f'<li translate="no">{escape(mention["text"])}</li>' for mention in alert.get("voices", ()))
    others = f'<details><summary class="small">{escape(words("monitor.voices"))}</summary><ul>{voices}</ul></details>'
    told, exact = proof(words, alert)
    verdict = alert.get("verdict")
    chip = f'<span class="chip">{escape(words(f"monitor.{verdict}"))}</span>' if verdict else ""
    with ui.element("section").classes("card alert"):
        block(
            f'<div class="card-head"><h3 translate="no">{escape(titles.get(alert["topic"], alert["topic"]))}</h3>{chip}'
            f'<span class="chip warn">{_moment(alert["start"])} – {_moment(alert["end"])} UTC</span></div><p>{escape(told)}</p>'
            f'<p class="small soft">{escape(exact)}</p>{listed if texts else ""}{others if voices else ""}'
        )
        if not verdict and "verdict" in alert:
            with ui.row():
                for choice in CHOICES:
                    _choose(words, app, alert["id"], choice)


def _choose(words: Words, app: Monitor, id: str, choice: Verdict) -> None:
    async def chosen() -> None:
        await app.judge(id, choice, "console", datetime.now(UTC))

    ui.button(words(f"monitor.{choice}.do"), on_click=chosen, color=None).props(f'flat dense data-verdict="{choice}"')


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


def _moment(stamp: str) -> str:
    return stamp[5:16].replace("T", " ")
