"""What a text says of each entity: financial news whose entities have labels (FinEntity), and Chinese sentences about two companies.

Beside models of whole texts whose one label is copied to every entity: TF-IDF with logistic regression of the same training texts, and an
oracle's, the majority of the true labels, which no model of whole texts can pass. Also beside TF-IDF of the text and the bare name. Noria
is trained as `noria build finetune classify` trains, within minutes: first on whole texts of the same language with such labels (tweets on
stocks; reviews, none of them a test's), then, from that model, on the training rows. Settings were chosen on parts of the training rows.

No public set of Chinese texts with a label for each company was at hand: the Chinese sentences are constructed, see `two_companies`.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .f1 import compared, counted
from .line import Line
from .monitor_trained import Course, asked, bundled, read, trained, trimmed
from .quality import tweets
from .two_companies import NEGATIVE, POSITIVE, sentences, whole_reviews

LABELS = ("negative", "neutral", "positive")
MINUTES, FIRST = 10.0, 0.4
"""Of both trainings, and the share that the first of them takes."""
OF_TWEETS = {"bearish": "negative", "bullish": "positive", "neutral": "neutral"}
FIRST_SETTINGS: dict[str, Any] = {"evaluations": 2}
FINENTITY: dict[str, Any] = {"evaluations": 4, "max_length": 192}
CHINESE: dict[str, Any] = {"evaluations": 4}
COPIED = "one label a text, TF-IDF with logistic regression, copied to its entities"
ORACLE = "one label a text, an oracle's, copied to its entities"
NAMED = "TF-IDF of text and name, logistic regression"
Row = dict[str, Any]


def measure(*, quick: bool) -> list[Line]:
    """Return macro-F1 on English entities, all and where they differ, and negative F1 on constructed Chinese ones."""
    course = Course(None if quick else MINUTES)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        if "NORIA_DATA" in os.environ:
            data = Path(os.environ["NORIA_DATA"])
            train, test = (read(data / "monitor" / "finentity" / f"{side}.jsonl") for side in ("train", "test"))
            first = [{**row, "label": OF_TWEETS[row["label"]]} for row in tweets(data)["train"]]
            lines += english(first, course.train(train), course.test(test), Path(folder) / "en", course)
        train, test = course.train(sentences(3_000, "train")), course.test(sentences(400, "test"))
        return lines + chinese(whole_reviews("train"), train, test, Path(folder) / "zh", course)


def in_two(
    start: Path, first: Sequence[Row], train: Sequence[Row], folder: Path, course: Course, settings: Mapping[str, Any]
) -> Path:
    """Return the folder of a model that learned whole texts first, then what they say of each entity; that alone for steps too few for both."""
    if not course.minutes:
        return trained(start, train, folder, course, settings)
    begun = trained(start, first, folder / "first", course.part(FIRST), FIRST_SETTINGS)
    return trained(begun, train, folder / "then", course.part(1 - FIRST), settings)


def how(first: Sequence[Row], train: Sequence[Row], kind: str, course: Course) -> str:
    """Return both trainings in words."""
    if not course.minutes:
        return course.text(train)
    begun = course.part(FIRST).text(first)
    return f"{course.part(1 - FIRST).text(train)}, before that {begun} on {len(first):,} {kind}"


def english(
    first: Sequence[Row], train: Sequence[Row], test: Sequence[Row], folder: Path, course: Course
) -> list[Line]:
    """Return the lines of FinEntity's form of rows: {text, entities: [{start, end, text, label}]}."""
    model = in_two(bundled("minilm"), first, train, folder, course, FINENTITY)
    judged = entity_counts(test, predicted(model, test))
    copied = entity_counts(test, copied_labels(train, test))
    named = entity_counts(test, by_name(train, test))
    what = f"label of each given entity, en, {how(first, train, 'tweets on stocks', course)}, macro-F1"
    found = compared(what, judged, {COPIED: copied, NAMED: named}, wanted=0.80, mean="macro")
    differ = [row for row in test if len({one["label"] for one in row["entities"]}) > 1]
    kept = [place for place, row in enumerate(test) if row in differ]
    oracle = entity_counts(differ, [[majority(row)] * len(row["entities"]) for row in differ])
    return found + compared(
        f"{what} on texts whose entities differ",
        judged[kept],
        {COPIED: copied[kept], NAMED: named[kept], ORACLE: oracle},
        wanted=0.65,
        mean="macro",
    )


