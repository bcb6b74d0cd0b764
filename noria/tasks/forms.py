"""Rows as other tools write them -> rows in Noria's own form; a form that does not fit the task is named, with the way.

    own_rows({"conversations": [{"from": "human", "value": "hi"}, ...]}, "chat")     # [{"messages": [...]}]

ShareGPT, Alpaca, prompts with completions, questions with answers, SQuAD (nested and flat), doccano, Label Studio, CLUENER,
Prodigy, fastText, and queries with lists of positives and negatives (FlagEmbedding).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from noria.core.errors import RowError

Record = Mapping[str, Any]
Row = dict[str, Any]


class Unfit(Exception):  # noqa: N818 - a reason that becomes a row's error
    """Why a record of a known form gives no row: what, and what was found."""

    def __init__(self, what: str, found: object = None) -> None:
        self.what, self.found = what, found


@dataclass(frozen=True)
class Form:
    """A way in which another tool writes rows."""

    name: str
    tasks: tuple[str, ...]
    """Tasks that its rows are for."""
    known: Callable[[Record], bool]
    rows: Callable[[Record], list[Row]]

    def turned(self, record: Record, *, file: str | Path, line: int) -> list[Row]:
        """Return the rows of a record in this form.

        Raises:
            RowError: the record is broken in it.
        """
        try:
            return self.rows(record)
        except Unfit as error:
            raise RowError(f"{error.what} ({self.name})", file=file, line=line, found=error.found) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RowError(
                f"broken in the form of {self.name}", file=file, line=line, found=record, hint=repr(error)
            ) from None


def form_of(record: Record) -> Form | None:
    """Return the form that a record is plainly in, or None where it is Noria's own or unknown."""
    return next((one for one in FORMS if one.known(record)), None)


def own_rows(record: Record, task: str, *, file: str | Path = "<memory>", line: int = 1) -> list[Row]:
    """Return a record's rows in Noria's own form; one that is in no other form is given back as it is.

    Raises:
        RowError: the record is in a form whose rows are for another task, or is broken in it.
    """
    if task not in _OWN or _fits(record, task):
        return [dict(record)]
    form = form_of(record)
    if form is None and task in _LOOSE:
        form = _LOOSE[task] if _LOOSE[task].known(record) else None
    if form is None:
        return [dict(record)]
    if not form.tasks:
        raise RowError(f"rows in the form of {form.name}", file=file, line=line, hint=_WAYS[form.name])
    if task not in form.tasks:
        raise RowError(
            f"rows in the form of {form.name} are for {' or '.join(form.tasks)}, not for {task}",
            file=file,
            line=line,
            found=", ".join(map(str, record)),
            hint=f"noria build finetune {form.tasks[0]}",
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
_ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
}
_QUESTIONS = ("question", "query", "问题", "提问", "prompt", "instruction", "user", "Question", "input")
_ANSWERS = ("answer", "response", "completion", "output", "回答", "答案", "回复", "assistant", "reply", "Answer")


def _fits(record: Record, task: str) -> bool:
    """Say whether a record has all fields of its task already, whatever else it holds."""
    if not all(name in record for name in _OWN[task]):
        return False
    if task == "classify":
        plain = isinstance(record.get("label"), str | int | float) or _is_list_of_names(record.get("labels"))
        return plain and not str(record["text"]).startswith("__label__")
    if task == "tag":
        return "tokens" not in record and not _triples(record["spans"])
    if task == "answer":
        answers = record["answers"]
        return isinstance(answers, list) and not any(isinstance(one, dict) and "answer_start" in one for one in answers)
    return task != "chat" or not _has_other_roles(record)


def _has_other_roles(record: Record) -> bool:
    """Say whether turns are given under names of roles that other tools use."""
    turns = record.get("messages")
    roles = [turn.get("role") for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    return any(role not in _ROLES.values() and str(role).lower() in _ROLES for role in roles)


def _is_texts(record: Record, *names: str) -> bool:
    return all(isinstance(record.get(name), str) for name in names)


def _share_gpt(record: Record) -> list[Row]:
    turns = record.get("conversations", record.get("conversation", record.get("messages")))
    messages: list[dict[str, Any]] = []
    if isinstance(record.get("system"), str) and record["system"].strip():
        messages.append({"role": "system", "content": record["system"]})
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict) and _is_texts(turn, "human", "assistant"):
            messages += _pair(turn["human"], turn["assistant"])
            continue
        role = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        content = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        if str(role).lower() not in _ROLES or turn.get("tool_calls") or turn.get("function_call"):
            raise Unfit("a turn of nobody known here; calls of tools are not learned from", turn)
        messages.append({"role": _ROLES[str(role).lower()], "content": content})
    return [{"messages": messages}]


