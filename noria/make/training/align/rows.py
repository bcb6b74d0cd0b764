"""Judged answers: files of pairs, thumbs or questions, or the feedback that lies in a server's lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from noria.core.errors import InputError, SettingError
from noria.core.messages import message
from noria.core.progress import Report
from noria.make.corpus.collect import thumbs_in
from noria.make.training.finetune.rows import MOST_VALID
from noria.make.training.settings import ReadSettings
from noria.tasks.preferences import Pairs, Preferences, Questions, Thumbs
from noria.tasks.task import Row, read_rows
from noria.text.records import read_records

from .settings import AlignSettings

LEAST_ASIDE = 4
"""Questions whose rows judge at least: an interval over fewer says nothing."""
KINDS: dict[str, type[Preferences]] = {"dpo": Pairs, "kto": Thumbs, "grpo": Questions}
"""Method -> the rows that it learns from."""


def judged_rows(file: Path, settings: AlignSettings, reading: ReadSettings, report: Report) -> tuple[str, list[Row]]:
    """Return the method, dpo, kto or grpo, and the rows.

    Args:
        file: of rows, or a lake.
        settings: where the method is auto, the rows decide, or a reward that is named.
        reading: columns and bad rows.
        report: where skipped rows are reported.

    Raises:
        InputError, RowError: a file cannot be used.
        SettingError: the method does not fit.
    """
    if file.is_dir():
        if settings.method not in ("auto", "kto"):
            raise SettingError(message("make.align_lake"), found=settings.method, allowed="kto")
        rows = [Thumbs().check(row, file=file) for row in thumbs_in(file, report)]
        return "kto", _enough(rows, "kto", file)
    method = settings.method if settings.method != "auto" else _method_of(file, settings)
    if method == "grpo" and settings.reward is None:
        raise SettingError(message("make.align_reward"), hint=message("make.align_reward_hint"))
    rows = read_rows(file, KINDS[method](), skip_bad=reading.skip_bad_rows, report=report, columns=reading.columns)
    return method, _enough(rows, method, file)


def _method_of(file: Path, settings: AlignSettings) -> str:
    first: Mapping[str, Any] = next((row for _, row in read_records(file) if isinstance(row, dict)), {})
    if "chosen" in first and "rejected" in first:
        return "dpo"
    if any(name in first for name in ("label", "thumb", "liked", "value")):
        return "kto"
    if settings.reward is not None:
        return "grpo"
    raise InputError(
        message("make.align_rows", file=file), found=", ".join(first), allowed=message("make.align_rows_allowed")
    )


def _enough(rows: Sequence[Row], method: str, file: Path) -> list[Row]:
    """Return rows of thumbs of both kinds, or any others.

    Raises:
        InputError: all thumbs are of one kind: nothing is compared.
    """
    if method == "kto" and len({row["label"] for row in rows}) < 2:
        raise InputError(
            message("make.align_one_kind", file=file, rows=len(rows)), hint=message("make.align_both_kinds")
        )
    return list(rows)


def held_out(rows: Sequence[Row], share: float, *, seed: int, file: Path) -> tuple[list[Row], list[Row]]:
    """Return the rows to learn from and about that share of them to judge by; what was asked alike stays on one side.

    Raises:
        InputError: nearly everything was asked alike.
    """
    asked = ["\n".join(turn["content"] for turn in row["messages"]) for row in rows]
    # By hashes, so that more rows leave nearly all of the others where they were; of a few rows some judge all the same.
    order = sorted(set(asked), key=lambda one: xxhash.xxh3_64_intdigest(one.encode(), seed=seed & 0xFFFFFFFF))
    least = min(LEAST_ASIDE, len(order) // 2)
    aside = set(order[: max(least, round(min(share, MOST_VALID / len(rows)) * len(order)))])
    learned = [row for row, one in zip(rows, asked, strict=True) if one not in aside]
    judging = [row for row, one in zip(rows, asked, strict=True) if one in aside]
    if len(learned) < 2 or len(judging) < 2:
        raise InputError(
            message("make.too_few", file=file),
            found=message("make.rows_them", rows=len(rows), groups=len(set(asked))),
            hint=message("make.give_more"),
        )
    return learned, judging
