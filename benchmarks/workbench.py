"""The workbench and its manners: the console's pages, a newcomer's day in a browser, eight things brought, jobs, and help.

Each part has a module of its own here; a line of it stands beside a peer, or beside the bar that was set (`peer_name` begins with
"wanted"; a ratio of 1 and more reaches it).
"""

from __future__ import annotations

from .line import Line
from .workbench_commands import measure as commands
from .workbench_jobs import measure as jobs
from .workbench_materials import measure as materials
from .workbench_newcomer import measure as newcomer
from .workbench_pages import measure as pages


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of all parts; quick has a smaller lake, fewer repeats, and walks no training of minutes."""
    return [line for part in (pages, newcomer, materials, jobs, commands) for line in part(quick=quick)]
