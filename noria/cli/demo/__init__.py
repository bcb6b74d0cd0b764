"""`noria demo`: the whole wheel, once, on bundled real text; then the console."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from noria.core.progress import Report

from .settings import DemoSettings


def demo(*, settings: Annotated[DemoSettings, Parameter(name="*")] = DemoSettings(), json: bool = False) -> int:
    """Turn the whole wheel once on bundled real text, then open the console.

    Corpus, pretraining, fine-tuning, evaluation, compression, serving, growth: the same public functions you would call,
    in stages that go on from where they were killed. About 13 minutes and 6 GiB on 2 cores; the results stay in runs/demo.

    Examples::

        noria demo                        everything, then the console on http://127.0.0.1:8400/console
        noria demo --no-serve             everything, then stop
        noria demo --quick --no-serve     small budgets, in about three minutes
        noria demo --sentiment-minutes 10 a longer fine-tuning; the stages before it are kept

    Parameters
    ----------
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    from .runner import turn

    return turn(settings, Report.for_terminal(as_json=json))
