"""Opinion monitoring: alarms on real counts and on simulated streams of real texts, texts a second into windows, kills of
reading and of sending, stories, discovered topics, and what is said of whom and what.

Each part of the application has a module of its own here; a line of it stands beside a peer, and another beside the bar that was
set (`peer_name` begins with "wanted"; a ratio of 1 and more reaches it).
"""

from __future__ import annotations

import sys
import time

from .line import Line
from .monitor_aspects import measure as aspects
from .monitor_entities import measure as entities
from .monitor_inbox import measure as inbox
from .monitor_load import measure as load
from .monitor_nab import measure as nab
from .monitor_sending import measure as sending
from .monitor_stories import measure as stories
from .monitor_streams import measure as streams
from .monitor_topics import measure as topics
from .monitor_tweets import measure as tweets


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of all parts; quick takes fewer streams, kills, texts and steps of training, each line says how many."""
    lines: list[Line] = []
    for part in (nab, streams, load, inbox, sending, stories, topics, entities, aspects, tweets):
        started = time.perf_counter()
        lines += part(quick=quick)
        print(f"{part.__module__}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return lines
