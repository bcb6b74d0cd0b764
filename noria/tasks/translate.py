"""Translate, and summarise: a text is written anew, in another language or shorter. Rows {source, target}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer

from noria.core.errors import InputError
from noria.core.messages import message
from noria.text.script import is_chinese

from .encode import encode, end_of
from .measure import Measure, mean_measure
from .overlap import rouge_l, written_measures
from .task import Answer, Features, Head, Row, Task, field_text
from .tokenizer import required


@dataclass(frozen=True)
class Translate(Task):
    """What an encoder-decoder writes when it has read the source."""

    name: ClassVar[str] = "translate"
    head: ClassVar[Head] = "seq2seq"
    columns: ClassVar[tuple[str, ...]] = ("source", "target")

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {source, target}."""
        return {name: field_text(row, name, file=file, line=line) for name in ("source", "target")}

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the ids of the source, and where the row has a target `meta["target_ids"]`, which end with the end's id.

        Raises:
            InputError: the tokenizer has no token that could end a text.
        """
        tokenizer = required(tokenizer)
        if isinstance(row, str):
            return encode(tokenizer, row, max_length, prefix=self.prefix)
        features = encode(tokenizer, str(row["source"]), max_length, prefix=self.prefix)
        if "target" in row:
            features.meta["target_ids"] = written_ids(tokenizer, str(row["target"]), max_length)
        return features

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the source."""
        return [row["source"]]

    def target(self, row: Row, features: Features) -> list[int]:
        """Return the ids to write, the end's the last."""
        return list(features.meta["target_ids"])

    def answer(self, features: Features, output: str) -> Answer:
        """Return {"text"}: what was written."""
        return {"text": output.strip()}

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task as it is: nothing of it depends on rows."""
        return self

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return BLEU and chrF, 0 to 100, as sacreBLEU computes them."""
        truth = [row["target"] for row in rows]
        return written_measures(truth, [one["text"] for one in answers], chinese=is_chinese(truth))


@dataclass(frozen=True)
class Summarise(Translate):
    """The same, judged first by how much of the true summary is there in order."""

    name: ClassVar[str] = "summarise"

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return ROUGE-L, 0 to 1, of characters where the summaries are Chinese, else of words; then BLEU and chrF."""
        truth, said = [row["target"] for row in rows], [one["text"] for one in answers]
        chinese = is_chinese(truth)
        near = [rouge_l(true, given, chinese=chinese) for true, given in zip(truth, said, strict=True)]
        return [mean_measure("ROUGE-L", near), *written_measures(truth, said, chinese=chinese)]


def written_ids(tokenizer: Tokenizer, text: str, max_length: int) -> list[int]:
    """Return the ids of a text that a model is to write, at most `max_length`, the end's the last.

    Raises:
        InputError: the tokenizer has no token that could end a text.
    """
    end = end_of(tokenizer)
    if end is None:
        raise InputError(message("tasks.tokenizer_token"), hint=message("tasks.take_base"))
    return [*tokenizer.encode(text, add_special_tokens=False).ids[: max_length - 1], end]
