"""Files brought to the recommender: items to offer, and logs of what users did; read while it serves, and what was set aside is said."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nicegui import events, ui

from noria.console.metered import metered
from noria.console.session import require
from noria.console.shell import View, block, card, foreign, paragraph, problem
from noria.core.errors import NoriaError
from noria.server.http.keys import Role

if TYPE_CHECKING:
    from noria.apps.recommend.routes import Recommend
    from noria.apps.recommend.taking import Taken

NEED: Role = "editor"
"""The least role that changes what is offered."""
_ROUND = 4_096
"""Bytes of an upload that are not its file's."""


class Files:
    """The card in one browser tab."""

    def __init__(self, view: View, app: Recommend) -> None:
        self.view, self.app, self.words = view, app, view.words

    def draw(self) -> None:
        """Show the card."""
        words = self.words
        most = self.view.state.settings.max_body - _ROUND
        with card(words("recommend.bring")) as place:
            place.props("data-bring")
            size = f"{most / (1 << 20):.1f}"
            paragraph(words("recommend.bring_is", size=size), "small soft")
            block('<p class="small"><code translate="no">noria ship recommend import</code></p>')
            with ui.element("div").classes("columns").style("margin-top: 12px"):
                with ui.element("div"):
                    block(f"<h3>{escape(words('recommend.items'))}</h3>")
                    block(f'<p class="small soft">{escape(words("recommend.items_are"))}</p>')
                    self._upload("items", most, self.items)
                with ui.element("div"):
                    block(f"<h3>{escape(words('recommend.deeds'))}</h3>")
                    block(f'<p class="small soft">{escape(words("recommend.deeds_are"))}</p>')
                    keys = {key.tenant or key.id: key.name for key in self.view.state.keys.list() if not key.revoked}
                    first = next(iter(keys), None)
                    with ui.element("div").props("translate=no"):  # names of keys
                        self.whose = ui.select(keys, value=first, label=words("recommend.whose"))
                        self.whose.props("outlined dense").classes("field")
                    self._upload("deeds", most, self.deeds)
            self.result = ui.element("div").props('data-brought aria-live="polite"').style("margin-top: 12px")

    def _upload(self, name: str, most: int, taken: Callable[[events.UploadEventArguments], Awaitable[None]]) -> None:
        upload = ui.upload(
            label=self.words("recommend.drop"),
            auto_upload=True,
            max_file_size=most,
            on_upload=taken,
            on_rejected=self.rejected,
        )
        upload.props(f'flat bordered data-upload="{name}"').classes("drop")

    def rejected(self) -> None:
        """Say that the browser did not send a file."""
        size = f"{(self.view.state.settings.max_body - _ROUND) / (1 << 20):.1f}"
        self._show(lambda: problem(self.words("recommend.too_large", size=size)))

    async def items(self, event: events.UploadEventArguments) -> None:
        """Offer the items of a file, too."""
        from noria.apps.recommend.taking import take_items

        async def taken(path: Path, name: str) -> Taken:
            async with metered(self.view, self.app.name) as context:
                return await take_items(self.app, context, path, name)

        await self._take(event, "items.upload", taken)

    async def deeds(self, event: events.UploadEventArguments) -> None:
        """Learn from a log of what users did."""
        from noria.apps.recommend.taking import take_deeds

        async def taken(path: Path, name: str) -> Taken:
            return await take_deeds(self.app, self.view.state, path, str(self.whose.value or ""), name)

        await self._take(event, "deeds.upload", taken)

    async def _take(
        self, event: events.UploadEventArguments, action: str, take: Callable[[Path, str], Awaitable[Taken]]
    ) -> None:
        name = Path(event.file.name.replace("\\", "/")).name[:120] or "upload"
        self._show(lambda: paragraph(self.words("app.working"), "soft"))
        try:
            require(self.view.session, NEED)
            with tempfile.TemporaryDirectory() as folder:
                # The reader tells formats by what a file holds, and by its name's end.
                path = Path(folder) / f"upload{Path(name).suffix[:12]}"
                await event.file.save(path)
                found = await take(path, name)
            self.view.audit(action, name, count=found.count)
        except NoriaError as error:
            text = error.text(self.words.language)
            self._show(lambda: problem(text))
            return
        finally:
            if isinstance(event.sender, ui.upload):
                event.sender.reset()
        self._show(lambda: block(taken_html(action, name, found, self.words)))

    def _show(self, draw: Callable[[], object]) -> None:
        self.result.clear()
        with self.result:
            draw()


def taken_html(action: str, name: str, found: Taken, words: Callable[..., str]) -> str:
    """Return what came of a file, as HTML: how much was taken, and what was set aside by which rule."""
    key = "items_taken" if action == "items.upload" else "deeds_taken"
    told = [f"<p>{foreign(name)}: {escape(words(f'recommend.{key}', count=f'{found.count:,}'))}</p>"]
    told += [
        f'<p class="small">{escape(words(f"recommend.aside.{rule}"))}: {count:,}</p>'
        for rule, count in found.aside.items()
    ]
    told += [f'<p class="small soft">{foreign(note)}</p>' for note in found.notes]
    return "".join(told)
