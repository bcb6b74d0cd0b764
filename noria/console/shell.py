"""The frame of every page: menu, language switch, head, and the small parts that pages are made of."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request
from nicegui import ui

from noria.server.http.context import CONTEXT, RequestContext
from noria.server.http.keys import may

from .session import COOKIE, NEEDS, Session
from .sign_in import PREFIX, words_of
from .wheel import mark
from .words import LANGUAGES, Words

if TYPE_CHECKING:
    from noria.server.http.state import State

    from .session import Sessions
    from .summary import Summary

Result = TypeVar("Result")

MENU: dict[str, tuple[tuple[str, str], ...]] = {
    # group -> its pages: (key of the title, path), a line each
    "": (("overview", "/"),),
    "build": (
        ("data", "/data"),
        ("train", "/train"),
        ("models", "/models"),
        ("playground", "/playground"),
    ),
    "ship": (
        ("support", "/support"),
        ("inbox", "/inbox"),
        ("proposals", "/proposals"),
        ("service", "/service"),
        ("monitor", "/monitor"),
        ("recommend", "/recommend"),
    ),
    "grow": (
        ("users", "/users"),
        ("market", "/market"),
        ("promote", "/promote"),
    ),
    "operate": (
        ("keys", "/keys"),
        ("events", "/events"),
        ("audit", "/audit"),
        ("settings", "/settings"),
        ("health", "/health"),
    ),
}
COLOURS = {"": "#15343c", "build": "#b4692b", "ship": "#12748c", "grow": "#4f8a3c", "operate": "#57707a"}
ICONS = {
    "overview": "M12 3v18M3 12h18M5.6 5.6l12.8 12.8M18.4 5.6 5.6 18.4",
    "data": "M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zM4 6c0 4 16 4 16 0M4 12c0 4 16 4 16 0",
    "train": "M4 18l5-6 4 3 7-9M15 6h5v5",
    "models": "M4 7l8-4 8 4-8 4zM4 12l8 4 8-4M4 17l8 4 8-4",
    "playground": "M4 6h16M4 12h10M4 18h7M17 15l4 3-4 3z",
    "support": "M4 5h16v11H10l-5 4v-4H4z",
    "inbox": "M4 13l3-8h10l3 8v6H4zM4 13h5l1 3h4l1-3h5",
    "proposals": "M5 4h14v16H5zM8 9h8M8 13h5M13 17l2 2 4-5",
    "service": "M4 19h16M6 19v-6M11 19V8M16 19V5M4 6l4 3 4-4 3 2",
    "monitor": "M3 13h4l3-8 4 14 3-6h4",
    "recommend": "M5 4h14v16l-7-4-7 4z",
    "health": "M4 20V4M4 20h16M7 14l3-4 3 3 5-7",
    "keys": "M14 10a4 4 0 1 1-1.2-2.8M12.5 12.5 20 20M17 17l2-2M15 19l-2-2",
    "events": "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
    "audit": "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM8.5 12l2.5 2.5 4.5-5",
    "settings": "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
    "users": "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21c0-4 3-6 7-6s7 2 7 6M16 4a4 4 0 0 1 0 7M18 15c3 1 4 3 4 6",
    "market": "M4 20V10M10 20V4M16 20v-7M22 20H2",
    "promote": "M4 10v4h3l7 5V5L7 10H4zM18 9a4 4 0 0 1 0 6M7 14l1 6h3l-1-4",
}


@dataclass(frozen=True)
class Console:
    """What every page is given: the running server and the folder of the run."""

    state: State
    root: Path
    sessions: Sessions
    summary: Summary


@dataclass(frozen=True)
class View:
    """One page being shown to one browser."""

    console: Console
    words: Words
    session: Session
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    """What stands behind the question mark of its address."""

    @property
    def state(self) -> State:
        """Return the running server."""
        return self.console.state

    @property
    def root(self) -> Path:
        """Return the folder of the run."""
        return self.console.root

    @property
    def user(self) -> str:
        """Return the name under which this browser's use is counted."""
        return f"console:{self.session.nonce}"

    def audit(self, action: str, subject: str, **details: str | int | float | bool | None) -> None:
        """Write down what its person changed."""
        self.state.audit.add(self.session.key, action, subject, **details)


