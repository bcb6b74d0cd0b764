"""What a server was given to serve, and how that changes while it runs: read again, checked whole, and let hold without dropping a request.

    served = Served(Path("noria.toml"), {"port": 9000}, log=log)
    with served.prepared() as ready:                 # puts itself into the server's state
        run(served.settings, served.models, served.apps, guard=served.guard, prepare=ready)
    await served.reload("SIGHUP")                    # guard, limits, origins, models, versions on trial, applications

All that can fail comes first: files are read, models started, texts embedded. Only then the settings change, from one request to the
next; a model that is served no longer answers on until what it has is finished.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.apps.renewal import at_once, flat, renewed, used_by
from noria.apps.serving import OPENERS, ServeSettings, guard_of, open_all
from noria.core.errors import InputError, NoriaError, SettingError, plain_errors
from noria.core.folder import read_manifest, write_bytes
from noria.core.messages import message
from noria.infer.versions import Versions
from noria.server.http.app import check_guard, served_models
from noria.server.http.cors import Cors
from noria.server.http.keys import Limits
from noria.server.http.state import Changes
from noria.server.http.state import Served as Model

if TYPE_CHECKING:
    from fastapi import FastAPI

    from noria.apps.monitor.sources.feeding import Feeding
    from noria.server.guard.guard import Guard
    from noria.server.http.logs import Log
    from noria.server.http.state import App, State

KEPT_VERSIONS = 20
"""Versions of the file that are kept beside it."""


class Served:
    """What is served, from a file and what stands above it; see `Configuration` in the server's state.

    Args:
        file: a noria.toml; None where flags alone say it.
        flags: values above those of the file.
        own: applications that are made already.
        note: is given what was inferred of a model that was brought.
        log: takes one line for every reload.

    Raises:
        NoriaError: a file or folder is missing, damaged, or has what is not allowed.
    """

    def __init__(
        self,
        file: Path | None,
        flags: Mapping[str, Any],
        own: Sequence[App] = (),
        *,
        note: Callable[[str], None],
        log: Log,
    ) -> None:
        self.file, self._flags, self._own, self._note, self._log = file, dict(flags), tuple(own), note, log
        self.settings = self._read()
        opened = open_all(self.settings, note)
        self.models, self.apps = opened.models, (*opened.apps, *self._own)
        self.guard = guard_of(self.settings.guard)
        self._holds = flat(self.settings)
        """Key -> value, of what holds now; it differs from the settings in what needs a restart."""
        self._given: dict[str, tuple[Path, str]] = {}
        """Model -> the folder that was named for it, and its content then: what operators made live meanwhile stays."""
        self._page: FastAPI | None = None
        self._turn = asyncio.Lock()
        self._feeding: Feeding | None = None
        self._key = ""

    @contextmanager
    def prepared(self, prepare: Callable[[Any], None] | None = None) -> Iterator[Callable[[Any], None]]:
        """Give what prepares the server's application; what feeds the monitor ends with the block."""

        def ready(page: FastAPI) -> None:
            self._page = page
            self.state.configuration = self
            self.state.rates.policy = Limits(**self.settings.keys.model_dump())
            self._given = {name: _content(one) for name, one in self.state.models.items() if not one.adapter}
            if prepare:
                prepare(page)

        try:
            yield ready
        finally:
            self.close()

    @property
    def state(self) -> State:
        """Return the running server."""
        assert self._page
        state: State = self._page.state.noria
        return state

    async def begin(self) -> None:
        """Put versions on trial, once the models answer."""
        for model, (mode, folder, share) in self._trials(self.settings, self.state.models).items():
            await _try(self.state.models[model].worker, mode, folder, share)

    def feed(self, url: str) -> None:
        """Begin to read the sources that the monitor is fed with, where there are any."""
        sources = self.settings.monitor.sources
        if sources is None or "monitor" not in self.settings.applications:
            return
        from noria.apps.monitor.sources.feeding import Feeding
        from noria.text.personal_data import mask

        keys, name = self.state.keys, f"sources of {self.settings.name}"
        for left in keys.list():
            if left.name == name and not left.revoked:  # of a process that was killed before it could revoke its own
                keys.revoke(left.id)
        self._key = keys.make(name, "client", scopes=["apps/monitor"])
        self._feeding = Feeding(sources, lambda text: mask(text)[0], self._log)
        self._feeding.start(url, self._key)

    def close(self) -> None:
        """Stop what feeds the monitor."""
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            feeding.stop()
            with suppress(NoriaError):
                self.state.keys.revoke(self._key.split("_")[1])

    def text(self) -> str:
        """Return what stands in the file.

        Raises:
            SettingError: the server was started without one.
            InputError: it is not there any more, or is no text.
        """
        file = self._the_file()
        try:
            return file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(message("serve.unreadable"), found=f"{file}: {error}") from None

    async def check(self, text: str) -> Changes:
        """Return what a new text of the file would change; raises as `reload`."""
        self._the_file()
        settings = await asyncio.to_thread(self._read, text)
        await asyncio.to_thread(self._checked, settings)
        return self._changes(settings)

    async def write(self, text: str, actor: str, basis: str) -> Changes:
        """Check a new text of the file, write it, keep what stood there, and let it hold; raises as `reload`."""
        file = self._the_file()
        await self.check(text)
        async with self._turn:
            before = self.text()
            if before != basis:
                raise InputError(message("serve.changed_meanwhile"), found=file.name, hint=message("serve.look_again"))
            await asyncio.to_thread(_keep, file, before)
            await asyncio.to_thread(write_bytes, file, text.encode())
            content = hashlib.sha256(text.encode()).hexdigest()
            self.state.audit.add(actor, "settings.write", file.name, sha256=content[:12])
        return await self.reload(actor)

    async def reload(self, actor: str) -> Changes:
        """Read the file again, check it whole, and let hold what can change while the server runs.

        Raises:
            NoriaError: it cannot be used, or there is no file; all is as before.
        """
        async with self._turn:
            try:
                self._the_file()
                changes = await self._reload()
            except NoriaError as error:
                self._log("not reloaded", error=str(error), by=actor)
                raise
        self.state.audit.add(actor, "settings.reload", self._the_file().name, applied=", ".join(changes.applied))
        self._log("reloaded", applied=changes.applied, restart=changes.restart, by=actor)
        return changes

    async def _reload(self) -> Changes:
        state = self.state
        settings = await asyncio.to_thread(self._read)
        models, given, guard = await asyncio.to_thread(self._checked, settings)
        changes, (moved, held) = self._changes(settings), self._moved(models)
        stay, new = self._sorted(models)
        started: list[Versions] = []
        try:
            for model in new.values():
                started.append(model.worker)
                await model.worker.start()
            known = {one.name: one for one in given}
            take_up = [await renewed(app, known[app.name], state) for app in state.apps if app.name in known]
            await self._swap(moved)
            await self._change_trials(settings, {**stay, **new})
        except BaseException:
            await asyncio.gather(*(worker.stop() for worker in started))
            raise
        self._exchange({**stay, **new})
        found = {name: _content(one) for name, one in models.items() if not one.adapter}
        self._given = {name: self._given[name] if name in held else one for name, one in found.items()}
        self._hold(settings, guard)
        for one in take_up:
            await one()
        if self._feeding is not None and settings.monitor.sources is not None:
            self._feeding.renew(settings.monitor.sources)
        now = flat(settings)
        self._holds = {**now, **{key: self._holds.get(key) for key in changes.restart}}
        return replace(changes, restart=tuple(sorted({*changes.restart, *(["models"] if held else [])})))

    def _read(self, text: str | None = None) -> ServeSettings:
        return ServeSettings.given(self.file, text, **self._flags)

    def _the_file(self) -> Path:
        if self.file is None:
            raise SettingError(message("serve.no_file"), hint="noria ship serve --config noria.toml")
        return self.file

    def _checked(self, settings: ServeSettings) -> tuple[dict[str, Model], tuple[App, ...], Guard]:
        """Return the models and applications of settings, opened and not started, and the guard.

        Raises:
            NoriaError: one of them cannot be used.
        """
        opened = open_all(settings, self._note)
        models = served_models(_as_started(settings, self.settings), opened.models)
        guard = guard_of(settings.guard)
        check_guard(guard, models)
        Cors(settings.cors)
        self._trials(settings, models)
        for name, one in self.state.models.items():
            if name in models and not one.adapter:
                _check_task(models[name].folder, one.task)
        return models, opened.apps, guard

    def _trials(self, settings: ServeSettings, models: Mapping[str, Model]) -> dict[str, tuple[str, Path, float]]:
        """Return the versions on trial.

        Raises:
            SettingError: the model of one is not served, or it is for another task. FolderError: its folder is no model.
        """
        for name, (_, folder, _) in settings.trials.items():
            if name not in models or models[name].adapter:
                raise SettingError(message("serve.trial_of_none"), found=name, allowed=[*models])
            _check_task(folder, models[name].task)
        return settings.trials

    def _changes(self, settings: ServeSettings) -> Changes:
        new = flat(settings)
        changed = sorted(key for key in {*new, *self._holds} if new.get(key) != self._holds.get(key))
        mounted = {app.name for app in self.apps}
        others = {name for name in OPENERS if name not in mounted}
        applied = [key for key in changed if at_once(key) and key.partition(".")[0] not in others]
        told = {app.name for app in self._own}
        moved = [name for name in OPENERS if (name in settings.applications) != (name in mounted - told)]
        return Changes(tuple(applied), tuple(sorted({*changed, *moved} - {*applied})))

    def _sorted(self, models: Mapping[str, Model]) -> tuple[dict[str, Model], dict[str, Model]]:
        """Return the models that stay, as they are, and those that are new; what an application asks stays, named or not."""
        state, used = self.state, self._used()
        stay = {name: one for name, one in state.models.items() if name in models or name in used or one.adapter}
        return stay, {name: one for name, one in models.items() if name not in stay and not one.adapter}

    def _used(self) -> set[str]:
        return {name for app in self.state.apps for name in used_by(app, self.state)}

    def _moved(self, models: Mapping[str, Model]) -> tuple[dict[str, Model], dict[str, Model]]:
        """Return what was named anew for a name that is served, another folder or one that holds something else now: what can
        be swapped, and what waits for a restart, for an application knows its texts by the vectors of the model before it."""
        known = {name: one for name, one in models.items() if name in self._given and name in self.state.models}
        moved = {name: one for name, one in known.items() if not one.adapter and _content(one) != self._given[name]}
        held = {name: one for name, one in moved.items() if one.task == "embed" and name in self._used()}
        return {name: one for name, one in moved.items() if name not in held}, held

    async def _swap(self, moved: Mapping[str, Model]) -> None:
        for name, one in moved.items():
            worker = self.state.models[name].worker
            if _content_of(worker.folder) != _content(one):
                if worker.health().get("trial"):
                    await worker.end_trial(why="reloaded")
                await worker.swap(one.folder, why="reloaded")

    async def _change_trials(self, settings: ServeSettings, models: Mapping[str, Model]) -> None:
        before, after = self.settings.trials, self._trials(settings, models)
        for name in {*before, *after}:
            if before.get(name) == after.get(name) or name not in models:
                continue
            worker = models[name].worker
            if worker.health().get("trial"):
                await worker.end_trial(why="reloaded")
            if name in after:
                await _try(worker, *after[name])

    def _hold(self, settings: ServeSettings, guard: Guard) -> None:
        assert self._page
        state = self.state
        guard.counts = state.guard.counts
        state.settings = self.settings = _as_started(settings, self.settings)
        state.guard = guard
        state.rates.policy = Limits(**settings.keys.model_dump())
        state.document = state.document.bounded(state.settings)
        self._page.state.cors.allow(settings.cors)

    def _exchange(self, models: Mapping[str, Model]) -> None:
        """Serve these models from now on; those that are not among them finish what they have."""
        state = self.state
        leaving = {name: one for name, one in state.models.items() if name not in models}
        kept = {}
        for name, one in models.items():
            folder = one.worker.folder
            kept[name] = (
                one if folder == one.folder else Model(name, folder, read_manifest(folder), one.worker, one.adapter)
            )
        state.leaving |= leaving
        for name in kept:
            state.leaving.pop(name, None)
        state.models = kept
        for one in leaving.values():
            task = asyncio.create_task(self._leave(one))
            state.tasks.append(task)
            task.add_done_callback(state.tasks.remove)

    async def _leave(self, model: Model) -> None:
        """End a model once no request that knew it can ask it any more."""
        await asyncio.sleep(self.state.settings.timeout)
        while model.worker.depth:
            await asyncio.sleep(0.05)
        if self.state.leaving.get(model.name) is model:
            del self.state.leaving[model.name]
        await model.worker.stop()


