"""What a run has written, read for showing: stages, models, certificates."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.errors import FolderError
from noria.core.figure import Figure
from noria.core.folder import MANIFEST, Manifest, read_manifest
from noria.core.messages import Message, line_of

CERTIFICATE = "certificate.json"
ORDER = ("corpus", "pretrain", "base", "sentiment", "entities", "compress", "ship", "grow")
"""The stages of the main job, in the order in which the wheel turns."""


@dataclass(frozen=True)
class StageRecord:
    """A finished stage of the wheel, from `<name>.stage.json`."""

    name: str
    line: Message
    figures: tuple[Figure, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: float = 0.0
    """Unix time at which the record was written."""


@dataclass(frozen=True)
class ModelRecord:
    """A model folder, whole or damaged."""

    name: str
    folder: Path
    manifest: Manifest | None
    """None where the folder is damaged."""
    certificate: dict[str, Any] | None = None
    damage: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the model."""
        return self.manifest.facts if self.manifest else {}

    @property
    def task(self) -> str:
        """Return the task the model was made for."""
        return str(self.facts.get("task", ""))

    def figures(self, name: str = "metrics") -> list[Figure]:
        """Return the model's metrics, or its baseline's under `baseline`."""
        return [figure_of(entry) for entry in self.facts.get(name) or []]


def figure_of(entry: dict[str, Any]) -> Figure:
    """Return a figure from its dict, leaving out keys that a newer writer may have added."""
    return Figure(**{key: value for key, value in entry.items() if key in Figure.__dataclass_fields__})


def stages(root: Path) -> dict[str, StageRecord]:
    """Return the finished stages of a run by name, in the order of the wheel; unknown ones last, as they were finished."""
    records = []
    for path in root.glob("*.stage.json"):
        value = read_json(path)
        if not isinstance(value, dict) or "line" not in value:  # begun and not finished, or torn
            continue
        records.append(
            StageRecord(
                name=str(value.get("name") or path.name.removesuffix(".stage.json")),
                line=line_of(value),
                figures=tuple(figure_of(entry) for entry in value.get("figures") or []),
                facts=value.get("facts") or {},
                seconds=float(value.get("seconds") or 0.0),
                finished=path.stat().st_mtime,
            )
        )

    def place(record: StageRecord) -> tuple[int, float]:
        return (ORDER.index(record.name) if record.name in ORDER else len(ORDER), record.finished)

    return {record.name: record for record in sorted(records, key=place)}


def models(root: Path) -> list[ModelRecord]:
    """Return the model folders right below `root`, oldest first; damaged ones say what is wrong with them."""
    records = []
    for path in sorted(root.glob(f"*/{MANIFEST}")):
        folder = path.parent
        if folder.name.startswith("."):
            continue
        try:
            manifest = read_manifest(folder)
        except FolderError as error:
            records.append(ModelRecord(folder.name, folder, None, damage=str(error)))
            continue
        if manifest.kind == "model":
            records.append(ModelRecord(folder.name, folder, manifest, read_json(folder / CERTIFICATE)))
    return sorted(
        records, key=lambda record: (record.manifest is None, record.manifest.created if record.manifest else "")
    )


def signature(root: Path) -> tuple[tuple[str, int], ...]:
    """Return what changes when a stage or a model of a run changes: cheap enough to ask every few seconds."""
    paths = [*root.glob("*.stage.json"), *root.glob(f"*/{MANIFEST}")]
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in paths))


def read_json(path: Path) -> Any:
    """Return a JSON file's value, or None where there is no such file or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
