"""`sources.toml`: which sources are watched, and how often each is asked; every mistake in it is named with its source and key.

[monitor]
models = ["runs/sentiment", "runs/entities"]

[[source]]
name = "phones"
kind = "rss"
url = "https://news.example.com/phones.xml"
article = true
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from noria.apps.monitor.notify.settings import SECTIONS
from noria.apps.settings import rebased
from noria.core.errors import SettingError, unknown
from noria.core.messages import message
from noria.core.settings import Settings, read_toml, time_zone
from noria.server.http.settings import ServerSettings


class SourceSettings(Settings):
    """What all sources have."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What the source is called in windows, stories and alerts; two must not share one."""
    silent_hours: Annotated[float, Field(gt=0, le=8_760)] = 24.0
    """Hours without a new text after which the source is said to be silent."""


class PulledSettings(SourceSettings):
    """What all sources have that are asked."""

    minutes: Annotated[float, Field(gt=0, le=10_080)] = 10.0
    """Minutes between two times that the source is asked; longer while it fails."""
    zone: str = "UTC"
    """Time zone of times that name none, such as Asia/Shanghai."""

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return time_zone(name)


class FeedSettings(PulledSettings):
    """A feed: RSS, Atom, RDF or JSON Feed."""

    kind: Literal["rss"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]")]
    """Address of the feed."""
    article: bool = False
    """Read the page that each entry links instead of the entry's own text, where the site's robots.txt allows it."""
    allow_private: bool = False
    """Allow addresses of one's own network: those that are private, loopback or link-local."""
    most_mib: Annotated[float, Field(gt=0, le=64)] = 4.0
    """Most MiB of the feed, and of each page; what is longer is refused."""


class FilesSettings(PulledSettings):
    """A file or a folder that grows, in any format that rows and texts are read in."""

    kind: Literal["file"]
    path: Path
    """The file or the folder, as seen from the folder of sources.toml."""
    columns: dict[Literal["text", "title", "time", "author", "link", "id"], str] = Field(default_factory=dict)
    """Names of the columns where they are none of the usual ones."""


class MailSettings(PulledSettings):
    """A mailbox, read over IMAP and left as it is."""

    kind: Literal["imap"]
    host: Annotated[str, Field(min_length=1)]
    """The mail server."""
    user: Annotated[str, Field(min_length=1)]
    """Name that is signed in with."""
    password_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the environment variable that holds the password; no file does."""
    mailbox: str = "INBOX"
    """Folder of the mailbox."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 993
    """Port of IMAP over TLS."""
    allow_private: bool = False
    """Allow a server of one's own network."""


class PushSettings(SourceSettings):
    """A program that posts its texts to /v1/apps/monitor/texts, with this source's name."""

    kind: Literal["push"]


Source = FeedSettings | FilesSettings | MailSettings | PushSettings
_KINDS: dict[str, type[Source]] = {
    "rss": FeedSettings,
    "file": FilesSettings,
    "imap": MailSettings,
    "push": PushSettings,
}


class MonitorSettings(Settings):
    """The monitor that the texts go to: one that runs elsewhere, or the models of one that is started here."""

    server: str = ""
    """Address of a server on which the monitor runs."""
    topics: Path | None = None
    """JSON file of topics and their words, as seen from the folder of sources.toml; bundled ones where None."""
    models: tuple[Path, ...] = ()
    """Folders of models, as seen from the folder of sources.toml: for sentiment, and for entities and embeddings where there are."""


class Listing(Settings):
    """A whole sources.toml."""

    monitor: MonitorSettings = MonitorSettings()
    server: ServerSettings = ServerSettings()
    """Where the monitor is served that `noria ship watch` starts."""
    source: tuple[Source, ...]


def read_listing(path: str | Path) -> Listing:
    """Return the sources of a TOML file; paths in it are made whole. Whom it notifies is read by `notify.settings`.

    Raises:
        InputError: the file is missing or is not TOML.
        SettingError: it lists no source, two share a name, or a key is unknown or has a value that is not allowed.
    """
    document, folder = read_toml(path), Path(path).absolute().parent
    known = (*Listing.model_fields, *SECTIONS)
    for name in document:
        if name not in known:
            raise unknown("section", name, known)
    listed = document.get("source")
    if not isinstance(listed, list) or not listed:
        raise SettingError(message("watch.no_sources", path=path), allowed="[[source]]")
    sources = tuple(_source(values, place, folder) for place, values in enumerate(listed, 1))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(message("watch.name_taken", path=path), found=name)
    monitor = MonitorSettings.make(**document.get("monitor", {}))
    whole = monitor.replace(
        models=tuple(folder / one for one in monitor.models), topics=monitor.topics and folder / monitor.topics
    )
    server = ServerSettings.make(**rebased(ServerSettings, document.get("server", {}), folder))
    return Listing(monitor=whole, server=server, source=sources)


def _source(values: Any, place: int, folder: Path) -> Source:
    if not isinstance(values, dict):
        raise SettingError(message("watch.no_table", place=place), found=values, allowed="[[source]]")
    kind = values.get("kind")
    if kind not in _KINDS:
        raise unknown("kind", str(kind), _KINDS)
    try:
        made = _KINDS[kind].make(**values)
    except SettingError as error:
        raise SettingError(
            message("watch.source", name=values.get("name", place), what=error.what),
            found=error.found,
            allowed=error.allowed,
            hint=error.hint,
        ) from None
    return made.replace(path=folder / made.path) if isinstance(made, FilesSettings) else made
