"""The chat widget in a real browser on a page of another origin, and visitors without a key: what they reach and what they do not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from noria.apps.settings import WidgetSettings
from noria.apps.support.faq import BUNDLED
from noria.apps.support.knowledge.building import build
from noria.apps.support.routes import Support
from noria.core.errors import SettingError
from noria.lake.event import Event
from noria.lake.read import scan
from tests.console.test_console_browser import browser, expect, pytestmark

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]
HANDBOOK = "# Lamp\n\n## 复位\n\n长按按钮十秒，直到灯闪两次，所有设置即恢复为出厂状态。\n"
SHOWN = """() => {
    const log = document.querySelector('#noria-widget').shadowRoot.querySelector('.log');
    window.empty = 0;
    new MutationObserver(() => {
        window.empty += [...log.querySelectorAll('.said')].filter((one) => !one.textContent.trim()).length;
    }).observe(log, {childList: true, subtree: true, characterData: true});
}"""
PAGE = '<!doctype html><html lang="{language}"><meta charset="utf-8"><title>A shop</title><h1>A shop</h1><script src="{url}/v1/apps/support/widget.js" defer></script></html>'


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A web server of somebody else's: its address, and the folder of its pages."""
    folder = tmp_path_factory.mktemp("shop")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
        server.shutdown()


@pytest.fixture(scope="module")
def desk(embedder: Path, shop: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("desk")
    (root / "lamp.md").write_text(HANDBOOK, encoding="utf-8")
    build([root / "lamp.md"], root / "kb", link="https://help.example")
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["id"] in ("gpu", "port", "key", "install")]
    (root / "faq.jsonl").write_text("\n".join(kept), encoding="utf-8")
    app = Support(
        faq=root / "faq.jsonl", kb=root / "kb", widget=WidgetSettings(origins=(shop[0],), messages_minute=100)
    )
    with serving(ServerSettings(port=0, lake=root / "lake", threads=1), [embedder], [app]) as running:
        for language in ("zh", "en"):
            (shop[1] / f"{language}.html").write_text(PAGE.format(language=language, url=running.url), encoding="utf-8")
        yield running


