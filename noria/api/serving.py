"""Models and applications over HTTP: until Ctrl-C, or beside other work in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.apps.serving import OPENERS, ServedRecommender, ServedSupport, ServeSettings
from noria.apps.settings import OpinionSettings
from noria.core.errors import unknown
from noria.core.messages import for_terminal, message
from noria.core.settings import Settings
from noria.server.guard.guard import GuardSettings
from noria.server.http.settings import KeySettings, ServerSettings

from .options import from_settings

if TYPE_CHECKING:
    from noria.server.http.logs import Log
    from noria.server.http.state import App, State

    from .reloading import Served

APPS = tuple(OPENERS)


class Server(Protocol):
    """A server that runs in this process."""

    @property
    def url(self) -> str:
        """http://host:port, without a slash at the end."""

    @property
    def key(self) -> str:
        """An admin key that is revoked when the server stops."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that show the key."""

    @property
    def state(self) -> State:
        """What it holds: models, applications, keys."""


@from_settings("serve")
def serve(
    *models: Path,
    file: Path | None = None,
    apps: Sequence[Any] = (),
    support: Mapping[str, Any] | ServedSupport | None = None,
    monitor: Mapping[str, Any] | OpinionSettings | None = None,
    recommend: Mapping[str, Any] | ServedRecommender | None = None,
    canaries: Sequence[str] = (),
    shadows: Sequence[str] = (),
    guard: GuardSettings | Mapping[str, Any] | None = None,
    keys: KeySettings | Mapping[str, Any] | None = None,
    background: bool = False,
    prepare: Callable[[Any], None] | None = None,
    announce: Callable[[str, str | None], None] | None = None,
    log: bool | None = None,
    server: ServerSettings,
) -> signal.Signals | AbstractContextManager[Server]:
    """Serve models over HTTP: OpenAI's API, Noria's, and the applications.

    Blocks until SIGTERM or Ctrl-C, and returns which it was. With `background=True` it returns a context manager: the
    server runs while the block does, what is in flight finishes and events are flushed after it. What a `file` says is read
    again on SIGHUP and by POST /reload; what is said here stands above it.

        noria.serve("intents", port=8400)
        noria.serve(file="noria.toml")

        with noria.serve("intents", port=0, background=True) as server:
            httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "很好"})

    Args:
        models: model folders, Noria's, Hugging Face's or sentence-transformers'; GGUF files; each is served under its name.
        file: a noria.toml, whose section [serve] says what is served; paths in it begin where it lies.
        apps: applications to mount: support, monitor, recommend, by name; or made as in
            `noria.apps.support.routes.Support(None, faq)`.
        support: mount customer service as these keys say it; see `ServedSupport`.
        monitor: mount opinion monitoring as these keys say it; see `OpinionSettings`.
        recommend: mount the recommender as these keys say it; see `ServedRecommender`.
        canaries: versions that answer a share of a model's requests, each as MODEL=FOLDER:SHARE.
        shadows: versions that answer a share of a model's texts for comparison only, each as MODEL=FOLDER:SHARE.
        guard: what goes in and out is checked for: blocked words, personal data, marks of prompt injection.
        keys: what a client's key may use that has no limits of its own.
        background: serve beside other work, as a context manager.
        prepare: is given the FastAPI application before it starts, to add pages to it.
        announce: called once requests are welcome, with the address and, on the first start, the admin key; by default
            both are printed.
        log: write the server's log on stderr, a JSON object a line; by default it does while it blocks, and does not beside
            other work.

    Raises:
        ResourceError: the port is in use.
        FolderError: a model is missing, damaged or does not load.
        SettingError: a setting is unknown or not allowed, there is no such application, or two models share a name.
    """
    from noria.server.http.logs import json_log, no_log
    from noria.server.http.run import serve as run
    from noria.text.personal_data import mask

    from .reloading import Served

    sections = {"support": support, "monitor": monitor, "recommend": recommend, "guard": guard, "keys": keys}
    flags: dict[str, Any] = {
        **{name: _keys_of(one) for name, one in sections.items() if one is not None},
        **{"models": models, "apps": tuple(one for one in apps if isinstance(one, str))},
        **{"canaries": tuple(canaries), "shadows": tuple(shadows)},
        **server.model_dump(exclude_unset=True),
    }
    written = json_log() if (not background if log is None else log) else no_log
    own = tuple(one for one in apps if not isinstance(one, str))
    served = Served(file, flags, own, note=print_note, log=written)
    arguments = (served.settings, served.models, served.apps)
    if background:
        return _beside(served, arguments, prepare, written)

    def announced(url: str, key: str | None) -> None:
        (announce or print_address)(url, key)
        served.feed(url)

    with served.prepared(prepare) as ready:
        return run(*arguments, guard=served.guard, prepare=ready, announce=announced, mask=mask, log=written)


def _keys_of(one: Any) -> Any:
    return one.model_dump(exclude_unset=True) if isinstance(one, Settings) else dict(one)


@contextmanager
def _beside(served: Served, arguments: Any, prepare: Callable[[Any], None] | None, log: Log) -> Iterator[Server]:
    """Serve while a block runs, with what feeds the monitor."""
    from noria.server.http.run import serving
    from noria.text.personal_data import mask

    with (
        served.prepared(prepare) as ready,
        serving(*arguments, guard=served.guard, prepare=ready, mask=mask, log=log) as running,
    ):
        served.feed(running.url)
        try:
            yield running
        finally:
            served.close()  # while the server still answers what is on its way


def application(name: str) -> App:
    """Return an application with nothing told of it: it takes the first served models that fit.

    Raises:
        SettingError: there is no such application.
    """
    from noria.apps.serving import Models

    if name not in APPS:
        raise unknown("application", name, APPS)
    kind = ServeSettings.model_fields[name].default
    app: App = OPENERS[name](kind, Models())
    return app


def print_note(note: str) -> None:
    """Say on stderr what was inferred of a model that was brought."""
    import sys

    print(for_terminal(note), file=sys.stderr, flush=True)


def print_address(url: str, key: str | None) -> None:
    """Say on stderr where the server listens, and the admin key where this is its first start."""
    import sys

    print(for_terminal(message("serve.listening", url=url)), file=sys.stderr, flush=True)
    if key:
        print(for_terminal(message("serve.admin_key", key=key)), file=sys.stderr, flush=True)
