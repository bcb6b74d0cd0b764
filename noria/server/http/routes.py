"""The server's own routes, in one table: what each takes and gives, who answers, and whose keys open it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from noria.core.errors import SettingError
from noria.core.messages import message

from . import replies
from .answers import answer, classify, embeddings, tag, translate
from .bodies import Classified, Embeddings, Events, Feedback, Moderation, Questions, Texts
from .completions import chat, completions, tokenize
from .data import ROUTES as DATA
from .facts import applications, document, events, feedback, figures, health, model, models, ready
from .generations import Chat, Completion, Render
from .jobs import JobChange, JobLines, JobShown, JobsListed, NewJob, change_job, job, jobs, start_job
from .keys import Role
from .lookup import ROUTES as LOOKUP
from .managing import ROUTES as MANAGING
from .moderation import moderate
from .rollout import Reload, Reloaded, Rollout, VersionsTold, change, reload, versions
from .routing import Route
from .state import App

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")

ROUTES = (
    Route("GET", "/health", health, reply=replies.Health, role="anyone", tag="server"),
    Route(
        "GET", "/ready", ready, reply=replies.Ready, role="anyone", unready="Requests are not welcome.", tag="server"
    ),
    Route("GET", "/metrics", figures, role="viewer", tag="server"),
    Route("GET", "/openapi.json", document, role="client", shown=False),
    Route("GET", "/versions/{model}", versions, reply=VersionsTold, role="viewer", tag="server"),
    Route("POST", "/versions/{model}", change, body=Rollout, reply=VersionsTold, role="editor", tag="server"),
    *DATA,
    *MANAGING,
    *LOOKUP,
    Route("POST", "/reload", reload, body=Reload, reply=Reloaded, role="admin", tag="server"),
    Route("GET", "/v1/models", models, reply=replies.Models, role="client", tag="models"),
    Route("GET", "/v1/models/{model}", model, reply=replies.Model, role="client", tag="models"),
    Route("GET", "/v1/apps", applications, reply=replies.Applications, role="client", tag="models"),
    Route("POST", "/v1/classify", classify, body=Classified, reply=replies.Labels, role="client", tag="answers"),
    Route("POST", "/v1/tag", tag, body=Texts, reply=replies.Tags, role="client", tag="answers"),
    Route("POST", "/v1/answer", answer, body=Questions, reply=replies.Answers, role="client", tag="answers"),
    Route("POST", "/v1/translate", translate, body=Texts, reply=replies.Translations, role="client", tag="answers"),
    Route("POST", "/v1/embeddings", embeddings, body=Embeddings, reply=replies.Vectors, role="client", tag="answers"),
    Route(
        "POST",
        "/v1/completions",
        completions,
        body=Completion,
        reply=replies.Completed,
        role="client",
        stream=True,
        tag="completions",
    ),
    Route(
        "POST",
        "/v1/chat/completions",
        chat,
        body=Chat,
        reply=replies.ChatCompleted,
        role="client",
        stream=True,
        tag="completions",
    ),
    Route("POST", "/v1/tokenize", tokenize, body=Render, reply=replies.Rendered, role="client", tag="completions"),
    Route("POST", "/v1/moderate", moderate, body=Moderation, reply=replies.Moderations, role="client", tag="guard"),
    Route("POST", "/v1/feedback", feedback, body=Feedback, reply=replies.Noted, role="client", tag="use"),
    Route("POST", "/v1/events", events, body=Events, reply=replies.AllNoted, role="client", tag="use"),
    Route("GET", "/v1/jobs", jobs, reply=JobsListed, role="editor", tag="jobs"),
    Route("POST", "/v1/jobs", start_job, body=NewJob, reply=JobShown, role="editor", tag="jobs"),
    Route("GET", "/v1/jobs/{job}", job, reply=JobLines, role="editor", tag="jobs"),
    Route("POST", "/v1/jobs/{job}", change_job, body=JobChange, reply=JobShown, role="editor", tag="jobs"),
)


def routes_of(apps: Iterable[App]) -> Iterator[Route]:
    """Yield the routes of applications below /v1/apps/<name>: for clients, unless a route says that it needs no key.

    Raises:
        SettingError: a name is taken or not allowed.
    """
    names: set[str] = set()
    for app in apps:
        if app.name in names or not _NAME.fullmatch(app.name):
            raise SettingError(message("server.application_name"), found=app.name, allowed=_NAME.pattern)
        names.add(app.name)
        for route in app.routes():
            role: Role | Literal["anyone"] = "anyone" if route.role == "anyone" else "client"
            yield replace(route, path=f"/v1/apps/{app.name}{route.path}", role=role, tag=app.name)
