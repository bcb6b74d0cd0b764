"""A program of one's own: signed webhooks in and out, by the signature of Standard Webhooks in both directions.

In: {"text": "...", "user": "anna", "conversation": "chat-7", "consent": true}; the message's id is webhook-id.
Out: {"type": "support.reply", "conversation", "user", "number", "role", "author", "text", "action", "sources", ...}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError
from starlette.responses import JSONResponse

from noria.apps.support.messages import MOST_CHARACTERS, ConversationName, shown_of
from noria.core.messages import message
from noria.lake.conversation import Turn
from noria.server.errors import ApiError, field_error
from noria.server.http.fields import Body, Given, Name
from noria.server.http.routing import Raw
from noria.server.platforms import encoded
from noria.server.webhook import Client, DeliveryError, verified

from .channel import Adapter, Incoming, Receipt, read_object
from .settings import WebhookChannel


class Posted(Body):
    """What a program posts."""

    text: Annotated[Given, Field(max_length=MOST_CHARACTERS)]
    conversation: ConversationName = ""
    """Its own name for the conversation; left out, a customer has one."""
    user: Name = ""
    """The customer; stored as a pseudonym."""
    consent: bool | None = None
    """The customer agreed that their masked text may become training data."""


class Webhook(Adapter):
    """A program of one's own."""

    def __init__(self, name: str, settings: WebhookChannel, client: Client, secret: str) -> None:
        super().__init__(name, client)
        self._url, self._secret = settings.url, secret

    def receive(self, raw: Raw) -> Receipt:
        """Return the message that a program posted; see `Adapter`."""
        id = verified(raw.headers, raw.content, self._secret, self.clock())
        try:
            body = Posted.model_validate(read_object(raw.content))
        except ValidationError as error:
            raise field_error(error.errors(include_url=False), Posted.model_fields) from None
        conversation = body.conversation or body.user
        if not conversation:
            raise ApiError(422, "a user or a conversation is needed", param="user", code="invalid_field")
        to = {"conversation": conversation, "user": body.user}
        came = Incoming(id, conversation, body.user, body.text, to, body.consent)
        return Receipt(JSONResponse({"object": "support.received", "conversation": conversation, "id": id}), came)

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Post a reply under its id; see `Adapter`."""
        content = encoded({"type": "support.reply", **to, **shown_of(turn)})
        answer = await self.client.post_signed(self._url, content, id=turn.id, secret=self._secret)
        if not answer.ok:
            raise DeliveryError(
                message("server.not_delivered"), found=f"HTTP {answer.status}", lasting=answer.status == 410
            )
