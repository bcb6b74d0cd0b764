"""A model in its own process: a bounded queue before it, restarts with back-off behind it.

    worker = Worker("runs/demo/sentiment")
    await worker.start()
    (await worker.ask(["很好"])).answers
    (await reader.ask([{"question": "谁？", "context": "王明去了北京。"}])).answers
    async for piece in scheduler.complete("今天", Sampling(), []): ...
    async for piece in scheduler.complete({"messages": [{"role": "user", "content": "你好"}]}, Sampling(logprobs=2)): ...

Requests wait here, in order; the process holds only as many as it can batch soon. So when it dies, those it held fail, those
that wait go to the next one, and new ones wait for it, up to the queue's bound.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from noria.core.errors import FolderError
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.machine import cores
from noria.tasks.complete import Sampling

from .loras import lora_version
from .replies import Answers, Busy, Given, Piece, Unavailable, checked
from .wire import Link, Message, unflat

Status = Literal["starting", "ready", "down", "stopped"]
HELD = 64
"""Texts that the process may hold: two good batches, so that it never waits for the next one."""
COMPLETION_COST = 8
"""A completion counts as so many texts: eight of them share the process."""
ELSEWHERE = 8
"""Times as much as an accelerator's process may hold: a step of many costs it about what a step of one does."""
BACK_OFF = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)
"""Seconds before the first, second, ... restart in a row."""
SILENCE = 120.0
"""Seconds without a word, with work at hand, after which the process is taken for hung."""
UNANSWERED = 4
"""Questions whether it is there that an idle process may leave unanswered before it is taken for hung."""


@dataclass(eq=False)
class _Request:
    id: int
    message: Message
    cost: int
    news: asyncio.Queue[Message | Exception] = field(default_factory=asyncio.Queue)


