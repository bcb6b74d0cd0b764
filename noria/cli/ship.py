"""`noria ship`: models -> HTTP service and applications."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from noria.ship.server.settings import ServerSettings

from . import events
from .applications import make, monitor, recommend, support

if TYPE_CHECKING:
    from fastapi import FastAPI

app = App(name="ship", help="Models -> HTTP service and applications.")
key_app = App(
    name="key",
    help="""Make, list and revoke the keys that the server asks for.

    Examples::

        noria ship key make shop --lake runs/lake     a key for one customer, shown once
        noria ship key list --lake runs/lake
    """,
)
app.command(key_app)
app.command(events.app)

for _command in (support, monitor, recommend):
    app.command(_command)


@app.command
def serve(
    *models: Path,
    apps: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    console: Path | None = None,
    settings: Annotated[ServerSettings, Parameter(name="*")] = ServerSettings(),
) -> int:
    """Serve models over HTTP until Ctrl-C or SIGTERM: OpenAI's API, Noria's, and the applications.

    The first start makes an admin key and shows it once. On SIGTERM what is in flight finishes and events are flushed.

    Examples::

        noria ship serve runs/demo/sentiment-int8
        noria ship serve runs/demo/sentiment-int8 runs/demo/embed-int8 --apps support --port 8500
        noria ship serve runs/demo/pretrain --console runs/demo

    Parameters
    ----------
    models
        Model folders; each is served under its folder's name.
    apps
        Applications to mount: support, monitor, recommend.
    console
        Folder of a run: serve the console, too, with that run's results.
    """
    import signal

    chosen = [make(name) for name in apps]
    from noria.build.corpus.pii import mask
    from noria.ship.server.run import serve as run

    told = run(settings, models, chosen, prepare=_console(console), announce=announce, mask=mask)
    return 130 if told == signal.SIGINT else 0


@key_app.command(name="make")
def make_key(name: str, *, role: Literal["client", "admin"] = "client", lake: Path = ServerSettings().lake) -> None:
    """Make a key and show it, once.

    Examples::

        noria ship key make shop
        noria ship key make operator --role admin

    Parameters
    ----------
    name
        What the key is for.
    role
        client may use the API; admin also the console and the metrics.
    lake
        The server's lake.
    """
    from noria.ship.server.keys import Keys

    print(Keys(lake / "server").make(name, role))


@key_app.command(name="list")
def list_keys(*, lake: Path = ServerSettings().lake) -> None:
    """List all keys: id, role, when made, when revoked, name.

    Examples::

        noria ship key list

    Parameters
    ----------
    lake
        The server's lake.
    """
    from noria.ship.server.keys import Keys

    for key in Keys(lake / "server").list():
        print(f"{key.id}  {key.role:6}  {key.created}  {key.revoked or 'works':25}  {key.name}")


@key_app.command(name="revoke")
def revoke_key(key: str, *, lake: Path = ServerSettings().lake) -> None:
    """Make a key worthless, at once, on running servers too.

    Examples::

        noria ship key revoke 3f9a01c2

    Parameters
    ----------
    key
        Its id, as the list shows it.
    lake
        The server's lake.
    """
    from noria.ship.server.keys import Keys

    revoked = Keys(lake / "server").revoke(key)
    print(f"{revoked.id} ({revoked.name}) is revoked")


def _console(root: Path | None) -> Callable[[FastAPI], None] | None:
    if root is None:
        return None

    def prepare(application: FastAPI) -> None:
        from noria.console.mount import mount

        mount(application, application.state.noria, root)

    return prepare


def announce(url: str, key: str | None) -> None:
    """Say where the server listens, and the admin key where this is its first start."""
    print(f"listening on {url}", file=sys.stderr, flush=True)
    if key:
        print(f"admin key, shown this once: {key}", file=sys.stderr, flush=True)
