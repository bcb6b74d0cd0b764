"""Models and applications over HTTP: until Ctrl-C, or beside other work in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import unknown
from noria.core.messages import for_terminal
from noria.server.guard.guard import GuardSettings
from noria.server.http.settings import ServerSettings

from .options import from_settings

if TYPE_CHECKING:
    from noria.apps.settings import WatchSettings
    from noria.server.guard.guard import Guard
    from noria.server.http.state import App, State

APPS = ("support", "monitor", "recommend")


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
    apps: Sequence[Any] = (),
    guard: GuardSettings | Mapping[str, Any] | None = None,
    background: bool = False,
    prepare: Callable[[Any], None] | None = None,
    announce: Callable[[str, str | None], None] | None = None,
    log: bool | None = None,
    server: ServerSettings,
) -> signal.Signals | AbstractContextManager[Server]:
    """Serve models over HTTP: OpenAI's API, Noria's, and the applications.

    Blocks until SIGTERM or Ctrl-C, and returns which it was. With `background=True` it returns a context manager: the
    server runs while the block does, what is in flight finishes and events are flushed after it.

        noria.serve("intents", port=8400)

        with noria.serve("intents", port=0, background=True) as server:
            httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "很好"})

    Args:
        models: model folders, Noria's, Hugging Face's or sentence-transformers'; GGUF files; each is served under its name.
        apps: applications to mount: support, monitor, recommend, by name; or made as in
            `noria.apps.support.routes.Support(None, faq)`.
        guard: what goes in and out is checked for: blocked words, personal data, marks of prompt injection.
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
    from noria.infer.brought import model_folder
    from noria.server.http.logs import json_log, no_log
    from noria.server.http.run import serve as run
    from noria.server.http.run import serving
    from noria.text.personal_data import mask

    folders = [model_folder(one, note=print_note) for one in models]
    chosen = [application(one) if isinstance(one, str) else one for one in apps]
    checks, told = guard_of(guard), announce or print_address
    written = json_log() if (not background if log is None else log) else no_log
    if background:
        return serving(server, folders, chosen, guard=checks, prepare=prepare, mask=mask, log=written)
    return run(server, folders, chosen, guard=checks, prepare=prepare, announce=told, mask=mask, log=written)


def application(name: str) -> App:
    """Return an application with nothing told of it: it takes the first served models that fit.

    Raises:
        SettingError: there is no such application.
    """
    if name == "support":
        from noria.apps.support.routes import Support

        return Support()
    if name == "monitor":
        return monitor()
    if name == "recommend":
        from noria.apps.recommend.routes import Recommend

        return Recommend()
    raise unknown("application", name, APPS)


def monitor(
    watch: WatchSettings | None = None,
    topics: Path | None = None,
    *,
    names: Path | None = None,
    aspects: Path | None = None,
    entity_sentiment: str | None = None,
    embeddings: bool = False,
    notify: Path | None = None,
) -> App:
    """Return opinion monitoring whose texts are masked before they are kept.

    Args:
        watch: windows, and when an alert is raised.
        topics: JSON of topics and their words; bundled ones where None.
        names: people, organisations and products to watch, with their aliases.
        aspects: aspects such as price or service, with words or examples.
        entity_sentiment: name of a served model that judges what a text says of each entity; the first such model where None.
        embeddings: know rewrites of one story by a served model for the task embed, too.
        notify: TOML file of subscriptions: who is notified of alerts; a list of sources may hold them, too.
    """
    from noria.apps.monitor.aspects import read_aspects
    from noria.apps.monitor.names import read_names
    from noria.apps.monitor.notify.routes import Notifier
    from noria.apps.monitor.notify.settings import NOBODY, read_notify
    from noria.apps.monitor.routes import Monitor
    from noria.apps.monitor.topics import BUNDLED
    from noria.apps.monitor.whom import Whom
    from noria.text.personal_data import mask

    whom = Whom(read_names(names) if names else None, read_aspects(aspects) if aspects else None, entity_sentiment)
    notifier = Notifier(read_notify(notify) if notify else NOBODY)
    return Monitor(
        lambda text: mask(text)[0],
        settings=watch,
        topics=topics or BUNDLED,
        embeddings=embeddings,
        notifier=notifier,
        whom=whom,
    )


def guard_of(settings: GuardSettings | Mapping[str, Any] | None) -> Guard:
    """Return the guard of some settings, by default all as they are, which finds personal data as cleaning does."""
    from noria.server.guard.guard import Guard
    from noria.text.personal_data import find

    return Guard(settings if isinstance(settings, GuardSettings) else GuardSettings.make(**(settings or {})), find)


def print_note(note: str) -> None:
    """Say on stderr what was inferred of a model that was brought."""
    import sys

    print(for_terminal(note), file=sys.stderr, flush=True)


def print_address(url: str, key: str | None) -> None:
    """Say on stderr where the server listens, and the admin key where this is its first start."""
    import sys

    print(f"listening on {url}", file=sys.stderr, flush=True)
    if key:
        print(f"admin key, shown this once: {key}", file=sys.stderr, flush=True)
