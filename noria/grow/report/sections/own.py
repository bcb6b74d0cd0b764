"""A server's own market in the report, from its events alone: shares on every base, needs not met, whom to address."""

from __future__ import annotations

import ibis

from noria.core.errors import InputError
from noria.grow.log.read import log_of_events
from noria.grow.log.zones import UTC_DAYS, LocalCalendar
from noria.grow.market.bases import bases
from noria.grow.market.needs import needs
from noria.grow.market.served import served_series
from noria.grow.market.settings import TargetSettings
from noria.grow.market.study import position
from noria.grow.report.page import Section
from noria.grow.users.periods import Period

from .potential import needs_section, position_section
from .shares import served_section


def own_sections(
    events: ibis.Table, period: Period = "day", *, targets: bool = True, calendar: LocalCalendar = UTC_DAYS
) -> list[Section]:
    """Return the sections that a lake's events allow: none before the first request, no targets before twenty users.

    Args:
        events: what `noria.grow.log.lake.events` returned.
        period: of the shares.
        calendar: what days and weeks are counted by.
        targets: whether to put the users into segments; not where the report does so for the same log already.
    """
    sections: list[Section] = []
    try:
        series = served_series(events, period=period, calendar=calendar)
        sections += [
            served_section(bases(series)),
            needs_section(needs(events, "app"), series.provenance.as_of.isoformat()),
        ]
        if targets:
            log = log_of_events(events, calendar=calendar)
            sections.append(position_section(position(log, TargetSettings()), log))
    except InputError:
        return sections
    return sections
