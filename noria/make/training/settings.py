"""The settings of training: of the optimiser, of the loop, and of every recipe. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import Field

from noria.core.settings import Settings
from noria.machine import NumberType
from noria.make.models.adapt_settings import AdapterSettings

Share = Annotated[float, Field(ge=0, le=1)]
Recipe = Literal["auto", "full", "head", "top", "lora"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]


class RateSettings(Settings):
    """The optimiser beside its highest rate, and its rate over time."""

    method: Literal["adamw", "muon"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or Muon for the layers' matrices and AdamW for the rest (Jordan et al. 2024)."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decay of weight matrices; biases, norms and single numbers are never decayed."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Memory of the mean gradient."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """Memory of the mean squared gradient."""
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the root of the mean squared gradient."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Longest gradient that is not shortened; 0 never shortens."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls after the warm-up; constant falls only over the last `decay` of the steps."""
    warmup: Share = 0.06
    """Share of the steps over which the rate rises from zero."""
    decay: Share = 0.3
    """Share of the steps, at the end, over which a constant rate falls."""
    final: Share = 0.0
    """Rate after the last step, as a share of the highest."""


class LayerRates(RateSettings):
    """The optimiser with its rates over the layers."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer's rate as a share of the rate of the layer above it; 1 gives all the same."""
    head_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Rate of what stands above the layers (pooler, classifier), as a multiple."""
    embedding_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Rate of the embeddings, as a multiple: each row learns only where its token stands."""


class OptimizerSettings(LayerRates):
    """AdamW."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-4
    """Highest rate, reached after the warm-up."""


class ParallelSettings(Settings):
    """Several processes that train one model together; the loss does not depend on how many there are."""

    workers: Annotated[int, Field(ge=1, le=1024), Parameter(name=("--workers", "--parallel.workers"))] = 1
    """Processes to start on this machine; 1 starts none. Under torchrun its processes are used."""
    layout: Literal["data", "fsdp", "tensor", "data+tensor"] = "data"
    """What is divided: rows; rows and all weights (FSDP2); the layers' matrices; or rows and the layers' matrices."""
    tensor: Annotated[int, Field(ge=2, le=1024)] = 2
    """Processes that share a layer's matrices in layout data+tensor."""


class TrainSettings(Settings):
    """One run of the loop."""

    seed: int = 0
    """Seed of dropout and of every other random choice of the run."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """How many optimiser steps; where None, `seconds` decides once, before the first step."""
    seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time budget for training and its evaluations, turned into steps by measuring a few real batches."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """The optimiser, its rates and schedule."""
    number_type: NumberType = "auto"
    """Number type of matrix products: bf16, fp32, or whichever is measured faster here."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 4
    """How often the evaluator is asked, evenly spread, the last time after the last step."""
    judge_first: bool = False
    """Ask it before the first step too: the weights that the run begins with may be the best."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Shortest time between checkpoints."""
    checkpoint_share: Annotated[float, Field(gt=0, le=1)] = 0.015
    """Most of the time that writing checkpoints may take; where they are large, they are written less often."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """End the run after this many evaluations without a better one; where None, all steps are taken."""
    stop_diverging: bool = True
    """Stop, with a word on the learning rate, where the loss stays far above its start or has lost all that it had gained."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Most memory the run may take beyond the weights, in GB of 10^9 bytes; where None, all that is free."""
    trackers: tuple[Tracker, ...] = ()
    """Who follows the run beside its metrics.jsonl: tensorboard, wandb, mlflow, where installed."""
    parallel: ParallelSettings = ParallelSettings()
    """Processes that train together, and what is divided among them."""


class PretrainRates(LayerRates):
    """The optimiser of pretraining: shorter memory of squares, more decay."""

    method: Literal["adamw", "muon"] | None = None  # type: ignore[assignment]
    """AdamW (Loshchilov and Hutter 2019), or Muon for the layers' matrices and AdamW for the rest (Jordan et al. 2024); where
    None, Muon for a Llama made from nothing, else AdamW."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Highest rate; where None, one that suits the kind of model and its size."""
    embedding_rate: Annotated[float, Field(gt=0, le=1000)] | None = None  # type: ignore[assignment]
    """Rate of the embeddings, as a multiple; where None, 3 for a Llama made from nothing that Muon moves, else 1."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Decay of weight matrices."""
    warmup: Share = 0.05
    """Share of the steps over which the rate rises from zero."""


