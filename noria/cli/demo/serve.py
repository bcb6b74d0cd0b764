"""After the wheel has turned: the server and the console, open until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

import noria
from noria.core.messages import as_is, message

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
        report.note(as_is(""))
        report.ledger(message("demo.console_at", link=sign_in_link(pages[0], url)))
        report.note(message("demo.api_at", url=url))
        if key:
            report.note(message("demo.admin_key", key=key))
        report.note(message("demo.another_key", lake=root / "lake"))

    report.plan(message("demo.opening"))
    settings = ServerSettings(host=context.settings.host, port=context.settings.port, lake=root / "lake")
    noria.serve(*models(root), apps=apps(root), settings=settings, prepare=prepare, announce=announce, log=False)
    report.ledger(message("demo.stopped"))
    return 0
