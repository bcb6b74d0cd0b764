"""What flags were once called: older spellings go on, with a note that says the present one.

as_spelled_now(["build", "pretrain", "corpus", "--seconds", "600"])      # [..., "--minutes", "10"], and a note on stderr
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noria.core.messages import for_terminal, message


@dataclass(frozen=True)
class Now:
    """How something is said now."""

    flag: str
    """The flag of today; empty for what is given by its place."""
    divisor: float = 1.0
    """By what an older value is divided."""


MINUTES = 60.0
PLACE = Now("")
OLDER: Mapping[tuple[str, ...], Mapping[str, Now]] = {
    ("build", "clean"): {"--valid": Now("--valid-share"), "--test": Now("--test-share")},
    ("build", "pretrain"): {"--seconds": Now("--minutes", MINUTES)},
    ("demo",): {"--pretrain-seconds": Now("--pretrain-minutes", MINUTES)},
    ("build", "collect"): {"--model": Now("--model-name")},
    ("build", "base"): {"--name": PLACE},
    ("new",): {"--folder": PLACE},
    ("doctor",): {"--folder": PLACE},
    ("run",): {"--file": PLACE},
    ("ship", "verify"): {"--name": Now("--model-name"), "--rows": Now("--texts")},
    ("ship", "remote"): {"--model": Now("--model-name")},
    ("ship", "versions"): {"--url": Now("--server")},
    ("ship", "recommend", "export"): {"--url": Now("--server")},
    ("ship", "key", "make"): {"--name": PLACE},
    ("ship", "key", "rotate"): {"--key": PLACE},
    ("ship", "key", "revoke"): {"--key": PLACE},
    ("grow", "share"): {"--split": Now("--market-column"), "--series": PLACE},
    ("grow", "forecast"): {"--series": PLACE},
    ("grow", "answers", "show"): {"--series": Now("--out")},
    ("grow", "promote", "experiment"): {"--within": Now("--within-users")},
    ("grow", "promote", "plan"): {"--file": Now("--settings")},
}
"""Words of a command -> flag of once -> how it is said now."""


def as_spelled_now(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with older flags in the spelling of today; each is noted once, on stderr.

    A value that is no number stays as it is, for the command to refuse.
    """
    command = next((words for words in OLDER if tuple(arguments[: len(words)]) == words), ())
    older, given = OLDER.get(command, {}), list[str]()
    divisor = 1.0
    for argument in arguments:
        flag, joint, value = argument.partition("=")
        now = older.get(flag)
        if now is None:
            given.append(_divided(argument, divisor))
            divisor = 1.0
            continue
        _note(flag, now, quiet=bool({"--quiet", "--json"} & set(arguments)))
        value = _divided(value, now.divisor)
        given += [f"{now.flag}={value}"] if joint and now.flag else [value] if joint else [now.flag] if now.flag else []
        divisor = 1.0 if joint else now.divisor
    return given


def _divided(value: str, divisor: float) -> str:
    try:
        return value if divisor == 1 else f"{float(value) / divisor:.12g}"
    except ValueError:
        return value


def _note(flag: str, now: Now, *, quiet: bool) -> None:
    if not quiet:
        note = (
            message("errors.spelled_now", old=flag, new=now.flag) if now.flag else message("errors.by_place", old=flag)
        )
        print(for_terminal(message("lines.note_alone", note=note)), file=sys.stderr)
