"""A corpus -> a causal language model trained from nothing, beside unigram and n-gram baselines on the same text.

    folder = pretrain(Path("corpus"), Path("model"), PretrainSettings(seconds=90), report)

The model folder loads with `transformers.AutoModelForCausalLM`. Its facts hold bits per byte of the test documents with
an interval, the baselines' on the same documents, the curves, the speed and a sample of generated text.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from noria.build.evaluate.language import bits_per_byte, figures, predict_documents
from noria.build.evaluate.ngram import NgramModel
from noria.build.model.load import quiet_transformers
from noria.build.model.sizes import causal as causal_config
from noria.build.tokens.batches import Packed
from noria.build.tokens.shards import Shards, open_shards, write_shards
from noria.build.tokens.tokenizer import load_tokenizer, train_tokenizer
from noria.core.errors import FolderError, InputError, unknown
from noria.core.figure import Figure
from noria.core.folder import MANIFEST, Source, new_folder, read_manifest, sha256_file, source_of
from noria.core.progress import Report

from . import launch
from .loop import Evaluation, TrainResult, train
from .objectives import causal
from .parallel import first_alone, first_process
from .sample import sample
from .settings import OptimizerSettings, PretrainSettings, TrainSettings

SPLITS = ("train", "valid", "test")
WATCHED = 120
"""Valid documents predicted during training, for the curve."""


def pretrain(corpus: Path, out: Path, settings: PretrainSettings, report: Report) -> Path:
    """Train a causal language model on a corpus and write its model folder; a killed run goes on where it was.

    The number of steps is fixed from the time budget at the start. Test documents are only judged.

    Args:
        corpus: folder with train.jsonl, valid.jsonl and test.jsonl, or with folders of such files.
        out: the folder to write; the unfinished run lies beside it, in `.<name>.work`.
        settings: sizes, budget and rates.
        report: where plan, progress and result are told.

    Returns:
        `out`.

    Raises:
        InputError: the corpus holds no split, a line is no document, or there is too little text.
        FolderError: the tokenizer folder cannot be used.
        SettingError: the model cannot hold the vocabulary, or an unknown set is named.
        Interrupted: stopped by a signal; the same call goes on.
    """
    if launch.wanted(settings.parallel):
        launch.run(pretrain, (corpus, out, settings), {}, settings.parallel.workers, report)
        return out
    work = out.with_name(f".{out.name}.work")
    files = corpus_files(corpus, settings.sets)
    with first_alone():
        tokenizer = settings.tokenizer or _own_tokenizer(files, work, settings, report)
        shards = _shards(files, tokenizer, work, report)
    model = new_model(settings, load_tokenizer(tokenizer).get_vocab_size())
    result = _fit(model, shards, work / "run", settings, report)
    if not first_process():
        return out
    test = shards["test"]
    documents = [test[row] for row in range(len(test))]
    with report.bar("judge on test documents", total=3, unit="model") as bar:
        predictions = predict_documents(
            model, documents, settings.context, bf16=result.plan.machine.number_type == "bf16"
        )
        bar.advance()
        baselines = _baselines(shards, model.config.vocab_size, settings, bar)
    source = f"{', '.join(sorted({file.parent.name for file in files['test']}))}; test split"
    metrics = figures(predictions, test.sizes, source=source, baseline=baselines[-1].value)
    sources = [*_sources(corpus, files), source_of(tokenizer)]
    dump = settings.model_dump(mode="json", exclude={"tokenizer"})
    with new_folder(out, kind="model", settings=dump, sources=sources) as folder:
        with quiet_transformers():
            model.save_pretrained(folder.path)
        for file in tokenizer.iterdir():
            if file.name != MANIFEST:
                shutil.copyfile(file, folder.path / file.name)
        folder.facts.update(_facts(model, settings, result, shards, metrics, baselines))
        folder.facts["sample"] = sample(model, tokenizer, prompts(shards["valid"], tokenizer), seed=settings.seed)
        folder.facts["licence"] = "; ".join(sorted({one.licence for one in sources if one.licence}))
    shutil.rmtree(work, ignore_errors=True)
    report.ledger(f"pretrain {out.name}: {metrics[0].text()}; {verdict(metrics[0], baselines[-1])}")
    return out


def corpus_files(corpus: Path, sets: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return split -> its files, one of each set.

    Raises:
        InputError: no set has all three splits.
        SettingError: an unknown set is named.
    """
    folders = [corpus, *sorted(path for path in corpus.glob("*") if path.is_dir())] if corpus.is_dir() else []
    found = {
        folder.name: folder for folder in folders if all((folder / f"{split}.jsonl").is_file() for split in SPLITS)
    }
    if not found:
        raise InputError("no corpus there", found=str(corpus), allowed="train.jsonl, valid.jsonl and test.jsonl, or "
                         "folders of them", hint="noria build clean makes one")  # fmt: skip
    for name in sets:
        if name not in found:
            raise unknown("set of the corpus", name, found)
    chosen = [found[name] for name in (sets or sorted(found))]
    return {split: [folder / f"{split}.jsonl" for folder in chosen] for split in SPLITS}


