"""`noria new`: a folder to begin with: an application's settings, small examples, and a page that says what to do."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from noria.core.errors import InputError, plain_errors, unknown
from noria.core.messages import environment_language, message

from .manners import Commands, print_message

APPLICATIONS = Path(__file__).resolve().parents[1] / "apps"
STARTER = "starter"
"""Folder of an application that holds, by language, the files of a new folder. What has one can be begun."""

app = Commands(name="new")


@app.default
def new(folder: Path, /, *, application: Annotated[str, Parameter(name="--app")]) -> None:
    """Make a folder to begin with: settings, small examples in your language, and a README.md that says what to do.

    A folder that holds anything is left as it is.

    Examples::

        noria new desk --app support
        noria new shop --app recommend
        noria new watch --app monitor

    Parameters
    ----------
    folder
        The folder to make.
    application
        What it is for: support, customer service; recommend, a shop's recommender; monitor, opinion monitoring.
    """
    known = sorted(path.parent.name for path in APPLICATIONS.glob(f"*/{STARTER}"))
    if application not in known:
        raise unknown("application", application, known)
    begin(APPLICATIONS / application / STARTER / environment_language(), folder)
    print_message(message("lines.began", folder=folder, page=folder / "README.md"))


def begin(starter: Path, folder: Path) -> None:
    """Copy a starter to a folder, whole or not at all.

    Raises:
        InputError: there is a file of that name, or a folder that holds something.
        ResourceError: the disk is full or cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(message("commands.not_empty"), found=str(folder), allowed=message("commands.new_name"))
    with plain_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            shutil.copytree(starter, work, dirs_exist_ok=True, copy_function=shutil.copyfile)
            for path in (work, *work.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            work.replace(folder)  # also onto an empty folder
        finally:
            shutil.rmtree(work, ignore_errors=True)
