"""The steps of `benchmarks/gpu.sh`, each in a process of its own: `python -m benchmarks.gpu_steps FOLDER SIZE DEVICE STEP ...`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

RANK = 8


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    parameters: int
    vocabulary: int
    context: int
    tokens: int
    """Of a step of pretraining and of LoRA."""
    row: int
    """Tokens of a row of LoRA."""
    pair: int
    """Tokens of a question with one of its two answers."""
    pairs: int
    """Pairs of a step."""
    seconds: float
    """Of a run of training."""
    steps: int
    """Whose losses are compared."""
    written: int
    """Tokens of an answer."""


SIZES = {
    "whole": Size(120_000_000, 8_192, 1_024, 32_768, 1_024, 512, 16, 22.0, 8, 64),
    "quick": Size(400_000, 800, 64, 512, 64, 64, 4, 0.5, 4, 8),
}


def prepare(folder: Path, size: Size, place: str, base: str) -> dict[str, float]:
    """Write tokenizer, text and the decoder that is tuned and served."""
    import noria
    from noria.infer.brought import base_folder
    from noria.make.corpus.bundled import news, reviews
    from noria.make.models.load import quiet_transformers
    from noria.make.tokens.shards import write_shards
    from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
    from noria.tasks.chat import default_template

    tiny = size is SIZES["quick"]
    texts = [one.text for one in news()[: 60 if tiny else None]]
    texts += [] if tiny else sorted({one.text for one in reviews() if one.text.strip()})
    tokenizer = load_tokenizer(train_tokenizer(iter(texts), size.vocabulary, folder / "tokenizer"))
    write_shards(folder / "shards", {"train": texts}, tokenizer, [])
    name = "SmolLM2-135M"
    if base:
        (folder / "base").symlink_to(base_folder(base).resolve())
        name = Path(base).stem
    elif tiny:
        name = "a tiny Llama"
        with quiet_transformers():
            _llama(folder, size, 4 * size.context).save_pretrained(folder / "base")
        copy_tokenizer(folder / "tokenizer", folder / "base")
        (folder / "base" / "chat_template.jinja").write_text(default_template(tokenizer), encoding="utf-8")
    else:
        noria.base("smollm2", out=folder / "base", progress=False)
    (folder / "named.json").write_text(json.dumps(name))
    return {}


def _llama(folder: Path, size: Size, context: int = 0) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    from noria.make.models.sizes import causal
    from noria.make.tokens.tokenizer import load_tokenizer

    torch.manual_seed(0)
    vocabulary = load_tokenizer(folder / "tokenizer").get_vocab_size()
    return LlamaForCausalLM(causal(size.parameters, vocabulary, context or size.context))


def _trained(folder: Path, place: str, module: Any, source: Any, objective: Any, rate: float, **pace: Any) -> Any:
    """Train a module there; return the result and the losses."""
    from noria.core.progress import MetricsLog, Report
    from noria.infer.device import chosen, placed
    from noria.make.training.loop.loop import train
    from noria.make.training.settings import OptimizerSettings, TrainSettings

    settings = TrainSettings(optimizer=OptimizerSettings(learning_rate=rate), stop_diverging=False, **pace)
    work = Path(tempfile.mkdtemp(dir=folder)) / "run"
    result = train(placed(module, chosen(place)), source, objective, settings, work, Report.silent())
    return result, [one["loss"] for one in MetricsLog(work / "metrics.jsonl").read() if "loss" in one]


def pretrain(folder: Path, size: Size, place: str, who: str) -> dict[str, float]:
    """Return tokens a second."""
    from noria.make.tokens.batches import Packed
    from noria.make.tokens.shards import open_shards
    from noria.make.training.objectives.language_modeling import causal

    shards, rows = open_shards(folder / "shards", "train"), max(1, size.tokens // size.context)
    if who == "noria":
        source = Packed(shards, context=size.context, rows=rows, seed=0)
        result, _ = _trained(folder, place, _llama(folder, size), source, causal, 1e-3, seconds=size.seconds)
        return {"speed": result.tokens_per_second}
    ids = shards.ids[: len(shards.ids) // size.context * size.context].astype("int64").reshape(-1, size.context)
    return {"speed": _trainer(folder, size, place, _llama(folder, size), ids.tolist(), rows)}


def _trainer(folder: Path, size: Size, place: str, model: Any, rows: list[list[int]], count: int) -> float:
    """Return a Trainer's tokens a second on rows of one length, `count` a step."""
    import torch

    from .trainer import speed

    def collate(some: list[dict[str, Any]]) -> dict[str, Any]:
        ids = torch.tensor([row["input_ids"] for row in some])
        return {"input_ids": ids, "labels": ids}

    settings: dict[str, Any] = {
        "bf16": True,
        "per_device_train_batch_size": count,
        "optim": "adamw_torch_fused",
        "dataloader_pin_memory": place.startswith("cuda"),
        "max_steps": 100_000,
    }
    data = [{"input_ids": row} for row in rows]
    return speed(folder, model, data, collate, size.seconds, use_cpu=place == "cpu", **settings)


