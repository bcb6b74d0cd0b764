"""The process that holds one model: takes requests, batches those of like length, answers.

It talks through one socket (`wire`) and ends when that is closed. Messages in:

    {"id", "texts": [...], "by"}                         answer every text or row, the sooner the earlier `by` is; {"ids"}
                                                         is a text as its tokens
    {"id", "prompt", "sampling": {...}, "stop": [...], "schema", "adapter"}
                                                         complete a text, the conversation {"messages": [...]}, which
                                                         may have "tools", or a text as its tokens, {"ids"}; with one of
                                                         the model's LoRAs, by name
    {"id", "render": prompt}                             tell the ids that a prompt is read as
    {"id", "cancel": true}                               forget that request
    {"ping": n}                                          say that you are there

and out: {"ready", ...} once; {"id", "answers", "tokens"}; {"id", "ids"}; {"id", "text", "tokens", "prompt_tokens"[, "logprobs"][,
"finish"]} piece by piece; {"id", "error", "fault"}, where fault is input (the client's) or model (ours); {"pong": n}.
"""

from __future__ import annotations

import gc
import json
import select
import signal
import socket
import sys
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, NoriaError, SettingError
from noria.tasks.chat import Chat
from noria.tasks.complete import Sampling
from noria.tasks.encode import text_of_ids
from noria.tasks.task import Answer, Features

from .choose import best_kind, open_engine
from .completions import CompletionStreams
from .device import named
from .engine import Engine
from .replies import Given
from .wire import Message, Unpacker, flat, packed


@dataclass
class PendingRequest:
    """A request for answers, until its last window is done."""

    id: int
    left: int
    answers: list[list[Answer]]
    """Of every text, those to its windows."""
    tokens: list[int]
    by: float


@dataclass(frozen=True)
class Window:
    """One text, or a part of a long one, that waits to be computed."""

    request: PendingRequest
    place: int
    part: int
    features: Features

    @property
    def length(self) -> int:
        """Return how many tokens it has."""
        return max(1, len(self.features.ids))


