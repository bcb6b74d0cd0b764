"""Token states -> one vector, and what a sentence-transformers folder says of it: pooling, prompts, length.

    pooled(states, "cls")                     # [T, width] -> [width]
    pooled(states, "mean+max")                # one beside the other
    sentence_folder(folder)                   # pooling, prefix, max_length; None where the folder says nothing of them

The ways to pool, their names and their formulas are those of sentence-transformers (Reimers and Gurevych 2019), so that its
folders give here the vectors that they give there, scaled to length one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import FolderError, SettingError
from noria.core.folder import MANIFEST, read_manifest, write_json
from noria.core.messages import message

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""First token; largest of each number; mean; sum by the root of the count; mean with weights 1, 2, 3 ...; last token."""
DEFAULT = "mean"
_OLD = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Key of an older 1_Pooling/config.json -> mode, in the order in which several stand side by side."""
_WITHOUT_EFFECT = ("Normalize", "Dropout")
"""Modules that change no direction of a vector."""


def modes_of(pooling: str) -> tuple[str, ...]:
    """Return the modes that a pooling such as "mean" or "cls+mean" names.

    Raises:
        SettingError: one of them is unknown.
    """
    modes = tuple(pooling.split("+"))
    if any(mode not in MODES for mode in modes):
        raise SettingError(
            message("tasks.unknown_pooling"),
            found=pooling,
            allowed=message("tasks.several_joined", modes=", ".join(MODES)),
        )
    return modes


def pooled(states: np.ndarray, pooling: str) -> np.ndarray:
    """Return the vector of one text, float64 [modes x width], from its token states [T, width], special tokens included."""
    states = np.asarray(states, dtype=np.float64)
    return np.concatenate([_one(states, mode) for mode in modes_of(pooling)])


def _one(states: np.ndarray, mode: str) -> np.ndarray:
    count = len(states)
    if mode == "cls":
        return np.asarray(states[0])
    if mode == "lasttoken":
        return np.asarray(states[-1])
    if mode == "max":
        return np.asarray(states.max(axis=0))
    if mode == "weightedmean":
        weights = np.arange(1, count + 1, dtype=np.float64)
        return np.asarray(weights @ states / weights.sum())
    return np.asarray(states.sum(axis=0) / (count if mode == "mean" else count**0.5))


@dataclass(frozen=True)
class Sentence:
    """What a folder says of how a text becomes a vector."""

    pooling: str
    prefix: str
    """What stands before every text by default."""
    max_length: int | None
    """Tokens of the longest text it was made for."""
    prompts: Mapping[str, str]
    """Prompts by name, of which the default one stands before a text by itself."""


def sentence_folder(folder: Path) -> Sentence | None:
    """Return what a sentence-transformers folder says; None for any other folder.

    A folder in which only the transformer lies (0_Transformer, of older versions) is read with what lies beside it.

    Raises:
        FolderError: a file cannot be read, or the vectors are made in a way not known here, which is named.
    """
    root = next((one for one in (folder, folder.parent) if _holds(one, folder)), None)
    if root is None:
        return None
    pooling = DEFAULT
    for module in _json(root / "modules.json"):
        kind, path = str(module.get("type", "")).rpartition(".")[2], root / str(module.get("path", ""))
        if kind == "Pooling":
            pooling = _pooling(path / "config.json")
        elif kind != "Transformer" and kind not in _WITHOUT_EFFECT:
            raise FolderError(
                message("tasks.vectors_pass", root=root),
                found=f"{kind} ({path.name})",
                allowed=("Transformer", "Pooling", *_WITHOUT_EFFECT),
                hint=message("tasks.choose_one"),
            )
    own = _json(root / "sentence_bert_config.json", {})
    if own.get("do_lower_case"):
        raise FolderError(
            message("tasks.do_lower", root=root / "sentence_bert_config.json"),
            found=True,
            hint=message("tasks.put_lowercase"),
        )
    said = _json(root / "config_sentence_transformers.json", {})
    prompts = {str(name): str(prompt) for name, prompt in (said.get("prompts") or {}).items()}
    prefix = prompts.get(str(said.get("default_prompt_name")), "")
    longest = own.get("max_seq_length")
    return Sentence(pooling, prefix, int(longest) if longest else None, prompts)


def settings_of_folder(folder: Path) -> Sentence:
    """Return what a base says of its vectors: by Noria's manifest, else as a sentence-transformers folder, else nothing."""
    if (folder / MANIFEST).is_file():
        facts = read_manifest(folder).facts
        if facts.get("task") == "embed":
            prefix, longest = str(facts.get("prefix") or ""), facts.get("max_length")
            return Sentence(str(facts.get("pooling") or DEFAULT), prefix, longest, {})
    return sentence_folder(folder) or Sentence(DEFAULT, "", None, {})


