"""Recommend: picks for a simulated reader, two rankers side by side for a real one, coverage and lift over time, and files to bring."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console.figures import figures
from noria.console.metered import metered
from noria.console.records import figure_of, stages
from noria.console.shell import View, block, card, empty, heading, paragraph, problem
from noria.core.errors import NoriaError
from noria.lake.simulated import SIMULATED

from . import recommend_compare, recommend_files, recommend_time

if TYPE_CHECKING:
    from noria.apps.recommend.routes import Recommend
    from noria.apps.recommend.shelf import Pick
    from noria.tasks.items import Item

READERS = 5
COUNT = 5
CHIPS = {"taste": "chip grow", "popular": "chip", "chance": "chip build", "again": "chip", "sponsored": "chip build"}


async def show(view: View) -> None:
    """Draw the page."""
    from noria.apps.recommend.routes import Recommend

    app = next((one for one in view.state.apps if isinstance(one, Recommend)), None)
    if app is None:
        empty(view.words, "recommend.empty", "noria demo")
        return
    if app.items:
        _Bench(view, app).draw()
        recommend_compare.Compare(view, app).draw()
        await recommend_time.show(view, app)
    else:
        empty(view.words, "recommend.no_items", "noria ship recommend MODEL items.jsonl")
    recommend_files.Files(view).draw()


class _Bench:
    """What one browser tab shows: the reader chosen, what was picked for them, what they opened."""

    def __init__(self, view: View, app: Recommend) -> None:
        self.view, self.app, self.words = view, app, view.words
        self.opened: dict[str, list[Item]] = {}
        self.picks: list[Pick] = []
        self.reasons: dict[str, str] = {}

    def draw(self) -> None:
        words = self.words
        with ui.element("div").classes("columns wide-left"):
            with card():
                with ui.element("div").classes("card-head"):
                    heading(words("recommend.offered"))
                    block(f'<span class="chip build">{escape(words("recommend.simulated"))}</span>')
                with ui.element("div").classes("ask"):
                    readers = {
                        f"simulated reader {number}": f"{words('recommend.reader')} {number}"
                        for number in range(1, READERS + 1)
                    }
                    self.reader = ui.select(readers, value=next(iter(readers)), label=words("recommend.reader")).props(
                        "outlined dense"
                    )
                    self.reader.classes("field").on_value_change(self._other_reader)
                    ui.button(words("recommend.get"), on_click=self.pick, color=None).classes("primary").props(
                        "data-pick"
                    )
                self.shelf = (
                    ui.element("div").classes("stack").style("margin-top: 18px").props('aria-live="polite" data-shelf')
                )
                with self.shelf:
                    paragraph(words("recommend.waiting", count=len(self.app.items)), "soft")
            with ui.element("div").classes("stack"):
                with card(words("recommend.history")):
                    self.history = ui.element("div").props("data-history")
                self._show_history()
                self._show_loops()
                self._measured()

    async def pick(self) -> None:
        try:
            async with metered(self.view, self.app.name, SIMULATED) as context:
                self.picks = await self.app.pick(context, self.reader.value, COUNT)
                key, shelf = self.app.key_for(context, self.reader.value), self.app.shelf
                self.reasons = {one.item.id: shelf.reason(key, one)[self.words.language] for one in self.picks}
        except NoriaError as error:
            with self.shelf:
                problem(str(error))
            return
        self._show_picks()

    async def open(self, item: Item) -> None:
        try:
            async with metered(self.view, self.app.name, SIMULATED) as context:
                self.app.act(context, "click", self.reader.value, item.id)
        except NoriaError as error:
            with self.shelf:
                problem(str(error))
            return
        self.opened.setdefault(self.reader.value, []).append(item)
        self._show_history()
        self._show_picks()

    def _other_reader(self) -> None:
        self.picks = []
        self.shelf.clear()
        self._show_history()

    def _show_picks(self) -> None:
        self.shelf.clear()
        opened = {item.id for item in self.opened.get(self.reader.value, [])}
        with self.shelf:
            if not self.picks:
                paragraph(self.words("recommend.nothing_left"), "soft")
            for pick in self.picks:
                self._show_pick(pick, pick.item.id in opened)

    def _show_pick(self, pick: Pick, opened: bool) -> None:
        words = self.words
        score = words("recommend.rate" if pick.why == "popular" else "recommend.score", value=f"{pick.score:.2f}")
        with ui.element("article").classes("article"):
            block(f"<h3>{escape(pick.item.title)}</h3>").props('translate="no"')
            block(f'<p class="clamp soft">{escape(pick.item.text)}</p>').props('translate="no"')
            with ui.element("div").classes("why"):
                block(
                    f'<span class="{CHIPS[pick.why]}">{escape(words(f"recommend.why.{pick.why}"))}</span> '
                    f'<span class="small soft" translate="no">{escape(self.reasons.get(pick.item.id, ""))} · {escape(score)}</span>'
                )
                label = words("recommend.opened" if opened else "recommend.open")
                button = (
                    ui.button(label, on_click=lambda: self.open(pick.item), color=None)
                    .classes("quiet")
                    .props("flat dense data-open")
                )
                button.set_enabled(not opened)

    def _show_history(self) -> None:
        self.history.clear()
        with self.history:
            items = self.opened.get(self.reader.value, [])
            if not items:
                paragraph(self.words("recommend.none"), "soft")
                return
            body = "".join(f'<li translate="no">{escape(item.title)}</li>' for item in reversed(items))
            ui.html(body, sanitize=False, tag="ul").classes("texts")

    def _show_loops(self) -> None:
        from noria.apps.recommend.loops import loops

        shelf = self.app.shelf
        told = loops(shelf.catalogue, shelf.shown, shelf.clicks)
        with card(self.words("recommend.loops")):
            paragraph(
                self.words(
                    "recommend.wide",
                    coverage=f"{told.coverage:.0%}",
                    items=f"{told.items:,}",
                    shown=f"{told.shown:,}",
                    gini=f"{told.gini:.2f}",
                    clicked=f"{told.clicked_gini:.2f}",
                    spread=f"{told.spread:.2f}",
                ),
                "soft",
            )

    def _measured(self) -> None:
        record = stages(self.view.root).get("ship")
        found = [figure_of(entry) for entry in record.facts.get("recommend") or []] if record else []
        if found:
            with card(self.words("support.measured")):
                figures(found, self.words, rows=True)
