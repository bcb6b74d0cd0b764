"""What routes of data sets take and give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from noria.server.data.labels import Truth

from .fields import INTEGRAL, Body, Given, Name, Number, Text
from .replies import Reply

TaskName = Literal["", "classify", "tag", "answer", "translate", "summarise", "chat", "embed", "complete"]
Version = Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$")]


class Uploaded(BaseModel):
    """POST /data/{set}: what the body is."""

    file: Annotated[str, Field(min_length=1, max_length=512)]
    """Name of the file: its ending says what it is, where its content does not."""
    task: TaskName = ""
    """What the rows are for; classify unless told."""
    add: bool = False
    """Put the rows behind those of a set that is there."""


class WhichRows(BaseModel):
    """GET /data/{set}/rows: which rows of a version, and which page of them."""

    version: Version = ""
    """The current one where left out."""
    search: Annotated[str, Field(max_length=512)] = ""
    """Text that stands in one of the fields."""
    label: Annotated[str, Field(max_length=512)] = ""
    """Label that they have."""
    show: Literal["all", "labelled", "unlabelled", "doubtful", "repeats"] = "all"
    start: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Rows before the page."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class WhichFile(BaseModel):
    """GET /data/{set}/file: which version, and which part of it."""

    version: Version = ""
    """The current one where left out; labels given since become one first."""
    part: Literal["", "labelled", "train", "valid", "test"] = ""
    """A part that a split made, or the rows with a label alone; all rows where left out."""


class WhichTwo(BaseModel):
    """GET /data/{set}/diff: two versions."""

    before: Version
    after: Version = ""
    """The current one where left out."""


class Columns(Body):
    """POST /data/{set}/columns."""

    version: Name
    """The version that was looked at: where somebody changed the set meanwhile nothing is done (409)."""
    columns: Annotated[dict[str, Given | None], Field(max_length=200)]
    """Column -> its new name, such as text or label; null drops it."""
    task: TaskName | None = None
    """What the rows are for from now on."""


class SpanGiven(Body):
    """A labelled part of a text, from one character to before another."""

    start: Annotated[int, Field(ge=0), INTEGRAL]
    end: Annotated[int, Field(ge=1), INTEGRAL]
    label: Given


Spans = Annotated[list[SpanGiven], Field(max_length=1_000)]
Labels = Annotated[list[Given], Field(max_length=200)]


class RowLabel(Body):
    """What one row is given: a label, or a list of labels, or spans, as the rows of the set have them."""

    id: Given
    label: Given | None = None
    """Null, where no labels and no spans are given, takes away what the row has."""
    labels: Labels | None = None
    """Of rows that may have several; an empty list says that none fits."""
    spans: Spans | None = None
    """Of named entities; an empty list says that there is none."""
    seen: Text | Labels | Spans | None = None
    """What was seen there: somebody else's that was not is told."""

    def truth(self) -> Truth | None:
        """Return what is given."""
        return _plain(next((one for one in (self.label, self.labels, self.spans) if one is not None), None))

    def known(self) -> Truth | None:
        """Return what was seen."""
        return _plain(self.seen)


def _plain(given: str | list[str] | list[SpanGiven] | None) -> Truth | None:
    if isinstance(given, list):
        return [one if isinstance(one, str) else one.model_dump() for one in given]
    return given


class LabelsGiven(Body):
    """POST /data/{set}/labels."""

    labels: Annotated[list[RowLabel], Field(min_length=1, max_length=1_000, fail_fast=True)]

    @model_validator(mode="after")
    def _one_of_each(self) -> LabelsGiven:
        for row in self.labels:
            if sum(one is not None for one in (row.label, row.labels, row.spans)) > 1:
                raise ValueError("label, labels or spans: one of them for a row")
        return self


class Removed(Body):
    """POST /data/{set}/remove."""

    version: Name
    """The version that was looked at."""
    ids: Annotated[list[Given], Field(max_length=100_000, fail_fast=True)] = Field(default_factory=list)
    """Rows to remove."""
    repeats: bool = False
    """Remove texts that come again, of which the first stays."""


class Checked(Body):
    """POST /data/{set}/review."""

    model: Name | None = None
    """Name of a served classifier that judges the labels; a light model that has not seen them where left out."""


class Divided(Body):
    """POST /data/{set}/split: the shares; what is left is for training."""

    valid: Annotated[Number, Field(ge=0, le=0.5)] = 0.1
    test: Annotated[Number, Field(ge=0, le=0.4)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31), INTEGRAL] = 0


class Back(Body):
    """POST /data/{set}/current."""

    version: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class Reason(Reply):
    """Why rows were not taken."""

    reason: str
    rows: int
    examples: list[tuple[int, str]]
    """Line of the file, and what stands there."""


class ReadFacts(Reply):
    """What was read of an upload: read = taken + there + the rows of all refusals."""

    file: str
    format: str
    read: int
    taken: int
    there: int
    """Rows that the set held before."""
    refused: list[Reason]
    notes: list[str]
    columns: dict[str, str]
    """Field -> the column that was taken for it."""


class ChangeFacts(Reply):
    """One change of a set."""

    version: str
    made: str
    by: str
    action: Literal["upload", "add", "columns", "label", "remove", "back"]
    rows: int
    labelled: int
    labels: dict[str, int]
    columns: dict[str, int]
    file: str
    count: int


class SetFacts(Reply):
    """A set as it is."""

    name: str
    task: str
    version: str
    rows: int
    labelled: int
    waiting: int
    """Labels given since the version."""
    labels: dict[str, int]
    columns: dict[str, int]
    changes: list[ChangeFacts]
    read: ReadFacts | None


class Sets(Reply):
    """All sets, those changed last first."""

    data: list[SetFacts]
