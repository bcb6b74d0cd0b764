"""What each objective of pretraining asks for: a model, batches, a loss, and figures on held-out text with a baseline.

setup = setup_for(settings, material)
setup.model(), setup.batches(), setup.objective                                   # what the loop is given
setup.figures(model, source=...)                                                # figures, baselines
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import nn

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.make.evaluate.language import (
    Predictions,
    bits_per_byte,
    figures,
    predict_documents,
    predict_places,
    token_figures,
)
from noria.make.evaluate.ngram import NgramModel
from noria.make.models import recurrent, sizes
from noria.make.models.load import Head, load
from noria.make.tokens.batches import IGNORED, BatchSource, Packed
from noria.make.training.finetune.prepare import check_trained_and_written
from noria.make.training.objectives import language_modeling
from noria.make.training.objectives.corruption import Corrupted, Rule, Windows, fixed_batches
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import PretrainSettings
from noria.tasks.padding import usable_length

from .material import Material

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WATCHED = 120
"""Valid documents predicted during training, for the curve."""
NGRAM = 5
"""Longest n-grams of the causal baseline."""
COUNTED = 2_000
"""Windows of the training text that the baseline of masked tokens and cut spans counts."""


class Setup(Protocol):
    """An objective and all that goes with it."""

    task: str
    """What the model folder is said to be for."""
    unit: str
    """Of the curve on valid documents."""
    rate: float
    """Learning rate where none is asked for."""

    def model(self) -> PreTrainedModel:
        """Return a new model with weights drawn by the seed, or the base."""
        ...

    def batches(self) -> BatchSource:
        """Return the batches of the training text."""
        ...

    @property
    def objective(self) -> Objective:
        """Return the loss."""
        ...

    @property
    def watched(self) -> int:
        """Return how many valid documents, or windows of them, there are to sample."""
        ...

    def watch(self, model: nn.Module, rows: int) -> float:
        """Return the loss on a sample of so many valid documents, or windows of them, in `unit`."""
        ...

    @property
    def tested(self) -> float:
        """Return how many times as much text as a watched document or window holds is judged at the end."""
        ...

    @property
    def baselines(self) -> Mapping[str, Any]:
        """Return by name what baselines come to on every test document; computed when it is first asked for."""
        ...

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0) -> tuple[list[Figure], list[Figure]]:
        """Return what a share of the test documents, evenly over all, says of the model, and of baselines on the same.

        The model's first and the baselines' last compare.
        """
        ...


def setup_for(settings: PretrainSettings, material: Material) -> Setup:
    """Return the kind of an objective.

    Raises:
        SettingError: the objective and the architecture do not go together.
    """
    if settings.objective == "causal":
        return CausalSetup(settings, material)
    if settings.model.architecture == "lstm":
        raise SettingError(
            message("make.lstm_reads"), found=message("make.objective", objective=settings.objective), allowed="causal"
        )
    return MaskedSetup(settings, material)


class CausalSetup:
    """The next token, by a Llama or an LSTM."""

    task, unit = "causal", "bits/byte"

    def __init__(self, settings: PretrainSettings, material: Material) -> None:
        self._settings, self._material = settings, material
        self.rate = 3e-3

    def model(self) -> PreTrainedModel:
        """Return the model."""
        from transformers import LlamaForCausalLM

        settings, size = self._settings, self._material.vocab_size
        if settings.model.architecture == "lstm":
            config = recurrent.config(settings.model.parameters, size, settings.context, dropout=settings.model.dropout)
            return _drawn(lambda: recurrent.LstmForCausalLM(config), settings, "causal", self._material)
        make = lambda: LlamaForCausalLM(sizes.causal(settings.model.parameters, size, settings.context))  # noqa: E731
        return _drawn(make, settings, "causal", self._material)

    def batches(self) -> BatchSource:
        """Return documents packed into rows."""
        settings = self._settings
        rows = max(1, settings.tokens_per_step // settings.context)
        return Packed(self._material.shards["train"], context=settings.context, rows=rows, seed=settings.seed)

    @property
    def objective(self) -> Objective:
        """Return the loss."""
        return partial(language_modeling.causal, dropout=self._settings.model.dropout)

    @property
    def watched(self) -> int:
        """Return how many valid documents there are to sample."""
        return min(WATCHED, len(self._material.shards["valid"]))

    def watch(self, model: nn.Module, rows: int) -> float:
        """Return bits per byte of a sample of the valid documents."""
        valid = self._material.shards["valid"]
        places = np.linspace(0, len(valid) - 1, rows).astype(int)
        found = predict_documents(model, [valid[int(row)] for row in places], self._settings.context)
        return float(found.bits.sum() / valid.sizes[places].sum())

    @property
    def tested(self) -> float:
        """Return the tokens of the test documents as a multiple of those of a valid one."""
        test, valid = (self._material.shards[split] for split in ("test", "valid"))
        return float(len(test.ids) / (len(valid.ids) / len(valid)))

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0) -> tuple[list[Figure], list[Figure]]:
        """Return bits per byte, loss, perplexity and accuracy; baselines are n-grams on the same tokens."""
        test = self._material.shards["test"]
        rows = _evenly(len(test), share)
        found, sizes = predict_documents(model, [test[row] for row in rows], self._settings.context), test.sizes[rows]
        baselines = [
            bits_per_byte(bits[rows], sizes, source="the same text and tokens", name=name)
            for name, bits in self.baselines.items()
        ]
        return figures(found, sizes, source=source, baseline=baselines[-1].value), baselines

    @cached_property
    def baselines(self) -> dict[str, np.ndarray]:
        """Return the bits that n-grams on the same tokens take for each test document."""
        shards = self._material.shards
        inner = {
            split: [shards[split][row][1:-1].astype(np.int64) for row in range(len(shards[split]))]
            for split in ("train", "test")
        }
        return {
            name: NgramModel(inner["train"], self._material.vocab_size, order).bits(inner["test"])
            for order, name in ((1, "unigram"), (NGRAM, message("figures.ngram", order=NGRAM)))
        }


class MaskedSetup:
    """Hidden tokens by a BERT, or cut spans by a T5."""

    unit = "nats/token"

    def __init__(self, settings: PretrainSettings, material: Material) -> None:
        self._settings, self._material = settings, material
        self._spans = settings.objective == "spans"
        self.task = "spans" if self._spans else "masked"
        # A BERT has its norms behind each part, which bears less at the start.
        self.rate = 3e-3 if self._spans else 1e-3
        ordinary = np.array(sorted(set(range(material.vocab_size)) - material.special.all()), dtype=np.int64)
        self._rule = Rule(material.special, ordinary, self._spans)
        names = {"masked": "a hidden token", "words": "a token of a hidden word", "spans": "a token of a cut span"}
        self._of = names[settings.objective]

    def model(self) -> PreTrainedModel:
        """Return the model."""
        from transformers import BertForMaskedLM, T5ForConditionalGeneration

        settings, size, dropout = self._settings, self._material.vocab_size, self._settings.model.dropout
        config = sizes.sequence_to_sequence if self._spans else sizes.encoder
        make: Callable[[Any], PreTrainedModel] = T5ForConditionalGeneration if self._spans else BertForMaskedLM
        return _drawn(
            lambda: make(config(settings.model.parameters, size, settings.context, dropout=dropout)),
            settings,
            "seq2seq" if self._spans else "masked",
            self._material,
        )

    def batches(self) -> BatchSource:
        """Return windows of like length, corrupted anew at every step."""
        settings = self._settings
        return Corrupted(
            self._windows("train"), self._rule, tokens_per_batch=settings.tokens_per_step, seed=settings.seed
        )

    @property
    def objective(self) -> Objective:
        """Return the loss."""
        return language_modeling.spans if self._spans else language_modeling.masked

    @cached_property
    def watched(self) -> int:
        """Return how many windows of valid documents there are to sample."""
        return min(WATCHED, len(self._windows("valid")))

    def watch(self, model: nn.Module, rows: int) -> float:
        """Return the loss on a sample of the valid documents, the same taken out each time."""
        windows = self._windows("valid")
        found = self._predictions(model, windows.at(np.linspace(0, len(windows) - 1, rows).astype(int)))
        return float(found.bits.sum() / max(1, found.tokens.sum()) * np.log(2))

    @property
    def tested(self) -> float:
        """Return the tokens of the test documents as a multiple of those of a valid window."""
        test, valid = (self._windows(split) for split in ("test", "valid"))
        return float(test.lengths.sum() / valid.lengths.mean())

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0) -> tuple[list[Figure], list[Figure]]:
        """Return loss, perplexity and accuracy of what was taken out; the baseline counts targets of the training text."""
        windows = self._windows("test")
        documents = np.unique(windows.documents)
        some = windows.at(np.isin(windows.documents, documents[_evenly(len(documents), share)]).nonzero()[0])
        # What is taken out of a part is not what is taken out of all.
        unigram = self.baselines["unigram"] if len(some) == len(windows) else self._unigram(some)
        baseline = [
            replace(one, name="unigram")
            for one in token_figures(unigram, self._of, source="the same places", accuracy="accuracy")[:1]
        ]
        found = self._predictions(model, some)
        name = "accuracy at hidden tokens" if not self._spans else "accuracy at tokens of cut spans"
        return token_figures(found, self._of, source=source, accuracy=name, baseline=baseline[0].value), baseline

    @cached_property
    def baselines(self) -> dict[str, Predictions]:
        """Return what naming what is most frequent comes to."""
        return {"unigram": self._unigram(self._windows("test"))}

    def _predictions(self, model: nn.Module, windows: Windows) -> Predictions:
        batches = fixed_batches(windows, self._rule, 4096, self._settings.seed)
        return predict_places(partial(self._logits, model), batches, len(windows.shards))

    def _logits(self, model: nn.Module, batch: Any) -> torch.Tensor:
        inputs = {name: batch.tensors[name] for name in ("input_ids", "attention_mask")}
        if self._spans:
            inputs["decoder_input_ids"] = language_modeling.shifted(
                batch.tensors["targets"], cast("PreTrainedModel", model).config
            )
        logits: torch.Tensor = model(**inputs).logits
        return logits

    def _unigram(self, windows: Windows) -> Predictions:
        """Return what naming every target by the frequencies of the training text's targets comes to."""
        train, size = self._windows("train"), self._material.vocab_size
        rows = np.linspace(0, len(train) - 1, min(COUNTED, len(train))).astype(int)
        part = train.at(rows)
        targets = [batch.tensors["targets"] for batch in fixed_batches(part, self._rule, 4096, self._settings.seed)]
        counts = torch.cat([one[one != IGNORED] for one in targets]).bincount(minlength=size).double() + 1
        logits = (counts / counts.sum()).log().float()
        batches = fixed_batches(windows, self._rule, 4096, self._settings.seed)
        return predict_places(
            lambda batch: logits.expand(*batch.tensors["targets"].shape, size), batches, len(windows.shards)
        )

    def _windows(self, split: str) -> Windows:
        words = self._material.words
        longest = self._settings.context - 2
        return Windows.of(self._material.shards[split], longest, words[split] if words else None)


