"""A notice in the documented format of each service, in which nothing that people wrote is read as marks.

| service | format | why nothing is read |
|---|---|---|
| webhook | JSON, in the form of Standard Webhooks: type, timestamp, data | it is data |
| e-mail | plain text, and HTML of it | HTML is escaped; headers are one line |
| WeCom | msgtype text, up to 2,048 bytes | text has no marks, and nobody is called but by a list |
| DingTalk | msgtype text, up to 20,000 bytes | the same |
| Feishu | msg_type post: nodes of text and links, up to 20 KB | a node's text is shown as it is |
| Slack | blocks: header, rich text and buttons; text beside them | elements of rich text are shown as they are; the text is escaped |

Where a service takes less than there is, quoted texts are cut first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Any

from noria.core.messages import message
from noria.server.platforms import encoded, feishu_signature, slack_escaped

from .notice import Notice

WECOM_BYTES, DINGTALK_BYTES, FEISHU_BYTES, SLACK_BYTES = 2_048, 20_000, 20_000, 30_000
_SLACK_TITLE, _SLACK_BUTTON = 150, 75
_SUBJECT = 180


def webhook(notice: Notice, key: str, subscription: str) -> dict[str, Any]:
    """Return the body of a webhook: what happened, as text and as facts, the same in every try."""
    data = {
        "id": key,
        "subscription": subscription,
        "language": notice.language,
        "title": notice.title,
        "text": notice.text(),
        "judge": notice.judge,
        notice.kind: notice.facts,
    }
    return {"type": f"monitor.{notice.kind}", "timestamp": notice.made, "data": data}


def wecom(notice: Notice) -> dict[str, Any]:
    """Return the message of a group robot of WeCom (developer.work.weixin.qq.com/document/path/91770)."""
    fitted = notice.fitted(lambda one: len(one.plain().encode()), WECOM_BYTES)
    # What still is too long is cut, between two characters.
    content = fitted.plain().encode()[:WECOM_BYTES].decode("utf-8", "ignore")
    return {"msgtype": "text", "text": {"content": content}}


def dingtalk(notice: Notice) -> dict[str, Any]:
    """Return the message of a custom robot of DingTalk (open.dingtalk.com, custom robot, text); nobody is called."""
    content = notice.fitted(lambda one: len(one.plain().encode()), DINGTALK_BYTES - 200).plain()
    return {"msgtype": "text", "text": {"content": content}, "at": {"isAtAll": False}}


def feishu(notice: Notice, secret: str, seconds: int) -> dict[str, Any]:
    """Return the message of a custom bot of Feishu or Lark (open.feishu.cn, custom bot guide, post).

    Args:
        notice: what is said.
        secret: that of the bot; empty where it was made without one.
        seconds: Unix time, which is signed.
    """
    signature = {"timestamp": str(seconds), "sign": feishu_signature(secret, str(seconds))} if secret else {}

    def made(one: Notice) -> dict[str, Any]:
        language = "zh_cn" if one.language == "zh" else "en_us"
        post = {language: {"title": one.title, "content": list(_feishu_lines(one))}}
        return signature | {"msg_type": "post", "content": {"post": post}}

    return made(notice.fitted(lambda one: len(encoded(made(one))), FEISHU_BYTES - 200))


def _feishu_lines(notice: Notice) -> list[list[dict[str, Any]]]:
    lines: list[list[dict[str, Any]]] = []
    for part in notice.parts:
        lines += [[{"tag": "text", "text": ""}], [{"tag": "text", "text": part.heading}]] if part.heading else []
        for line in part.lines:
            nodes = [{"tag": "text", "text": f"· {line.text} " if line.quoted else f"{line.text} "}]
            lines.append([*nodes, *([_anchor(_source(notice), line.link)] if line.link else [])])
    if notice.judge:
        lines.append([_anchor(message("notify.judge")[notice.language], notice.judge)])
    return lines


def _anchor(text: str, link: str) -> dict[str, Any]:
    return {"tag": "a", "text": text, "href": link}


def _source(notice: Notice) -> str:
    return message("notify.brief.link")[notice.language]


def slack(notice: Notice) -> dict[str, Any]:
    """Return the message of an incoming webhook of Slack (docs.slack.dev, Block Kit)."""

    def made(one: Notice) -> dict[str, Any]:
        blocks: list[dict[str, Any]] = [
            {"type": "header", "text": {"type": "plain_text", "text": one.title[:_SLACK_TITLE], "emoji": False}},
            {"type": "rich_text", "elements": list(_slack_parts(one))},
        ]
        if one.judge:
            label = message("notify.judge")[one.language][:_SLACK_BUTTON]
            button = {"type": "button", "text": {"type": "plain_text", "text": label}, "url": one.judge}
            blocks.append({"type": "actions", "elements": [button]})
        return {"text": slack_escaped(one.title), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}

    return made(notice.fitted(lambda one: len(encoded(made(one))), SLACK_BYTES))


def _slack_parts(notice: Notice) -> Sequence[dict[str, Any]]:
    sections = []
    for part in notice.parts:
        elements: list[dict[str, Any]] = []
        if part.heading:
            elements.append({"type": "text", "text": f"{part.heading}\n", "style": {"bold": True}})
        for line in part.lines:
            elements.append({"type": "text", "text": f"· {line.text} " if line.quoted else f"{line.text} "})
            elements += [{"type": "link", "url": line.link, "text": _source(notice)}] if line.link else []
            elements.append({"type": "text", "text": "\n"})
        sections.append({"type": "rich_text_section", "elements": elements})
    return sections or [{"type": "rich_text_section", "elements": [{"type": "text", "text": notice.title}]}]


def letter(notice: Notice, key: str, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return a letter, as plain text and as HTML; its Message-ID is made of the key, by which many mailboxes keep one of two."""
    made = EmailMessage(policy=SMTP.clone(refold_source="none"))
    subject = notice.title if len(notice.title) <= _SUBJECT else f"{notice.title[: _SUBJECT - 1]}…"
    subject = " ".join(subject.split())
    # Folded by the older class: the newer one loses blanks between two encoded words.
    words = Header(subject, "us-ascii" if subject.isascii() else "utf-8", header_name="Subject")
    made.set_raw("Subject", words.encode())
    made["From"], made["To"] = sender, ", ".join(to)
    made["Date"] = format_datetime(datetime.fromisoformat(notice.made))
    made["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence note answers it
    made.set_content(f"{notice.plain()}\n")
    made.add_alternative(page(notice), subtype="html")
    return made


def page(notice: Notice) -> str:
    """Return a notice as HTML of a few plain elements, everything in it escaped."""
    blocks = [f"<h2>{escape(notice.title)}</h2>"]
    for part in notice.parts:
        blocks += [f"<h3>{escape(part.heading)}</h3>"] if part.heading else []
        for line in part.lines:
            link = f' <a href="{escape(line.link)}" rel="noreferrer">{escape(_source(notice))}</a>' if line.link else ""
            words = escape(line.text)
            blocks.append(f"<blockquote>{words}{link}</blockquote>" if line.quoted else f"<p>{words}{link}</p>")
    if notice.judge:
        label = escape(message("notify.judge")[notice.language])
        blocks.append(f'<p><a href="{escape(notice.judge)}">{label}</a></p>')
    language = "zh-CN" if notice.language == "zh" else "en"
    return f'<!doctype html>\n<html lang="{language}"><meta charset="utf-8"><body style="overflow-wrap: anywhere">{"".join(blocks)}</body></html>\n'
