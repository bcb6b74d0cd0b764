"""Companion: the light model that may stand beside a large one in its folder, and how the two answer together.

    task = open_task(folder)                   # with the folder's companion, where it holds one
    task.answer(features, logits)              # of both
    replace(task, companion=None)              # the large model alone

A companion reads the text itself, all of it. The two are joined as a weighted product of their probabilities, that is, as a
weighted sum of logits (a logarithmic opinion pool, Genest and Zidek 1986; Hinton 2002, "products of experts"); its weights
are fitted on valid rows, and where the large model adds nothing its weight is 0.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from noria.core.errors import FolderError
from noria.core.folder import Manifest, OpenFolder, read_manifest
from noria.core.messages import message

from .chain import ChainModel
from .ngrams import NgramModel
from .task import Companion, Features, Task, Weights, task_of

FILE = "companion/model.safetensors"
"""Where a model folder holds its companion."""
UNSEEN = 0.5
"""Rows that a label counts as having been seen in, where the companion's training rows have none of it."""


@dataclass(frozen=True)
class NgramCompanion:
    """The n-gram model of a classifier: of a text, or of two, for one label or for many."""

    ngrams: NgramModel
    known: tuple[int, ...]
    """Of each output the place of its label among the task's; labels that its training rows lack have none."""
    labels: int
    """How many the task has."""
    rows: int
    """That it has learned from."""
    many: bool = False
    """Whether each label is for itself."""
    weights: Weights = field(default_factory=Weights)
    kind: ClassVar[str] = "ngrams"

    def logits(self, features: Features) -> np.ndarray:
        """Return its logits, float64 [labels]: of one label log probabilities, of many labels log odds."""
        outputs = self.ngrams(features.meta["text"], features.meta.get("pair"))
        rare = np.log(UNSEEN / (self.rows + 2 * UNSEEN))
        found = np.full(self.labels, rare)
        if self.many:
            found[list(self.known)] = outputs
            return found
        if len(outputs) == 1 and len(self.known) == 2:
            outputs = np.array([0.0, outputs[0]])
        top = outputs.max()
        found[list(self.known)] = outputs - top - np.log(np.exp(outputs - top).sum())
        return found

    def fused(self, features: Features, logits: np.ndarray) -> np.ndarray:
        """Return the weighted sum of both models' logits [labels]."""
        return np.asarray(self.weights.model * logits + self.weights.companion * self.logits(features))

    @property
    def steps(self) -> np.ndarray:
        """Return nothing: a classifier has none."""
        return np.zeros(0)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the n-gram model's arrays, and the places of its labels."""
        return {**self.ngrams.tensors(), "known": np.array(self.known, dtype=np.int64)}

    def facts(self) -> dict[str, Any]:
        """Return the unit of its grams and what it was made of."""
        return {"unit": self.ngrams.unit, "labels": self.labels, "rows": self.rows, "many": self.many}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any], weights: Weights) -> NgramCompanion:
        """Return the companion of these arrays and facts."""
        ngrams = NgramModel.of_tensors(tensors, facts["unit"])
        known = tuple(tensors["known"].tolist())
        return cls(ngrams, known, facts["labels"], facts["rows"], facts["many"], weights)


@dataclass(frozen=True)
class ChainCompanion:
    """The light tagger of a tagger: names of training rows and what stands round them, joined token by token."""

    chain: ChainModel
    rows: int
    """That it has learned from."""
    weights: Weights = field(default_factory=Weights)
    kind: ClassVar[str] = "chain"

    def fused(self, features: Features, logits: np.ndarray) -> np.ndarray:
        """Return the weighted sum of both models' scores [T, outputs]."""
        own = self.chain(features.meta["text"], features.offsets)
        return np.asarray(self.weights.model * logits + self.weights.companion * own)

    @property
    def steps(self) -> np.ndarray:
        """Return the weighted scores of its steps [outputs + 1, outputs]."""
        return np.asarray(self.weights.companion * self.chain.steps.astype(np.float64))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the chain's arrays."""
        return self.chain.tensors()

    def facts(self) -> dict[str, Any]:
        """Return what it was made of."""
        return {"rows": self.rows}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any], weights: Weights) -> ChainCompanion:
        """Return the companion of these arrays and facts."""
        return cls(ChainModel.of_tensors(tensors), facts["rows"], weights)


KINDS: dict[str, type[NgramCompanion | ChainCompanion]] = {"ngrams": NgramCompanion, "chain": ChainCompanion}
"""Name in `noria.json` -> class."""


def open_task(folder: Path, manifest: Manifest | None = None) -> Task:
    """Return the task that a model folder answers, its companion with it where it holds one: what all that answers opens.

    Args:
        folder: a model folder.
        manifest: of the folder, where it has been read.

    Raises:
        FolderError: the folder is no model, does not say its task, or its companion cannot be read.
    """
    manifest = manifest or read_manifest(folder)
    task, facts = task_of(manifest), manifest.facts.get("companion")
    if not facts:
        return task
    file = folder / FILE
    try:
        weights = Weights(**facts["weights"])
        companion = read_companion(file, weights)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FolderError(message("infer.cannot_read", file=file), found=f"{type(error).__name__}: {error}") from None
    return replace(task, companion=companion)


def read_companion(file: Path, weights: Weights) -> Companion:
    """Return what `write_companion` wrote.

    Raises:
        OSError, SafetensorError, KeyError, ValueError, TypeError: it is missing or damaged, or of a kind that is not known.
    """
    with safe_open(file, framework="np") as opened:
        facts = json.loads(opened.metadata()["companion"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, it is no dict
    return KINDS[facts.pop("kind")].of(tensors, facts, weights)


def write_companion(companion: Companion, file: Path) -> None:
    """Write a companion, its weights apart, as a file of safetensors."""
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"kind": companion.kind, **companion.facts()}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in companion.tensors().items()}
    save_file(tensors, file, metadata={"companion": json.dumps(facts)})
    file.chmod(0o644)


def copy_companion(folder: Path, target: Path) -> None:
    """Copy a folder's companion to another, where it holds one."""
    if (folder / FILE).is_file():
        (target / FILE).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / FILE, target / FILE)


def add_companion(folder: OpenFolder, task: Task) -> None:
    """Put a task's companion into the folder of its model, and say so among the facts; nothing where it has none."""
    if task.companion is None:
        return
    file = folder.path / FILE
    write_companion(task.companion, file)
    known = {"kind": task.companion.kind, "weights": asdict(task.companion.weights), "file": FILE}
    folder.facts["companion"] = {**known, "bytes": file.stat().st_size, **folder.facts.get("companion", {})}
