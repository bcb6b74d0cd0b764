"""What the monitor hears and whom it notifies: how each source stands, and subscriptions to add, edit, try out, pause and remove."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from noria.apps.monitor.notify.settings import PREFIX
from noria.console.session import require
from noria.console.shell import View, block, card, foreign, paragraph, show_notice, show_problem
from noria.console.words import Words
from noria.core.errors import NoriaError
from noria.server.http.keys import Role
from noria.server.webhook import DeliveryError

from .monitor_time import moment

if TYPE_CHECKING:
    from noria.apps.monitor.routes import Monitor

NEED: Role = "editor"
"""The least role that changes whom this server notifies."""
KINDS = ("webhook", "email", "wecom", "feishu", "dingtalk", "slack", "apprise")
FIELDS: dict[str, tuple[str, ...]] = {
    "webhook": ("url", "secret_env"),
    "email": ("to",),
    "wecom": ("url_env",),
    "feishu": ("url_env", "secret_env"),
    "dingtalk": ("url_env", "secret_env"),
    "slack": ("url_env",),
    "apprise": ("url_env",),
}
"""Kind -> what it needs besides what all have."""
LISTS = ("to", "topics", "entities", "sources", "quiet")
"""Fields that hold several values."""


def sources(words: Words, app: Monitor) -> None:
    """Show how every source stands."""
    listed = app.standing.listed()
    with card(words("monitor.sources")):
        if not listed:
            paragraph(words("monitor.no_sources"), "soft")
            block('<code translate="no">noria ship watch sources.toml</code>')
            return
        heads = ("source", "state", "heard", "brought", "asked")
        head = "".join(f"<th>{escape(words(f'monitor.head.{name}'))}</th>" for name in heads)
        rows = "".join(_source_row(words, name, one) for name, one in listed.items())
        block(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>', "scroll-x")


def _source_row(words: Words, name: str, one: Mapping[str, Any]) -> str:
    state = str(one.get("state", "posts"))
    chip = "chip warn" if state in ("failing", "silent") else "chip grow" if state == "works" else "chip"
    told = f'<span class="{chip}">{escape(words(f"monitor.state.{state}"))}</span>'
    if one.get("failures"):
        told += f' <span class="small">{escape(words("monitor.in_a_row", count=one["failures"]))}</span>'
    if one.get("why"):
        told += f'<div class="small soft" translate="no">{escape(str(one["why"]))}</div>'
    heard, due = str(one.get("last") or one.get("latest") or ""), str(one.get("due") or "")
    return (
        f'<tr data-source="{escape(name, quote=True)}"><td>{foreign(name)}</td><td>{told}</td>'
        f'<td class="number">{escape(moment(heard) or "–")}</td><td class="number">{one["texts"]:,}</td>'
        f'<td class="number">{escape(moment(due) or "–")}</td></tr>'
    )


class SubscriptionsCard:
    """Whom the monitor notifies, in one browser tab."""

    def __init__(self, view: View, app: Monitor, titles: Mapping[str, str]) -> None:
        self.view, self.words, self.app, self.titles = view, view.words, app, titles
        self.subscribed = app.notifier.subscribed
        self.fields: dict[str, Any] = {}
        self.edited = ""
        """Name of the one that is edited; empty for a new one."""

    async def draw(self) -> None:
        """Show the card."""
        words = self.words
        with card() as place:
            place.props("data-subscriptions")
            with ui.element("div").classes("card-head"):
                block(f"<h2>{escape(words('monitor.subscriptions'))}</h2>")
                add = ui.button(words("monitor.add"), on_click=partial(self.edit, ""), color=None)
                add.classes("quiet").props('flat dense data-deed="add"')
            prefix = f'<code translate="no">{PREFIX}…</code>'
            block(f'<p class="small soft">{escape(words("monitor.subscriptions_are"))} {prefix}</p>')
            self.notice = ui.element("div").props("aria-live=polite data-told")
            self.form = ui.element("div").classes("subscription-form")
            self.list = ui.element("div").classes("stack tight")
        await self.refresh()

    async def refresh(self) -> None:
        """Show the subscriptions as they stand."""
        words = self.words
        try:
            listed = await asyncio.to_thread(self.subscribed.listed)
        except NoriaError as error:
            self._problem(error)
            return
        self.list.clear()
        with self.list:
            if not listed:
                paragraph(words("monitor.no_subscriptions"), "soft")
            for one in listed:
                self._row(one)

    def _row(self, one: Mapping[str, Any]) -> None:
        words, name, file = self.words, str(one["name"]), one["made_by"] == "file"
        with ui.element("section").classes("subscription") as row:
            row.props["data-subscription"] = name
            block(subscription_html(words, one, self.titles), "subscription-told")
            with ui.element("div").classes("subscription-deeds"):
                self._button("try", partial(self.test, name))
                self._button("go_on" if one["paused"] else "pause", partial(self.pause, name, paused=not one["paused"]))
                if not file:
                    self._button("edit", partial(self.edit, name))
                    self._button("remove", partial(self.remove, name))

    def _button(self, name: str, pressed: Callable[[], Awaitable[None]]) -> None:
        button = ui.button(self.words(f"monitor.deed.{name}"), on_click=pressed, color=None)
        button.classes("quiet").props(f'flat dense data-deed="{name}"')

    async def test(self, name: str) -> None:
        """Send a message that says that it is a test."""

        async def sent() -> str:
            self._notify(self.words("app.working"))
            note = await self.subscribed.test(name)
            return self.words("monitor.arrived", name=name) + (f" {note}" if note else "")

        await self._done("subscription.test", name, sent)

    async def pause(self, name: str, *, paused: bool) -> None:
        """Send nothing from now on, or send again."""

        async def changed() -> str:
            await asyncio.to_thread(lambda: self.subscribed.pause(name, paused=paused))
            return self.words("monitor.paused_now" if paused else "monitor.goes_on", name=name)

        await self._done("subscription.pause", name, changed, paused=paused)

    async def remove(self, name: str) -> None:
        """Forget a subscription."""

        async def removed() -> str:
            await asyncio.to_thread(self.subscribed.remove, name)
            return self.words("monitor.removed", name=name)

        await self._done("subscription.remove", name, removed)

    async def save(self) -> None:
        """Keep what stands in the form."""
        values = self._values()

        async def kept() -> str:
            one = await asyncio.to_thread(self.subscribed.make, values)
            if self.edited and self.edited != one.name:
                await asyncio.to_thread(self.subscribed.remove, self.edited)
            self.form.clear()
            return self.words("monitor.kept_now", name=one.name)

        await self._done("subscription.make", str(values["name"]), kept)

    async def edit(self, name: str) -> None:
        """Open the form: empty, or with one that was made here."""
        words = self.words
        self.edited, self.fields = name, {}
        known = self.subscribed.all().get(name)
        values: dict[str, Any] = known.model_dump(mode="json") if known else {}
        self.form.clear()
        self.notice.clear()
        with self.form:
            block(f"<h3>{escape(words('monitor.deed.edit') + ': ' + name if name else words('monitor.add'))}</h3>")
            with ui.element("div").classes("form-grid"):
                self._text("name", values, most=64)
                kinds = {kind: words(f"monitor.kind_of.{kind}") for kind in KINDS}
                self._choice("kind", kinds, values.get("kind", KINDS[0]))
            self.own = ui.element("div").classes("form-grid")
            self.fields["kind"].on_value_change(lambda: self._own({}))
            self._own(values)
            with ui.element("div").classes("form-grid"):
                topics = dict(self.titles) | {one: one for one in values.get("topics", ())}
                chosen = ui.select(
                    topics, value=list(values.get("topics", ())), label=words("monitor.f.topics"), multiple=True
                )
                self.fields["topics"] = chosen.props('outlined dense use-chips data-field="topics"').classes("field")
                self._text("entities", values)
                self._text("sources", values)
                severities = {one: words(f"monitor.severity.{one}") for one in ("low", "medium", "high")}
                self._choice("severity", severities, values.get("severity", "low"))
                self._choice("language", {"en": "English", "zh": "中文"}, values.get("language", words.language))
                self._text("zone", values, default="UTC")
                self._text("quiet", values)
                digests = {one: words(f"monitor.digest.{one or 'none'}") for one in ("", "daily", "weekly")}
                self._choice("digest", digests, values.get("digest", ""))
                self._text("at", values, default="08:00")
            with ui.element("div").classes("proposal-deeds"):
                self._button("cancel", self._closed)
                save = ui.button(words("monitor.deed.save"), on_click=self.save, color=None)
                save.classes("primary").props('data-deed="save"')

    async def _closed(self) -> None:
        self.form.clear()

    def _own(self, values: Mapping[str, Any]) -> None:
        """Show the fields that the chosen kind needs."""
        for name in {one for needed in FIELDS.values() for one in needed}:
            self.fields.pop(name, None)
        self.own.clear()
        with self.own:
            for name in FIELDS[str(self.fields["kind"].value)]:
                self._text(name, values, most=2_048)

    def _text(self, name: str, values: Mapping[str, Any], *, default: str = "", most: int = 1_000) -> None:
        given = values.get(name, default)
        value = ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given or "")
        field = ui.input(self.words(f"monitor.f.{name}"), value=value)
        self.fields[name] = field.props(f'outlined dense maxlength={most} data-field="{name}"').classes("field")

    def _choice(self, name: str, options: Mapping[str, str], value: str) -> None:
        field = ui.select(dict(options), value=value, label=self.words(f"monitor.f.{name}"))
        self.fields[name] = field.props(f'outlined dense data-field="{name}"').classes("field")

    def _values(self) -> dict[str, Any]:
        """Return what stands in the form, as the keys of a `[[subscription]]`; what is empty is left out."""
        values: dict[str, Any] = {}
        for name, field in self.fields.items():
            value = field.value
            if name in LISTS and isinstance(value, str):
                value = [part.strip() for part in value.replace("，", ",").split(",") if part.strip()]
            elif isinstance(value, str):
                value = value.strip()
            if value or name == "name":
                values[name] = value
        return values

    async def _done(self, action: str, name: str, work: Callable[[], Awaitable[str]], **details: bool) -> None:
        """Do what was asked where the role allows it, write it down, and say what came of it."""
        try:
            require(self.view.session, NEED)
            told = await work()
            self.view.audit(action, name, **details)
        except DeliveryError as error:
            self.view.audit(action, name, arrived=False)
            self._problem(error)
        except NoriaError as error:
            self._problem(error)
        else:
            self._notify(told)
        await self.refresh()

    def _notify(self, text: str) -> None:
        show_notice(self.notice, text)

    def _problem(self, error: NoriaError) -> None:
        show_problem(self.notice, error.text(self.words.language))


def subscription_html(words: Words, one: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return what a subscription takes, how, and what became of what was sent to it, as HTML."""
    kind, digest, severity = (str(one[name]) for name in ("kind", "digest", "severity"))
    chips = [f'<span class="chip">{escape(words(f"monitor.kind_of.{kind}"))}</span>']
    if one["paused"]:
        chips.append(f'<span class="chip warn" data-paused>{escape(words("monitor.paused"))}</span>')
    if one["made_by"] == "file":
        chips.append(f'<span class="chip build">{escape(words("monitor.in_file"))}</span>')
    if digest:
        chips.append(f'<span class="chip">{escape(words(f"monitor.digest.{digest}"))}</span>')
    names = [*(titles.get(topic, topic) for topic in one["topics"]), *one["entities"], *one["sources"]]
    takes = foreign(", ".join(names)) if names else escape(words("monitor.takes_all"))
    counts = words("monitor.sent", sent=one["sent"], waiting=one["waiting"], given_up=one["given_up"])
    why = f'<div class="small warn-text" translate="no">{escape(str(one["problem"]))}</div>' if one["problem"] else ""
    return (
        f'<div class="subscription-top"><b translate="no">{escape(str(one["name"]))}</b> {" ".join(chips)}</div>'
        f'<div class="small">{takes} · {escape(words(f"monitor.severity.{severity}"))}</div>'
        f'<div class="small soft">{escape(counts)}</div>{why}'
    )
