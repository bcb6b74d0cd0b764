"""Subscriptions while the monitor runs: those of its file, and those that people make; changed, paused, tried out; by API and console.

    subscriptions = Subscriptions(notified)
    subscriptions.open(outbox, senders, clock, titles)
    subscriptions.make({"name": "desk", "kind": "webhook", "url": ..., "secret_env": ...})
    await subscriptions.test("desk")                  # sends one message that says that it is a test

What is wrong with one is said as of the file: the same keys, the same checks. Those of the file are changed there alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from noria.core.errors import InputError, PackageError, SettingError
from noria.core.messages import Language, message
from noria.lake.event import new_id
from noria.server.errors import ApiError
from noria.server.http.admission import check_role
from noria.server.http.context import RequestContext
from noria.server.http.fields import Body, Name
from noria.server.http.routing import Route
from noria.server.webhook import DeliveryError

from .notice import Line, Notice, Part
from .outbox import Outbox
from .senders import Senders
from .settings import AnySubscription, Notified, check, check_foreign, subscription_of

Result = TypeVar("Result")
_Listed = Annotated[list[Name], Field(max_length=200)]


class NewSubscription(Body):
    """POST /subscriptions: the keys of a `[[subscription]]`; see docs/monitor-telling.md."""

    name: Name
    kind: Literal["webhook", "email", "wecom", "feishu", "dingtalk", "slack", "apprise"]
    topics: _Listed = Field(default_factory=list)
    entities: _Listed = Field(default_factory=list)
    sources: _Listed = Field(default_factory=list)
    severity: Literal["low", "medium", "high"] = "low"
    false_alarms_a_week: float | None = None
    language: Language = "en"
    zone: Name = "UTC"
    quiet: _Listed = Field(default_factory=list)
    digest: Literal["", "daily", "weekly"] = ""
    at: Name = "08:00"
    weekday: Name = "mon"
    url: Annotated[str, Field(max_length=2_048)] = ""
    """Of a webhook."""
    secret_env: Name = ""
    url_env: Name = ""
    to: _Listed = Field(default_factory=list)
    """Readers of an e-mail."""


class Pause(Body):
    """POST /subscriptions/{name}/pause."""

    paused: bool = True
    """Whether nothing is sent from now on."""


class TryOut(Body):
    """POST /subscriptions/{name}/test: {}, for there is nothing to say."""


class Subscriptions:
    """All subscriptions of one monitor.

    Args:
        notified: what the file says.
        environ: where the secrets are.
    """

    def __init__(self, notified: Notified, environ: Mapping[str, str]) -> None:
        self.settings = notified.settings
        self.file = {one.name: one for one in notified.subscriptions}
        self._environ = environ
        self._made: dict[str, AnySubscription] = {}
        self._paused: frozenset[str] = frozenset()
        self._outbox: Outbox | None = None
        self._senders: Senders | None = None
        self._clock: Callable[[], datetime] | None = None

    def open(self, outbox: Outbox, senders: Senders, clock: Callable[[], datetime]) -> None:
        """Take up what was made before."""
        self._outbox, self._senders, self._clock = outbox, senders, clock
        self._made = {str(one["name"]): subscription_of(one) for one in outbox.subscriptions()}
        self._paused = outbox.paused()

    def renew(self, given: Subscriptions, senders: Senders) -> None:
        """Take the settings and the file's subscriptions of another one, which has not started, from now on."""
        self.settings, self.file, self._senders = given.settings, given.file, senders

    def all(self) -> Mapping[str, AnySubscription]:
        """Return all subscriptions by name; where two share one, that of the file."""
        return {**self._made, **self.file}

    @property
    def paused(self) -> frozenset[str]:
        """Return the names of those to which nothing is sent."""
        return self._paused

    def make(self, values: Mapping[str, Any]) -> AnySubscription:
        """Keep a subscription, in the place of one of its name that was made here.

        Raises:
            SettingError: a key is unknown or a value is not allowed, a secret is missing, or it stands in the file.
            PackageError: the package that it needs is missing.
        """
        self._check_own(str(values.get("name", "")))
        one = subscription_of(dict(values))
        check_foreign(one)
        check(one, self.settings, self._environ)
        self._started().subscribe(one.name, one.model_dump(mode="json", exclude_unset=True))
        self._made[one.name] = one
        return one

    def remove(self, name: str) -> None:
        """Forget a subscription that was made here, with what it was still to be sent.

        Raises:
            SettingError: it stands in the file.
            InputError: there is none of that name.
        """
        self._check_own(name)
        if not self._started().unsubscribe(name):
            raise InputError(message("notify.none_such"), found=name)
        self._made.pop(name, None)
        self._paused -= {name}

    def pause(self, name: str, *, paused: bool) -> None:
        """Send nothing from now on, or send again: what is raised meanwhile is not sent, and a brief afterwards tells of all the time.

        Raises:
            InputError: there is none of that name.
        """
        self._known(name)
        self._started().pause(name, paused=paused)
        self._paused = self._paused | {name} if paused else self._paused - {name}

    async def test(self, name: str) -> str:
        """Send one message that says that it is a test, now; return what its sender should know though it arrived.

        Raises:
            InputError: there is none of that name.
            DeliveryError: it did not arrive; why.
            SettingError: a secret is missing.
        """
        one = self._known(name)
        self._started()
        assert self._senders is not None
        assert self._clock is not None
        lines = (Line(message("notify.test.why", name=name)[one.language]),)
        title = message("notify.test.title")[one.language]
        notice = Notice(
            "test", one.language, title, (Part("", lines),), self._clock().isoformat(), facts={"test": True}
        )
        try:
            return await self._senders.send(one, notice, new_id(), again=False)
        except (DeliveryError, SettingError):
            raise
        except Exception as error:  # whatever a library throws over it
            raise DeliveryError(message("server.not_delivered"), found=f"{type(error).__name__} {error}") from None

    def shown(self, one: AnySubscription) -> dict[str, Any]:
        """Return a subscription with how much was sent to it, waits, or was given up and why; JSON-able."""
        kept = self._started().of_subscription(one.name)
        states = [each.state for each in kept]
        return {
            **one.model_dump(mode="json"),
            "made_by": "file" if one.name in self.file else "api",
            "paused": one.name in self._paused,
            "sent": states.count("sent"),
            "waiting": states.count("waiting") + states.count("trying"),
            "given_up": states.count("given up"),
            "joined": states.count("joined"),
            "problem": next((each.why for each in reversed(kept) if each.why and each.state != "joined"), ""),
        }

    def listed(self) -> list[dict[str, Any]]:
        """Return all of them as `shown` has them."""
        return [self.shown(one) for one in self.all().values()]

    def routes(self) -> Sequence[Route]:
        """Return GET and POST /subscriptions, DELETE /subscriptions/{name}, and POST /pause and /test below it."""
        one = "/subscriptions/{name}"
        return (
            Route("GET", "/subscriptions", self._list, reply=list[dict[str, Any]]),
            Route(
                "POST",
                "/subscriptions",
                self._subscribe,
                body=NewSubscription,
                reply=dict[str, Any],
                action="subscription.make",
            ),
            Route("DELETE", one, self._unsubscribe, reply=dict[str, Any], action="subscription.remove"),
            Route("POST", f"{one}/pause", self._pause, body=Pause, reply=dict[str, Any], action="subscription.pause"),
            Route("POST", f"{one}/test", self._test, body=TryOut, reply=dict[str, Any], action="subscription.test"),
        )

    async def _list(self, context: RequestContext) -> list[dict[str, Any]]:
        """List the subscriptions, and how much was sent to each, waits, or was given up and why."""
        check_role(context.caller, "editor")  # who may change what this server sends to whom
        self._ready()
        return await asyncio.to_thread(self.listed)

    async def _subscribe(self, context: RequestContext, body: NewSubscription) -> dict[str, Any]:
        """Make a subscription, or change one that was made here."""
        check_role(context.caller, "editor")
        self._ready()
        values = body.model_dump(exclude_unset=True)
        one = await asyncio.to_thread(_refused, lambda: self.make(values))
        return await asyncio.to_thread(self.shown, one)

    async def _unsubscribe(self, context: RequestContext, name: str) -> dict[str, Any]:
        """Remove a subscription that was made here, with what it was still to be sent."""
        check_role(context.caller, "editor")
        self._ready()
        await asyncio.to_thread(_refused, lambda: self.remove(name))
        return {"name": name, "removed": True}

    async def _pause(self, context: RequestContext, body: Pause, name: str) -> dict[str, Any]:
        """Send nothing to a subscription from now on, or send to it again."""
        check_role(context.caller, "editor")
        self._ready()
        await asyncio.to_thread(_refused, lambda: self.pause(name, paused=body.paused))
        return await asyncio.to_thread(self.shown, self.all()[name])

    async def _test(self, context: RequestContext, body: TryOut, name: str) -> dict[str, Any]:
        """Send one message to a subscription that says that it is a test."""
        check_role(context.caller, "editor")
        self._ready()
        try:
            note = await self.test(name)
        except InputError as error:
            raise ApiError(404, "no such subscription", param="name", found=error.found) from None
        except (DeliveryError, SettingError) as error:
            return {"name": name, "arrived": False, "why": str(error)}
        return {"name": name, "arrived": True, "why": note}

    def _known(self, name: str) -> AnySubscription:
        one = self.all().get(name)
        if one is None:
            raise InputError(message("notify.none_such"), found=name)
        return one

    def _check_own(self, name: str) -> None:
        if name in self.file:
            raise SettingError(message("notify.in_file"), found=name)

    def _started(self) -> Outbox:
        if self._outbox is None:
            raise InputError(message("apps.opinion_monitoring"))
        return self._outbox

    def _ready(self) -> None:
        if self._outbox is None:
            raise ApiError(503, "the monitor has not started", code="not_ready", retry_after=1)


def _refused(work: Callable[[], Result]) -> Result:
    """Return what work gives; what is wrong with what was asked is said as the API says it."""
    try:
        return work()
    except (SettingError, PackageError) as error:
        raise ApiError(422, str(error), param="name", code="invalid_field") from None
    except InputError as error:
        raise ApiError(404, "no such subscription", param="name", found=error.found) from None
