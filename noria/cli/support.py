"""`noria ship support`: customer service on an embedding model, or one question answered here and no server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.server.http.settings import ServerSettings

from .applications import Server, serve_application

if TYPE_CHECKING:
    import numpy as np

    from noria.infer.engine import Engine

Flag = Annotated[bool, Parameter(negative="")]

app = App(name="support")


@app.default
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
        A file of questions and answers in any format of rows and any languages: columns question and answer, similar questions in further columns or rows; or {"id", "questions", "paraphrases", "test", "answer"} by language.
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
    return serve_application([model], application, settings)


async def _answer(application: Any, model: Path, ask: Sequence[str], judge: bool) -> None:
    from noria.apps.support.judging import judge as judged
    from noria.apps.support.opening import open_desk
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
