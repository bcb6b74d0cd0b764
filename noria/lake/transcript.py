"""What was said, as an event's `text` holds it: what a request asked and got, or the better answer of a feedback; masked.

    exchange = Exchange("tag", ["电话 13800138000，找王芳"], [{"spans": [{"start": 17, "end": 19, "label": "person"}]}])
    text = exchange.masked(mask).text()      # personal data is out, and the spans stand where they stood
    read_said(text)

`mask` is handed in: without one nothing that was said is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError
from noria.core.messages import message

if TYPE_CHECKING:
    from noria.text.personal_data import Find


Mask = Callable[[str], "tuple[str, Sequence[Find]]"]
"""A text -> the text with <KIND> in the place of personal data, and what was found."""
Place = tuple[int, int, int]
"""What was masked: start and end in the text as it was said, and the length of what stands there now."""
Span = dict[str, Any]
"""{start, end, label}, in characters."""
LONGEST = 64 * 1024
"""Characters above which nothing is kept of what was said: no training row is as long."""
_ANSWER = ("label", "labels", "spans", "text")
"""What is kept of an answer; probabilities and vectors are not."""


@dataclass(frozen=True)
class Exchange:
    """A request: the task, what was given, and what came of it."""

    task: str
    input: list[Any]
    """A text, or a row of the task such as {question, context} or {messages}, one an answer."""
    output: list[dict[str, Any]]
    """{label}, {labels}, {spans} or {text}."""
    masks: list[list[Place] | None] = field(default_factory=list)
    """For every text of `input` what was masked in it; None where places cannot be told any more."""

    def masked(self, mask: Mask) -> Exchange:
        """Return it without personal data, spans moved to where they now stand."""
        texts, outputs, masks = [], [], []
        for given, answer in zip(self.input, self.output, strict=True):
            places: list[Place] | None = []
            if isinstance(given, str):
                masked, places = _masked(given, mask)
            else:
                masked = _clean(given, mask)
            kept = {name: answer[name] for name in _ANSWER if name in answer}
            if "spans" in kept:
                spans = moved(kept.pop("spans"), places)
                if len(spans) == len(answer["spans"]):  # else the rest would be no answer to this text
                    kept["spans"] = spans
            if "text" in kept:
                kept["text"] = mask(kept["text"])[0]
            texts.append(masked)
            outputs.append(kept)
            masks.append(places)
        return Exchange(self.task, texts, outputs, masks)

    def text(self) -> str:
        """Return it as JSON; empty where it is longer than is kept."""
        return _json(asdict(self))


@dataclass(frozen=True)
class Correction:
    """A feedback's word on one answer of its request."""

    index: int
    """Which of the request's texts it is about."""
    better: Any
    """What the answer should have been: a label, labels, spans in characters of the text as it was said, or a text."""

    def masked(self, mask: Mask) -> Correction:
        """Return it without personal data; places of spans are those of the text as it was said."""
        return Correction(self.index, _clean(self.better, mask))

    def text(self) -> str:
        """Return it as JSON; empty where it is longer than is kept."""
        return _json(asdict(self))


def read_exchange(text: str) -> Exchange | Correction:
    """Return what an event's text holds.

    Raises:
        InputError: it holds neither.
    """
    try:
        values = json.loads(text)
        if "task" in values:
            values["masks"] = [None if one is None else [tuple(place) for place in one] for one in values["masks"]]
            return Exchange(**values)
        return Correction(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(message("lake.event_text"), found=str(error)) from None


def moved(spans: Sequence[Mapping[str, Any]], places: Sequence[Place] | None) -> list[Span]:
    """Return spans of a text as it was said where they stand in the masked one; one that a mask cuts through is left out.

    >>> moved([{"start": 17, "end": 19, "label": "person"}], [(3, 14, 7)])
    [{'start': 13, 'end': 15, 'label': 'person'}]
    """
    if places is None:
        return []
    kept = []
    for span in spans:
        start, end = _moved(span["start"], places, 0), _moved(span["end"], places, 1)
        if start is not None and end is not None:
            kept.append({"start": start, "end": end, "label": span["label"]})
    return kept


def _moved(position: int, places: Sequence[Place], end: int) -> int | None:
    shift = 0
    for first, last, length in places:
        if position >= last:
            shift += length - (last - first)
        elif position > first or (end and position == last):
            return None
    return position + shift


def _masked(text: str, mask: Mask) -> tuple[str, list[Place] | None]:
    masked, finds = mask(text)
    places = [(one.start, one.end, len(one.kind) + 2) for one in finds]
    # A mask repeated until nothing is found tells later rounds' places in other characters; then none can be trusted.
    once, last = [], 0
    for one in finds:
        once += [text[last : one.start], f"<{one.kind}>"]
        last = one.end
    return masked, places if "".join(once) + text[last:] == masked else None


def _clean(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)[0]
    if isinstance(value, Mapping):
        return {name: _clean(one, mask) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one, mask) for one in value]
    return value


def _json(values: dict[str, Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= LONGEST else ""