def visited(shop: str, browser: Browser, language: str, **more: Any) -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale=language, **more)
    context.set_default_timeout(60_000)
    page, faults = context.new_page(), list[str]()
    page.on(
        "console", lambda m: faults.append(m.text) if m.type in ("error", "warning") and "404" not in m.text else None
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{shop}/{language}.html")
    page.locator("#noria-widget .open").wait_for()
    return page, faults


def test_a_visitor_is_answered_judges_and_gets_a_person(
    desk: Running, shop: tuple[str, Path], browser: Browser
) -> None:
    page, faults = visited(shop[0], browser, "zh")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#noria-widget').shadowRoot.activeElement?.tagName === 'TEXTAREA'")
    page.keyboard.type("没有 GPU 能用吗")
    page.keyboard.press("Enter")
    page.get_by_text("不需要显卡").wait_for()
    page.get_by_text("出自：必须有显卡吗？").wait_for()
    page.get_by_role("button", name="有帮助", exact=True).click()
    page.get_by_text("谢谢反馈").wait_for()
    page.keyboard.press("Shift+Tab")
    entry = page.get_by_label("请输入消息")
    entry.fill("<img src=x onerror=alert(1)> 我要转人工")
    entry.press("Enter")
    page.get_by_text("<img src=x").wait_for()
    expect(page.locator("#noria-widget .log img")).to_have_count(0)
    entry.fill("转人工")
    entry.press("Enter")
    page.get_by_text("已经为您转给人工").wait_for()
    with httpx.Client(base_url=f"{desk.url}/v1/apps/support", headers=desk.headers) as web:
        (waiting,) = web.get("/inbox").json()["conversations"]
        reply = {"agent": "小王", "text": "您好，我来帮您。"}
        web.post(f"/inbox/{waiting['id']}/reply", json=reply).raise_for_status()
    page.locator("#noria-widget .said.person").wait_for()
    expect(page.locator("#noria-widget .said.person")).to_contain_text("小王", use_inner_text=True)
    bubbles = page.locator("#noria-widget .said").all_inner_texts()
    assert sum("没有 GPU 能用吗" in one for one in bubbles) == 1
    page.reload()
    page.locator("#noria-widget .open").click()
    page.locator("#noria-widget .said.person").wait_for()  # what was said is there again
    expect(page.locator("#noria-widget .said.user")).to_have_count(3)
    page.keyboard.press("Escape")
    assert not page.locator("#noria-widget .panel").is_visible()
    assert faults == []
    kinds = [(row["kind"], row["value"]) for batch in scan(desk.state.lake) for row in batch.to_pylist()]
    assert ("feedback", 1.0) in kinds
    page.context.close()


def test_a_quotation_says_once_where_it_is_from_and_nothing_is_shown_empty(
    desk: Running, shop: tuple[str, Path], browser: Browser
) -> None:
    page, faults = visited(shop[0], browser, "zh")
    page.locator("#noria-widget .open").click()
    page.evaluate(SHOWN)
    page.get_by_label("请输入消息").fill("怎样复位，恢复出厂设置？")
    page.get_by_role("button", name="发送").click()
    bubble = page.locator("#noria-widget .said", has_text="长按按钮十秒")
    bubble.get_by_role("button", name="有帮助", exact=True).wait_for()
    assert bubble.inner_text().count("出自") == 1
    address = bubble.locator("a")
    assert address.get_attribute("href") == "https://help.example/lamp.md" == address.inner_text()
    expect(page.locator("#noria-widget [aria-busy]")).to_have_count(0)
    assert page.evaluate("window.empty") == 0
    page.reload()
    page.locator("#noria-widget .open").click()
    bubble.locator("a").wait_for()  # as it was said before
    assert bubble.inner_text().count("出自") == 1
    assert faults == []
    page.context.close()


def test_on_a_phone_in_the_dark_in_english(desk: Running, shop: tuple[str, Path], browser: Browser) -> None:
    page, faults = visited(shop[0], browser, "en", color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Chat with us").click()
    dialog = page.get_by_role("dialog", name="Customer service")
    box = dialog.bounding_box()
    assert box == {"x": 0, "y": 0, "width": 390, "height": 844}
    page.get_by_label("Write a message").fill("Do I need a GPU?")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("From:").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    paper = page.evaluate(
        "getComputedStyle(document.querySelector('#noria-widget').shadowRoot.querySelector('.panel')).backgroundColor"
    )
    assert paper == "rgb(23, 37, 43)"
    assert faults == []
    page.context.close()


def token(desk: Running, origin: str) -> httpx.Response:
    return httpx.post(f"{desk.url}/v1/apps/support/visitors", json={}, headers={"origin": origin})


def test_whose_pages_may_hold_it_and_what_a_visitor_reaches(desk: Running, shop: tuple[str, Path]) -> None:
    made = token(desk, shop[0])
    assert (made.status_code, made.headers["access-control-allow-origin"]) == (200, shop[0])
    for origin in ("https://evil.example", "null", ""):
        refused = token(desk, origin)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
        assert "access-control-allow-origin" not in refused.headers
    shown = made.json()["token"]
    number, until, signature = shown.removeprefix("visitor_").split("_")
    forged = [
        f"visitor_{'0' * 16}_{until}_{signature}",
        f"visitor_{number}_{int(until) + 1}_{signature}",
        shown[:-1] + "x",
    ]
    url = f"{desk.url}/v1/apps/support"

    def statuses(key: str, origin: str) -> list[int]:
        headers = {"authorization": f"Bearer {key}", "origin": origin}
        asked = [httpx.post(f"{url}/messages", json={"text": "转人工"}, headers=headers)]
        asked += [httpx.get(url + path, headers=headers) for path in ("/inbox", "/entries")]
        asked.append(httpx.get(f"{desk.url}/v1/models", headers=headers))
        return [one.status_code for one in asked]

    assert statuses(shown, shop[0]) == [200, 403, 403, 403]
    for key in forged:
        assert statuses(key, shop[0]) == [401, 401, 401, 401]
    assert statuses(shown, "https://evil.example") == [401, 401, 401, 401]  # a token taken to another page
    said = {"authorization": f"Bearer {shown}", "origin": shop[0]}
    name = httpx.post(f"{url}/messages", json={"text": "转人工"}, headers=said).json()["conversation"]
    other = {**said, "authorization": f"Bearer {token(desk, shop[0]).json()['token']}"}
    found = [httpx.get(f"{url}/conversations/{name}/messages", headers=one).status_code for one in (said, other)]
    assert found == [200, 404]


def test_a_visitor_s_requests_are_bounded(desk: Running, shop: tuple[str, Path]) -> None:
    headers = {"authorization": f"Bearer {token(desk, shop[0]).json()['token']}", "origin": shop[0]}
    url = f"{desk.url}/v1/apps/support/conversations/none/messages"
    with httpx.Client(headers=headers) as client:
        found = [client.get(url).status_code for _ in range(110)]
    assert found[:100] == [404] * 100
    assert found[-1] == 429


@pytest.mark.parametrize("origin", ["*", "null", "shop.example"])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(SettingError):
        Support(widget=WidgetSettings(origins=(origin,)))


def test_events_are_counted_under_the_visitor(desk: Running, shop: tuple[str, Path]) -> None:
    shown = token(desk, shop[0]).json()["token"]
    headers = {"authorization": f"Bearer {shown}", "origin": shop[0]}
    answer = httpx.post(
        f"{desk.url}/v1/apps/support/messages", json={"text": "没有 GPU 能用吗"}, headers=headers
    ).json()
    events = [Event(**row) for batch in scan(desk.state.lake) for row in batch.to_pylist()]
    (event,) = [one for one in events if one.id == answer["id"]]
    assert event.tenant == f"visitor {shown.split('_')[1]}"
