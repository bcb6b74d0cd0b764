"""Texts with labels, spans, answers and neighbours as other tools mark them: SQuAD, doccano, CLUENER, Label Studio, Prodigy, fastText, FlagEmbedding.

Also what is judged of parts of a text: entities with a label each (FinEntity), and aspects with theirs (ASAP).
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

from noria.core.messages import message

from .form import Record, Row, Unfit

OF = ":"
"""Between an aspect and the label that a text gives it, in the name of both together."""


def squad(record: Record) -> list[Row]:
    """Return a row a question of an article or a paragraph."""
    paragraphs = record.get("paragraphs", [record])
    rows: list[Row] = []
    for paragraph in paragraphs if isinstance(paragraphs, list) else []:
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
            raise Unfit(message("tasks.paragraph_without"), paragraph)
        for asked in paragraph["qas"]:
            answers = [] if asked.get("is_impossible") else asked.get("answers") or []
            rows.append(
                {
                    "context": paragraph.get("context"),
                    "question": asked.get("question"),
                    "answers": [_squad_answer(one) for one in answers],
                }
            )
    if not rows:
        raise Unfit(message("tasks.one_question"), record)
    return rows


def _squad_answer(one: object) -> dict[str, Any]:
    if not isinstance(one, dict) or "text" not in one:
        raise Unfit(message("tasks.answer_without"), one)
    return {"text": one["text"], "start": one.get("answer_start", one.get("start", -1))}


def squad_flat(record: Record) -> list[Row]:
    """Return the row of one question with its answers, in SQuAD 1 or as Hugging Face's sets hold it."""
    given = record["answers"]
    if isinstance(given, dict):
        given = [
            {"text": text, "answer_start": start}
            for text, start in zip(given.get("text", []), given.get("answer_start", []), strict=False)
        ]
    return [{**record, "answers": [_squad_answer(one) for one in given]}]


def in_words(record: Record) -> list[Row]:
    """Give an answer its first place in the context; -1 where it is not there word for word."""
    given = record["answer"] if isinstance(record["answer"], list) else [record["answer"]]
    if not all(isinstance(text, str) for text in given):
        raise Unfit(message("tasks.answer_text"), given)
    answers = [{"text": text, "start": record["context"].find(text)} for text in given if text.strip()]
    return [{"context": record["context"], "question": record["question"], "answers": answers}]


def triples(value: object) -> bool:
    """Say whether a value is a list of [start, end, label]."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, list) and len(one) >= 3 and isinstance(one[2], str) for one in value)
    )


def doccano_field(record: Record) -> str | None:
    """Return the name of the field in which a record's spans stand, as doccano and its like write them."""
    for name in ("entities", "annotations", "label", "labels", "spans"):
        value = record.get(name)
        if triples(value):
            return name
        if name != "spans" and isinstance(value, list) and value and all(_entity(one) for one in value):
            return name
    return None


def _entity(one: object) -> dict[str, Any] | None:
    """Return the span that an object with a place and a kind means, under whichever names; None where it is none."""
    if not isinstance(one, dict):
        return None
    found = {
        field: next((one[name] for name in names if name in one), None)
        for field, names in (
            ("start", ("start_offset", "start", "begin", "start_idx")),
            ("end", ("end_offset", "end", "end_idx")),
            ("label", ("label", "type", "entity_type", "entity_group", "tag", "category")),
        )
    }
    kinds = one.get("labels")
    if found["label"] is None and isinstance(kinds, list) and len(kinds) == 1:
        found["label"] = kinds[0]
    if any(value is None for value in found.values()):
        return None
    return found | ({"text": one["text"]} if isinstance(one.get("text"), str) else {})


def doccano(record: Record) -> list[Row]:
    """Return a text with spans of [start, end, label], or of objects with a place and a kind."""
    name = doccano_field(record)
    assert name
    spans = [_entity(one) or {"start": one[0], "end": one[1], "label": one[2]} for one in record[name]]
    kept = {
        key: value for key, value in record.items() if key not in (name, "label", "labels", "relations", "Comments")
    }
    return [{**kept, "text": record.get("text", record.get("data")), "spans": spans}]


def _cluener_places(record: Record) -> list[tuple[str, str, Any]]:
    return [
        (kind, name, place)
        for kind, names in record["label"].items()
        if isinstance(names, dict)
        for name, places in names.items()
        for place in places
    ]


