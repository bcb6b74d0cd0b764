"""The process that holds one model: takes requests, batches those of like length, answers.

It talks through one socket (`wire`) and ends when that is closed. Messages in:

    {"id", "texts": [...]}                               answer every text
    {"id", "prompt", "sampling": {...}, "stop": [...]}   complete a prompt
    {"id", "cancel": true}                               forget that request

and out: {"ready", ...} once; {"id", "answers", "tokens"}; {"id", "text", "tokens", "prompt_tokens"[, "finish"]} piece by
piece; {"id", "error", "fault"}, where fault is input (the client's) or model (ours).
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from noria.core.errors import InputError, NoriaError
from noria.tasks.complete import Sampling
from noria.tasks.task import Answer, Features

from .engine import Engine, open_engine
from .speech import Speech
from .wire import Message, Unpacker, packed


@dataclass
class Asked:
    """A request for answers, until its last text is done."""

    id: int
    left: int
    answers: list[Answer]
    tokens: list[int]


@dataclass(frozen=True)
class Text:
    """One text that waits to be computed."""

    asked: Asked
    place: int
    features: Features


@dataclass
class Talk:
    """A completion while it is made."""

    id: int
    steps: Iterator[int]
    speech: Speech
    prompt_tokens: int
    most: int
    tokens: int = 0


class Child:
    """One model and those who wait for it."""

    def __init__(self, engine: Engine, connection: socket.socket, batch_tokens: int) -> None:
        self.engine, self.connection, self.batch_tokens = engine, connection, batch_tokens
        self.texts: list[Text] = []
        self.talks: list[Talk] = []
        self._unpacker = Unpacker()

    def run(self) -> None:
        """Serve until the socket is closed."""
        while True:
            idle = not self.texts and not self.talks
            # With work at hand only what has come already is read, so that no one waits for no one.
            while select.select([self.connection], [], [], None if idle else 0)[0]:
                content = self.connection.recv(1 << 16)
                if not content:
                    return
                for message in self._unpacker.feed(content):
                    self.take(message)
                idle = False
            if self.texts:
                self.compute()
            for talk in list(self.talks):
                self.step(talk)

    def take(self, message: Message) -> None:
        """Note one message."""
        try:
            if message.get("cancel"):
                self.forget(message["id"])
            elif "texts" in message:
                self.note(message["id"], message["texts"])
            else:
                self.begin(message)
        except Exception as error:
            self.fail(message["id"], error)

    def note(self, number: int, texts: list[str]) -> None:
        """Note texts to be answered."""
        engine = self.engine
        features = [engine.task.features(engine.tokenizer, text, engine.max_length) for text in texts]
        asked = Asked(number, len(texts), [{} for _ in texts], [len(one.ids) for one in features])
        self.texts.extend(Text(asked, place, one) for place, one in enumerate(features))
        if not texts:
            self.send({"id": number, "answers": [], "tokens": []})

    def begin(self, message: Message) -> None:
        """Begin a completion."""
        engine = self.engine
        features = engine.task.features(engine.tokenizer, message["prompt"], engine.max_length)
        ids = list(features.ids)
        ends: frozenset[int] = getattr(engine, "ends", frozenset())
        while ids and ids[-1] in ends:  # a tokenizer that closes every text would leave nothing to say
            ids.pop()
        # Texts follow each other after an end token in training, so it is what an empty prompt begins with.
        ids = ids or sorted(ends)[:1] or [0]
        sampling = Sampling(**message["sampling"])
        room = engine.max_length - len(ids)
        if features.meta.get("truncated") or room < 1:
            raise InputError(
                "the prompt is too long for the model",
                allowed=f"up to {engine.max_length - 1} tokens with room to go on",
            )
        most = min(sampling.max_tokens, room)
        speech = Speech(engine.tokenizer, message.get("stop") or ())
        self.talks.append(Talk(message["id"], engine.generate(ids, sampling), speech, len(ids), most))

    def compute(self) -> None:
        """Answer one batch: the text that waits longest, and others about as long."""
        batch = self.batch()
        chosen = {id(text) for text in batch}
        self.texts = [text for text in self.texts if id(text) not in chosen]
        try:
            logits = self.engine.forward([text.features.ids for text in batch])
            for text, values in zip(batch, logits, strict=True):
                text.asked.answers[text.place] = self.engine.task.answer(text.features, values)
        except Exception as error:
            for number in {text.asked.id for text in batch}:
                self.forget(number)
                self.fail(number, error)
            return
        for text in batch:
            asked = text.asked
            asked.left -= 1
            if asked.left == 0:
                self.send({"id": asked.id, "answers": asked.answers, "tokens": asked.tokens})

    def batch(self) -> list[Text]:
        """Return the next batch, in order of arrival; at most `batch_tokens` with padding, or one text."""
        first = self.texts[0]
        size = len(first.features.ids)
        # Longer ones would make the first pay for their padding, much shorter ones would pay for its length.
        like = [text for text in self.texts if size // 2 <= len(text.features.ids) <= size + size // 4 + 8]
        batch = [first]
        width = size
        for text in like[1:]:
            width = max(width, len(text.features.ids))
            if width * (len(batch) + 1) > self.batch_tokens:
                break
            batch.append(text)
        return batch

    def step(self, talk: Talk) -> None:
        """Give one completion its next token."""
        try:
            token = next(talk.steps, None)
        except Exception as error:
            self.talks.remove(talk)
            self.fail(talk.id, error)
            return
        if token is None:
            finish = "length" if talk.tokens >= talk.most else "stop"
            self.speak(talk, talk.speech.rest(), finish)
            return
        talk.tokens += 1
        said = talk.speech.say(token)
        if talk.speech.stopped:
            self.speak(talk, said, "stop")
        elif talk.tokens >= talk.most:
            self.speak(talk, said + talk.speech.rest(), "length")
        elif said:
            self.speak(talk, said)

    def speak(self, talk: Talk, text: str, finish: str | None = None) -> None:
        """Send a piece; the last one says why it is the last."""
        message: Message = {"id": talk.id, "text": text, "tokens": talk.tokens, "prompt_tokens": talk.prompt_tokens}
        if finish:
            self.talks.remove(talk)
            message["finish"] = finish
        self.send(message)

    def forget(self, number: int) -> None:
        """Drop a request."""
        self.texts = [text for text in self.texts if text.asked.id != number]
        self.talks = [talk for talk in self.talks if talk.id != number]

    def fail(self, number: int, error: Exception) -> None:
        """Tell that a request failed."""
        fault = "input" if isinstance(error, InputError) else "model"
        told = str(error) if isinstance(error, NoriaError) else type(error).__name__
        self.send({"id": number, "error": told, "fault": fault})

    def send(self, message: Message) -> None:
        """Send one message."""
        self.connection.sendall(packed(message))


def main(arguments: list[str]) -> int:
    """Load the model and serve it: folder, file descriptor of the socket, threads, tokens a batch."""
    folder, descriptor, threads, batch_tokens = arguments[0], int(arguments[1]), int(arguments[2]), int(arguments[3])
    # Ctrl-C goes to every process of a terminal; the server decides when its models end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    try:
        engine = open_engine(folder, threads=threads or None)
        _warm(engine)
        connection.sendall(packed({"ready": True, "engine": engine.kind, "max_length": engine.max_length}))
        Child(engine, connection, batch_tokens).run()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the server is gone, and with it all who asked
    except NoriaError as error:
        connection.sendall(packed({"refused": str(error)}))
        return 2
    return 0


def _warm(engine: Engine) -> None:
    """Compute once, so that the first request does not pay for what is made on first use."""
    ids = engine.task.features(engine.tokenizer, "a", engine.max_length).ids or [0]
    engine.forward([ids])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
