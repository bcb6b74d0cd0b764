"""Run the server: until it is told to stop, or beside other work in a thread.

serve(ServerSettings(lake="runs/lake"), ["runs/demo/sentiment"])          # returns when stopped

with serving(ServerSettings(port=0), ["runs/demo/sentiment"]) as server:
    httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "很好"})
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from noria.core.errors import InternalError, NoriaError, ResourceError, from_system
from noria.core.messages import message
from noria.lake.transcript import Mask
from noria.server.guard.guard import Guard

from .app import create_app
from .logs import Log, json_log, no_log
from .protocol import BoundedProtocol
from .settings import ServerSettings
from .state import App, State

Prepare = Callable[[FastAPI], None]
"""Adds to the application before it starts: the console mounts its pages so."""
_SESSION = "this process"
_LAST_WORDS = 2.0
"""Seconds that requests whose time is over get to tell their clients so."""


@dataclass(frozen=True)
class Running:
    """A server that runs in a thread of this process."""

    url: str
    """http://host:port, without a slash at the end."""
    key: str
    """An admin key that is revoked when the server stops."""
    app: FastAPI

    @property
    def state(self) -> State:
        """Return what the server holds."""
        state: State = self.app.state.noria
        return state

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that show the key."""
        return {"authorization": f"Bearer {self.key}"}


def serve(
    settings: ServerSettings,
    models: Sequence[str | Path],
    apps: Sequence[App] = (),
    *,
    guard: Guard | None = None,
    prepare: Prepare | None = None,
    announce: Callable[[str, str | None], None] | None = None,
    mask: Mask | None = None,
    log: Log | None = None,
) -> signal.Signals:
    """Serve until SIGTERM or Ctrl-C; return which of them it was.

    SIGHUP reads the file of what is served again, where there is one. On either of the first two, /ready turns 503 and new work is refused, what is in flight gets `settings.grace` seconds to finish, events
    are flushed. A second signal ends it at once. Call it from the main thread.

    Args:
        settings: see `ServerSettings`.
        models: model folders.
        apps: applications.
        guard: checks what goes in and out.
        prepare: adds to the application before it starts.
        announce: called once requests are welcome, with the address and, on the first start, the admin key.
        mask: takes personal data out of what consenting users said; without it nothing that was said is kept.
        log: where the log goes; JSON lines on stderr by default.

    Raises:
        ResourceError: the port is in use.
        FolderError: a model is missing, damaged or does not load.
    """
    listener = listen(settings)
    try:
        app = create_app(settings, models, apps, guard=guard, mask=mask, log=log or json_log())
        state: State = app.state.noria
        key = state.keys.first()
        if prepare:
            prepare(app)

        def up() -> None:
            # What was loaded stays: a full collection that walks it all holds every request up for some 35 ms.
            gc.collect()
            gc.freeze()
            if announce:
                announce(_url(listener, settings), key)

        server = _Server(app, settings, up)
        with contextlib.suppress(SystemExit):
            server.run([listener])  # it exits where the start failed; the state knows why
    finally:
        listener.close()
    _check(state)
    if not server.started and server.received_signal is None:
        raise InternalError(message("server.server_did"), found=server.fault)
    return server.received_signal or signal.SIGTERM


@contextmanager
def serving(
    settings: ServerSettings,
    models: Sequence[str | Path],
    apps: Sequence[App] = (),
    *,
    guard: Guard | None = None,
    prepare: Prepare | None = None,
    mask: Mask | None = None,
    log: Log = no_log,
) -> Iterator[Running]:
    """Serve in a thread of this process while the block runs; everything is flushed and ended after it.

    Until then NumPy multiplies on one thread in all of this process, as in one that serves alone.

    Raises:
        ResourceError: the port is in use.
        FolderError: a model is missing, damaged or does not load.
    """
    listener = listen(settings)
    try:
        app = create_app(settings, models, apps, guard=guard, mask=mask, log=log)
        state: State = app.state.noria
        for left in state.keys.list():
            # Of a process that was killed before it could revoke its own.
            if left.name == _SESSION and not left.revoked:
                state.keys.revoke(left.id)
        key = state.keys.make(_SESSION, "admin")
        if prepare:
            prepare(app)
        up = threading.Event()
        server = _Server(app, settings, up.set)
        thread = threading.Thread(target=_run_quietly, args=(server, listener, up), name="noria-server", daemon=True)
        thread.start()
        try:
            up.wait()
            if not server.started:
                thread.join()
                _check(state)
                raise InternalError(message("server.server_did"), found=server.fault)
            yield Running(_url(listener, settings), key, app)
        finally:
            server.stop()
            thread.join()
            state.keys.revoke(key.split("_")[1])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Uvicorn that drains before it stops, and that leaves signals to their owner when it is not the main thread."""

    def __init__(self, app: FastAPI, settings: ServerSettings, up: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="critical",
                access_log=False,
                lifespan="on",
                http=BoundedProtocol,
                server_header=False,
                proxy_headers=False,  # `Dispatcher` reads them, the host too
                timeout_graceful_shutdown=2,
                timeout_keep_alive=30,
                ws_max_size=settings.max_body,
            )
        )
        self._noria: State = app.state.noria
        self._up = up
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self.received_signal: signal.Signals | None = None
        self.fault: BaseException | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until it is told to stop, with one thread for NumPy's products in this process.

        NumPy's threads wait awake for the next product, on cores that the models' processes need: those here are small.
        """
        with threadpool_limits(limits=1, user_api="blas"):
            super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._up()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Drain on SIGTERM and Ctrl-C; handlers are put back afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)}
        if self._noria.configuration and self._noria.configuration.file and hasattr(signal, "SIGHUP"):
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Begin to stop, from any thread."""
        if self._loop and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
                self._loop.call_soon_threadsafe(self._drain)

    def _signalled(self, number: int, frame: object) -> None:
        if self.received_signal:
            self.force_exit = self.should_exit = True
        self.received_signal = signal.Signals(number)
        if not self._noria.started:
            # Models are still loading: there is nothing to finish.
            raise KeyboardInterrupt
        self.stop()

    def _hung_up(self, number: int, frame: object) -> None:
        if self._loop and self._noria.started and not self._noria.draining:
            self._loop.call_soon_threadsafe(self._reload)

    def _reload(self) -> None:
        self._reloading = asyncio.create_task(self._reloaded())

    async def _reloaded(self) -> None:
        assert self._noria.configuration
        with contextlib.suppress(NoriaError):  # the log says it, and all goes on as before
            await self._noria.configuration.reload("SIGHUP")

    def _drain(self) -> None:
        self._noria.draining = True
        self._draining = self._draining or asyncio.create_task(self._drained())

    async def _drained(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._noria.settings.grace
        while self._noria.in_flight and loop.time() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        if self._noria.in_flight:
            # Their time is over: a model that stops tells every request it held, and streams say so to their clients.
            await asyncio.gather(*(worker.stop() for worker in self._noria.workers))
            end = loop.time() + _LAST_WORDS
            while self._noria.in_flight and loop.time() < end and not self.force_exit:
                await asyncio.sleep(0.02)
        self.should_exit = True


def _run_quietly(server: _Server, listener: socket.socket, up: threading.Event) -> None:
    try:
        server.run([listener])
    except BaseException as error:
        server.fault = error
    finally:
        up.set()


def _check(state: State) -> None:
    if state.failure:
        raise state.failure


def listen(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens, so that a port in use is told before a model is loaded.

    Raises:
        ResourceError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place = f"{settings.host}:{settings.port}"
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(1_024)
    except (OSError, OverflowError) as error:
        listener.close()
        plain = from_system(error) if isinstance(error, OSError) else None
        raise ResourceError(
            plain.what if plain else message("server.address_cannot"),
            found=place,
            hint=message("server.stop_what"),
        ) from None
    return listener


def _url(listener: socket.socket, settings: ServerSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"
