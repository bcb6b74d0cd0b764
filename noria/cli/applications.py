"""`noria ship monitor | watch | brief`: one application on its models, what feeds it, and what it tells."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

import noria
from noria.apps.settings import OpinionFolderSettings, OpinionSettings, WatchSettings
from noria.core.messages import for_terminal, message
from noria.server.http.settings import PlaceSettings, ServerSettings

from . import dry
from .files import SettingsFile, needed
from .manners import DryRun

if TYPE_CHECKING:
    from fastapi import FastAPI

    from noria.apps.serving import Models
    from noria.server.http.state import App

Place = Annotated[PlaceSettings, Parameter(name="*")]
"""Where an application is served; the other settings of its server stand in [server] of its folder's file."""


def monitor(
    sentiment: Path | None = None,
    entities: Path | None = None,
    *,
    topics: Path | None = None,
    names: Path | None = None,
    aspects: Path | None = None,
    entity_sentiment: Path | None = None,
    aspect_model: Path | None = None,
    notify: Path | None = None,
    console: Path | None = None,
    watch: Annotated[WatchSettings, Parameter(name="watch")] = WatchSettings(),
    file: SettingsFile = None,
    settings: Place = PlaceSettings(),
) -> int:
    """Opinion monitoring: topic, sentiment and entities of a stream of texts; a surge, or a source that falls silent, raises an alert.

    Serves POST /v1/apps/monitor/texts until Ctrl-C. Windows and alerts lie in the lake and outlive the server.

    Examples::

        noria ship monitor runs/demo/sentiment-served runs/demo/entities-served
        noria ship monitor runs/demo/sentiment-served --topics phones.json --watch.false-alarms-a-week 2
        noria ship monitor runs/demo/sentiment-served --notify subscriptions.toml --console runs/demo
        noria ship monitor sentiment entities --names names.toml --entity-sentiment whom --aspects aspects.toml

    Parameters
    ----------
    sentiment
        Folder of a model for the task classify with a label "negative".
    entities
        Folder of a model for the task tag.
    topics
        JSON of {"topic": {"title": {"en", "zh"}, "words": [...]}}; reviews of hotels, books, computers and the like unless told.
    names
        People, organisations and products with their aliases: TOML of [[name]], or a table of name, kind, aliases, excluded.
    aspects
        Aspects such as price or service, with words or examples: TOML or JSON of {"aspect": {"title", "words", "examples"}}.
    entity_sentiment
        Folder of a model that judges what a text says of each entity: classify, trained on rows {text, entity, label}.
    aspect_model
        Folder of a model for the task classify with several labels, by which aspects and what is said of them are known.
    notify
        TOML of subscriptions: who is notified of alerts; see docs/monitor-telling.md.
    console
        Folder of a run, or any other: serve the console, too, and show a link that signs one browser in.
    file
        A TOML file of these settings, with [server] for the server's own; flags stand above it.
    """
    from noria.apps.serving import Models, open_monitor

    flags = {"models": tuple(one for one in (sentiment, entities) if one), "topics": topics, "names": names}
    flags |= {"aspects": aspects, "entity_sentiment": entity_sentiment, "aspect_model": aspect_model}
    flags |= {"notify": notify, "console": console}
    found = OpinionFolderSettings.given(file, **flags, watch=watch, server=settings)
    needed("SENTIMENT", found.models)
    models = Models()
    return serve_application(open_monitor(found, models), models, found.server, found.console)


def watch(
    sources: Path,
    *models: Path,
    server: str = "",
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    inbox: Path | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
    console: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    topics: Path | None = None,
    names: Path | None = None,
    aspects: Path | None = None,
    watch: Annotated[WatchSettings, Parameter(name="watch")] = WatchSettings(),
    settings: Place = PlaceSettings(),
) -> int:
    """Opinion monitoring of real sources: feeds, articles, files that grow and mailboxes, round after round until Ctrl-C.

    What comes goes through an inbox on the disk to the monitor, which is started here or runs elsewhere; after a kill the
    same command goes on, with no text lost or counted twice. A line a round says what was new, what was set aside and why,
    and which source fails or is silent. Subscriptions in the same list are notified of alerts.

    Examples::

        noria ship watch sources.toml --console                 in a folder that noria new watch --app monitor made
        noria ship watch sources.toml runs/demo/sentiment-served runs/demo/entities-served
        noria ship watch sources.toml --server http://localhost:8400 --key $KEY
        noria ship watch sources.toml --once                    models or server as sources.toml names them; for cron

    Parameters
    ----------
    sources
        The list of sources, and of subscriptions; see docs/monitor-sources.md and docs/monitor-telling.md.
    models
        Model folders for the tasks classify (with a label "negative"), tag and embed, and those that judge what is said of entities and
        aspects; those that sources.toml names unless told.
    server
        Address of a server on which the monitor runs; that which sources.toml names unless told.
    key
        A key of that server.
    inbox
        Folder of the inbox; beside sources.toml, with the ending .inbox, unless told.
    once
        Ask every source once, deliver what it gives, and end.
    console
        Serve the console, too, and show a link that signs one browser in.
    json
        Write every round as a JSON line, for programs.
    topics
        JSON of topics and their words, as for noria ship monitor; those that sources.toml names unless told.
    names
        People, organisations and products with their aliases, as for noria ship monitor.
    aspects
        Aspects with words or examples, as for noria ship monitor.
    """
    from contextlib import ExitStack

    from noria.apps.monitor.notify.settings import SECTIONS
    from noria.apps.monitor.sources.delivery import Delivery
    from noria.apps.monitor.sources.inbox import Inbox
    from noria.apps.monitor.sources.listing import read_listing
    from noria.apps.monitor.sources.watching import Watching
    from noria.apps.serving import Models, open_monitor
    from noria.core.errors import SettingError
    from noria.core.progress import Report
    from noria.core.settings import read_toml
    from noria.text.personal_data import mask

    listing = read_listing(sources)
    url = server or ("" if models else listing.monitor.server)
    folders = models or (() if server else listing.monitor.models)
    if bool(url) == bool(folders):
        raise SettingError(message("watch.models_or_server"), hint=message("watch.models_or_server_hint"))
    if url and any(name in read_toml(sources) for name in SECTIONS):
        raise SettingError(message("notify.elsewhere"), found=url, hint=message("notify.elsewhere_hint"))
    with ExitStack() as stack:
        kept = Inbox(inbox or sources.with_suffix(".inbox"), lambda text: mask(text)[0])
        stack.callback(kept.close)
        if not url:
            chosen = {"models": folders, "topics": topics or listing.monitor.topics, "names": names, "aspects": aspects}
            opened = Models()
            app = open_monitor(OpinionSettings.make(**chosen, notify=sources, watch=watch.model_dump()), opened)
            place = {**listing.server.model_dump(exclude_unset=True), **settings.model_dump(exclude_unset=True)}
            shown = Shown(sources.absolute().parent if console else None)
            serving = noria.serve(
                *opened.folders,
                apps=[app],
                background=True,
                prepare=shown.prepare,
                settings=ServerSettings.make(**place),
            )
            running = stack.enter_context(serving)
            url, key = running.url, running.key
            shown.announce(url, None)
        delivery = Delivery(url, key)
        stack.callback(delivery.close)
        delivery.check()
        watching = Watching(listing.source, kept, delivery)
        stack.callback(watching.close)
        watching.run(Report.for_terminal(as_json=json), once=once)
    return 0


