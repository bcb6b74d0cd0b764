"""Two rankers side by side for one user: what each would show first, why each pick, and what the user did before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console.session import require
from noria.console.shell import View, block, card, foreign, paragraph, problem
from noria.core.errors import NoriaError
from noria.lake.simulated import SIMULATED
from noria.server.http.keys import Role

from .monitor_time import moment

if TYPE_CHECKING:
    from noria.apps.recommend.routes import Recommend
    from noria.apps.recommend.shelf import Pick, Shelf

NEED: Role = "agent"
"""The least role that looks at what one user did."""
COUNT, MOST_DEEDS = 10, 20


def rankings(app: Recommend) -> tuple[str, ...]:
    """Return what can be compared: the live ranker, the one that is tried beside it, text alone, and what is popular."""
    rankers = [name for name, ranker in zip(("live", "beside"), app.shelf.rankers, strict=False) if ranker is not None]
    return (*rankers, "text", "popular")


def shelf_of(app: Recommend, ranking: str) -> Shelf:
    """Return a shelf that ranks in one way and leaves nothing to chance; nothing that is asked of it counts as shown."""
    arms = {"live": 0, "beside": 1}
    return app.shelf.only(arms.get(ranking), taste=ranking != "popular")


class Compare:
    """The comparison in one browser tab."""

    def __init__(self, view: View, app: Recommend) -> None:
        self.view, self.app, self.words = view, app, view.words

    def draw(self) -> None:
        """Show the card."""
        words, known = self.words, rankings(self.app)
        names = {ranking: words(f"recommend.ranking.{ranking}") for ranking in known}
        with card(words("recommend.compare")) as place:
            place.props("data-compare")
            paragraph(words("recommend.compare_is"), "small soft")
            with ui.element("div").classes("form-grid").style("margin-top: 12px"):
                keys = {SIMULATED: words("recommend.simulated_readers")}
                keys |= {key.tenant or key.id: key.name for key in self.view.state.keys.list() if not key.revoked}
                self.key = ui.select(keys, value=SIMULATED, label=words("recommend.whose"))
                self.key.props("outlined dense data-whose").classes("field")
                self.user = ui.input(words("recommend.user"), value="simulated reader 1")
                self.user.props("outlined dense maxlength=200 data-user").classes("field").on(
                    "keydown.enter", self.look
                )
                self.sides = [
                    ui.select(names, value=known[place], label=words(f"recommend.side_{place + 1}")) for place in (0, 1)
                ]
                for side in self.sides:
                    side.props("outlined dense").classes("field")
                button = ui.button(words("recommend.look"), on_click=self.look, color=None)
                button.classes("primary").props("data-look")
            self.result = ui.element("div").props('data-compared aria-live="polite"').style("margin-top: 14px")

    async def look(self) -> None:
        """Show what each would offer the user."""
        words, app, user = self.words, self.app, (self.user.value or "").strip()
        self.result.clear()
        with self.result:
            try:
                require(self.view.session, NEED)
                key = app.key_of(str(self.key.value), self.view.state.meter.pseudonym(user))
                lists = [self._made(str(side.value), key) for side in self.sides]
            except NoriaError as error:
                problem(error.text(words.language))
                return
            both = {pick.item.id for pick in lists[0][1]} & {pick.item.id for pick in lists[1][1]}
            block(f'<p class="small soft">{escape(words("recommend.in_both", count=len(both), of=COUNT))}</p>')
            with ui.element("div").classes("columns"):
                for ranking, picks, reasons in lists:
                    title = escape(words(f"recommend.ranking.{ranking}"))
                    block(f"<h3>{title}</h3>{self._list(picks, reasons, both)}", "compared")
            self._deeds(key)

    def _made(self, ranking: str, key: int) -> tuple[str, Sequence[Pick], Sequence[str]]:
        shelf = shelf_of(self.app, ranking)
        picks = shelf.choose(key, COUNT)
        return ranking, picks, [shelf.reason(key, pick)[self.words.language] for pick in picks]

    def _list(self, picks: Sequence[Pick], reasons: Sequence[str], both: set[str]) -> str:
        mark = f' <span class="chip">{escape(self.words("recommend.both"))}</span>'
        rows = "".join(
            f"<li>{foreign(pick.item.title)}{mark if pick.item.id in both else ''}"
            f'<div class="small soft" translate="no">{escape(reason)} · {pick.score:.2f}</div></li>'
            for pick, reason in zip(picks, reasons, strict=True)
        )
        return f'<ol class="texts">{rows}</ol>'

    def _deeds(self, key: int) -> None:
        words, shelf = self.words, self.app.shelf
        deeds = shelf.history(shelf.states.look(key))[::-1]
        block(f"<h3>{escape(words('recommend.did', count=len(deeds)))}</h3>")
        if not deeds:
            paragraph(words("recommend.did_nothing"), "soft")
            return
        catalogue = shelf.catalogue
        rows = "".join(
            f"<li>{foreign(catalogue.items[catalogue.places[deed.item]].title)}"
            f'<div class="small soft">{escape(words(f"recommend.deed.{deed.kind}"))} · '
            f"{escape(moment(datetime.fromtimestamp(deed.time, UTC).isoformat()))} UTC</div></li>"
            for deed in deeds[:MOST_DEEDS]
        )
        block(f'<ul class="texts">{rows}</ul>')
