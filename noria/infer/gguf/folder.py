"""A GGUF -> a model folder in the Hugging Face layout: configuration, tokenizer, template, and the weights unpacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import FolderError, ResourceError
from noria.core.folder import MANIFEST, Source, new_folder, read_manifest, sha256_file, write_json
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.engine import ENGINES
from noria.machine import available_memory
from noria.tasks.chat import Chat
from noria.tasks.specials import chat_template
from noria.tasks.tokenizer import read_tokenizer, write_tokenizer

from .families import Family, config_of, family_of, halves, served_config, tensor_name, vocabulary_size
from .reader import Gguf, read_gguf
from .vocabulary import special_ids, tokenizer_from, tokenizer_settings

if TYPE_CHECKING:
    import torch

SHARD = 2_000_000_000
"""Bytes of weights in one file, and so about what turning a file takes of memory."""
_F32, _BF16 = 0, 30
"""The format's numbers of weights that are not packed."""


def unpack_gguf(
    file: str | Path,
    target: str | Path,
    report: Report | None = None,
    *,
    source: Source | None = None,
    facts: dict[str, Any] | None = None,
) -> Path:
    """Write a GGUF as a model folder in the Hugging Face layout, its weights unpacked; return the folder.

    The folder's task is chat where the file brings a template, else complete.

    Args:
        file: the GGUF.
        target: the folder to write.
        report: where progress goes.
        source: lineage of the file; its hash where it is None.
        facts: what else is known of the model.

    Raises:
        FolderError: the file is damaged, or of a family or a kind of vocabulary not known here.
        ResourceError: memory would not suffice, or the disk is full.
    """
    opened = read_gguf(file)
    _check_memory(opened)
    source = source or Source(opened.file.name, sha256_file(opened.file), _licence(opened))
    with new_folder(target, kind="model", sources=[source]) as folder:
        write_small_files(opened, config_of(opened), folder.path)
        folder.facts.update(_facts(opened, folder.path))
        folder.facts["parameters"] = write_weights(opened, folder.path, report)
        folder.facts.update(facts or {})
    return Path(target)


def _check_memory(opened: Gguf) -> None:
    """Refuse a file that cannot be unpacked in the memory that is free: one file of weights and the largest tensor twice over.

    Raises:
        ResourceError: it cannot; names what it takes.
    """
    sizes = [prod(one.shape) for one in opened.tensors.values()]
    need = min(4 * sum(sizes), SHARD) + 8 * max(sizes, default=0)
    if (free := available_memory()) < need:
        found = message(
            "infer.unpack_memory", file=opened.file.name, need=f"{need / 1e6:,.0f} MB", free=f"{free / 1e6:,.0f} MB"
        )
        raise ResourceError(found, hint=message("errors.system_hint"))


def _licence(opened: Gguf) -> str:
    return str(opened.facts.get("general.license", ""))


def _facts(opened: Gguf, folder: Path) -> dict[str, Any]:
    """Return what the manifest says of a file's model, by the small files of its folder."""
    known = {"labels": [], "base": opened.file.name, "licence": _licence(opened)}
    if not chat_template(folder):
        return {"task": "complete", **known}
    return {**Chat().based_on(folder, read_tokenizer(folder)).facts(), **known}


def number_type(opened: Gguf) -> str:
    """Return the type that holds a file's weights: its own where they are not packed, else float16.

    Unpacked weights are a scale in float16 times a small integer; rounding them to bfloat16 would add half of what packing in
    8 bits has cost.
    """
    types = {one.type for one in opened.tensors.values() if len(one.shape) > 1}
    if _BF16 in types:
        return "bfloat16"
    return "float32" if types == {_F32} else "float16"


def write_small_files(opened: Gguf, config: dict[str, Any], target: Path) -> None:
    """Write all that a folder holds beside its weights: configuration, tokenizer, special tokens, template.

    Raises:
        FolderError: the kind of vocabulary is not known, or it does not fit the table of embeddings.
    """
    ids = special_ids(opened)
    tokenizer = tokenizer_from(opened)
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if highest >= vocabulary_size(opened):
        raise FolderError(
            message("infer.gguf_fit", file=opened.file),
            found=message("infer.gguf_rows", tokens=highest + 1, rows=vocabulary_size(opened)),
        )
    ids.pop("unk_token_id", None)
    write_json(target / "config.json", {**config, **ids, "dtype": number_type(opened), "use_cache": True})
    write_json(target / "generation_config.json", ids)
    write_json(target / "tokenizer_config.json", tokenizer_settings(opened))
    write_tokenizer(tokenizer, target)


