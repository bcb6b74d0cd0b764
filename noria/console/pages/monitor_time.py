"""Over time: texts and the share of negatives, of everything or of one topic, name, aspect or source; a range of it is chosen by dragging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import events, ui

from noria.console import charts
from noria.console.figures import interval_text
from noria.console.shell import block, card, heading
from noria.console.words import Words
from noria.core.figure import Figure, proportion

if TYPE_CHECKING:
    from noria.apps.monitor.routes import Monitor

ENOUGH = charts.ENOUGH
"""Texts that a point of the line rests on: windows are joined until there are so many."""
MOST_NAMES = 20
_CALM, _BAD = "#a9c6cc", "#c2543c"
_PARTS = {"topic": "counts", "entity": "entities", "aspect": "aspects"}
Windows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Slot:
    """What was said in one window."""

    start: str
    texts: int
    negatives: int
    surge: bool = False


@dataclass(frozen=True)
class Point:
    """The share of negatives in some windows in a row."""

    start: str
    """Of the window in their middle."""
    share: Figure


def draw(words: Words, app: Monitor, titles: dict[str, str]) -> None:
    """Show a card with the choice, the chart, and what the range that is shown comes to."""
    stream = app.shown
    source = words("monitor.source", model=app.sentiment)
    with card():
        with ui.element("div").classes("card-head"):
            heading(words("monitor.chart"))
            if not stream.bounded:
                block(f'<span class="chip build">{escape(words("monitor.simulated"))}</span>')
            choice = ui.select(choices(words, app, titles), value="", label=words("monitor.what")).props(
                "outlined dense"
            )
            choice.props("data-choice").style("min-width: 200px")
        shown = slots(app, "")
        plot = charts.show(timeline(shown, words), words("monitor.chart"), tall=True)
        foot = block(_foot(words, shown, source), "chart-foot")

        def chosen() -> None:
            nonlocal shown
            shown = slots(app, str(choice.value))
            plot.options.clear()
            plot.options.update(timeline(shown, words))
            plot.options["aria"] = {"enabled": True, "label": {"description": choice.options[choice.value]}}
            plot.update()
            foot.set_content(_foot(words, shown, source))

        def zoomed(event: events.GenericEventArguments) -> None:
            batch = event.args.get("batch") or [event.args]
            start, end = (float(batch[0].get(name) or 0) for name in ("start", "end"))
            if end > start:
                foot.set_content(_foot(words, within(shown, start, end), source))

        choice.on_value_change(chosen)
        plot.on("chart:datazoom", zoomed, ["start", "end", "batch"], throttle=0.2)


def choices(words: Words, app: Monitor, titles: dict[str, str]) -> dict[str, str]:
    """Return what can be chosen, by its key: everything, topics that were spoken of, names and aspects, sources; the most frequent first."""
    windows = app.shown.windows
    found = {"": words("monitor.all")}
    for of, part in _PARTS.items():
        counts: dict[str, int] = {}
        for window in windows:
            for name, one in window.get(part, {}).items():
                counts[name] = counts.get(name, 0) + one["total"]
        most = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])[:MOST_NAMES]
        found |= {f"{of}:{name}": titles.get(name, name) if of == "topic" else name for name in most}
    kept = app.search.texts.get(not app.shown.bounded)
    sources = kept.sources(MOST_NAMES) if kept else {}
    return found | {f"source:{name}": words("monitor.of_source", name=name) for name in sources if name}


def slots(app: Monitor, key: str) -> list[Slot]:
    """Return what was said in every window, of a key of `choices`; of a source as far as its texts are kept, reposts among them."""
    windows = app.shown.windows
    of, _, name = key.partition(":")
    if of == "source":
        from noria.apps.monitor.search import Counted

        since, minutes = datetime.fromisoformat(windows[0]["start"]), app.settings.window_minutes
        asked = Counted(source=name, since=since, minutes=minutes, replay=not app.shown.bounded)
        counts = app.search.counts(asked)
        return [Slot(one["start"], *counts.get(datetime.fromisoformat(one["start"]), (0, 0))) for one in windows]
    made = []
    for window in windows:
        some = window["counts"].values() if not key else [window.get(_PARTS[of], {}).get(name, {})]
        total, negative = (sum(one.get(part, 0) for one in some) for part in ("total", "negative"))
        made.append(Slot(window["start"], total, negative, any(one.get("surge") for one in some)))
    return made


def within(shown: Sequence[Slot], start: float, end: float) -> list[Slot]:
    """Return the windows of a range that is told in hundredths of all."""
    last = max(len(shown) - 1, 0)
    return list(shown[round(start / 100 * last) : round(end / 100 * last) + 1])


def points(shown: Sequence[Slot]) -> list[Point]:
    """Return the share of negatives over time, each point of as many windows as hold enough texts; what is left over joins the last."""
    groups: list[list[Slot]] = [[]]
    for slot in shown:
        if sum(one.texts for one in groups[-1]) >= ENOUGH:
            groups.append([])
        groups[-1].append(slot)
    if len(groups) > 1 and sum(one.texts for one in groups[-1]) < ENOUGH:
        rest = groups.pop()
        groups[-1] += rest
    return [Point(some[len(some) // 2].start, share_of(some)) for some in groups if any(one.texts for one in some)]


def share_of(some: Sequence[Slot], name: str = "", source: str = "") -> Figure:
    """Return the share of negatives in some windows."""
    return proportion(name, sum(one.negatives for one in some), sum(one.texts for one in some), source=source)


def timeline(shown: Sequence[Slot], words: Words) -> charts.Options:
    """Return bars of texts, negative ones apart, above a line of their share with its interval (95 %); one range for both."""
    labels = [moment(slot.start) for slot in shown]
    others, negatives, share = (words(f"monitor.{name}") for name in ("others", "negatives", "share"))
    options = charts.base(legend=[others, negatives, share])
    x, y = options["xAxis"], options["yAxis"]
    x |= {"type": "category", "data": labels, "boundaryGap": True}
    percent = {"min": 0, "max": 100, "axisLabel": {**y["axisLabel"], "formatter": "{value}%"}}
    grid = {"left": 46, "right": 18}
    options |= {
        "grid": [{**grid, "top": 56, "height": "32%"}, {**grid, "top": "60%", "bottom": 66}],
        "xAxis": [{**x, "gridIndex": 0, "axisLabel": {"show": False}}, {**x, "gridIndex": 1}],
        "yAxis": [
            {**y, "gridIndex": 0, "name": words("monitor.texts_axis"), "minInterval": 1},
            {**y, "gridIndex": 1, "name": words("monitor.negative"), **percent},
        ],
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        # A finger that moves up or down goes on with the page.
        "dataZoom": [
            {"type": "inside", "xAxisIndex": [0, 1], "zoomOnMouseWheel": "ctrl", "preventDefaultMouseMove": False},
            {"type": "slider", "xAxisIndex": [0, 1], "bottom": 8, "height": 24, "showDetail": False},
        ],
    }
    bar = {"type": "bar", "stack": "texts", "barMaxWidth": 26}
    surges = [{"coord": [label, slot.texts]} for label, slot in zip(labels, shown, strict=True) if slot.surge]
    pin = {
        "symbol": "pin",
        "symbolSize": 30,
        "label": {"formatter": "!", "color": "#fff"},
        "itemStyle": {"color": "#a8482c"},
    }
    found = charts.course(share, [(moment(one.start), one.share) for one in points(shown)], shaded=True)
    below = {"xAxisIndex": 1, "yAxisIndex": 1}
    options["series"] = [
        {**bar, "name": negatives, "data": [slot.negatives for slot in shown], "itemStyle": {"color": _BAD}},
        {
            **bar,
            "name": others,
            "data": [slot.texts - slot.negatives for slot in shown],
            "itemStyle": {"color": _CALM},
            "markPoint": {**pin, "data": surges},
        },
        *({**one, **below} for one in found),
    ]
    return options


def _foot(words: Words, shown: Sequence[Slot], source: str) -> str:
    """Return what the windows that are shown come to: of how many texts, and the share of negatives with its interval."""
    if not shown:
        return ""
    share = share_of(shown)
    parts = [f"{moment(shown[0].start)} – {moment(shown[-1].start)} UTC", f"n = {share.n:,}"]
    if share.n and share.low is not None and share.high is not None:
        interval = interval_text(100 * share.low, 100 * share.high)
        parts.append(words("monitor.range", share=f"{share.value:.1%}", interval=interval))
    return " · ".join(escape(part) for part in (*parts, source))


def moment(stamp: str) -> str:
    """Return a time as it is shown: month, day, hour and minute, UTC."""
    return stamp[5:16].replace("T", " ")
