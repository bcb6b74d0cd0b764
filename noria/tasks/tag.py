"""Tag: a text's spans get labels: names of persons, places, organisations. Rows {text, spans} or {tokens, tags}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import RowError
from noria.core.messages import Message, message

from .chain import expected
from .encode import encode_windows
from .measure import Measure, span_measures
from .names import Place
from .task import IGNORED, Answer, Features, Head, Row, Task, field_text, softmax
from .tokenizer import required

OUTSIDE = "O"
Span = dict[str, Any]


class Weighed(NamedTuple):
    """What codes are chosen by."""

    places: list[Place]
    """Characters under each of T tokens that stand for something."""
    scores: np.ndarray
    """Of every code for each of them [T, outputs]."""
    steps: np.ndarray
    """Of every step from one code to the next, as `Tag.steps`."""


@dataclass(frozen=True)
class Tag(Task):
    """Spans by token, coded BIO: B- opens a span, I- goes on in it, O is outside (Ramshaw & Marcus 1995, as in CoNLL-2002).

    `labels` are the kinds of span, `outputs` their codes.
    """

    outside_penalty: float = 0.0
    """Taken off the logarithm of O's chance where codes are chosen: spans are rarer than what they are told from, and the
    likeliest codes find too few of them. Fitted on valid rows."""

    name: ClassVar[str] = "tag"
    head: ClassVar[Head] = "token"
    columns: ClassVar[tuple[str, ...]] = ("text", "spans", "tokens", "tags")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return O, then B- and I- of every label."""
        return (OUTSIDE, *(f"{mark}-{label}" for label in self.labels for mark in "BI"))

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {text, spans: [{start, end, label}]}, spans sorted; tokens with tags are joined to a text."""
        whole, tags = row.get("text"), row.get("tags")
        if isinstance(whole, str) and isinstance(tags, list) and not row.keys() & {"tokens", "spans"}:
            # A tag for each character, or for each word between blanks.
            row = {**row, "tokens": list(whole) if len(tags) == len(whole) else whole.split()}
        if "tokens" in row and "spans" not in row:
            text, spans = _from_tokens(row, file, line)
        else:
            text = field_text(row, "text", file=file, line=line)
            spans = _checked_spans(row, text, file, line)
        for span in spans:
            if self.labels and span["label"] not in self.labels:
                raise RowError(
                    message("tasks.unknown_label"),
                    file=file,
                    line=line,
                    field="spans",
                    found=span["label"],
                    allowed=self.labels,
                )
        return {"text": text, "spans": spans}

    def windows(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> list[Features]:
        """Return a long text in windows that overlap; a span counts in the window that owns its beginning."""
        text = row if isinstance(row, str) else str(row["text"])
        return encode_windows(required(tokenizer), text, max_length, prefix=self.prefix)

    def target(self, row: Row, features: Features) -> list[int]:
        """Return a code a token; a token that lies across a border belongs to the span that holds most of it."""
        places = [place_of(features, index) for index in range(len(features.ids))]
        codes = [IGNORED if start == end else 0 for start, end in places]
        for span in row["spans"]:
            opened = False
            for index, (start, end) in enumerate(places):
                inside = min(end, span["end"]) - max(start, span["start"])
                if 2 * inside > end - start:
                    codes[index] = 1 + 2 * self.labels.index(span["label"]) + int(opened)
                    opened = True
        return codes

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"spans": [{start, end, label, text, score}]} for logits [T, outputs].

        The codes are the likeliest that obey BIO (Viterbi with forbidden steps only), O less `outside_penalty`; a span's
        score is the geometric mean of its tokens' probabilities. Where there is a companion both answer together, its steps
        between codes among what is weighed, and a token's probability is that in all ways to code the text.
        """
        return self.decide(features, self.weigh(features, output))

    def weigh(self, features: Features, output: np.ndarray) -> Weighed:
        """Return what stands for and against every code of the tokens, by logits [T, outputs] and by the companion."""
        kept, places = self.tokens(features)
        scores, steps = np.log(softmax(np.asarray(output)[kept], self.temperature) + 1e-30), self.steps
        if self.companion is not None:
            own = Features([features.ids[one] for one in kept], places, features.meta)
            scores = self.companion.fused(own, scores) if kept else scores
            steps = steps + self.companion.steps
        return Weighed(places, scores, steps)

    def decide(self, features: Features, weighed: Weighed, *, scored: bool = True) -> Answer:
        """Return the spans that what was weighed says; without true scores, which take as long again, where they are not `scored`."""
        text: str = features.meta["text"]
        places, scores, steps = weighed
        if not places:
            return {"spans": []}
        bold = scores - self.outside_penalty * (np.arange(scores.shape[1]) == 0)
        if self.companion is None and not bold.argmax(axis=1).any():
            return {"spans": []}  # O may follow anything: its path is the best of all
        codes = viterbi(bold, steps)
        if self.companion is not None and scored and any(codes):
            scores = np.log(expected(scores[None], steps, np.array([len(places)])).codes[0] + 1e-30)
        spans: list[Span] = []
        for row, ((start, end), code) in enumerate(zip(places, codes, strict=True)):
            if code == 0:
                continue
            if code % 2 == 1:
                spans.append({"start": start, "end": end, "label": self.labels[code // 2], "chances": []})
            spans[-1]["end"] = max(end, spans[-1]["end"])
            spans[-1]["chances"].append(scores[row, code])
        first, last = features.meta.get("owns", (0, len(text)))
        return {
            "spans": [
                {
                    "start": span["start"],
                    "end": span["end"],
                    "label": span["label"],
                    "text": text[span["start"] : span["end"]],
                    "score": float(np.exp(np.mean(span["chances"]))),
                }
                for span in spans
                if first <= span["start"] < last
            ]
        }

    def join(self, answers: Sequence[Answer]) -> Answer:
        """Return the spans of all windows; of two that overlap the likelier stays."""
        kept: list[Span] = []
        for span in sorted((span for answer in answers for span in answer["spans"]), key=lambda span: span["start"]):
            if not kept or span["start"] >= kept[-1]["end"]:
                kept.append(span)
            elif span["score"] > kept[-1]["score"]:
                kept[-1] = span
        return {"spans": kept}

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return strict span F1, precision and recall, micro-averaged, and the mean F1 of the labels."""
        return span_measures([row["spans"] for row in rows], [answer["spans"] for answer in answers])

    def tokens(self, features: Features) -> tuple[list[int], list[Place]]:
        """Return which tokens stand for something of the text, and the characters under each, without white space at the ends."""
        places = [place_of(features, index) for index in range(len(features.ids))]
        kept = [index for index, (start, end) in enumerate(places) if start < end]
        return kept, [places[index] for index in kept]

    @property
    def steps(self) -> np.ndarray:
        """Return 0 where one code may follow another and -inf where not; the last row is the start [outputs + 1, outputs]."""
        size = len(self.outputs)
        steps = np.zeros((size + 1, size))
        for code in range(2, size, 2):
            allowed = np.zeros(size + 1, dtype=bool)
            allowed[[code - 1, code]] = True
            steps[~allowed, code] = -np.inf
        return steps


def viterbi(probabilities: np.ndarray, steps: np.ndarray) -> list[int]:
    """Return the codes with the highest sum of log `probabilities` [T, C] and `steps` [C + 1, C], last row: from the start (Viterbi 1967)."""
    best = probabilities[0] + steps[-1]
    back = []
    for row in probabilities[1:]:
        table = best[:, None] + steps[:-1]
        came = table.argmax(axis=0)
        back.append(came)
        best = table[came, np.arange(len(row))] + row
    codes = [int(best.argmax())]
    for came in reversed(back):
        codes.append(int(came[codes[-1]]))
    return codes[::-1]


def place_of(features: Features, index: int) -> tuple[int, int]:
    """Return the characters under a token without white space at its ends; equal numbers where it covers none."""
    start, end = features.offsets[index]
    under = features.meta["text"][start:end]
    bare = under.strip()
    if not bare:
        return start, start
    start += len(under) - len(under.lstrip())
    return start, start + len(bare)


_MARKS = {"B": "B", "I": "I", "M": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
"""Mark of a tag -> what it says: B begins, I goes on, E ends, S stands alone; of BIO, BMES, BIOES, BILOU and IO."""


def _checked_spans(row: Mapping[str, object], text: str, file: str | Path, line: int) -> list[Span]:
    given = row.get("spans")
    if "spans" not in row:
        raise RowError(
            message("tasks.field_missing"),
            file=file,
            line=line,
            field="spans",
            found=", ".join(map(str, row)),
            allowed=message("tasks.spans_start"),
        )
    if not isinstance(given, list):
        raise RowError(
            message("tasks.list"), file=file, line=line, field="spans", found=given, allowed="[{start, end, label}]"
        )
    spans: list[Span] = []
    for span in given:
        if not isinstance(span, dict) or not {"start", "end", "label"} <= span.keys():
            raise RowError(
                message("tasks.span"), file=file, line=line, field="spans", found=span, allowed="{start, end, label}"
            )
        start, end, label = span["start"], span["end"], span["label"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise RowError(
                message("tasks.span_outside"),
                file=file,
                line=line,
                field="spans",
                found=message("tasks.to_2", start=start, end=end),
                allowed=f"0 <= start < end <= {len(text)}",
            )
        if not isinstance(label, str) or not label:
            raise RowError(message("tasks.span_label"), file=file, line=line, field="spans", found=label)
        given = span.get("text")
        if isinstance(given, str) and given != text[start:end]:
            raise RowError(
                message("tasks.span_own"),
                file=file,
                line=line,
                field="spans",
                found=message("tasks.and_from", given=given, text=text[start:end], start=start, end=end),
                hint=_where(given, text, start, end),
            )
        spans.append({"start": start, "end": end, "label": label})
    spans.sort(key=lambda span: (span["start"], span["end"]))
    for left, right in pairwise(spans):
        if right["start"] < left["end"]:
            raise RowError(
                message("tasks.spans_overlap"),
                file=file,
                line=line,
                field="spans",
                found=message("tasks.and", left=left, right=right),
            )
    return spans


def _where(given: str, text: str, start: int, end: int) -> Message:
    """Return what was probably meant by a place whose text is another."""
    wide = text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le", errors="replace")
    if wide == given:
        return message("tasks.where.utf_16")
    if text.encode()[start:end].decode(errors="replace") == given:
        return message("tasks.where.bytes")
    if text[start : end + 1] == given:
        return message("tasks.where.last")
    place = text.find(given)
    return (
        message("tasks.where.there", start=place, end=place + len(given))
        if place >= 0
        else message("tasks.where.nowhere")
    )


def _from_tokens(row: Mapping[str, object], file: str | Path, line: int) -> tuple[str, list[Span]]:
    tokens, tags = row.get("tokens"), row.get("tags")
    for field, value in (("tokens", tokens), ("tags", tags)):
        if isinstance(value, list) and field == "tags" and any(type(one) is int for one in value):
            raise RowError(
                message("tasks.tags_numbers"),
                file=file,
                line=line,
                field=field,
                found=value,
                hint=message("tasks.write_names_they"),
                allowed=message("tasks.schemes"),
            )
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise RowError(message("tasks.list_texts"), file=file, line=line, field=field, found=value)
    assert isinstance(tokens, list)
    assert isinstance(tags, list)
    if not tokens or len(tokens) != len(tags):
        raise RowError(
            message("tasks.tokens_tags"),
            file=file,
            line=line,
            field="tags",
            found=message("tasks.tokens_tags_2", tokens=len(tokens), tags=len(tags)),
        )
    text, before = "", OUTSIDE
    spans: list[Span] = []
    by_character = any(len(token) == 1 and token >= "\u2e80" for token in tokens) or (
        len(tokens) > 1 and all(len(token) == 1 for token in tokens)
    )
    last = ""
    for token, tag in zip(tokens, tags, strict=True):
        mark, label = _read_tag(tag, file, line)
        if last and _spaced(last, token, by_character):
            text += " "
        if mark in ("I", "E") and before == label:
            spans[-1]["end"] = len(text) + len(token)
        elif mark != OUTSIDE:
            spans.append({"start": len(text), "end": len(text) + len(token), "label": label})
        before = label if mark in ("B", "I") else OUTSIDE
        text += token
        last = token
    if not text.strip():
        raise RowError(message("tasks.text_blank"), file=file, line=line, field="tokens", found=tokens)
    return text, spans


def _read_tag(tag: str, file: str | Path, line: int) -> tuple[str, str]:
    """Return what a tag says, and its label."""
    if tag in ("O", "o"):
        return OUTSIDE, ""
    mark, label = tag[:1].upper(), tag[2:].strip()
    if mark not in _MARKS or tag[1:2] not in ("-", "_") or not label:
        raise RowError(
            message("tasks.tag"), file=file, line=line, field="tags", found=tag, allowed=message("tasks.schemes")
        )
    return _MARKS[mark], label


def _spaced(left: str, right: str, by_character: bool) -> bool:
    """Say whether a space belongs between two tokens.

    None does beside Chinese, Japanese or full-width characters, nor beside a space; where the tokens are characters, none
    does inside a run of Latin letters and digits: 买 i P h o n e 1 5 去 was 买iPhone15去.
    """
    if left.isspace() or right.isspace():
        return False
    if by_character and len(left) == len(right) == 1:
        return False
    return max(left[-1], right[0]) < "\u2e80"
