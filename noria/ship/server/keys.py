"""Keys: made and shown once, kept as hashes, listed, revoked.

A key reads `noria_<id>_<secret>`: the id is public and names it in lists, logs and events; of the secret only the SHA-256 is
kept, which is enough for 256 random bits. The file is `<lake>/server/keys.json`; a running server notices its changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from noria.core.errors import FolderError, SettingError, told_plainly
from noria.core.folder import write_json

from .state import Caller, Role

_ROLES = ("admin", "client")
_NO_HASH = "0" * 64


@dataclass(frozen=True)
class Key:
    """What is kept of a key."""

    id: str
    name: str
    role: Role
    sha256: str
    created: str
    revoked: str | None = None


class Keys:
    """The keys of one lake.

    Raises:
        FolderError: the file of keys cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "keys.json"
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}
        self._refresh()

    def make(self, name: str, role: Role = "client") -> str:
        """Return a new key; it is shown now and never again.

        Raises:
            SettingError: unknown role, or a name that is empty or too long.
        """
        if role not in _ROLES:
            raise SettingError("unknown role", found=role, allowed=_ROLES)
        if not name.strip() or len(name) > 80:
            raise SettingError("a key needs a name", found=name, allowed="1 to 80 characters")
        number, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing():
            self._keys[number] = Key(number, name.strip(), role, _hash(secret), created)
        return f"noria_{number}_{secret}"

    def first(self) -> str | None:
        """Return a new admin key where there is none that works: what the first start shows; else None."""
        if any(key.role == "admin" and not key.revoked for key in self.list()):
            return None
        return self.make("first start", "admin")

    def list(self) -> list[Key]:
        """Return all keys, oldest first, revoked ones too."""
        self._refresh()
        return sorted(self._keys.values(), key=lambda key: (key.created, key.id))

    def revoke(self, number: str) -> Key:
        """Make a key, told by its id, worthless from now on, and return it.

        Raises:
            SettingError: there is no such key.
        """
        with self._changing():
            if number not in self._keys:
                raise SettingError("unknown key", found=number, allowed=self._keys, hint="noria ship key list")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._keys[number] = replace(self._keys[number], revoked=self._keys[number].revoked or now)
        return self._keys[number]

    def check(self, given: str) -> Caller | None:
        """Return who a key stands for, or None. Takes as long for a wrong id as for a wrong secret."""
        self._refresh()
        _, _, rest = given.partition("noria_")
        number, _, secret = rest.partition("_")
        key = self._keys.get(number)
        right = hmac.compare_digest(_hash(secret), key.sha256 if key else _NO_HASH)
        if key is None or not right or key.revoked:
            return None
        return Caller(key.id, key.role, key.id)

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
                f"{self.path} cannot be read",
                found=str(error),
                hint="restore it from a backup, or delete it and make keys anew",
            ) from None
        self._stamp = stamp

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with told_plainly():
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


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
