"""Subscriptions: who is notified of which alerts, where, when and in which language; every mistake is named with its subscription and key.

[notify]
address = "https://noria.example.com"

[[subscription]]
name = "on-call"
kind = "webhook"
url = "https://hooks.example.com/noria"
secret_env = "NORIA_NOTIFY_HOOK"
entities = ["Nova"]
quiet = ["22:00-08:00"]
zone = "Asia/Shanghai"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from noria.apps.hours import DAYS, Hours
from noria.core.errors import PackageError, SettingError, unknown
from noria.core.messages import Language, message
from noria.core.settings import Settings, read_toml, time_zone
from noria.server.addresses import check_url
from noria.server.webhook import Variable, WebhookSettings, secret_of

Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""By how seldom chance brings such a thing, over all that is watched: once a month and more, less often, less than once a year."""
MONTHLY, YEARLY = 12 / 52, 1 / 52
"""How often a week that is."""
SECTIONS = ("notify", "subscription")
"""What a list of sources may hold of this."""
PREFIX = "NORIA_NOTIFY_"
"""How environment variables begin that a subscription made over the API may name: no other secret is anybody's to send."""
_ADDRESS = re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+")
_CLOCK = r"^([01]?\d|2[0-3]):[0-5]\d$"


def _mail_address(given: str) -> str:
    if not _ADDRESS.fullmatch(given) or len(given) > 254:
        raise ValueError("name@example.com is allowed")
    return given


MailAddress = Annotated[str, AfterValidator(_mail_address)]


class Subscription(Settings):
    """What all subscriptions have."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^/\x00-\x1f\x7f]+$")]
    """What it is called; it stands as the judge of alerts that are confirmed or dismissed by its links."""
    topics: tuple[str, ...] = ()
    """Topics and aspects whose alerts it takes, by their names in the lists of them."""
    entities: tuple[str, ...] = ()
    """Entities whose alerts it takes."""
    sources: tuple[str, ...] = ()
    """Sources whose silence it is notified of. Where neither topics, entities nor sources are named it takes everything."""
    severity: Severity = "low"
    """The least severity, by how seldom chance alone brings such a thing: medium less than once a month, high less than once a year."""
    false_alarms_a_week: Annotated[float, Field(gt=0, le=100)] | None = None
    """False alarms a week that it will bear; its own verdicts correct the threshold. Left out, it takes what the watch raises."""
    language: Language = "en"
    """Language of its messages."""
    zone: str = "UTC"
    """Time zone of its messages, of quiet hours and of the digest, such as Asia/Shanghai."""
    quiet: tuple[str, ...] = ()
    """Hours in which nothing is sent, as in "22:00-08:00" or "sat-sun 00:00-24:00"; what is raised meanwhile is sent when they end."""
    digest: Literal["", "daily", "weekly"] = ""
    """Send a brief every day or every week instead of each alert at once."""
    at: Annotated[str, Field(pattern=_CLOCK)] = "08:00"
    """When the brief is sent."""
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "mon"
    """Day on which a weekly one is."""

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return time_zone(name)

    @model_validator(mode="after")
    def _quiet(self) -> Subscription:
        Hours(self.zone, self.quiet)
        return self

    @property
    def weekdays(self) -> tuple[int, ...]:
        """Return the days of the week on which a brief is sent, Monday 0."""
        return (DAYS.index(self.weekday),) if self.digest == "weekly" else tuple(range(7))

    def variables(self) -> list[str]:
        """Return the environment variables that it needs."""
        given = self.model_dump()
        return [given[name] for name in ("secret_env", "url_env") if given.get(name)]


class WebhookSubscription(Subscription, WebhookSettings):
    """A program of one's own: a signed webhook under an idempotency key."""

    kind: Literal["webhook"]


class MailSubscription(Subscription):
    """E-mail, through the mail server of the section notify.mail."""

    kind: Literal["email"]
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1, max_length=50)]
    """Who gets it."""