def write_weights(opened: Gguf, target: Path, report: Report | None = None) -> int:
    """Write the weights as safetensors, in several files where they are large; return how many numbers they hold.

    Raises:
        FolderError: a tensor cannot be unpacked, or is none of its family's.
    """
    from safetensors.torch import save_file

    family, config, kind = family_of(opened), config_of(opened), number_type(opened)
    missing = [name for name in ("token_embd.weight", "output_norm.weight") if name not in opened.tensors]
    if missing:
        raise FolderError(message("infer.gguf_lacks", file=opened.file), found=", ".join(missing))
    shard: dict[str, torch.Tensor] = {}
    written: list[list[str]] = []
    size = numbers = total = 0

    def close() -> None:
        nonlocal shard, size
        if shard:
            save_file(shard, target / f"part-{len(written)}", {"format": "pt"})
            written.append(list(shard))
            shard, size = {}, 0

    with (report or Report()).bar("unpack", total=len(opened.tensors), unit="tensors") as bar:
        for name in opened.tensors:
            for long, array in _unpacked(opened, family, config, name):
                shard[long] = content = _stored(array, kind)
                size, numbers, total = size + content.nbytes, numbers + array.size, total + content.nbytes
            if size >= SHARD:
                close()
            bar.advance()
        close()
    _name_parts(target, written, total)
    return numbers


def _name_parts(target: Path, written: list[list[str]], total: int) -> None:
    """Give the files of weights the names that transformers looks for, and an index where there are several."""
    index: dict[str, str] = {}
    for place, names in enumerate(written):
        several = f"-{place + 1:05d}-of-{len(written):05d}" if len(written) > 1 else ""
        part, file = target / f"part-{place}", target / f"model{several}.safetensors"
        part.chmod(0o644)
        part.rename(file)
        index |= dict.fromkeys(names, file.name)
    if len(written) > 1:
        write_json(target / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def _unpacked(opened: Gguf, family: Family, config: dict[str, Any], name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a tensor under the name and in the form that transformers has it in; nothing for what it computes itself."""
    long = tensor_name(family, name)
    if long is None:
        if name.startswith("rope_f") or name.endswith((".rope_freqs.weight", ".attn_rot_embd")):
            return
        raise FolderError(message("infer.gguf_tensor", file=opened.file, architecture=opened.architecture), found=name)
    array = opened.array(name)
    if family.turned and ".attn_q." in name:
        array = halves(array, config["num_attention_heads"])
    elif family.turned and ".attn_k." in name:
        array = halves(array, config["num_key_value_heads"])
    elif family.from_one and "norm" in name:
        array = array - 1
    yield long, array
    # Transformers has a bias at a Llama's output wherever it has one at its queries.
    if config.get("attention_bias") and name.endswith(".attn_q.bias"):
        output = name.replace("attn_q", "attn_output")
        if output not in opened.tensors:
            yield long.replace("q_proj", "o_proj"), np.zeros(config["hidden_size"], np.float32)


def _stored(array: np.ndarray, kind: str) -> torch.Tensor:
    """Return a tensor in the folder's type; what half precision cannot hold stays single."""
    import torch

    whole = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    found = whole.to(getattr(torch, kind))
    return found if bool(torch.isfinite(found).all()) else whole


def served_gguf(file: str | Path, target: Path) -> Path:
    """Write a model folder whose engine runs a GGUF as it is, packed and linked; return the folder.

    A family whose weights could not be unpacked is served all the same.

    Raises:
        FolderError: the file is damaged, or of a kind of vocabulary not known here.
        ResourceError: the disk is full.
    """
    opened = read_gguf(file)
    with new_folder(target, kind="model", sources=[Source(opened.file.name, "", _licence(opened))]) as folder:
        write_small_files(opened, served_config(opened), folder.path)
        engine = folder.path / ENGINES["llamacpp"]
        engine.parent.mkdir()
        engine.symlink_to(opened.file.resolve())
        folder.facts.update(_facts(opened, folder.path))
        folder.facts["engine"] = {"format": "GGUF", "runtime": "llama.cpp", "bytes": engine.stat().st_size}
    return target


def with_weights(folder: Path) -> Path:
    """Return a folder itself, or of one that has llama.cpp's file alone a folder of its weights: made beside it when first asked for.

    Raises:
        FolderError: the family is none whose weights can be unpacked.
        ResourceError: memory would not suffice, or the disk is full.
    """
    file = folder / ENGINES["llamacpp"]
    if not file.is_file() or any(folder.glob("*.safetensors")):
        return folder
    target = folder.parent / "weights" / folder.name
    if (target / MANIFEST).is_file():
        return target
    opened = read_gguf(file)
    _check_memory(opened)
    with new_folder(target, kind="model") as made:
        for one in folder.iterdir():
            if one.is_file() and one.name != MANIFEST:
                shutil.copyfile(one, made.path / one.name)
        made.facts.update(read_manifest(folder).facts)
        write_weights(opened, made.path)
    return target
