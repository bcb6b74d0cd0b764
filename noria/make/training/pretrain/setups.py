"""Which objective of pretraining is asked for, and that of masked tokens and of cut spans: a BERT and a T5.

setup = setup_for(settings, material)
setup.model(), setup.batches(), setup.objective                                   # what the loop is given
setup.figures(model, source=...)                                                # figures, baselines
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.make.evaluate.language import Predictions, predict_places, token_figures
from noria.make.models import sizes
from noria.make.tokens.batches import IGNORED, BatchSource
from noria.make.training.objectives import language_modeling
from noria.make.training.objectives.corruption import Corrupted, Rule, Windows, fixed_batches
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import PretrainSettings

from .causal import CausalSetup
from .material import KEPT, Material
from .setup import WATCHED, Judged, Setup, drawn, evenly, forgotten, gained, lengths, parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COUNTED = 2_000
"""Windows of the training text that the baseline of masked tokens and cut spans counts."""


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


class MaskedSetup:
    """Hidden tokens by a BERT, or cut spans by a T5."""

    unit = "nats/token"

    def __init__(self, settings: PretrainSettings, material: Material) -> None:
        self._settings, self._material = settings, material
        self._spans = settings.objective == "spans"
        self._context, self._tokens_per_step = lengths(settings)
        self.task = "spans" if self._spans else "masked"
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
        return drawn(
            lambda: make(config(parameters(settings), size, self._context, dropout=dropout)),
            settings,
            "seq2seq" if self._spans else "masked",
            self._material,
        )

    def batches(self) -> BatchSource:
        """Return windows of like length, corrupted anew at every step."""
        seed = self._settings.seed
        return Corrupted(self._windows("train"), self._rule, tokens_per_batch=self._tokens_per_step, seed=seed)

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

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0, base: nn.Module | None = None) -> Judged:
        """Return loss, perplexity and accuracy of what was taken out; the baseline counts targets of the training text."""
        windows = self._windows("test")
        documents = np.unique(windows.documents)
        some = windows.at(np.isin(windows.documents, documents[evenly(len(documents), share)]).nonzero()[0])
        # What is taken out of a part is not what is taken out of all.
        unigram = self.baselines["unigram"] if len(some) == len(windows) else self._unigram(some)
        baseline = [
            replace(one, name="unigram")
            for one in token_figures(unigram, self._of, source="the same places", accuracy="accuracy")[:1]
        ]
        found = self._predictions(model, some)
        name = "accuracy at hidden tokens" if not self._spans else "accuracy at tokens of cut spans"
        metrics = token_figures(found, self._of, source=source, accuracy=name, baseline=baseline[0].value)
        if base is None:
            return Judged(metrics, baseline)
        then = self._predictions(base, some)
        metrics += gained(metrics[0], *_nats(then, found))
        if KEPT not in self._material.shards:
            return Judged(metrics, baseline)
        keep = self._windows(KEPT)
        before, after = (self._predictions(one, keep) for one in (base, model))
        name = self._material.files[KEPT][0].name
        return Judged(metrics, baseline, forgetting=forgotten(metrics[0], *_nats(before, after), name))

    @cached_property
    def baselines(self) -> dict[str, Predictions]:
        """Return what naming what is most frequent comes to."""
        return {"unigram": self._unigram(self._windows("test"))}

    def _predictions(self, model: nn.Module, windows: Windows) -> Predictions:
        batches = fixed_batches(windows, self._rule, 4096, self._settings.seed)
        return predict_places(partial(self._logits, model), batches, len(windows.shards))

    def _logits(self, model: nn.Module, batch: Any) -> torch.Tensor:
        batch = batch.beside(model)
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
        return Windows.of(self._material.shards[split], self._context - 2, words[split] if words else None)


def _nats(before: Predictions, after: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what documents cost before and after, in nats, and their tokens that were predicted, of those with any."""
    there = after.tokens > 0
    return before.bits[there] * np.log(2), after.bits[there] * np.log(2), after.tokens[there]
