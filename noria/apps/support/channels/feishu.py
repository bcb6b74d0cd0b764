"""Feishu and Lark: events of version 2.0, encrypted and signed where an encrypt key is set; replies by the messages API.

Signature (docs: "Configure an encrypt key"): SHA-256 over timestamp, nonce, encrypt key and body. Encryption: AES-256-CBC with the
key's SHA-256, the first block before the text. The verification token stands in every event. `uuid` names a reply, which the
platform takes once within the hour.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from noria.apps.support.messages import MOST_CHARACTERS
from noria.core.messages import message
from noria.lake.conversation import Turn
from noria.server.http.routing import Raw
from noria.server.platforms import check_answer, encoded, json_headers, part
from noria.server.webhook import Client, DeliveryError, forged, fresh, same

from .channel import AccessToken, Adapter, Incoming, Receipt, read_object
from .encryption import BLOCK, decrypted
from .settings import FeishuChannel

_STALE = (99991661, 99991663, 99991664, 99991668)
"""Codes of an access token that is not good any more."""
_LASTING = (230002, 230006, 230013, 230025, 230027, 230028)
"""The bot is not in the group, has no such right, the user is out of its reach, or the text is too long or not allowed."""


class Feishu(Adapter):
    """An app of Feishu or Lark."""

    def __init__(
        self, name: str, settings: FeishuChannel, client: Client, secret: str, token: str, encrypt_key: str
    ) -> None:
        super().__init__(name, client)
        self._url, self._id = settings.url.rstrip("/"), settings.app_id
        self._secret, self._token, self._key = secret, token, encrypt_key
        self._access = AccessToken(self._fetch, lambda: self.clock())

    def receive(self, raw: Raw) -> Receipt:
        """Return the message of an event, or the answer to the platform's own check of the address; see `Adapter`."""
        signature = raw.headers.get("x-lark-signature", "")
        if self._key and signature:
            timestamp, nonce = (raw.headers.get(f"x-lark-request-{name}", "") for name in ("timestamp", "nonce"))
            fresh(timestamp, self.clock())
            right = hashlib.sha256(f"{timestamp}{nonce}{self._key}".encode() + raw.content).hexdigest()
            if not same(right, signature):
                raise forged()
        body = read_object(raw.content)
        if self._key:
            key = hashlib.sha256(self._key.encode()).digest()
            body = read_object(decrypted(str(body.get("encrypt", "")), key, None, BLOCK))
        given = part(body, "header").get("token", body.get("token", ""))
        if not same(self._token, str(given)):
            raise forged()
        if body.get("type") == "url_verification":  # the only one that comes without a signature
            return Receipt(JSONResponse({"challenge": str(body.get("challenge", ""))}))
        if self._key and not signature:
            raise forged()
        event = part(body, "event") if part(body, "header").get("event_type") == "im.message.receive_v1" else {}
        return Receipt(JSONResponse({}), self._message(event))

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Send a reply to the chat under its id; see `Adapter`."""
        # What a customer wrote may come back in a reply: it calls nobody's name.
        text = json.dumps({"text": re.sub("<(?=at\\b)", "＜", turn.text)}, ensure_ascii=False)
        body = {"receive_id": to["chat"], "msg_type": "text", "content": text, "uuid": turn.id}
        url = f"{self._url}/open-apis/im/v1/messages?receive_id_type=chat_id"
        token = await self._access.get()
        answer = await self.client.send("POST", url, encoded(body), lambda: json_headers(token))
        replied = part(answer.json())
        if replied.get("code") in _STALE:
            self._access.drop()
        check_answer(answer, replied.get("code"), 0, _LASTING, replied.get("msg", ""))

    async def _fetch(self) -> tuple[str, float]:
        body = encoded({"app_id": self._id, "app_secret": self._secret})
        url = f"{self._url}/open-apis/auth/v3/tenant_access_token/internal"
        replied = part((await self.client.send("POST", url, body, json_headers)).json())
        if replied.get("code") != 0 or not replied.get("tenant_access_token"):
            raise DeliveryError(message("channels.no_access"), found=f"{replied.get('code')}: {replied.get('msg')}")
        return str(replied["tenant_access_token"]), float(replied.get("expire", 0))

    def _message(self, event: Mapping[str, Any]) -> Incoming | None:
        """Return what a customer wrote; None where it is anything else."""
        sender, written = part(event, "sender"), part(event, "message")
        user = str(part(sender, "sender_id").get("open_id", ""))
        id, chat = (str(written.get(name, "")) for name in ("message_id", "chat_id"))
        if sender.get("sender_type") != "user" or not (user and id and chat):
            return None
        kind = str(written.get("message_type", ""))
        try:
            text = str(part(json.loads(str(written.get("content", "")))).get("text", ""))
        except (ValueError, RecursionError):
            text = ""
        for one in written.get("mentions") or ():
            text = text.replace(str(part(one).get("key") or "\0"), "")
        text = " ".join(text.split(" ")).strip()[:MOST_CHARACTERS] or f"[{kind[:32] or 'message'}]"
        return Incoming(id, f"{chat}:{user}", f"{self.name}:{user}", text, {"chat": chat})
