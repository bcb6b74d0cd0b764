"""The settings of the applications: how texts are watched, how items are picked, what a desk knows; and the file in a folder that tells them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator

from noria.core.settings import Settings, read_toml, time_zone
from noria.server.http.settings import ServerSettings


class WatchSettings(Settings):
    """How texts are watched, and when an alert is raised."""

    step_minutes: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Length of a step, in minutes: so often everything is tested, on scales from one step to a day."""
    window_minutes: Annotated[float, Field(gt=0, le=7 * 1440)] = 60.0
    """Length of a window, in minutes: texts and negatives are shown and kept by window."""
    grace_minutes: Annotated[float, Field(ge=0, le=1440)] = 1.0
    """Minutes that a step waits for texts that come late; what comes later still is counted when it was said, up to a day."""
    ahead_minutes: Annotated[float, Field(ge=0, le=1440)] = 5.0
    """Minutes that a text's time may be ahead of the server's clock; one further ahead is set aside."""
    false_alarms_a_week: Annotated[float, Field(gt=0, le=100)] = 1.0
    """False alarms a week, over all topics, entities and sources, that thresholds aim at; verdicts on alerts correct them."""
    hold_off_hours: Annotated[float, Field(gt=0, le=168)] = 6.0
    """Hours after an alert in which what follows on the same belongs to it and raises no other."""
    least_negatives: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Negative texts that an alert needs at least; one on volume needs twice as many texts."""
    most_entities: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Entities watched at most, and sources; the one not named for longest makes room. About 50 kB each."""
    kept_texts: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Most texts kept of a topic, and listed by an alert."""
    kept_alerts: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Most alerts kept; the oldest is forgotten first."""
    kept_windows: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Most windows kept and shown; the oldest is forgotten first."""
    text_days: Annotated[float, Field(ge=0, le=36_500)] = 90.0
    """Days for which texts are kept to be searched, masked, from when they came; at 0 none is."""
    most_texts: Annotated[int, Field(ge=0, le=10_000_000)] = 200_000
    """Texts kept to be searched at most; the one that came first leaves first. About 1.5 kB of disk each."""


class RulesSettings(Settings):
    """What may be offered, and where, whatever the ranking says. A request may ask for more of the same."""

    only: tuple[str, ...] = ()
    """Categories that alone are offered; all where none is named."""
    without: tuple[str, ...] = ()
    """Categories that are not offered."""
    least_price: Annotated[float, Field(ge=0)] | None = None
    """The least price; items without a price stay."""
    most_price: Annotated[float, Field(ge=0)] | None = None
    """The highest price; items without a price stay."""
    bought_again: bool = False
    """Offer what a user bought once more, as for coffee; else never."""
    boosts: dict[str, Annotated[float, Field(ge=-10, le=10)]] = Field(default_factory=dict)
    """Category or tag -> how far its items are moved up (or, below 0, down), in standard deviations of the scores."""
    most_of_category: Annotated[int, Field(ge=1)] | None = None
    """Most items of one category in a list."""
    sponsored: tuple[str, ...] = ()
    """Ids of items that somebody paid for: the one that suits the user best stands at `sponsored_place`, and is labelled so."""
    sponsored_place: Annotated[int, Field(ge=1, le=50)] = 3
    """Place of the sponsored item in a list, from 1; a shorter list holds none."""


class RecommendSettings(Settings):
    """How items are picked."""

    memory: Annotated[float, Field(gt=0, le=1)] = 0.8
    """What a click still weighs after the next one; at 1 all clicks weigh alike. 0.8 ranked best what readers liked next, of
    0.3 to 1, on half of the readers of MovieLens's small set (ratings of 4 and more, texts by multilingual-e5-small)."""
    chance: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of places left to chance, so that a taste can widen, and so that other rankings can be judged by what was clicked."""
    nearby: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the places left to chance, the share that goes to the next best items; the others may hold any item."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Weight of not repeating what is already picked (maximal marginal relevance, Carbonell and Goldstein 1998)."""
    most_items: Annotated[int, Field(ge=1, le=1_000_000)] = 200_000
    """Items held at most; more are refused."""
    readers: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000_000
    """Readers remembered; the one not seen for longest is forgotten first."""
    history_days: Annotated[int, Field(ge=0, le=36_500)] = 3_650
    """Days of the lake's events that readers are known by where no snapshot of them can be used."""
    snapshot_minutes: Annotated[float, Field(gt=0, le=10_080)] = 10.0
    """Minutes between snapshots of what is known of readers; what the lake holds besides is read at a start."""
    per_key: bool = True
    """Users of different keys are different people, even of one name; without it a user is the same whoever asks."""
    trial: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of users who are ranked for by the ranker beside the live one, or by texts alone where there is none beside."""
    taste: bool = True
    """Follow readers' tastes; without it everybody is shown what is popular."""
    seed: int = 0
    """Seed of what is left to chance."""
    rules: RulesSettings = RulesSettings()
    """What may be offered, and where."""


