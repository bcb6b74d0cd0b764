"""`noria build finetune recommend`: items and behaviour -> a recommender's folder with its figures, its baselines and its card.

    recommend(Path("items.csv"), [Path("clicks.csv")], Path("shop"), RecommendTraining(), Report.silent())

It is judged on what came last, or on a file of what came afterwards; what is written is then learned from all of it, in the same way.
Everything is computed from the files and the seed alone: a run that was killed ends as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.folder import Source, new_folder, sha256_file
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.infer.recommend import KIND, Ranker
from noria.lake.event import EPOCH
from noria.lake.read import recall
from noria.tasks.deeds import KINDS, Deeds, clean, deeds_of, read_deeds
from noria.tasks.items import LEAD, Item, read_items

from .assess import judged
from .behaviour import Behaviour, behaviour_of, followed
from .card import card
from .content import keep_vectors, kept_vectors, vectors_of
from .settings import RecommendTraining
from .training import Fitted, fit, held_out, refitted, source_of

_OF_EVENTS = {"impression": "impression", "click": "click", "conversion": "buy"}
"""Kind of event of a server's lake -> kind of deed."""
JUDGED = 5_000
"""Most users that it is judged on: their interval is narrow enough."""


def recommend(
    items_file: Path,
    logs: Sequence[Path],
    out: Path,
    settings: RecommendTraining,
    report: Report,
    *,
    test: Path | None = None,
    beside: Path | None = None,
    now: float | None = None,
) -> None:
    """Train a recommender, judge it, and write its folder.

    Args:
        items_file: the catalogue, in any format that is read.
        logs: files of behaviour, and folders of a server's lake; without any, items are ranked by their text alone.
        out: the folder to write; vectors of an earlier one there are used again.
        settings: see `RecommendTraining`.
        report: told what is done, what was set aside, and the figures.
        test: behaviour that came after that of `logs`, which is only judged on; without it a part of it is held out.
        beside: folder of an older recommender, to be judged on the same users; held out is then what came since it was trained.
        now: Unix seconds; deeds a day later are set aside. None for the clock's.

    Raises:
        InputError, RowError: a file cannot be used. SettingError, FolderError: the encoder, or the older recommender, cannot.
    """
    older = Ranker.open(beside) if beside is not None else None
    items = read_items(items_file, note=report.note, textless=True)
    if any(path.resolve() == items_file.resolve() for path in logs):
        # A log that stands for the catalogue too tells ids; its times and values are those of deeds.
        items = [Item(item.id, item.id, item.id) for item in items]
    now = time.time() if now is None else now
    behaviour, counts = _behaviour(items, logs, settings, report, now)
    texts = [item.described for item in items]
    leads = [text[:LEAD] for text in texts]
    encoder, vectors = _vectors(leads, out, settings, report)
    report.plan(
        message(
            "recommend.plan", items=len(items), users=_users(behaviour), likings=len(behaviour), encoder=encoder or "-"
        )
    )
    if test is not None:
        later, _ = _behaviour(items, [test], settings.replace(positive=behaviour.least), report, now)
        split = followed(behaviour, later)
    else:
        split = held_out(behaviour, settings, JUDGED, None if older is None else older.facts["trained"])
    trained = fit(split.train, texts, vectors, settings, encoder=encoder, report=report)
    facts = (
        judged(behaviour, split, trained, source_of(split, settings), report, older)
        if split.cases
        else {"verdict": "not judged"}
    )
    ranker = trained.ranker if test is not None else refitted(trained, behaviour, settings.seed)
    facts |= _facts(behaviour, trained, counts)
    sources = [Source(path.name, sha256_file(path)) for path in (items_file, *logs) if path.is_file()]
    with new_folder(out, kind=KIND, settings=settings.model_dump(mode="json"), sources=sources) as folder:
        folder.facts.update(facts)
        ranker.write(folder.path)
        if vectors is not None:
            keep_vectors(folder.path, encoder, leads, vectors)
        (folder.path / "README.md").write_text(card(facts, sources), encoding="utf-8")


def _behaviour(
    items: Sequence[Item], logs: Sequence[Path], settings: RecommendTraining, report: Report, now: float
) -> tuple[Behaviour, dict[str, int]]:
    ids = {item.id for item in items}
    read = [
        _of_lake(path, ids) if path.is_dir() else read_deeds(path, settings.columns(), _noting(path, report))
        for path in logs
    ]
    deeds = (
        read[0]
        if len(read) == 1
        else deeds_of(chain.from_iterable(map(_rows, read)), timed=all(one.timed for one in read))
    )
    deeds, counts = clean(deeds, ids, now)
    for rule, count in counts.items():
        report.note(message(f"recommend.rule.{rule}", count=count))
    behaviour = behaviour_of(items, deeds, settings.positive)
    if np.isfinite(behaviour.least) and settings.positive is None:
        share = len(behaviour) / max(len(behaviour.deeds), 1)
        report.note(message("recommend.positive", least=round(behaviour.least, 2), share=share))
    return behaviour, counts


def _noting(path: Path, report: Report) -> Callable[[Message], None]:
    return lambda said: report.note(message("work.named", name=path.name, text=said))


def _of_lake(lake: Path, ids: Iterable[str]) -> Deeds:
    """Return the deeds that a server's lake holds of some items."""
    events = recall(lake, _OF_EVENTS, list(ids), EPOCH)
    return deeds_of(
        (event.user, event.subject, _OF_EVENTS[event.kind], 1.0, event.time.timestamp())
        for event in events
        if event.user
    )


def _rows(deeds: Deeds) -> Iterable[tuple[str, str, str, float, float]]:
    columns = (deeds.user, deeds.item, deeds.kind, deeds.value, deeds.time)
    for user, item, kind, value, when in zip(*(column.tolist() for column in columns), strict=True):
        yield deeds.users[user], deeds.items[item], KINDS[kind], value, when


def _vectors(
    texts: Sequence[str], out: Path, settings: RecommendTraining, report: Report
) -> tuple[str, np.ndarray | None]:
    if settings.model is None:
        return "", None
    with report.bar("vectors", total=len(texts), unit="text") as bar:
        return vectors_of(texts, settings.model, kept_vectors(out), lambda done: bar.advance(done))


def _users(behaviour: Behaviour) -> int:
    return len(np.unique(behaviour.deeds.user))


def _facts(behaviour: Behaviour, trained: Fitted, counts: dict[str, int]) -> dict[str, Any]:
    choice = trained.choice
    days = choice.half_life / 86_400
    return {
        "task": "recommend",
        "items": len(behaviour.items),
        "users": _users(behaviour),
        "deeds": len(behaviour.deeds),
        "likings": len(behaviour),
        "least": behaviour.least if np.isfinite(behaviour.least) else None,
        "encoder": trained.ranker.encoder,
        "set_aside": counts,
        "calibrated": trained.ranker.calibrated,
        "trained": behaviour.end,
        "choice": {
            "ridge": choice.ridge,
            "damping": choice.damping,
            "dropout": choice.dropout,
            "half_life_days": days if np.isfinite(days) else None,
            "head": len(trained.ranker.signals.head),
        },
    }
