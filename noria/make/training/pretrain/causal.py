"""Pretraining on the next token: a Llama or an LSTM, beside n-grams that were counted on the same tokens, and together with one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import nn

from noria.core.figure import Figure
from noria.core.messages import message
from noria.make.evaluate.language import bits_per_byte, by_document, figures, predict_documents
from noria.make.evaluate.mixture import compared, fit
from noria.make.evaluate.ngram import NgramModel
from noria.make.models import recurrent, sizes
from noria.make.tokens.batches import BatchSource, Packed
from noria.make.training.objectives import language_modeling
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import PretrainSettings

from .material import KEPT, Material
from .setup import WATCHED, Companion, Judged, drawn, evenly, forgotten, gained, lengths, parameters, tied
from .start import targets, unigrams

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedModel

MOST_KEPT = 500
"""Documents of the text to keep that are judged, evenly over all."""
NGRAM = 5
"""Longest n-grams of the baseline."""
MOST_NGRAMS = 8_000_000
"""N-grams that a model folder holds at most, about 40 MB; where there are more, shorter ones are taken."""


class CausalSetup:
    """The next token, by a Llama or an LSTM."""

    task, unit = "causal", "bits/byte"

    def __init__(self, settings: PretrainSettings, material: Material) -> None:
        self._settings, self._material = settings, material
        self._context, self._tokens_per_step = lengths(settings)

    def model(self) -> PreTrainedModel:
        """Return the model."""
        from transformers import LlamaForCausalLM

        settings, size = self._settings, self._material.vocab_size
        if settings.model.architecture == "lstm":
            config = recurrent.config(parameters(settings), size, self._context, dropout=settings.model.dropout)
            return drawn(lambda: recurrent.LstmForCausalLM(config), settings, "causal", self._material)
        return drawn(lambda: self._llama(LlamaForCausalLM), settings, "causal", self._material)

    def _llama(self, make: Any) -> PreTrainedModel:
        settings, material = self._settings, self._material
        config = sizes.causal(parameters(settings), material.vocab_size, self._context, tied=tied(settings))
        module: PreTrainedModel = make(config)
        if settings.model.start == "unigram":
            counts = targets(np.asarray(material.shards["train"].ids), material.special.begin, material.vocab_size)
            unigrams(cast("LlamaForCausalLM", module), counts)
        return module

    def batches(self) -> BatchSource:
        """Return documents packed into rows."""
        rows = max(1, self._tokens_per_step // self._context)
        return Packed(self._material.shards["train"], context=self._context, rows=rows, seed=self._settings.seed)

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
        found = predict_documents(model, [valid[int(row)] for row in places], self._context)
        return float(found.bits.sum() / valid.sizes[places].sum())

    @property
    def tested(self) -> float:
        """Return the tokens of the test documents as a multiple of those of a valid one."""
        test, valid = (self._material.shards[split] for split in ("test", "valid"))
        return float(len(test.ids) / (len(valid.ids) / len(valid)))

    def figures(self, model: nn.Module, *, source: str, share: float = 1.0, base: nn.Module | None = None) -> Judged:
        """Return bits per byte, loss, perplexity and accuracy; baselines are n-grams on the same tokens.

        Beside them, what the base predicted, and what the model and the longest n-gram predict together: their weights are
        fitted on valid documents.
        """
        valid, test = (self._material.shards[split] for split in ("valid", "test"))
        rows, watched = evenly(len(test), share), evenly(len(valid), self.watched / len(valid))
        found, sizes = predict_documents(model, [test[row] for row in rows], self._context), test.sizes[rows]
        tuned = predict_documents(model, [valid[row] for row in watched], self._context)
        baselines = [
            bits_per_byte(bits[rows], sizes, source="the same text and tokens", name=name)
            for name, bits in self.baselines.items()
        ]
        metrics = figures(found, sizes, source=source, baseline=baselines[-1].value)
        kept: Sequence[Figure] = ()
        if base is not None:
            before = predict_documents(base, [test[row] for row in rows], self._context)
            metrics += gained(metrics[0], before.bits, found.bits, sizes)
            kept = self._kept(base, model, metrics[0])
        ngram = self._counted[1]
        mixture = fit(tuned.costs, *_costs(ngram, self._inner("valid", watched)), ngram.order)
        alone, seen = _costs(ngram, self._inner("test", rows))
        both = by_document(mixture.bits(found.costs, alone, seen), found.tokens)
        beside = by_document(alone, found.tokens)
        joined = compared(found.bits, beside, both, sizes, order=ngram.order, source=source)
        return Judged(metrics, baselines, Companion(ngram, mixture, joined), kept)

    def _kept(self, base: nn.Module, model: nn.Module, first: Figure) -> Sequence[Figure]:
        """Return what text to keep says of both, where there is any."""
        if (shards := self._material.shards.get(KEPT)) is None:
            return ()
        rows = evenly(len(shards), min(1.0, MOST_KEPT / len(shards)))
        before, after = (
            predict_documents(one, [shards[row] for row in rows], self._context).bits for one in (base, model)
        )
        return forgotten(first, before, after, shards.sizes[rows], self._material.files[KEPT][0].name)

    @property
    def baselines(self) -> dict[str, np.ndarray]:
        """Return the bits that n-grams on the same tokens take for each test document."""
        return self._counted[0]

    @cached_property
    def _counted(self) -> tuple[dict[str, np.ndarray], NgramModel]:
        """Return the baselines, and the n-gram that goes with the model: the longest, or one short enough to be kept."""
        train, test, size = self._inner("train"), self._inner("test"), self._material.vocab_size
        unigram, longest = NgramModel(train, size, 1), NgramModel(train, size, NGRAM)
        kept, order = longest, NGRAM
        while kept.size > MOST_NGRAMS and order > 2:
            order -= 1
            kept = NgramModel(train, size, order)
        name = message("figures.ngram", order=NGRAM)
        return {"unigram": unigram.bits(test), name: longest.bits(test)}, kept

    def _inner(self, split: str, rows: Sequence[int] | np.ndarray | None = None) -> list[np.ndarray]:
        """Return the tokens of a split's documents, or of some, without begin and end."""
        shard = self._material.shards[split]
        return [shard[int(row)][1:-1].astype(np.int64) for row in (range(len(shard)) if rows is None else rows)]


def _costs(ngram: NgramModel, documents: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits of every token, and how long the longest run before it is that the n-gram has seen."""
    probability, seen = ngram.predictions(documents)
    return -np.log2(probability), seen
