"""A real server in a process of its own, on a small classifier, for benchmarks and faults."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .writers import ENCODER, byte_tokenizer

TEXTS = ["物流很快，包装完好，下次还来。", "It broke after two days, do not buy it."]


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    key: str
    lines: list[str]
    """What it wrote to its log."""


def make_classifier(target: Path, base: Path | None = None) -> Path:
    """Write a model folder that classifies texts, compiled; its head is random, for only its speed is of use here.

    Args:
        target: the folder to write.
        base: a pretrained encoder; a tiny one with random weights where it is left out.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from noria.core.folder import new_folder, write_json
    from noria.make.compress.quantize import export, save
    from noria.make.models.load import quiet_transformers

    torch.manual_seed(0)
    with quiet_transformers(), new_folder(target, kind="model") as folder:
        if base:
            model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
            shutil.copy(base / "tokenizer.json", folder.path)
        else:
            model = _tiny(folder.path)
        model.save_pretrained(folder.path)
        folder.facts.update(task="classify", labels=["negative", "positive"], max_length=128, pooling="mean", prefix="")
        save(export(folder.path, "sequence"), folder.path / "engine" / "model.xml")
        write_json(folder.path / "certificate.json", {"passed": True, "note": "random head, for measuring speed only"})
    return target


def make_embedder(target: Path) -> Path:
    """Write a model folder that embeds texts, tiny and with random weights: for what does not depend on how well it does."""
    import torch

    from noria.core.folder import new_folder, write_json
    from noria.make.compress.quantize import export, save
    from noria.make.models.load import quiet_transformers

    torch.manual_seed(0)
    with quiet_transformers(), new_folder(target, kind="model") as folder:
        from transformers import BertModel

        BertModel(_config(folder.path)).save_pretrained(folder.path)
        folder.facts.update(task="embed", max_length=128, pooling="mean", prefix="")
        save(export(folder.path, "embedding"), folder.path / "engine" / "model.xml")
        write_json(folder.path / "certificate.json", {"passed": True, "note": "random, for measuring what is kept"})
    return target


def _tiny(folder: Path) -> Any:
    from transformers import BertForSequenceClassification

    config = _config(folder)
    config.num_labels = 2
    return BertForSequenceClassification(config)


def _config(folder: Path) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=byte_tokenizer(folder, TEXTS, ENCODER, closed=True),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )


@contextmanager
def served(
    lake: Path, *models: Path, key: str = "", flags: tuple[str, ...] = (), what: str = "serve"
) -> Iterator[Server]:
    """Run `noria ship serve`, or one application, until the block ends, and wait until it listens.

    Raises:
        RuntimeError: it did not start; tells its last words.
    """
    command = [sys.executable, "-m", "noria", "ship", what, *map(str, models), "--lake", str(lake), "--port", "0"]
    with subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines: list[str] = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"listening on (http://\S+)", line):
                    break
            else:
                raise RuntimeError(f"the server did not start: {''.join(lines[-3:])}")
            if not key:
                told = re.search(r"shown this once: (\S+)", process.stderr.readline())
                assert told
                key = told[1]
            threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True).start()
            yield Server(process, found[1], key, lines)
        finally:
            process.kill()
            process.wait()
