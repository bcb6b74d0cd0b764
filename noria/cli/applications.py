"""`noria ship monitor | recommend`: one application on its models."""

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
    """Opinion monitoring: topic, sentiment and entities of a stream of texts; a surge of negatives raises an alert.

    Serves POST /v1/apps/monitor/texts until Ctrl-C. Windows and alerts lie in the lake and outlive the server.

    Examples::

        noria ship monitor runs/demo/sentiment-served runs/demo/entities-served
        noria ship monitor runs/demo/sentiment-served --topics phones.json --watch.window-minutes 15

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
