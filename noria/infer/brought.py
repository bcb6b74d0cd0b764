"""What a person brings -> a model folder: a plain Hugging Face or sentence-transformers folder, a GGUF, a name on a hub.

    model_folder("Qwen2.5-0.5B-Instruct")       # of Hugging Face: a folder that says its task, weights linked
    model_folder("model-Q4_K_M.gguf")           # to be served, packed as it is
    base_folder("model-Q4_K_M.gguf")            # to be trained: its weights unpacked

Nothing is written into what was brought. What Noria must know of it, and what had to be mended, stands in a folder of the same
name in the user's cache, made once and again when the files have changed. A folder with `noria.json` is itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import FolderError
from noria.core.folder import (
    MANIFEST,
    OpenFolder,
    Source,
    cache_root,
    clear_partial,
    new_folder,
    read_manifest,
    write_json,
)
from noria.core.messages import message
from noria.tasks.chat import Chat
from noria.tasks.classify import Classify
from noria.tasks.pooling import DEFAULT, sentence_folder
from noria.tasks.specials import chat_template, pad_id, read_json, special_id
from noria.tasks.tag import OUTSIDE, Tag
from noria.tasks.task import Task, task_for
from noria.tasks.tokenizer import FILE, read_tokenizer

from .engine import check_code, end_ids, weight_files
from .gguf.folder import served_gguf, unpack_gguf
from .gguf.reader import SUFFIX, is_gguf

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Note = Callable[[str], None]
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
"""Files that are fetched from a hub: weights that are no code, and what reads them."""
_CODE = (".py", ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".onnx")
"""Files that are never linked: code, and weights that could run some."""
_TABLES = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")
"""How the names of tables of embeddings end, of which a row stands for each token."""
_FORMAT = 1
"""Changes when the folders in the cache must be made again."""


def model_folder(path: str | Path, *, weights: bool = False, note: Note | None = None) -> Path:
    """Return the model folder for what a person brings to be served or compressed.

    Args:
        path: a folder, a GGUF, or owner/name of a hub.
        weights: whether torch will load it: a GGUF is unpacked.
        note: is given what was inferred and mended, a line each, when it is done for the first time.

    Raises:
        FolderError: there is no such thing, it is damaged, holds no safetensors, asks for code of its own, its parts do not
            fit each other, or what it is for cannot be told.
        ResourceError: memory or disk would not suffice.
    """
    path = _found(path)
    if is_gguf(path):
        kind, made = ("unpacked", unpack_gguf) if weights else ("served", served_gguf)
        target = _place(path, kind) / path.name.removesuffix(SUFFIX)
        return _once(path, target, lambda: made(path, target), note)
    if not path.is_dir() or (path / MANIFEST).is_file():
        return path
    own = path if (path / "config.json").is_file() else None
    inner = own or next((one for one in sorted(path.glob("0_*")) if (one / "config.json").is_file()), path)
    target = _place(path, "linked") / path.resolve().name
    return _once(path, target, lambda: _linked(inner, target), note)


def base_folder(path: str | Path, *, note: Note | None = None) -> Path:
    """Return the folder that is trained for what a person brings: itself, or a GGUF unpacked; arguments and errors as `model_folder`."""
    path = _found(path)
    return model_folder(path, weights=True, note=note) if is_gguf(path) else path


def _found(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists() and _HUB_NAME.fullmatch(str(path)):
        return _fetched(str(path))
    whole = (path / MANIFEST).is_file() or (path / "config.json").is_file()
    return path if whole or not path.is_dir() else _only_gguf(path)


def _place(path: Path, kind: str) -> Path:
    """Return where the folder for a path lies: in the user's cache, by the path."""
    return cache_root() / "brought" / kind / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]


