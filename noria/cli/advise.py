"""`noria build advise`: what a fine-tuning would take, before it is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import noria
from noria.make.training.settings import FinetuneSettings, RowSettings

from .files import SettingsFile, settings_given, with_columns
from .manners import report
from .tune import OPTIONS


def advise(
    task: str,
    *,
    train: Path,
    base: Path | None = None,
    valid: Path | None = None,
    many: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[dict[str, str] | None, Parameter(help=OPTIONS)] = None,
    text_column: str | None = None,
    label_column: str | None = None,
    file: SettingsFile = None,
    reading: Annotated[RowSettings, Parameter(name="*")] = RowSettings(),
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
) -> object:
    """Say what a fine-tuning would take here, and what it has to beat; nothing is trained, and nothing is written.

    Rows are read, a step is timed on some of them, and what learns is chosen as
    the run itself would: minutes, epochs, memory, and the score of the light
    baseline on valid rows, with its interval.

    Examples::

        noria build advise classify --base base --train 客服.csv --minutes 5
        noria build advise tag --base base --train t.jsonl --recipe full

    Parameters
    ----------
    task
        As of `noria build finetune`.
    train
        Rows to learn from: JSON Lines, CSV, Excel, Parquet and the like.
    base
        Folder of a pretrained model; numeric needs none.
    valid
        Rows that choose the weights; without them a share of the training rows is set aside.
    many
        A text may have several labels, or none.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    file
        A TOML file whose section [finetune] holds settings; flags stand above it.
    """
    return noria.advise(
        task,
        train=train,
        base=base,
        valid=valid,
        many=many,
        options=options,
        settings=settings_given(file, with_columns(reading, text_column, label_column), settings),
        progress=report(),
    )
