"""Everything known of a log's users, as the sections of a page."""

from __future__ import annotations

from noria.grow.report.page import Section
from noria.grow.users.study import UserStudy

from .habits import habits_section
from .users import lifetime_section, users_section
from .worth import worth_section


def user_sections(study: UserStudy) -> list[Section]:
    """Return users, habits, lifetime and worth; what the log does not carry is left out, and the notes say why."""
    sections = [users_section(study.log, study.growths, study.retention, study.stickiness), habits_section(study)]
    if study.holdout:
        sections.append(lifetime_section(study.holdout, study.log))
    worth = worth_section(study)
    return [*sections, *([worth] if worth else [])]
