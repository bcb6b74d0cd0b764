"""Addresses that other people wrote: what may be called, and none of one's own network.

Look a name up once, check all that it stands for, and connect to what was checked: a name may mean another machine a moment later.
"""

from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from functools import cache

import httpx

from noria.core.errors import SettingError
from noria.core.messages import message

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_url(url: str, allow_private: bool) -> httpx.URL:
    """Return an address that may be posted to.

    Raises:
        SettingError: it is no web address, holds a name and password, or is not encrypted where it must be.
    """
    with suppress(httpx.InvalidURL):
        found = httpx.URL(url)
        schemes = ("https", "http") if allow_private else ("https",)
        if found.scheme in schemes and found.host and not found.userinfo:
            return found
    raise SettingError(
        message("server.web_address"), found=url, allowed="https://…", hint=message("server.allow_private")
    )


def is_public(address: str) -> bool:
    """Return whether an address is one of the open internet, and so none of one's own network.

    >>> is_public("8.8.8.8"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1"), is_public("169.254.169.254"), is_public("::1")
    (True, False, False, False, False)
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:  # fec0::/10, which RFC 3879 took back and machines still route within
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


@cache
def certificates() -> ssl.SSLContext:
    """Return what certificates are checked by; reading them takes a tenth of a second."""
    return httpx.create_ssl_context()
