"""Understanding what is asked, where labelled rows exist: Banking77 with ten rows a label and with all, CLINC150 with what is outside of it.

Ten rows a label are a desk's list, drawn once, and the first entry of its match is judged. All rows train a classifier by `noria build
finetune classify` on the bundled MiniLM. Outside of CLINC150 is what the classifier is less sure of than a threshold: the one with the
most right of the validation rows inside and outside, as the published BERT had it (Larson et al. 2019). Peers are published figures on the
same test rows; all settings were chosen on validation rows.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .line import Line
from .quality import INTENTS, written
from .support_desk import WANTED, Embedding, by_label, list_of, rows_of, share

ROWS, QUICK = 10, 500
BERT = "BERT (Casanueva et al. 2020)"
FEW = "USE + ConveRT, 10 rows a label (Casanueva et al. 2020)"
OUTSIDE = "BERT with a threshold (Larson et al. 2019)"
BANKING = {**INTENTS, "minutes": 9.0, "regular": {"smoothing": 0.1}}
CLINC = {**INTENTS, "minutes": 7.0}


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick judges the list of ten rows a label alone, on fewer rows."""
    lines = asyncio.run(_few(quick=quick))
    if not quick:
        lines += _banking() + _clinc()
    return lines


async def _few(*, quick: bool) -> list[Line]:
    """Return lines on a desk that knows ten rows of each label."""
    from noria.apps.support.desk import form
    from noria.apps.support.opening import open_desk

    chooser = random.Random(0)
    forms = {
        name: chooser.sample(sorted(set(texts)), ROWS) for name, texts in sorted(by_label("banking77/train").items())
    }
    rows = rows_of("banking77/test")
    rows = random.Random(1).sample(rows, QUICK) if quick else rows
    with Embedding() as embed:
        desk = await open_desk(list_of(forms), embed)
        texts = [row["text"].strip() for row in rows]
        found = desk.matches(texts, await embed([form(text) for text in texts]))
    right = sum(match.entries[:1] == (row["label"],) for match, row in zip(found, rows, strict=True))
    what = f"Banking77, a list of {ROWS} rows a label: the first entry is right"
    return _beside(what, right, len(rows), FEW, 0.8519, 0.85)


def _banking() -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="noria-intents-") as there:
        test = rows_of("banking77/test")
        found = _classified(Path(there), {"train": rows_of("banking77/train")}, [row["text"] for row in test], BANKING)
    right = sum(label == row["label"] for (label, _), row in zip(found, test, strict=True))
    return _beside("Banking77, all rows: the label is right", right, len(test), BERT, 0.9366, 0.935)


def _clinc() -> list[Line]:
    parts = ("val", "oos_val", "test", "oos_test")
    rows = {part: rows_of(f"clinc150/{part}") for part in parts}
    texts = [row["text"] for part in parts for row in rows[part]]
    with tempfile.TemporaryDirectory(prefix="noria-intents-") as there:
        known = {"train": rows_of("clinc150/train"), "valid": rows["val"]}
        found = iter(_classified(Path(there), known, texts, CLINC))
    told = {part: [next(found) for _ in rows[part]] for part in parts}

    def judged(inside: str, outside: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        right = np.array([label == row["label"] for (label, _), row in zip(told[inside], rows[inside], strict=True)])
        return right, np.array([one for _, one in told[inside]]), np.array([one for _, one in told[outside]])

    right, inside, outside = judged("val", "oos_val")
    least = best_threshold(right, inside, outside)
    right, inside, outside = judged("test", "oos_test")
    print(
        f"support_intents: CLINC150: right whatever is outside {right.mean():.4f}, threshold {least:.3f}",
        file=sys.stderr,
    )
    good, refused = int((right & (inside >= least)).sum()), int((outside < least).sum())
    return [
        *_beside("CLINC150, all rows: right, in scope", good, len(right), OUTSIDE, 0.962, 0.96),
        *_beside("CLINC150: outside is told, at the same threshold", refused, len(outside), OUTSIDE, 0.523, 0.65),
    ]


def best_threshold(right: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
    """Return the confidence from which most rows are right: inside by their label, outside by being below it.

    Args:
        right: whether the label of each row inside is right.
        inside: confidence of each.
        outside: that of each row outside.
    """
    candidates = np.unique(np.concatenate([[0.0], inside, outside]))
    kept = [(right & (inside >= least)).sum() + (outside < least).sum() for least in candidates]
    return float(candidates[int(np.argmax(kept))])


def _classified(
    folder: Path, known: dict[str, list[dict[str, Any]]], texts: Sequence[str], settings: dict[str, Any]
) -> list[tuple[str, float]]:
    """Return label and probability of each text by a classifier that is trained here."""
    from noria.core.progress import Report
    from noria.infer.choose import open_engine
    from noria.infer.engine import answer
    from noria.make.models.bundled import minilm
    from noria.make.training.finetune.recipe import finetune
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    files = {split: written(folder / f"{split}.jsonl", rows) for split, rows in known.items()}
    begun = time.perf_counter()
    chosen = FinetuneSettings.make(**settings)
    base = minilm(folder / "base")
    model = finetune(
        task_for("classify"), base, files["train"], files.get("valid"), folder / "model", chosen, Report.for_terminal()
    )
    print(f"support_intents: trained in {(time.perf_counter() - begun) / 60:.1f} min", file=sys.stderr)
    engine = open_engine(model)
    try:
        return [(str(one["label"]), float(one["score"])) for one in answer(engine, list(texts))]
    finally:
        engine.close()


def _beside(what: str, count: int, n: int, peer: str, published: float, wanted: float) -> list[Line]:
    return [share(what, count, n, peer, published), share(what, count, n, WANTED, wanted)]
