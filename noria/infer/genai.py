"""Another fast engine for Llamas: the folder's `engine/genai.gguf` in OpenVINO GenAI, several completions in every step.

The library reads the same file as llama.cpp, batches continuously and keeps keys and values in pages; a step of it gives
every completion its next token. It is asked with token ids alone, so it gets a tokenizer that knows nothing. What it cannot
tell, log probabilities before the temperature and the likeliest other tokens, and texts held to a schema, torch does.
"""

from __future__ import annotations

import itertools
import struct
import tempfile
from collections.abc import Collection, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import FolderError, InputError, InternalError, ResourceError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.core.packages import forbid_telemetry
from noria.machine import bf16_is_native, cores
from noria.tasks.complete import SampledToken, Sampling
from noria.tasks.task import Task

from .decoder import MOST, PREFILL, TOGETHER, Decoder, RoutedScheduler
from .engine import LEAST_CORES, Kind, read_config
from .scheduler import Scheduler, Step
from .signal_stack import signal_stack_kept, signals_held

forbid_telemetry()

import openvino  # noqa: E402 - it would send usage data at the mere import
import openvino_genai  # noqa: E402

_PAGE = 32
"""Tokens of a page of keys and values on a processor."""
_COLD = 1e-3
"""Temperature below which the likeliest token is taken."""
_SINGLE = {"INFERENCE_PRECISION_HINT": "f32"}
"""With matrices in 8 bits a token each for a few texts takes 15 to 30 % longer in bfloat16, the library's choice where the
processor has it; with matrices of 16 bits bfloat16 is faster."""
_FILE_TYPE, _IN_8_BITS = b"general.file_type", 7
"""A GGUF's own word for what most of its matrices are, and its number for 8 bits; Noria writes it among the first."""
_numbers = itertools.count()
"""Of completions, for the library."""