def read_texts(files: list[Path]) -> Iterator[str]:
    """Yield the text of every line of JSONL files.

    Raises:
        InputError: a line is no JSON object with a text.
    """
    for file in files:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    text = json.loads(line)["text"]
                except (ValueError, TypeError, KeyError):
                    text = None
                if not isinstance(text, str):
                    raise InputError(f"{file}, line {number}: no document", found=line.strip(),
                                     allowed='{"text": "..."}')  # fmt: skip
                if text.strip():
                    yield text


def new_model(settings: PretrainSettings, vocab_size: int) -> nn.Module:
    """Return a Llama-style model with first weights drawn by the seed."""
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return LlamaForCausalLM(causal_config(settings.parameters, vocab_size, settings.context))


def verdict(figure: Figure, baseline: Figure) -> str:
    """Return in words whether the model predicts better than the baseline; lower is better."""
    if figure.high is not None and figure.high < baseline.value:
        return f"beats the {baseline.name}"
    return f"the {baseline.name} wins" if figure.value > baseline.value else f"no clear winner over the {baseline.name}"


def prompts(shards: Shards, tokenizer: Path, count: int = 2) -> list[str]:
    """Return the first few tokens of the first documents of a split, and one empty prompt."""
    encoder = load_tokenizer(tokenizer)
    return ["", *(encoder.decode(shards[row][1:9].tolist()) for row in range(min(count, len(shards))))]


def _own_tokenizer(files: dict[str, list[Path]], work: Path, settings: PretrainSettings, report: Report) -> Path:
    target = work / "tokenizer"
    sources = [Source(file.name, sha256_file(file)) for file in files["train"]]
    try:
        manifest = read_manifest(target)
        if manifest.sources == tuple(sources) and manifest.settings.get("vocab_size") == settings.vocab_size:
            return target
    except FolderError:
        pass
    return train_tokenizer(read_texts(files["train"]), settings.vocab_size, target, report, sources=sources)


def _shards(files: dict[str, list[Path]], tokenizer: Path, work: Path, report: Report) -> dict[str, Shards]:
    target = work / "shards"
    every = [file for split in SPLITS for file in files[split]]
    sources = [Source(f"{file.parent.name}/{file.name}", sha256_file(file)) for file in every] + [source_of(tokenizer)]
    try:
        fresh = read_manifest(target).sources == tuple(sources)
    except FolderError:
        fresh = False
    if not fresh:
        texts = {split: read_texts(files[split]) for split in SPLITS}
        write_shards(target, texts, load_tokenizer(tokenizer), sources, report)
    shards = {split: open_shards(target, split) for split in SPLITS}
    for split in SPLITS:
        if not len(shards[split]):
            raise InputError(f"the corpus has no {split} documents", found=", ".join(map(str, files[split])))
    return shards


