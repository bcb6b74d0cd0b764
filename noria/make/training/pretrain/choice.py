"""What is left open is chosen by the text, the time and the speed measured here, once, and told with its reason.

    settings = chosen(settings, material, work, budget, report)    # size, context, tokens of a step, optimiser

A few hundred thousand tokens teach a small model by small steps more than a large one by large steps, so a causal Llama is
chosen by how many tokens the time lets it see: sizes are tried for a few real steps from the smallest up, as long as the next
one would still see enough. docs/pretraining.md has the runs that the numbers come from. The choice is written into the folder
of the unfinished run before it is used, so that a killed run goes on with it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors
from noria.core.folder import write_json
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import chosen as chosen_device
from noria.infer.device import placed
from noria.infer.engine import count_weights, weight_files
from noria.machine import computing, measure
from noria.make.models import sizes
from noria.make.training.loop.budget import Budget, span
from noria.make.training.loop.optimizer import make_optimizer, scale_and_clip
from noria.make.training.parallel.processes import local_processes
from noria.make.training.settings import OptimizerSettings, PretrainSettings

from .material import Material
from .setup import Setup, is_new_llama, lengths, parameters, tied
from .setups import setup_for

LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12)
"""Layers of the sizes that are tried; each is 64 wide for a layer."""
NEED = 2.0
"""Tokens that a model is to see for each parameter of its layers: at a million, 192 x 3 is 0.01 bits better than 128 x 2 and takes twice as long."""
FRESH = 8
"""Repeats of a text that count: more teach a larger model little (Muennighoff et al. 2023 find little beyond four)."""
LEARNING = 0.65
"""Share of what is left of a budget that goes to learning; judging and figures take the rest."""
TRIED = 0.04
"""Share of the budget after which no larger size is tried."""
FIRST_STEP = 1024
"""Tokens of a step where a run sees a million; four times as many tokens take steps twice as large."""
MOST_RATE, RATE_WIDTH = 0.01, 1.0
"""Highest rate of Muon, and what is divided by a Llama's width for it."""
BASE_RATE = 1e-4
"""Highest rate of a base that goes on: what it knows already is not to be lost to the first steps."""
EMBEDDINGS = 3.0
"""Rate of the embeddings beside it: a row learns only where its token stands."""
FIXED: dict[str, Any] = {"parameters": 5_000_000, "context": 256, "tokens_per_step": 4096, "method": "adamw"}
"""What others than a causal Llama from nothing take."""


def chosen(
    settings: PretrainSettings, material: Material, work: Path, budget: Budget, report: Report
) -> PretrainSettings:
    """Return the settings with nothing left open; what an earlier run of the same chose is used again.

    Args:
        settings: with a vocabulary.
        material: the corpus as tokens.
        work: folder of the unfinished run.
        budget: of the run; has no seconds where the steps are given.
        report: where choice and reason are told.
    """
    given = {
        "parameters": settings.model.parameters,
        "context": settings.context,
        "tokens_per_step": settings.tokens_per_step,
        "method": settings.optimizer.method,
    }
    identity = fingerprint(
        [settings.model_dump(mode="json", exclude={"trackers", "parallel", "device"}), material.identity]
    )
    known = _read(work / "choice.json", identity)
    if known is None:
        if is_new_llama(settings):
            known = _climb(settings, given, material, budget)
        else:
            known = {**FIXED, **_bounded(FIXED, material)}
        known = {**known, **{name: value for name, value in given.items() if value is not None}}
        with plain_errors():
            work.mkdir(parents=True, exist_ok=True)
            write_json(work / "choice.json", {"identity": identity, **known})
    full = _filled(settings, known)
    if None in given.values():
        rates, base = rates_of(full, material.vocab_size), settings.model.base
        report.note(
            message(
                "make.pretrain_chosen",
                parameters=(known["parameters"] if base is None else sum(map(count_weights, weight_files(base)))) / 1e6,
                context=known["context"],
                step=known["tokens_per_step"],
                method=rates.method,
                rate=rates.learning_rate,
                reason=_reason(known),
            )
        )
    return full