def losses(folder: Path, size: Size, place: str, who: str) -> dict[str, Any]:
    """Return the first losses of pretraining: of the reference, the processor in fp32, or there in what is faster there."""
    from noria.make.tokens.batches import Packed
    from noria.make.tokens.shards import open_shards
    from noria.make.training.objectives.language_modeling import causal

    source = Packed(open_shards(folder / "shards", "train"), context=size.context, rows=4, seed=0)
    number: dict[str, Any] = {}
    if who == "reference":
        place, number = "cpu", {"number_type": "fp32"}
    _, found = _trained(folder, place, _llama(folder, size), source, causal, 1e-3, steps=size.steps, **number)
    return {"losses": found}


def _random_rows(count: int, length: int, most: int) -> list[list[int]]:
    import numpy as np

    return np.random.default_rng(0).integers(100, most, (count, length)).tolist()  # type: ignore[no-any-return]


def _tuned(folder: Path, place: str, length: int) -> Any:
    """Return the decoder with LoRA on it."""
    from noria.make.tokens.tokenizer import load_tokenizer
    from noria.make.training.finetune.prepare import prepare_model
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    adapter = {"kind": "lora", "rank": RANK, "alpha": 2.0 * RANK, "checkpointing": "off"}
    settings = FinetuneSettings.make(max_length=length, device=place, adapter=adapter)
    base = folder / "base"
    return prepare_model(task_for("chat").based_on(base, load_tokenizer(base)), base, settings)


def _peers(folder: Path) -> tuple[Any, Any]:
    """Return the decoder in bf16 as transformers loads it, and the settings of peft's LoRA."""
    import torch
    import transformers
    from peft import LoraConfig

    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.bfloat16)
    return model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")


def _vocabulary(folder: Path) -> int:
    from noria.make.tokens.tokenizer import load_tokenizer

    return load_tokenizer(folder / "base").get_vocab_size()


