"""`noria demo`: the whole wheel, once, on bundled real text; then the console."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from noria.cli.manners import Commands, report

from .settings import DemoSettings

app = Commands(name="demo")


@app.default
def demo(
    *,
    settings: Annotated[DemoSettings, Parameter(name="*")] = DemoSettings(),
    redo: tuple[str, ...] = (),
) -> int:
    """Turn the whole wheel once on bundled real text, then open the console.

    Parameters
    ----------
    redo
        Stages to run again although they are done: corpus, pretrain, base, sentiment, entities, compress, ship, grow.
    """
    from .runner import turn

    return turn(settings, report(), redo=redo)
