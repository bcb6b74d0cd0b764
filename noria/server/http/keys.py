"""Keys: made and shown once, kept as hashes, listed, scoped, limited, rotated, revoked.

A key reads `noria_<id>_<secret>`: the id is public and names it in lists, logs and events; of the secret only the SHA-256 is
kept, which is enough for 256 random bits. The file is `<lake>/server/keys.json`; a running server notices its changes. Whoever
makes, rotates or revokes one stands in the audit log beside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from noria.core.errors import FolderError, SettingError, plain_errors
from noria.core.folder import write_json
from noria.core.messages import message
from noria.server.audit import Audit

Role = Literal["client", "viewer", "agent", "editor", "admin"]
PEOPLE: tuple[Role, ...] = ("viewer", "agent", "editor", "admin")
"""Roles of those who sign in to the console; each may all that those before it may: read, answer and judge, change and deploy, and
whatever is about keys, settings, events and what is known of users."""
ROLES: tuple[Role, ...] = ("client", *PEOPLE)
LINK = "console"
"""Stands for the key in sessions that a one-time link opened."""
COMMAND_LINE, SERVER = "command line", "server"
"""Who did what no key did: the people who have the server's files, and the server itself."""
SCOPES = (
    "models",
    "classify",
    "tag",
    "answer",
    "embeddings",
    "translate",
    "completions",
    "chat",
    "moderate",
    "feedback",
    "events",
    "apps",
    "inbox",
)
"""What a key may be kept to: the part of a path after /v1/; apps/<name> means one application. inbox is no part of a path: it opens what
customers of all keys said to people, and only a key that names it has it."""
_NO_HASH = "0" * 64
_MOST = 10**12


def may(role: str, need: str) -> bool:
    """Return whether a role is enough where another is needed.

    >>> may("admin", "editor"), may("viewer", "agent"), may("client", "viewer"), may("editor", "client")
    (True, False, False, True)
    """
    if need == "client":
        return role in ("client", "editor", "admin")
    return role in PEOPLE and need in PEOPLE and PEOPLE.index(role) >= PEOPLE.index(need)


@dataclass(frozen=True)
class Limits:
    """What a key may use; None: no limit."""

    requests_minute: int | None = None
    tokens_minute: int | None = None
    tokens_day: int | None = None

    @property
    def any(self) -> bool:
        """Return whether there is a limit at all."""
        return bool(self.requests_minute or self.tokens_minute or self.tokens_day)


@dataclass(frozen=True)
class Caller:
    """Who asks: the public name of the key, what it may do and use, and the tenant its events are counted under."""

    key: str
    role: Role
    tenant: str
    scopes: tuple[str, ...] = ()
    """Parts of the API it is kept to; none named: all of it."""
    models: tuple[str, ...] = ()
    """Models it is kept to; none named: all of them."""
    limits: Limits = Limits()

    def may_use(self, path: str, scope: str = "") -> bool:
        """Return whether a client's key reaches a path of the API, by a scope that its route names; a person's role says what theirs reaches.

        What tells about the API itself is open to every key.
        """
        if self.role in PEOPLE or (scope and scope in self.scopes):
            return True
        if scope:
            return False
        if not self.scopes or path == "/openapi.json":
            return True
        rest = path.removeprefix("/v1/")
        return any(rest == scope or rest.startswith(f"{scope}/") for scope in self.scopes)