def view_of(console: Console, request: Request, path: str) -> View:
    """Return what a page needs to know of its request; the gate let it in by its cookie, or by a person's key."""
    session = console.sessions.read(request.cookies.get(COOKIE))
    if session is None:
        context: RequestContext = request.scope[CONTEXT]
        caller = context.caller
        assert caller is not None  # the gate lets nobody in without
        session = Session(caller.key, caller.tenant, caller.role, 0.0, caller.key)
    return View(console, words_of(request), session, path, dict(request.query_params))


@contextmanager
def frame(view: View, name: str) -> Iterator[None]:
    """Show the frame, with the content of page `name` inside of it."""
    words = view.words
    client = ui.context.client
    # A page object belongs to its route; the copy carries this browser's language to Quasar and to the html tag.
    client.page = copy.copy(client.page)
    client.page.language = "zh-CN" if words.language == "zh" else "en-US"
    ui.page_title(f"{words(f'{name}.title')} · Noria")
    ui.add_head_html(
        f'<link rel="stylesheet" href="{PREFIX}/static/console.css"><script defer src="{PREFIX}/static/connection.js"></script>'
        f'<script defer src="{PREFIX}/static/console.js"></script>'
    )
    ui.add_body_html(
        f'<noscript><p class="note warn">{escape(words("connection.script"))}</p></noscript>'
        f'<div id="connection" class="note warn connection" role="alert" hidden>{escape(words("connection.lost"))}</div>'
    )
    with ui.element("div").classes("frame").props(f'data-page="{name}" data-language="{words.language}"'):
        ui.html(_top(words, view), sanitize=False).style("display: contents")
        with ui.element("div").classes("page"):
            ui.html(
                f'<nav class="inner scroll-x" aria-label="{escape(words("app.inner"), quote=True)}" hidden></nav>'
                f'<div class="page-head" id="content" tabindex="-1"><h1>{escape(words(f"{name}.title"))}</h1><p>{escape(words(f"{name}.lead"))}</p></div>',
                sanitize=False,
            )
            with ui.element("div").classes("stack"):
                yield


async def worked_out(words: Words, work: Callable[[], Result]) -> Result:
    """Return the result of work that takes its time, while the page already shows that it is being done."""
    told = paragraph(words("app.working"), "soft").props('data-waiting aria-live="polite"')
    await ui.context.client.connected()
    result = await asyncio.to_thread(work)
    told.delete()
    return result


def card(title: str = "", *, classes: str = "") -> ui.element:
    """Return a card, opened with `with`."""
    element = ui.element("section").classes(f"card {classes}")
    if title:
        with element:
            heading(title)
    return element


def heading(text: str) -> None:
    """Show a heading inside a card."""
    ui.html(escape(text), sanitize=False, tag="h2")


def paragraph(text: str, classes: str = "") -> ui.html:
    """Show a paragraph of plain text."""
    return ui.html(escape(text), sanitize=False, tag="p").classes(classes)


def block(html: str, classes: str = "") -> ui.html:
    """Show trusted HTML: everything foreign in it was escaped by whoever made it."""
    return ui.html(html, sanitize=False).classes(classes)


def empty(words: Words, key: str, command: str) -> None:
    """Show that there is nothing to show yet, and the command that fills it."""
    block(
        f'<div class="empty">{mark(54)}<p>{escape(words(key))}</p><p>{escape(words("empty.run"))} '
        f'<code translate="no">{escape(command)}</code></p></div>'
    )


def show_notice(place: ui.element, text: str) -> None:
    """Say something in a place, instead of what stood there."""
    place.clear()
    with place:
        paragraph(text, "small soft")