def chinese(
    first: Sequence[Row], train: Sequence[Row], test: Sequence[Row], folder: Path, course: Course
) -> list[Line]:
    """Return the lines of constructed Chinese sentences about two companies: F1 of the entities that are spoken of badly."""
    start = trimmed([str(row["text"]) for row in (*first, *train)], folder)
    model = in_two(start, first, train, folder, course, CHINESE)
    judged = entity_counts(test, predicted(model, test), (NEGATIVE,))
    copied = entity_counts(test, copied_labels(train, test), (NEGATIVE,))
    worst = [
        [NEGATIVE if any(one["label"] == NEGATIVE for one in row["entities"]) else POSITIVE] * len(row["entities"])
        for row in test
    ]
    oracle = "an oracle that calls both bad where one is"
    return compared(
        f"entities spoken of badly, zh, constructed sentences about two companies, {how(first, train, 'reviews', course)}, F1",
        judged,
        {COPIED: copied, oracle: entity_counts(test, worst, (NEGATIVE,))},
        more=(COPIED, 0.1),
    )


def predicted(model: Path, rows: Sequence[Row]) -> list[list[str]]:
    """Return a model's label for every entity of each row; all places of one name are asked about together, as the monitor does."""
    asked_rows, owners = [], []
    for number, row in enumerate(rows):
        places: dict[str, list[list[int]]] = defaultdict(list)
        for one in row["entities"]:
            places[one["text"]].append([one["start"], one["end"]])
        asked_rows += [{"text": row["text"], "pair": name, "places": some} for name, some in places.items()]
        owners += [(number, name) for name in places]
    label = {owner: str(one["label"]) for owner, one in zip(owners, asked(model, asked_rows), strict=True)}
    return [[label[number, one["text"]] for one in row["entities"]] for number, row in enumerate(rows)]


def entity_counts(rows: Sequence[Row], labels: Sequence[Sequence[str]], judged: Sequence[str] = LABELS) -> Any:
    """Return the counts of each text's entities, [texts, labels, 3]."""
    units = [number for number, row in enumerate(rows) for _ in row["entities"]]
    truth = [{one["label"]} for row in rows for one in row["entities"]]
    return counted(units, truth, [{label} for some in labels for label in some], judged)


def majority(row: Mapping[str, Any]) -> str:
    """Return the label that most of a text's entities have, the first of equals."""
    return str(Counter(one["label"] for one in row["entities"]).most_common(1)[0][0])


def copied_labels(train: Sequence[Row], test: Sequence[Row]) -> list[list[str]]:
    """Return for every entity the label of its text, by TF-IDF with logistic regression of the training texts' majority labels."""
    from noria.make.evaluate.baseline import tfidf_classifier

    label = tfidf_classifier([{"text": row["text"], "label": majority(row)} for row in train])
    found = label([row["text"] for row in test])
    return [[one] * len(row["entities"]) for one, row in zip(found, test, strict=True)]


def by_name(train: Sequence[Row], test: Sequence[Row]) -> list[list[str]]:
    """Return for every entity the label by TF-IDF of the text and of its bare name."""
    from noria.tasks.classify import Classify
    from noria.tasks.ngram_classifier import companion_answers, fit_ngrams

    task = Classify(LABELS, by_mention=False)
    rows = [
        [{"text": row["text"], "pair": one["text"], "label": one["label"]} for row in some for one in row["entities"]]
        for some in (train, test)
    ]
    found = iter(companion_answers(task, fit_ngrams(task, rows[0]), rows[1]))
    return [[str(next(found)["label"]) for _ in row["entities"]] for row in test]


if __name__ == "__main__":
    for line in measure(quick=False):
        print(line.json())
