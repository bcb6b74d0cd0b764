"""Keys, events, audit and health in a real browser, as one walk; and a page whose connection is taken away."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow.parquet as pq
import pytest

from noria.console.mount import mount, sign_in_link
from noria.console.words import Words
from tests.console.test_console_browser import SIZES, Watched, browser, expect, opened, pytestmark
from tests.console.test_console_inbox import check

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]


@pytest.fixture(scope="module")
def site(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings
    from noria.text.personal_data import mask

    root = tmp_path_factory.mktemp("operate")
    settings = ServerSettings(port=0, lake=root / "lake", threads=1, day_zone="Asia/Shanghai")
    with serving(settings, [classifier], prepare=lambda app: mount(app, app.state.noria, root), mask=mask) as running:
        for user, text in (("小王", "快递太慢了"), ("小王", "=1+1"), ("anna", "slow parcel")):
            asked = {"input": text, "user": user, "consent": True}
            httpx.post(f"{running.url}/v1/classify", json=asked, headers=running.headers).raise_for_status()
        yield running


def listed(site: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{site.url}/keys", headers=site.headers).json()["keys"]
    return found


def chosen(page: Page, name: str, option: str) -> None:
    """Choose in a field of a form."""
    page.locator(f"[data-field={name}]").first.click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.mark.parametrize(("size", "locale", "language"), [("desk", "en-US", "en"), ("phone", "zh-CN", "zh")])
def test_an_admin_s_day(site: Running, browser: Browser, size: str, locale: str, language: str) -> None:
    watched, words = opened(site, browser, size, locale), Words(language)
    page = watched.page

    # A key is made, shown once, works, and is revoked.
    page.goto(f"{site.url}/console/keys")
    watched.settle("keys")
    page.locator("input[data-field=name]").fill(f"auditor {language}")
    chosen(page, "role", {"en": "viewer", "zh": "查看者"}[language])
    page.get_by_text(words("keys.may_viewer")).wait_for()
    page.locator("[data-make]").click()
    key = page.locator("[data-secret]").inner_text()
    number = key.split("_")[1]
    with httpx.Client(base_url=site.url) as auditor:
        assert auditor.post("/console/login", data={"key": key}).status_code == 200
        assert auditor.get("/console/health").status_code == 200
        assert auditor.get("/console/keys").status_code == 403
        assert auditor.get("/console/take/events").status_code == 403
        check(watched, language)
        page.locator("[data-kept]").click()
        page.locator("[data-secret]").wait_for(state="detached")
        row = page.locator(f'[data-key="{number}"]')
        row.locator("[data-deed=revoke]").click()
        page.locator("[data-sure=revoke]").click()
        page.locator(f'[data-key="{number}"][data-state=revoked]').wait_for(state="attached")
        assert auditor.get("/console/health").status_code == 401
    page.reload()
    watched.settle("keys")
    expect(page.locator("[data-secret]")).to_have_count(0)
    mine = next(one for one in listed(site) if one["id"] == site.key.split("_")[1])
    assert f"n={mine['used']['requests']} " in page.locator(".page").inner_text()

    # What a user said is found by name, taken away, and forgotten for good.
    user = {"en": "anna", "zh": "小王"}[language]
    page.goto(f"{site.url}/console/events")
    watched.settle("events")
    page.locator("input[data-field=since]").fill("2020-01-01T00:00")
    page.locator("input[data-field=user]").fill(user)
    page.locator("[data-find]").click()
    count = {"en": 1, "zh": 2}[language]
    page.wait_for_function(f"document.querySelectorAll('[data-results] tbody tr').length === {count}")
    page.locator("[data-results] summary").first.click()
    expect(page.locator("[data-results]")).to_contain_text(
        {"en": "slow parcel", "zh": "1+1"}[language], use_inner_text=True
    )
    check(watched, language)
    with page.expect_download() as taken:
        page.locator('[data-take="parquet"]').click()
    table = pq.read_table(io.BytesIO(Path(taken.value.path()).read_bytes()))
    assert table["kind"].to_pylist() == ["request"] * count
    page.locator("input[data-field=forgotten]").fill(user)
    page.locator("[data-look]").click()
    page.locator("[data-forget]").click()
    receipt = page.locator("[data-receipt][open]")
    receipt.wait_for()
    made = receipt.get_attribute("data-receipt")
    assert f"\n{count}\n" in receipt.inner_text().replace("\t", "\n") + "\n"
    page.locator("[data-find]").click()
    page.get_by_text(words("events.none")).wait_for()
    page.reload()
    watched.settle("events")
    expect(page.locator(f'[data-receipt="{made}"]')).to_have_count(1)

    # All of it stands in the log, which is whole.
    page.goto(f"{site.url}/console/audit")
    watched.settle("audit")
    page.locator('[data-whole="true"]').wait_for()
    page.locator("input[data-field=action]").fill("events.forget")
    page.locator("[data-find]").click()
    page.wait_for_function(
        "[...document.querySelectorAll('[data-results] code')].every(e => e.textContent === 'events.forget')"
    )
    check(watched, language)
    with page.expect_download() as taken:
        page.locator('[data-take="jsonl"]').click()
    lines = Path(taken.value.path()).read_text().splitlines()
    assert {json.loads(line)["action"] for line in lines} == {"events.forget"}

    # Health knows the server's own routes alone.
    page.goto(f"{site.url}/console/health")
    watched.settle("health")
    text = page.locator(".page").inner_text()
    assert "/v1/classify" in text
    assert "_nicegui" not in text
    assert "/console" not in text.replace(str(site.state.lake), "")
    metrics = httpx.get(f"{site.url}/metrics", headers=site.headers).text
    assert "_nicegui" not in metrics
    assert 'route="console"' in metrics
    check(watched, language)
    assert watched.faults == []
    page.context.close()


NO_SOCKET = """window.WebSocket = class extends EventTarget {
  constructor() {
    super();
    setTimeout(() => { this.onerror?.(new Event("error")); this.onclose?.(new CloseEvent("close")); });
  }
  send() {}
  close() {}
};"""
"""What a browser's WebSocket does where a proxy lets none through: it fails once it was tried."""


def test_a_browser_without_a_socket_is_told_and_loses_nothing(site: Running, browser: Browser) -> None:
    width, height = SIZES["desk"]
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US")
    context.set_default_timeout(60_000)
    context.add_init_script(NO_SOCKET)
    page = context.new_page()
    watched = Watched(page, site.url)
    page.goto(sign_in_link(site.app, site.url))
    watched.settle("overview")
    page.goto(f"{site.url}/console/keys")
    watched.settle("keys")
    page.locator("input[data-field=name]").fill("by polling")
    page.locator("[data-make]").click()  # without a WebSocket the page speaks by plain requests
    page.locator("[data-secret]").wait_for()
    assert watched.faults == []
    assert page.evaluate("window.socket.io.engine.transport.name") == "polling"
    assert not page.locator("#connection").is_visible()

    page.evaluate(
        "window.socket.disconnect()"
    )  # as where a proxy lets nothing through; it does not come back by itself
    page.locator("#connection").wait_for(state="visible")
    expect(page.locator("#connection")).to_have_text(Words("en")("connection.lost"), use_inner_text=True)
    page.locator("input[data-field=name]").fill("half written")
    page.reload()
    watched.settle("keys")
    page.wait_for_function("document.querySelector('input[data-field=name]')?.value === 'half written'")
    page.locator("[data-make]").click()
    page.locator("[data-secret]").wait_for()
    assert any(key.name == "half written" for key in site.state.keys.list())
    context.close()
