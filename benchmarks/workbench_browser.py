"""A real browser on the console: signed in, with the time until a page shows what it is for, and what came over the network for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError

from .isa import PRELOAD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
DESK = (1440, 900)
MOST_MS = 60_000.0
"""Milliseconds that a page or a part of it is waited for."""
# Useful is a page that has drawn all that it is for, its charts too, and that hears a click: connected, with nothing marked as still to come.
_USEFUL = """name => document.querySelector(`.frame[data-page="${name}"]`) && window.socket?.connected
  && !document.querySelector('[data-waiting]')
  && [...document.querySelectorAll('.nicegui-echart')].every(chart => chart.querySelector('canvas, svg')) && performance.now()"""
_SEEN = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now()"


@dataclass(frozen=True)
class Visit:
    """One page opened once."""

    seen: float
    """Seconds until the browser drew something of it."""
    useful: float
    """Seconds until all that it is for was there, and it could be used."""
    kilobytes: float
    """What came for it, as sent: files, the page itself, and what the socket brought until then."""


@contextmanager
def browser() -> Iterator[Browser]:
    """Open a browser until the block ends.

    Raises:
        InputError: there is none, or nothing to lead it by.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError("no playwright", hint="pip install playwright") from None
    if not CHROMIUM.exists():
        raise InputError("no browser", found=str(CHROMIUM), hint="apt-get install chromium")
    # What holds ONNX Runtime to AVX2 answers for the processor: of no use to a browser, and it would be loaded into each of its processes.
    environment: dict[str, str | float | bool] = {name: value for name, value in os.environ.items() if name != PRELOAD}
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS), env=environment)
        try:
            yield opened
        finally:
            opened.close()


def signed_in(chromium: Browser, url: str, key: str, locale: str = "en-US") -> BrowserContext:
    """Return a browser's context, its cache empty, that is signed in to the console by a key.

    Raises:
        RuntimeError: the key does not open it.
    """
    width, height = DESK
    context = chromium.new_context(viewport={"width": width, "height": height}, locale=locale)
    context.set_default_timeout(MOST_MS)
    answer = context.request.post(f"{url}/console/login", form={"key": key})
    if not answer.ok:
        raise RuntimeError(f"the console was not opened: {answer.status}")
    return context


def visit(page: Page, url: str, name: str) -> Visit:
    """Open a page of the console and wait until it is useful.

    Args:
        page: a tab.
        url: the page's address.
        name: the page's own name.
    """
    counted = [0.0]

    def arrived(event: dict[str, Any]) -> None:
        counted[0] += event["encodedDataLength"]

    def heard(event: dict[str, Any]) -> None:
        counted[0] += len(event["response"]["payloadData"])

    network = page.context.new_cdp_session(page)
    network.on("Network.loadingFinished", arrived)
    network.on("Network.webSocketFrameReceived", heard)
    network.send("Network.enable")
    page.goto(url, wait_until="commit")
    useful = float(page.wait_for_function(_USEFUL, arg=name).json_value())
    seen = float(page.evaluate(_SEEN))
    network.detach()
    return Visit(seen / 1_000, useful / 1_000, counted[0] / 1_000)


def settle(page: Page, name: str) -> None:
    """Wait until a page is useful."""
    page.wait_for_function(_USEFUL, arg=name)
