"""The pages of routes and events, from the OpenAPI document and the definition of an event."""

from __future__ import annotations

import dataclasses
import inspect
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .markdown import Schema, anchor, bounds, default, fields, kind, meanings, place, prose, table, title


def document() -> Schema:
    """Return the OpenAPI document of a server with every application."""
    from noria.api.serving import APPS
    from noria.api.serving import application as make
    from noria.server.http.app import create_app
    from noria.server.http.settings import ServerSettings

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(ServerSettings(lake=Path(folder)), (), [make(name) for name in APPS])
        try:
            return app.openapi()
        finally:
            app.state.noria.meter.outbox.close()


def routes_page() -> str:
    """Return every route: who may ask, body, answer and errors."""
    found = document()
    schemas = found["components"]["schemas"]
    lines = title("Routes", "Every route of the server, from its OpenAPI document (`GET /openapi.json`).")
    lines += [
        "A key goes into `Authorization: Bearer KEY` ([running](../running.md)). A scope keeps a key to a part of the API; a key without scopes",
        "reaches all of `/v1`. Every answer has `x-request-id`. Errors have the body [Error](#error); 429 and 503 say in `retry-after` when to",
        "come back. Bodies are held to their bounds as given here for default [settings](settings.md#serversettings).",
        "",
    ]
    operations = [(path, method, one) for path, methods in found["paths"].items() for method, one in methods.items()]
    head = ("route", "what it does", "key", "errors")
    rows = []
    for path, method, one in operations:
        heading = f"{method.upper()} {path}"
        errors = " ".join(status for status in one["responses"] if status != "200")
        rows.append(
            (
                f"[`{heading}`](#{anchor(heading)})",
                prose(one.get("description", "")).split("\n")[0],
                _scope(path, one),
                errors,
            )
        )
    lines += table(head, rows)
    lines += ["## Errors", "", *table(("status", "meaning"), _statuses(operations))]
    for path, method, one in operations:
        heading = f"{method.upper()} {path}"
        lines += [f"## {heading}", "", prose(one.get("description", "")), "", f"- key: {_scope(path, one)}"]
        lines += [f"- body: {_named(one['requestBody'], schemas)}"] if "requestBody" in one else []
        lines += [f"- answer: {_named(one['responses']['200'], schemas)}", ""]
        given = [each for each in one.get("parameters", ()) if each["in"] in ("path", "query")]
        rows = [
            (
                f"`{each['name']}`",
                each["in"],
                kind(each["schema"], str),
                bounds(each["schema"]),
                default(each["schema"], each["required"]),
            )
            for each in given
        ]
        lines += table(("parameter", "in", "type", "bounds", "default"), rows) if rows else []
    headers = next(one for _, method, one in operations if method == "post").get("parameters", ())
    rows = [
        (f"`{one['name']}`", bounds(one["schema"]) or kind(one["schema"], str), one["description"])
        for one in headers
        if one["in"] == "header"
    ]
    lines += [
        "## Headers of every POST",
        "",
        *table(("header", "allowed", "meaning"), rows),
        "## Bodies and answers",
        "",
    ]
    for name in sorted(schemas, key=_short):
        lines += [f"### {_short(name)}", "", prose(schemas[name].get("description", "")), ""]
        lines += fields(schemas[name], _to_schema) or [f"{kind(schemas[name], _to_schema)}", ""]
    return "\n".join(lines)


def _scope(path: str, operation: Schema) -> str:
    from noria.server.http.keys import SCOPES, Caller

    if not operation.get("security"):
        return "none"
    if not path.startswith("/v1/"):
        return str(operation["x-noria-role"])
    scopes = [one for one in SCOPES if Caller("", "client", "", scopes=(one,)).may_use(path)]
    if path.startswith("/v1/apps/"):
        scopes.append("/".join(path.split("/")[2:4]))
    return " or ".join(f"scope `{one}`" for one in scopes) or "any"


def _statuses(operations: Iterable[tuple[str, str, Schema]]) -> list[tuple[str, str]]:
    told = {
        status: one["description"]
        for *_, each in operations
        if each.get("security")
        for status, one in each["responses"].items()
    }
    return [(status, told[status]) for status in sorted(told) if status != "200"]


def _named(holder: Schema, schemas: Schema) -> str:
    """Return the links to the schemas of a body or an answer."""
    kinds = {media: kind(one.get("schema", {}), _to_schema) for media, one in holder.get("content", {}).items()}
    return "; ".join(told if media == "application/json" else f"{told} as `{media}`" for media, told in kinds.items())


def _short(name: str) -> str:
    """Return a schema's name; of two with one name the module goes with it."""
    parts = name.split("__")
    return name if len(parts) == 1 else f"{parts[-1]} of {'.'.join(parts[1:-2])}"


def _to_schema(name: str) -> str:
    return f"[{_short(name)}](#{anchor(_short(name))})"


def events_page() -> str:
    """Return the kinds, outcomes and fields of an event."""
    from noria.lake import event

    meaning = meanings(event.Event)
    typed = {one.name: one for one in dataclasses.fields(event.Event)}
    lines = title(
        "Events",
        f"One fact of use; {place(event.__name__)} is the definition. [Events](../events.md) says how they are kept.",
    )
    lines += [prose(inspect.getdoc(event) or "").split("\n\n", 1)[1], "", "## Kinds", ""]
    lines += table(("kind", "when"), ((f"`{name}`", told) for name, told in event.KINDS.items()))
    lines += ["## Fields", "", f"Version {event.SCHEMA} of the columns.", ""]
    rows = []
    for name, column in event.COLUMNS.items():
        given = "required" if typed[name].default is dataclasses.MISSING else f"`{json.dumps(typed[name].default)}`"
        rows.append((f"`{name}`", f"`{typed[name].type}`", column, given, meaning.get(name, "")))
    lines += table(("field", "Python", "column", "default", "meaning"), rows)
    lines += [
        "## Outcomes",
        "",
        *table(("outcome", "when"), ((f"`{name}`", told) for name, told in event.OUTCOMES.items())),
    ]
    return "\n".join(lines)
