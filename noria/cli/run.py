"""`noria run`: walk the stages of a TOML file, do again only what changed, resume what was cut off."""

from __future__ import annotations

from pathlib import Path

import noria

from .manners import Commands, report

app = Commands(name="run")


@app.default
def run(
    file: Path,
    /,
    *,
    redo: tuple[str, ...] = (),
) -> object:
    """Walk the stages of a TOML file; do again only what changed, and resume what was cut off.

    A section is a stage. Its keys are the flags of the command of `noria build`
    that it stands for: the one of its own name, or that which `do` names. A path
    that begins with the name of a stage above is that stage's result. A stage is
    done again when its keys, or what it reads, have other content than before.

    Examples::

        noria run noria.toml
        noria run noria.toml --redo intents

    Parameters
    ----------
    file
        The TOML file; its paths are relative to where it lies.
    redo
        Stages to run again although nothing changed.
    """
    return noria.run(file, redo=redo, progress=report())
