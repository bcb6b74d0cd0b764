"""After the wheel has turned: the server and the console, open until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import noria

from .settings import Context, DemoSettings

if TYPE_CHECKING:
    from fastapi import FastAPI


def check_port(settings: DemoSettings) -> None:
    """Tell before the work begins that the console could not be opened after it.

    Raises:
        ResourceError: the port is in use.
    """
    from noria.server.http.run import listen
    from noria.server.http.settings import ServerSettings

    listen(ServerSettings(host=settings.host, port=settings.port)).close()


def serve(context: Context) -> int:
    """Serve the run's models, applications and console on the settings' port; the same lake goes on.

    Raises:
        ResourceError: the port is in use.
    """
    from noria.console.mount import mount, sign_in_link
    from noria.server.http.settings import ServerSettings

    from .ship import apps, models

    root, report = context.root, context.report
    pages: list[FastAPI] = []

    def prepare(app: FastAPI) -> None:
        mount(app, app.state.noria, root)
        pages.append(app)

    def announce(url: str, key: str | None) -> None:
        report.note("")
        report.ledger(f"console, signed in once by this link: {sign_in_link(pages[0], url)}")
        report.note(f"API: {url}/v1  (OpenAI's and Noria's own)")
        if key:
            report.note(f"admin key, shown only now: {key}")
        report.note(f"another key: noria ship key make NAME --lake {root / 'lake'}    stop: Ctrl-C")

    report.plan("open the console: load the models, about 15 s")
    settings = ServerSettings(host=context.settings.host, port=context.settings.port, lake=root / "lake")
    noria.serve(*models(root), apps=apps(root), settings=settings, prepare=prepare, announce=announce, log=False)
    report.ledger("the server has stopped; every event is kept. The same command opens it again")
    return 0
