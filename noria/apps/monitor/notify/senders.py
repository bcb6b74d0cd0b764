"""A notice on its way to one subscriber: webhooks, robots of groups, mail servers, apprise; and what their answers mean.

await Senders(settings).send(subscription, notice, key, again=False)      # or DeliveryError, lasting where it never arrives
"""

from __future__ import annotations

import asyncio
import os
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote_plus

from noria.core.errors import shorten
from noria.core.messages import message
from noria.server.addresses import is_public
from noria.server.platforms import check_answer, dingtalk_signature, encoded, json_headers, part
from noria.server.webhook import Answer, Client, DeliveryError, client_of, secret_of

from . import formats
from .notice import Notice
from .notice import again as said_before
from .settings import (
    AnySubscription,
    AppriseSubscription,
    MailServer,
    MailSubscription,
    NotifySettings,
    RobotSubscription,
    WebhookSubscription,
    apprise_package,
)

SMTP_SECONDS = 30.0
_GONE = (400, 405, 410, 413, 415, 422)
"""What a program answers that will not take this message, however often it comes."""
_WECOM_LASTING, _DINGTALK_LASTING, _FEISHU_LASTING = (40008, 44004), (400105,), (9499,)
"""A message of an unknown kind, or one that cannot be read. A robot, a keyword or a signature that is wrong may be mended within the day."""
_SLACK_LASTING = ("invalid_payload", "invalid_blocks", "no_text")
Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host."""
    return [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Senders:
    """The ways to all kinds of subscribers.

    Args:
        settings: the mail server.
        environ: where the secrets are.
        clock: gives Unix time.
        resolver: gives the addresses of the mail server.
    """

    def __init__(
        self,
        settings: NotifySettings,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        resolver: Resolve = resolve,
    ) -> None:
        self._settings, self._environ, self._clock, self._resolve = settings, environ, clock, resolver

    async def send(self, one: AnySubscription, notice: Notice, key: str, *, again: bool) -> str:
        """Send a notice; return what its sender should know though it arrived.

        Args:
            one: whom to.
            notice: what is said.
            key: names the message, the same in every try.
            again: it was tried before, and may have arrived.

        Raises:
            DeliveryError: it did not arrive; lasting where it never will.
            SettingError: a secret is missing.
        """
        if isinstance(one, WebhookSubscription):
            await self._webhook(one, notice, key)
            return ""
        if again:
            notice = said_before(notice, key)
        if isinstance(one, RobotSubscription):
            await self._robot(one, notice)
            return ""
        if isinstance(one, AppriseSubscription):
            await asyncio.to_thread(send_by_apprise, secret_of(one.url_env, self._environ), notice)
            return ""
        return await self._mail(one, notice, key)

    async def _webhook(self, one: WebhookSubscription, notice: Notice, key: str) -> None:
        secret = secret_of(one.secret_env, self._environ)
        answer = await client_of(one).post_signed(
            one.url, encoded(formats.webhook(notice, key, one.name)), id=key, secret=secret
        )
        if not answer.ok:
            raise DeliveryError(
                message("server.not_delivered"), found=f"HTTP {answer.status}", lasting=answer.status in _GONE
            )

    async def _robot(self, one: RobotSubscription, notice: Notice) -> None:
        url = secret_of(one.url_env, self._environ)
        secret = secret_of(one.secret_env, self._environ) if one.secret_env else ""
        # The outbox tries again later; a robot that knows no keys is not asked twice in one breath.
        client = Client(
            allow_private=one.allow_private,
            connect_seconds=one.connect_seconds,
            read_seconds=one.read_seconds,
            attempts=1,
        )
        body: dict[str, Any]
        if one.kind == "wecom":
            body = formats.wecom(notice)
        elif one.kind == "feishu":
            body = formats.feishu(notice, secret, int(self._clock()))
        elif one.kind == "slack":
            body = formats.slack(notice)
        else:
            body = formats.dingtalk(notice)
            if secret:
                stamp = str(round(self._clock() * 1000))
                joint = "&" if "?" in url else "?"
                url = f"{url}{joint}timestamp={stamp}&sign={quote_plus(dingtalk_signature(secret, stamp))}"
        check_robot(one.kind, await client.send("POST", url, encoded(body), json_headers))

    async def _mail(self, one: MailSubscription, notice: Notice, key: str) -> str:
        server = self._settings.mail
        if server is None:
            raise DeliveryError(message("notify.no_mail_server"), lasting=True)
        password = secret_of(server.password_variable, self._environ) if server.password_variable else ""
        made = formats.letter(notice, key, server.sender, one.to)
        refused = await asyncio.to_thread(send_letter, server, password, made, one.to, self._resolve)
        return str(message("notify.some_refused")) if refused else ""


def check_robot(kind: str, answer: Answer) -> None:
    """Pass where a robot took a message.

    Raises:
        DeliveryError: it did not.
    """
    if kind == "slack":
        told = answer.body[:80].decode("utf-8", "replace").strip()
        check_answer(answer, told, "ok", _SLACK_LASTING)
        return
    replied = part(answer.json())
    if kind == "feishu":
        code = replied.get("code", replied.get("StatusCode"))
        check_answer(answer, code, 0, _FEISHU_LASTING, replied.get("msg", ""))
        return
    lasting = _WECOM_LASTING if kind == "wecom" else _DINGTALK_LASTING
    check_answer(answer, replied.get("errcode"), 0, lasting, replied.get("errmsg", ""))


def send_letter(
    server: MailServer, password: str, made: EmailMessage, to: Sequence[str], resolver: Resolve = resolve
) -> list[str]:
    """Hand a letter to a mail server; return those of its readers that were refused.

    Raises:
        DeliveryError: the server takes it not, or not now; lasting where it refuses all readers or the letter for good.
    """
    try:
        if not server.allow_private and not all(is_public(one) for one in resolver(server.host, server.port)):
            raise DeliveryError(
                message("notify.mail_private"), found=server.host, hint=message("server.allow_private"), lasting=True
            )
        with _connected(server) as smtp:
            if server.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if server.user:
                smtp.login(server.user, password)
            return list(smtp.send_message(made, from_addr=server.sender, to_addrs=list(to)))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refused(error, password, all(code >= 500 for code in codes)) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _refused(error, password, error.smtp_code >= 500) from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _refused(error, password, False) from None


def _connected(server: MailServer) -> smtplib.SMTP:
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=SMTP_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(server.host, server.port, timeout=SMTP_SECONDS)


def _refused(error: Exception, password: str, lasting: bool) -> DeliveryError:
    told = str(error).replace(password, "…") if password else str(error)
    return DeliveryError(
        message("notify.mail_refused"), found=shorten(f"{type(error).__name__} {told}".strip()), lasting=lasting
    )


def send_by_apprise(url: str, notice: Notice) -> None:
    """Hand a notice to apprise, as plain text.

    Raises:
        PackageError: apprise is not installed.
        DeliveryError: it does not know the address (lasting), or could not deliver.
    """
    package = apprise_package()
    made = package.Apprise()
    if not made.add(url):
        raise DeliveryError(message("notify.apprise_address"), lasting=True)
    short = notice.fitted(lambda one: len(one.plain().encode()), formats.WECOM_BYTES * 2)
    if not made.notify(title=short.title, body=short.text(), body_format=package.NotifyFormat.TEXT):
        raise DeliveryError(message("notify.apprise_refused"))
