"""Applications that run take up what another of their kind was given, which was opened and has not started: settings, lists, files read anew.

    take_up = await renewed(app, given, state)      # all that can fail: files are read already, texts are embedded here
    await take_up()                                 # from one request to the next

What cannot change so needs a restart: `RENEWED` names what can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from noria.apps.embedding import keeping
from noria.core.settings import Settings
from noria.server.http.context import RequestContext
from noria.tasks.items import LEAD

from .monitor.routes import Monitor
from .recommend.routes import Recommend, on_offer
from .support.faq import with_more
from .support.opening import PROPOSED
from .support.routes import Support

if TYPE_CHECKING:
    from noria.server.http.state import App, State

TakeUp = Callable[[], Awaitable[None]]
RENEWED = {
    "support": "sources kb faq outside wrong actions link held_out people widget settings",
    "monitor": "sources topics names aspects notify watch",
    "recommend": "items clicks settings shelf.memory shelf.chance shelf.nearby shelf.diversity shelf.taste shelf.rules shelf.seed "
    "shelf.most_items shelf.snapshot_minutes",
}
"""Application -> keys that take effect without a restart; all below one that has keys of its own."""
AT_ONCE = (
    "models canaries shadows guard keys cors max_body max_rows max_tokens max_in_flight timeout grace seal_minutes "
    "day_zone week_starts fiscal year_starts year_week"
)
"""Keys that take effect without a restart, besides those of applications."""
KEPT = ("readers", "history_days", "per_key", "trial")
"""Of how items are picked, what holds until a restart: by it users are known."""


async def renewed(app: App, given: App, state: State) -> TakeUp:
    """Return what lets an application go on with what another one of its kind was given.

    Args:
        app: one that runs.
        given: one of the same kind, opened and not started.
        state: the running server.

    Raises:
        NoriaError: what it was given cannot be used; nothing has changed.
    """
    if isinstance(app, Support) and isinstance(given, Support):
        return await _support(app, given)
    if isinstance(app, Monitor) and isinstance(given, Monitor):
        return _monitor(app, given, state)
    if isinstance(app, Recommend) and isinstance(given, Recommend):
        return await _recommend(app, given, state)
    return _nothing


async def _nothing() -> None:
    """Leave an application as it is."""


async def _support(app: Support, given: Support) -> TakeUp:
    accepted = await app.proposals.accepted()
    desk, faq = app.desk, app.faq
    if not (_known(app) == _known(given) and with_more(given.listed, accepted, PROPOSED) == app.faq):
        desk, faq = await app.opened(given, accepted)  # seconds of work

    async def take_up() -> None:
        app.listed, app.knowledge, app.wrong = given.listed, given.knowledge, given.wrong
        app.desk, app.faq = desk, faq
        app.people.settings, app.people.hours = given.people.settings, given.people.hours
        given.people = app.people  # by whose day actions tell what today is
        app.actions = given.actions
        app.visitors.renew(given.visitors)

    return take_up


def _known(app: Support) -> tuple[object, ...]:
    """Return what a desk is made of, besides its questions; a base of documents reads itself anew."""
    return app.wrong, app.knowledge and app.knowledge.folder.resolve(), app.actions.entries()


def _monitor(app: Monitor, given: Monitor, state: State) -> TakeUp:
    given.whom.sentiment = app.whom.sentiment
    given.whom.choose(state, app.entities)

    async def take_up() -> None:
        before = (app.settings, app.topics.names, app.whom.names.listed)
        app.whom.names = given.whom.names
        app.whom.aspects, app.whom.embedder = given.whom.aspects, given.whom.embedder
        if before != (given.settings, given.topics.names, given.whom.names.listed):
            await app.reopen(given.settings, given.topics)
        app.topics = given.topics
        titles = {name: one.title for name, one in app.whom.aspects.given.items()}
        app.notifier.renew(given.notifier, app.topics, titles)

    return take_up


async def _recommend(app: Recommend, given: Recommend, state: State) -> TakeUp:
    wanted = await asyncio.to_thread(on_offer, state.lake, given.items)
    new = [item for id, item in wanted.items() if app.items.get(id) != item]
    gone = [id for id in app.items if id not in wanted]
    app.check_count(len(wanted))
    context = RequestContext(state)
    vectors = await keeping(context, app.name, app.model)([item.described[:LEAD] for item in new]) if new else None

    async def take_up() -> None:
        app.settings = app.shelf.settings = given.settings.replace(
            **{name: getattr(app.settings, name) for name in KEPT}
        )
        if new or gone:
            await app.exchange(context, new, vectors, gone)

    return take_up


def used_by(app: App, state: State) -> set[str]:
    """Return the names of the models that an application asks."""
    if isinstance(app, Support):
        return {app.model or state.model_for("embed") or "", app.decoder}
    if isinstance(app, Recommend):
        return {app.model or state.model_for("embed") or ""}
    if isinstance(app, Monitor):
        own = (app.sentiment, app.entities, app.embedder, app.whom.sentiment, app.whom.by_labels, app.whom.embedder)
        return {name or "" for name in own}
    return set(state.models)  # of an application that nobody here knows: all of them


def flat(settings: Settings, before: str = "") -> dict[str, Any]:
    """Return the values of settings by key, those of settings inside as `guard.words`."""
    found: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        found |= flat(value, f"{before}{name}.") if isinstance(value, Settings) else {before + name: value}
    return found


def at_once(key: str) -> bool:
    """Return whether a key takes effect without a restart.

    >>> at_once("guard.words"), at_once("support.wrong"), at_once("port"), at_once("support.channels")
    (True, True, False, False)
    """
    live = (*AT_ONCE.split(), *(f"{app}.{name}" for app, names in RENEWED.items() for name in names.split()))
    return any(key == one or key.startswith(f"{one}.") for one in live)