class RobotSubscription(Subscription):
    """A robot of a group: WeCom, Feishu or Lark, DingTalk, or an incoming webhook of Slack."""

    kind: Literal["wecom", "feishu", "dingtalk", "slack"]
    url_env: Variable
    """Environment variable with the robot's whole address, which is a secret."""
    secret_env: Variable | None = None
    """Environment variable with the secret that signs, of Feishu and DingTalk, where the robot was made with one."""
    connect_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Seconds to find and connect to it."""
    read_seconds: Annotated[float, Field(gt=0, le=120)] = 8.0
    """Seconds for the whole of its answer."""
    allow_private: bool = False
    """Allow http and addresses of one's own network: those that are private, loopback or link-local."""


class AppriseSubscription(Subscription):
    """Whatever the package apprise reaches, by one of its addresses."""

    kind: Literal["apprise"]
    url_env: Variable
    """Environment variable with the address, as in tgram://token/chat."""


AnySubscription = WebhookSubscription | MailSubscription | RobotSubscription | AppriseSubscription
KINDS: dict[str, type[AnySubscription]] = {
    "webhook": WebhookSubscription,
    "email": MailSubscription,
    **dict.fromkeys(("wecom", "feishu", "dingtalk", "slack"), RobotSubscription),
    "apprise": AppriseSubscription,
}


class MailServer(Settings):
    """The mail server that e-mail is handed to, by SMTP."""

    host: Annotated[str, Field(min_length=1)]
    """The server."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Its port; 465 is usual for tls."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the way to it is encrypted; none only within one's own network."""
    sender: MailAddress
    """Whom the letters are from."""
    user: str = ""
    """Name that is signed in with; nobody is where it is left out."""
    password_variable: Variable | None = None
    """Environment variable that holds the password."""
    allow_private: bool = False
    """Allow a server of one's own network."""

    @model_validator(mode="after")
    def _sign_in(self) -> MailServer:
        if bool(self.user) != bool(self.password_variable):
            raise ValueError("user and password_variable go together")
        if self.security == "none" and (self.user or not self.allow_private):
            raise ValueError("security none is for a server of one's own network, allow_private = true, without a user")
        return self


class NotifySettings(Settings):
    """How people are notified."""

    address: str = ""
    """Address under which people reach this server, for links that confirm and dismiss; without it there are none."""
    subscriptions: Path | None = None
    """File with further subscriptions, as seen from the folder of this one."""
    mail: MailServer | None = None
    """The mail server."""

    @field_validator("address")
    @classmethod
    def _address(cls, given: str) -> str:
        if given:
            check_url(given, allow_private=True)
        return given.rstrip("/")


@dataclass(frozen=True)
class Notified:
    """What a file says of notifying."""

    settings: NotifySettings
    subscriptions: tuple[AnySubscription, ...]


NOBODY = Notified(NotifySettings(), ())
"""Nobody is notified but those who subscribe over the API."""


def read_notify(path: str | Path, environ: Mapping[str, str] = os.environ) -> Notified:
    """Return the subscriptions of a TOML file, those of the file that it names among them; its other sections are somebody else's.

    Raises:
        InputError: a file is missing or is not TOML.
        SettingError: a key is unknown or has a value that is not allowed, two share a name, or a secret is missing.
    """
    document, folder = read_toml(path), Path(path).absolute().parent
    settings = NotifySettings.make(**document.get("notify", {}))
    listed = _tables(document, path)
    if settings.subscriptions is not None:
        further = folder / settings.subscriptions
        listed += _tables(read_toml(further), further)
    made = tuple(subscription_of(values, place) for place, values in enumerate(listed, 1))
    names = [one.name for one in made]
    for one in made:
        if names.count(one.name) > 1:
            raise SettingError(message("notify.name_taken"), found=one.name)
        check(one, settings, environ)
    return Notified(settings, made)


