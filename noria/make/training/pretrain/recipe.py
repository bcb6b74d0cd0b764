"""A corpus -> a language model, from nothing or from a base, beside baselines on the same text.

    folder = pretrain(Path("corpus"), Path("model"), PretrainSettings(minutes=1.5), report)
    folder = pretrain(Path("corpus"), Path("model"), PretrainSettings(objective="words", model={"base": "e5"}), report)

The model folder loads with plain transformers: AutoModelForCausalLM, AutoModelForMaskedLM or AutoModelForSeq2SeqLM (an LSTM
with `noria.make.models.load`). Its facts hold the figures of the test documents with intervals, the baselines' on the same
documents, the curves and the speed; for a causal model also a sample of generated text.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.folder import MANIFEST, Source, lineage_of, new_folder, read_manifest, source_of
from noria.core.memory import keep_memory
from noria.core.messages import Message, message, term
from noria.core.progress import Report
from noria.infer.device import chosen as chosen_device
from noria.infer.device import place_of, placed
from noria.machine import computing
from noria.make.evaluate.mixture import NGRAM_FILE
from noria.make.models.load import Head, check_folder, check_kind, quiet_transformers
from noria.make.tokens.shards import Shards
from noria.make.tokens.special import document_tokens
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer
from noria.make.training.finetune.publish import write_page
from noria.make.training.loop.budget import Budget
from noria.make.training.loop.loop import train
from noria.make.training.loop.result import Evaluation, TrainResult
from noria.make.training.parallel import launch
from noria.make.training.parallel.processes import first_process_first, is_first_process
from noria.make.training.settings import PretrainSettings, TrainSettings
from noria.tasks.padding import usable_length
from noria.tasks.specials import chat_template
from noria.tasks.task import task_for, task_of

from .choice import chosen, rates_of
from .material import KEPT, Material, prepare, sources_of
from .setup import Judged, Setup
from .setups import setup_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXTS, SAMPLED = 3, 80
"""Texts that a causal model writes at the end, and the tokens of each."""


def pretrain(corpus: Path, out: Path, settings: PretrainSettings, report: Report, *, keep: Path | None = None) -> Path:
    """Train a language model on a corpus and write its model folder; a killed run resumes where it was.

    The number of steps is fixed from the time budget at the start. Test documents are only judged.

    Args:
        corpus: folder with train.jsonl, valid.jsonl and test.jsonl, or with folders of such files.
        out: the folder to write; the unfinished run lies beside it, in `.<name>.work`.
        settings: objective, model, budget and rates.
        report: where plan, progress and result are reported.
        keep: of a base that goes on, text that must not be forgotten: judged before and after, never learned from.

    Returns:
        `out`.

    Raises:
        InputError: the corpus holds no split, a line is no document, or there is too little text.
        FolderError: the tokenizer or the base cannot be used.
        SettingError: the model cannot hold the vocabulary, settings contradict each other, or an unknown set is named.
        Interrupted: stopped by a signal; the same call goes on.
    """
    _check(settings, keep)
    if launch.wanted(settings.parallel):
        launch.run(pretrain, (corpus, out, settings), {"keep": keep}, settings.parallel.workers, report)
        return out
    work, budget = out.with_name(f".{out.name}.work"), Budget(None if settings.steps else settings.minutes * 60)
    with first_process_first():
        with budget.part("tokens"):
            settings, material = prepare(corpus, work, settings, report, keep=keep)
        with budget.part("choosing"):
            settings = chosen(settings, material, work, budget, report)
    kind = setup_for(settings, material)
    with budget.part("the model"):
        model = placed(kind.model(), chosen_device(settings.device))
    if is_first_process():
        budget.check()
        with report.bar("baselines", unit="baseline") as bar, budget.part("baselines"):
            bar.advance(len(kind.baselines))
        _keep_time(kind, model, budget, material, base=settings.model.base is not None)
    result = fit(kind, model, material, work / "run", settings, report, budget)
    if not is_first_process():
        return out
    with report.bar("judge on test documents", total=1, unit="model") as bar, budget.part("figures"):
        folders = term(", ".join(sorted({file.parent.name for file in material.files["test"]})))
        source = message("figures.test_split", source=folders)
        with computing(result.plan.machine.number_type):
            begun = placed(kind.model(), place_of(model)).eval() if settings.model.base is not None else None
            found = kind.figures(model, source=source, share=result.plan.final_share, base=begun)
            del begun
        bar.advance()
    judged, documents = found.metrics[0].n, len(material.shards["test"])
    if result.plan.final_share < 1:
        report.note(message("make.tested_documents", judged=judged, documents=documents), judged=judged)
    with budget.part("writing"):
        placed(model, torch.device("cpu"))
        _write(out, kind, model, material, settings, result, found, sources_of(corpus, material.files))
    shutil.rmtree(work, ignore_errors=True)
    won = verdict(found.metrics[0], found.baselines[-1])
    report.ledger(message("work.pretrained", name=out.name, figure=found.metrics[0].line(), verdict=won))
    changes = found.metrics[-2:] if settings.model.base is not None else []
    for figure in (*changes, *found.forgetting, *(found.companion.figures if found.companion else ())):
        report.ledger(figure.line())
    report.note(message("make.time_taken", parts=budget.text()), **budget.facts())
    return out


@dataclass(frozen=True)
class Watch:
    """Judges the weights by a sample of the valid documents, as many of them as it is told."""

    kind: Setup
    rows: int

    def of(self, rows: int) -> Watch:
        """Return what judges by so many."""
        return replace(self, rows=rows)

    def __call__(self, model: nn.Module) -> Evaluation:
        """Return what they say."""
        found = self.kind.watch(model, self.rows)
        return Evaluation(-found, {self.kind.unit: found})


def _keep_time(kind: Setup, model: PreTrainedModel, budget: Budget, material: Material, *, base: bool) -> None:
    """Let the budget keep what comes after the last step: all test documents, a sample of text, the folder."""
    if budget.seconds is None:
        return
    # Those that the weights of a mixture are fitted on are read again.
    budget.final_rows = kind.tested + (kind.watched if kind.task == "causal" else 0)
    if base:  # which is judged on the same documents, and both on the text to keep
        kept = material.shards.get(KEPT)
        budget.final_rows += kind.tested * (1 + (2 * len(kept.ids) / len(material.shards["test"].ids) if kept else 0))
    budget.final_seconds = 1.0 + sum(one.numel() * one.element_size() for one in model.parameters()) / 200e6
    if kind.task == "causal":
        ids = torch.tensor([[int(one) for one in material.shards["valid"].ids[:SAMPLED]]]).to(model.device)
        start = budget.clock()
        with torch.no_grad():
            for _ in range(2):
                model(input_ids=ids, use_cache=False)
        budget.final_seconds += TEXTS * SAMPLED * (budget.clock() - start) / 2


def fit(
    kind: Setup,
    model: nn.Module,
    material: Material,
    work: Path,
    settings: PretrainSettings,
    report: Report,
    budget: Budget,
) -> TrainResult:
    """Train a model in place by its kind; `work` holds the unfinished run, in a folder that is removed with it."""
    keep_memory()
    pace = TrainSettings(
        seed=settings.seed,
        steps=settings.steps,
        seconds=settings.minutes * 60,
        optimizer=rates_of(settings, material.vocab_size),
        number_type=settings.number_type,
        evaluations=settings.evaluations,
        trackers=settings.trackers,
        parallel=settings.parallel,
    )

    return train(
        model,
        kind.batches(),
        kind.objective,
        pace,
        work,
        report,
        Watch(kind, kind.watched),
        title="pretrain",
        identity=f"{settings.objective} {settings.model.model_dump_json()}",
        tracking=work.parent.parent / "tracking",
        budget=budget,
    )


def verdict(figure: Figure, baseline: Figure) -> Message:
    """Return in words whether the model predicts better than the baseline; lower is better."""
    if figure.high is not None and figure.high < baseline.value:
        return message("work.against.beats", baseline=term(baseline.name))
    worse = figure.value > baseline.value
    return message("work.against.loses" if worse else "work.against.unclear", baseline=term(baseline.name))


def prompts(shards: Shards, tokenizer: Path, count: int = TEXTS - 1) -> list[str]:
    """Return the first few tokens of the first documents of a split, and one empty prompt."""
    encoder = load_tokenizer(tokenizer)
    return ["", *(encoder.decode(shards[row][1:9].tolist()) for row in range(min(count, len(shards))))]


def _check(settings: PretrainSettings, keep: Path | None) -> None:
    base = settings.model.base
    if base is None:
        if keep is not None:
            raise SettingError(message("make.keep_base"), found=str(keep), hint=message("make.name_base"))
        return
    check_folder(base)
    heads: dict[str, Head] = {"causal": "causal", "spans": "seq2seq"}
    check_kind(base, heads.get(settings.objective, "masked"))
    if settings.tokenizer is not None:
        raise SettingError(
            message("make.base_brings"),
            found=message("make.tokenizer", tokenizer=settings.tokenizer),
            hint=message("make.leave_out_tokenizer"),
        )


def _write(
    out: Path,
    kind: Setup,
    model: PreTrainedModel,
    material: Material,
    settings: PretrainSettings,
    result: TrainResult,
    found: Judged,
    sources: list[Source],
) -> None:
    base = settings.model.base
    if (material.tokenizer / MANIFEST).is_file():
        sources = [*sources, source_of(material.tokenizer)]
    if base is not None:
        sources = [*sources, lineage_of(base, "*.safetensors")]
    dump = settings.model_dump(mode="json", exclude={"tokenizer"})
    with new_folder(out, kind="model", settings=dump, sources=sources) as folder:
        with quiet_transformers():
            model.save_pretrained(folder.path)
        copy_tokenizer(material.tokenizer, folder.path)
        folder.facts.update(_facts(kind, model, settings, result, material, found))
        if found.companion is not None:
            found.companion.ngram.write(folder.path / NGRAM_FILE)
        if kind.task == "causal":
            begun = prompts(material.shards["valid"], material.tokenizer)
            folder.facts["sample"] = sample(model, material.tokenizer, begun, seed=settings.seed)
        folder.facts["licence"] = "; ".join(sorted({one.licence for one in sources if one.licence}))
        write_page(folder)


def _facts(
    kind: Setup,
    model: PreTrainedModel,
    settings: PretrainSettings,
    result: TrainResult,
    material: Material,
    found: Judged,
) -> dict[str, Any]:
    base = settings.model.base
    known = read_manifest(base).facts if base is not None and (base / MANIFEST).is_file() else {}
    curves = {"train": result.curves["train"], "valid": [[step, -score] for step, score in result.curves["valid"]]}
    longest = None if base is None else known.get("max_length") or usable_length(model.config)
    facts = {
        "task": kind.task,
        "objective": settings.objective,
        "labels": [],
        **_task_of(kind, base),
        "base": "none: trained from nothing" if base is None else known.get("base", base.name),
        "max_length": longest or settings.context,
        "metrics": [figure.as_record() for figure in found.metrics],
        "forgetting": [figure.as_record() for figure in found.forgetting],
        "baseline": [figure.as_record() for figure in found.baselines],
        "verdict": verdict(found.metrics[0], found.baselines[-1]),
        "curves": curves,
        "curve_lines": {"valid": {figure.name: figure.value for figure in found.baselines}},
        "curve_units": {"train": "nats/token", "valid": kind.unit},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens_per_second": result.tokens_per_second,
        "tokens_seen": result.tokens,
        "epochs": result.tokens / len(material.shards["train"].ids),
        "steps": result.steps,
        "number_type": result.plan.machine.number_type,
    }
    if found.companion is not None:
        joined = found.companion
        facts["mixture"] = {
            "file": NGRAM_FILE,
            "order": joined.ngram.order,
            "weights": list(joined.mixture.weights),
            "figures": [figure.as_record() for figure in joined.figures],
        }
    share = share_of_peak(model, settings.context or 0, result)
    return facts if share is None else {**facts, "share_of_peak": share}


def _task_of(kind: Setup, base: Path | None) -> dict[str, Any]:
    """Return what the manifest says of the task of a decoder that chatted before, and goes on doing so."""
    if base is None or kind.task != "causal":
        return {}
    if (base / MANIFEST).is_file() and (known := read_manifest(base)).facts.get("task") == "chat":
        return task_of(known).facts()
    return task_for("chat").based_on(base, load_tokenizer(base)).facts() if chat_template(base) else {}


def share_of_peak(model: PreTrainedModel, context: int, result: TrainResult) -> float | None:
    """Return the share of the measured matrix-product speed that a Llama's training reached; None for other models.

    Operations of a token: 6 for each parameter that takes part in a product, 12 x layers x context x width for
    attention (Chowdhery et al. 2022, appendix B). In a T5 a token passes through half of the model, and a BERT names only
    masked tokens, so that the count would not be theirs.
    """
    config = model.config
    if config.model_type != "llama":
        return None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    operations = 6 * parameters + 12 * config.num_hidden_layers * context * config.hidden_size
    machine = result.plan.machine
    peak = machine.bf16_flops if machine.number_type == "bf16" else machine.fp32_flops
    return float(result.tokens_per_second * operations / (peak * machine.workers))


def sample(
    model: nn.Module,
    tokenizer: Path,
    prompts: list[str],
    *,
    seed: int,
    tokens: int = SAMPLED,
    temperature: float = 0.8,
    top_k: int = 40,
) -> dict[str, Any]:
    """Return what the model writes after each prompt, and how it was drawn (JSON-able).

    Args:
        model: a causal model in the Hugging Face form.
        tokenizer: its tokenizer's folder.
        prompts: beginnings; an empty one lets it begin by itself.
        seed: seed of the draws.
        tokens: most tokens to write.
        temperature: below 1 makes the likely likelier.
        top_k: how many of the likeliest tokens are drawn from (Fan et al. 2018, section 5.1).
    """
    encoder = load_tokenizer(tokenizer)
    special = document_tokens(tokenizer)
    end = special.end
    first = next((one for one in (special.begin, end) if one is not None), 0)
    random = torch.Generator().manual_seed(seed)
    # A recurrent model has no longest text; what it has read so far is then all read again.
    context = usable_length(model.config) or 10 * tokens
    texts = []
    for prompt in prompts:
        ids = [first, *encoder.encode(prompt, add_special_tokens=False).ids]
        written: list[int] = []
        while len(written) < tokens:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*ids, *written][-context:]]), use_cache=False).logits[0, -1]
            best, place = logits.float().topk(min(top_k, len(logits)))
            chosen = int(place[torch.multinomial((best / temperature).softmax(0), 1, generator=random)])
            if chosen == end:
                break
            written.append(chosen)
        texts.append({"prompt": prompt, "text": encoder.decode(written)})
    return {"made_by": "machine", "texts": texts, "seed": seed, "temperature": temperature, "top_k": top_k}