def _as_started(settings: ServeSettings, running: ServeSettings) -> ServeSettings:
    """Return settings whose keys that need a restart are those of a server that runs."""
    kept = {
        name: getattr(running, name)
        for name in ServeSettings.model_fields
        if not at_once(name) and name not in ("support", "monitor", "recommend")
    }
    return settings.model_copy(update=kept)


def _content(model: Model) -> tuple[Path, str]:
    return _content_of(model.folder)


def _content_of(folder: Path) -> tuple[Path, str]:
    return folder.resolve(), read_manifest(folder).identity()


def _check_task(folder: Path, task: str) -> None:
    offered = str(read_manifest(folder).facts.get("task"))
    if offered != task:
        raise SettingError(message("infer.version_made"), found=offered, allowed=task)


async def _try(worker: Versions, mode: str, folder: Path, share: float) -> None:
    await (worker.canary(folder, share=share) if mode == "canary" else worker.shadow(folder, share=share))


def _keep(file: Path, text: str) -> None:
    """Keep what stood in a file beside it, by the hash of its content; of many versions the latest."""
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    folder = file.parent / f".{file.name}.versions"
    write_bytes(folder / f"{stamp}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.toml", text.encode())
    with plain_errors():
        for old in sorted(folder.glob("*.toml"))[:-KEPT_VERSIONS]:
            old.unlink(missing_ok=True)
