"""Slack: messages to an app by the Events API, replies by chat.postMessage.

Signed requests (docs: "Verifying requests from Slack"): `v0=` and HMAC-SHA256 over v0:timestamp:body. What was sent twice
(x-slack-retry-num) is one message, by its channel and ts.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response

from noria.apps.support.messages import MOST_CHARACTERS
from noria.lake.conversation import Turn
from noria.server.http.routing import Raw
from noria.server.platforms import check_answer, encoded, json_headers, part, slack_escaped
from noria.server.webhook import Client, forged, fresh, same

from .channel import Adapter, Incoming, Receipt, read_object
from .settings import SlackChannel

_LASTING = ("channel_not_found", "is_archived", "not_in_channel", "msg_too_long", "no_text", "user_not_found")
_LINK = re.compile(r"<(?:[@#!][^>|]*\|)?(?:(?:https?|mailto|tel):[^>|]*\|)?([^>]*)>")
_CALLED = re.compile(r"<@[A-Z0-9]+(?:\|[^>]*)?>")


class Slack(Adapter):
    """An app of Slack."""

    def __init__(self, name: str, settings: SlackChannel, client: Client, secret: str, token: str) -> None:
        super().__init__(name, client)
        self._url, self._secret, self._token = settings.url.rstrip("/"), secret, token

    def receive(self, raw: Raw) -> Receipt:
        """Return the message of an event, or the answer to Slack's own check of the address; see `Adapter`."""
        timestamp = raw.headers.get("x-slack-request-timestamp", "")
        fresh(timestamp, self.clock())
        content = b":".join((b"v0", timestamp.encode(), raw.content))
        right = f"v0={hmac.new(self._secret.encode(), content, 'sha256').hexdigest()}"
        if not same(right, raw.headers.get("x-slack-signature", "")):
            raise forged()
        body = read_object(raw.content)
        if body.get("type") == "url_verification":
            return Receipt(PlainTextResponse(str(body.get("challenge", ""))))
        return Receipt(Response(), self._message(part(body, "event")))

    async def send(self, turn: Turn, to: Mapping[str, Any], again: bool) -> None:
        """Post a reply where the customer wrote; see `Adapter`."""
        body = {"channel": to["channel"], "text": slack_escaped(turn.text), "mrkdwn": False, "unfurl_links": False}
        content = encoded(body | ({"thread_ts": to["thread"]} if to.get("thread") else {}))
        url = f"{self._url}/chat.postMessage"
        answer = await self.client.send("POST", url, content, lambda: json_headers(self._token))
        replied = part(answer.json())
        check_answer(answer, replied.get("error", "ok" if replied.get("ok") else None), "ok", _LASTING)

    def _message(self, event: Mapping[str, Any]) -> Incoming | None:
        """Return what a customer wrote to the app, alone or by its name; None where it is anything else."""
        direct = event.get("channel_type") == "im"
        wanted = event.get("type") == "app_mention" or (event.get("type") == "message" and direct)
        channel, user, ts = (str(event.get(name, "")) for name in ("channel", "user", "ts"))
        if not wanted or event.get("bot_id") or event.get("subtype") not in (None, "file_share"):
            return None
        if not (channel and user and ts):
            return None
        thread = str(event.get("thread_ts") or ("" if direct else ts))
        place = channel if direct else f"{channel}:{thread}"
        text = plain_text(str(event.get("text") or "")) or "[file]"
        to = {"channel": channel, "thread": thread}
        return Incoming(f"{channel}:{ts}", f"{place}:{user}", f"{self.name}:{user}", text, to)


def plain_text(text: str) -> str:
    """Return a message of Slack without its marks.

    >>> plain_text("<@U1> where is <https://a.example|my order> &amp; why?")
    'where is my order & why?'
    """
    found = _LINK.sub(r"\1", _CALLED.sub("", text))
    for mark, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        found = found.replace(mark, sign)
    return " ".join(found.split(" ")).strip()[:MOST_CHARACTERS]