def _drawn(
    make: Callable[[], PreTrainedModel], settings: PretrainSettings, head: Head, material: Material
) -> PreTrainedModel:
    """Return the base with rows for new tokens, or a new model with its matrices drawn as asked; either by the seed."""
    if settings.model.base is not None:
        module, _ = load(settings.model.base, head, seed=settings.seed)
        if material.vocab_size > module.config.vocab_size:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                module.resize_token_embeddings(material.vocab_size, mean_resizing=False)
        longest = usable_length(module.config)
        if longest is not None and settings.context > longest:
            raise SettingError(
                message("make.context_longer"), found=settings.context, allowed=message("make.up", longest=longest)
            )
        check_trained_and_written(module, head)
        return module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = make()
        if settings.model.start == "xavier":
            xavier(module)
        return module


def xavier(module: nn.Module) -> None:
    """Draw every matrix but embeddings uniformly by its sizes (Glorot and Bengio 2010, equation 16)."""
    kept = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    for parameter in module.parameters():
        if parameter.ndim == 2 and id(parameter) not in kept:
            nn.init.xavier_uniform_(parameter)


def _evenly(count: int, share: float) -> np.ndarray:
    """Return the places of a share of `count`, evenly over all."""
    return np.unique(np.linspace(0, count - 1, max(1, math.ceil(share * count))).astype(int))