class RenewalSettings(Settings):
    """How a ranker that learned anew comes to be live."""

    share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the users that it is tried on; at 0 one that ranks better on what was held out is live at once."""
    days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """Days after which a trial that shows no harm ends, and what was tried is live."""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Part of the live ranker's clicks a showing. Where a trial rules out that more is lost, whenever one looks, it need not wait."""


class PeopleSettings(Settings):
    """The people behind customer service: when they are there, and how long a conversation waits for one of them."""

    zone: str = "UTC"
    """Time zone of the hours, such as Asia/Shanghai."""
    hours: tuple[str, ...] = ()
    """When people are there, as in "mon-fri 09:00-18:00"; always where none are told."""
    holidays: tuple[date, ...] = ()
    """Days, as in 2026-10-01, on which nobody is there."""
    claim_minutes: Annotated[float, Field(gt=0, le=1440)] = 2.0
    """Minutes after which a conversation goes back to the queue whose person is not heard of: they closed the tab."""
    transfer_minutes: Annotated[float, Field(gt=0, le=1440)] = 10.0
    """The same for one that was handed on to somebody by name."""
    unanswered_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Seconds after which a message that got no reply, because the server was killed or its model is away, goes to a person."""

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return time_zone(name)


class WidgetSettings(Settings):
    """The chat widget on pages of other sites, and its visitors, who have no key."""

    origins: tuple[str, ...] = ()
    """Origins whose pages may hold the widget, as in https://shop.example; none by default."""
    messages_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Requests a minute of one visitor, those that wait for a person's reply among them."""
    visitors_minute: Annotated[int, Field(ge=1, le=100_000)] = 120
    """New visitors a minute from one address."""
    token_days: Annotated[float, Field(gt=0, le=366)] = 30.0
    """Days that a visitor is known for."""


class SupportSettings(Settings):
    """Customer service: what it knows, its models, how sure it must be, and the people behind it."""

    sources: tuple[Path, ...] = ()
    """Files and folders that it knows."""
    kb: Path | None = None
    """Folder of the knowledge base that is made of them."""
    model: Path | None = None
    """Folder of a model that embeds texts."""
    chat: Path | None = None
    """Folder of a chat model that words what is quoted."""
    actions: Path | None = None
    """What may be done for customers."""
    channels: Path | None = None
    """Where customers write besides the API and the widget."""
    proposals: Path | None = None
    """Questions that customers asked and that a person accepts, in the console or there; in the lake where it is left out."""
    link: str = ""
    """Address under which the files are published."""
    faq: Path | None = None
    """A list of questions in the place of those of the base."""
    outside: Path | None = None
    """Questions that a person must answer."""
    held_out: Path | None = None
    """Questions whose answers are known, to judge the desk by."""
    wrong: Annotated[float, Field(gt=0, lt=1)] | None = None
    """An error budget: the share of questions that may be answered wrongly."""
    people: PeopleSettings = PeopleSettings()
    """The people behind it."""
    widget: WidgetSettings = WidgetSettings()
    """The chat on pages."""


class OpinionSettings(Settings):
    """Opinion monitoring: its models, what it looks for, what feeds it, and whom its alerts reach."""

    models: tuple[Path, ...] = ()
    """Folders of models: for sentiment (classify, with a label "negative"), and for entities (tag) and rewrites (embed) where there are."""
    sources: Path | None = None
    """List of feeds, files and mailboxes that are read, and of subscriptions: a sources.toml."""
    topics: Path | None = None
    """JSON of topics and their words; bundled ones where it is left out."""
    names: Path | None = None
    """People, organisations and products with their aliases."""
    aspects: Path | None = None
    """Aspects such as price or service, with words or examples."""
    entity_sentiment: Path | None = None
    """Folder of a model that judges what a text says of each entity."""
    aspect_model: Path | None = None
    """Folder of a classifier with several labels, by which aspects are known."""
    notify: Path | None = None
    """TOML of subscriptions: who is notified of alerts; those of the list of sources where it is left out."""
    watch: WatchSettings = WatchSettings()
    """How texts are watched, and when an alert is raised."""


