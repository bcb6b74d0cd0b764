"""The reference engine: every head, as transformers loads it; float32, or bfloat16 for decoding where that measures faster.

It computes on the processor or on an accelerator; what it is given and gives is on the processor.

A BERT is computed without padding and with what only its last layer's first token needs (`unpadded`); in that form it is also
an engine of its own, "packed", whose matrices are bfloat16 or 8-bit integers.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

from noria.core.errors import FolderError, SettingError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.machine import bf16_is_fast, measure
from noria.tasks.chat import Chat
from noria.tasks.complete import Sampling
from noria.tasks.guided import Guides
from noria.tasks.padding import like_groups, padded, padding_of
from noria.tasks.task import Features, Task
from noria.tasks.tokenizer import read_tokenizer

from .adapters import Loras, put_back
from .device import moved, placed
from .engine import (
    AUTO_CLASSES,
    Kind,
    check_memory,
    check_whole,
    end_ids_for,
    generate_one,
    in_parts,
    logits_of,
    longest,
    read_config,
    unpadded,
)
from .kv_cache import KVCache, open_cache
from .nets import LSTM, Lstm, Net
from .prompt_cache import PromptCache
from .scheduler import BatchScheduler
from .unpadded import SCALES, Unpadded, applies

Number = Literal["float32", "bfloat16", "int8", "measured", "rounded"]
_FASTER = 0.9
# A change of number type must be worth a tenth of the time, or the exact one stays.
WRITTEN = 256
"""Most tokens that an encoder-decoder writes."""


class TorchEngine:
    """An engine in torch, for all heads.

    Args:
        folder: model folder.
        manifest: its manifest.
        task: its task.
        threads: of one forward pass; holds for the whole process.
        number: type of the weights. `measured` times a causal model's decoding in both types and keeps float32 unless
            bfloat16 is clearly faster; encoders stay in float32, for they are what a certificate compares with. Of an
            encoder bfloat16 and int8 are the types of the packed matrices; `rounded` is bfloat16 where it can be packed
            and the machine measures products in it clearly faster, else float32.
        device: where it computes, as torch names it; not the processor's packed matrices.
        adapters: name -> a LoRA beside the weights, of which each completion may have one.

    Raises:
        FolderError: weights, configuration or an adapter are missing or cannot be read.
        SettingError: an encoder's matrices are to be packed, and it is none that can be.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        task: Task,
        *,
        threads: int,
        number: Number = "measured",
        device: str = "cpu",
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        self.folder, self.manifest, self.task = folder, manifest, task
        self._config = read_config(folder)
        self.tokenizer: Tokenizer | None = None if task.head == "vector" else read_tokenizer(folder)
        self.max_length = longest(manifest, self._config)
        self.ends = end_ids_for(task, self._config, self.tokenizer)
        self.padding = padding_of(self._config)
        torch.set_num_threads(threads)
        self.kind: Kind = "torch"
        self._place, causal = torch.device(device), task.head == "causal"
        if number == "measured" and causal and self._place.type != "cpu":
            number = "bfloat16" if measure(device=device).number_type == "bf16" else "float32"
        self.model = self._load()
        self._unpadded: Unpadded | None = None
        packs = task.head not in ("vector", "seq2seq", "causal")
        if not packs and (number == "bfloat16" or (number == "measured" and causal and self._bfloat16_pays())):
            self.model.to(torch.bfloat16)
        if isinstance(self.model, torch.nn.Module):
            placed(self.model, self._place)
        if packs:
            rounded = number == "rounded" and applies(self.model) and bf16_is_fast()
            self._pack("bfloat16" if rounded else number if number in ("bfloat16", "int8") else "float32")
        self._loras = Loras(self.model, adapters) if adapters else None
        self._cache: KVCache | None = None
        self._kept: PromptCache | None = None

    @property
    def number(self) -> str:
        """Return the type of the weights."""
        return str(self.model.dtype).removeprefix("torch.")

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Return each text's logits; see `Engine`."""
        if self.task.head in ("vector", "seq2seq"):
            raise SettingError(message("infer.head_gives"), found=self.task.head, allowed="outputs()")
        if self._unpadded is not None:
            return self._unpadded(batch, types if self.padding.types else None)
        if len(parts := like_groups([len(text) for text in batch], self.padding)) > 1:
            return in_parts(self, parts, batch, types)
        ids, mask = padded(batch, self.padding)
        given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if types is not None and self.padding.types:
            given["token_type_ids"] = torch.from_numpy(padded(types, self.padding, filler=0)[0])
        with torch.inference_mode():
            output = self.model(**moved(given, self._place))
        if self.task.head == "span":
            logits = torch.stack([output.start_logits, output.end_logits], dim=-1)
        else:
            logits = output.last_hidden_state if self.task.head == "embedding" else output.logits
        return unpadded(self.task, logits.float().cpu().numpy(), batch, self.padding)

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what `Task.answer` takes for each text; see `Engine`."""
        if self.task.head == "vector":
            return list(self.model(np.array([one.meta["vector"] for one in features])))
        if self.task.head == "seq2seq":
            return self._written(features)
        if isinstance(self.task, Chat) and features and "target_ids" not in features[0].meta:
            return [self._reply(one) for one in features]
        return logits_of(self, features)

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Yield the tokens that follow; see `Engine`. Keys and values of earlier tokens are kept, not computed again."""
        return generate_one(self, ids, sampling, stop)

    def scheduler(self) -> BatchScheduler:
        """Return what makes several completions together.

        Raises:
            SettingError: the model is no causal one.
        """
        if self.task.head != "causal":
            raise SettingError(message("infer.only_causal"), found=self.task.name)
        if self._cache is None:
            self._cache = open_cache(self.model, self.max_length, self._loras)
            self._kept = PromptCache(self._cache)
        assert self.tokenizer is not None
        return BatchScheduler(self._cache, self.ends, Guides(self.tokenizer, self.ends), self._kept)

    def close(self) -> None:
        """Give the memory back."""
        self._cache = self._kept = self._unpadded = None
        del self.model

    def _written(self, features: Sequence[Features]) -> list[str]:
        """Return what an encoder-decoder writes from texts: the likeliest token each time, as it was judged."""
        ids, mask = padded([one.ids for one in features], self.padding)
        # A text of n tokens is rarely worth more than 2 n + 32: a model that does not find its end is cut off there.
        room = min(WRITTEN, 2 * ids.shape[1] + 32)
        given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            generated = self.model.generate(
                **moved(given, self._place),
                max_new_tokens=room,
                num_beams=1,
                do_sample=False,
            )
        assert self.tokenizer is not None
        return [self.tokenizer.decode(one, skip_special_tokens=True).strip() for one in generated.cpu().tolist()]

    def _reply(self, one: Features) -> str:
        assert self.tokenizer is not None
        sampling = Sampling(temperature=0, max_tokens=WRITTEN)
        return str(self.tokenizer.decode(list(self.generate(one.ids, sampling)), skip_special_tokens=True))

    def _pack(self, number: Literal["float32", "bfloat16", "int8"]) -> None:
        self.kind = "torch" if number == "float32" else "packed"
        if applies(self.model):
            file = self.folder / SCALES
            scales = load_file(file) if number == "int8" and file.is_file() else {}
            self._unpadded = Unpadded(self.model, number, [scales[str(place)] for place in range(len(scales))])
        elif number != "float32":
            raise SettingError(
                message("infer.cannot_packed", name=self.folder.name),
                found=self._config.get("model_type"),
                allowed="bert",
            )
        if number != "float32":
            self.model.base_model.encoder = None  # the packed matrices are all that is used

    def _load(self) -> Any:
        if self.task.head == "vector":
            return Net(self.folder, self._config)
        if self._config.get("model_type") == LSTM:
            return Lstm(self.folder, self._config).eval()
        check_memory(self.folder)
        model = _loaded(self.folder, self.task)
        if not (self.manifest.facts.get("adapter") or {"merged": True})["merged"]:
            put_back(model, self.folder)
        return model

    def _bfloat16_pays(self) -> bool:
        if not bf16_is_fast():
            return False  # where it is emulated, decoding a few tokens in it would take minutes
        exact = self._decoding_seconds()
        self.model.to(torch.bfloat16)
        short = self._decoding_seconds()
        # Loading again undoes the rounding that bfloat16 did to the weights.
        self.model = self._load()
        return short < _FASTER * exact

    def _decoding_seconds(self, steps: int = 8) -> float:
        """Return the least of three timings of a short prompt and a few single tokens."""
        cache = open_cache(self.model, self.max_length)
        prompt = [min(3, self.model.config.vocab_size - 1)] * max(1, min(32, self.max_length // 2))
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            row = cache.open()
            cache.read(row, prompt)
            for _ in range(min(steps, self.max_length - len(prompt))):
                cache.step({row: prompt[0]})
            cache.close(row)
            seconds.append(time.perf_counter() - start)
        return min(seconds)


def _loaded(folder: Path, task: Task) -> Any:
    auto = getattr(transformers, AUTO_CLASSES[task.head])
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, info = auto.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # what has another size is named below
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise many kinds for a bad file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FolderError(message("infer.cannot_loaded_head", folder=folder, head=task.head), found=first) from error
    # Some folders leave out the layer above an embedding's vectors.
    check_whole(folder, {**info, "missing_keys": ()} if task.head == "embedding" else info)
    outputs = len(task.outputs)
    if task.head in ("sequence", "token") and model.config.num_labels != outputs:
        raise FolderError(
            message("infer.head_another", folder=folder),
            found=message("infer.outputs", num_labels=model.config.num_labels),
            allowed=str(outputs),
        )
    return model.eval()
