"""`noria demo`: the whole wheel, once, on bundled real text; then the console."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from noria.core.progress import Report

from .settings import DemoSettings

app = App(name="demo")


@app.default
def demo(
    *,
    settings: Annotated[DemoSettings, Parameter(name="*")] = DemoSettings(),
    redo: tuple[str, ...] = (),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Turn the whole wheel once on bundled real text, then open the console.

    Parameters
    ----------
    redo
        Stages to run again although they are done: corpus, pretrain, base, sentiment, entities, compress, ship, grow.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    from .runner import turn

    return turn(settings, Report.for_terminal(as_json=json), redo=redo)
