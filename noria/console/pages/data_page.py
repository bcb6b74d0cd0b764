"""The page of data in one browser tab: where files are dropped, the sets that there are, and the parts of the one that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, TypeVar
from urllib.parse import urlencode

from nicegui import events, ui

from noria.console.drop import Drop
from noria.console.shell import View, block, foreign, link, paragraph, show_notice, show_problem
from noria.core.errors import NoriaError
from noria.core.figure import number
from noria.server.data.kept import DataSet
from noria.server.data.rows import TASKS
from noria.server.data.sets import DataSets
from noria.server.http.data import MOST_BYTES, in_long_thread

ENDINGS = ".csv .tsv .xlsx .json .jsonl .parquet .html .docx .txt .gz"
"""Endings of files that people bring; the others that are read stand in the manual."""
Result = TypeVar("Result")
Part = Callable[["DataPage"], Awaitable[None]]


class DataPage:
    """The page in one browser tab.

    Args:
        view: the page and who looks at it.
        parts: name of a part -> what draws it, in the order of their tabs.
    """

    def __init__(self, view: View, parts: Mapping[str, Part]) -> None:
        self.view, self.words, self.parts = view, view.words, parts
        self.data: DataSets = view.state.data
        self.actor = view.session.key
        self.name = ""
        self.tab = "rows"
        self.asked = ""
        """Which rows the part that is opened next shows first."""
        self.frame: ui.element | None = None
        self.key: Callable[[events.KeyEventArguments], Any] | None = None
        """What the open part does with keys that are pressed outside of what is written."""

    @property
    def set(self) -> DataSet:
        """Return the set that is open, as it is now."""
        return self.data.get(self.name)

    def bring(self, here: DataSet | None) -> None:
        """Draw the place where files are dropped."""
        words = self.words
        with ui.element("details").classes("card data-bring") as place:
            place.props(add="open" if here is None else "")
            ui.html(f"<h2>{escape(words('data.bring'))}</h2>", sanitize=False, tag="summary")
            block(f"<p>{escape(words('data.bring_lead', gib=MOST_BYTES >> 30))} {foreign(ENDINGS)}</p>", "small soft")
            with ui.element("div").classes("data-form"):
                options = {"": words("data.new_set")}
                if here is not None:
                    options["add"] = words("data.add_to_set", name=here.name)
                self.target = ui.select(options, value="", label=words("data.where")).props(
                    "outlined dense options-dense"
                )
                self.chosen = ui.input(words("data.name"), placeholder=words("data.name_of_file"))
                self.chosen.props("outlined dense stack-label maxlength=64")
                tasks = {task: words(f"data.task_{task}") for task in TASKS}
                self.task = ui.select(tasks, value=here.task if here else "classify", label=words("data.task"))
                self.task.props("outlined dense options-dense")
                for one in (self.target, self.chosen, self.task):
                    one.classes("field").on_value_change(partial(self.readdress, here))
            self.drop = Drop(words, "data-upload", self.uploaded, self.inform, self.wrong)
        self.notice = ui.element("div").props("aria-live=polite data-told")
        self.readdress(here)

    def readdress(self, here: DataSet | None) -> None:
        """Say where the next file goes."""
        add = self.target.value == "add" and here is not None
        self.chosen.set_enabled(not add)
        self.task.set_enabled(not add)
        name = here.name if add and here else (self.chosen.value or "").strip()
        self.drop.address(set=name, task="" if add else str(self.task.value), add=str(add).lower())

    def uploaded(self, answer: Mapping[str, Any]) -> None:
        """Open the set that a file has become."""
        ui.navigate.to("/data?" + urlencode({"set": answer["set"], "tab": "read"}))

    def listed(self, sets: Sequence[DataSet], here: DataSet | None) -> None:
        """Draw the sets that there are."""
        words = self.words
        if not sets:
            paragraph(words("data.none"), "soft")
            return
        with ui.element("nav").classes("chips data-sets").props("data-sets") as nav:
            nav.props["aria-label"] = words("data.sets")
            for one in sets:
                chosen = ' data-here aria-current="true"' if one == here else ""
                address = link("/data?") + urlencode({"set": one.name})
                count = words("data.rows", count=number(one.current.rows))
                block(
                    f'<a class="chip{" build" if chosen else ""}" href="{escape(address, quote=True)}"{chosen}>'
                    f"<b>{foreign(one.name)}</b> {escape(count)}</a>"
                )

    async def open(self, tab: str) -> None:
        """Draw one part of the set that is open."""
        words = self.words
        if self.frame is None:
            self.tabs = ui.element("div").classes("inbox-tabs data-tabs").props("role=group")
            self.tabs.props["aria-label"] = self.name
            self.frame = ui.element("div").classes("stack").props("data-part")
            ui.keyboard(on_key=self.pressed, ignore=["input", "select", "textarea"])
        self.tab, self.key = tab, None
        self.tabs.clear()
        with self.tabs:
            for name in self.parts:
                button = ui.button(words(f"data.tab_{name}"), on_click=partial(self.open, name), color=None)
                button.props(f'flat dense no-caps aria-pressed={str(name == tab).lower()} data-tab="{name}"')
                button.classes("inbox-tab here" if name == tab else "inbox-tab")
        self.frame.clear()
        with self.frame:
            await self.parts[tab](self)

    async def pressed(self, event: events.KeyEventArguments) -> None:
        """Hand a key on to the part that is open."""
        modifiers = event.modifiers
        if self.key and event.action.keydown and not (modifiers.ctrl or modifiers.alt or modifiers.meta):
            await self.key(event)

    async def attempt(self, work: Callable[[], Result], *, working: bool = True) -> Result | None:
        """Return what comes of work done in a thread; None where it is refused, which is told.

        `working` says that it may take its time.
        """
        if working:
            self.inform(self.words("app.working"))
        try:
            result = await (in_long_thread(work) if working else asyncio.to_thread(work))
        except NoriaError as error:
            self.wrong(error.text(self.words.language))
            return None
        if working:
            self.notice.clear()
        return result

    def inform(self, text: str) -> None:
        """Say what is done, or was."""
        show_notice(self.notice, text)

    def wrong(self, text: str) -> None:
        """Say what went wrong."""
        show_problem(self.notice, text)
