"""Few rows a label: first texts of one label are brought together by contrast, then a small head learns to name them.

8 rows a label are too few to tune an encoder by its labels, but make many pairs (Tunstall et al. 2022, "SetFit"). Pairs move
the first token's state, which is what a classifier reads, so the model stays one that plain transformers loads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.folder import MANIFEST, Source, is_up_to_date, new_folder, read_manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.make.models.feedforward import FeedForward
from noria.make.models.load import quiet_transformers
from noria.make.tokens.tokenizer import copy_tokenizer
from noria.make.training.loop.budget import Budget
from noria.make.training.parallel.processes import first_process_first
from noria.make.training.settings import FinetuneSettings
from noria.tasks.embed import pairs
from noria.tasks.task import Row, Task, task_for

from .examples import Examples
from .fit import fit
from .prepare import prepare_model
from .publish import lineage

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def wanted(task: Task, settings: FinetuneSettings) -> bool:
    """Return whether the rows are to be brought together first."""
    return bool(settings.body.pairs) and task.head == "sequence"


def contrast_first(
    task: Task,
    base: Path,
    rows: Sequence[Row],
    settings: FinetuneSettings,
    target: Path,
    report: Report,
    budget: Budget,
) -> Path:
    """Write an encoder that has been tuned by pairs of the rows, and return its folder; one that is there already is kept.

    Half of the time budget, or as many steps as are asked for, goes to the pairs.

    Args:
        task: classify; its rows have one label each.
        base: folder of a pretrained encoder.
        rows: {text, label}, of two labels or more.
        settings: `body.pairs` is how often a text is an anchor.
        target: the folder to write; an unfinished run lies beside it.
        report: where plan and progress are reported.
        budget: of the whole run.

    Raises:
        InputError: there are too few rows to draw pairs from.
    """
    sources = [*lineage(base), Source("training rows", fingerprint(list(rows)))]
    own = settings.replace(
        minutes=settings.minutes / 2, evaluations=1, body={**settings.body.model_dump(), "frozen": 0}
    )
    dump = own.model_dump(mode="json")
    if is_up_to_date(target, sources, dump):
        budget.begin_at(0.5)
        return target
    drawn = pairs(rows, settings.seed, settings.body.pairs)
    near = task_for("embed", prefix=task.prefix, pooling="cls")
    module, tokenizer = prepare_model(near, base, own)
    examples = Examples.of(near, tokenizer, drawn, own.length)
    report.plan(message("work.pairs", rows=len(rows), pairs=len(drawn)))
    work = target.with_name(f"{target.name}.work")
    fit(
        near,
        module,
        tokenizer,
        examples,
        None,
        work,
        own,
        report,
        identity=fingerprint([one.sha256 for one in sources]),
        budget=budget.until(0.5),
    )
    with first_process_first():
        if not is_up_to_date(target, sources, dump):
            _write(module, base, target, dump, sources)
    return target


def resting(base: Path, settings: FinetuneSettings) -> FinetuneSettings:
    """Return the settings of the head's training: all layers rest, and half of the time is left."""
    layers = json.loads((base / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    layers = min(layers, settings.body.layers or layers)
    body = {**settings.body.model_dump(), "frozen": layers, "layers": None}
    return settings.replace(
        minutes=settings.minutes / 2, learning_rate=settings.learning_rate and 10 * settings.learning_rate, body=body
    )


def _write(
    module: PreTrainedModel | FeedForward, base: Path, target: Path, settings: dict[str, Any], sources: list[Source]
) -> None:
    with new_folder(target, kind="model", settings=settings, sources=sources) as folder:
        with quiet_transformers():
            module.save_pretrained(folder.path)
        copy_tokenizer(base, folder.path)
        if (base / MANIFEST).exists():
            folder.facts.update(read_manifest(base).facts)