def show_problem(place: ui.element, text: str) -> None:
    """Say what went wrong in a place, instead of what stood there."""
    place.clear()
    with place:
        problem(text)


def problem(text: str) -> None:
    """Show what went wrong, in the words of the error."""
    block(f'<div class="note warn" role="alert" translate="no">{escape(text)}</div>')


def facts(pairs: list[tuple[str, str]]) -> None:
    """Show names and values; values are HTML."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    ui.html(body, sanitize=False, tag="dl").classes("facts")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> None:
    """Show a table; heads and cells are HTML, those in the columns of `numbers` stand right."""

    def cell(tag: str, place: int, html: str) -> str:
        return f'<{tag} class="number">{html}</{tag}>' if place in numbers else f"<{tag}>{html}</{tag}>"

    head = "".join(cell("th", place, html) for place, html in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", place, html) for place, html in enumerate(row)) + "</tr>" for row in rows
    )
    block(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', "scroll-x")


def foreign(text: object) -> str:
    """Return text that comes from data, escaped, and marked as not the console's own words."""
    return f'<span translate="no">{escape(str(text))}</span>'


def icon(name: str, colour: str) -> str:
    """Return the small picture of a page."""
    return (
        f'<svg width="19" height="19" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.8" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{ICONS.get(name, ICONS["health"])}"/></svg>'
    )


def link(path: str) -> str:
    """Return the address of a console page."""
    return PREFIX + path


def _top(words: Words, view: View) -> str:
    brand = f'<a class="brand" href="{PREFIX}/">{mark(40)}<span><b translate="no">Noria</b><small>{escape(words("app.short"))}</small></span></a>'
    path = ui.context.client.page.path
    switch = "".join(
        f'<a class="language" href="{PREFIX}/language/{code}?next={path}" lang="{code}" translate="no">{name}</a>'
        for code, name in LANGUAGES.items()
        if code != words.language
    )
    menu = []
    waiting = view.console.summary.last_waiting
    for group, pages in MENU.items():
        some = [one for one in pages if may(view.session.role, NEEDS.get(one[0], "viewer"))]
        links = "".join(
            _link(words, group, name, target, waiting.get(name, 0), here=target == path) for name, target in some
        )
        title = f'<div class="nav-wing" id="nav-{group}">{escape(words(f"nav.{group}"))}</div>' if group else ""
        named = f' aria-labelledby="nav-{group}"' if group else ""
        menu.append(f'<div role="group"{named}>{title}{links}</div>' if links else "")
    return (
        f'<a class="skip" href="#content">{escape(words("app.skip"))}</a>'
        f'<input type="checkbox" id="menu" class="menu-toggle" aria-label="{escape(words("app.menu"), quote=True)}">'
        f'<header class="bar"><label for="menu" class="menu-button">☰ <span>{escape(words("app.menu"))}</span></label>{brand}{switch}</header>'
        f'<label for="menu" class="scrim"><span class="visually-hidden">{escape(words("app.close"))}</span></label>'
        f'<nav class="side" aria-label="{escape(words("app.menu"), quote=True)}"><div class="side-inner">{brand}{"".join(menu)}'
        f'<div class="side-foot">{switch}<form method="post" action="{PREFIX}/logout">'
        f'<button class="plain-button" type="submit">{escape(words("app.logout"))}</button></form></div></div></nav>'
    )


def _link(words: Words, group: str, name: str, target: str, count: int, *, here: bool) -> str:
    """Return one line of the menu; the script of the page keeps its count as it is."""
    told = escape(words("app.waits"), quote=True)
    badge = f'<b class="badge" data-count="{name}" title="{told}"{"" if count else " hidden"}>{count}</b>'
    marked = ' here" aria-current="page' if here else ""
    return (
        f'<a class="nav-link{marked}" href="{PREFIX}{target}">{icon(name, COLOURS[group])}'
        f"<span>{escape(words(f'{name}.title'))}</span>{badge}</a>"
    )