def write_sentence_folder(folder: Path, facts: Mapping[str, Any], width: int) -> None:
    """Write what sentence-transformers reads, so that it gives the vectors of this model.

    Args:
        folder: the model folder.
        facts: of an embedding task: pooling, prefix, max_length.
        width: of a token state.
    """
    names = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
    write_json(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (kind, path) in enumerate(names)
        ],
    )
    modes = modes_of(facts.get("pooling") or DEFAULT)
    if list(modes) != [mode for mode in _OLD.values() if mode in modes]:
        # The older keys have an order of their own.
        pooling: dict[str, Any] = {"embedding_dimension": width, "pooling_mode": list(modes)}
    else:
        pooling = {"word_embedding_dimension": width, **{key: mode in modes for key, mode in _OLD.items()}}
    write_json(folder / "1_Pooling" / "config.json", {**pooling, "include_prompt": True})
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": facts.get("max_length"), "do_lower_case": False}
    )
    prefix = facts.get("prefix") or ""
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": {"text": prefix} if prefix else {},
            "default_prompt_name": "text" if prefix else None,
            "similarity_fn_name": "cosine",
        },
    )


def copy_sentence_folder(folder: Path, target: Path) -> None:
    """Copy what sentence-transformers reads of a folder beside the transformer itself, where there is any."""
    if not (folder / "modules.json").is_file():
        return
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    for module in _json(folder / "modules.json"):
        place = folder / str(module.get("path", ""))
        if place != folder and place.parent == folder and place.is_dir():
            shutil.copytree(place, target / place.name, ignore=shutil.ignore_patterns("*.bin", "*.pt", "*.pkl"))


def _holds(root: Path, folder: Path) -> bool:
    """Return whether modules.json of `root` names the folder as its transformer's."""
    if not (root / "modules.json").is_file():
        return False
    places = [root / str(one.get("path", "")) for one in _json(root / "modules.json")]
    return bool(places) and (root == folder or places[0].resolve() == folder.resolve())


def _pooling(file: Path) -> str:
    config = _json(file)
    named = config.get("pooling_mode")
    if isinstance(named, str):
        named = [named]
    modes = named or [mode for key, mode in _OLD.items() if config.get(key)] or [DEFAULT]
    odd = [key for key, value in config.items() if key.startswith("pooling_mode_") and value and key not in _OLD]
    odd += [str(mode) for mode in modes if mode not in MODES]
    if odd:
        raise FolderError(message("tasks.unknown_pooling_2", file=file), found=", ".join(odd), allowed=MODES)
    if config.get("include_prompt") is False:
        raise FolderError(
            message("tasks.include_prompt", file=file),
            allowed=message("tasks.prompts_pooled"),
            hint=message("tasks.choose_base"),
        )
    return "+".join(modes)


def _json(file: Path, default: Any = None) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is not None:
            return default
        raise FolderError(message("errors.file_missing", file=file), hint=message("tasks.folder_whole")) from None
    except ValueError as error:
        raise FolderError(message("tasks.cannot_read", file=file), found=str(error)) from None