def subscription_of(values: Any, place: object = "") -> AnySubscription:
    """Return a subscription of its keys.

    Args:
        values: as in a table of the file, or the body of a request.
        place: what stands for its name where it has none.

    Raises:
        SettingError: a key is unknown or a value is not allowed; says of which subscription.
    """
    if not isinstance(values, dict):
        raise SettingError(message("notify.no_table", place=place), found=values, allowed="[[subscription]]")
    kind = str(values.get("kind"))
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    try:
        return KINDS[kind].make(**values)
    except SettingError as error:
        what = message("notify.of_subscription", name=values.get("name", place), what=error.what)
        raise SettingError(what, found=error.found, allowed=error.allowed, hint=error.hint) from None


def check(one: AnySubscription, settings: NotifySettings, environ: Mapping[str, str]) -> None:
    """Pass where all that a subscription needs is there.

    Raises:
        SettingError: a secret, or the mail server, is missing.
        PackageError: apprise is.
    """
    for variable in one.variables():
        secret_of(variable, environ)
    if isinstance(one, RobotSubscription):
        try:
            check_url(environ[one.url_env], one.allow_private)
        except SettingError as error:  # the address is a secret, and is not shown
            raise SettingError(error.what, found=one.url_env, allowed=error.allowed, hint=error.hint) from None
    if isinstance(one, MailSubscription):
        if settings.mail is None:
            raise SettingError(message("notify.no_mail_server"), found=one.name, allowed="[notify.mail]")
        if settings.mail.password_variable:
            secret_of(settings.mail.password_variable, environ)
    if isinstance(one, AppriseSubscription):
        apprise_package()


def apprise_package() -> Any:
    """Return the package that reaches whatever else there is.

    Raises:
        PackageError: it is not installed.
    """
    try:
        import apprise
    except ImportError:
        raise PackageError(message("notify.no_apprise"), hint="pip install 'noria[apprise]'") from None
    return apprise


def check_foreign(one: AnySubscription) -> None:
    """Pass where a subscription may be made over the API, by whoever holds an admin key.

    Raises:
        SettingError: it names an environment variable that is not meant for this, or wants into one's own network.
    """
    wrong = [name for name in one.variables() if not name.startswith(PREFIX)]
    if wrong:
        raise SettingError(message("notify.variable"), found=wrong[0], allowed=f"{PREFIX}…")
    if getattr(one, "allow_private", False):
        raise SettingError(message("notify.private_by_file"), found="allow_private")


def _tables(document: Mapping[str, Any], path: str | Path) -> list[Any]:
    listed = document.get("subscription", [])
    if not isinstance(listed, list):
        raise SettingError(message("notify.no_table", place=path), found=listed, allowed="[[subscription]]")
    return listed


def severity_of(a_week: float | None) -> Severity:
    """Return how severe an alert is, by how often a week chance brings such a thing; low where that is not known.

    >>> severity_of(0.5), severity_of(0.1), severity_of(0.001)
    ('low', 'medium', 'high')
    """
    if a_week is None or a_week >= MONTHLY:
        return "low"
    return "medium" if a_week >= YEARLY else "high"


def wants(one: Subscription, alert: Mapping[str, Any], watched: int, strictness: float = 1.0) -> bool:
    """Return whether a subscription takes an alert.

    An alert's `a_week` is over all that is watched; of a subscription's own series chance brings their share of it, and with it the false
    alarms that would be sent if all that are so improbable were: no more than it will bear.

    Args:
        one: the subscription.
        alert: as `alert_dict` gives it.
        watched: series that are watched in all.
        strictness: by what its verdicts make its budget smaller.
    """
    named: dict[str, tuple[str, ...]] = {"entity": one.entities, "source": one.sources}
    mine = watched
    if one.topics or one.entities or one.sources:
        names = named.get(alert["of"], one.topics)
        if str(alert["topic"]).casefold() not in {name.casefold() for name in names}:
            return False
        mine = min(watched, 2 * (len(one.topics) + len(one.entities)) + len(one.sources))
    a_week = alert.get("a_week")
    if SEVERITIES.index(severity_of(a_week)) < SEVERITIES.index(one.severity):
        return False
    if one.false_alarms_a_week is None or a_week is None:
        return True
    return bool(a_week * mine / max(1, watched) <= one.false_alarms_a_week / strictness)
