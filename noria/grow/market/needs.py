"""What is asked of a server and not met, by topic, industry or tenant: the potential that already knocks.

needs(events("runs/demo/lake"), by="segment")[0].unmet.text()

A request is unmet if it was refused, failed or blocked, if it was handed over to a person, or if the last word on it was that
it was wrong. It counts once, whichever of these it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis

from noria.core.errors import InputError, unknown
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.grow.log.log import SERVER_EVENTS

NOBODY = "(none)"


@dataclass(frozen=True)
class Need:
    """What one topic asks for."""

    topic: str
    requests: int
    users: int
    """Distinct users who asked; requests that name none are not counted here."""
    demand: Figure
    """Part of all requests."""
    unmet: Figure
    """Part of the topic's own requests that were not met."""
    reasons: dict[str, int]
    """Why: not answered, handed over, judged wrong; a request may stand under several."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "topic": self.topic,
            "requests": self.requests,
            "users": self.users,
            "demand": self.demand.as_dict(),
            "unmet": self.unmet.as_dict(),
            "reasons": self.reasons,
        }


def needs(events: ibis.Table, by: str = "segment") -> tuple[Need, ...]:
    """Return the topics of a lake's requests, the one with most unmet requests first.

    Raises:
        SettingError: the events have no such column.
        InputError: there is no request.
    """
    if by not in ("segment", "tenant", "app", "model"):
        raise unknown("column of topics", by, ("segment", "tenant", "app", "model"))
    requests = events.filter(events.kind == "request")
    about = events.filter(events.subject != "")
    handed = about.filter(about.kind == "handover").select("subject", "tenant").distinct()
    judged = about.filter((about.kind == "feedback") & about.value.notnull())
    last = judged.group_by(["subject", "tenant"]).aggregate(verdict=judged.value.argmax(judged.time))
    wrong = last.filter(last.verdict < 0).select("subject", "tenant")
    keys = requests.select("id", "tenant", "user", topic=requests[by], failed=requests.outcome != "ok")
    # Feedback and handovers are those of the request's own tenant: another's word on it does not count.
    keys = keys.left_join(handed.mutate(handed=True), [keys.id == handed.subject, keys.tenant == handed.tenant]).select(
        keys, "handed"
    )
    keys = keys.left_join(wrong.mutate(wrong=True), [keys.id == wrong.subject, keys.tenant == wrong.tenant]).select(
        keys, "wrong"
    )
    marked = keys.mutate(handed=keys.handed.fill_null(False), wrong=keys.wrong.fill_null(False))
    counted = marked.group_by("topic").aggregate(
        n=marked.count(),
        users=marked.user.nunique(where=marked.user != ""),
        failed=marked.failed.sum(),
        handed=marked.handed.sum(),
        wrong=marked.wrong.sum(),
        unmet=(marked.failed | marked.handed | marked.wrong).sum(),
    )
    rows: list[dict[str, Any]] = counted.to_pyarrow().to_pylist()
    if not rows:
        raise InputError(message("grow.lake_holds"), hint=message("grow.send_request"))
    total = sum(row["n"] for row in rows)
    rows.sort(key=lambda row: (-row["unmet"], -row["n"], row["topic"] or ""))
    return tuple(
        Need(
            row["topic"] or NOBODY,
            row["n"],
            row["users"],
            proportion(f"{row['topic'] or NOBODY}, part of demand", row["n"], total, source=SERVER_EVENTS),
            proportion(f"{row['topic'] or NOBODY}, not met", row["unmet"], row["n"], source=SERVER_EVENTS),
            {"not answered": row["failed"], "handed over": row["handed"], "judged wrong": row["wrong"]},
        )
        for row in rows
    )
