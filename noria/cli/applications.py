"""`noria ship monitor | watch | brief`: one application on its models, what feeds it, and what it tells."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

import noria
from noria.apps.settings import WatchSettings
from noria.core.messages import for_terminal, message
from noria.server.http.settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from noria.api.serving import Server as RunningServer
    from noria.server.http.state import App

Server = Annotated[ServerSettings, Parameter(name="*")]


def monitor(
    sentiment: Path,
    entities: Path | None = None,
    *,
    topics: Path | None = None,
    names: Path | None = None,
    aspects: Path | None = None,
    entity_sentiment: Path | None = None,
    aspect_model: Path | None = None,
    notify: Path | None = None,
    watch: Annotated[WatchSettings, Parameter(name="watch")] = WatchSettings(),
    settings: Server = ServerSettings(),
) -> int:
    """Opinion monitoring: topic, sentiment and entities of a stream of texts; a surge, or a source that falls silent, raises an alert.

    Serves POST /v1/apps/monitor/texts until Ctrl-C. Windows and alerts lie in the lake and outlive the server.

    Examples::

        noria ship monitor runs/demo/sentiment-served runs/demo/entities-served
        noria ship monitor runs/demo/sentiment-served --topics phones.json --watch.false-alarms-a-week 2
        noria ship monitor runs/demo/sentiment-served --notify subscriptions.toml
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
    """
    from noria.api.serving import monitor as application

    models = [one for one in (sentiment, entities, entity_sentiment, aspect_model) if one]
    judge = entity_sentiment.resolve().name if entity_sentiment else None
    made = application(watch, topics, names=names, aspects=aspects, entity_sentiment=judge, notify=notify)
    return serve_application(models, made, settings)


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
    settings: Server = ServerSettings(),
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

    from noria.api.serving import monitor as application
    from noria.apps.monitor.notify.settings import SECTIONS
    from noria.apps.monitor.sources.delivery import Delivery
    from noria.apps.monitor.sources.inbox import Inbox
    from noria.apps.monitor.sources.listing import read_listing
    from noria.apps.monitor.sources.watching import Watching
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
            chosen = topics or listing.monitor.topics
            app = application(watch, chosen, names=names, aspects=aspects, embeddings=True, notify=sources)
            root = sources.absolute().parent if console else None
            running = stack.enter_context(serving(folders, app, settings, root))
            url, key = running.url, running.key
            print_notes(app)
        delivery = Delivery(url, key)
        stack.callback(delivery.close)
        delivery.check()
        watching = Watching(listing.source, kept, delivery)
        stack.callback(watching.close)
        watching.run(Report.for_terminal(as_json=json), once=once)
    return 0


@contextmanager
def serving(
    models: Sequence[Path], application: App, settings: ServerSettings, console: Path | None
) -> Iterator[RunningServer]:
    """Serve models with one application beside what feeds it, and say where.

    Args:
        models: their folders.
        application: which of them answer.
        settings: where it is served.
        console: the folder whose results the console shows; no console where None.
    """
    from noria.api.serving import print_address

    pages: list[FastAPI] = []

    add = console_of(console)

    def prepare(page: FastAPI) -> None:
        if add is not None:
            add(page)
            pages.append(page)

    with noria.serve(*models, apps=[application], background=True, prepare=prepare, settings=settings) as running:
        print_address(running.url, None)
        for page in pages:
            from noria.console.mount import sign_in_link

            print(
                for_terminal(message("watch.console", link=sign_in_link(page, running.url))),
                file=sys.stderr,
                flush=True,
            )
        yield running


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


def console_of(root: Path | None) -> Callable[[FastAPI], None] | None:
    """Return what adds the console to a server, with the results of the run in a folder; None where no folder is given."""
    if root is None:
        return None

    def prepare(application: FastAPI) -> None:
        from noria.console.mount import mount

        mount(application, application.state.noria, root)

    return prepare


def serve_application(
    models: Sequence[Path], application: App, settings: ServerSettings, console: Path | None = None
) -> int:
    """Serve models with one application until Ctrl-C or SIGTERM, with the console where it is wished; return the exit code."""
    import signal

    from noria.api.serving import print_address

    def announce(url: str, key: str | None) -> None:
        print_address(url, key)
        print_notes(application)

    told = noria.serve(*models, apps=[application], announce=announce, prepare=console_of(console), settings=settings)
    return 130 if told == signal.SIGINT else 0


def print_notes(application: App) -> None:
    """Say on stderr what the owner of an application should know at its start."""
    for note in getattr(application, "notes", ()):
        print(f"note: {for_terminal(note)}", file=sys.stderr, flush=True)
