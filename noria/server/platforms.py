"""What messaging platforms share: bodies in JSON, answers whose code says whether they took them, signatures, and texts in which no mark is read.

Channels of customer service reply through their apps, opinion monitoring notifies through robots of their groups.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Collection, Mapping
from typing import Any

from noria.core.errors import shorten
from noria.core.messages import message

from .webhook import Answer, DeliveryError


def json_headers(token: str = "") -> dict[str, str]:
    """Return the headers of a request in JSON, with a bearer's token where there is one."""
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    return {"content-type": "application/json; charset=utf-8", **bearer}


def encoded(value: Mapping[str, Any]) -> bytes:
    """Return a body as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def part(value: Any, *names: str) -> dict[str, Any]:
    """Return an object inside objects; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def check_answer(answer: Answer, code: object, good: object, lasting: Collection[object], why: object = "") -> None:
    """Pass where a platform took what was sent.

    Args:
        answer: what it answered.
        code: the code in it.
        good: the code that says so.
        lasting: codes after which it is of no use to try again; all others may be mended by somebody meanwhile.
        why: the platform's own words.

    Raises:
        DeliveryError: it did not.
    """
    if not answer.ok or code != good:
        found = shorten(f"HTTP {answer.status}, {code}: {why}")
        raise DeliveryError(message("server.not_delivered"), found=found, lasting=code in lasting)


def dingtalk_signature(secret: str, milliseconds: str) -> str:
    """Return the signature of DingTalk, which a robot shows and is shown: base64 of HMAC-SHA256, by the secret, over time, line feed and secret.

    >>> dingtalk_signature("this is secret", "1577262236757")
    'hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM='
    """
    content = f"{milliseconds}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()


def feishu_signature(secret: str, seconds: str) -> str:
    """Return the signature of a robot of Feishu: base64 of HMAC-SHA256 over nothing, whose key is time, line feed and secret.

    >>> feishu_signature("demo", "1599360473")
    'l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8='
    """
    return base64.b64encode(hmac.digest(f"{seconds}\n{secret}".encode(), b"", "sha256")).decode()


def slack_escaped(text: str) -> str:
    """Return a text that Slack shows as it is: no link, no call of somebody's name.

    >>> slack_escaped("<!channel> a & b")
    '&lt;!channel&gt; a &amp; b'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
