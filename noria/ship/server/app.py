"""The server as one FastAPI application: models in their processes, routes, applications, events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import ServerSettings
from .state import App

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(settings: ServerSettings, models: Sequence[str | Path] = (), apps: Sequence[App] = ()) -> FastAPI:
    """Return the application that serves `models` and `apps`; its State is `app.state.noria`.

    Models start in processes of their own when the application starts, and end with it. The console mounts its pages on
    the returned application before it starts.

    Args:
        settings: see `ServerSettings`.
        models: model folders; each is served under its folder's name.
        apps: applications, each mounted at /v1/apps/<name>.

    Raises:
        FolderError: a folder is missing, damaged or no model.
        SettingError: two models or two applications share a name.
    """
    raise NotImplementedError
