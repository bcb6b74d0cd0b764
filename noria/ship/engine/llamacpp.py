"""The fast engine for Llamas: the folder's `engine/model.gguf` in llama.cpp, several completions at once.

llama.cpp batches and samples by itself, in threads of its own; every completion waits for it in a thread here. The file
names tokens by their numbers (`<123>`), so what comes back are token ids, and text stays the tokenizer's and the task's.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import xllamacpp

from noria.core.errors import FolderError, InternalError, ResourceError, SettingError
from noria.core.folder import Manifest
from noria.tasks.complete import Drawn, Sampling
from noria.tasks.task import Features, Task

from .engine import Kind, ends_of, longest, made, read_config, read_tokenizer
from .writer import Step, Writer

if TYPE_CHECKING:
    from .torch import TorchEngine

TOGETHER = 8
"""Completions that share the model; more wait."""
PREFILL = 128
"""Tokens of prompts that are read between two tokens of the others: a long prompt holds nobody up for long, and of eight that
come at once the first need not wait for the last. It costs some 6 % of tokens a second with eight completions."""
_PATIENCE = 0.005
"""Seconds that a step waits for a token: then the process looks for messages."""
_TOKEN = re.compile(r"<(\d+)>")
_SILENT = -1
_one = threading.Lock()
"""Two servers of the library in one process end each other."""


class LlamaCppEngine:
    """An engine in llama.cpp, for causal models; it gives tokens, no logits.

    Args:
        folder: model folder with `engine/model.gguf`, whose tokens are named by their numbers.
        manifest: its manifest.
        task: its task.
        threads: of one forward pass.

    Raises:
        FolderError: there is no such model, or it cannot be read.
        ResourceError: the process runs another one.
    """

    kind: Kind = "llamacpp"

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int) -> None:
        self.folder, self.manifest, self.task, self._threads = folder, manifest, task, threads
        config = read_config(folder)
        self.tokenizer = read_tokenizer(folder)
        self.max_length = longest(manifest, config)
        self.ends = ends_of(task, config, self.tokenizer)
        file = folder / "engine" / "model.gguf"
        if not file.is_file():
            raise FolderError(
                f"{folder} holds no engine/model.gguf", hint="compress the model, or use the torch engine"
            )
        given = xllamacpp.CommonParams()
        given.model.path, given.verbosity, given.warmup = str(file), _SILENT, False
        given.n_parallel, given.n_ctx, given.fit_params = TOGETHER, TOGETHER * self.max_length, False
        given.n_batch = given.n_ubatch = PREFILL
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
        # The library opens a port for requests by itself; nobody is told its key.
        given.no_perf, given.ui, given.n_threads_http, given.api_keys = True, False, 1, [secrets.token_urlsafe(32)]
        if not _one.acquire(blocking=False):
            raise ResourceError("llama.cpp runs one model a process", hint="close the other engine first")
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(given)
            # Its loop has begun once it answered: a server that is closed before that never ends.
            self._server.handle_completions(
                _body([next(iter(self.ends), 0)], Sampling(temperature=0), 1), lambda _: False
            )
        except Exception as error:  # whatever the library makes of a bad file
            _one.release()
            raise FolderError(f"{file} cannot be read", found=str(error).strip()) from None

    def forward(self, batch: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> list[np.ndarray]:
        """Refuse: see the class."""
        raise SettingError("the engine gives tokens, no logits", found=self.kind, allowed="torch")

    def outputs(self, features: Sequence[Features]) -> list[Any]:
        """Return what a chat model replies; see `Engine`."""
        if self.task.name != "chat":
            return list(self.forward([]))
        sampling = Sampling(temperature=0, max_tokens=256)
        return [self.tokenizer.decode(list(self.generate(one.ids, sampling))) for one in features]

    def generate(self, ids: Sequence[int], sampling: Sampling, stop: Collection[int] = ()) -> Iterator[int]:
        """Yield the tokens that follow; see `Engine`."""
        return made(self, ids, sampling, stop)

    def writer(self) -> LlamaCppWriter:
        """Return what makes several completions together."""
        return LlamaCppWriter(self._server, self.ends, self._exact)

    @cache  # noqa: B019 - it lives as long as the process
    def _exact(self) -> TorchEngine:
        """Return the trained model itself; loaded when it is first needed."""
        from .torch import TorchEngine

        return TorchEngine(self.folder, self.manifest, self.task, threads=self._threads)

    def close(self) -> None:
        """Give the memory back."""
        if self._server is not None:
            self._server = None
            _one.release()


class LlamaCppWriter:
    """Completions in llama.cpp; see `Completions`.

    Args:
        server: the library's.
        ends: tokens that end a text.
        exact: gives the model's engine in torch, for texts that are held to a schema: llama.cpp knows no text of a token.
    """

    def __init__(self, server: Any, ends: frozenset[int], exact: Callable[[], TorchEngine]) -> None:
        self._server, self._ends, self._exact = server, ends, exact
        self._held: Writer | None = None
        self._pool = ThreadPoolExecutor(TOGETHER, thread_name_prefix="noria-completion")
        self._going: dict[Hashable, object] = {}
        """Key -> a token of this very completion: a key may be used again."""
        self._news: SimpleQueue[tuple[object, Step]] = SimpleQueue()

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return bool(self._going) or (self._held is not None and self._held.busy)

    def begin(
        self,
        key: Hashable,
        ids: Sequence[int],
        sampling: Sampling,
        *,
        most: int,
        stop: Collection[int] = (),
        schema: str | None = None,
    ) -> None:
        """Begin a completion."""
        if schema is not None:
            self._held = self._held or self._exact().writer()
            self._held.begin(key, ids, sampling, most=most, stop=stop, schema=schema)
            return
        self._going[key] = mark = object()
        self._pool.submit(self._run, key, mark, list(ids), sampling, most, self._ends.union(stop))

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        self._going.pop(key, None)
        if self._held:
            self._held.forget(key)

    def step(self) -> list[Step]:
        """Return what came since the last call, or within some milliseconds."""
        found: list[Step] = self._held.step() if self._held and self._held.busy else []
        if not self._going:
            return found
        try:
            item = self._news.get(timeout=0 if found else _PATIENCE)
            while True:
                mark, step = item
                if self._going.get(step[0]) is mark:
                    found.append(step)
                    if not isinstance(step[1], Drawn):
                        del self._going[step[0]]
                item = self._news.get_nowait()
        except Empty:
            return found

    def close(self) -> None:
        """End all of them."""
        self._going.clear()
        if self._held:
            self._held.close()
        self._pool.shutdown(wait=False)

    def _run(
        self, key: Hashable, mark: object, ids: list[int], sampling: Sampling, most: int, ends: frozenset[int]
    ) -> None:
        fault: list[str] = []

        def hear(told: dict[str, Any]) -> bool:
            """Take what llama.cpp tells; return whether it shall stop."""
            if "error" in told:
                fault.append(str(told["error"].get("message", told["error"])))
                return True
            choice = told["choices"][0]
            for drawn in _drawn(choice, sampling.logprobs):
                if self._going.get(key) is not mark or drawn.token in ends:
                    return True
                self._news.put((mark, (key, drawn)))
            return self._going.get(key) is not mark

        try:
            if self._going.get(key) is mark:
                self._server.handle_completions(_body(ids, sampling, most), hear)
        except Exception as error:  # it must reach whoever waits
            fault.append(str(error))
        last = InternalError("llama.cpp failed", found=fault[0]) if fault else None
        self._news.put((mark, (key, last)))


def _body(ids: Sequence[int], sampling: Sampling, most: int) -> dict[str, Any]:
    """Return a completion as llama.cpp takes it; its own cuts that OpenAI's API does not know are off.

    Its penalties count the prompt's tokens, too.
    """
    return {
        "prompt": list(ids), "n_predict": most, "stream": True,
        "temperature": sampling.temperature if sampling.temperature >= 1e-3 else 0.0,
        "top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": 0.0, "seed": sampling.seed % 2**32,
        "repeat_penalty": sampling.repetition_penalty, "repeat_last_n": len(ids) + most,
        "presence_penalty": sampling.presence_penalty, "frequency_penalty": sampling.frequency_penalty,
        **({"n_probs": max(1, sampling.logprobs)} if sampling.logprobs >= 0 else {}),
    }  # fmt: skip


def _drawn(choice: dict[str, Any], likeliest: int) -> list[Drawn]:
    """Return the tokens of a piece; llama.cpp tells one likeliest token at least, where it tells any."""
    told = (choice.get("logprobs") or {}).get("content")
    if told:
        return [
            Drawn(
                one["id"], one["logprob"], tuple((top["id"], top["logprob"]) for top in one["top_logprobs"][:likeliest])
            )
            for one in told
        ]
    return [Drawn(int(number)) for number in _TOKEN.findall(choice["text"])]
