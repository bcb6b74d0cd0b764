"""Every page of docs/reference by its file's name."""

from __future__ import annotations

from collections.abc import Callable

from tests.contracts.tree import REPOSITORY

from .called import commands_page, errors_page, python_page, settings_page
from .served import events_page, routes_page

FOLDER = REPOSITORY / "docs" / "reference"
PAGES: dict[str, Callable[[], str | None]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "python.md": python_page,
    "routes.md": routes_page,
    "events.md": events_page,
    "errors.md": errors_page,
}


def pages() -> dict[str, str]:
    """Return every page by its file's name."""
    made = {name: make() for name, make in PAGES.items()}
    return {name: text.rstrip() + "\n" for name, text in made.items() if text is not None}
