"""Settings: the file that says what is served, checked before it is written, and what each of its keys means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from inspect import get_annotations
from typing import Any

from nicegui import ui

from noria.apps.renewal import at_once
from noria.apps.serving import SECTION, ServeSettings
from noria.console.session import require
from noria.console.shell import View, block, card, empty, foreign, paragraph, show_problem
from noria.core.errors import NoriaError
from noria.core.messages import message
from noria.core.settings import Settings
from noria.server.http.state import Changes, Configuration

LONGEST = 200_000
"""Characters of a file that is edited here."""


@dataclass(frozen=True)
class Key:
    """One key of the file."""

    name: str
    """As in `guard.words`."""
    kind: type[Settings]
    """The class of settings that has it."""
    value: Any
    """What holds, or what the file says where that needs a restart."""


def keys_of(settings: Settings, before: str = "") -> Iterator[Key]:
    """Yield every key of settings, those of settings inside too."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from keys_of(value, f"{before}{name}.")
        else:
            owner = next(one for one in type(settings).__mro__ if name in get_annotations(one))
            yield Key(before + name, owner, value)


def meaning(key: Key) -> dict[str, str]:
    """Return what a key means, by language."""
    return message(f"settings.{key.kind.__name__}.{key.name.rpartition('.')[2]}").both()


async def show(view: View) -> None:
    """Draw the page."""
    configuration = view.state.configuration
    if configuration is None or configuration.file is None:
        empty(view.words, "settings.empty", "noria ship serve --config noria.toml")
    else:
        _File(view, configuration).draw()
    with ui.element("div").classes("stack").props("data-keys"):
        _meanings(view)


class _File:
    """The file in one browser tab."""

    def __init__(self, view: View, configuration: Configuration) -> None:
        self.view, self.words, self.configuration = view, view.words, configuration
        self.basis = configuration.text()
        """What stood in the file when it was opened here."""

    def draw(self) -> None:
        """Draw the file and what can be done with it."""
        words, file = self.words, self.configuration.file
        assert file is not None
        with card():
            block(f'<h2 translate="no">{escape(file.name)}</h2>', "card-head")
            paragraph(words("settings.how"), "small soft")
            text = ui.textarea(value=self.basis).classes("field settings-file")
            text.props(f'outlined autogrow maxlength={LONGEST} spellcheck=false data-field="file"')
            text.props["aria-label"] = file.name
            self.text = text
            self.notice = ui.element("div").props("aria-live=polite data-told")
            with ui.element("div").classes("proposal-deeds"):
                self._button("reload", self.reload)
                self._button("check", self.check)
                self._button("write", self.write, first=True)

    def _button(self, name: str, pressed: Any, *, first: bool = False) -> None:
        button = ui.button(self.words(f"settings.{name}"), on_click=pressed, color=None)
        button.classes("primary" if first else "quiet").props(f'data-deed="{name}"' + ("" if first else " flat dense"))

    async def check(self) -> None:
        """Say what would change, and write nothing."""
        try:
            changes = await self.configuration.check(self.text.value or "")
        except NoriaError as error:
            self._refuse(error)
        else:
            self._show("checked", changes)

    async def write(self) -> None:
        """Write the file and let it hold; nothing is written that cannot be used, and what was typed stays."""
        text = self.text.value or ""
        try:
            require(self.view.session, "admin")
            changes = await self.configuration.write(text, self.view.session.key, self.basis)
        except NoriaError as error:
            self._refuse(error)
        else:
            self.basis = text
            self._show("written", changes)

    async def reload(self) -> None:
        """Let hold what stands in the file now, whoever changed it and whatever it names."""
        try:
            require(self.view.session, "admin")
            changes = await self.configuration.reload(self.view.session.key)
        except NoriaError as error:
            self._refuse(error)
        else:
            self._show("reloaded", changes)

    def _refuse(self, error: NoriaError) -> None:
        show_problem(self.notice, error.text(self.words.language))

    def _show(self, done: str, changes: Changes) -> None:
        words = self.words
        parts = [f"<p>{escape(words(f'settings.{done}'))}</p>"]
        for name, keys in (("applied", changes.applied), ("restart", changes.restart)):
            if keys:
                listed = " ".join(f"<code>{escape(key)}</code>" for key in keys)
                parts.append(f'<p>{escape(words(f"settings.{name}"))} <span translate="no">{listed}</span></p>')
        if not (changes.applied or changes.restart):
            parts.append(f"<p>{escape(words('settings.same'))}</p>")
        self.notice.clear()
        with self.notice:
            block("".join(parts), "note")


def _meanings(view: View) -> None:
    """Show every key with what holds, what it means, and whether a change needs a restart; a section of the file each."""
    words, state = view.words, view.state
    settings = state.settings if isinstance(state.settings, ServeSettings) else ServeSettings()
    sections: dict[str, list[Key]] = {}
    for key in keys_of(settings):
        first, inner, _ = key.name.partition(".")
        sections.setdefault(first if inner else "", []).append(key)
    with card(words("settings.keys")):
        for section, keys in sections.items():
            named = f"[{SECTION}.{section}]" if section else f"[{SECTION}]"
            rows = "".join(_row(view, key) for key in keys)
            block(
                f'<details{"" if section else " open"}><summary><code translate="no">{escape(named)}</code> '
                f'<span class="soft">{escape(words("settings.count", count=len(keys)))}</span></summary>'
                f'<dl class="settings-keys">{rows}</dl></details>'
            )


def _row(view: View, key: Key) -> str:
    words = view.words
    inside = key.name.partition(".")[2] or key.name
    live = at_once(key.name)
    chip = f'<span class="chip{" grow" if live else ""}">{escape(words("settings.live" if live else "settings.later"))}</span>'
    value = (
        ", ".join(map(str, key.value)) if isinstance(key.value, tuple) else "" if key.value is None else str(key.value)
    )
    shown = foreign(value) if value else f'<span class="soft">{escape(words("settings.unset"))}</span>'
    return (
        f'<dt><code translate="no">{escape(inside)}</code> {chip}</dt>'
        f'<dd><p>{shown}</p><p translate="no">{escape(meaning(key)[words.language])}</p></dd>'
    )
