"""What a server serves, as the section [serve] of noria.toml says it: models, applications with their sources, guard, keys' policy, console.

settings = ServeSettings.given(Path("noria.toml"), port=9000)     # a flag stands above the file
opened = open_all(settings)                                       # what `create_app` takes: folders and applications
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import field_validator

from noria.core.errors import InputError, SettingError, unknown
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.core.settings import read_toml
from noria.server.guard.guard import GuardSettings
from noria.server.http.settings import KeySettings, ServerSettings

from .settings import (
    DeskSettings,
    FolderSettings,
    OpinionSettings,
    RecommenderSettings,
    ShopSettings,
    SupportSettings,
    above,
    rebased,
    values_of,
)

if TYPE_CHECKING:
    from noria.server.guard.guard import Guard
    from noria.server.http.state import App

    from .monitor.routes import Monitor
    from .recommend.routes import Recommend
    from .support.routes import Support

FILE = Path("noria.toml")
"""What `noria ship serve` reads where it lies in the folder."""
SECTION = "serve"
_TRIAL = re.compile(r"(?P<model>[\w.:@-]+)=(?P<folder>.+?)(:(?P<share>\d*\.?\d+))?")


class ServedSupport(SupportSettings):
    """Customer service in a server of several applications."""

    settings: Path | None = None
    """A desk.toml that says all of it; what stands here stands above it, and its [server] and console count for nothing."""


class ServedRecommender(RecommenderSettings):
    """A recommender in a server of several applications."""

    settings: Path | None = None
    """A shop.toml that says all of it; what stands here stands above it, and its [server] counts for nothing."""


class ServeSettings(ServerSettings):
    """All that one server serves: the section [serve] of noria.toml, whose keys are the flags of `noria ship serve`; paths begin where the file lies."""

    models: tuple[Path, ...] = ()
    """Model folders, GGUF files and the like; each is served under its name, and so are those that applications name."""
    canaries: tuple[str, ...] = ()
    """Versions that answer a share of a model's requests, each as MODEL=FOLDER:SHARE; a tenth where no share is named."""
    shadows: tuple[str, ...] = ()
    """Versions that answer a share of a model's texts for comparison only, each as MODEL=FOLDER:SHARE."""
    apps: tuple[str, ...] = ()
    """Applications with nothing more to say of them; one that has a section of its own is mounted anyway."""
    console: Path | None = None
    """Folder of a run, or any other: the console is served, too, with what was measured there."""
    guard: GuardSettings = GuardSettings()
    """What goes in and out is checked for."""
    keys: KeySettings = KeySettings()
    """What a client's key may use that has no limits of its own."""
    support: ServedSupport = ServedSupport()
    """Customer service."""
    monitor: OpinionSettings = OpinionSettings()
    """Opinion monitoring."""
    recommend: ServedRecommender = ServedRecommender()
    """Recommendation."""

    @field_validator("canaries", "shadows")
    @classmethod
    def _trials(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        found = [_TRIAL.fullmatch(one) for one in given]
        names = [one["model"] for one in found if one]
        shares = [one["share"] for one in found if one]
        if len(set(names)) < len(given) or any(share and not 0 < float(share) <= 1 for share in shares):
            raise ValueError("MODEL=FOLDER:SHARE is allowed, each model once, a share above 0 and up to 1")
        return given

    @classmethod
    def given(cls, file: Path | None, text: str | None = None, **flags: object) -> Self:
        """Return what the section of a file says, its paths beginning where it lies, and above it what flags say that are given.

        Args:
            file: the TOML file; None: flags alone.
            text: what stands in it, where that is not yet written.
            flags: values by key; settings by what was set of them.

        Raises:
            InputError: a file is missing or is not TOML.
            SettingError: the file has no such section, a key is unknown or a value is not allowed.
        """
        values = {} if file is None else _section(cls, file, text)
        given = above(values, values_of(flags))
        for name, kind in FOLDERS.items():
            if own := _own(kind, given.get(name)):
                given[name] = above(own, given[name])
        return cls.make(**given)

    @property
    def applications(self) -> tuple[str, ...]:
        """Return the applications that are wished: those that are named, and those with a section of their own.

        Raises:
            SettingError: there is no such application.
        """
        for name in self.apps:
            if name not in OPENERS:
                raise unknown("application", name, OPENERS)
        return tuple(name for name in OPENERS if name in self.apps or name in self.model_fields_set)

    @property
    def trials(self) -> dict[str, tuple[str, Path, float]]:
        """Return the versions on trial: model -> canary or shadow, folder, share.

        Raises:
            SettingError: a model has a canary and a shadow.
        """
        found: dict[str, tuple[str, Path, float]] = {}
        for mode, listed in (("canary", self.canaries), ("shadow", self.shadows)):
            for one in listed:
                parts = _TRIAL.fullmatch(one)
                assert parts
                if parts["model"] in found:
                    raise SettingError(message("serve.two_trials"), found=parts["model"])
                found[parts["model"]] = mode, Path(parts["folder"]), float(parts["share"] or 0.1)
        return found


FOLDERS: dict[str, type[FolderSettings]] = {"support": DeskSettings, "recommend": ShopSettings}
"""Application -> what a file of settings of its own says."""


def _section(cls: type[ServeSettings], file: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        document = read_toml(file)
    else:
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(message("errors.not_toml", path=file), found=str(error)) from None
    section = document.get(SECTION)
    if not isinstance(section, dict):
        raise SettingError(message("serve.no_section", file=file), found=section, allowed=f"[{SECTION}]")
    try:
        return rebased(cls, section, file.parent)
    except SettingError as error:
        error.what = message("serve.in_file", file=file.name, what=error.what)
        raise


def _own(kind: type[FolderSettings], section: Any) -> dict[str, Any]:
    """Return what the file of settings says that a section names, without where it would be served alone."""
    file = section.get("settings") if isinstance(section, Mapping) else None
    if file is None:
        return {}
    try:
        values = rebased(kind, read_toml(file), Path(file).parent)
    except SettingError as error:
        error.what = message("serve.of_file", file=file, what=error.what)
        raise
    return {name: value for name, value in values.items() if name not in ("server", "console")}


class Models:
    """The model folders of a server, as applications add those that they name.

    Args:
        folders: those that are served whatever the applications are.
        note: is given what was inferred of a model that was brought.
    """

    def __init__(self, folders: tuple[Path, ...] = (), note: Callable[[str], None] | None = None) -> None:
        from noria.infer.brought import model_folder

        self._folder_of: Callable[[Path], Path] = partial(model_folder, note=note)
        self.folders = [self._folder_of(path) for path in folders]

    def add(self, path: Path) -> str:
        """Serve a folder, too, unless it or one of the same name and content is; return its name."""
        folder = self._folder_of(path)
        name = folder.resolve().name
        if not any(one.resolve().name == name and _same(one, folder) for one in self.folders):
            self.folders.append(folder)  # of two that differ under one name the server says so
        return name

    def named(self, path: Path | None) -> str | None:
        """Return the name of a folder that is served; None where none is named."""
        return None if path is None else self.add(path)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or read_manifest(one).identity() == read_manifest(other).identity()


def open_support(settings: SupportSettings, models: Models) -> Support:
    """Return customer service as settings say it; its models are served, too."""
    from .support.routes import Support

    model = models.named(settings.model)
    writer = models.named(settings.chat)
    known = (settings.faq, settings.outside, settings.wrong, settings.people, settings.widget, settings.kb)
    return Support(model, *known, writer or False, settings.actions, settings.channels, settings.proposals)


def open_monitor(settings: OpinionSettings, models: Models) -> Monitor:
    """Return opinion monitoring as settings say it, with texts masked before they are kept; its models are served, too."""
    from noria.text.personal_data import mask

    from .monitor.aspects import read_aspects
    from .monitor.names import read_names
    from .monitor.notify.routes import Notifier
    from .monitor.notify.settings import NOBODY, read_notify
    from .monitor.routes import Monitor
    from .monitor.sources.listing import read_listing
    from .monitor.topics import BUNDLED
    from .monitor.whom import Whom

    listed = read_listing(settings.sources).monitor if settings.sources else None
    folders = settings.models or (listed.models if listed else ())
    own: dict[str, str] = {}
    for path in folders:
        name = models.add(path)
        facts = read_manifest(next(one for one in models.folders if one.resolve().name == name)).facts
        if not (facts.get("pairs") or facts.get("many")):
            own.setdefault(str(facts.get("task")), name)
    judge = models.named(settings.entity_sentiment)
    models.named(settings.aspect_model)
    topics = settings.topics or (listed.topics if listed else None)
    subscriptions = settings.notify or settings.sources
    return Monitor(
        lambda text: mask(text)[0],
        own.get("classify"),
        own.get("tag"),
        settings=settings.watch,
        topics=topics or BUNDLED,
        embeddings="embed" in own,
        notifier=Notifier(read_notify(subscriptions) if subscriptions else NOBODY),
        whom=Whom(
            read_names(settings.names) if settings.names else None,
            read_aspects(settings.aspects) if settings.aspects else None,
            judge,
        ),
    )


def open_recommend(
    settings: RecommenderSettings, models: Models, *, most: int | None = None, note: Callable[[str], None] | None = None
) -> Recommend:
    """Return a recommender as settings say it; its model is served, too.

    Args:
        settings: its items, models, and how it picks.
        models: those that are served.
        most: take only the first so many of the items.
        note: is given what was passed over of the items.
    """
    from noria.tasks.items import read_items

    from .recommend.routes import Recommend

    items = read_items(settings.items, most, note or (lambda line: None)) if settings.items else ()
    return Recommend(items, models.named(settings.model), settings.shelf, settings.ranker, settings.beside)


OPENERS: dict[str, Callable[[Any, Models], App]] = {
    "support": open_support,
    "monitor": open_monitor,
    "recommend": open_recommend,
}


@dataclass(frozen=True)
class Opened:
    """What a server is made of."""

    models: tuple[Path, ...]
    apps: tuple[App, ...]


def open_all(settings: ServeSettings, note: Callable[[str], None] | None = None) -> Opened:
    """Return the models and applications that settings say; all of their files are read, so that a bad one is told here.

    Args:
        settings: what is served.
        note: is given what was inferred of a model that was brought.

    Raises:
        NoriaError: a file or folder is missing, damaged, or does not fit.
    """
    models = Models(settings.models, note)
    apps = tuple(OPENERS[name](getattr(settings, name), models) for name in settings.applications)
    return Opened(tuple(models.folders), apps)


def guard_of(settings: GuardSettings) -> Guard:
    """Return the guard of some settings, which finds personal data as cleaning does."""
    from noria.server.guard.guard import Guard
    from noria.text.personal_data import find

    return Guard(settings, find)
