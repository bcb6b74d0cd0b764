"""What operators change while the server runs: versions of the served models, and what the file says that is served."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from noria.core.errors import NoriaError
from noria.core.folder import read_manifest
from noria.server.errors import ApiError, api_error

from .context import RequestContext
from .fields import Body, Name, Number
from .replies import Reply

SHOWN = 100
"""Changes that are shown, the latest ones."""


class Rollout(Body):
    """POST /versions/{model}."""

    action: Literal["swap", "canary", "shadow", "promote", "end", "roll_back"]
    """swap: another version from now on; canary, shadow: try one; promote, end: what becomes of it; roll_back: undo."""
    folder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")] | None = None
    """Name of the version's folder, which lies beside the live one's; of swap, canary and shadow only."""
    share: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Of the requests, that a version on trial gets; a tenth unless told."""
    why: Name = ""
    """Kept in the history."""

    @model_validator(mode="after")
    def _folder_where_needed(self) -> Rollout:
        if (self.folder is not None) != (self.action in ("swap", "canary", "shadow")):
            raise ValueError("swap, canary and shadow have a folder, the others none")
        return self


class OnTrial(Reply):
    """A version beside the live one."""

    version: str
    mode: Literal["canary", "shadow"]
    share: float
    status: str
    requests: int
    failed: int
    compared: int = 0
    """Texts that both versions answered."""
    same: int = 0
    times_as_long: float | None = None


class Changed(Reply):
    """One change of what answers under a name."""

    time: str
    what: Literal["live", "canary", "shadow", "ended", "stopped"]
    version: str
    folder: str
    share: float
    why: str


class VersionsTold(Reply):
    """What answers under a name, and what did."""

    model: str
    live: str
    folder: str
    trial: OnTrial | None
    changes: list[Changed]


class Reload(Body):
    """POST /reload."""

    check: bool = False
    """Say what would change, and change nothing."""


class Reloaded(Reply):
    """What a reload changed, by keys such as `guard.words`."""

    applied: list[str]
    """Holds from now on."""
    restart: list[str]
    """Holds from the next start on."""


async def reload(context: RequestContext, body: Reload) -> dict[str, Any]:
    """Read the file of what is served again, check it whole, and let hold what can change while the server runs; a bad one changes nothing."""
    configuration = context.state.configuration
    if configuration is None:
        raise ApiError(
            400,
            "the server was started without a file",
            code="cannot_be_used",
            hint="noria ship serve --config noria.toml",
        )
    try:
        if body.check:
            changes = await configuration.check(configuration.text())
        else:
            changes = await configuration.reload(context.actor)
    except NoriaError as error:
        raise _refused(error) from error
    return {"applied": list(changes.applied), "restart": list(changes.restart)}


async def versions(context: RequestContext, model: str) -> dict[str, Any]:
    """Say which version of a model is live, which is on trial, and what was live when."""
    return _describe(context, model)


async def change(context: RequestContext, body: Rollout, model: str) -> dict[str, Any]:
    """Swap a model, try a version, promote it, end its trial or roll back; no request is dropped."""
    served = context.served(model)
    held = served.worker
    if served.adapter:
        raise ApiError(400, "a LoRA changes with its base", param="model", code="cannot_be_used", found=model)
    # A name, not a path: a version lies where the live one lies.
    folder = held.folder.resolve().parent / (body.folder or "")
    try:
        if body.action == "swap":
            await held.swap(folder, why=body.why)
        elif body.action == "canary":
            await held.canary(folder, share=body.share or 0.1)
        elif body.action == "shadow":
            await held.shadow(folder, share=body.share or 0.1)
        elif body.action == "promote":
            await held.promote(why=body.why)
        elif body.action == "end":
            await held.end_trial(why=body.why)
        else:
            await held.roll_back(why=body.why)
    except NoriaError as error:
        raise _refused(error) from error
    context.state.audit.add(
        context.actor, f"model.{body.action}", model, folder=body.folder, share=body.share, version=held.version
    )
    manifest = read_manifest(held.folder)
    for name, one in context.state.models.items():
        if one.worker is held:  # the model and the LoRAs on it
            context.state.models[name] = replace(one, folder=held.folder, manifest=manifest)
    return _describe(context, model)


def _refused(error: NoriaError) -> ApiError:
    """Return what an operator is answered whose wish cannot be fulfilled: it is no fault of the server."""
    found = api_error(error)
    return found if found.status < 500 else ApiError(400, str(error), code="cannot_be_used")


def _describe(context: RequestContext, model: str) -> dict[str, Any]:
    held = context.served(model).worker
    changes = [asdict(change) for change in held.history.changes()[-SHOWN:]]
    for change in changes:
        change["folder"] = change["folder"].replace("\\", "/").rpartition("/")[2]  # no path of this machine
    return {
        "model": model,
        "live": held.version,
        "folder": held.folder.name,
        "trial": held.health().get("trial"),
        "changes": changes,
    }
