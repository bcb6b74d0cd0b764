"""Noria: build a large model from your own text, ship it, and grow on what its users do.

    import noria

    noria.clean("reviews.jsonl", out="corpus")                                   # raw text -> corpus
    base = noria.base("e5-small", out="base", trim_to=["客服.csv"])               # a pretrained encoder, cut to your texts
    model = noria.finetune("classify", base=base, train="客服.csv", out="intents")  # figures and a baseline beside them
    model.load()("发票怎么开？")                                                  # {"label": ..., "score": ...}
    noria.serve("intents")                                                       # over HTTP, until Ctrl-C
    noria.users("runs/lake")                                                     # growth, retention, lifetime

Every function's settings are keyword arguments, paths are str or Path, and results tell their figures with n and interval.
Whatever is wrong with an argument is a `noria.core.errors.NoriaError` that names it and says what is allowed.
"""

from __future__ import annotations

import os
from typing import Any

__version__ = "0.1.0"

# Threads of a matrix product that wait for each other by spinning starve whatever else runs on two cores, and are starved
# by it: with busy neighbours a training step took ten times as long. Spinning shortly and then sleeping costs 5 % on a
# quiet machine. OpenMP reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

_PLACES = {
    "advise": "finetuning",
    "align": "finetuning",
    "answers": "answers",
    "base": "make",
    "clean": "make",
    "collect": "make",
    "compress": "make",
    "crossvalidate": "finetuning",
    "doctor": "doctor",
    "evaluate": "make",
    "finetune": "finetuning",
    "forecast": "grow",
    "load": "predictor",
    "pretrain": "make",
    "promote": "promote",
    "recommender": "finetuning",
    "report": "grow",
    "run": "run",
    "search": "finetuning",
    "serve": "serving",
    "share": "grow",
    "tokenizer": "make",
    "users": "grow",
    "verify": "verify",
}
"""Name -> the module of `noria.api` that holds it, or that it is."""
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'noria' has no attribute {name!r}")
    # Not before it is asked for: the command line and every test import this package.
    from importlib import import_module

    module = import_module(f"noria.api.{_PLACES[name]}")
    globals()[name] = found = getattr(module, name, module)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
