"""Which rankers a server of a lake ranks by: the live one, and one that is tried on a share of the users; changed while it serves.

    held = read_rollout(lake, given)            # `given` is what the settings name
    write_rollout(lake, held.trying(folder, 0.2, now))
    write_rollout(lake, held.promoted(now))     # or held.ended(now)

It is one file of the lake, written whole; a server that runs looks whether it changed. Where the settings name another ranker than
they did when it was written, it counts no more: whoever changes the settings has the last word.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from noria.core.errors import InputError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import message

What = Literal["trial", "promoted", "ended"]
KEPT = 100
"""Changes that are remembered."""


@dataclass(frozen=True)
class Change:
    """What became of a ranker."""

    time: str
    """UTC, ISO 8601."""
    what: What
    folder: str


@dataclass(frozen=True)
class Rollout:
    """What holds. Folders are absolute; empty: texts alone, or no trial."""

    given: str
    """The ranker that the settings named when this was written."""
    live: str
    trial: str = ""
    share: float = 0.0
    """Of the users, that the trial has."""
    since: str = ""
    """When the trial began, UTC, ISO 8601."""
    changes: tuple[Change, ...] = ()
    """The oldest first."""

    @property
    def folders(self) -> tuple[Path | None, Path | None]:
        """Return the folders of the live ranker and of the one on trial."""
        return Path(self.live) if self.live else None, Path(self.trial) if self.trial else None

    def trying(self, folder: Path, share: float, now: datetime) -> Self:
        """Return what holds when a ranker is tried on a share of the users."""
        return self._changed(now, "trial", str(folder.resolve()), trial=str(folder.resolve()), share=share)

    def promoted(self, now: datetime, folder: Path | None = None) -> Self:
        """Return what holds when a ranker is live: that on trial unless another is named."""
        live = str(folder.resolve()) if folder else self.trial
        return self._changed(now, "promoted", live, live=live, trial="", share=0.0)

    def ended(self, now: datetime) -> Self:
        """Return what holds when the trial is over, and the live ranker stays."""
        return self._changed(now, "ended", self.trial, trial="", share=0.0)

    def _changed(self, now: datetime, what: What, folder: str, **values: object) -> Self:
        time = now.isoformat(timespec="seconds")
        changes = (*self.changes, Change(time, what, folder))[-KEPT:]
        return replace(self, **{"since": time if what == "trial" else "", "changes": changes, **values})  # type: ignore[arg-type]


def file_of_rollout(lake: Path) -> Path:
    """Return where it lies."""
    return lake / "apps" / "recommend" / "ranker.json"


def stamp_of(file: Path) -> tuple[int, int] | None:
    """Return what tells one content of a file that is written whole from the next; None where there is none."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_ino


def read_rollout(lake: Path, given: Path | None) -> Rollout:
    """Return what holds: what was written last, unless the settings name another ranker since.

    Raises:
        InputError: the file cannot be read.
    """
    named, file = str(given.resolve()) if given else "", file_of_rollout(lake)
    if not file.exists():
        return Rollout(named, named)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        changes = tuple(Change(**one) for one in values.pop("changes"))
        held = Rollout(**values, changes=changes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(message("errors.unreadable", path=file), found=f"{type(error).__name__}: {error}") from None
    return held if held.given == named else Rollout(named, named, changes=held.changes)


def write_rollout(lake: Path, rollout: Rollout) -> None:
    """Write what holds from now on, whole or not at all."""
    with plain_errors():
        write_json(file_of_rollout(lake), asdict(rollout))
