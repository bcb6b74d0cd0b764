"""WeCom: encrypted callbacks of an app, replies by its messages to members.

Signature (docs: "Encryption and decryption of callbacks"): SHA-1 over token, timestamp, nonce and encrypted text in their alphabetical
order. Encryption: AES-256-CBC with EncodingAESKey, whose first 16 bytes are the vector, padded to 32; inside stand 16 random bytes, the length
of the message, the message, and the id of the company. XML is read without document types and entities.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from xml.parsers import expat

from starlette.responses import PlainTextResponse, Response

from noria.apps.support.messages import MOST_CHARACTERS
from noria.core.errors import SettingError
from noria.core.messages import message
from noria.lake.conversation import Turn
from noria.server.http.routing import Raw
from noria.server.platforms import check_answer, encoded, json_headers, part
from noria.server.webhook import Client, DeliveryError, forged, fresh, same

from .channel import AccessToken, Adapter, Incoming, Receipt, unreadable
from .encryption import BLOCK, decrypted
from .settings import WeComChannel

MOST_BYTES = 2_048
"""Of a text; what is longer the platform would cut, so it is sent in parts."""
_PADDED_TO = 32
_STALE = (40014, 41001, 42001)
"""Codes of an access token that is not good any more."""
_LASTING = (40003, 60011, 60111, 81013, 82001)
"""No such member, or none that the app may write to."""


class WeCom(Adapter):
    """An app of WeCom.

    Raises:
        SettingError: the AES key is none.
    """

    def __init__(
        self, name: str, settings: WeComChannel, client: Client, secret: str, token: str, aes_key: str
    ) -> None:
        super().__init__(name, client)
        self._url, self._corp, self._agent = settings.url.rstrip("/"), settings.corp_id, settings.agent_id
        self._secret, self._token, self._key = secret, token, _aes_key(aes_key, settings.aes_key_env)
        self._access = AccessToken(self._fetch, lambda: self.clock())

    def prove(self, raw: Raw) -> Response:
        """Return the text by which WeCom sees that the address is ours; see `Adapter`."""
        return PlainTextResponse(self._opened(raw, raw.query.get("echostr", "")))

    def receive(self, raw: Raw) -> Receipt:
        """Return the message of a callback; see `Adapter`."""
        outside = xml_texts(raw.content)
        inside = xml_texts(self._opened(raw, outside.get("Encrypt", "")))
        user, id, kind = (inside.get(name, "") for name in ("FromUserName", "MsgId", "MsgType"))
        if kind == "event" or not (user and id):
            return Receipt(PlainTextResponse("success"))
        text = inside.get("Content", "").strip()[:MOST_CHARACTERS] or f"[{kind[:32] or 'message'}]"
        return Receipt(PlainTextResponse("success"), Incoming(id, user, f"{self.name}:{user}", text, {"user": user}))

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Send a reply to the member, in parts where it is long; see `Adapter`."""
        for text in parts_of(turn.text, MOST_BYTES):
            body = {"touser": to["user"], "msgtype": "text", "agentid": self._agent, "text": {"content": text}}
            if again:  # the same text within the interval is sent once
                body |= {"enable_duplicate_check": 1, "duplicate_check_interval": 14_400}
            query = urlencode({"access_token": await self._access.get()})
            url = f"{self._url}/cgi-bin/message/send?{query}"
            answer = await self.client.send("POST", url, encoded(body), json_headers)
            replied = part(answer.json())
            if replied.get("errcode") in _STALE:
                self._access.drop()
            check_answer(answer, replied.get("errcode"), 0, _LASTING, replied.get("errmsg", ""))

    async def _fetch(self) -> tuple[str, float]:
        query = urlencode({"corpid": self._corp, "corpsecret": self._secret})
        answer = await self.client.send("GET", f"{self._url}/cgi-bin/gettoken?{query}", b"", dict)
        replied = part(answer.json())
        if replied.get("errcode") != 0 or not replied.get("access_token"):
            raise DeliveryError(
                message("channels.no_access"), found=f"{replied.get('errcode')}: {replied.get('errmsg')}"
            )
        return str(replied["access_token"]), float(replied.get("expires_in", 0))

    def _opened(self, raw: Raw, encrypted: str) -> bytes:
        """Return what was encrypted for this company, once its signature is checked."""
        timestamp, nonce = raw.query.get("timestamp", ""), raw.query.get("nonce", "")
        fresh(timestamp, self.clock())
        signed = "".join(sorted((self._token, timestamp, nonce, encrypted)))
        right = hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()
        if not same(right, raw.query.get("msg_signature", "")):
            raise forged()
        found = decrypted(encrypted, self._key, self._key[:BLOCK], _PADDED_TO)
        length = int.from_bytes(found[BLOCK : BLOCK + 4], "big")
        content, company = found[BLOCK + 4 : BLOCK + 4 + length], found[BLOCK + 4 + length :]
        if len(content) != length or company != self._corp.encode():
            raise forged()
        return content


def xml_texts(content: bytes) -> dict[str, str]:
    """Return the texts of a flat XML document, by the names of their elements.

    Raises:
        ApiError: it is no XML, is nested, or has a document type, and with it entities (400).

    >>> xml_texts(b"<xml><A><![CDATA[x < y]]></A><B>1</B></xml>")
    {'A': 'x < y', 'B': '1'}
    """
    found: dict[str, str] = {}
    open_: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        open_.append(name)
        if len(open_) == 2:
            found[name] = ""

    def text(data: str) -> None:
        if len(open_) == 2:
            found[open_[1]] += data

    def refuse(*given: object) -> None:
        raise unreadable()

    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.CharacterDataHandler = begin, text
    parser.EndElementHandler = lambda name: open_.pop()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise unreadable() from None
    return found


def parts_of(text: str, most: int) -> Iterator[str]:
    """Yield a text in parts of so many bytes at most, cut at a line's end, or else at a blank, where there is one.

    >>> list(parts_of("one two three", 8)), list(parts_of("退货退货", 7))
    (['one two', 'three'], ['退货', '退货'])
    """
    rest = text.strip()
    while rest:
        whole = rest.encode()
        if len(whole) <= most:
            yield rest
            return
        first = whole[:most].decode("utf-8", "ignore")
        cut = max(first.rfind("\n"), first.rfind(" "))
        first = first[:cut] if cut > len(first) // 2 else first
        yield first.rstrip()
        rest = rest[len(first) :].strip()


def _aes_key(key: str, variable: str) -> bytes:
    try:
        found = base64.b64decode(f"{key}=", validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 32:
        raise SettingError(message("channels.aes_key"), found=variable)
    return found
