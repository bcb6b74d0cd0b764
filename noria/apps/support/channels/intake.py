"""The routes that platforms call: a message is on the disk before it is acknowledged, and replied to after that, in its order.

POST /channels/{channel} takes what a platform or a program posts; GET is WeCom's check of the address. They need no key: who posts
signs. A message that a killed server acknowledged and did not reply to is replied to at the next start.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from noria.apps.support.messages import Messages, refused
from noria.apps.support.people import APP, People
from noria.core.errors import NoriaError
from noria.lake import deliveries
from noria.lake.conversations import Received
from noria.server.errors import ApiError
from noria.server.http.context import RequestContext
from noria.server.http.keys import Caller, Limits
from noria.server.http.routing import Raw, Route
from noria.server.webhook import secret_of

from .channel import Adapter, client_for
from .dingtalk import DingTalk
from .feishu import Feishu
from .generic import Webhook
from .outbox import Outbox
from .settings import (
    AnyChannel,
    DingTalkChannel,
    FeishuChannel,
    SlackChannel,
    WebhookChannel,
    read_channels,
)
from .slack import Slack
from .wecom import WeCom

if TYPE_CHECKING:
    from noria.server.http.state import State

MOST_BYTES = 1 << 20
"""Bytes of a request: platforms send a few kilobytes."""


class Channels:
    """The channels of a desk.

    Args:
        file: TOML file of the channels; None: there are none.
        messages: replies to what comes.
        people: the conversations.
        environ: where the secrets are.

    Raises:
        SettingError: the file names a channel that cannot be, or a secret is missing.
    """

    def __init__(
        self,
        file: str | Path | None,
        messages: Messages,
        people: People,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = read_channels(file) if file else {}
        self._adapters = {name: adapter_of(name, one, environ) for name, one in self._settings.items()}
        self._messages, self._people = messages, people
        self._last: dict[str, asyncio.Task[None]] = {}

    def routes(self) -> Sequence[Route]:
        """Return POST and GET /channels/{channel}, where there are channels."""
        if not self._adapters:
            return ()
        path = "/channels/{channel}"
        return (
            Route("POST", path, self._receive, raw=True, role="anyone", shown=False),
            Route("GET", path, self._prove, raw=True, role="anyone", shown=False),
        )

    async def start(self, state: State) -> None:
        """Reply to what was acknowledged and not replied to, and deliver what was not, from now on."""
        if not self._adapters:
            return
        Outbox(self._people, self._adapters).start()
        state.tasks.append(asyncio.create_task(self._end()))
        for turn in await self._people.kept.read(deliveries.unreplied):
            stands, _ = await self._people.turns(turn.conversation, turn.number)
            if stands.tenant.removeprefix(deliveries.PREFIX) in self._adapters:
                self._reply(Received(stands, turn))

    async def _receive(self, context: RequestContext, raw: Raw, channel: str) -> Response:
        """Take a message from a platform."""
        adapter = self._adapter(channel)
        if len(raw.content) > MOST_BYTES:
            raise ApiError(413, "the body is too large", code="body_too_large", allowed=f"up to {MOST_BYTES:,} bytes")
        receipt = adapter.receive(raw)
        if (came := receipt.message) is not None:
            limits = Limits(requests_minute=self._settings[channel].messages_minute)
            tenant = f"{deliveries.PREFIX}{channel}"
            context.state.rates.admit(Caller(f"{tenant} {came.conversation}", "client", tenant, limits=limits))
            with refused():
                received = await self._people.kept.message(
                    tenant,
                    came.conversation,
                    came.text,
                    client=came.id,
                    user=context.state.meter.pseudonym(came.user),
                    consent=came.consent,
                    facts={"to": dict(came.to), "user": came.user},
                )
            if not received.again:
                self._reply(received)
        return receipt.response

    async def _prove(self, context: RequestContext, raw: Raw, channel: str) -> Response:
        """Show a platform that the address is ours."""
        return self._adapter(channel).prove(raw)

    def _adapter(self, channel: str) -> Adapter:
        if channel not in self._adapters:
            raise ApiError(404, "no such channel", code="no_such_channel")
        return self._adapters[channel]

    def _reply(self, received: Received) -> None:
        """Have a message replied to, after those before it in its conversation."""
        place = received.conversation.id
        task = asyncio.create_task(self._replied(received, self._last.get(place)))
        self._last[place] = task
        task.add_done_callback(lambda done: self._last.pop(place) if self._last.get(place) is done else None)

    async def _replied(self, received: Received, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        tenant = received.conversation.tenant
        context = RequestContext(self._people.state, Caller(tenant, "client", tenant), counted=True)
        context.usage.app = APP
        context.note_user(str(received.turn.facts.get("user", "")), received.conversation.consent)
        try:
            await self._messages.replied(context, received)
            await context.finish()
        except NoriaError:
            # The model is away, or the disk is full: what got no reply goes to a person in a minute (`People.sweep`).
            with suppress(NoriaError):
                await context.finish("failed")

    async def _end(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for task in list(self._last.values()):
                task.cancel()


def adapter_of(name: str, settings: AnyChannel, environ: Mapping[str, str]) -> Adapter:
    """Return the adapter of a channel.

    Raises:
        SettingError: a secret is missing.
    """
    client = client_for(settings)
    if isinstance(settings, WebhookChannel):
        return Webhook(name, settings, client, secret_of(settings.secret_env, environ))
    if isinstance(settings, SlackChannel):
        secrets = [secret_of(one, environ) for one in (settings.signing_secret_env, settings.token_env)]
        return Slack(name, settings, client, *secrets)
    if isinstance(settings, FeishuChannel):
        secret, token = (secret_of(one, environ) for one in (settings.app_secret_env, settings.token_env))
        key = secret_of(settings.encrypt_env, environ) if settings.encrypt_env else ""
        return Feishu(name, settings, client, secret, token, key)
    if isinstance(settings, DingTalkChannel):
        return DingTalk(name, settings, client, secret_of(settings.secret_env, environ))
    names = (settings.secret_env, settings.token_env, settings.aes_key_env)
    return WeCom(name, settings, client, *(secret_of(one, environ) for one in names))
