"""Train, judge, calibrate and open tiny models in one process, and count the matrix products that are in bf16.

`python number_types.py FOLDER NUMBER_TYPE...` prints a JSON line for each number type, {"chosen", "seconds", "products": {where: count},
"ways": how it would compress}; `FOLDER` is empty. With auto it also compresses and serves, where no plan speaks of the number type. Run it
under ONEDNN_MAX_CPU_ISA=AVX2 to be a machine that emulates bf16.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_models import LABELS, TEXTS, make_causal, make_encoder
from torch.utils._python_dispatch import TorchDispatchMode

from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.machine import measure
from noria.make.compress.candidates import candidates
from noria.make.compress.recipe import compress_model
from noria.make.compress.settings import CompressSettings
from noria.make.evaluate.judge import judge
from noria.make.training.finetune.recipe import finetune
from noria.make.training.pretrain.recipe import pretrain
from noria.make.training.settings import FinetuneSettings, PretrainSettings, RowSettings
from noria.tasks.task import task_for

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "attention", "convolution")


class Counted(TorchDispatchMode):
    """Counts matrix products of which an argument is in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.where = ""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in function.__name__ for name in PRODUCTS):
            short = any(isinstance(one, torch.Tensor) and one.dtype == torch.bfloat16 for one in args)
            self.found[self.where] += short
        return function(*args, **(kwargs or {}))

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        self.where = where
        self.found[where] += 0
        with self:
            yield


def served_in_bf16(folder: Path) -> int:
    """Return how many layers of a compressed model OpenVINO runs in bf16; its answers must be those of torch."""
    fast, exact = (open_engine(folder, prefer=kind) for kind in ("openvino", "torch"))
    texts = [[1, 5, 6, 9], [1, 7]]
    found, wanted = (np.stack(engine.forward(texts)) for engine in (fast, exact))
    assert np.allclose(found, wanted, atol=0.05), (found, wanted)
    layers = fast._model.get_runtime_model().get_ops()
    return sum(
        one.get_rt_info()["runtimePrecision"].astype(str) == "bf16"
        for one in layers
        if "layerType" in one.get_rt_info()
    )


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def served(root: Path, model: Path, labelled: list[dict[str, Any]], counted: Counted, report: Report) -> None:
    """Certify, compress and open what was trained, as the machine itself chooses."""
    # What a certificate compares with. The tracer of the compressed model bears no mode, and computes in the weights' own type.
    with counted.at("reference of a certificate"):
        for folder in (model, root / "chat"):
            engine = open_engine(folder, prefer="torch")
            engine.forward([[1, 5, 6], [1, 7]])
            engine.close()
    # Every engine that is tried, all the products of torch in it.
    with counted.at("compress"):
        shown = [row["text"] for row in labelled]
        compress_model(
            model, shown, labelled, root / "fast", CompressSettings(rounds=6, samples=8), report, or_trained=True
        )
        open_engine(root / "fast").forward([[1, 5, 6], [1, 7]])
    counted.found["served"] = served_in_bf16(make_encoder(root / "served", "classify", LABELS, 2))


def work(root: Path, number_type: str) -> dict[str, Any]:
    start = time.perf_counter()
    machine = measure(number_type)
    seconds = time.perf_counter() - start
    report, counted = Report(stream=io.StringIO()), Counted()
    texts = [text for text in TEXTS for _ in range(4)]
    labelled = [{"text": f"{text}{n}", "label": LABELS[n % 2]} for n, text in enumerate(texts)]
    rows = written(root / "rows.jsonl", labelled)
    turns = [("user", "好吗"), ("assistant", "好的")]
    chats = [{"messages": [{"role": role, "content": text + said} for role, said in turns]} for text in texts]
    corpus = root / "corpus"
    for split in ("train", "valid", "test"):
        written(corpus / f"{split}.jsonl", [{"id": str(n), "text": f"{text}{n}"} for n, text in enumerate(texts)])
    base = make_encoder(root / "base", "embed", [], 2, compiled=False)
    writer = make_causal(root / "writer")
    quick = {"steps": 4, "tokens_per_batch": 256, "max_length": 32, "evaluations": 2, "number_type": number_type}
    old = RowSettings(replay=rows)
    for name, more in (
        ("classify", {}),
        ("frozen", {"body": {"frozen": 1}, "steps": 40}),
        ("muon", {"rates": {"method": "muon"}}),
    ):
        with counted.at(f"finetune {name}"):
            settings = FinetuneSettings.make(**{**quick, **more})
            model = finetune(
                task_for("classify"), base, rows, None, root / name, settings, report, test_file=rows, reading=old
            )
    with counted.at("finetune chat"):
        talks = written(root / "talks.jsonl", chats)
        finetune(
            task_for("chat"),
            writer,
            talks,
            None,
            root / "chat",
            FinetuneSettings.make(**quick),
            report,
            test_file=talks,
        )
    for objective in ("causal", "masked"):
        with counted.at(f"pretrain {objective}"):
            pretrain(
                corpus,
                root / objective,
                PretrainSettings.make(
                    objective=objective,
                    vocab_size=512,
                    model={"parameters": 200_000},
                    context=32,
                    tokens_per_step=256,
                    steps=4,
                    evaluations=2,
                    number_type=number_type,
                ),
                report,
            )
    with counted.at("evaluate"):
        judge(model, rows, report, training_file=rows)
    if number_type == "auto":
        served(root, model, labelled, counted, report)
    return {
        "chosen": machine.number_type,
        "seconds": seconds,
        "products": dict(counted.found),
        "ways": [f"{one.kind} {one.method}" for one in candidates("auto")],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is no garbage: every training would look it through
    for one in sys.argv[2:]:
        print(json.dumps(work(Path(sys.argv[1]) / one, one)))