def lora(folder: Path, size: Size, place: str, who: str) -> dict[str, float]:
    """Return tokens a second."""
    import torch
    from peft import get_peft_model

    from noria.make.tokens.batches import Batch, Buckets
    from noria.make.training.objectives.language_modeling import causal

    count = max(1, size.tokens // size.row)
    made = _random_rows(8 * count, size.row + 1, _vocabulary(folder))
    if who == "peer":
        return {
            "speed": _trainer(folder, size, place, get_peft_model(*_peers(folder)), [one[1:] for one in made], count)
        }
    rows = torch.tensor(made)

    def collate(numbers: Any) -> Batch:
        some = rows[numbers]
        tensors = {"input_ids": some[:, :-1], "targets": some[:, 1:], "documents": torch.zeros_like(some[:, 1:])}
        return Batch(tensors, numbers.tolist(), some[:, 1:].numel())

    source = Buckets([size.row] * len(rows), collate, tokens_per_batch=size.tokens, seed=0)
    module, _ = _tuned(folder, place, size.row)
    result, _ = _trained(folder, place, module, source, causal, 1e-4, seconds=size.seconds)
    return {"speed": result.tokens_per_second}


def dpo(folder: Path, size: Size, place: str, who: str) -> dict[str, float]:
    """Return pairs a second."""
    half, count = size.pair // 2, 8 * size.pairs
    ids = _random_rows(3 * count, half, _vocabulary(folder))
    if who == "peer":
        return {"speed": _trl(folder, size, place, ids)}
    from noria.make.tokens.batches import IGNORED, Buckets
    from noria.make.training.align.objectives import Answers, preference
    from noria.make.training.align.settings import AlignSettings
    from noria.tasks.encode import Features

    told = [
        [
            Features([*ids[3 * row], *answer], [], {"target_ids": [*[IGNORED] * half, *answer]})
            for answer in ids[3 * row + 1 : 3 * row + 3]
        ]
        for row in range(count)
    ]
    answers = Answers([{"chosen": "", "rejected": ""}] * count, told, 0)
    tokens = 2 * size.pair * size.pairs
    source = Buckets(answers.lengths, answers.collate, tokens_per_batch=tokens, seed=0)
    module, _ = _tuned(folder, place, size.pair)
    result, _ = _trained(folder, place, module, source, preference("dpo", AlignSettings()), 1e-5, seconds=size.seconds)
    return {"speed": result.tokens_per_second / (2 * size.pair)}


def _trl(folder: Path, size: Size, place: str, ids: list[list[int]]) -> float:
    """Return pairs a second of TRL's trainer."""
    import transformers
    from datasets import Dataset

    from .isa import here

    trl = cast(Any, import_module("trl"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    texts = [tokenizer.decode(one) for one in ids]
    names = ("prompt", "chosen", "rejected")
    pairs = [dict(zip(names, texts[row : row + 3], strict=True)) for row in range(0, len(texts), 3)]
    clock = {"steps": 0, "start": 0.0, "end": 0.0}

    class Clock(transformers.TrainerCallback):
        def on_train_begin(self, *given: object, **more: object) -> None:
            clock["start"] = time.perf_counter()

        def on_step_end(self, args: object, state: Any, control: Any, **more: object) -> None:
            now = time.perf_counter()
            clock["steps"], clock["end"] = clock["steps"] + 1, now
            control.should_training_stop = now - clock["start"] > size.seconds

    model, adapter = _peers(folder)
    settings = {
        "bf16": True,
        "per_device_train_batch_size": size.pairs,
        "optim": "adamw_torch_fused",
        "dataloader_pin_memory": place.startswith("cuda"),
    }
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        given = trl.DPOConfig(
            out, max_length=size.pair, use_cpu=place == "cpu", max_steps=10_000, **quiet, **here(settings)
        )
        trainer = trl.DPOTrainer(
            model,
            args=given,
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=[Clock()],
        )
        trainer.train()
    return size.pairs * clock["steps"] / (clock["end"] - clock["start"])


def ask(folder: Path, size: Size, place: str, url: str, key: str, clients: str) -> dict[str, float]:
    """Return tokens a second that some clients were given, after a round that is not timed."""
    from .asking import streamed

    async def chat(seconds: float) -> float:
        begun, written = time.perf_counter(), [0]

        async def client(number: int) -> None:
            turn = 0
            while not turn or time.perf_counter() - begun < seconds:
                said = [{"role": "user", "content": f"Write about the water of river {number} in the year {turn}."}]
                asked = {"messages": said, "max_tokens": size.written, "temperature": 0}
                count = (await streamed(f"{url}/chat/completions", key, asked)).tokens
                written[0] += count
                turn += 1

        await asyncio.gather(*map(client, range(int(clients))))
        return written[0] / (time.perf_counter() - begun)

    asyncio.run(chat(0.0))
    return {"speed": asyncio.run(chat(size.seconds / 2))}


def generate(folder: Path, size: Size, place: str, texts: str) -> dict[str, float]:
    """Return tokens a second of transformers' own generation, all texts in one batch, after a round that is not timed."""
    import torch

    model, _ = _peers(folder)
    model.to(place).eval()
    ids = torch.tensor(_random_rows(int(texts), 32, _vocabulary(folder)), device=place)
    given = {"max_new_tokens": size.written, "min_new_tokens": size.written, "do_sample": False}
    rounds, begun = -1, 0.0
    while rounds < 1 or time.perf_counter() - begun < size.seconds / 2:
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **given).cpu()
        rounds += 1
        begun = begun or time.perf_counter()
    return {"speed": rounds * int(texts) * size.written / (time.perf_counter() - begun)}


def main(folder: str, size: str, place: str, work: str, *more: str) -> None:
    """Do one step and print what it measured."""
    steps = (prepare, pretrain, losses, lora, dpo, ask, generate)
    step: Any = next(one for one in steps if one.__name__ == work)
    print(json.dumps(step(Path(folder), SIZES[size], place, *more)))


if __name__ == "__main__":
    main(*sys.argv[1:])
