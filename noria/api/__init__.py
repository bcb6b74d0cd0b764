"""The Python API: one function for each command, its settings as keyword arguments, its result a typed object.

What `import noria` gives by name is loaded from here when it is first asked for; commands, `noria run`, the demo and the
console call the same functions.
"""

from __future__ import annotations

from . import promote
from .answers import Predictor, load
from .finetuning import crossvalidate, finetune, search
from .grow import forecast, report, share, users
from .make import base, clean, collect, compress, evaluate, pretrain, tokenizer
from .run import run
from .serving import serve

__all__ = [
    "Predictor",
    "base",
    "clean",
    "collect",
    "compress",
    "crossvalidate",
    "evaluate",
    "finetune",
    "forecast",
    "load",
    "pretrain",
    "promote",
    "report",
    "run",
    "search",
    "serve",
    "share",
    "tokenizer",
    "users",
]