class Child:
    """One model and those who wait for it."""

    def __init__(self, engine: Engine, connection: socket.socket, batch_tokens: int) -> None:
        self.engine, self.connection, self.batch_tokens = engine, connection, batch_tokens
        self.windows: list[Window] = []
        self.streams = CompletionStreams(engine, self.send, self.fail) if engine.task.head == "causal" else None
        self._unpacker = Unpacker()

    def run(self) -> None:
        """Serve until the socket is closed."""
        while True:
            idle = not self.windows and not (self.streams and self.streams.busy)
            # With work at hand only what has come already is read, so that no one waits for no one.
            while select.select([self.connection], [], [], None if idle else 0)[0]:
                content = self.connection.recv(1 << 16)
                if not content:
                    return
                for message in self._unpacker.feed(content):
                    self.take(message)
                idle = False
            if self.windows:
                self.compute()
            if self.streams and self.streams.busy:
                self.streams.step()

    def take(self, message: Message) -> None:
        """Note one message."""
        try:
            if "ping" in message:
                self.send({"pong": message["ping"]})
            elif message.get("cancel"):
                self.forget(message["id"])
            elif "texts" in message:
                self.note(message["id"], message["texts"], message.get("by", 0.0))
            elif self.streams and "render" in message:
                self.send({"id": message["id"], "ids": self.streams.ids_of(message["render"])})
            elif self.streams:
                self.streams.begin(message)
            else:
                raise InputError("the model completes no text", found=f"a model for {self.engine.task.name}")
        except Exception as error:
            self.fail(message["id"], error)

    def note(self, number: int, texts: list[Given], by: float) -> None:
        """Note texts to be answered."""
        engine = self.engine
        texts = [self.text_of(one) for one in texts]
        read = [engine.task.windows(engine.tokenizer, text, engine.max_length) for text in texts]
        tokens = [sum(len(one.ids) for one in windows) for windows in read]
        request = PendingRequest(number, sum(map(len, read)), [[{} for _ in windows] for windows in read], tokens, by)
        for place, windows in enumerate(read):
            self.windows += [Window(request, place, part, one) for part, one in enumerate(windows)]
        if not texts:
            self.send({"id": number, "answers": [], "tokens": []})

    def text_of(self, given: Given) -> Given:
        """Return what is given, a text where it is given as ids of this model's tokens."""
        if isinstance(given, str) or "ids" not in given:
            return given
        if self.engine.tokenizer is None:
            raise InputError("the model reads no tokens", found="ids")
        return text_of_ids(self.engine.tokenizer, given["ids"])

    def compute(self) -> None:
        """Answer one batch: the window that is due first, and others about as long."""
        batch = self.batch()
        chosen = {id(window) for window in batch}
        self.windows = [window for window in self.windows if id(window) not in chosen]
        try:
            outputs = self.engine.outputs([window.features for window in batch])
            for window, output in zip(batch, outputs, strict=True):
                window.request.answers[window.place][window.part] = self.engine.task.answer(window.features, output)
        except Exception as error:
            for number in {window.request.id for window in batch}:
                self.forget(number)
                self.fail(number, error)
            return
        for window in batch:
            request = window.request
            request.left -= 1
            if request.left == 0:
                answers = [self.engine.task.join(parts) for parts in request.answers]
                self.send({"id": request.id, "answers": flat(answers), "tokens": request.tokens})

    def batch(self) -> list[Window]:
        """Return the next batch, by deadline; at most `batch_tokens` with padding, or one window."""
        due = sorted(self.windows, key=attrgetter("request.by"))
        first = due[0]
        size = first.length
        # Longer ones would make the first pay for their padding, much shorter ones would pay for its length.
        like = [window for window in due if size // 2 <= window.length <= size + size // 4 + 8]
        batch = [first]
        width = size
        for window in like[1:]:
            width = max(width, window.length)
            if width * (len(batch) + 1) > self.batch_tokens:
                break
            batch.append(window)
        return batch

    def forget(self, number: int) -> None:
        """Drop a request."""
        self.windows = [window for window in self.windows if window.request.id != number]
        if self.streams:
            self.streams.forget(number)

    def fail(self, number: int, error: Exception) -> None:
        """Tell that a request failed."""
        fault = "input" if isinstance(error, InputError | SettingError) else "model"
        told = str(error) if isinstance(error, NoriaError) else type(error).__name__
        self.send({"id": number, "error": told, "fault": fault})

    def send(self, message: Message) -> None:
        """Send one message."""
        self.connection.sendall(packed(message))


def main(arguments: list[str]) -> int:
    """Load the model and serve it: folder, file descriptor of the socket, threads, tokens a batch, device, LoRAs as JSON."""
    folder, (descriptor, threads, batch_tokens), device = arguments[0], map(int, arguments[1:4]), arguments[4]
    # Ctrl-C goes to every process of a terminal; the server decides when its models end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as connection:
        try:
            place = named(device)
            adapters = {name: Path(path) for name, path in json.loads(arguments[5]).items()}
            engine = open_engine(folder, threads=threads or None, device=place, adapters=adapters)
            _warm(engine)
            gc.collect()
            gc.freeze()  # what was loaded stays, and a full collection need not walk it
            child = Child(engine, connection, batch_tokens)
            told = {"engine": engine.kind, "max_length": engine.max_length, **_elsewhere(Path(folder), place)}
            connection.sendall(packed({"ready": True, **told, **_calls(engine)}))
            child.run()
        except (BrokenPipeError, ConnectionResetError):
            return 0  # the server is gone, and with it all who asked
        except NoriaError as error:
            connection.sendall(packed({"refused": str(error)}))
            return 2
    return 0


def _elsewhere(folder: Path, place: str) -> dict[str, Any]:
    """Return where the model is computed, where that is not the processor, and the engine that was passed over for it."""
    if place == "cpu":
        return {}
    faster = best_kind(folder)
    return {"device": place, **({"passed_over": faster} if faster != "torch" else {})}


def _calls(engine: Engine) -> dict[str, Any]:
    """Return how a chat model's template writes calls of tools, and the ids of special tokens in that."""
    if not isinstance(engine.task, Chat) or engine.tokenizer is None:
        return {}
    form = engine.task.call_form(engine.tokenizer)
    text = "".join((form.opening, form.middle, form.between or "", form.closing))
    named = {one.content: number for number, one in engine.tokenizer.get_added_tokens_decoder().items() if one.special}
    specials = {name: number for name, number in named.items() if name in text}
    return {"calls": {"form": form.as_dict(), "specials": specials}}


def _warm(engine: Engine) -> None:
    """Compute once, so that the first request does not pay for what is made on first use."""
    task = engine.task
    numbers = [0.0] * getattr(task, "width", 1)
    given: dict[str, Any] = {"span": {"question": "a", "context": "a"}, "vector": {"features": numbers}}
    features = task.windows(engine.tokenizer, given.get(task.head, "a"), engine.max_length)
    if task.head == "causal":
        list(engine.generate(features[0].ids or [0], Sampling(temperature=0, max_tokens=2)))
    else:
        engine.outputs(features)
        engine.outputs([*features, *features])  # another engine may answer several


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
