"""DingTalk: messages to a robot, replies by the session webhook that came with the last one.

Signature (docs: "Receive messages of a robot"): base64 of HMAC-SHA256, by the app secret, over the timestamp in milliseconds, a
line feed and the secret, good for an hour. It does not cover the body, so the session webhook in it is believed only where it lies at
the platform's own address. A session webhook ends after a time, and later replies cannot be sent: colleagues are told by a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from noria.apps.support.messages import MOST_CHARACTERS
from noria.core.messages import message
from noria.lake.conversation import Turn
from noria.server.http.routing import Raw
from noria.server.platforms import check_answer, dingtalk_signature, encoded, json_headers, part
from noria.server.webhook import Client, DeliveryError, forged, fresh, same

from .channel import Adapter, Incoming, Receipt, read_object, unreadable
from .settings import DingTalkChannel

WINDOW_SECONDS = 3_600
"""How old a signature may be, as the platform's documentation has it."""
_LASTING = (300001, 310000, 400105)
"""No such session or robot, content that its rules refuse, an unknown kind of message."""


class DingTalk(Adapter):
    """A robot of DingTalk."""

    def __init__(self, name: str, settings: DingTalkChannel, client: Client, secret: str) -> None:
        super().__init__(name, client)
        self._url, self._secret = f"{settings.url.rstrip('/')}/", secret

    def receive(self, raw: Raw) -> Receipt:
        """Return the message to the robot; see `Adapter`."""
        timestamp = raw.headers.get("timestamp", "")
        fresh(timestamp[:-3], self.clock(), WINDOW_SECONDS)
        if not same(dingtalk_signature(self._secret, timestamp), raw.headers.get("sign", "")):
            raise forged()
        body = read_object(raw.content)
        id, place = (str(body.get(name, "")) for name in ("msgId", "conversationId"))
        user = str(body.get("senderStaffId") or body.get("senderId") or "")
        webhook = str(body.get("sessionWebhook", ""))
        if not (id and place and user):
            raise unreadable()
        if not webhook.startswith(self._url):
            raise forged()
        text = str(part(body, "text").get("content", "")).strip()[:MOST_CHARACTERS]
        text = text or f"[{str(body.get('msgtype') or 'message')[:32]}]"
        ends = body.get("sessionWebhookExpiredTime")
        to = {"webhook": webhook, "ends": ends / 1e3 if isinstance(ends, int | float) else 0}
        return Receipt(JSONResponse({}), Incoming(id, f"{place}:{user}", f"{self.name}:{user}", text, to))

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Post a reply to the session webhook of the customer's last message; see `Adapter`."""
        if to["ends"] and self.clock() >= to["ends"]:
            raise DeliveryError(message("channels.session_ended"), lasting=True)
        content = encoded({"msgtype": "text", "text": {"content": turn.text}})
        answer = await self.client.send("POST", to["webhook"], content, json_headers)
        replied = part(answer.json())
        check_answer(answer, replied.get("errcode"), 0, _LASTING, replied.get("errmsg", ""))