def _pair(question: str, answer: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _alpaca(record: Record) -> list[Row]:
    messages: list[dict[str, Any]] = []
    if isinstance(record.get("system"), str) and record["system"].strip():
        messages.append({"role": "system", "content": record["system"]})
    for turn in record.get("history") or []:
        if not isinstance(turn, list) or len(turn) != 2:
            raise Unfit("history is not a list of [question, answer]", turn)
        messages += _pair(turn[0], turn[1])
    parts = [record["instruction"], record.get("input")]
    question = "\n\n".join(part for part in parts if isinstance(part, str) and part.strip())
    return [{"messages": [*messages, *_pair(question, record["output"])]}]


def _asked_and_answered(record: Record) -> tuple[str, str] | None:
    asked = [name for name in _QUESTIONS if isinstance(record.get(name), str)]
    told = [name for name in _ANSWERS if isinstance(record.get(name), str)]
    return (asked[0], told[0]) if len(asked) == 1 and len(told) == 1 and "context" not in record else None


def _dialogue(record: Record) -> list[Row]:
    names = _asked_and_answered(record)
    assert names
    return _alpaca({**record, "instruction": record[names[0]], "input": None, "output": record[names[1]]})


def _squad(record: Record) -> list[Row]:
    paragraphs = record.get("paragraphs", [record])
    rows: list[Row] = []
    for paragraph in paragraphs if isinstance(paragraphs, list) else []:
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
            raise Unfit("a paragraph without context and qas", paragraph)
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
        raise Unfit("not one question", record)
    return rows


def _squad_answer(one: object) -> dict[str, Any]:
    if not isinstance(one, dict) or "text" not in one:
        raise Unfit("an answer without text", one)
    return {"text": one["text"], "start": one.get("answer_start", one.get("start", -1))}


def _squad_flat(record: Record) -> list[Row]:
    given = record["answers"]
    if isinstance(given, dict):
        given = [
            {"text": text, "answer_start": start}
            for text, start in zip(given.get("text", []), given.get("answer_start", []), strict=False)
        ]
    return [{**record, "answers": [_squad_answer(one) for one in given]}]


def _in_words(record: Record) -> list[Row]:
    """Give an answer its first place in the context; -1 where it is not there word for word."""
    given = record["answer"] if isinstance(record["answer"], list) else [record["answer"]]
    if not all(isinstance(text, str) for text in given):
        raise Unfit("an answer that is no text", given)
    answers = [{"text": text, "start": record["context"].find(text)} for text in given if text.strip()]
    return [{"context": record["context"], "question": record["question"], "answers": answers}]


def _triples(value: object) -> bool:
    """Say whether a value is a list of [start, end, label]."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, list) and len(one) >= 3 and isinstance(one[2], str) for one in value)
    )


def _doccano_field(record: Record) -> str | None:
    for name in ("entities", "annotations", "label", "labels", "spans"):
        value = record.get(name)
        if _triples(value):
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


def _doccano(record: Record) -> list[Row]:
    name = _doccano_field(record)
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


def _cluener(record: Record) -> list[Row]:
    spans = []
    for kind, name, place in _cluener_places(record):
        if not isinstance(place, list) or len(place) != 2:
            raise Unfit("a place that is not [first, last]", place)
        # Its last character is inside, where others write the one after it.
        spans.append({"start": place[0], "end": place[1] + 1, "label": kind, "text": name})
    return [{**{key: value for key, value in record.items() if key != "label"}, "spans": spans}]


def _label_studio(record: Record) -> list[Row]:
    texts = [value for value in record["data"].values() if isinstance(value, str)]
    done = [one for one in record["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(texts) != 1 or not done:
        raise Unfit("not one text with an annotation", record["data"] if len(texts) != 1 else "no annotation")
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


def _prodigy(record: Record) -> list[Row]:
    if record.get("answer") in ("reject", "ignore"):
        raise Unfit("not accepted by who marked it", record["answer"])
    return [{"text": record["text"], "spans": record.get("spans") or []}]


def _fast_text(record: Record) -> list[Row]:
    words = record["text"].split(" ")
    labels = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
    text = " ".join(word for word in words if not word.startswith("__label__"))
    return [{"text": text, "label": labels[0]} if len(labels) == 1 else {"text": text, "labels": labels}]


def _neighbours(record: Record) -> list[Row]:
    positives, negatives = record["pos"], record.get("neg") or []
    if not positives:
        raise Unfit("no positive", record["query"])
    turned = islice(cycle(negatives), len(positives)) if negatives else iter([None] * len(positives))
    return [
        {"anchor": record["query"], "positive": positive} | ({"negative": negative} if negative is not None else {})
        for positive, negative in zip(positives, turned, strict=True)
    ]


def _label_list(record: Record) -> list[Row]:
    return [{**{key: value for key, value in record.items() if key != "label"}, "labels": record["label"]}]


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)


_MARKED = ("tag",)
FORMS: Sequence[Form] = (
    Form(
        "ShareGPT",
        ("chat",),
        lambda record: (
            "conversations" in record or isinstance(record.get("conversation"), list) or _has_other_roles(record)
        ),
        _share_gpt,
    ),
    Form(
        "preferences",
        (),
        lambda record: (
            ("chosen" in record and "rejected" in record)
            or (_is_texts(record, "prompt", "completion") and isinstance(record.get("label"), bool))
        ),
        lambda record: [],
    ),
    Form(
        "Dolly",
        ("chat",),
        lambda record: _is_texts(record, "instruction", "context", "response"),
        lambda record: _alpaca({**record, "input": record["context"], "output": record["response"]}),
    ),
    Form(
        "a token a row",
        (),
        lambda record: (
            _is_texts(record, "tag")
            and any(_is_texts(record, name) for name in ("word", "token", "字"))
            and "text" not in record
        ),
        lambda record: [],
    ),
    Form("Alpaca", ("chat",), lambda record: _is_texts(record, "instruction", "output"), _alpaca),
    Form(
        "translation sets of Hugging Face",
        (),
        lambda record: isinstance(record.get("translation"), dict),
        lambda record: [],
    ),
    Form("SQuAD", ("answer",), lambda record: "paragraphs" in record or isinstance(record.get("qas"), list), _squad),
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
        _squad_flat,
    ),
    Form(
        "Label Studio",
        ("tag", "classify"),
        lambda record: isinstance(record.get("annotations"), list) and isinstance(record.get("data"), dict),
        _label_studio,
    ),
    Form(
        "CLUENER",
        _MARKED,
        lambda record: (
            isinstance(record.get("label"), dict) and all(isinstance(one, dict) for one in record["label"].values())
        ),
        _cluener,
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
        _prodigy,
    ),
    Form("doccano", _MARKED, lambda record: _doccano_field(record) is not None, _doccano),
    Form(
        "FlagEmbedding",
        ("embed",),
        lambda record: _is_texts(record, "query") and isinstance(record.get("pos"), list),
        _neighbours,
    ),
    Form(
        "fastText",
        ("classify",),
        lambda record: isinstance(record.get("text"), str) and record["text"].startswith("__label__"),
        _fast_text,
    ),
)
"""Every form, the narrowest first."""
_LOOSE = {
    "answer": Form(
        "questions with answers in words",
        ("answer",),
        lambda record: (
            _is_texts(record, "context", "question")
            and "answers" not in record
            and isinstance(record.get("answer"), str | list)
        ),
        _in_words,
    ),
    "chat": Form(
        "questions and answers",
        ("chat",),
        lambda record: "messages" not in record and _asked_and_answered(record) is not None,
        _dialogue,
    ),
    "classify": Form(
        "lists of labels", ("classify",), lambda record: _is_list_of_names(record.get("label")), _label_list
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
    "preferences": "only answers that are right are learned from: write the prompt and the chosen answer as {messages}",
    "a token a row": "write a token and its tag a line, a blank line between sentences (.conll), or {tokens, tags} a sentence",
    "translation sets of Hugging Face": "say which language is read and which is written: {source, target}",
}
