"""Keys: made and shown once, with what each may do and what it used; rotated and revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape

from nicegui import ui

from noria.console.figures import figure_line
from noria.console.session import require
from noria.console.shell import View, block, card, paragraph, problem, worked_out
from noria.console.tables import at, code, field, used
from noria.core.errors import NoriaError
from noria.core.figure import proportion
from noria.core.messages import message
from noria.lake.search import Use
from noria.server.http.keys import ROLES, SCOPES, Key, Limits, Role
from noria.server.http.managing import DAYS, used_by_key

LIMITS = ("requests_minute", "tokens_minute", "tokens_day")
OVERLAP_HOURS = 24


async def show(view: View) -> None:
    """Draw the page."""
    uses = await worked_out(view.words, lambda: used_by_key(view.state, DAYS))
    _Page(view, uses).draw()


class _Page:
    """The page in one browser tab."""

    def __init__(self, view: View, uses: dict[str, Use]) -> None:
        self.view, self.words, self.keys, self.uses = view, view.words, view.state.keys, uses
        self.client = ui.context.client

    def draw(self) -> None:
        """Draw the form for a new key, and all keys."""
        words = self.words
        with card(words("keys.make")):
            with ui.element("div").classes("ask filters"):
                self.name = field(ui.input(words("keys.name")).props("maxlength=80"), "name")
                roles = {role: self._role(role) for role in ROLES}
                self.role = field(ui.select(roles, value="client", label=words("keys.role")), "role")
                self.role.on_value_change(self._explain)
            self.told_role = paragraph("", "small soft")
            with ui.element("div").classes("ask filters") as self.kept:
                scopes = [*SCOPES, *(f"apps/{app.name}" for app in self.view.state.apps)]
                self.scopes = self._many(scopes, "scopes")
                self.models = self._many(list(self.view.state.models), "models")
            with ui.element("div").classes("ask filters") as self.limited:
                self.limits = {
                    name: field(ui.number(words(f"keys.{name}"), min=1, precision=0), name) for name in LIMITS
                }
            with ui.element("div").classes("proposal-deeds"):
                ui.button(words("keys.make"), on_click=self.make, color=None).classes("primary").props("data-make")
        self.told = ui.element("div").props("aria-live=assertive data-told")
        self.list = ui.element("div").classes("stack").props("data-keys")
        self._explain()
        self.refresh()

    def _role(self, role: str) -> str:
        return str(message(f"server.role_{role}")[self.words.language])

    def _many(self, options: list[str], name: str) -> ui.select:
        made = ui.select(options, multiple=True, value=[], label=self.words(f"keys.{name}"))
        return field(made.props("use-chips translate=no"), name)

    def _explain(self) -> None:
        """Say what the chosen role may do; scopes, models and limits are a client's."""
        role = str(self.role.value)
        self.told_role.set_content(escape(self.words(f"keys.may_{role}")))
        for part in (self.kept, self.limited):
            part.set_visibility(role == "client")

    def refresh(self) -> None:
        """Show the keys that work, the newest first, and folded away those that do no more."""
        words, now = self.words, datetime.now(UTC)
        kept = sorted(self.keys.list(), key=lambda key: key.created, reverse=True)
        works = [key for key in kept if key.status(now) == "works"]
        gone = [key for key in kept if key not in works]
        self.list.clear()
        with self.list, card(words("keys.all", count=len(works))):
            paragraph(words("keys.counted", days=DAYS), "small soft")
            for key in works:
                self._key(key, now)
            if gone:
                with ui.element("details").classes("found"):
                    ui.html(escape(words("keys.gone", count=len(gone))), sanitize=False, tag="summary")
                    for key in gone:
                        self._key(key, now)

    def _key(self, key: Key, now: datetime) -> None:
        words, state = self.words, key.status(now)
        use = self.uses.get(key.tenant or key.id, Use())
        look = {"works": "chip grow", "expired": "chip", "revoked": "chip warn"}[state]
        limits = [f"{words(f'keys.{name}')}: {most:,}" for name in LIMITS if (most := getattr(key, name))]
        mine = f'<span class="chip build">{escape(words("keys.mine"))}</span>' if self._is_mine(key) else ""
        names = "".join(f'<span class="chip" translate="no">{escape(one)}</span>' for one in (*key.scopes, *key.models))
        chips = names + "".join(f'<span class="chip">{escape(one)}</span>' for one in limits)
        made = words("keys.made", at=at(self.view, key.created)[:10])
        if key.expires and state == "works":
            made += f" · {words('keys.expires', at=at(self.view, key.expires))}"
        if key.limits.tokens_day:
            made += f" · {words('keys.today', tokens=f'{self.view.state.rates.day_tokens(key.tenant or key.id):,}')}"
        with ui.element("div").classes("key-row").props(f'data-key="{key.id}" data-state="{state}"'):
            block(
                f'<div class="key-head"><b translate="no">{escape(key.name)}</b> {code(key.id)} '
                f'<span class="chip">{escape(self._role(key.role))}</span> '
                f'<span class="{look}">{escape(words(f"keys.{state}"))}</span>{mine}</div>'
                f'<p class="small soft">{escape(made)}</p><p class="small">{self._use(use)}</p>'
                f'<div class="chips">{chips}</div>'
            )
            if state == "works":
                with ui.element("div").classes("key-deeds"):
                    if not key.expires:
                        self._button("rotate", partial(self._ask_rotate, key))
                    self._button("revoke", partial(self._ask_revoke, key))

    def _is_mine(self, key: Key) -> bool:
        return key.id == self.view.session.key

    def _use(self, use: Use) -> str:
        """Return what a key used, with the number of requests that it is counted from."""
        words = self.words
        if not use.requests:
            return escape(words("keys.unused"))
        answered = figure_line(proportion(words("keys.answered"), use.answered, use.requests), words)
        units = [used(words, count, unit) for unit, count in sorted(use.units.items()) if count]
        return " · ".join([escape(answered), *units, escape(words("keys.last", at=at(self.view, use.last)))])

    def _button(self, name: str, pressed: Callable[[], Awaitable[None]]) -> ui.button:
        button = ui.button(self.words(f"keys.{name}"), on_click=pressed, color=None).classes("quiet")
        return button.props(f'flat dense data-deed="{name}"')

    async def make(self) -> None:
        """Make the key that the form describes; it is shown until the page is left."""
        role: Role = self.role.value or "client"
        client = role == "client"
        given = {name: int(one.value) if one.value else None for name, one in self.limits.items()}
        await self._do(
            lambda: self.keys.make(
                (self.name.value or "").strip(),
                role,
                scopes=self.scopes.value if client else (),
                models=self.models.value if client else (),
                limits=Limits(**given) if client else None,
                by=self.view.session.key,
            )
        )

    async def _ask_rotate(self, key: Key) -> None:
        words = self.words
        with self.client, ui.dialog() as dialog, ui.card().classes("inbox-dialog"):
            paragraph(words("keys.rotate_what", name=key.name))
            hours = ui.number(words("keys.overlap"), value=OVERLAP_HOURS, min=0, max=8_760)
            field(hours, "overlap")
            self._answers(dialog, "rotate", lambda: float(hours.value or 0))
        overlap = await dialog
        dialog.delete()
        if overlap is not None:
            await self._do(lambda: self.keys.rotate(key.id, timedelta(hours=float(overlap)), by=self.view.session.key))

    async def _ask_revoke(self, key: Key) -> None:
        words = self.words
        with self.client, ui.dialog() as dialog, ui.card().classes("inbox-dialog"):
            paragraph(words("keys.revoke_what", name=key.name))
            if self._is_mine(key):
                block(f'<div class="note warn">{escape(words("keys.revoke_mine"))}</div>')
            self._answers(dialog, "revoke", lambda: True)
        sure = await dialog
        dialog.delete()
        if sure:
            await self._do(lambda: self._revoked(key))

    def _revoked(self, key: Key) -> str:
        self.keys.revoke(key.id, by=self.view.session.key, last=False)
        return ""

    def _answers(self, dialog: ui.dialog, name: str, given: Callable[[], object]) -> None:
        with ui.element("div").classes("inbox-send"):
            stay = ui.button(self.words("keys.cancel"), on_click=lambda: dialog.submit(None), color=None)
            stay.classes("quiet").props("flat dense")
            go = ui.button(self.words(f"keys.{name}"), on_click=lambda: dialog.submit(given()), color=None)
            go.classes("primary").props(f'flat dense data-sure="{name}"')

    async def _do(self, deed: Callable[[], str]) -> None:
        """Do something with keys, and show the new one or why not."""
        self.told.clear()
        try:
            require(self.view.session, "admin")
            made = await asyncio.to_thread(deed)
        except NoriaError as error:
            with self.told:
                problem(error.text(self.words.language))
        else:
            if made:
                self._show(made)
                self.name.set_value("")
        self.refresh()

    def _show(self, key: str) -> None:
        """Show a new key, this once."""
        words = self.words
        with self.told, card(words("keys.once")):
            paragraph(words("keys.keep"), "small soft")
            block(f'<code class="secret" translate="no" data-secret>{escape(key)}</code>')
            with ui.element("div").classes("proposal-deeds"):
                copy = ui.button(words("keys.copy"), on_click=lambda: ui.clipboard.write(key), color=None)
                copy.classes("quiet").props("flat dense")
                done = ui.button(words("keys.kept"), on_click=self.told.clear, color=None)
                done.classes("primary").props("data-kept")
