"""The protocol of engines: a model folder -> logits, texts or tokens; behind it torch, the reference, and faster ones.

    engine = open_engine("runs/demo/sentiment-served")
    answer(engine, ["物流很快", "fast delivery"])      # [{"label": "positive", ...}, ...]
    answer(reader, [{"question": "谁？", "context": "王明去了北京。"}])

An engine knows token ids and logits. What a text becomes and what logits mean is the task's; which process it runs in and
who waits is the worker's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import FolderError, ResourceError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.machine import available_memory
from noria.tasks.chat import Chat
from noria.tasks.complete import Sampling
from noria.tasks.padding import Padding, types_of, usable_length, within
from noria.tasks.task import Answer, Features, Task

from .replies import Given

if TYPE_CHECKING:
    from .scheduler import Scheduler

Kind = Literal["torch", "packed", "openvino", "onnx", "pair", "llamacpp", "genai"]
KINDS = ("torch", "packed", "openvino", "onnx", "pair", "llamacpp", "genai")
ENGINES: dict[Kind, str] = {
    "pair": "engine/pair.json",
    "packed": "engine/packed.json",
    "openvino": "engine/model.xml",
    "onnx": "engine/model.onnx",
    "llamacpp": "engine/model.gguf",
    "genai": "engine/genai.gguf",
}
"""Faster engines, and the file of a model folder that each runs; a pair is first, for its engines' files lie beside its own."""
AUTO_CLASSES = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
    "embedding": "AutoModel",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
}
"""Head -> the class of transformers that loads a folder with it; masked is trained and never served."""
LEAST_CORES = 2
"""Cores that OpenVINO GenAI needs: on one, or in one thread, its version 2026.4 divides by zero and takes the process with it."""
BATCH_TOKENS = 4_096
UNBOUNDED = 512
"""Tokens of a text for a model that neither its positions nor its manifest bounds."""


class Engine(Protocol):
    """A loaded model. Not safe to use from two threads at once."""

    kind: Kind
    folder: Path
    manifest: Manifest
    task: Task
    max_length: int
    """Most token ids in one text, special tokens included."""
    padding: Padding
    """How short texts are filled up."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Return what turns texts into token ids; None where rows are numbers."""

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Return each text's logits, float32, in the shape its task's head says (see `Task`), padding left out.

        `batch` is computed in one go: the caller bounds it. `types` tells which of two texts each token is of, where it
        matters.

        Raises:
            SettingError: the head gives no logits for token ids (seq2seq, vector).
        """

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return for each text or row what `Task.answer` takes, whatever the head: logits, or the text that was written.

        They are computed in one go: the caller bounds them.
        """

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Yield the tokens that follow `ids`, at most `sampling.max_tokens`; ends before the model's end token or one of `stop`.

        Raises:
            SettingError: the model is no causal one.
        """

    def scheduler(self) -> Scheduler:
        """Return what makes several completions together, a token each a step.

        Raises:
            SettingError: the model is no causal one.
        """

    def close(self) -> None:
        """Give the memory back."""


def answer(engine: Engine, given: Sequence[Given], *, batch_tokens: int = BATCH_TOKENS) -> list[Answer]:
    """Return the answer to every text or row, computed in batches of like length; a long one is read in windows.

    Raises:
        InputError: a text that the task cannot read.
    """
    read = [engine.task.windows(engine.tokenizer, one, engine.max_length) for one in given]
    features = [window for windows in read for window in windows]
    told: list[Answer] = [{} for _ in features]
    for places in batches([len(one.ids) for one in features], batch_tokens):
        chosen = [features[place] for place in places]
        for place, output in zip(places, engine.outputs(chosen), strict=True):
            told[place] = engine.task.answer(features[place], output)
    rest = iter(told)
    return [engine.task.join(list(islice(rest, len(windows)))) for windows in read]


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield places of texts, longest first, such that each batch holds at most `batch_tokens` with padding (or one text)."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and max(lengths[batch[0]], 1) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def logits_of(engine: Engine, features: Sequence[Features]) -> list[np.ndarray]:
    """Return what a head over token ids gives for texts."""
    return engine.forward([one.ids for one in features], types_of(features, engine.padding) or None)


def in_parts(
    engine: Engine,
    parts: Sequence[Sequence[int]],
    batch: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]] | None,
) -> list[np.ndarray]:
    """Return each text's logits, computed for some texts after the others: `parts` are their places."""
    found: list[np.ndarray] = [np.empty(0)] * len(batch)
    for part in parts:
        own = None if types is None else [types[place] for place in part]
        for place, logits in zip(part, engine.forward([batch[place] for place in part], own), strict=True):
            found[place] = logits
    return found