def _fit(
    model: nn.Module, shards: dict[str, Shards], work: Path, settings: PretrainSettings, report: Report
) -> TrainResult:
    batches = Packed(shards["train"], context=settings.context, rows=max(1, settings.tokens_per_step // settings.context),
                     seed=settings.seed)  # fmt: skip
    optimizer = OptimizerSettings(
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, beta2=0.98, schedule="linear", warmup=0.05,
    )  # fmt: skip
    pace = TrainSettings(
        seed=settings.seed, steps=settings.steps, seconds=settings.seconds, optimizer=optimizer,
        number_type=settings.number_type, evaluations=settings.evaluations, parallel=settings.parallel,
    )  # fmt: skip
    valid = shards["valid"]
    rows = np.linspace(0, len(valid) - 1, min(WATCHED, len(valid))).astype(int)
    watched, sizes = [valid[int(row)] for row in rows], valid.sizes[rows].sum()

    def judge(model: nn.Module) -> Evaluation:
        found = predict_documents(model, watched, settings.context, bf16=settings.number_type != "fp32")
        bits = float(found.bits.sum() / sizes)
        return Evaluation(-bits, {"bits/byte": bits})

    return train(model, batches, causal, pace, work, report, judge, title="pretrain")


def _baselines(shards: dict[str, Shards], vocab_size: int, settings: PretrainSettings, bar: Any) -> list[Figure]:
    """Return bits per byte of unigrams and of the longest n-grams, on the same tokens, trained on the same documents."""
    documents = {
        split: [_inner(shards[split], row) for row in range(len(shards[split]))] for split in ("train", "test")
    }
    found = []
    for order, name in ((1, "unigram"), (settings.ngram, f"{settings.ngram}-gram, Kneser-Ney")):
        bits = NgramModel(documents["train"], vocab_size, order).bits(documents["test"])
        found.append(bits_per_byte(bits, shards["test"].sizes, source="the same text and tokens", name=name))
        bar.advance()
    return found


def _inner(shards: Shards, row: int) -> np.ndarray:
    return shards[row][1:-1].astype(np.int64)


def _sources(corpus: Path, files: dict[str, list[Path]]) -> list[Source]:
    if (corpus / MANIFEST).is_file():
        return [source_of(corpus)]
    return [Source(f"{file.parent.name}/{file.name}", sha256_file(file)) for split in SPLITS for file in files[split]]


def _facts(
    model: nn.Module,
    settings: PretrainSettings,
    result: TrainResult,
    shards: dict[str, Shards],
    metrics: list[Figure],
    baselines: list[Figure],
) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    curves = {"train": result.curves["train"], "valid": [[step, -score] for step, score in result.curves["valid"]]}
    return {
        "task": "causal",
        "labels": [],
        "base": "none: trained from nothing",
        "max_length": settings.context,
        "metrics": [figure.as_dict() for figure in metrics],
        "baseline": [figure.as_dict() for figure in baselines],
        "verdict": verdict(metrics[0], baselines[-1]),
        "curves": curves,
        "curve_units": {"train": "nats/token", "valid": "bits/byte"},
        "parameters": parameters,
        "tokens_per_second": result.tokens_per_second,
        "tokens_seen": result.tokens,
        "epochs": result.tokens / len(shards["train"].ids),
        "steps": result.steps,
        "number_type": result.plan.machine.number_type,
        "share_of_peak": share_of_peak(model, settings.context, result),
    }


def share_of_peak(model: nn.Module, context: int, result: TrainResult) -> float:
    """Return the share of the measured matrix-product speed that training reached.

    Operations of a token: 6 for each parameter that takes part in a product, 12 x layers x context x width for
    attention (Chowdhery et al. 2022, appendix B).
    """
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    operations = 6 * parameters + 12 * config.num_hidden_layers * context * config.hidden_size
    machine = result.plan.machine
    peak = machine.bf16_flops if machine.number_type == "bf16" else machine.fp32_flops
    return result.tokens_per_second * operations / (peak * machine.workers)