class GenAiEngine(Decoder):
    """An engine in OpenVINO GenAI, for causal models; it gives tokens, no logits.

    Raises:
        FolderError: there is no such model, or it cannot be read.
        ResourceError: the process has one core only.
    """

    kind: Kind = "genai"

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int) -> None:
        super().__init__(folder, manifest, task, threads=threads)
        if cores() < LEAST_CORES:
            raise ResourceError(message("infer.openvino_genai"), found=cores(), hint=message("infer.use_torch"))
        self._size = int(read_config(folder)["vocab_size"])
        self._pipeline = self._opened(TOGETHER, remembers=True)
        self._telling: Any = None

    def _opened(self, texts: int, *, remembers: bool) -> Any:
        """Return the library's pipeline for so many texts; one that remembers begins where an earlier text began the same."""
        plan = openvino_genai.SchedulerConfig()
        plan.max_num_seqs, plan.max_num_batched_tokens = texts, PREFILL
        most = max(self.max_length + _PAGE, min(texts * (self.max_length + _PAGE), MOST))
        plan.num_kv_blocks = -(-most // _PAGE)
        # Pages of texts that ended stay until others need them: the next turn of a conversation begins with the same.
        plan.enable_prefix_caching = remembers
        try:
            with signals_held(), signal_stack_kept():
                return openvino_genai.ContinuousBatchingPipeline(
                    str(self.file),
                    _no_tokenizer(),
                    plan,
                    "CPU",
                    INFERENCE_NUM_THREADS=max(self.threads, LEAST_CORES),
                    **(_SINGLE if _in_8_bits(self.file) or not bf16_is_native() else {}),
                )
        except Exception as error:  # whatever the library makes of a bad file
            raise FolderError(
                message("infer.cannot_read", file=self.file), found=str(error).strip().splitlines()[-1]
            ) from None

    def following(self, ids: Sequence[int], expected: int) -> dict[int, float]:
        """Return log probabilities of the token after a prompt: of the likeliest one, and of the one that is expected.

        The library tells those of tokens that it draws, and of those of a prompt that it repeats: of what it remembers of one it
        tells nothing, so this is asked of a pipeline that remembers nothing, opened when it is first needed.

        Raises:
            FolderError: it has not the memory. InternalError: it fails.
        """
        self._telling = self._telling or self._opened(1, remembers=False)
        found: dict[int, float] = {}
        with signals_held(), signal_stack_kept():
            for text, place in (([*ids, expected], len(ids)), (list(ids), 0)):
                asked = _plain_config(1, self._size)
                asked.logprobs, asked.echo = 1, place > 0
                handle = self._telling.add_request(next(_numbers), _tensor(text), asked)
                while handle.get_status() == openvino_genai.GenerationStatus.RUNNING:
                    self._telling.step()
                told = next(iter(handle.read().values()), None) if handle.can_read() else None
                if told is None or len(told.generated_log_probs) <= place:
                    raise InternalError(message("infer.openvino_genai_failed"), found=str(handle.get_status()))
                found[int(told.generated_ids[place])] = float(told.generated_log_probs[place])
        return found

    def scheduler(self) -> Scheduler:
        """Return what makes several completions together."""
        fast = GenAiScheduler(self._pipeline, self.ends, self._size, self.max_length)
        return RoutedScheduler(fast, self.exact, lambda sampling, schema: schema is not None or sampling.logprobs >= 0)

    def close(self) -> None:
        """Give the memory back."""
        with signal_stack_kept():
            self._pipeline = self._telling = None


@dataclass
class _Text:
    handle: Any
    ends: frozenset[int]


class GenAiScheduler:
    """Completions in OpenVINO GenAI; see `Scheduler`.

    Args:
        pipeline: the library's.
        ends: tokens that end a text.
        size: of the vocabulary.
        longest: most tokens of a text.
    """

    def __init__(self, pipeline: Any, ends: frozenset[int], size: int, longest: int) -> None:
        self._pipeline, self._ends, self._size, self._longest = pipeline, ends, size, longest
        self._texts: dict[Hashable, _Text] = {}
        self._failed: list[Step] = []

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return bool(self._texts or self._failed)

    def begin(
        self,
        key: Hashable,
        ids: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        schema: str | None = None,
        adapter: str = "",
    ) -> None:
        """Begin a completion; `open_engine` gives this engine no LoRAs."""
        if schema is not None or sampling.logprobs >= 0:
            raise InternalError(message("infer.library_tells"))
        if len(ids) + 1 > self._longest:  # it would go on beyond what the model was trained for
            self._failed.append(
                (key, InputError(message("infer.prompt_exceeds", longest=self._longest), found=len(ids)))
            )
            return
        number = next(_numbers)
        handle = self._pipeline.add_request(number, _tensor(ids), self._generation_config(sampling, max_tokens))
        self._texts[key] = _Text(handle, self._ends.union(stop))

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        text = self._texts.pop(key, None)
        if text:
            text.handle.cancel()
            if not self._texts:
                self._let_go()

    def step(self) -> list[Step]:
        """Return the next token of every completion whose prompt is read."""
        found, self._failed = self._failed, []
        if not self._texts:
            return found
        try:
            with signal_stack_kept():
                self._pipeline.step()
        except Exception as error:
            for key in list(self._texts):
                self.forget(key)
                found.append((key, InternalError(message("infer.openvino_genai_failed"), found=str(error).strip())))
            return found
        for key, text in list(self._texts.items()):
            found += self._drawn(key, text)
        return found

    def _let_go(self) -> None:
        """Have the library free what texts held that were ended early: it does in its next step, and there may be none."""
        with suppress(Exception), signal_stack_kept():  # where it failed the text was told so
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()

    def close(self) -> None:
        """End all of them, and let go of the library's pipeline."""
        for key in list(self._texts):
            self.forget(key)
        with signal_stack_kept():
            self._pipeline = None

    def _drawn(self, key: Hashable, text: _Text) -> list[Step]:
        found: list[Step] = []
        while text.handle.can_read():
            for output in text.handle.read().values():
                for token in output.generated_ids:
                    if token in text.ends:
                        self.forget(key)
                        return [*found, (key, None)]
                    found.append((key, SampledToken(int(token))))
        if text.handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
            del self._texts[key]
            found.append((key, None))
        return found

    def _generation_config(self, sampling: Sampling, max_tokens: int) -> Any:
        """Return sampling as the library takes it; which tokens end a text is watched here."""
        asked = _plain_config(max_tokens, self._size)
        asked.do_sample = sampling.temperature >= _COLD and sampling.top_p > 0
        if asked.do_sample:
            asked.temperature, asked.top_p, asked.rng_seed = sampling.temperature, sampling.top_p, sampling.seed % 2**32
            if sampling.top_k:
                asked.top_k = sampling.top_k
        asked.repetition_penalty = sampling.repetition_penalty
        asked.presence_penalty, asked.frequency_penalty = sampling.presence_penalty, sampling.frequency_penalty
        return asked


def _tensor(ids: Sequence[int]) -> Any:
    return openvino.Tensor(np.asarray(ids, dtype=np.int64)[None])


def _plain_config(max_tokens: int, size: int) -> Any:
    """Return how a text is gone on from without any end, the likeliest token each time."""
    asked = openvino_genai.GenerationConfig()
    asked.max_new_tokens, asked.ignore_eos, asked.apply_chat_template = max_tokens, True, False
    asked.set_eos_token_id(size)  # it wants one: one that no model draws
    return asked


def _in_8_bits(file: Path) -> bool:
    """Return whether a GGUF says that most of its matrices are in 8 bits."""
    with file.open("rb") as stream:
        head = stream.read(4_096)
    place = head.find(_FILE_TYPE) + len(_FILE_TYPE)
    # The kind of number, then the number itself.
    return _FILE_TYPE in head and len(head) >= place + 8 and struct.unpack_from("<II", head, place)[1] == _IN_8_BITS


def _no_tokenizer() -> Any:
    """Return a tokenizer whose every text is one token 0: the library wants one, and is never given text."""
    from openvino import opset15

    text = opset15.parameter([-1], openvino.Type.string)
    outputs = [opset15.constant(np.full((1, 1), value, dtype=np.int64)) for value in (0, 1)]
    model = openvino.Model([opset15.result(output) for output in outputs], [text], "no tokenizer")
    for output, name in zip(model.outputs, ("input_ids", "attention_mask"), strict=True):
        output.get_tensor().set_names({name})
    with tempfile.TemporaryDirectory(prefix="noria-genai-") as folder:
        openvino.save_model(model, Path(folder) / "openvino_tokenizer.xml")
        return openvino_genai.Tokenizer(folder)