def unpadded(task: Task, logits: np.ndarray, batch: Sequence[Sequence[int]], padding: Padding) -> list[np.ndarray]:
    """Return each text's part of the logits [B, labels] or [B, T, ...]."""
    if task.head == "sequence":
        return list(logits)
    return [logits[row, within(len(text), logits.shape[1], padding)] for row, text in enumerate(batch)]


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json` of a model folder, with what `generation_config.json` adds.

    Raises:
        FolderError: it is missing or no JSON, or asks to run code of its own.
    """
    config: dict[str, Any] = {}
    ends: frozenset[int] = frozenset()
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        try:
            config |= json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if name == "config.json":
                raise FolderError(
                    message("infer.holds_config", folder=folder), hint=message("infer.model_folder")
                ) from None
        except (ValueError, TypeError) as error:
            raise FolderError(message("infer.cannot_read", file=file), found=str(error)) from None
        if name == "generation_config.json":
            ends = end_ids(config)
    check_code(folder, config)
    if several := sorted(ends | end_ids(config)):  # the two files often name one each, and either ends a text
        config["eos_token_id"] = several
    return config


def check_code(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a folder that asks to run code of its own.

    Raises:
        FolderError: it does, and transformers itself does not know its architecture.
    """
    if "auto_map" in config and not known_natively(str(config.get("model_type", ""))):
        raise FolderError(message("infer.asks_run", folder=folder), allowed=message("infer.architectures_transformers"))


def check_memory(folder: Path, need: int | None = None, *, width: int = 4) -> None:
    """Refuse a model that would not fit the memory that is free, before anything of it is loaded.

    Args:
        folder: a model folder.
        need: bytes that loading takes; where None, its weights, by what the heads of their files say.
        width: bytes of a weight in memory.

    Raises:
        ResourceError: it would not fit; says what it takes and what is free.
    """
    if need is None:
        need = width * sum(map(count_weights, weight_files(folder)))
    if need > (free := available_memory()):
        raise ResourceError(
            message("infer.too_large", name=folder.name),
            found=f"{need / 1e9:.2f} GB",
            allowed=f"{free / 1e9:.2f} GB",
        )


def check_whole(folder: Path, info: Mapping[str, Any]) -> None:
    """Refuse weights that lack some of what their architecture has: transformers would draw it at random, without a word.

    Args:
        folder: the model folder.
        info: what transformers says of the loading.

    Raises:
        FolderError: they do; names the first and says how many.
    """
    lacking = sorted({*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])})
    if lacking:
        raise FolderError(
            message("infer.weights_lack", folder=folder),
            found=message("infer.first_of", name=lacking[0], count=len(lacking)),
        )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder's weights: those that its index names, else its one file, else all that there are.

    Some folders hold the same weights a second time, as their maker's own programs read them.
    """
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return [folder / str(name) for name in sorted(set(index["weight_map"].values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        one = folder / "model.safetensors"
        return [one] if one.is_file() else sorted(folder.glob("*.safetensors"))


def count_weights(file: Path) -> int:
    """Return how many numbers a file of safetensors holds, by its head; 0 for one that is damaged, which loading names."""
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            head = json.loads(stream.read(size)) if size < file.stat().st_size else {}
        return sum(prod(one["shape"]) for name, one in head.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def known_natively(model_type: str) -> bool:
    """Return whether transformers itself has the architecture: then its own is loaded, whatever code lies beside the weights."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]

    return model_type in CONFIG_MAPPING_NAMES


def longest(manifest: Manifest, config: dict[str, Any]) -> int:
    """Return how many token ids one text may have: what the model was trained for, within what its positions allow."""
    wanted, usable = manifest.facts.get("max_length"), usable_length(config)
    return min(int(one) for one in (wanted or usable or UNBOUNDED, usable) if one)


def end_ids_for(task: Task, config: dict[str, Any], tokenizer: Tokenizer | None) -> frozenset[int]:
    """Return the ids that end what a model says: those of its configuration, and in a chat those that end a turn."""
    turns = task.ends(tokenizer) if isinstance(task, Chat) and tokenizer else frozenset()
    return end_ids(config) | turns


def generate_one(engine: Engine, ids: Sequence[int], sampling: Sampling, stop: Collection[int]) -> Iterator[int]:
    """Yield the tokens of one completion alone; see `Engine.generate`."""
    max_tokens = min(sampling.max_tokens, engine.max_length - len(ids))
    if max_tokens < 1:
        return
    scheduler, key = engine.scheduler(), "alone"
    scheduler.begin(key, ids, sampling, max_tokens=max_tokens, stop=stop)
    try:
        while scheduler.busy:
            for _, drawn in scheduler.step():
                if isinstance(drawn, Exception):
                    raise drawn
                if drawn is not None:
                    yield drawn.token
    finally:
        scheduler.close()


def end_ids(config: dict[str, Any]) -> frozenset[int]:
    """Return the ids that end a text; what is no id ends none."""
    given = config.get("eos_token_id")
    return frozenset(
        one for one in (given if isinstance(given, list) else [given]) if isinstance(one, int) and one >= 0
    )
