"""Fetching from addresses that other people wrote: checked, bounded, and with manners.

    fetcher = Fetcher()
    page = fetcher.get("https://news.example.com/feed.xml", {"if-none-match": etag})     # Fetched(status=304, ...)

An address is looked up once, checked, and connected to as it was checked; so is each that a redirect leads to. An answer has a most of bytes,
unpacked, and of seconds, so that a page without an end costs no more than they do. Requests to one host keep a second apart.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.robotparser import RobotFileParser

import httpx

from noria.core.errors import shorten
from noria.core.messages import message
from noria.server.addresses import certificates, is_public

from .entry import SourceError

AGENT = "Noria"
"""The name that robots.txt may call us by."""
GAP_SECONDS = 1.0
"""Between two requests to one host."""
SECONDS = 30.0
"""For one answer, from its connection to its last byte."""
LONGEST_GAP = 30.0
"""Seconds between two requests that a robots.txt may ask for; a page of a site that asks for more is not read."""
_REDIRECTS = 5
_ROBOTS_BYTES = 512 << 10
_ROBOTS_SECONDS = 24 * 3600
_UNREACHED_SECONDS = 3600
Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True)
class Fetched:
    """An answer."""

    url: str
    """Address that it came from, behind all redirects."""
    status: int
    headers: httpx.Headers
    body: bytes
    """Unpacked."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the order to try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Fetcher:
    """Fetches, for many threads at once.

    Args:
        gap: seconds between two requests to one host.
        seconds: for one answer.
        resolver: gives the addresses of a host.
        pause: waits so many seconds.
        clock: gives seconds that only grow.
    """

    def __init__(
        self,
        *,
        gap: float = GAP_SECONDS,
        seconds: float = SECONDS,
        resolver: Resolve = resolve,
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gap, self._seconds, self._resolve, self._pause, self._clock = gap, seconds, resolver, pause, clock
        self._lock = threading.Lock()
        self.stopped = False
        """What is fetched is being broken off."""
        self._free: dict[str, float] = {}
        """Host -> when it may be asked next."""
        self._robots: dict[str, tuple[float, RobotFileParser | None]] = {}
        """Site -> until when what its robots.txt says holds, and that; None where it cannot be had."""

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        most_bytes: int,
        allow_private: bool = False,
        gap: float = 0.0,
    ) -> Fetched:
        """Return what an address answers, behind redirects.

        Args:
            url: http or https.
            headers: such as if-none-match.
            most_bytes: of the answer, unpacked.
            allow_private: addresses of one's own network are allowed.
            gap: seconds between two requests to the host, where it asks for more than ours.

        Raises:
            SourceError: the address, or one that it redirects to, is not allowed; nothing answers there in time; or the answer is too long.
        """
        deadline = self._clock() + self._seconds
        try:
            for _ in range(_REDIRECTS + 1):
                whole = _checked(url)
                self._wait(whole.netloc.decode(), max(gap, self._gap))
                deadline = max(deadline, self._clock() + self._seconds / 2)
                address = self._address(whole, allow_private)
                found = self._once(whole, address, headers or {}, most_bytes, deadline)
                location = found.headers.get("location")
                if found.status not in (301, 302, 303, 307, 308) or not location:
                    return found
                url = str(whole.join(location))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, zlib.error) as error:
            raise SourceError(
                message("watch.no_answer"), found=shorten(f"{type(error).__name__} {error}".strip())
            ) from None
        raise SourceError(message("watch.redirects"), found=url)

    def stop(self) -> None:
        """Break off what is being fetched, so that nobody waits for it."""
        self.stopped = True

    def robots_gap(self, url: str, allow_private: bool = False) -> float | None:
        """Return the seconds that a site's robots.txt asks for between requests; None where it forbids the address (RFC 9309).

        A robots.txt that is not there allows all; one that cannot be reached, nothing.
        """
        whole = _checked(url)
        site = str(whole.copy_with(raw_path=b"/robots.txt"))
        with self._lock:
            until, rules = self._robots.get(site, (-1.0, None))
        if until < self._clock():
            rules, holds = self._rules(site, allow_private)
            with self._lock:
                self._robots = {name: one for name, one in self._robots.items() if one[0] >= self._clock()}
                self._robots[site] = (self._clock() + holds, rules)
        if rules is None or not rules.can_fetch(AGENT, url):
            return None
        asked = float(rules.crawl_delay(AGENT) or 0)
        return asked if asked <= LONGEST_GAP else None

    def _rules(self, site: str, allow_private: bool) -> tuple[RobotFileParser | None, float]:
        rules = RobotFileParser(site)
        try:
            found = self.get(site, most_bytes=_ROBOTS_BYTES, allow_private=allow_private)
        except SourceError:
            return None, _UNREACHED_SECONDS
        if found.status >= 500 or found.status == 429:
            return None, _UNREACHED_SECONDS
        rules.parse(found.body.decode("utf-8", "replace").splitlines() if found.status == 200 else [])
        return rules, _ROBOTS_SECONDS

    def _wait(self, host: str, gap: float) -> None:
        with self._lock:
            now = self._clock()
            at = max(now, self._free.get(host, 0.0))
            self._free = {name: free for name, free in self._free.items() if free > now}
            self._free[host] = at + gap
        if at > now and not self.stopped:
            self._pause(at - now)

    def _address(self, whole: httpx.URL, allow_private: bool) -> str:
        found = self._resolve(whole.host, whole.port or (443 if whole.scheme == "https" else 80))
        # One private address among several is as bad: the next look-up may give that one.
        if not found or not (allow_private or all(is_public(one) for one in found)):
            raise SourceError(message("watch.private"), found=whole.host, hint=message("watch.allow_private"))
        return found[0]

    def _once(
        self, whole: httpx.URL, address: str, headers: Mapping[str, str], most_bytes: int, deadline: float
    ) -> Fetched:
        timeout = httpx.Timeout(min(10.0, self._seconds))
        request = httpx.Request(
            "GET",
            whole.copy_with(host=address),
            headers={
                "host": whole.netloc.decode(),
                "accept": "application/atom+xml, application/rss+xml, application/feed+json, text/html, */*;q=0.5",
                "accept-encoding": "gzip",
                "user-agent": f"{AGENT} (opinion monitoring; reads feeds)",
                **headers,
            },
            extensions={"timeout": timeout.as_dict(), "sni_hostname": whole.host},
        )
        try:
            return asyncio.run(self._answer(request, str(whole), most_bytes, max(0.1, deadline - self._clock())))
        except TimeoutError:
            raise SourceError(message("watch.too_slow", seconds=self._seconds)) from None

    async def _answer(self, request: httpx.Request, url: str, most_bytes: int, seconds: float) -> Fetched:
        """Return the answer to a request; whatever drips, headers or body, ends with the time."""
        # No connection is kept: it would be reused for another name of the same address, whose certificate nobody checked.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncHTTPTransport(verify=certificates(), limits=limits) as transport,
        ):
            response = await transport.handle_async_request(request)
            try:
                body = b"" if response.status_code == 304 else await self._body(response, most_bytes)
            finally:
                await response.aclose()
        return Fetched(url, response.status_code, response.headers, body)

    async def _body(self, response: httpx.Response, most_bytes: int) -> bytes:
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise SourceError(message("watch.packed"), found=packed, allowed="gzip")
        unpacker = zlib.decompressobj(47) if packed not in ("", "identity") else None
        body = bytearray()
        async for piece in response.aiter_raw():
            # Unpacked no further than may be kept: a few kilobytes can hold gigabytes.
            body += unpacker.decompress(piece, most_bytes + 1 - len(body)) if unpacker else piece
            if len(body) > most_bytes:
                raise SourceError(message("watch.too_long"), allowed=message("watch.most", most=most_bytes / 2**20))
            if self.stopped:
                raise TimeoutError
        return bytes(body)


def _checked(url: str) -> httpx.URL:
    with suppress(httpx.InvalidURL):
        found = httpx.URL(url)
        if found.scheme in ("http", "https") and found.host and not found.userinfo:
            return found
    raise SourceError(message("watch.no_address"), found=url, allowed="http://…, https://…")


def backed_off(failures: int, minutes: float, wait: float, spread: Callable[[], float] = random.random) -> float:
    """Return the seconds until a source that failed is asked again: twice as long each time, at most six hours, each a little otherwise.

    Args:
        failures: times in a row that it failed, 1 at least.
        minutes: between two times while it does not.
        wait: seconds that it asked for itself (Retry-After); a day at most is believed.
        spread: a number from 0 to 1, which parts sources that failed together.
    """
    doubled = min(minutes * 60 * 2.0 ** min(failures, 16), max(6 * 3600.0, minutes * 60))
    return max(min(wait, 24 * 3600.0), doubled * (0.75 + 0.5 * spread()))