class FinetuneRates(RateSettings):
    """The optimiser of fine-tuning: what lies deep in a pretrained model moves less than its new head."""

    warmup: Share = 0.1
    """Share of the steps over which the rate rises from zero."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each layer's rate as a share of the rate of the layer above it; where None, 0.9, or 1 in a model made from nothing and for
    adapters of a decoder."""
    head_rate: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Rate of what stands above the layers (pooler, classifier), as a multiple; where None, 5, or 1 in a model made from
    nothing."""


class ModelSettings(Settings):
    """The model that is pretrained."""

    parameters: (
        Annotated[int, Field(ge=100_000, le=10_000_000_000), Parameter(name=("--parameters", "--model.parameters"))]
        | None
    ) = None
    """Size of the model, embeddings included; width, depth and heads follow from it. Where None, a Llama is as large as the time
    budget lets it see enough text at the speed measured here, others have 5 M."""
    architecture: Literal["transformer", "lstm"] = "transformer"
    """transformer: BERT, Llama or T5, as the objective asks; lstm: the small baseline, causal only."""
    base: Annotated[Path, Parameter(name=("--base", "--model.base"))] | None = None
    """A pretrained model to go on from, with its tokenizer: a folder, a GGUF, or a name on a hub; where None, weights are drawn."""
    start: Literal["unigram", "gaussian", "xavier"] = "unigram"
    """How first matrices are drawn. unigram: a Llama begins with how frequent each token is, and has an output matrix of its own
    for it; others as gaussian, as the architecture has it. xavier: uniform by their sizes (Glorot and Bengio 2010, equation 16)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of what each part of a layer adds; worth its time only where the text is seen many times."""


class PretrainSettings(Settings):
    """Pretraining, from nothing or continued. The defaults suit a budget of minutes."""

    objective: Literal["causal", "masked", "words", "spans"] = "causal"
    """causal: the next token (Llama, LSTM); masked: 15 % of the tokens hidden (BERT); words: the same, whole words;
    spans: spans of 3 tokens cut out and written by a decoder (T5)."""
    model: ModelSettings = ModelSettings()
    """Size, architecture, base, start and dropout."""
    sets: tuple[str, ...] = ()
    """Folders of the corpus to learn from, each with train.jsonl, valid.jsonl and test.jsonl; empty for all of them."""
    tokenizer: Path | None = None
    """Folder of a trained tokenizer; where None, one is trained on the training text."""
    vocab_size: Annotated[int, Field(ge=256, le=1_000_000)] | None = None
    """Tokens of the tokenizer, where one is trained; 256 is the bytes alone, and nothing is trained. Where None, one for every
    1,200 bytes of training text, 512 to 6,144."""
    context: Annotated[int, Field(ge=16, le=131_072)] | None = None
    """Longest text the model sees at once, in tokens; where None, 128, or 256 for models that take longer."""
    tokens_per_step: Annotated[int, Field(ge=16, le=100_000_000)] | None = None
    """Tokens of one optimiser step; where None, the fewer the less text the time budget lets the model see."""
    minutes: Annotated[float, Field(gt=0)] = 1.5
    """Time budget of the whole run, in minutes: tokenizer, baselines, steps, judging and figures. The number of steps is fixed from it
    at the start, and revised where the machine turns out to be slower or faster."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps; where given, `minutes` is not looked at."""
    seed: int = 0
    """Seed of the first weights, of the order of documents and of what is masked."""
    optimizer: PretrainRates = PretrainRates()
    """The optimiser, its rates and schedule."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 5
    """How often a sample of the valid documents is predicted, for the curve."""
    number_type: NumberType = "auto"
    """Number type of matrix products: bf16, fp32, or whichever is measured faster here."""
    device: str = "auto"
    """Where it is computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one."""
    trackers: tuple[Tracker, ...] = ()
    """Who follows the run beside its metrics.jsonl: tensorboard, wandb, mlflow, where installed."""
    parallel: ParallelSettings = ParallelSettings()
    """Processes that train together, and what is divided among them."""


class RegularSettings(Settings):
    """What works against overfitting, and for rare classes."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout everywhere in the model. With a few epochs it costs more time than it gains."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing: this much of every target is spread over all classes (Szegedy et al. 2016)."""
    balance: Share = 0.0
    """Weight of rare classes: 0 counts every row the same, 1 every class the same."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many evaluations without a better one."""
    augment: tuple[str, ...] = ()
    """From the second epoch on every text is said a little differently, by one of these: delete, swap, punctuate, or what
    an installed package adds."""


class BodySettings(Settings):
    """What is taken of a base model, and how much of that learns."""

    layers: Annotated[int, Field(ge=1)] | None = None
    """Keep only this many of the encoder's layers, the lowest; training and answering cost as much less."""
    frozen: Annotated[int, Field(ge=0)] = 0
    """This many of the lowest layers, and the embeddings, do not learn."""
    by_character: bool | None = None
    """Tagging only: every Chinese character is a token of its own, so that no token lies across a name's border. Whole tokens
    know more and are fewer: where None, characters only where more than 5 % of the training spans would be cut wrongly."""
    pairs: Annotated[int, Field(ge=0, le=1000)] = 0
    """Classifying with 8 to 64 rows a label: each text is drawn this often into pairs that bring a label's texts together;
    then all layers rest and only the head learns. 0: the labels teach everything."""
    parameters: Annotated[int, Field(ge=100_000, le=10_000_000_000)] = 10_000_000
    """Translating and summarising without a base: size of the model that is made from nothing."""
    vocab_size: Annotated[int, Field(ge=512, le=1_000_000)] = 8000
    """The same: tokens of its tokenizer."""


