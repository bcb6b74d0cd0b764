"""Customer service: what the desk answers within a budget, what is found in documents and quoted, beside peers and what is wanted of it.

Each part of the application has a module of its own here; a line of it stands beside a peer, and another beside the bar that was
set (`peer_name` begins with "wanted"; a ratio of 1 and more reaches it).
"""

from __future__ import annotations

from .line import Line
from .support_desk import measure as desk
from .support_knowledge import measure as knowledge


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of all parts; quick takes fewer questions of each."""
    return [*desk(quick=quick), *knowledge(quick=quick)]
