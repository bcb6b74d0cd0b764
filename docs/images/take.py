"""Take the pictures that the pages show: python docs/images/take.py runs/demo, or report.html movement market.png

Of a finished run, served for it, the console's overview; of a report, one section. In headless Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from noria.cli.demo.ship import apps, models
from noria.console.mount import mount, sign_in_link
from noria.server.http.run import serving
from noria.server.http.settings import ServerSettings

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def take(root: Path, target: Path) -> None:
    """Write the picture of the run at `root` to `target`."""
    with (
        tempfile.TemporaryDirectory() as lake,
        serving(
            ServerSettings(port=0, lake=Path(lake)),
            models(root),
            apps(root),
            prepare=lambda app: mount(app, app.state.noria, root),
        ) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 960}, locale="en-US", reduced_motion="reduce")
        page.goto(sign_in_link(server.app, server.url))
        page.wait_for_selector(".wheel")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=target)
        browser.close()


def take_section(report: Path, key: str, target: Path) -> None:
    """Write the picture of one section of a report to `target`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 2400}, locale="en-US", reduced_motion="reduce")
        page.goto(f"{report.resolve().as_uri()}#en")
        page.wait_for_selector("html[data-ready]")
        page.locator("nav").evaluate("nav => nav.remove()")  # it floats above whatever is photographed
        page.locator(f"section#{key}").screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    if Path(sys.argv[1]).is_file():
        take_section(Path(sys.argv[1]), sys.argv[2], Path(__file__).with_name(sys.argv[3]))
    else:
        take(Path(sys.argv[1]), Path(__file__).with_name("console.png"))