def _once(path: Path, target: Path, make: Callable[[], object], note: Note | None) -> Path:
    """Make a folder unless it is there for these very files."""
    state, file = _state(path), target.parent / "state.json"
    if read_json(file).get("state") == state and (target / MANIFEST).is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_partial(target.parent)
    make()
    write_json(file, {"state": state, "of": str(path.resolve())})
    if note:
        facts = read_manifest(target).facts
        note(message("infer.brought", name=target.name, task=facts["task"]))
        for line in facts.get("mended", []):
            note(line)
    return target


def _state(path: Path) -> list[Any]:
    """Return what changes when files do: their names, lengths and times."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    known = [[str(one.relative_to(path)), (said := one.stat()).st_size, said.st_mtime_ns] for one in files]
    return [_FORMAT, *known]


def _only_gguf(path: Path) -> Path:
    """Return the one GGUF in a folder that holds no model of another kind."""
    found = sorted(path.glob(f"*{SUFFIX}"))
    if len(found) > 1:
        raise FolderError(
            message("infer.several_gguf", folder=path),
            found=", ".join(one.name for one in found),
            hint=message("infer.name_one"),
        )
    return found[0] if found else path


def _fetched(name: str) -> Path:
    """Return the folder of a model that a hub has, fetched where it is not there yet."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_WANTED), etag_timeout=10))
    except Exception as error:  # a hub that is not reached, a name that it does not know, a disk that is full
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FolderError(message("infer.no_hub", name=name), found=first) from None


def _linked(folder: Path, target: Path) -> None:
    """Write the model folder for a Hugging Face folder: its task told, its configuration mended, all else linked."""
    config = read_json(folder / "config.json")
    if not config:
        raise FolderError(message("infer.holds_config", folder=folder), hint=message("infer.model_folder"))
    check_code(folder, config)
    if not any(folder.glob("*.safetensors")):
        others = ", ".join(sorted(one.name for one in folder.iterdir() if one.suffix in _CODE)) or None
        raise FolderError(message("infer.holds_safetensors", folder=folder), found=others, allowed="model.safetensors")
    check_weights(folder)
    task = inferred_task(folder, config)
    with new_folder(target, kind="model", sources=[Source(folder.name, "")]) as made:
        weights = weight_files(folder)
        for one in sorted(folder.iterdir()):
            left = one.suffix.lower() in _CODE or one.name == "config.json"
            left = left or (one.suffix == ".safetensors" and one not in weights)
            if one.is_file() and not left:
                (made.path / one.name).symlink_to(one.resolve())
        _mend(folder, config, made)
        sentence = sentence_folder(folder)
        made.facts.update(task.facts(), base=folder.name, licence="")
        if sentence is not None and sentence.max_length:
            made.facts["max_length"] = sentence.max_length


def check_weights(folder: Path) -> None:
    """Refuse weights of which a file is missing or cut short, or whose table of embeddings is not as long as the configuration says.

    Raises:
        FolderError: names what is wrong.
    """
    from safetensors import SafetensorError, safe_open

    config = read_json(folder / "config.json")
    text = _text_of(config)
    for file in weight_files(folder):
        if not file.is_file():
            raise FolderError(message("errors.file_missing", file=file))
        try:
            with safe_open(file, framework="np") as opened:
                tables = [name for name in opened.keys() if name.endswith(_TABLES)]  # noqa: SIM118 - no mapping
                rows = {int(opened.get_slice(name).get_shape()[0]) for name in tables}
        except (SafetensorError, OSError) as error:
            raise FolderError(message("infer.cannot_read", file=file), found=str(error)) from None
        one = not config.get("is_encoder_decoder")  # whose two sides may have vocabularies of their own
        if one and rows and isinstance(text.get("vocab_size"), int) and rows != {text["vocab_size"]}:
            raise FolderError(
                message("infer.other_table", file=file),
                found=message("infer.rows", rows=min(rows)),
                allowed=message("infer.rows", rows=text["vocab_size"]),
            )


