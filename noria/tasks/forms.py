"""Rows as other tools write them -> rows in Noria's own form; a form that does not fit the task is named, with the way.

    own_rows({"conversations": [{"from": "human", "value": "hi"}, ...]}, "chat")     # [{"messages": [...]}]

ShareGPT, Alpaca, prompts with completions, questions with answers, SQuAD (nested and flat), doccano, Label Studio, CLUENER,
Prodigy, fastText, queries with lists of positives and negatives (FlagEmbedding), and texts with a label for each entity or aspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noria.core.errors import RowError
from noria.core.messages import message

from .annotations import (
    cluener,
    doccano,
    doccano_field,
    fast_text,
    in_words,
    is_list_of_names,
    is_of_aspects,
    is_of_entities,
    label_list,
    label_studio,
    neighbours,
    of_aspects,
    of_entities,
    prodigy,
    squad,
    squad_flat,
    triples,
)
from .conversations import alpaca, asked_and_answered, dialogue, has_other_roles, share_gpt
from .form import Form, Record, Row, is_texts


def form_of(record: Record, task: str = "") -> Form | None:
    """Return the form that a record is plainly in, one whose rows are for the task before others; None where it is Noria's own or unknown."""
    known = [one for one in FORMS if one.known(record)]
    return next((one for one in known if task in one.tasks), known[0] if known else None)


def own_rows(record: Record, task: str, *, file: str | Path = "<memory>", line: int = 1) -> list[Row]:
    """Return a record's rows in Noria's own form; one that is in no other form is given back as it is.

    Raises:
        RowError: the record is in a form whose rows are for another task, or is broken in it.
    """
    if task not in _OWN or _fits(record, task):
        return [dict(record)]
    form = form_of(record, task)
    if form is None and task in _LOOSE:
        form = _LOOSE[task] if _LOOSE[task].known(record) else None
    if form is None:
        return [dict(record)]
    if not form.tasks:
        raise RowError(
            message("tasks.rows_form", name=form.name),
            file=file,
            line=line,
            hint=message(f"tasks.ways.{_WAYS[form.name]}"),
        )
    if task not in form.tasks:
        raise RowError(
            message("tasks.rows_form_2", name=form.name, tasks=" or ".join(form.tasks), task=task),
            file=file,
            line=line,
            found=", ".join(map(str, record)),
            hint=message("tasks.noria_build", tasks=form.tasks[0]),
        )
    return form.turned(record, file=file, line=line)


_OWN = {
    "classify": ("text",),
    "numeric": ("features",),
    "tag": ("text", "spans"),
    "answer": ("context", "question", "answers"),
    "translate": ("source", "target"),
    "summarise": ("source", "target"),
    "chat": ("messages",),
    "embed": ("anchor", "positive"),
    "complete": ("text",),
}


def _fits(record: Record, task: str) -> bool:
    """Say whether a record has all fields of its task already, whatever else it holds."""
    if not all(name in record for name in _OWN[task]):
        return False
    if task == "classify":
        plain = isinstance(record.get("label"), str | int | float) or is_list_of_names(record.get("labels"))
        return plain and not str(record["text"]).startswith("__label__")
    if task == "tag":
        return "tokens" not in record and not triples(record["spans"])
    if task == "answer":
        answers = record["answers"]
        return isinstance(answers, list) and not any(isinstance(one, dict) and "answer_start" in one for one in answers)
    return task != "chat" or not has_other_roles(record)


_MARKED = ("tag",)
FORMS: Sequence[Form] = (
    Form(
        "ShareGPT",
        ("chat",),
        lambda record: (
            "conversations" in record or isinstance(record.get("conversation"), list) or has_other_roles(record)
        ),
        share_gpt,
    ),
    Form(
        "preferences",
        (),
        lambda record: (
            ("chosen" in record and "rejected" in record)
            or (is_texts(record, "prompt", "completion") and isinstance(record.get("label"), bool))
        ),
        lambda record: [],
    ),
    Form(
        "Dolly",
        ("chat",),
        lambda record: is_texts(record, "instruction", "context", "response"),
        lambda record: alpaca({**record, "input": record["context"], "output": record["response"]}),
    ),
    Form(
        "a token a row",
        (),
        lambda record: (
            is_texts(record, "tag")
            and any(is_texts(record, name) for name in ("word", "token", "字"))
            and "text" not in record
        ),
        lambda record: [],
    ),
    Form("Alpaca", ("chat",), lambda record: is_texts(record, "instruction", "output"), alpaca),
    Form(
        "translation sets of Hugging Face",
        (),
        lambda record: isinstance(record.get("translation"), dict),
        lambda record: [],
    ),
    Form("SQuAD", ("answer",), lambda record: "paragraphs" in record or isinstance(record.get("qas"), list), squad),
    Form(
        "flat SQuAD",
        ("answer",),
        lambda record: (
            (isinstance(record.get("answers"), dict) and "answer_start" in record["answers"])
            or (
                isinstance(record.get("answers"), list)
                and any(isinstance(one, dict) and "answer_start" in one for one in record["answers"])
            )
        ),
        squad_flat,
    ),
    Form(
        "Label Studio",
        ("tag", "classify"),
        lambda record: isinstance(record.get("annotations"), list) and isinstance(record.get("data"), dict),
        label_studio,
    ),
    Form(
        "CLUENER",
        _MARKED,
        lambda record: (
            isinstance(record.get("label"), dict) and all(isinstance(one, dict) for one in record["label"].values())
        ),
        cluener,
    ),
    Form(
        "Prodigy",
        _MARKED,
        lambda record: (
            isinstance(record.get("tokens"), list)
            and bool(record["tokens"])
            and isinstance(record["tokens"][0], dict)
            and isinstance(record.get("text"), str)
        ),
        prodigy,
    ),
    Form("doccano", _MARKED, lambda record: doccano_field(record) is not None, doccano),
    Form(
        "FlagEmbedding",
        ("embed",),
        lambda record: is_texts(record, "query") and isinstance(record.get("pos"), list),
        neighbours,
    ),
    Form("texts with a label for each entity", ("classify",), is_of_entities, of_entities),
    Form("texts with a label for each aspect", ("classify",), is_of_aspects, of_aspects),
    Form(
        "fastText",
        ("classify",),
        lambda record: isinstance(record.get("text"), str) and record["text"].startswith("__label__"),
        fast_text,
    ),
)
"""Every form, the narrowest first."""
_LOOSE = {
    "answer": Form(
        "questions with answers in words",
        ("answer",),
        lambda record: (
            is_texts(record, "context", "question")
            and "answers" not in record
            and isinstance(record.get("answer"), str | list)
        ),
        in_words,
    ),
    "chat": Form(
        "questions and answers",
        ("chat",),
        lambda record: "messages" not in record and asked_and_answered(record) is not None,
        dialogue,
    ),
    "classify": Form(
        "lists of labels", ("classify",), lambda record: is_list_of_names(record.get("label")), label_list
    ),
    "tag": Form(
        "texts without a mark",
        ("tag",),
        lambda record: (
            not {"spans", "tokens", "tags"} & record.keys()
            and any(record.get(name) == [] for name in ("label", "labels", "entities"))
        ),
        lambda record: [{**record, "spans": []}],
    ),
}
"""Task -> a form that only rows of this task can be meant to have."""
_WAYS = {
    "preferences": "preferences",
    "a token a row": "token",
    "translation sets of Hugging Face": "translation",
}
