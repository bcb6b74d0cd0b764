"""`noria new`: a folder to begin with: an application's settings, small examples, and a page that says what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from noria.core.errors import InputError, plain_errors, unknown
from noria.core.messages import environment_language, message

from .manners import Commands, print_message

APPLICATIONS = Path(__file__).resolve().parents[1] / "apps"
STARTER = "starter"
"""Folder of an application that holds, by language, the files of a new folder. What has one can be begun."""

ORDER = ("support", "monitor", "recommend")
"""Of applications in the files that several share."""

app = Commands(name="new")


@app.default
def new(
    folder: Path,
    /,
    *,
    applications: Annotated[tuple[str, ...], Parameter(name="--app", negative="")] = (),
) -> None:
    """Make a folder to begin with: settings, small examples in your language, and a README.md that says what to do.

    Of several applications each has a folder of its own, and noria.toml says what one server serves. A folder that holds
    anything is left as it is.

    Examples::

        noria new desk --app support
        noria new shop --app recommend
        noria new watch --app monitor
        noria new team                                 all of them on one server
        noria new team --app support --app monitor

    Parameters
    ----------
    folder
        The folder to make.
    applications
        What it is for: support, customer service; recommend, a shop's recommender; monitor, opinion monitoring. All of them
        where none is named.
    """
    known = sorted(path.parent.name for path in APPLICATIONS.glob(f"*/{STARTER}"))
    for name in applications:
        if name not in known:
            raise unknown("application", name, known)
    chosen = [name for name in ORDER if name in (applications or known)]
    language = environment_language()
    starters = {name: APPLICATIONS / name / STARTER / language for name in chosen}
    if len(chosen) == 1:
        begin({"": starters[chosen[0]]}, {}, folder)
    else:
        parts = APPLICATIONS / STARTER / language
        page = [parts / f"{name}.md" for name in ("head", *chosen, "tail")]
        file = [parts / f"{name}.toml" for name in ("head", *chosen)]
        begin(starters, {"README.md": page, "noria.toml": file}, folder)
    print_message(message("lines.began", folder=folder, page=folder / "README.md"))


def begin(starters: Mapping[str, Path], joined: Mapping[str, Sequence[Path]], folder: Path) -> None:
    """Copy starters to a folder, whole or not at all.

    Args:
        starters: folder within it -> what is copied there.
        joined: file within it -> the parts that it is made of.
        folder: the folder to make.

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
            for name, starter in starters.items():
                shutil.copytree(starter, work / name, dirs_exist_ok=True, copy_function=shutil.copyfile)
            for name, parts in joined.items():
                (work / name).write_text("".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
            for path in (work, *work.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            work.replace(folder)  # also onto an empty folder
        finally:
            shutil.rmtree(work, ignore_errors=True)
