"""Behind a reverse proxy: the address and scheme that the client asked for, as a trusted proxy tells them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from noria.core.errors import SettingError
from noria.core.messages import message

_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss"), "ws": ("http", "ws"), "wss": ("https", "wss")}
_PORTS = {"http": 80, "https": 443}


class Proxies:
    """The proxies whose X-Forwarded-Host and X-Forwarded-Proto are believed.

    Raises:
        SettingError: an address is none.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._all = "*" in addresses
        try:
            self._networks = [ipaddress.ip_network(one, strict=False) for one in addresses if one != "*"]
        except ValueError as error:
            raise SettingError(
                message("server.address_proxy"),
                found=str(error).partition(" does not")[0],
                allowed=message("server.or_for"),
            ) from None
        self._trusts = lru_cache(maxsize=1024)(self._looked_up)

    def read(self, scope: Scope) -> None:
        """Put the address and the scheme that the client asked for in the place of the proxy's."""
        told: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in (b"x-forwarded-host", b"x-forwarded-proto"):
                # Of several proxies the first one, before which the client stands.
                told.setdefault(name, value.decode("latin-1").partition(",")[0].strip())
        if not told or not self._trusts((scope.get("client") or ("",))[0]):
            return
        if schemes := _SCHEMES.get(told.get(b"x-forwarded-proto", "").lower()):
            scope["scheme"] = schemes[scope["type"] == "websocket"]
        if host := told.get(b"x-forwarded-host"):
            scope["headers"] = [
                (b"host", host.encode("latin-1")),
                *(one for one in scope["headers"] if one[0] != b"host"),
            ]

    def _looked_up(self, address: str) -> bool:
        if self._all:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def same_origin(headers: Headers) -> bool:
    """Return whether a browser's request comes from a page of this server; other clients send no Origin.

    Browsers say it themselves (Sec-Fetch-Site, W3C Fetch Metadata), which no page can forge and no proxy changes; the origin
    is held against the host for those that do not.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    page = urlsplit(origin)
    return bool(page.netloc) and _place(page.netloc, page.scheme) == _place(headers.get("host", ""), page.scheme)


def _place(netloc: str, scheme: str) -> tuple[str, int | None]:
    """Return host and port; the port of the scheme where none is told."""
    try:
        parts = urlsplit(f"//{netloc.lower()}")
        return parts.hostname or "", parts.port or _PORTS.get(scheme)
    except ValueError:
        return netloc, None
