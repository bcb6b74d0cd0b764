"""The fast engine for Llamas: the folder's `engine/model.gguf` in llama.cpp, several completions at once.

llama.cpp batches and samples by itself, in threads of its own; every completion waits for it in a thread here. It is given the
file with tokens named by their numbers (`<123>`), so what comes back are token ids, and text stays the tokenizer's and the task's.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import xllamacpp

from noria.core.errors import FolderError, InternalError, ResourceError
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.tasks.complete import SampledToken, Sampling
from noria.tasks.guided import Guide, Guides
from noria.tasks.task import Task

from .decoder import LIKELIEST, MOST, TOGETHER, Decoder
from .engine import Kind
from .gguf.lora import lora_file
from .gguf.reader import read_gguf
from .gguf.renamed import engine_file
from .llamacpp_server import ONE, opened
from .scheduler import Scheduler, Step
from .signal_stack import signals_held

_PATIENCE = 0.02
"""Seconds that a step waits for a token: then the process looks for messages."""
_TOKEN = re.compile(r"<(\d+)>")
ROOM = 4_096
"""Tokens of keys and values that the cache has room for to begin with."""
_FEW = 512
"""Tokens that may come next, up to which the library is told them; of more it draws from all, and again what is not allowed."""
_AGAIN = 8
"""Draws that are made so before it is told all."""
_COLD = 1e-3
"""Temperature below which the likeliest token is taken."""
_RAISED = 100.0
"""Added to the logits of what may come next: nothing else has a chance beside it."""


class LlamaCppEngine(Decoder):
    """An engine in llama.cpp, for causal models; it gives tokens, no logits.

    Raises:
        FolderError: there is no such model, or it cannot be read.
        ResourceError: the process runs another one.
    """

    kind: Kind = "llamacpp"

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        task: Task,
        *,
        threads: int,
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__(folder, manifest, task, threads=threads)
        self._renamed, self._adapters = engine_file(self.file), dict(adapters or {})
        if not ONE.acquire(blocking=False):
            raise ResourceError(message("infer.llama_cpp"), hint=message("infer.close_other"))
        self._holds = True
        self._server: Any = None
        self.room = 0
        """Tokens that the cache of keys and values has room for, of all texts together."""
        self.running: set[Future[None]] = set()
        """Completions in the library."""
        try:
            self.make_room(0, min(self.max_length, ROOM))
        except FolderError:
            self.close()
            raise

    def make_room(self, wanted: int, least: int) -> Any:
        """Return the library's server with room for so many tokens, opened anew where it has less; nothing may go on then.

        Args:
            wanted: tokens of all that wait.
            least: tokens of the next one; room for the longest text is room enough for any.

        Raises:
            FolderError: it cannot read the file, or has not the memory.
        """
        most = max(min(least, self.max_length), min(wanted, MOST))
        if most > self.room:
            # One that was left ends at its next token; while it has not, the old server lives, and two of them end each other.
            wait(self.running)
            self._server, self.room = None, 0
            room = min(TOGETHER * self.max_length, 1 << (most - 1).bit_length())
            with signals_held():
                self._server, _ = opened(self._renamed, room, self.threads, called=self.file, begin=self._begun)
            self.room = room
        return self._server

    def following(self, ids: Sequence[int], expected: int) -> dict[int, float]:
        """Return log probabilities of the token after a prompt: of the likeliest ones, and of the one that is expected.

        The library tells that of the token which it draws, as the model has it: so the expected one is drawn.

        Raises:
            InternalError: it tells none.
        """
        drawn: list[Any] = []

        def on_message(reply: dict[str, Any]) -> bool:
            drawn.extend([reply["error"]] if "error" in reply else _drawn(reply["choices"][0], LIKELIEST))
            return "error" in reply

        asked = _body(ids, Sampling(temperature=0, logprobs=LIKELIEST), 1)
        server = self.make_room(len(ids) + 2, len(ids) + 2)
        with signals_held():
            server.handle_completions({**asked, "logit_bias": [[expected, _RAISED]]}, on_message)
        if not drawn or not isinstance(drawn[0], SampledToken):
            raise InternalError(message("infer.llama_cpp_failed"), found=drawn)
        return {**dict(drawn[0].top), drawn[0].token: drawn[0].logprob}

    def _begun(self, given: Any) -> Any:
        """Return a server with the LoRAs beside its weights, each without effect where a text does not ask for it."""
        if not self._adapters:
            return xllamacpp.Server(given)
        base = read_gguf(self.file)
        with tempfile.TemporaryDirectory(prefix="noria-lora-") as there:  # the library reads them once
            files = [
                lora_file(one, base, Path(there) / f"{place}.gguf") for place, one in enumerate(self._adapters.values())
            ]
            given.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 0.0) for file in files]
            given.lora_init_without_apply = True
            return xllamacpp.Server(given)

    def chosen(self, adapter: str) -> dict[str, Any]:
        """Return what of a request chooses a LoRA, or none of them."""
        scales = [{"id": place, "scale": float(name == adapter)} for place, name in enumerate(self._adapters)]
        return {"lora": scales} if scales else {}

    def scheduler(self) -> Scheduler:
        """Return what makes several completions together."""
        return LlamaCppScheduler(self)

    def close(self) -> None:
        """Give the memory back."""
        self._server = None
        if self._holds:
            self._holds = False
            ONE.release()


class LlamaCppScheduler:
    """Completions in llama.cpp; see `Scheduler`.

    All of them share one cache: those that would not fit wait for others to end, and one that is longer than the cache waits
    for all, and for a larger one. The library computes texts of one LoRA together: those of another wait, in the order in which they came.

    Args:
        engine: gives the library's server.
    """

    def __init__(self, engine: LlamaCppEngine) -> None:
        self._engine, self._guides = engine, Guides(engine.tokenizer, engine.ends)
        self._size = engine.tokenizer.get_vocab_size()
        self._pool = ThreadPoolExecutor(TOGETHER, thread_name_prefix="noria-completion")
        self._going: dict[Hashable, object] = {}
        """Key -> a token of this very completion: a key may be used again."""
        self._waiting: deque[tuple[Hashable, object, int, str, tuple[Any, ...]]] = deque()
        self._adapter = ""
        """That of those which llama.cpp makes."""
        self._taken: dict[object, int] = {}
        """Completion that llama.cpp makes -> tokens that it may come to."""
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
        adapter: str = "",
    ) -> None:
        """Begin a completion."""
        guide = None if schema is None else self._guides.open(schema)
        self._going[key] = mark = object()
        body = {**_body(ids, sampling, max_tokens), **self._engine.chosen(adapter)}
        asked = (body, sampling, self._engine.ends.union(stop), guide)
        self._waiting.append((key, mark, len(ids) + max_tokens + 1, adapter, asked))

    def _admit(self) -> list[Step]:
        """Hand over those that fit, in the order in which they came; return the refusals of those that no memory is there for."""
        refused: list[Step] = []
        while self._waiting:
            key, mark, tokens, adapter, asked = self._waiting[0]
            if self._going.get(key) is mark:
                wanted = sum(self._taken.values()) + sum(one[2] for one in self._waiting)
                full = sum(self._taken.values()) + tokens > self._engine.room
                if self._taken and (full or adapter != self._adapter):
                    return refused
                try:
                    # A larger cache is opened only where nothing goes on; it is then made large enough for all that wait.
                    server = self._engine.make_room(tokens if self._taken else wanted, tokens)
                except FolderError as error:
                    del self._going[key]
                    refused.append((key, error))
                else:
                    self._taken[mark], self._adapter = tokens, adapter
                    running = self._pool.submit(self._run, server, key, mark, *asked)
                    self._engine.running.add(running)
                    running.add_done_callback(self._engine.running.discard)
                    del server
            self._waiting.popleft()
        return refused

    def forget(self, key: Hashable) -> None:
        """End a completion early."""
        self._going.pop(key, None)

    def step(self) -> list[Step]:
        """Return what came since the last call, or within some milliseconds."""
        found = self._arrived(0)
        if self._waiting:
            found += self._admit()
        return found or (self._arrived(_PATIENCE) if self._going else [])

    def _arrived(self, patience: float) -> list[Step]:
        """Return what came; a completion that ended gives its room back, also one that nobody waits for."""
        found: list[Step] = []
        try:
            item = self._news.get(timeout=patience) if patience else self._news.get_nowait()
            while True:
                mark, step = item
                ended = not isinstance(step[1], SampledToken)
                if ended:
                    self._taken.pop(mark, None)
                if self._going.get(step[0]) is mark:
                    found.append(step)
                    if ended:
                        del self._going[step[0]]
                item = self._news.get_nowait()
        except Empty:
            return found

    def close(self) -> None:
        """End all of them."""
        self._going.clear()
        self._pool.shutdown(wait=False)

    def _run(
        self,
        server: Any,
        key: Hashable,
        mark: object,
        body: dict[str, Any],
        sampling: Sampling,
        ends: frozenset[int],
        guide: Guide | None,
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
            if guide is not None:
                for drawn in self._held(server, body, sampling, guide):
                    if self._going.get(key) is not mark or drawn.token in ends:
                        break
                    guide.take(drawn.token)
                    self._news.put((mark, (key, drawn)))
            elif self._going.get(key) is mark:
                server.handle_completions(body, on_message)
        except Exception as error:  # it must reach whoever waits
            fault.append(str(error))
        last = InternalError(message("infer.llama_cpp_failed"), found=fault[0]) if fault else None
        self._news.put((mark, (key, last)))

    def _held(self, server: Any, body: dict[str, Any], sampling: Sampling, guide: Guide) -> Iterator[SampledToken]:
        """Yield a completion token by token, each one of those that may come next; whoever takes one tells the guide.

        The library remembers what it read, so that each costs no more than in one go.
        """
        ids, most = list(body["prompt"]), body["n_predict"]
        for place in range(most):
            allowed = np.flatnonzero(guide.allowed(self._size))
            if len(allowed) == 1 and sampling.logprobs < 0:
                drawn = SampledToken(int(allowed[0]))
            else:
                asked = {**body, "prompt": ids, "n_predict": 1}
                drawn = _chosen(server, asked, replace(sampling, seed=sampling.seed + place), allowed)
            yield drawn
            if guide.whole:
                return
            ids.append(drawn.token)


def _chosen(server: Any, body: dict[str, Any], sampling: Sampling, allowed: np.ndarray) -> SampledToken:
    """Return one of the tokens that are allowed, as likely as it is among them.

    Of many it is drawn from all tokens until it is one of them, which leaves their chances as they are (von Neumann 1951).

    Raises:
        InternalError: the library gives none.
    """
    may, refused = set(allowed.tolist()), list[int]()
    while True:
        told = len(may) <= _FEW or len(refused) == _AGAIN
        bias = [[token, _RAISED] for token in may] if told else [[token, -_RAISED] for token in refused]
        found: list[Any] = []

        def on_message(reply: dict[str, Any], found: list[Any] = found) -> bool:
            """Keep the token, or why there is none."""
            found.extend([reply["error"]] if "error" in reply else _drawn(reply["choices"][0], sampling.logprobs))
            return "error" in reply

        # With another seed, else the same token would be drawn again.
        seed = (sampling.seed + 7_919 * len(refused)) % 2**32
        server.handle_completions({**body, "seed": seed, "logit_bias": bias}, on_message)
        drawn = found[0] if found else None
        if not isinstance(drawn, SampledToken) or (told and drawn.token not in may):
            raise InternalError(message("infer.llama_cpp_failed"), found=drawn)
        if drawn.token in may:
            return drawn
        refused.append(drawn.token)


def _body(ids: Sequence[int], sampling: Sampling, max_tokens: int) -> dict[str, Any]:
    """Return a completion as llama.cpp takes it; its own cuts that OpenAI's API does not know are off.

    Its penalties count the prompt's tokens, too.
    """
    cold = sampling.temperature < _COLD
    return {
        "prompt": list(ids),
        "n_predict": max_tokens,
        "stream": True,
        "temperature": 0.0 if cold else sampling.temperature,
        # By itself it would cut by chances before the temperature. The likeliest alone needs no chances of all the others.
        "samplers": ["penalties", "top_k"] if cold else ["penalties", "temperature", "top_k", "top_p"],
        "top_p": sampling.top_p,
        "top_k": 1 if cold else sampling.top_k,
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
