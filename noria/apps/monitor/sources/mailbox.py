"""A mailbox, read over IMAP by the standard library: letters behind the last one that was read, none of them marked or moved."""

from __future__ import annotations

import email
import email.policy
import imaplib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

from noria.core.errors import InputError, shorten
from noria.core.messages import message
from noria.server.addresses import is_public
from noria.text.confined import parts_of

from .entry import Asked, Entry, SourceError, key, moment_of, titled
from .fetching import Resolve, resolve
from .listing import MailSettings

LETTERS = 200
"""Letters read in one go; the rest follows at once."""
_MOST_BYTES = 5 << 20
"""Of one letter; of a longer one only what comes first is read."""
_SECONDS = 30
_UIDS = re.compile(rb"\d+")
Connect = Callable[[str, int], imaplib.IMAP4]


def connect(host: str, port: int) -> imaplib.IMAP4:
    """Return a connection over TLS whose certificate was checked."""
    import ssl

    return imaplib.IMAP4_SSL(host, port, ssl_context=ssl.create_default_context(), timeout=_SECONDS)


def ask(
    source: MailSettings,
    cursor: Mapping[str, Any],
    *,
    connector: Connect = connect,
    resolver: Resolve = resolve,
    environ: Mapping[str, str] = os.environ,
) -> Asked:
    """Return the letters behind the cursor, the oldest first.

    Args:
        source: the mailbox.
        cursor: the number of the last letter that was read, and of the numbering it is one of.
        connector: connects to a mail server.
        resolver: gives the addresses of a host.
        environ: holds the password.

    Raises:
        SourceError: no password, a server of one's own network that is not allowed, or one that refuses or does not answer.
    """
    password = environ.get(source.password_variable)
    if not password:
        raise SourceError(message("watch.no_password"), found=source.password_variable)
    try:
        if not source.allow_private and not all(is_public(one) for one in resolver(source.host, source.port)):
            raise SourceError(message("watch.private"), found=source.host, hint=message("watch.allow_private"))
        with connector(source.host, source.port) as server:
            server.login(source.user, password)
            return _read(source, server, cursor)
    except (imaplib.IMAP4.error, OSError) as error:
        told = str(error).replace(password, "…")
        raise SourceError(message("watch.no_mail"), found=shorten(f"{type(error).__name__} {told}".strip())) from None


def _read(source: MailSettings, server: imaplib.IMAP4, cursor: Mapping[str, Any]) -> Asked:
    status, answer = server.select(f'"{source.mailbox}"', readonly=True)
    if status != "OK":
        raise SourceError(message("watch.no_mailbox"), found=source.mailbox)
    numbering = server.response("UIDVALIDITY")[1]
    validity = (numbering[0] or b"0").decode("ascii", "replace") if numbering else "0"
    last = int(cursor.get("uid", 0)) if cursor.get("validity") == validity else 0
    _, answer = server.uid("search", f"UID {last + 1}:*")
    # `*` is the last letter, whatever stands before it: one that was read comes again.
    numbers = {int(one) for line in answer if line for one in _UIDS.findall(line)}
    uids = sorted(uid for uid in numbers if uid > last)
    asked = Asked(cursor={"validity": validity, "uid": last}, more=len(uids) > LETTERS)
    for uid in uids[:LETTERS]:
        _, parts = server.uid("fetch", str(uid), f"(BODY.PEEK[]<0.{_MOST_BYTES}>)")
        image = next((part[1] for part in parts if isinstance(part, tuple)), None)
        if image:
            asked.entries.append(_entry(source, image, uid, validity))
        else:
            asked.unread += 1
        asked.cursor["uid"] = uid
    return asked


def _entry(source: MailSettings, image: bytes, uid: int, validity: str) -> Entry:
    letter: Any = email.message_from_bytes(image, policy=email.policy.default)
    subject = _header(letter, "subject")
    body = letter.get_body(("plain", "html")) if isinstance(letter, EmailMessage) else None
    text = ""
    if body is not None:
        with suppress(LookupError, UnicodeError, KeyError, ValueError):
            text = str(body.get_content())
        if body.get_content_type() == "text/html" and text:
            with suppress(InputError):
                found = parts_of("page", text.encode("utf-8", "replace"), source.name)
                text = "\n".join(str(part["text"]) for part in found if part.get("text"))
    own = _header(letter, "message-id") or f"{validity}:{uid}"
    time = moment_of(_header(letter, "date"), source.zone)
    return Entry(titled(subject, text), (key("letter", own),), time, parseaddr(_header(letter, "from"))[1])


def _header(letter: Any, name: str) -> str:
    """Return a header's words; of one that breaks the rules of mail nothing."""
    try:
        return " ".join(str(letter.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):
        return ""
