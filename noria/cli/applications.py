"""`noria ship monitor | watch | recommend`: one application on its models, and what feeds it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import noria
from noria.apps.settings import RecommendSettings, WatchSettings
from noria.server.http.settings import ServerSettings

if TYPE_CHECKING:
    from noria.server.http.state import App

Server = Annotated[ServerSettings, Parameter(name="*")]


def monitor(
    sentiment: Path,
    entities: Path | None = None,
    *,
    topics: Path | None = None,
    watch: Annotated[WatchSettings, Parameter(name="watch")] = WatchSettings(),
    settings: Server = ServerSettings(),
) -> int:
    """Opinion monitoring: topic, sentiment and entities of a stream of texts; a surge, or a source that falls silent, raises an alert.

    Serves POST /v1/apps/monitor/texts until Ctrl-C. Windows and alerts lie in the lake and outlive the server.

    Examples::

        noria ship monitor runs/demo/sentiment-served runs/demo/entities-served
        noria ship monitor runs/demo/sentiment-served --topics phones.json --watch.false-alarms-a-week 2

    Parameters
    ----------
    sentiment
        Folder of a model for the task classify with a label "negative".
    entities
        Folder of a model for the task tag.
    topics
        JSON of {"topic": {"title": {"en", "zh"}, "words": [...]}}; reviews of hotels, books, computers and the like unless told.
    """
    from noria.api.serving import monitor as application

    return serve_application([sentiment, *([entities] if entities else [])], application(watch, topics), settings)


def watch(
    sources: Path,
    *models: Path,
    server: str = "",
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    inbox: Path | None = None,
    once: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    topics: Path | None = None,
    watch: Annotated[WatchSettings, Parameter(name="watch")] = WatchSettings(),
    settings: Server = ServerSettings(),
) -> int:
    """Opinion monitoring of real sources: feeds, articles, files that grow and mailboxes, round after round until Ctrl-C.

    What comes goes through an inbox on the disk to the monitor, which is started here or runs elsewhere; after a kill the
    same command goes on, with no text lost or counted twice. A line a round says what was new, what was set aside and why,
    and which source fails or is silent.

    Examples::

        noria ship watch sources.toml runs/demo/sentiment-served runs/demo/entities-served
        noria ship watch sources.toml --server http://localhost:8400 --key $KEY
        noria ship watch sources.toml --once                    models or server as sources.toml names them; for cron

    Parameters
    ----------
    sources
        The list of sources; see docs/monitor-sources.md.
    models
        Model folders for the tasks classify (with a label "negative"), tag and embed; those that sources.toml names unless told.
    server
        Address of a server on which the monitor runs; that which sources.toml names unless told.
    key
        A key of that server.
    inbox
        Folder of the inbox; beside sources.toml, with the ending .inbox, unless told.
    once
        Ask every source once, deliver what it gives, and end.
    json
        Write every round as a JSON line, for programs.
    topics
        JSON of topics and their words, as for noria ship monitor.
    """
    from contextlib import ExitStack

    from noria.api.serving import monitor as application
    from noria.api.serving import print_address
    from noria.apps.monitor.sources.delivery import Delivery
    from noria.apps.monitor.sources.inbox import Inbox
    from noria.apps.monitor.sources.listing import read_listing
    from noria.apps.monitor.sources.watching import Watching
    from noria.core.errors import SettingError
    from noria.core.messages import message
    from noria.core.progress import Report
    from noria.text.personal_data import mask

    listing = read_listing(sources)
    url = server or ("" if models else listing.monitor.server)
    folders = models or (() if server else listing.monitor.models)
    if bool(url) == bool(folders):
        raise SettingError(message("watch.models_or_server"), hint=message("watch.models_or_server_hint"))
    with ExitStack() as stack:
        kept = Inbox(inbox or sources.with_suffix(".inbox"), lambda text: mask(text)[0])
        stack.callback(kept.close)
        if not url:
            made = noria.serve(
                *folders, apps=[application(watch, topics, embeddings=True)], background=True, settings=settings
            )
            running = stack.enter_context(made)
            url, key = running.url, running.key
            print_address(url, None)
        delivery = Delivery(url, key)
        stack.callback(delivery.close)
        delivery.check()
        watching = Watching(listing.source, kept, delivery)
        stack.callback(watching.close)
        watching.run(Report.for_terminal(as_json=json), once=once)
    return 0


def recommend(
    model: Path,
    items: Path | None = None,
    *,
    most: int | None = None,
    shelf: Annotated[RecommendSettings, Parameter(name="shelf")] = RecommendSettings(),
    settings: Server = ServerSettings(),
) -> int:
    """Recommendation by text: what is near to what a reader opened lately, diverse, with a share left to chance.

    Serves POST /v1/apps/recommend/pick until Ctrl-C. What readers did is read from the lake at the next start.

    Examples::

        noria ship recommend runs/demo/embed-served runs/demo/corpus/news/test.jsonl
        noria ship recommend runs/demo/embed-served products.jsonl --shelf.chance 0.2 --shelf.most-items 100000

    Parameters
    ----------
    model
        Folder of a model for the task embed.
    items
        File of items: id, text and title, in JSON Lines, CSV, Excel and the like; POST /v1/apps/recommend/items adds more.
    most
        Take only the first so many of them.
    """
    import sys

    from noria.apps.recommend.items import read_items
    from noria.apps.recommend.routes import Recommend

    read = read_items(items, most, lambda said: print(f"noria: {said}", file=sys.stderr)) if items else ()
    return serve_application([model], Recommend(read, settings=shelf), settings)


def serve_application(models: Sequence[Path], application: App, settings: ServerSettings) -> int:
    """Serve models with one application until Ctrl-C or SIGTERM; return the exit code."""
    import signal

    from noria.api.serving import print_address

    def announce(url: str, key: str | None) -> None:
        print_address(url, key)
        for note in getattr(application, "notes", ()):
            print(f"note: {note}", file=sys.stderr, flush=True)

    return 130 if noria.serve(*models, apps=[application], announce=announce, settings=settings) == signal.SIGINT else 0