def brief(
    out: Path | None = None,
    *,
    server: str = "http://localhost:8400",
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    day: str = "",
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=31))] = 1,
    zone: str = "UTC",
    language: Literal["en", "zh"] | None = None,
    phrased: Annotated[bool, Parameter(negative="")] = False,
    dry_run: DryRun = False,
) -> int:
    """The brief of a day of opinion monitoring, in sentences that each name their source: volume, stories, alerts, silent sources.

    Asks a monitor that runs. Written as a page, as Markdown or as JSON, by the file's ending; as Markdown on the terminal without one.

    Examples::

        noria ship brief brief.html --day 2026-11-29 --zone Asia/Shanghai --language zh
        noria ship brief --days 7 --server http://localhost:8400 --key $KEY

    Parameters
    ----------
    out
        File to write: .html, .md or .json.
    server
        Address of the server on which the monitor runs.
    key
        A key of that server.
    day
        The last day, as in 2026-11-29; the last 24 hours unless told.
    days
        How many days it tells of.
    zone
        Time zone of the days and of all times.
    language
        Language of the sentences; that of the terminal unless told.
    phrased
        With a served decoder's words for it, as far as the sentences carry them.
    """
    from noria.apps.monitor.sources.delivery import Delivery
    from noria.core.errors import SettingError
    from noria.core.folder import write_bytes
    from noria.core.messages import environment_language

    forms = {".html": "html", ".md": "markdown", ".json": "json"}
    if out is not None and out.suffix not in forms:
        raise SettingError(message("notify.form"), found=out.name, allowed=forms)
    if dry_run:
        return dry.show(dry.Plan({}, out=out, sends=message("dry.brief", server=server, days=days, zone=zone)))
    delivery = Delivery(server, key)
    try:
        asked = {"day": day, "days": days, "zone": zone, "language": language or environment_language()}
        page = delivery.brief(form=forms[out.suffix] if out else "markdown", phrased=phrased, **asked)
    finally:
        delivery.close()
    if out is None:
        print(page.decode(), end="")
    else:
        write_bytes(out, page)
        print(for_terminal(message("notify.written", out=out)))
    return 0


class Shown:
    """What a command that serves shows: the console, where it is wished, and on stderr where it is and what its owner should know.

    Args:
        console: the folder whose results the console shows; no console where None.
    """

    def __init__(self, console: Path | None) -> None:
        self._console = console
        self._page: FastAPI | None = None

    def prepare(self, page: FastAPI) -> None:
        """Add the console to a server that has not started."""
        self._page = page
        if self._console is not None:
            from noria.console.mount import mount

            mount(page, page.state.noria, self._console)

    def announce(self, url: str, key: str | None) -> None:
        """Say where the server is, the admin key of its first start, a link into the console, and the notes of its applications."""
        from noria.api.serving import print_address

        print_address(url, key)
        assert self._page is not None
        lines = [
            f"note: {for_terminal(note)}" for app in self._page.state.noria.apps for note in getattr(app, "notes", ())
        ]
        if self._console is not None:
            from noria.console.mount import sign_in_link

            lines.insert(0, for_terminal(message("watch.console", link=sign_in_link(self._page, url))))
        for line in lines:
            print(line, file=sys.stderr, flush=True)


def serve_application(application: App, models: Models, settings: ServerSettings, console: Path | None = None) -> int:
    """Serve one application and its models until Ctrl-C or SIGTERM, with the console where it is wished; return the exit code."""
    shown = Shown(console)
    ended = noria.serve(
        *models.folders, apps=[application], settings=settings, prepare=shown.prepare, announce=shown.announce
    )
    return exit_code(ended)


def exit_code(ended: object) -> int:
    """Return the exit code of a server that a signal ended."""
    return 130 if ended == signal.SIGINT else 0
