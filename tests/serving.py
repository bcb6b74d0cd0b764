"""Tiny models and a running server, shared by the tests of inference, lake, server and applications."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from forked import Nursery
from pydantic import BaseModel
from tiny_models import LABELS, make_causal, make_chat, make_encoder, make_reader, make_translator

from noria.infer.worker import open_process
from noria.server.http.context import RequestContext
from noria.server.http.routing import Route

if TYPE_CHECKING:
    from noria.server.http.run import Running
    from noria.server.http.state import State


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when something has come true, which on a busy machine may take long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {seconds:g} s"
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[None]:
    """Lets models' processes be forked, but for the tests that take this away."""
    nursery = Nursery()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noria.infer.worker.open_process", nursery.start)
        yield
    nursery.close()


@pytest.fixture(scope="module")
def started_anew() -> Iterator[None]:
    """Lets models' processes be started as a server starts them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noria.infer.worker.open_process", open_process)
        yield


@pytest.fixture(scope="session")
def quiet() -> None:
    """No bars while models are written."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def classifier(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "sentiment", "classify", LABELS, 2)


@pytest.fixture(scope="session")
def tagger(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "entities", "tag", ["person", "place"], 5)


@pytest.fixture(scope="session")
def embedder(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "vectors", "embed", [], 2)


@pytest.fixture(scope="session")
def writer(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal(tmp_path_factory.mktemp("models") / "writer")


@pytest.fixture(scope="session")
def plain_classifier(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier as training leaves it: no compiled engine."""
    return make_encoder(tmp_path_factory.mktemp("plain") / "sentiment", "classify", LABELS, 2, compiled=False)


@pytest.fixture(scope="session")
def chatter(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat(tmp_path_factory.mktemp("models") / "chatter")


@pytest.fixture(scope="session")
def reader(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_reader(tmp_path_factory.mktemp("models") / "reader")


@pytest.fixture(scope="session")
def translator(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_translator(tmp_path_factory.mktemp("models") / "translator")


@pytest.fixture(scope="session")
def all_models(
    classifier: Path, tagger: Path, embedder: Path, writer: Path, chatter: Path, reader: Path, translator: Path
) -> list[Path]:
    return [classifier, tagger, embedder, writer, chatter, reader, translator]


class Echo:
    """An application as small as one can be."""

    name = "echo"

    def __init__(self) -> None:
        self.dimensions = 0

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/say", self._say, body=Said, reply=dict[str, str]),
            Route("GET", "/started", self._started, reply=dict[str, int]),
        )

    async def _say(self, context: RequestContext, body: Said) -> dict[str, str]:
        """Say how a line sounds."""
        context.usage.user = body.user
        (answer,) = await context.ask("sentiment", [body.text])
        return {"label": answer["label"], "alert": await context.record("alert", app=self.name, subject=context.id)}

    async def _started(self, context: RequestContext) -> dict[str, int]:
        """Say what the start found out."""
        return {"dimensions": self.dimensions}

    async def start(self, state: State) -> None:
        self.dimensions = len((await RequestContext(state).ask("vectors", ["a"]))[0]["embedding"])


class Said(BaseModel):
    text: str
    user: str = ""


@pytest.fixture(scope="session")
def server(all_models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A real server with one model of every task."""
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    settings = ServerSettings(port=0, lake=tmp_path_factory.mktemp("lake"), threads=1, max_body=64 * 1024, max_rows=32)
    with serving(settings, all_models, [Echo()]) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    """An HTTP client that shows the server's key."""
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=30) as made:
        yield made
