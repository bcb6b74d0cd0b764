"""Embed: a text becomes a vector of length one, near those of texts that mean the same. Rows {anchor, positive[, negative]}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.labels import one_label

from .encode import encode
from .measure import Measure, mean_measure
from .pooling import DEFAULT, modes_of, pooled, settings_of_folder
from .task import IGNORED, Answer, Features, Head, Row, Task, field_text
from .tokenizer import required

_MARKS = ("label", "labels", "score", "similarity", "标签", "相似度")
"""Fields that say of a pair how alike it is, in sets for training by pairs."""
_UNLIKE = ("false", "no", "contradiction", "neutral", "not_entailment", "not_duplicate", "不相似", "否")


def _is_unlike(mark: object) -> bool:
    """Say whether a mark is a number other than 1, or a word for no; a topic or a name says nothing of likeness."""
    name = one_label(mark)
    if name is None or isinstance(mark, list | dict):
        return False
    try:
        return float(name) != 1
    except ValueError:
        return name.lower() in _UNLIKE


@dataclass(frozen=True)
class Embed(Task):
    """Vectors by pooling the last hidden states as `pooling` says, then scaling to length one."""

    name: ClassVar[str] = "embed"
    head: ClassVar[Head] = "embedding"
    columns: ClassVar[tuple[str, ...]] = ("anchor", "positive", "negative")

    pooling: str = ""
    """How token states become one vector: cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken, or several joined
    by +. Unless it is given, what the base model says, else mean."""

    def __post_init__(self) -> None:
        modes_of(self.pooling or DEFAULT)

    def based_on(self, folder: Path, tokenizer: Tokenizer) -> Task:
        """Return the task with pooling and prompt of the base, where it says them and none were given.

        Raises:
            FolderError: the base makes vectors in a way not known here.
        """
        settings = settings_of_folder(folder)
        return replace(self, pooling=self.pooling or settings.pooling, prefix=self.prefix or settings.prefix)

    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return {anchor, positive} and negative where there is one; a pair that is marked as unlike is an error."""
        for mark in _MARKS:
            if _is_unlike(row.get(mark)):
                raise RowError(
                    message("tasks.pair_marked"),
                    file=file,
                    line=line,
                    field=mark,
                    found=row[mark],
                    allowed=message("tasks.true_such"),
                    hint=message("tasks.only_pairs"),
                )
        names = ["anchor", "positive", *(["negative"] if row.get("negative") not in (None, "") else [])]
        return {name: field_text(row, name, file=file, line=line) for name in names}

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return anchor and positive, and the negative where there is one."""
        return [row[name] for name in ("anchor", "positive", "negative") if name in row]

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the token ids of a bare text, or of a row's anchor; `texts` gives the others."""
        return encode(
            required(tokenizer), row if isinstance(row, str) else str(row["anchor"]), max_length, prefix=self.prefix
        )

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task as it is: pairs have no labels."""
        return self

    def target(self, row: Row, features: Features) -> int:
        """Return `IGNORED`: pairs are scored against each other, not against a class."""
        return IGNORED

    def description(self, folder: Path, max_length: int) -> str:
        """Return in words how texts become vectors, and what of the base's folder is not done by itself."""
        settings = settings_of_folder(folder)
        lines = [f"pooling {self.pooling}, " + (f"{self.prefix!r} before every text" if self.prefix else "no prompt")]
        others = [f"{name} {prompt!r}" for name, prompt in settings.prompts.items() if prompt and prompt != self.prefix]
        if others:
            lines.append(f"its other prompts ({', '.join(others)}) are put before texts by --options.prefix alone")
        if settings.max_length and max_length > settings.max_length:
            lines.append(f"it was made for texts of up to {settings.max_length} tokens, this run reads {max_length}")
        return "; ".join(lines)

    def answer(self, features: Features, output: np.ndarray) -> Answer:
        """Return {"embedding": [width numbers]} for last hidden states [T, width]."""
        vector = pooled(output, self.pooling or DEFAULT)
        return {"embedding": (vector / max(float(np.linalg.norm(vector)), 1e-12)).tolist()}

    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return how often a row's positive is nearest to its anchor among all distinct positives, and the mean reciprocal rank.

        Each answer holds "anchor" and "positive", both as `answer` returns them. A positive that several rows share, as questions
        share their answer, is one: its copies would tie with it, and rounding would say which is nearer.
        """
        places: dict[str, int] = {}
        own = np.array([places.setdefault(str(row["positive"]), len(places)) for row in rows])
        firsts = np.unique(own, return_index=True)[1]
        anchors = np.array([answer["anchor"]["embedding"] for answer in answers])
        positives = np.array([answers[first]["positive"]["embedding"] for first in firsts])
        nearness = anchors @ positives.T
        ranks = (nearness > nearness[np.arange(len(own)), own][:, None]).sum(axis=1) + 1
        return [mean_measure("recall at 1", ranks == 1), mean_measure("mean reciprocal rank", 1.0 / ranks)]


def pairs(rows: Sequence[Row], seed: int, per_row: int = 4) -> list[Row]:
    """Return rows {anchor, positive, negative} from few labelled texts, so that an encoder learns what the labels mean.

    Every text is an anchor `per_row` times; its positive is another text of its label, its negative one of another label,
    both drawn at random (contrastive tuning of sentence encoders on few examples: Tunstall et al. 2022, "SetFit"). A label
    with one text only gives no anchors.

    Args:
        rows: {text, label}, of two labels or more.
        seed: of the draws; the same rows and seed give the same pairs.
        per_row: how often a text is an anchor.

    Raises:
        InputError: fewer than two labels, or no label with two texts.
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row["label"], []).append(index)
    if len(groups) < 2 or all(len(group) < 2 for group in groups.values()):
        raise InputError(
            message("tasks.too_few"),
            found=message("tasks.texts_labels", rows=len(rows), groups=len(groups)),
            allowed=message("tasks.two_labels"),
        )
    random = np.random.default_rng(seed)
    places = np.arange(len(rows))
    drawn: list[Row] = []
    for label in sorted(groups):
        group = np.array(groups[label])
        others = places[~np.isin(places, group)]
        for anchor in group if len(group) > 1 else ():
            positives = random.choice(group[group != anchor], per_row)
            negatives = random.choice(others, per_row)
            drawn += [
                {"anchor": rows[anchor]["text"], "positive": rows[left]["text"], "negative": rows[right]["text"]}
                for left, right in zip(positives, negatives, strict=True)
            ]
    return [drawn[place] for place in random.permutation(len(drawn))]