class ReadSettings(Settings):
    """How a file of labelled rows is read."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Field of a row -> column or key that holds it under another name; plain ones (内容, category ...) need no word."""
    skip_bad_rows: bool = False
    """Count rows that cannot be used, rather than stop at the first."""


class RowSettings(ReadSettings):
    """How files of labelled rows are read, and what is done with them."""

    valid_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training rows that is set aside where no valid rows are given, 2,000 at most."""
    replay: Path | None = None
    """Rows that the base learned from before: some are mixed in again, a fifth of them judges what was forgotten."""
    replay_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of old rows among those that are learned from."""


class FinetuneSettings(Settings):
    """Fine-tuning of a pretrained model on labelled rows. The defaults suit small encoders and budgets of minutes."""

    minutes: Annotated[float, Field(gt=0, le=6000)] = 5.0
    """Time budget of the whole run, in minutes: reading, baselines, steps, judging and figures. The number of steps is fixed from it
    at the start, and revised where the machine turns out to be slower or faster."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps; where given, `minutes` is not looked at."""
    seed: int = 0
    """Seed of the head's first weights, of the order of rows and of dropout."""
    max_length: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Longest text in tokens; what is beyond is cut off, or read in windows where the task needs all of it. Where None, 128; of chat,
    as long as the longest row, and nothing is cut."""
    tokens_per_batch: Annotated[int, Field(ge=64, le=1_000_000)] = 2048
    """Padded tokens of one batch."""
    accumulate: Annotated[int, Field(ge=1, le=1000)] = 1
    """Batches of one optimiser step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Highest rate, that of the topmost layer; where None, one that suits: 1e-4, or 1e-3 where only adapters, a net over
    numbers, or a model made from nothing learn."""
    rates: FinetuneRates = FinetuneRates()
    """The rates of lower layers and of the head, their course over time, and the rest of AdamW."""
    recipe: Recipe = "auto"
    """What learns. full: every layer, from the first step on. head: a linear head alone, fitted to the states of layers at rest
    (linear probing), in seconds. top: the same, then the topmost layers go on from that head (linear probing, then fine-tuning).
    lora: LoRA adapters. auto: the deepest of these that sees enough epochs in the budget, by what is measured here; full where
    steps, layers, frozen layers, an adapter or augmentation are asked for; chat with a base of more than 100 MB learns by lora."""
    regular: RegularSettings = RegularSettings()
    """What works against overfitting, and for rare classes."""
    body: BodySettings = BodySettings()
    """What is taken of the base model, and how much of that learns."""
    adapter: AdapterSettings = AdapterSettings()
    """A small part that learns while the base rests."""
    companion: bool = True
    """Classifying and tagging: a light model of the same rows (n-grams, or a chain with a dictionary) stands beside the trained one in
    its folder, and both answer together, where valid rows say that this is better."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 3
    """How often the valid rows are judged, the last time after the last step; the best weights are kept."""
    number_type: NumberType = "auto"
    """Number type of matrix products: bf16, fp32, or whichever is measured faster here."""
    device: str = "auto"
    """Where it is computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one."""
    trackers: tuple[Tracker, ...] = ()
    """Who follows the run beside its metrics.jsonl: tensorboard, wandb, mlflow, where installed."""
    parallel: ParallelSettings = ParallelSettings()
    """Processes that train together, and what is divided among them."""

    @property
    def length(self) -> int:
        """Return the longest text in tokens."""
        return 128 if self.max_length is None else self.max_length


class CrossSettings(Settings):
    """How rows are dealt out to folds, and how often."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Parts that the rows are dealt out to; each is judged once by a model that has not seen it."""
    seeds: Annotated[int, Field(ge=1, le=50)] = 1
    """How often all of it is done, each time with other first weights, order and folds."""


class SearchSettings(Settings):
    """How many trials a search makes, and how surely its winner is known."""

    trials: Annotated[int, Field(ge=1, le=10_000)] = 12
    """Trainings with different settings, those given up early among them."""
    prune: bool = True
    """Give a trial up when it stands below the median of those before it, at the same evaluation."""
    seeds: Annotated[int, Field(ge=1, le=50)] = 3
    """How often the winner is trained again, each time under another seed."""