def cluener(record: Record) -> list[Row]:
    """Return a text with the spans of {label: {name: [[first, last]]}}."""
    spans = []
    for kind, name, place in _cluener_places(record):
        if not isinstance(place, list) or len(place) != 2:
            raise Unfit(message("tasks.place_first"), place)
        # Its last character is inside, where others write the one after it.
        spans.append({"start": place[0], "end": place[1] + 1, "label": kind, "text": name})
    return [{**{key: value for key, value in record.items() if key != "label"}, "spans": spans}]


def label_studio(record: Record) -> list[Row]:
    """Return a text with the choices or the spans of its first annotation that counts."""
    texts = [value for value in record["data"].values() if isinstance(value, str)]
    done = [one for one in record["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(texts) != 1 or not done:
        raise Unfit(message("tasks.one_text"), record["data"] if len(texts) != 1 else "no annotation")
    values = [one.get("value", {}) for one in done[0].get("result", []) if isinstance(one, dict)]
    choices = [choice for value in values for choice in value.get("choices", [])]
    if choices:
        return [{"text": texts[0], "labels": choices} if len(choices) > 1 else {"text": texts[0], "label": choices[0]}]
    spans = [
        {"start": value["start"], "end": value["end"], "label": value["labels"][0]}
        | ({"text": value["text"]} if "text" in value else {})
        for value in values
        if value.get("labels") and "start" in value
    ]
    return [{"text": texts[0], "spans": spans}]


def prodigy(record: Record) -> list[Row]:
    """Return a text with its spans, where whoever marked it took it."""
    if record.get("answer") in ("reject", "ignore"):
        raise Unfit(message("tasks.accepted_who"), record["answer"])
    return [{"text": record["text"], "spans": record.get("spans") or []}]


def fast_text(record: Record) -> list[Row]:
    """Return a text with the labels that stand before it as `__label__name`."""
    words = record["text"].split(" ")
    labels = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
    text = " ".join(word for word in words if not word.startswith("__label__"))
    return [{"text": text, "label": labels[0]} if len(labels) == 1 else {"text": text, "labels": labels}]


def neighbours(record: Record) -> list[Row]:
    """Return a row a positive of a query, each with one of the negatives in turn."""
    positives, negatives = record["pos"], record.get("neg") or []
    if not positives:
        raise Unfit(message("tasks.positive"), record["query"])
    turned = islice(cycle(negatives), len(positives)) if negatives else iter([None] * len(positives))
    return [
        {"anchor": record["query"], "positive": positive} | ({"negative": negative} if negative is not None else {})
        for positive, negative in zip(positives, turned, strict=True)
    ]


def is_of_entities(record: Record) -> bool:
    """Say whether a record is a text whose entities have a label each."""
    entities = record.get("entities")
    return (
        isinstance(record.get("text"), str)
        and isinstance(entities, list)
        and bool(entities)
        and all(isinstance(one, dict) and "label" in one and _entity(one) for one in entities)
    )


def of_entities(record: Record) -> list[Row]:
    """Return a row for each entity of a text and each label that it has there, with the places of its words: {text, pair, places, label}."""
    text = record["text"]
    found: dict[tuple[str, str], list[list[int]]] = {}
    for one in record["entities"]:
        span = _entity(one) or {}
        start, end = span["start"], span["end"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise Unfit(message("tasks.span_outside"), one)
        words = text[start:end]
        if span.get("text", words) != words:
            raise Unfit(message("tasks.span_own"), one)
        found.setdefault((words, span["label"]), []).append([start, end])
    return [{"text": text, "pair": words, "places": places, "label": label} for (words, label), places in found.items()]


def is_of_aspects(record: Record) -> bool:
    """Say whether a record is a text with the label of each aspect that it speaks of."""
    aspects = record.get("aspects")
    return (
        isinstance(record.get("text"), str)
        and isinstance(aspects, dict)
        and all(isinstance(label, str) for label in aspects.values())
    )


def of_aspects(record: Record) -> list[Row]:
    """Return a text with several labels: each aspect that it speaks of, and each with its label, as in `price` and `price:negative`."""
    labels = [name for aspect, label in record["aspects"].items() for name in (aspect, f"{aspect}{OF}{label}")]
    return [{"text": record["text"], "labels": labels}]


def label_list(record: Record) -> list[Row]:
    """Return the row with its list of labels under `labels`."""
    return [{**{key: value for key, value in record.items() if key != "label"}, "labels": record["label"]}]


def is_list_of_names(value: object) -> bool:
    """Say whether a value is a list of texts or numbers."""
    return isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)
