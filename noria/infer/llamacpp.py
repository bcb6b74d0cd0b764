"""The fast engine for Llamas: the folder's `engine/model.gguf` in llama.cpp, several completions at once.

llama.cpp batches and samples by itself, in threads of its own; every completion waits for it in a thread here. It is given the
file with tokens named by their numbers (`<123>`), so what comes back are token ids, and text stays the tokenizer's and the task's.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import xllamacpp

from noria.core.errors import FolderError, InternalError, ResourceError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.tasks.complete import SampledToken, Sampling
from noria.tasks.task import Task

from .decoder import PREFILL, TOGETHER, Decoder, RoutedScheduler
from .engine import Kind
from .gguf.renamed import engine_file
from .scheduler import Scheduler, Step

_PATIENCE = 0.005
"""Seconds that a step waits for a token: then the process looks for messages."""
_TOKEN = re.compile(r"<(\d+)>")
_SILENT = -1
_one = threading.Lock()
"""Two servers of the library in one process end each other."""


class LlamaCppEngine(Decoder):
    """An engine in llama.cpp, for causal models; it gives tokens, no logits.

    Raises:
        FolderError: there is no such model, or it cannot be read.
        ResourceError: the process runs another one.
    """

    kind: Kind = "llamacpp"

    def __init__(self, folder: Path, manifest: Manifest, task: Task, *, threads: int) -> None:
        super().__init__(folder, manifest, task, threads=threads)
        given = xllamacpp.CommonParams()
        given.model.path, given.verbosity, given.warmup = str(engine_file(self.file)), _SILENT, False
        given.n_parallel, given.n_ctx, given.fit_params = TOGETHER, TOGETHER * self.max_length, False
        given.n_batch = given.n_ubatch = PREFILL
        given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
        # The library opens a port for requests by itself; nobody is told its key.
        given.no_perf, given.ui, given.n_threads_http, given.api_keys = True, False, 1, [secrets.token_urlsafe(32)]
        if not _one.acquire(blocking=False):
            raise ResourceError(message("infer.llama_cpp"), hint=message("infer.close_other"))
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(given)
            # Its loop has begun once it answered: a server that is closed before that never ends.
            self._server.handle_completions(
                _body([next(iter(self.ends), 0)], Sampling(temperature=0), 1), lambda _: False
            )
        except Exception as error:  # whatever the library makes of a bad file
            _one.release()
            raise FolderError(message("infer.cannot_read", file=self.file), found=str(error).strip()) from None

    def scheduler(self) -> Scheduler:
        """Return what makes several completions together; torch holds to schemas: llama.cpp knows no text of a token."""
        fast = LlamaCppScheduler(self._server, self.ends)
        return RoutedScheduler(fast, self.exact, lambda _, schema: schema is not None)

    def close(self) -> None:
        """Give the memory back."""
        if self._server is not None:
            self._server = None
            _one.release()


class LlamaCppScheduler:
    """Completions in llama.cpp; see `Scheduler`.

    Args:
        server: the library's.
        ends: tokens that end a text.
    """

    def __init__(self, server: Any, ends: frozenset[int]) -> None:
        self._server, self._ends = server, ends
        self._pool = ThreadPoolExecutor(TOGETHER, thread_name_prefix="noria-completion")
        self._going: dict[Hashable, object] = {}
        """Key -> a token of this very completion: a key may be used again."""
        self._news: SimpleQueue[tuple[object, Step]] = SimpleQueue()

    @property
    def busy(self) -> bool:
        """Return whether any completion goes on."""
        return bool(self._going)

    def begin(
        self,
        key: Hashable,
        ids: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        schema: str | None = None,
    ) -> None:
        """Begin a completion."""
        if schema is not None:
            raise InternalError(message("infer.library_holds"))
        self._going[key] = mark = object()
        self._pool.submit(self._run, key, mark, list(ids), sampling, max_tokens, self._ends.union(stop))

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        self._going.pop(key, None)

    def step(self) -> list[Step]:
        """Return what came since the last call, or within some milliseconds."""
        found: list[Step] = []
        if not self._going:
            return found
        try:
            item = self._news.get(timeout=_PATIENCE)
            while True:
                mark, step = item
                if self._going.get(step[0]) is mark:
                    found.append(step)
                    if not isinstance(step[1], SampledToken):
                        del self._going[step[0]]
                item = self._news.get_nowait()
        except Empty:
            return found

    def close(self) -> None:
        """End all of them."""
        self._going.clear()
        self._pool.shutdown(wait=False)

    def _run(
        self, key: Hashable, mark: object, ids: list[int], sampling: Sampling, max_tokens: int, ends: frozenset[int]
    ) -> None:
        fault: list[str] = []

        def on_message(reply: dict[str, Any]) -> bool:
            """Take what llama.cpp tells; return whether it shall stop."""
            if "error" in reply:
                fault.append(str(reply["error"].get("message", reply["error"])))
                return True
            choice = reply["choices"][0]
            for drawn in _drawn(choice, sampling.logprobs):
                if self._going.get(key) is not mark or drawn.token in ends:
                    return True
                self._news.put((mark, (key, drawn)))
            return self._going.get(key) is not mark

        try:
            if self._going.get(key) is mark:
                self._server.handle_completions(_body(ids, sampling, max_tokens), on_message)
        except Exception as error:  # it must reach whoever waits
            fault.append(str(error))
        last = InternalError(message("infer.llama_cpp_failed"), found=fault[0]) if fault else None
        self._news.put((mark, (key, last)))


def _body(ids: Sequence[int], sampling: Sampling, max_tokens: int) -> dict[str, Any]:
    """Return a completion as llama.cpp takes it; its own cuts that OpenAI's API does not know are off.

    Its penalties count the prompt's tokens, too.
    """
    return {
        "prompt": list(ids),
        "n_predict": max_tokens,
        "stream": True,
        "temperature": sampling.temperature if sampling.temperature >= 1e-3 else 0.0,
        # By itself it would cut by chances before the temperature.
        "samplers": ["penalties", "temperature", "top_k", "top_p"],
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "seed": sampling.seed % 2**32,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": len(ids) + max_tokens,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        **({"n_probs": max(1, sampling.logprobs)} if sampling.logprobs >= 0 else {}),
    }


def _drawn(choice: dict[str, Any], likeliest: int) -> list[SampledToken]:
    """Return the tokens of a piece; llama.cpp tells one likeliest token at least, where it tells any."""
    reply = (choice.get("logprobs") or {}).get("content")
    if reply:
        return [
            SampledToken(
                one["id"], one["logprob"], tuple((top["id"], top["logprob"]) for top in one["top_logprobs"][:likeliest])
            )
            for one in reply
        ]
    return [SampledToken(int(number)) for number in _TOKEN.findall(choice["text"])]
