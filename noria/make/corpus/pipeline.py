"""Compose the steps of cleaning; count and sample every drop.

kept, tally = clean_corpus(read_documents("reviews.jsonl"), CleanSettings(simplify=True))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from typing import Any

from noria.core.progress import Report
from noria.text.dedup import SPLITS, find_duplicates, split_of
from noria.text.labels import same_label
from noria.text.personal_data import mask

from .clean import clean
from .documents import Document
from .filters import Filter, reason_to_drop, standard_filters
from .settings import CleanSettings
from .tally import Tally


def clean_corpus(
    documents: Iterable[Document], settings: CleanSettings | None = None, report: Report | None = None
) -> tuple[list[Document], Tally]:
    """Return the documents that are kept, cleaned and masked, and what became of all rows.

    A kept document's `meta["group"]` names what must stay in one split: its cluster of near duplicates, joined with the
    group that its meta named before, such as an author or an article. Marked spans in `meta["spans"]` move with the text;
    documents with different `meta["label"]` never stand for one another. The whole corpus is held in memory.
    """
    settings = settings or CleanSettings()
    report = report or Report()
    tally = Tally()
    total = len(documents) if isinstance(documents, Sequence) else None
    with report.bar("clean", total=total, unit="document") as bar:
        prepared = list(prepare(_counted(documents, bar.advance), settings, tally))
    return deduplicate(prepared, settings, tally, report), tally


def prepare(documents: Iterable[Document], settings: CleanSettings, tally: Tally) -> Iterator[Document]:
    """Yield each document repaired, filtered and masked; what can be decided of a document by itself."""
    filters = standard_filters(settings)
    for document in documents:
        tally.rows += 1
        kept = _prepare(document, settings, filters, tally)
        if kept is not None:
            yield kept


def deduplicate(documents: list[Document], settings: CleanSettings, tally: Tally, report: Report) -> list[Document]:
    """Return the documents without their duplicates, each with its group; what only the whole corpus can tell."""
    labelled = any({"label", "labels"} & document.meta.keys() for document in documents)
    found = find_duplicates(
        [document.text for document in documents],
        labels=[_label_of(document) for document in documents] if labelled else None,
        near=settings.near,
        seed=settings.seed,
        report=report,
    )
    kept: list[Document] = []
    clusters: list[str] = []
    for document, reason, cluster in zip(documents, found.reason, found.group, strict=True):
        if reason:
            tally.drop(reason, document.id, document.text)
        else:
            kept.append(document)
            clusters.append(cluster)
    tally.kept = len(kept)
    groups = joined([document.meta.get("group") for document in kept], clusters)
    return [
        replace(document, meta={**document.meta, "group": group}) for document, group in zip(kept, groups, strict=True)
    ]


def _label_of(document: Document) -> object:
    """Return what two documents share where they have the same label, however each writes it."""
    return same_label(document.meta.get("label", document.meta.get("labels")))


def splits(documents: Sequence[Document], settings: CleanSettings) -> dict[str, list[Document]]:
    """Return the documents of each split, whole groups together."""
    sides = split_of(
        [str(document.meta["group"]) for document in documents],
        valid=settings.valid_share,
        test=settings.test_share,
        seed=settings.seed,
    )
    parts: dict[str, list[Document]] = {name: [] for name in SPLITS}
    for document, side in zip(documents, sides, strict=True):
        parts[side].append(document)
    return parts


def joined(given: Sequence[object], clusters: Sequence[str]) -> list[str]:
    """Return one group name for each document, such that sharing a given group or a cluster means sharing the name."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    # A given name is marked, so that it meets no cluster's name by chance, and sorts first, so that it is kept.
    names = [cluster if group is None else f" {group}" for group, cluster in zip(given, clusters, strict=True)]
    for name, cluster in zip(names, clusters, strict=True):
        low, high = sorted((find(name), find(cluster)))
        root[high] = low
    return [find(name).strip() for name in names]


def _prepare(document: Document, settings: CleanSettings, filters: list[Filter], tally: Tally) -> Document | None:
    text = clean(document.text, settings)
    tally.repaired += text != document.text
    if settings.mask:
        text, finds = mask(text)
        tally.masked += Counter(find.kind for find in finds)
    reason = reason_to_drop(text, filters)
    if reason:
        tally.drop(reason, document.id, text)
        return None
    meta = document.meta
    if text != document.text and meta.get("spans"):
        spans = moved(meta["spans"], document.text, text)
        tally.spans_lost += len(meta["spans"]) - len(spans)
        meta = {**meta, "spans": spans}
    if text != document.text and meta.get("places"):
        meta = {**meta, "places": places_moved(meta["places"], document.text, text, partial(_repaired, settings))}
    return replace(document, text=text, meta=meta)


def _repaired(settings: CleanSettings, text: str) -> str:
    text = clean(text, settings)
    return mask(text)[0] if settings.mask else text


def _counted(documents: Iterable[Document], advance: Callable[[], None]) -> Iterator[Document]:
    for document in documents:
        yield document
        advance()


def moved(spans: Sequence[dict[str, Any]], before: str, after: str) -> list[dict[str, Any]]:
    """Return the spans of `before` at their places in `after`; those whose text was changed itself are left out.

    Args:
        spans: {"start", "end", "label"}, in characters of `before`.
    """
    if before == after:
        return list(spans)
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    kept = []
    for span in spans:
        for block in blocks:
            if block.a <= span["start"] and span["end"] <= block.a + block.size:
                shift = block.b - block.a
                kept.append({**span, "start": span["start"] + shift, "end": span["end"] + shift})
                break
    return kept


_ANCHOR, _SHORTEST = 200, 2


def places_moved(
    places: Sequence[dict[str, Any]], before: str, after: str, repair: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Return where pages and headings begin after a text was repaired; one whose beginning is not found again is left out.

    Args:
        places: {"start", ...}, in characters of `before`, in order.
        before: the text.
        after: the text repaired.
        repair: what was done to it.
    """
    if before == after:
        return list(places)
    kept, reached = [], 0
    for place, following in zip(places, [*(one["start"] for one in places[1:]), len(before)], strict=True):
        # The whole text was repaired: of the piece's own repair the last characters may have come out otherwise.
        anchor = repair(before[place["start"] : min(following, place["start"] + _ANCHOR)]).strip()
        anchor = anchor[: max(_SHORTEST, len(anchor) // 2)]
        found = after.find(anchor, reached) if anchor else -1
        if found >= 0:
            kept.append({**place, "start": found})
            reached = found + 1
    return kept
