"""Files brought to the recommender: items to offer, and logs of what users did; read while it serves, and what was set aside is said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from noria.console.drop import Drop
from noria.console.shell import View, block, card, foreign, paragraph, show_notice, show_problem
from noria.console.words import Words
from noria.server.http.data import MOST_BYTES
from noria.server.http.keys import may

from .data import refusals


class Files:
    """The card in one browser tab."""

    def __init__(self, view: View) -> None:
        self.view, self.words = view, view.words

    def draw(self) -> None:
        """Show the card; to those who only look on it says whom to ask."""
        words = self.words
        with card(words("recommend.bring")) as place:
            place.props("data-bring")
            if not may(self.view.session.role, "editor"):
                paragraph(words("recommend.editors_bring"), "small soft")
                return
            paragraph(words("recommend.bring_is", gib=MOST_BYTES >> 30), "small soft")
            with ui.element("div").classes("columns").style("margin-top: 12px"):
                with ui.element("div"):
                    block(f"<h3>{escape(words('recommend.items'))}</h3>")
                    block(f'<p class="small soft">{escape(words("recommend.items_are"))}</p>')
                    self._drop("items").address("/recommend/items")
                with ui.element("div"):
                    block(f"<h3>{escape(words('recommend.deeds'))}</h3>")
                    block(f'<p class="small soft">{escape(words("recommend.deeds_are"))}</p>')
                    keys = {key.tenant or key.id: key.name for key in self.view.state.keys.list() if not key.revoked}
                    first = next(iter(keys), None)
                    with ui.element("div").props("translate=no"):  # names of keys
                        self.whose = ui.select(keys, value=first, label=words("recommend.whose"))
                        self.whose.props("outlined dense").classes("field").on_value_change(self.readdress)
                    self.deeds = self._drop("deeds")
                    self.readdress()
            self.result = ui.element("div").props('data-brought aria-live="polite"').style("margin-top: 12px")

    def _drop(self, what: str) -> Drop:
        return Drop(
            self.words,
            f'data-upload="{what}"',
            partial(self.taken, what),
            lambda text: show_notice(self.result, text),
            lambda text: show_problem(self.result, text),
        )

    def readdress(self) -> None:
        """Say whose users the next log is of."""
        self.deeds.address("/recommend/deeds", whose=str(self.whose.value or ""))

    def taken(self, what: str, found: Mapping[str, Any]) -> None:
        """Show what came of a file."""
        self.result.clear()
        with self.result:
            block(taken_html(what, found, self.words))
            if found["refused"]:
                block(refusals(self.words, found["refused"]), "scroll-x")


def taken_html(what: str, found: Mapping[str, Any], words: Words) -> str:
    """Return what came of a file, as HTML: how much was taken, and what was set aside by which rule."""
    count = f"{found['count']:,}"
    told = [f"<p>{foreign(found['file'])}: {escape(words(f'recommend.{what}_taken', count=count))}</p>"]
    told += [
        f'<p class="small">{escape(words(f"recommend.aside.{rule}"))}: {count:,}</p>'
        for rule, count in found["aside"].items()
    ]
    told += [f'<p class="small soft">{foreign(note)}</p>' for note in found["notes"]]
    return "".join(told)
