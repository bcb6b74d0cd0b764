"""The reference engine: the model as transformers loads it; float32, or bfloat16 for decoding where that measures faster."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers

from noria.core.errors import FolderError, SettingError
from noria.core.folder import Manifest
from noria.ship.engine.engine import Kind, end_ids, longest, padded, read_config, read_tokenizer, unpadded
from noria.tasks.complete import Sampling, next_token
from noria.tasks.task import Task

Number = Literal["float32", "bfloat16", "measured"]
_FASTER = 0.9
# A change of number type must be worth a tenth of the time, or the exact one stays.


class TorchEngine:
    """An engine in torch.

    Args:
        folder: model folder.
        manifest: its manifest.
        task: its task.
        threads: of one forward pass; holds for the whole process.
        number: type of the weights. `measured` times a causal model's decoding in both types and keeps float32 unless
            bfloat16 is clearly faster; encoders stay in float32, for they are what a certificate compares with.

    Raises:
        FolderError: weights or configuration are missing or cannot be read.
    """

    kind: Kind = "torch"

    def __init__(
        self, folder: Path, manifest: Manifest, task: Task, *, threads: int, number: Number = "measured"
    ) -> None:
        self.folder, self.manifest, self.task = folder, manifest, task
        config = read_config(folder)
        self.tokenizer = read_tokenizer(folder)
        self.max_length = longest(manifest, config)
        self.ends = end_ids(config)
        self._pad = int(config.get("pad_token_id") or 0)
        torch.set_num_threads(threads)
        if not (manifest.facts.get("adapter") or {"merged": True})["merged"]:
            kind = manifest.facts["adapter"]["kind"]
            raise FolderError(f"{folder} needs an adapter that no engine serves", found=kind,
                              hint="compress it, which puts the adapter into the engine, or train a lora")  # fmt: skip
        self.model = _load(folder, task)
        if number == "bfloat16" or (number == "measured" and task.head == "causal" and self._bfloat16_pays()):
            self.model.to(torch.bfloat16)

    @property
    def number(self) -> str:
        """Return the type of the weights."""
        return str(self.model.dtype).removeprefix("torch.")

    def forward(self, batch: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return each text's logits; see `Engine`."""
        ids, mask = padded(batch, self._pad)
        with torch.inference_mode():
            output = self.model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        logits = output.last_hidden_state if self.task.head == "embedding" else output.logits
        return unpadded(self.task, logits.float().numpy(), batch)

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Yield the tokens that follow; see `Engine`. Keys and values of earlier tokens are kept, not computed again."""
        if self.task.head != "causal":
            raise SettingError("only a causal model generates", found=self.task.name)
        random = np.random.default_rng(sampling.seed)
        before = list(ids)
        ends = self.ends.union(stop)
        fresh, cache = before, None
        for _ in range(min(sampling.max_tokens, self.max_length - len(before))):
            logits, cache = self._step(fresh, cache)
            token = next_token(logits, sampling, random, before)
            if token in ends:
                return
            before.append(token)
            fresh = [token]
            yield token

    def close(self) -> None:
        """Give the memory back."""
        del self.model

    def _step(self, fresh: Sequence[int], cache: Any) -> tuple[np.ndarray, Any]:
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.tensor([list(fresh)]), past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        return output.logits[0, -1].float().numpy(), output.past_key_values

    def _bfloat16_pays(self) -> bool:
        exact = self._decoding_seconds()
        self.model.to(torch.bfloat16)
        short = self._decoding_seconds()
        # Loading again undoes the rounding that bfloat16 did to the weights.
        self.model = _load(self.folder, self.task)
        return short < _FASTER * exact

    def _decoding_seconds(self, steps: int = 8) -> float:
        """Return the least of three timings of a short prompt and a few single tokens."""
        prompt = [min(3, self.model.config.vocab_size - 1)] * min(32, self.max_length // 2)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            _, cache = self._step(prompt, None)
            for _ in range(steps):
                _, cache = self._step(prompt[:1], cache)
            seconds.append(time.perf_counter() - start)
        return min(seconds)


def _load(folder: Path, task: Task) -> Any:
    auto = {
        "sequence": transformers.AutoModelForSequenceClassification,
        "token": transformers.AutoModelForTokenClassification,
        "embedding": transformers.AutoModel,
        "causal": transformers.AutoModelForCausalLM,
    }[task.head]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model = auto.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # transformers and safetensors raise many kinds for a bad file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FolderError(f"{folder} cannot be loaded with a {task.head} head", found=first) from error
    outputs = len(task.outputs)
    if task.head in ("sequence", "token") and model.config.num_labels != outputs:
        raise FolderError(
            f"{folder} has a head of another size", found=f"{model.config.num_labels} outputs", allowed=str(outputs)
        )
    return model.eval()