class RecommenderSettings(Settings):
    """A recommender: its items, what was clicked, its models, and how it picks."""

    items: Path | None = None
    """File of items."""
    clicks: Path | None = None
    """File of what users did with them, before there was a server."""
    model: Path | None = None
    """Folder of a model that embeds texts."""
    ranker: Path | None = None
    """Folder of a ranker that learned from behaviour; texts alone rank without one."""
    beside: Path | None = None
    """Folder of a ranker that is tried on a share of the users, `trial` of the shelf."""
    shelf: RecommendSettings = RecommendSettings()
    """How items are picked."""


class FolderSettings(Settings):
    """An application as the file of settings in its folder describes it; its paths begin where the file lies."""

    server: ServerSettings = ServerSettings()
    """Where it is served."""

    @classmethod
    def given(cls, file: Path | None, **flags: object) -> Self:
        """Return what a file says, its paths beginning where it lies, and above it what flags say that are given.

        Raises:
            InputError: the file is missing or is not TOML.
            SettingError: a key is unknown or a value is not allowed.
        """
        values = {} if file is None else rebased(cls, read_toml(file), file.parent)
        return cls.make(**above(values, values_of(flags)))


NAMED_FOLDERS = ("adapters", "canaries", "shadows")
"""Settings that are lists of NAME=FOLDER."""


def rebased(cls: type[Settings], values: dict[str, Any], here: Path) -> dict[str, Any]:
    """Return what a file says, its paths beginning in the folder `here`.

    Raises:
        SettingError: a key is unknown or a value is not allowed.
    """
    return _rebased(cls.make(**values), values, here)


def _rebased(checked: Settings, values: Mapping[str, Any], here: Path) -> dict[str, Any]:
    moved = dict(values)
    for name in values:
        one = getattr(checked, name)
        if isinstance(one, Path):
            moved[name] = here / one
        elif isinstance(one, Settings):
            moved[name] = _rebased(one, values[name], here)
        elif isinstance(one, tuple) and name in NAMED_FOLDERS:
            parts = [str(named).partition("=") for named in one]
            moved[name] = tuple(f"{before}={here / folder}" for before, _, folder in parts)
        elif isinstance(one, tuple) and one and isinstance(one[0], Path):
            moved[name] = tuple(here / path for path in one)
    return moved


def values_of(flags: Mapping[str, object]) -> dict[str, Any]:
    """Return what flags say: settings by what was set of them, and nothing of what was not given."""
    values: dict[str, Any] = {}
    for name, flag in flags.items():
        if isinstance(flag, Settings):
            if given := flag.model_dump(exclude_unset=True):
                values[name] = given
        elif flag not in (None, (), ""):
            values[name] = flag
    return values


def above(below: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says with what flags say above it, section by section."""
    merged = dict(below)
    for name, flag in flags.items():
        inner = merged.get(name)
        merged[name] = above(inner, flag) if isinstance(flag, Mapping) and isinstance(inner, Mapping) else flag
    return merged


class DeskSettings(FolderSettings, SupportSettings):
    """A desk as its folder's desk.toml describes it: what it knows, its model, how sure it must be, and where it is served."""

    console: Path | None = None
    """Folder of a run, or any other: the console is served, too, with what was measured there."""


class ShopSettings(FolderSettings, RecommenderSettings):
    """A recommender as its folder's shop.toml describes it: its items, what was clicked, its models, and where it is served."""

    console: Path | None = None
    """Folder of a run, or any other: the console is served, too, with what was measured there."""


class OpinionFolderSettings(FolderSettings, OpinionSettings):
    """Opinion monitoring as a file in its folder describes it: its models, what it looks for, and where it is served."""

    console: Path | None = None
    """Folder of a run, or any other: the console is served, too, with what was measured there."""
