"""`noria ship support | monitor | recommend`: one application on its models, or one question answered and no server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import noria
from noria.apps.settings import RecommendSettings, WatchSettings
from noria.core.errors import SettingError
from noria.core.messages import message
from noria.server.http.settings import ServerSettings

if TYPE_CHECKING:
    import numpy as np

    from noria.infer.engine import Engine
    from noria.server.http.state import App

Flag = Annotated[bool, Parameter(negative="")]
Server = Annotated[ServerSettings, Parameter(name="*")]


def support(
    model: Path,
    *,
    faq: Path | None = None,
    outside: Path | None = None,
    ask: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    judge: Flag = False,
    settings: Server = ServerSettings(),
) -> int:
    """Customer service: answer from a list of questions, ask back, or hand over to a person, by calibrated confidence.

    Serves POST /v1/apps/support/ask until Ctrl-C; with --ask or --judge it answers here and starts no server. Without --faq
    it answers questions on Noria itself, in Chinese and English.

    Examples::

        noria ship support runs/demo/embed-served
        noria ship support runs/demo/embed-served --ask "怎么安装？" --ask "Do I need a GPU?"
        noria ship support runs/demo/embed-served --faq shop.jsonl --judge

    Parameters
    ----------
    model
        Folder of a model for the task embed.
    faq
        A file of {"question", "answer"} in any format of rows, or of {"id", "questions", "paraphrases", "test", "answer"} by language, zh or en or both.
    outside
        A file of {"text"}: questions that a person must answer, besides the bundled ones.
    ask
        A question to answer here and now.
    judge
        Say how well it does on the questions kept for judging.
    """
    import asyncio

    from noria.apps.support.faq import BUNDLED
    from noria.apps.support.routes import Support

    application = Support(None, faq or BUNDLED, outside)
    if ask or judge:
        asyncio.run(_answer(application, model, ask, judge))
        return 0
    return _serve([model], application, settings)


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

    return _serve([sentiment, *([entities] if entities else [])], application(watch, topics), settings)


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
    return _serve([model], Recommend(read, settings=shelf), settings)


def _serve(models: Sequence[Path], application: App, settings: ServerSettings) -> int:
    import signal

    from noria.api.serving import print_address

    def announce(url: str, key: str | None) -> None:
        print_address(url, key)
        for note in getattr(application, "notes", ()):
            print(f"note: {note}", file=sys.stderr, flush=True)

    return 130 if noria.serve(*models, apps=[application], announce=announce, settings=settings) == signal.SIGINT else 0


async def _answer(application: Any, model: Path, ask: Sequence[str], judge: bool) -> None:
    from noria.apps.support.desk import judge as judged
    from noria.apps.support.desk import open_desk
    from noria.infer.brought import model_folder
    from noria.infer.choose import open_engine

    engine = open_engine(model_folder(model))
    try:
        embed = _embedder(engine)
        desk = await open_desk(application.faq, embed)
        for note in desk.notes:
            print(f"note: {note}", file=sys.stderr)
        if ask:
            for question in ask:
                reply = await desk.ask(question, embed)
                print(f"{reply.action} ({reply.confidence:.2f}): {reply.text}")
        if judge:
            for figure in await judged(desk, embed):
                print(figure.text())
    finally:
        engine.close()


def _embedder(engine: Engine) -> Any:
    if engine.task.name != "embed":
        raise SettingError(
            message("commands.takes_model"), found=engine.task.name, allowed=message("commands.model_task")
        )

    async def embed(texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        from noria.infer.engine import answer

        return np.asarray([one["embedding"] for one in answer(engine, texts)], dtype=np.float32)

    return embed