def check_tokenizer(folder: Path, tokenizer: Tokenizer, rows: object) -> None:
    """Refuse a tokenizer whose own vocabulary, without the tokens that were added to it, is larger than the table of embeddings.

    Raises:
        FolderError: it is.
    """
    highest = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1)
    if isinstance(rows, int) and highest >= rows:
        raise FolderError(
            message("infer.other_tokenizer", folder=folder), found=highest + 1, allowed=message("infer.rows", rows=rows)
        )


def _text_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that is about text, itself where there is none."""
    part = config.get("text_config")
    return part if isinstance(part, dict) else config


def _mend(folder: Path, config: dict[str, Any], made: OpenFolder) -> None:
    """Write the configuration with what it lacks, and refuse a tokenizer of another model."""
    mended: list[str] = []
    text = _text_of(config)
    if (folder / FILE).is_file():
        tokenizer = read_tokenizer(folder)
        check_tokenizer(folder, tokenizer, text.get("vocab_size"))
        if not isinstance(text.get("pad_token_id"), int) or text["pad_token_id"] < 0:
            text["pad_token_id"] = pad_id(folder, tokenizer)
            mended.append(
                message("infer.no_pad", name=folder.name, token=tokenizer.id_to_token(text["pad_token_id"]) or "0")
            )
        ends = end_ids(text) | end_ids(read_json(folder / "generation_config.json"))
        if not ends and (end := special_id(folder, tokenizer, "eos")) is not None:
            text["eos_token_id"] = end
        elif not ends:
            mended.append(message("infer.no_end", name=folder.name))
    config.pop("auto_map", None)  # what transformers knows itself is read by its own code
    write_json(made.path / "config.json", config)
    made.facts["mended"] = mended


_BY_ENDING: Mapping[str, str] = {
    "ForCausalLM": "complete",
    "LMHeadModel": "complete",
    "ForSequenceClassification": "classify",
    "ForTokenClassification": "tag",
    "ForQuestionAnswering": "answer",
    "ForConditionalGeneration": "translate",
    "ForSeq2SeqLM": "translate",
    "MTModel": "translate",
}
"""How the class in a configuration ends, and what its model is for."""


def inferred_task(folder: Path, config: Mapping[str, Any]) -> Task:
    """Return what a folder's model is for, by how its vectors are pooled, by its class, and by its chat template.

    Raises:
        FolderError: it cannot be told, or the model answers nothing before it is tuned.
    """
    sentence = sentence_folder(folder)
    if sentence is not None:
        return task_for("embed", pooling=sentence.pooling, prefix=sentence.prefix)
    name = str((config.get("architectures") or [""])[0])
    found = next((task for ending, task in _BY_ENDING.items() if name.endswith(ending)), None)
    if found == "translate" and not config.get("is_encoder_decoder", "text_config" not in config):
        found = "complete"  # a decoder that also sees pictures
    if found == "complete":
        return Chat().based_on(folder, read_tokenizer(folder)) if chat_template(folder) else task_for("complete")
    if found in ("classify", "tag"):
        return _labelled(folder, config, found)
    if found is not None:
        return task_for(found)
    if name.endswith("Model"):
        return task_for("embed", pooling=DEFAULT)
    raise FolderError(
        message("infer.no_task", folder=folder),
        found=name or config.get("model_type"),
        allowed=", ".join(_BY_ENDING),
        hint=message("infer.tune_it"),
    )


def _labelled(folder: Path, config: Mapping[str, Any], task: str) -> Task:
    named = config.get("id2label") or {}
    labels = [str(named[key]) for key in sorted(named, key=int)] if named else ["LABEL_0", "LABEL_1"]
    if task == "classify" and len(labels) > 1:
        return Classify(tuple(labels), many=config.get("problem_type") == "multi_label_classification")
    kinds = tuple(dict.fromkeys(label[2:] for label in labels if label != OUTSIDE))
    tag = Tag(kinds)
    if task == "classify" or list(tag.outputs) != labels:
        raise FolderError(
            message("infer.labels", folder=folder), found=", ".join(labels), hint=message("infer.tune_it")
        )
    return tag