def open_process(arguments: Sequence[object], descriptor: int, threads: int) -> subprocess.Popen[bytes]:
    """Start the process of a model, which talks through a socket; see `child`, whose arguments are given."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "noria.infer.child", *map(str, arguments)],
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
    )


class Worker:
    """One model's process and the queue before it. Belongs to one event loop."""

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int = 0,
        queue: int = 256,
        batch_tokens: int = 4_096,
        pulse: float = 5.0,
        device: str = "cpu",
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        self.adapters = dict(adapters or {})
        """Name -> a LoRA beside the weights."""
        self._adapter_versions: dict[str, str] = {}
        self.folder, self.threads, self.queue, self.batch_tokens = Path(folder), threads, queue, batch_tokens
        self.device = device
        self._pulse = pulse
        """Seconds between two questions whether an idle process is there."""
        self._unanswered = 0
        self.status: Status = "starting"
        self.facts: dict[str, Any] = {}
        """What the process told of itself: engine, max_length; device, and the engine passed over for it, where it is not the processor."""
        self.version = ""
        """What tells the content that answers from another under the same name; known once it is ready."""
        self.restarts = 0
        self.patient = True
        """Requests that wait when the process dies go to the next one; else they fail with it."""
        self._in_a_row = 0
        self._proved = False
        self._refusal: str | None = None
        self._waiting: deque[_Request] = deque()
        self._held: dict[int, _Request] = {}
        self._held_cost = 0
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._heard = time.monotonic()
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, *, timeout: float = 300.0) -> None:
        """Start the process and return when the model answers.

        Raises:
            FolderError: the model refuses to load.
            Unavailable: it is not there in time.
        """
        self._keeper = asyncio.create_task(self._keep())
        try:
            await asyncio.wait_for(self._ready.wait(), timeout)
        except TimeoutError:
            await self.stop()
            raise Unavailable(f"the model {self.folder.name} did not start", found=f"{timeout:g} s") from None
        if self._refusal:
            await self.stop()
            raise FolderError(message("infer.model_does", name=self.folder.name, refusal=self._refusal))

    async def stop(self) -> None:
        """End the process; what still waits fails."""
        self.status = "stopped"
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._end_process()
        self._fail_held("the server is stopping")
        self._fail_waiting("the server is stopping")

    @property
    def process_id(self) -> int | None:
        """Return the id of the model's process, where there is one."""
        return self._process.pid if self._process else None

    @property
    def depth(self) -> int:
        """Return how many requests wait or are held."""
        return len(self._waiting) + len(self._held)

    def health(self) -> dict[str, Any]:
        """Return how the model is doing: status, queue depth, restarts, engine."""
        return {"status": self.status, "queue": self.depth, "restarts": self.restarts, **self.facts}

    async def ask(self, texts: Sequence[Given], *, timeout: float = 30.0) -> Answers:
        """Return the answers to some texts, or rows as the model's task reads them, without the truth.

        classify {text[, pair]}, numeric {features}, tag {text}, answer {question, context}, translate and summarise
        {source}, embed {anchor}; each also takes a bare text. A text longer than the model is read in windows where the
        task has them. Of several requests the one that has to be answered first is computed first.

        Raises:
            Busy: the queue is full.
            Unavailable: the process died with the request, or it took longer than `timeout` seconds.
            InputError: the model cannot take the texts.
        """
        by = time.monotonic() + timeout  # one clock for all processes of a machine
        request = self._enqueue({"texts": list(texts), "by": by}, max(len(texts), 1))
        message = await self._answer(request, timeout)
        return Answers(unflat(message["answers"]), message["tokens"], self.version)

    async def tokenize(self, prompt: Given, *, timeout: float = 30.0) -> list[int]:
        """Return the ids that a prompt is read as: {"text"}, or {"messages", "tools"} as the chat template writes them.

        Raises:
            Busy, Unavailable: see `ask`. InputError: the model reads no such prompt.
        """
        request = self._enqueue({"render": prompt}, 1)
        return list((await self._answer(request, timeout))["ids"])

    async def complete(
        self,
        prompt: Given,
        sampling: Sampling,
        stop: Sequence[str] = (),
        *,
        schema: str | None = None,
        timeout: float = 30.0,
        adapter: str = "",
    ) -> AsyncGenerator[Piece, None]:
        """Yield a completion piece by piece; closing the iterator stops the model.

        With a JSON `schema`, or a grammar of `noria.tasks.tools`, the text is held to it while it is drawn; with an `adapter` it is
        written by the model with that LoRA.

        The prompt of a chat model is a conversation, {"messages": [{"role", "content"}], "tools"}, written by its own template,
        or one turn of a user's as a bare text; {"ids"} is what any model reads, as its tokens.

        Raises:
            Busy: the queue is full.
            Unavailable: the process died with the request, or no token came for `timeout` seconds.
            InputError: the prompt is too long, or the chat template cannot write it.
        """
        message = {
            "prompt": prompt,
            "sampling": asdict(sampling),
            "stop": list(stop),
            "schema": schema,
            "adapter": adapter,
        }
        version = self.version_of(adapter)
        request = self._enqueue(message, COMPLETION_COST)
        try:
            while True:
                try:
                    async with asyncio.timeout(timeout):
                        news = await request.news.get()
                except TimeoutError:
                    raise Unavailable(f"the model {self.folder.name} fell silent", found=f"{timeout:g} s") from None
                told = checked(news)
                logprobs = tuple(told.get("logprobs", ()))
                piece = Piece(
                    told["text"], told["tokens"], told["prompt_tokens"], told.get("finish"), logprobs, version
                )
                if piece.finish:
                    self._withdraw(request)
                yield piece
                if piece.finish:
                    return
        finally:
            self._withdraw(request)

    def version_of(self, adapter: str) -> str:
        """Return what tells what is written with a LoRA from what another version of it, or of the base, writes."""
        return "+".join(filter(None, (self.version, self._adapter_versions.get(adapter, ""))))

    async def _answer(self, request: _Request, timeout: float) -> Message:
        """Return the one answer to a request, within so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                return checked(await request.news.get())
        except TimeoutError:
            raise Unavailable(f"the model {self.folder.name} took too long", found=f"over {timeout:g} s") from None
        finally:
            self._withdraw(request)

    def _enqueue(self, message: Message, cost: int) -> _Request:
        if self.status == "stopped":
            raise Unavailable("the server is stopping", retry_after=5)
        if self.status == "down" and self._in_a_row > 2:
            raise Unavailable(f"the model {self.folder.name} is down", retry_after=int(self._pause()) + 1)
        if self.depth >= self.queue:
            raise Busy(
                f"the queue of {self.folder.name} is full", found=f"{self.depth} requests", hint="come back soon"
            )
        self._number += 1
        request = _Request(self._number, {"id": self._number, **message}, cost)
        self._waiting.append(request)
        self._send()
        return request

    def _send(self) -> None:
        """Hand over what the process has room for."""
        while self._link and self.status == "ready" and self._waiting:
            request = self._waiting[0]
            room = HELD * (ELSEWHERE if "device" in self.facts else 1)
            if self._held and self._held_cost + request.cost > room:
                return
            self._waiting.popleft()
            if not self._held:
                self._heard = time.monotonic()
            self._held[request.id] = request
            self._held_cost += request.cost
            self._link.send(request.message)

    def _withdraw(self, request: _Request) -> None:
        """Forget a request, wherever it is; the process is told if it still works on it."""
        if request in self._waiting:
            self._waiting.remove(request)
        elif self._release(request.id) and self._link:
            self._link.send({"id": request.id, "cancel": True})
        self._send()

    def _release(self, number: int) -> _Request | None:
        request = self._held.pop(number, None)
        if request:
            self._held_cost -= request.cost
        return request

    def on_message(self, message: Message) -> None:
        """Take one message from the process."""
        self._heard, self._unanswered = time.monotonic(), 0
        if "refused" in message:
            self._refusal = message["refused"]
            self._ready.set()
        elif "ready" in message:
            self.facts = {key: value for key, value in message.items() if key != "ready"}
            self.status, self._refusal = "ready", None
            self._ready.set()
        elif "pong" not in message:
            self._proved = True
            last = "text" not in message or "finish" in message
            request = self._release(message["id"]) if last else self._held.get(message["id"])
            if request:
                request.news.put_nowait(message)
        self._send()

    async def _keep(self) -> None:
        """Start the process, and start it again whenever it ends."""
        while True:
            self._proved, self._unanswered = False, 0
            closed = await self._launch()
            while not closed.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(closed.wait(), self._pulse)
                    break
                self._feel()
            self.status = "down"
            self._end_process()
            # One that answered before it died starts the back-off anew.
            self._in_a_row = 1 if self._proved else self._in_a_row + 1
            self._fail_held("the model's process ended")
            if not self.patient:
                self._fail_waiting("the model's process ended")
            if not self.facts:
                if self._in_a_row > 1 and not self._refusal:
                    self._refusal = "its process ends before it is ready"
                if self._refusal:
                    self._ready.set()
                    return
            await asyncio.sleep(self._pause())
            self.restarts += 1

    def _feel(self) -> None:
        """Ask an idle process whether it is there; kill one that is silent for too long."""
        if self.status != "ready" or not self._link or not self._process:
            return
        silent = time.monotonic() - self._heard
        if self._held:
            self._unanswered = 0
            hung = silent > SILENCE
        else:
            # Questions are counted, not seconds: it is no fault of the process when this one was held up.
            hung = self._unanswered >= UNANSWERED
            if silent > self._pulse:
                self._unanswered += 1
                self._link.send({"ping": self._unanswered})
        if hung:
            self._process.kill()

    async def _launch(self) -> asyncio.Event:
        with suppress(FolderError):  # the process tells what is wrong
            self.version = read_manifest(self.folder).identity()[:12]
        self._adapter_versions = {name: lora_version(path) for name, path in self.adapters.items()}
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        threads = self.threads or cores()
        with theirs:
            adapters = json.dumps({name: str(path) for name, path in self.adapters.items()})
            arguments = self.folder, theirs.fileno(), threads, self.batch_tokens, self.device, adapters
            self._process = open_process(arguments, theirs.fileno(), threads)
        closed = asyncio.Event()
        _, self._link = await asyncio.get_running_loop().create_connection(
            lambda: Link(self.on_message, closed), sock=ours
        )
        return closed

    def _pause(self) -> float:
        return BACK_OFF[min(self._in_a_row, len(BACK_OFF)) - 1]

    def _fail_held(self, why: str) -> None:
        for number in list(self._held):
            request = self._release(number)
            if request:
                error = Unavailable(f"{why}: {self.folder.name}", retry_after=int(self._pause()) + 1)
                request.news.put_nowait(error)

    def _fail_waiting(self, why: str) -> None:
        while self._waiting:
            self._waiting.popleft().news.put_nowait(Unavailable(f"{why}: {self.folder.name}", retry_after=5))

    def _end_process(self) -> None:
        if self._link:
            self._link.close()
            self._link = None
        if self._process:
            # Nothing it holds is worth waiting for: a model's process has no state.
            self._process.kill()
            self._process.wait()
            self._process = None
