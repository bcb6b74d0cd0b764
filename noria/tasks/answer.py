"""Answer: a question gets the words of a text that answer it, or none. Rows {context, question, answers: [{text, start}]}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import RowError
from noria.core.messages import message
from noria.text.script import is_chinese

from .encode import encode_question
from .measure import Measure
from .overlap import answer_measures
from .task import IGNORED, Answer, Features, Head, Row, Task, field_text, softmax
from .tokenizer import required

NO_ANSWER = (0, 0)
"""Target of a window that does not hold the answer: the first special token, as in BERT (Devlin et al. 2019, 4.3)."""
NOT_SCORED = (IGNORED, IGNORED)
"""Target of a row whose answers are not in the context word for word: it says nothing of where they are."""


@dataclass(frozen=True)
class Extract(Task):
    """The likeliest span of the context, over all windows of it: probability of its start times that of its end."""

    name: ClassVar[str] = "answer"
    head: ClassVar[Head] = "span"
    columns: ClassVar[tuple[str, ...]] = ("context", "question", "answers")

    optional: bool = False
    """Whether a question may have no answer; training rows with `answers: []` say so."""
    longest: int = 64
    """The most tokens an answer has."""
    overlap: float = 0.25
    """Share of its length that a window has in common with the next."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return start and end."""
        return ("start", "end")

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {context, question, answers: [{text, start}]}; start in characters, -1 where it is not there word for word."""
        context = field_text(row, "context", file=file, line=line)
        question = field_text(row, "question", file=file, line=line)
        given = row.get("answers")
        if not isinstance(given, list):
            raise RowError(
                message("tasks.list"), file=file, line=line, field="answers", found=given, allowed="[{text, start}]"
            )
        answers = []
        for one in given:
            if not isinstance(one, dict) or type(one.get("start")) is not int or not isinstance(one.get("text"), str):
                raise RowError(
                    message("tasks.answer"), file=file, line=line, field="answers", found=one, allowed="{text, start}"
                )
            text, start = one["text"], one["start"]
            if not text.strip():
                raise RowError(
                    message("tasks.answer_blank"), file=file, line=line, field="answers", found=one, allowed="[]"
                )
            if start != -1 and (start < 0 or context[start : start + len(text)] != text):
                there = context.find(text)
                raise RowError(
                    message("tasks.context_other"),
                    file=file,
                    line=line,
                    field="answers",
                    found=one,
                    hint=message("tasks.stands", there=there) if there >= 0 else message("tasks.start_says"),
                )
            answers.append({"text": text, "start": start})
        return {"context": context, "question": question, "answers": answers}

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the first window; of a bare text the first line is the question and the rest the context."""
        return self.windows(tokenizer, row, max_length)[0]

    def windows(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> list[Features]:
        """Return the question with each part of the context."""
        if isinstance(row, str):
            question, _, context = row.partition("\n")
        else:
            question, context = str(row["question"]), str(row["context"])
        return encode_question(required(tokenizer), self.prefix + question, context, max_length, overlap=self.overlap)

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return question and context."""
        return [row["question"], row["context"]]

    def target(self, row: Row, features: Features) -> tuple[int, int]:
        """Return the first and the last token of the first answer; `NO_ANSWER`, or `NOT_SCORED` where none is there."""
        places = [(answer["start"], answer["start"] + len(answer["text"])) for answer in row["answers"]]
        places = [place for place in places if place[0] >= 0]
        if not places:
            return NOT_SCORED if row["answers"] else NO_ANSWER
        begin, end = places[0]
        first = last = None
        for index, (left, right) in enumerate(features.offsets):
            if left <= begin < right and first is None:
                first = index
            if left < end <= right:
                last = index
        return NO_ANSWER if first is None or last is None or last < first else (first, last)

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"text", "start", "end", "score", "none"} for logits [T, 2]; `none`: how likely it is not in this window."""
        chances = softmax(np.asarray(output, dtype=np.float64).T, self.temperature)
        none = float(chances[0, 0] * chances[1, 0])
        context: str = features.meta["text"]
        own = zip(features.meta["context"], features.offsets, strict=True)
        usable = [index for index, (mine, place) in enumerate(own) if mine and context[slice(*place)].strip()]
        if not usable:
            return {"text": "", "start": -1, "end": -1, "score": 0.0, "none": none}
        starts, ends = chances[0, usable], chances[1, usable]
        places = np.array(usable)
        further = places[None, :] - places[:, None]
        table = np.where((further >= 0) & (further < self.longest), starts[:, None] * ends[None, :], -1.0)
        left, right = divmod(int(table.argmax()), len(usable))
        start, end = features.offsets[usable[left]][0], features.offsets[usable[right]][1]
        under = context[start:end]
        start, end = start + len(under) - len(under.lstrip()), end - len(under) + len(under.rstrip())
        score = float(table[left, right])
        found = {"text": context[start:end], "start": start, "end": end, "score": score, "none": none}
        return self._best_span([found])

    def join(self, answers: Sequence[Answer]) -> Answer:
        """Return the likeliest answer of all windows; "" where none is likelier in every one and questions may have none."""
        return self._best_span(answers)

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task as its training rows make it: whether questions may have no answer."""
        return replace(self, optional=any(not row["answers"] for row in rows))

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return exact match and F1: by characters as CMRC 2018 where the contexts are Chinese, else by words as SQuAD v1.1."""
        return answer_measures(
            [[one["text"] for one in row["answers"]] for row in rows],
            [one["text"] for one in answers],
            chinese=is_chinese([row["context"] for row in rows]),
        )

    def _best_span(self, answers: Sequence[Answer]) -> Answer:
        best = max(answers, key=lambda one: one["score"])
        none = min(one["none"] for one in answers)
        if self.optional and none > best["score"]:
            return {"text": "", "start": -1, "end": -1, "score": best["score"], "none": none}
        return {**best, "none": none}
