"""What the monitor found without being asked, and what can be asked of it: stories, discovered topics on a map, and a search over kept texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import run, ui

from noria.console import charts
from noria.console.figures import figure_line
from noria.console.shell import block, card, paragraph, show_problem
from noria.console.words import Words
from noria.core.errors import NoriaError
from noria.core.figure import number, proportion

from .monitor_time import moment

if TYPE_CHECKING:
    from noria.apps.monitor.discovered import Topic
    from noria.apps.monitor.routes import Monitor
    from noria.lake.texts import KeptText

MOST_STORIES, MOST_TOPICS, PAGE = 8, 40, 20
_NAMED = 12
"""Topics whose words stand on the map: more would cover each other."""
_SHOWN_WORDS = 3
_CALM, _BAD = (18, 116, 140), (194, 84, 60)


def stories(words: Words, app: Monitor, now: datetime) -> None:
    """Show the stories that most texts tell, each with its first text, its spread and other ways in which it was told."""
    found = [one for one in app.stories(replay=not app.shown.bounded).stories.values() if one.texts > 1]
    found.sort(key=lambda one: (-one.texts, one.id))
    with card(words("monitor.stories")):
        if not found:
            paragraph(words("monitor.no_stories"), "soft")
        for story in found[:MOST_STORIES]:
            told = story.as_dict(now)
            chips = [words("monitor.story_texts", count=number(told["texts"]))]
            if told["authors"] > 1:
                chips.append(words("monitor.story_authors", count=number(told["authors"])))
            if told["growth"]["texts"]:
                chips.append(
                    words("monitor.story_growth", count=told["growth"]["texts"], before=told["growth"]["before"])
                )
            sources = ", ".join(name for name in told["sources"] if name)
            quotes = "".join(text_item(one) for one in told["quotes"])
            others = f'<details><summary class="small">{escape(words("monitor.quotes"))}</summary><ul class="texts">{quotes}</ul></details>'
            block(
                f'<ul class="texts">{text_item(told["first"])}</ul>{chip_row(chips, sources)}{others if quotes else ""}',
                "story",
            )


def topics(words: Words, app: Monitor) -> None:
    """Show the discovered topics on a map, and below it each with its words, its figures and the texts nearest to its middle."""
    found = app.discovery.found.get(not app.shown.bounded)
    with card(words("monitor.discovered")):
        if found is None or not found.topics:
            key = "monitor.no_embedder" if found is None else "monitor.no_topics"
            paragraph(words(key), "soft")
            return
        some = found.topics[:MOST_TOPICS]
        paragraph(words("monitor.map_is", texts=number(len(found)), days=found.days), "small soft")
        charts.show(topic_map(some, words), words("monitor.discovered"), tall=True)
        for topic in some:
            share = proportion(words("monitor.share"), topic.negatives, topic.texts)
            examples = "".join(text_item(one) for one in topic.examples)
            block(
                f'<details class="found"><summary><b translate="no">{escape(title(topic))}</b> '
                f'<span class="small soft">{escape(words("monitor.story_texts", count=number(topic.texts)))}</span></summary>'
                f'<p class="small soft">{figure_line(share, words)} · {escape(words("monitor.since", time=moment(topic.since.isoformat())))}'
                f'</p><ul class="texts">{examples}</ul></details>'
            )


def topic_map(some: Sequence[Topic], words: Words) -> charts.Options:
    """Return topics as circles, as large as they have texts and the redder the more of them are negative; near ones are about similar things."""
    options = charts.base()
    hidden = {"show": False, "min": -1.25, "max": 1.25, "type": "value"}
    most = max(topic.texts for topic in some)
    data = [
        {
            "name": title(topic),
            "value": [topic.x, topic.y, topic.texts],
            "symbolSize": round(12 + 44 * (topic.texts / most) ** 0.5),
            "itemStyle": {"color": colour(topic.negatives / topic.texts), "opacity": 0.82},
            "label": {"show": place < _NAMED},
            "tooltip": {"formatter": f"{title(topic)}: {words('monitor.story_texts', count=number(topic.texts))}"},
        }
        for place, topic in enumerate(some)
    ]
    label = {
        "position": "bottom",
        "formatter": "{b}",
        "color": charts.INK,
        "fontSize": 12,
        "width": 120,
        "overflow": "truncate",
    }
    options |= {
        "xAxis": hidden,
        "yAxis": hidden,
        "grid": {"left": 4, "right": 4, "top": 4, "bottom": 4},
        "tooltip": {"trigger": "item", "confine": True, "textStyle": {"fontSize": 12}},
        "series": [{"type": "scatter", "data": data, "label": label, "labelLayout": {"hideOverlap": True}}],
    }
    return options


def title(topic: Topic) -> str:
    """Return the first characteristic words of a topic, which are its name."""
    return " · ".join(topic.words[:_SHOWN_WORDS]) or topic.id


def colour(share: float) -> str:
    """Return a colour between that of calm and that of all negative."""
    mixed = (round(calm + share * (bad - calm)) for calm, bad in zip(_CALM, _BAD, strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)


def text_item(text: Mapping[str, Any], chips: str = "") -> str:
    """Return one text as HTML: its words, where and when it was said, and the way to it."""
    where = " · ".join(part for part in (moment(str(text["time"])), str(text.get("source") or "")) if part)
    address = str(text.get("link") or "")
    here = f'<a href="{escape(address, quote=True)}" rel="noreferrer noopener" target="_blank">{escape(where)}</a>'
    told = here if address.startswith(("https://", "http://")) else escape(where)
    return f'<li translate="no">{escape(str(text["text"]))}<div class="small soft">{told} {chips}</div></li>'


def chip_row(chips: Sequence[str], rest: str) -> str:
    """Return some facts as chips, and foreign names behind them."""
    made = "".join(f'<span class="chip">{escape(one)}</span>' for one in chips)
    return f'<div class="chips">{made}<span class="small soft" translate="no">{escape(rest)}</span></div>'


class SearchCard:
    """The search over kept texts in one browser tab."""

    def __init__(self, words: Words, app: Monitor, titles: Mapping[str, str]) -> None:
        self.words, self.app, self.titles = words, app, titles
        self.texts: list[KeptText] = []
        self.next = ""

    def draw(self) -> None:
        """Show the card."""
        words = self.words
        kept = self.app.search.texts[not self.app.shown.bounded]
        with card(words("monitor.search")):
            with ui.element("div").classes("ask"):
                self.entry = ui.input(placeholder=words("monitor.search_for")).props(
                    "outlined dense maxlength=200 data-search"
                )
                self.entry.classes("field").on("keydown.enter", self.search)
                ui.button(words("monitor.find"), on_click=self.search, color=None).classes("primary").props("data-find")
            with ui.element("div").classes("ask filters"):
                self.filters = {
                    "topic": self._select(
                        "topic", {name: self.titles.get(name, name) for name in self.app.topics.names}
                    ),
                    "label": self._select("label", {name: words.phrase(name) for name in kept.labels()}),
                    "source": self._select("source", {name: name for name in kept.sources(PAGE) if name}),
                }
            self.results = ui.element("div").props('aria-live="polite" data-results')
            with self.results:
                paragraph(
                    words("monitor.kept", count=number(len(kept)), days=f"{self.app.settings.text_days:g}"),
                    "soft small",
                )

    def _select(self, name: str, options: Mapping[str, str]) -> ui.select:
        everything = {"": self.words(f"monitor.any_{name}")} | dict(options)
        made = ui.select(everything, value="").props(f'outlined dense data-filter="{name}"').classes("field")
        made.on_value_change(self.search)
        return made

    async def search(self) -> None:
        """Look for what is asked, and show the first of it."""
        self.texts, self.next = [], ""
        await self.more()

    async def more(self) -> None:
        """Show more of what was found."""
        from noria.apps.monitor.search import PageOfTexts

        given = {name: select.value for name, select in self.filters.items() if select.value}
        asked = (self.entry.value or "").strip()
        query = PageOfTexts(q=asked, replay=not self.app.shown.bounded, most=PAGE, after=self.next, **given)
        try:
            page = await run.io_bound(self.app.search.find, query)
        except NoriaError as error:
            show_problem(self.results, error.text(self.words.language))
            return
        if page is None:  # the server stops
            return
        self.texts += page.texts
        self.next = page.next
        self.results.clear()
        with self.results:
            block(f'<p class="small soft">{escape(self.words("monitor.found", count=number(page.found)))}</p>')
            items = "".join(text_item(one.as_dict(), self._chips(one)) for one in self.texts)
            block(f'<ul class="texts">{items}</ul>')
            if self.next:
                ui.button(self.words("monitor.more_texts"), on_click=self.more, color=None).props(
                    "flat data-more"
                ).classes("quiet")

    def _chips(self, text: KeptText) -> str:
        look = "chip warn" if text.label == "negative" else "chip"
        topic = self.titles.get(text.topic, text.topic)
        return f'<span class="{look}">{escape(self.words.phrase(text.label))}</span> <span class="chip">{escape(topic)}</span>'
