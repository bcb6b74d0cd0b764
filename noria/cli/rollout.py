"""`noria ship versions`: what is live on a running server, what was live when, and how to change it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from noria.core.errors import InputError, ResourceError
from noria.core.messages import for_terminal, message
from noria.server.http.settings import ServerSettings

from . import dry
from .manners import DryRun, printed

Action = Literal["swap", "canary", "shadow", "promote", "end", "roll_back"]


def versions(
    model: str,
    action: Action | None = None,
    folder: str | None = None,
    /,
    *,
    share: float | None = None,
    why: str = "",
    server: str = f"http://{ServerSettings().host}:{ServerSettings().port}",
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    lake: Path | None = None,
    dry_run: DryRun = False,
) -> None:
    """Show the versions of a served model, or change which one answers; no request is dropped.

    Examples::

        noria ship versions sentiment                                what is live, on trial, and was live when
        noria ship versions sentiment canary sentiment-2 --share 0.1
        noria ship versions sentiment promote
        noria ship versions sentiment roll_back --why "more complaints"
        noria ship versions sentiment --lake runs/lake               its history, without a server

    Parameters
    ----------
    model
        Name of the model, as it is served.
    action
        swap: another version from now on; canary: it answers a share of the requests; shadow: it answers
        them for comparison only; promote: the version on trial is live from now on; end: its trial is over;
        roll_back: end the trial, or go back to the version before.
    folder
        Name of the version's folder, beside that of the live one.
    share
        Of the requests, that a version on trial gets; a tenth unless told.
    why
        Kept in the history.
    server
        Address of the server.
    key
        A key of the server: a viewer's to look, an editor's to change.
    lake
        Read the history that a server keeps in its lake instead of asking it.
    """
    if dry_run and action:
        dry.show(dry.Plan({}, sends=message("dry.changes", server=server, action=action, model=model)))
        return
    if lake is not None:
        from noria.infer.history import read_changes

        file = lake / "server" / "models" / f"{model}.jsonl"
        if not file.is_file():
            raise InputError(
                message("commands.history_model"), found=model, allowed=[one.stem for one in file.parent.glob("*")]
            )
        told: dict[str, Any] = {"changes": [vars(change) for change in read_changes(file)]}
    else:
        body = {"action": action, "folder": folder, "share": share, "why": why} if action else None
        told = request(f"{server}/versions/{model}", key, body)
    printed(told, partial(_print_versions, model, told))


def _print_versions(model: str, served: dict[str, Any]) -> None:
    if "live" in served:
        print(for_terminal(message("lines.live", model=model, live=served["live"], folder=served["folder"])))
        if trial := served["trial"]:
            alike = {"same": trial["same"], "compared": trial["compared"]} if trial.get("compared") else None
            told = message(
                "lines.trial",
                mode=trial["mode"],
                version=trial["version"],
                share=trial["share"],
                requests=trial["requests"],
                failed=trial["failed"],
                alike=message("lines.alike", **alike) if alike else "",
            )
            print(for_terminal(told))
    for change in served["changes"]:
        share_told = f" {change['share']:g}" if change["share"] else ""
        print(
            f"  {change['time']}  {change['what']}{share_told}  {change['version']}  {change['folder']}  {change['why']}"
        )


def request(url: str, key: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a running server answers, to a body or to a plain question.

    Raises:
        ResourceError: it cannot be reached. InputError: it refused.
    """
    import httpx

    headers = {"authorization": f"Bearer {key}"}
    try:
        # A version is loaded before it answers, which may take a while.
        answer = httpx.request(
            "POST" if body else "GET",
            url,
            headers=headers,
            timeout=300,
            json={name: value for name, value in body.items() if value} if body else None,
        )
    except httpx.HTTPError as error:
        raise ResourceError(message("commands.server_cannot"), found=url, hint=str(error)) from None
    if answer.status_code != 200:
        raise InputError(
            message("commands.server_refused", status_code=answer.status_code), hint=answer.json()["error"]["message"]
        )
    return dict(answer.json())
