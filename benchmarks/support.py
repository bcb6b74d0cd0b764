"""Customer service: what the desk answers within a budget, beside the nearest known text and beside what is wanted of it.

Each part of the application has a module of its own here; a line of it stands beside a peer, and another beside the bar that was
set (`peer_name` begins with "wanted"; a ratio of 1 and more reaches it).
"""

from __future__ import annotations

from .line import Line
from .support_desk import measure as desk


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of all parts; quick takes fewer questions of each."""
    return desk(quick=quick)