@dataclass(frozen=True)
class Key:
    """What is kept of a key."""

    id: str
    name: str
    role: Role
    sha256: str
    created: str
    revoked: str | None = None
    expires: str | None = None
    """When it stops by itself: set when it is rotated."""
    tenant: str = ""
    """Whom its events are counted under: the first key of a line of rotations; empty: itself."""
    scopes: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    requests_minute: int | None = None
    tokens_minute: int | None = None
    tokens_day: int | None = None

    @property
    def limits(self) -> Limits:
        """Return what the key may use."""
        return Limits(self.requests_minute, self.tokens_minute, self.tokens_day)

    def status(self, now: datetime) -> str:
        """Return works, revoked or expired."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires and datetime.fromisoformat(self.expires) <= now else "works"


class Keys:
    """The keys of one lake.

    Raises:
        FolderError: the file of keys cannot be read.
    """

    def __init__(self, folder: str | Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = Path(folder) / "keys.json"
        self.audit = Audit(Path(folder) / "audit.jsonl", self.role_of, now)
        self._now = now
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}
        self._refresh()

    def make(
        self,
        name: str,
        role: Role = "client",
        *,
        scopes: Sequence[str] = (),
        models: Sequence[str] = (),
        limits: Limits | None = None,
        by: str = COMMAND_LINE,
    ) -> str:
        """Return a new key; it is shown now and never again.

        Args:
            name: what it is for.
            role: client uses the API; viewer, agent, editor and admin are of people, see `PEOPLE`.
            scopes: parts of the API to keep it to, see `SCOPES`; none: all of it.
            models: names of models to keep it to; none: all of them.
            limits: what it may use.
            by: whose key makes it.

        Raises:
            SettingError: unknown role or scope, a limit below 1, or a name that is empty or too long.
        """
        limits = limits or Limits()
        if role not in ROLES:
            raise SettingError(message("server.unknown_role"), found=role, allowed=ROLES)
        if not name.strip() or len(name) > 80 or not name.isprintable():
            raise SettingError(message("server.key_needs"), found=name, allowed=message("server.printable_characters"))
        for scope in scopes:
            part, _, app = scope.partition("/")
            if part not in SCOPES or ("/" in scope and (part != "apps" or not app)):
                raise SettingError(message("server.unknown_scope"), found=scope, allowed=[*SCOPES, "apps/<name>"])
        for word, most in asdict(limits).items():
            if most is not None and not 1 <= most <= _MOST:
                raise SettingError(
                    message("server.out_range", word=word), found=most, allowed=message("server.to_2", most=_MOST)
                )
        if role != "client" and (scopes or models or limits.any):
            raise SettingError(message("server.persons_key", role=role), hint=message("server.make_client"))
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        with self._changing():
            self._keys[number] = Key(
                number,
                name.strip(),
                role,
                _hash(secret),
                _timestamp(self._now()),
                scopes=list(scopes),
                models=list(models),
                **asdict(limits),
            )
        kept = {word: most for word, most in asdict(limits).items() if most is not None}
        told = {"scopes": " ".join(scopes), "models": " ".join(models), **kept}
        self.audit.add(by, "key.make", number, name=name.strip(), role=role, **{k: v for k, v in told.items() if v})
        return _shown(number, secret)

    def rotate(self, number: str, overlap: timedelta = timedelta(days=1), *, by: str = COMMAND_LINE) -> str:
        """Return a new key in the place of a working one, which goes on for `overlap`; both are one tenant.

        Raises:
            SettingError: there is no such key, or it does not work any more.
        """
        new, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        with self._changing():
            now = self._now()
            old = self._known(number)
            if old.status(now) != "works" or old.expires:
                raise SettingError(
                    message("server.key_cannot"),
                    found=old.status(now) if not old.expires else message("server.rotated"),
                    allowed=message("server.key_works"),
                )
            self._keys[new] = replace(
                old, id=new, sha256=_hash(secret), created=_timestamp(now), tenant=old.tenant or old.id
            )
            self._keys[number] = replace(old, expires=_timestamp(now + overlap))
        self.audit.add(by, "key.rotate", number, new=new, overlap_hours=overlap / timedelta(hours=1))
        return _shown(new, secret)

    def first(self) -> str | None:
        """Return a new admin key where there is none that works: what the first start shows; else None."""
        if any(key.role == "admin" and key.status(self._now()) == "works" for key in self.list()):
            return None
        return self.make("first start", "admin", by=SERVER)

    def list(self) -> list[Key]:
        """Return all keys, oldest first, revoked ones too."""
        self._refresh()
        return sorted(self._keys.values(), key=lambda key: (key.created, key.id))

    def revoke(self, number: str, *, by: str = COMMAND_LINE, last: bool = True) -> Key:
        """Make a key, told by its id, worthless from now on, and return it; one that is so already stays as it is.

        Args:
            number: its id.
            by: whose key does it.
            last: it may be the last admin's, after which the next start of the server makes a new one.

        Raises:
            SettingError: there is no such key, or it may not be the last admin's and is.
        """
        with self._changing():
            key = self._known(number)
            others = (
                one for one in self._keys.values() if one.id != number and one.role == "admin" and not one.expires
            )
            if not last and key.role == "admin" and not any(one.status(self._now()) == "works" for one in others):
                raise SettingError(message("server.last_admin"), found=number, hint=message("server.make_admin"))
            self._keys[number] = replace(key, revoked=key.revoked or _timestamp(self._now()))
        if not key.revoked:
            self.audit.add(by, "key.revoke", number, name=key.name)
        return self._keys[number]

    def working(self, number: str) -> Key | None:
        """Return a key by its id while it works, else None."""
        self._refresh()
        key = self._keys.get(number)
        return key if key and key.status(self._now()) == "works" else None

    def role_of(self, actor: str) -> str:
        """Return the role of whoever stands in the audit log: that of a key, by its id; a link's and the command line's is admin."""
        if actor in (LINK, COMMAND_LINE):
            return "admin"
        self._refresh()
        return self._keys[actor].role if actor in self._keys else ""

    def check(self, given: str) -> Caller | None:
        """Return who a key stands for, or None. Takes as long for a wrong id as for a wrong secret."""
        self._refresh()
        _, _, rest = given.partition("noria_")
        number, _, secret = rest.partition("_")
        key = self._keys.get(number)
        right = hmac.compare_digest(_hash(secret), key.sha256 if key else _NO_HASH)
        if key is None or not right or key.status(self._now()) != "works":
            return None
        return Caller(key.id, key.role, key.tenant or key.id, tuple(key.scopes), tuple(key.models), key.limits)

    def _known(self, number: str) -> Key:
        if number not in self._keys:
            raise SettingError(
                message("server.unknown_key"), found=number, allowed=self._keys, hint=message("server.noria_ship")
            )
        return self._keys[number]

    def _refresh(self) -> None:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return
        stamp = (facts.st_mtime_ns, facts.st_ino)
        if stamp == self._stamp:
            return
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))["keys"]
            self._keys = {entry["id"]: Key(**entry) for entry in entries}
        except (ValueError, TypeError, KeyError) as error:
            raise FolderError(
                message("errors.unreadable", path=self.path),
                found=str(error),
                hint=message("server.restore_backup"),
            ) from None
        self._stamp = stamp

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with plain_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._refresh()
                yield
                write_json(self.path, {"keys": [asdict(key) for key in self._keys.values()]})
                self.path.chmod(0o600)
                self._refresh()
            finally:
                os.close(descriptor)


def _shown(number: str, secret: str) -> str:
    return f"noria_{number}_{secret}"


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