def rates_of(settings: PretrainSettings, vocab_size: int) -> OptimizerSettings:
    """Return the optimiser with the rate that suits the kind of model where none is given.

    A Llama that Muon moves bears one that falls with its width; a BERT has its norms behind each part, which bears less; a base
    that was pretrained bears less than any that begins.
    """
    asked, method = settings.optimizer, settings.optimizer.method or "adamw"
    rate, embeddings = 1e-3 if settings.objective in ("masked", "words") else 3e-3, 1.0
    if settings.model.base is not None:
        rate = BASE_RATE
    if method == "muon" and is_new_llama(settings):
        size, (context, _) = parameters(settings), lengths(settings)
        width = sizes.causal(size, vocab_size, context, tied=tied(settings)).hidden_size
        rate, embeddings = min(MOST_RATE, RATE_WIDTH / width), EMBEDDINGS
    left_open = {"learning_rate": rate, "method": method, "embedding_rate": embeddings}
    given = {name: value for name, value in asked.model_dump().items() if value is not None}
    return OptimizerSettings(**{**left_open, **given})


def _filled(settings: PretrainSettings, known: dict[str, Any]) -> PretrainSettings:
    return settings.replace(
        model=settings.model.replace(parameters=known["parameters"]),
        context=known["context"],
        tokens_per_step=known["tokens_per_step"],
        optimizer=settings.optimizer.replace(method=known["method"]),
    )


def _climb(settings: PretrainSettings, given: dict[str, Any], material: Material, budget: Budget) -> dict[str, Any]:
    """Return the largest size that would see enough tokens, and what goes with so many."""
    found: dict[str, Any] = {}
    begun = budget.spent()
    text = len(material.shards["train"].ids)
    for layers in LADDER:
        width = sizes.ASPECT * layers
        size = given["parameters"] or sizes.count(width, layers, material.vocab_size, tied=False)
        trial = {**FIXED, "parameters": size, "context": 128, "tokens_per_step": FIRST_STEP, "method": "muon"}
        trial = {**trial, **_bounded(trial, material)}
        trial.update({name: value for name, value in given.items() if value is not None})
        if settings.steps:
            tokens, why = float(settings.steps * (given["tokens_per_step"] or FIRST_STEP)), {}
        else:
            assert budget.seconds is not None
            speed = _speed(setup_for(_filled(settings, trial), material), _filled(settings, trial), material, budget)
            # A third of a budget of seconds is for learning, whatever has gone (`fit_plan`).
            left = LEARNING * max(budget.seconds / 3, budget.seconds - budget.spent())
            tokens = speed * left
            why = {"speed": speed, "seconds": left}
        if found and min(tokens, FRESH * text) < NEED * 12 * width**2 * layers:
            break
        # Larger steps where there are many: the gradient's noise is what bounds the last of them.
        step = FIRST_STEP * 2 ** max(0, round(math.log2(max(1.0, tokens / 1e6)) / 2))
        found = {**trial, "tokens_per_step": step, "context": 128 if layers < 4 else 256}
        found = {**found, **_bounded(found, material), "tokens": tokens, **why}
        if given["parameters"] or (budget.seconds and budget.spent() - begun > TRIED * budget.seconds):
            break
    return found


def _reason(known: dict[str, Any]) -> Message | str:
    """Return why, where it was the speed."""
    if "speed" not in known:
        return ""
    return message("make.by_speed", speed=known["speed"], seconds=span(known["seconds"]), tokens=known["tokens"] / 1e6)


def _bounded(wanted: dict[str, Any], material: Material) -> dict[str, Any]:
    """Return context and tokens of a step that a small text has room for: it is to give eight steps an epoch."""
    room = 2 ** int(math.log2(max(16, (len(material.shards["train"].ids) - 1) // 8)))
    step = min(wanted["tokens_per_step"], room)
    return {"tokens_per_step": step, "context": min(wanted["context"], step)}


def _speed(kind: Setup, settings: PretrainSettings, material: Material, budget: Budget) -> float:
    """Return tokens a second, all processes together, by the better of two steps after a first."""
    place = chosen_device(settings.device)
    machine = measure(settings.number_type, str(place))
    model, batches, objective = placed(kind.model(), place), kind.batches(), kind.objective
    optimizer = make_optimizer(model, rates_of(settings, material.vocab_size))
    best = math.inf
    for number in range(3):
        start = budget.clock()
        tokens = 0
        for batch in batches.at(number):
            with computing(machine.number_type):
                loss, weight = objective(model, batch.beside(model))
            loss.backward()
            tokens += batch.tokens
        scale_and_clip(optimizer, weight, 1.0)
        with computing(machine.number_type):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        best = min(best, (budget.clock() - start) / tokens) if number else best
    return local_processes() / best


def _read(file: Path, identity: str) -> dict[str, Any] | None:
    try:
        known = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return known if known.pop("identity", None) == identity else None
