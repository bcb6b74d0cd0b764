"""The errors of Noria, one tree with one root.

    NoriaError
    ├── UserError              what the person can mend; exit code 2
    │   ├── SettingError       an unknown key, flag, command or stage, or a value out of its range
    │   ├── InputError         a file, a text or a request that cannot be used
    │   │   ├── RowError       one row of a file: names file, line and field
    │   │   └── InsufficientDataError      data in order, and not enough of it yet: a part of an answer says so and the rest stands
    │   ├── FolderError        a result's folder that is missing, cut short or altered
    │   ├── PackageError       an ordinary package, or a data file inside one, that is missing or altered
    │   └── ResourceError      a port, a disk, memory or a process the machine cannot give
    ├── Refused                a result that was judged and did not pass; exit code 3
    ├── Interrupted            Ctrl-C, exit code 130, or SIGTERM, 143
    └── InternalError          our fault; exit code 1

Every message says what was wrong, what was found, what is allowed and what to do, on one line:

    >>> str(SettingError("minutes is out of range", found=-1, allowed="0.1 to 600"))
    'minutes is out of range: found -1; allowed 0.1 to 600'
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .messages import Message, as_is, joined, message, term


class NoriaError(Exception):
    """Root of every error that Noria raises on purpose.

    Args:
        what: what was wrong, without a full stop.
        found: the offending value, shown shortened; left out of the message when not given.
        allowed: what would have been accepted, as a phrase or a list of names.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, found: object = None, allowed: str | Iterable[str] | None = None, hint: str | None = None
    ) -> None:
        self.what = what
        self.found = found
        self.allowed = allowed if isinstance(allowed, str) or allowed is None else ", ".join(allowed)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        return self.text("en")

    def text(self, language: str) -> str:
        """Return the error on one line, in a language as far as its parts are messages."""
        return " ".join(self.as_message()[language].split())

    def as_message(self) -> Message:
        """Return the error as a message, for what goes on without it and says why: a part of an answer, a page."""
        parts = []
        if self.found is not None:
            parts.append(message("errors.found", found=_shown(self.found)))
        if self.allowed:
            parts.append(message("errors.allowed", allowed=self.allowed))
        if self.hint:
            parts.append(as_is(self.hint) if not isinstance(self.hint, Message) else self.hint)
        what = self.what if isinstance(self.what, Message) else as_is(self.what)
        return message("errors.line", what=what, parts=joined("join.clauses", parts)) if parts else what


class UserError(NoriaError):
    """What the person at the keyboard, or the client of the server, can mend."""

    exit_code = 2


class SettingError(UserError):
    """An unknown key, flag, command or stage, or a value out of its range."""


class InputError(UserError):
    """A file, a text or a request that cannot be used."""


class InsufficientDataError(InputError):
    """Data that are in order, and not enough of them yet, such as a log's first day: nothing for the person to mend but to wait."""


class RowError(InputError):
    """One bad row of a file.

    Args:
        what: what was wrong with the row.
        file: the file's path, or a name for rows that come from memory.
        line: 1-based line number.
        field: the field at fault, when it is one.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | Path,
        line: int,
        field: str | None = None,
        found: object = None,
        allowed: str | Iterable[str] | None = None,
        hint: str | None = None,
    ) -> None:
        self.file, self.line, self.field, self.wrong = str(file), line, field, what
        place = {"file": str(file), "line": line, "what": what}
        told = message("errors.field", **place, field=field) if field else message("errors.row", **place)
        super().__init__(told, found=found, allowed=allowed, hint=hint)


class FolderError(UserError):
    """A result's folder that is missing, cut short or altered."""


class PackageError(UserError):
    """An ordinary package, or a data file inside one, that is missing or altered."""


class ResourceError(UserError):
    """A port, a disk, memory or a process that the machine cannot give."""


class Refused(NoriaError):  # noqa: N818 - a refusal is an answer, not a fault
    """A result that did not earn its certificate."""

    exit_code = 3


class Interrupted(NoriaError):  # noqa: N818 - the person's wish, not a fault
    """Ctrl-C or SIGTERM. What was finished is kept; the same command goes on from there. Of SIGTERM the exit code is 143."""

    exit_code = 130


class InternalError(NoriaError):
    """Our fault."""


def shorten(value: object, width: int = 80) -> str:
    """Return `value` as one short line, quoted if it is text; a long word, such as a path, without its middle: the name stands at its end."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    kept = 0 if " " in text else width // 2
    return text[: width - kept - 1] + "…" + text[len(text) - kept :]


def _shown(found: object) -> object:
    """Return what was found as an error shows it: quoted, short, and in the reader's language where it is a message."""
    short = isinstance(found, Message) and all(len(shorten(text)) < 80 for text in found.both().values())
    return message("join.quoted", text=found) if short else shorten(found)


RENAMED = {
    "seconds": "minutes",
    "pretrain_seconds": "pretrain_minutes",
    "split": "market_column",
    "valid": "valid_share",
    "test": "test_share",
}
"""Keys of settings of once -> their names now."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the known name that `name` most likely stands for, or None.

    >>> nearest("minuts", ["minutes", "seed"]), nearest("seconds", ["minutes", "seed"])
    ('minutes', 'minutes')
    """
    names = list(names)
    if RENAMED.get(name) in names:
        return RENAMED[name]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> Message | None:
    """Return the hint that names the known name nearest to `name`, or None where none is near."""
    close = nearest(name, names)
    return message("errors.did_you_mean", close=close) if close else None


def unknown(kind: str, name: str, names: Iterable[str]) -> SettingError:
    """Return the error for an unknown `kind` (key, flag, command, stage) called `name`."""
    names = sorted(names)
    return SettingError(
        message("errors.unknown", kind=term(kind)), found=name, allowed=names, hint=did_you_mean(name, names)
    )


_SYSTEM_CAUSES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "quota",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "not_permitted",
    errno.EADDRINUSE: "port",
    errno.EMFILE: "files",
    errno.ENOMEM: "memory",
}


_NO_MEMORY = ("can't allocate memory", "bad_alloc", "could not create a memory object")
"""How torch and the libraries below it say that memory ran out, in errors of no type of their own."""


def from_system(error: Exception) -> NoriaError | None:
    """Return the error to show for a fault of the operating system, or None where it is no one's plain fault."""
    cause = _SYSTEM_CAUSES.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        cause = "memory"
    if cause is None:
        return None
    file = getattr(error, "filename", None)
    return ResourceError(message(f"errors.system.{cause}"), found=file, hint=message("errors.system_hint"))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn faults of the operating system inside the block into `ResourceError`."""
    try:
        yield
    except OSError as error:
        plain = from_system(error)
        if plain is None:
            raise
        raise plain from error
