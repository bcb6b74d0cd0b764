"""The console in a real browser on the real server: every page, both languages, a desk's width and a phone's."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from noria.console.mount import mount, sign_in_link
from noria.console.words import Words
from tests.console.console_run import ARTICLES, make_found, make_run, make_watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page

    from noria.server.http.run import Running

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = (
    "overview",
    "data",
    "train",
    "models",
    "playground",
    "support",
    "inbox",
    "proposals",
    "service",
    "monitor",
    "recommend",
    "users",
    "market",
    "promote",
    "keys",
    "events",
    "audit",
    "health",
    "settings",
)
PATHS = {name: "/" if name == "overview" else f"/{name}" for name in PAGES}
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
# What each page must show of the run, whatever the language: real figures, not only a frame.
SHOWN = {
    "overview": ["0.893", "n = 1,746", "0.858", "1,930", "1"],
    "data": [".parquet"],
    "train": ["intents-1"],
    "models": ["0.893", "multilingual-e5-small", "26,500,000", "MIT", "abababababab"],
    "playground": ["sentiment-int8"],
    "support": ["Noria"],
    "inbox": ["我要转人工"],
    "proposals": ["chats.csv", "12"],
    "service": ["n = 1", "1"],
    "monitor": ["n = 1,128", "房间潮湿", "充电", "refund", "新款手机充电时发烫", "51"],
    "recommend": ["8"],
    "keys": ["this process", "n=1"],
    "events": ["CSV", "Parquet"],
    "audit": ["key.make", "session.begin"],
    "health": ["sentiment-int8", "openvino", "/v1/apps/support/messages", "MB"],
    "users": ["23,570", "0.149", "7,846"],
    "market": ["ChatGPT", "0.782", "HHI", "n = 12", "0.867", "+6.70"],
    "promote": ["Qini", "n = 20,000", "14,751", "new users"],
    "settings": ["--config noria.toml", "[serve.guard]", "max_in_flight", "1024"],
}
# Names that readers of Chinese know by these letters too.
NAMES = re.compile(
    "Noria|CDNOW|ChatGPT|Google|Gemini|Perplexity|Microsoft|Copilot|Claude|Deepseek|CRPS|MASE|Bass|Gompertz|lifetimes|M?BG/NBD|Pareto/NBD|Qini|CUPED|Welch"
    # groups, channels and columns of the simulated example
    "|mailed|control|new users|search|video|outdoor|simulated campaign|simulated advertising|points"
)

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is missing (apt-get install chromium)"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright: pip install playwright"),
]


@pytest.fixture(scope="module")
def site(
    classifier: Path, tagger: Path, embedder: Path, writer: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    from noria.apps.monitor.routes import Monitor
    from noria.apps.monitor.topics import read_topics
    from noria.apps.recommend.routes import Recommend
    from noria.apps.support.mining import Proposal
    from noria.apps.support.review.table import Table
    from noria.apps.support.routes import Support
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings
    from noria.tasks.items import Item

    root = make_run(tmp_path_factory.mktemp("run"))
    lake = root / "lake"
    make_watch(lake, read_topics().names)
    made = {"sentiment-int8": classifier, "entities-int8": tagger, "embed-int8": embedder, "pretrain": writer}
    table = lake / "apps" / "support" / "proposals.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(Table(table, new=(Proposal(12, "可以刻字吗", ("能刻字吗",), "", ("chats.csv",)),)).csv())
    models = [shutil.copytree(model, root / name) for name, model in made.items()]
    items = [Item(str(number), title, text) for number, (title, text) in enumerate(ARTICLES)]
    monitor = Monitor(lambda text: text, "sentiment-int8", "entities-int8", embeddings=True)
    apps = [Support(), monitor, Recommend(items)]
    settings = ServerSettings(port=0, lake=lake, threads=1)
    with serving(settings, models, apps, prepare=lambda app: mount(app, app.state.noria, root)) as running:
        asked = {"text": "我要转人工", "conversation": "visitor"}
        httpx.post(f"{running.url}/v1/apps/support/messages", json=asked, headers=running.headers).raise_for_status()
        make_found(monitor)
        running.state.jobs.add(["completion", "bash"], "intents-1", "somebody", facts={"kind": "finetune"})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def expect(found: Locator) -> LocatorAssertions:
    """Return what may be asked of a page's part: asked again until it holds, for a page is drawn piece by piece."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    return expect(found)


@dataclass
class Watched:
    """A page that notes whatever goes wrong in it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on(
            "console",
            # Chromium looks ahead in a page that comes in parts, and may take a part's end for the end of an address.
            lambda m: (
                self.faults.append(f"{m.type}: {m.text}")
                if m.type in ("error", "warning") and "/url(%22" not in m.text
                else None
            ),
        )
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        # A request that a click on the next page cut off is no fault.
        self.page.on(
            "requestfailed",
            lambda r: self.faults.append(f"failed: {r.url}") if r.failure != "net::ERR_ABORTED" else None,
        )
        self.page.on("response", lambda r: self.faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", self._local)

    def _local(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", self.base.replace("http", "ws"))):
            self.faults.append(f"external: {request.url}")

    def settle(self, name: str) -> None:
        """Wait until a page is whole: connected, and every chart drawn."""
        self.page.wait_for_selector(f'.frame[data-page="{name}"]')
        self.page.wait_for_function(
            "() => window.socket?.connected !== false && !document.querySelector('[data-waiting]') && [...document.querySelectorAll('.nicegui-echart')].every(e => e.querySelector('canvas, svg'))"
        )


FILM = Path(__file__).parents[2] / "docs" / "images" / "film"


def filmed(page: Page, name: str) -> None:
    """Keep a picture for docs/console.md where NORIA_FILM=1 asks for it: what it shows was done by this test, and held to what it says."""
    if not os.environ.get("NORIA_FILM"):
        return
    from PIL import Image

    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    FILM.mkdir(parents=True, exist_ok=True)
    picture.resize((960, 960 * picture.height // picture.width)).save(FILM / f"{name}.webp", quality=55, method=6)


def followed(page: Page, link: Locator) -> None:
    """Click a link, and wait for the page behind it: one of the same name may be shown still."""
    with page.expect_navigation():
        link.click()


def opened(site: Running, browser: Browser, size: str, locale: str = "en-US") -> Watched:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, locale=locale)
    context.set_default_timeout(60_000)
    watched = Watched(context.new_page(), site.url)
    watched.page.goto(sign_in_link(site.app, site.url))
    watched.settle("overview")
    return watched


UNTRANSLATED = """(chinese) => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!parent || parent.closest('script, style, svg title, [translate=no], .q-icon, #popup, .nicegui-error-popup, #esm-fallback')) continue;
    if (!parent.checkVisibility()) continue;
    found.push(node.textContent);
  }
  return found;
}"""
CUT = """() => [...document.querySelectorAll('.frame *')].filter(e => {
  if (!e.checkVisibility({visibilityProperty: true}) || e.closest('.scroll-x, svg, .side, .visually-hidden, .q-tabs, canvas, .menu-toggle')) return false;
  const box = e.getBoundingClientRect();
  return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1 || (e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).overflowX === 'hidden'
    && !e.matches('.q-field__native, .q-field *, .q-tab-panels, .q-panel, .q-linear-progress, .clamp, .q-btn *, .nicegui-echart *, i')));
}).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60))"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page(site: Running, browser: Browser, size: str, language: str) -> None:
    watched = opened(site, browser, size)
    page = watched.page
    if language == "zh":
        _menu(page, size)
        followed(page, page.locator(".side .language"))
        watched.settle("overview")
    for name in PAGES:
        _menu(page, size)
        followed(page, page.locator(f'.side .nav-link[href="/console{PATHS[name]}"]'))
        watched.settle(name)
        expect(page.locator("h1")).to_have_text(Words(language)(f"{name}.title"), use_inner_text=True)
        assert page.locator("html").get_attribute("lang") == ("zh-CN" if language == "zh" else "en-US")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        text = page.locator(".page").inner_text()
        missing = [shown for shown in SHOWN[name] if shown not in text]
        assert not missing, f"{name} does not show {missing}:\n{text}"
        figures = [text for text in page.locator(".figure[data-figure]").all_inner_texts() if text]
        assert all("n = " in text and re.search("interval|区间|exact|精确", text) for text in figures), name
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate(CUT) == [], name
        assert untranslated(page.evaluate(UNTRANSLATED), language) == [], name
    assert watched.faults == []
    page.context.close()


def untranslated(texts: list[str], language: str) -> list[str]:
    if language == "en":
        return [text for text in texts if re.search(r"[一-鿿]", text)]
    # Words on their own: sentiment-int8 is the name of a folder.
    return [text for text in texts if re.search(r"(?<![\w-])[A-Za-z]{4,}(?![\w-])", NAMES.sub("", text))]


def _menu(page: Page, size: str) -> None:
    """Open the menu where it is a drawer."""
    if size == "phone":
        assert not page.locator(".side").is_visible()
        page.locator(".menu-button").click()
    page.locator(".side .nav-link").first.wait_for()


def test_the_overview_says_what_waits_and_leads_there(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    findings = page.locator(".findings .finding")
    findings.first.wait_for()
    assert findings.count() <= 3
    waits = findings.first
    assert waits.get_attribute("data-finding") == "waiting"
    expect(waits).to_contain_text("conversations 1", use_inner_text=True)
    badge = page.locator('.side [data-count="inbox"]')
    badge.wait_for()
    expect(badge).to_have_text("1", use_inner_text=True)
    assert not page.locator('.side [data-count="users"]').is_visible()
    page.keyboard.press("Tab")  # the first stop of the keyboard leads past the menu
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    filmed(page, "1-overview")
    followed(page, waits.locator(".finding-do a"))
    watched.settle("inbox")
    filmed(page, "2-inbox")
    page.goto(f"{site.url}/console/monitor")
    watched.settle("monitor")
    inner = page.locator(".inner a")
    inner.first.wait_for()
    heads = [text.strip() for text in page.locator(".card > h2, .card-head > h2").all_inner_texts()]
    assert inner.all_inner_texts() == heads
    filmed(page, "3-monitor")
    inner.last.click()
    box = page.locator(".card > h2").last.bounding_box()
    assert box
    assert 0 <= box["y"] < 900
    assert watched.faults == []
    page.context.close()


def test_playground(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    page.goto(f"{site.url}/console/playground")
    watched.settle("playground")
    page.locator("[data-go=classify]").click()
    page.locator("[data-result=classify] .score").first.wait_for()
    scores = [
        float(text.rstrip("%"))
        for text in page.locator("[data-result=classify] .score span:last-child").all_inner_texts()
    ]
    assert len(scores) == 2
    assert sum(scores) == pytest.approx(100, abs=0.2)
    page.get_by_role("tab", name="Tag names").click()
    go = page.locator("[data-go=tag]")
    go.wait_for()  # the panel comes after a word with the server: until then the text would go into the old one
    page.locator("textarea").fill("李明去了<b>北京</b>。")
    go.click()
    page.locator("[data-result=tag] .tagged").wait_for()
    marked = page.locator("[data-result=tag] .tagged").evaluate(
        "e => { e.querySelectorAll('sub').forEach(s => s.remove()); return e.textContent }"
    )
    assert marked == "李明去了<b>北京</b>。"
    page.get_by_role("tab", name="Complete").click()
    page.locator("[data-go=complete]").click()
    page.get_by_text(re.compile(r"\d+ tokens written")).wait_for()
    assert len(page.locator(".written").inner_text()) > len(page.locator(".written b").inner_text())
    assert watched.faults == []
    page.context.close()


def test_support_answers_and_hears_the_verdict(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "phone", "zh-CN")
    page = watched.page
    page.goto(f"{site.url}/console/support")
    watched.settle("support")
    page.locator("[data-suggestion]").first.click()
    reply = page.locator(".said.app[data-action]").first
    reply.wait_for()
    expect(reply).to_contain_text("置信度", use_inner_text=True)
    page.locator(".ask input").fill("我要转人工")
    page.locator("[data-send]").click()
    last = page.locator(".said.app[data-action=handover]").last
    last.wait_for()
    expect(last).to_contain_text("转人工", use_inner_text=True)
    with httpx.Client(base_url=f"{site.url}/v1/apps/support", headers=site.headers) as web:
        waiting = web.get("/inbox").json()["conversations"]
        (here,) = [one["id"] for one in waiting if one["conversation"].startswith("console-")]
        web.post(f"/inbox/{here}/reply", json={"agent": "小王", "text": "您好，我来帮您。"}).raise_for_status()
        page.locator("[data-turn=person]").wait_for()
        expect(page.locator("[data-turn=person]")).to_contain_text("小王", use_inner_text=True)
        page.locator(".ask input").fill("谢谢")
        page.locator("[data-send]").click()
        page.locator("[data-action=person]").wait_for()
        web.post(f"/inbox/{here}/resolve", json={"agent": "小王"}).raise_for_status()
    expect(page.locator(".said.person")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert watched.faults == []
    page.context.close()


def test_recommend_learns_from_what_is_opened(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    page.goto(f"{site.url}/console/recommend")
    watched.settle("recommend")
    page.locator("[data-pick]").click()
    page.locator(".article").first.wait_for()
    title = page.locator(".article h3").first.inner_text()
    assert title in dict(ARTICLES)
    page.locator("[data-open]").first.click()
    page.locator("[data-history] li").wait_for()
    expect(page.locator("[data-history] li")).to_have_text(title, use_inner_text=True)
    page.locator("[data-pick]").click()
    page.get_by_text("by taste").first.wait_for()
    assert title not in page.locator(".article h3").all_inner_texts()
    assert watched.faults == []
    page.context.close()


def test_monitor_shows_one_topic_with_its_interval(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    page.goto(f"{site.url}/console/monitor")
    watched.settle("monitor")
    expect(page.locator(".alert")).to_have_count(1)
    before = page.locator(".nicegui-echart").first.get_attribute("aria-label")
    assert before
    foot = page.locator(".chart-foot").inner_text()
    page.locator(".q-select").first.click()
    page.get_by_role("option", name="Hotels").click()
    page.wait_for_function(
        "before => document.querySelector('.nicegui-echart').getAttribute('aria-label') !== before", arg=before
    )
    assert page.locator(".chart-foot").inner_text() != foot
    assert watched.faults == []
    page.context.close()


def test_a_range_of_time_is_chosen_and_what_it_comes_to_is_told(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    page.goto(f"{site.url}/console/monitor")
    watched.settle("monitor")
    foot, chart = page.locator(".chart-foot"), page.locator(".nicegui-echart").first
    assert "n = 1,128" in foot.inner_text()
    chart.scroll_into_view_if_needed()
    # The slider's left handle, from its end to the middle: taken once it is where the pointer is, for the page above the chart is drawn still.
    deadline = time.monotonic() + 60
    while True:
        box = chart.bounding_box()
        assert box
        assert time.monotonic() < deadline
        y = box["y"] + box["height"] - 12
        page.mouse.move(box["x"] + 60, y - 30)
        page.mouse.move(box["x"] + 49, y, steps=2)
        if chart.locator("div").first.evaluate("drawn => drawn.style.cursor") == "ew-resize":
            break
        page.wait_for_timeout(100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=8)
    page.mouse.up()
    # On the way there it tells of ranges between.
    told = "document.querySelector('.chart-foot').innerText.match(/n = ([0-9,]+)/)"
    page.wait_for_function(f"() => Number({told}?.[1].replace(',', '') ?? 1128) < 846")
    count = re.search(r"n = ([\d,]+)", foot.inner_text())
    assert count
    assert 1_128 / 4 < int(count[1].replace(",", "")) < 1_128 * 3 / 4
    assert watched.faults == []
    page.context.close()


def test_kept_texts_are_found_by_words_and_filters_on_a_phone(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "phone", "zh-CN")
    page = watched.page
    page.goto(f"{site.url}/console/monitor")
    watched.settle("monitor")
    results = page.locator("[data-results] li")
    page.locator(".ask input").first.fill("充电 发烫")
    page.locator("[data-find]").click()
    page.get_by_text("找到 15 条").wait_for()
    expect(results).to_have_count(15)
    page.locator(".ask input").first.fill("?!")
    page.locator("[data-find]").click()
    page.locator("[data-results] [role=alert]").wait_for()
    page.locator(".ask input").first.fill("")
    page.locator("[data-find]").click()
    page.get_by_text("找到 51 条").wait_for()
    page.locator("[data-more]").click()
    page.wait_for_function("() => document.querySelectorAll('[data-results] li').length === 40")
    assert "https://forum.example/47" in page.content()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert watched.faults == []
    page.context.close()


def test_somebody_is_added_who_is_notified(site: Running, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = opened(site, browser, "phone")
    page = watched.page
    page.goto(f"{site.url}/console/monitor")
    watched.settle("monitor")
    card = page.locator("[data-subscriptions]")
    card.locator("[data-deed=add]").click()
    card.locator('input[data-field="name"]').fill("desk")
    card.locator('input[data-field="url"]').fill("ftp://hooks.example.com")
    card.locator('input[data-field="secret_env"]').fill("NORIA_NOTIFY_DESK")
    card.locator("[data-deed=save]").click()
    card.get_by_role("alert").wait_for()  # what is wrong, in words; nothing that was written is lost
    assert card.locator('input[data-field="name"]').input_value() == "desk"
    card.locator('input[data-field="url"]').fill("https://hooks.example.com")
    card.locator("[data-deed=save]").click()
    page.wait_for_function(
        "() => document.querySelector('[data-subscriptions] [role=alert]')?.innerText.includes('NORIA_NOTIFY_DESK')"
    )
    monkeypatch.setenv("NORIA_NOTIFY_DESK", "a secret of ours")
    card.locator("[data-deed=save]").click()
    row = card.locator('[data-subscription="desk"]')
    row.wait_for()
    row.locator("[data-deed=pause]").click()
    row.locator("[data-paused]").wait_for()
    row.locator("[data-deed=go_on]").click()
    page.wait_for_function("() => !document.querySelector('[data-paused]')")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(CUT) == []
    row.locator("[data-deed=remove]").click()
    page.wait_for_function("() => !document.querySelector('[data-subscription]')")
    done = [(one.action, one.subject) for one in site.state.audit.latest() if one.action.startswith("subscription")]
    assert done[:1] == [("subscription.remove", "desk")]
    assert ("subscription.make", "desk") in done
    assert watched.faults == []
    page.context.close()


def test_items_and_clicks_are_brought_and_rankers_compared(site: Running, browser: Browser, tmp_path: Path) -> None:
    watched = opened(site, browser, "desk")
    page = watched.page
    page.goto(f"{site.url}/console/recommend")
    watched.settle("recommend")
    items, clicks = tmp_path / "products.csv", tmp_path / "clicks.csv"
    items.write_text(
        "product_id,name,description\nlamp,Lamp,A lamp for the desk\nkettle,Kettle,It boils water\nbare,,\n"
    )
    clicks.write_text("user,item,time\nanna,lamp,2026-01-05 10:00\nanna,gone,2026-01-05 10:01\nben,kettle,2026-01-06\n")
    brought = page.locator("[data-brought]")
    upload = page.locator('[data-upload="items"] input[type=file]')
    upload.set_input_files(items)
    brought.get_by_text("2 items are offered").wait_for()
    expect(brought.locator("td.number")).to_have_text(
        "1", use_inner_text=True
    )  # an id alone is no item, and no reason to refuse the others
    page.locator('[data-upload="deeds"] input[type=file]').set_input_files(clicks)
    brought.get_by_text("2 deeds were learned from").wait_for()
    expect(brought).to_contain_text("on items that are not offered: 1", use_inner_text=True)
    brought.scroll_into_view_if_needed()
    filmed(page, "4-items-and-clicks")
    page.locator('[data-upload="deeds"] input[type=file]').set_input_files(clicks)
    brought.get_by_role("alert").wait_for()  # the same log is taken once
    watched.faults[:] = [fault for fault in watched.faults if "400" not in fault]  # the browser's own word for that
    clicks.write_text(
        "user,item,time\ncleo,lamp,2026-01-07\n" + "zoe,gone,2026-01-05 10:00\n" * 60_000
    )  # more than a body may have
    page.locator('[data-upload="deeds"] input[type=file]').set_input_files(clicks)
    brought.get_by_text("1 deeds were learned from").wait_for()
    expect(brought).to_contain_text("on items that are not offered: 60,000", use_inner_text=True)
    key = next(one for one in site.state.keys.list() if not one.revoked)
    compare = page.locator("[data-compare]")
    compare.locator(".q-select").first.click()
    page.get_by_role("option", name=key.name, exact=True).first.click()
    compare.locator("input[data-user]").fill("anna")
    compare.locator("[data-look]").click()
    compare.get_by_text("What they did (1)").wait_for()
    expect(compare.locator(".compared")).to_have_count(2)
    expect(compare.locator("[data-compared]")).to_contain_text("Lamp", use_inner_text=True)
    expect(compare.locator(".compared li")).to_have_count(20)
    compare.scroll_into_view_if_needed()
    filmed(page, "5-two-rankers")
    assert watched.faults == []
    page.context.close()


def test_use_of_the_console_is_counted(site: Running) -> None:
    from noria.grow.log.lake import events

    table = events(site.state.lake)
    found = {(row["kind"], row["app"]) for row in table.select("kind", "app").distinct().to_pyarrow().to_pylist()}
    assert {
        ("request", "console"),
        ("request", "support"),
        ("handover", "support"),
        ("impression", "recommend"),
        ("click", "recommend"),
    } <= found


def test_signed_out_sees_nothing(site: Running) -> None:
    html = {"accept": "text/html"}
    with httpx.Client(base_url=site.url) as client:
        for path in PATHS.values():
            answer = client.get(f"/console{path}", headers=html)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/login"), path
            assert client.get(f"/console{path}").status_code == 401
        assert client.get("/console/_nicegui_ws/socket.io/?EIO=4&transport=polling").status_code == 401
        assert client.post("/console/_nicegui_ws/socket.io/?EIO=4&transport=polling").status_code == 401
        assert client.get("/console/static/console.css").status_code == 200
        assert client.get("/console/static/../mount.py").status_code in (401, 404)
        assert client.get("/console/open?token=guess").status_code == 401
        assert (
            client.get("/console/market", headers=site.headers).status_code == 200
        )  # an admin key in the header does, too


def test_a_key_opens_by_the_form_and_only_an_admin_s(site: Running) -> None:
    url, keys = site.url, site.state.keys
    with httpx.Client(base_url=url) as client:
        wrong = client.post("/console/login", data={"key": "noria_0_guess"}, headers={"accept-language": "zh-CN"})
        assert wrong.status_code == 401
        assert "此密钥无法打开控制台" in wrong.text
        assert client.post("/console/login", data={"key": keys.make("a client", "client")}).status_code == 401
        assert client.post("/console/login", data={"key": "x" * 9_000}).status_code == 413
        foreign = client.post("/console/login", data={"key": site.key}, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403
        key = keys.make("an operator", "admin")
        answer = client.post("/console/login", data={"key": key, "next": "/models"})
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/console"))
        assert key not in cookie
        assert "url=/console/models" in answer.text
        page = client.get("/console/models", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/v1/models").status_code == 401  # the cookie opens the console, not the API
        keys.revoke(key.split("_")[1])
        assert client.get("/console/models").status_code == 401


def test_a_link_opens_once_and_signing_out_shuts(site: Running) -> None:
    link = sign_in_link(site.app, site.url)
    with httpx.Client() as first, httpx.Client() as second:
        assert first.get(link).status_code == 200
        assert second.get(link).status_code == 401
        assert first.get(f"{site.url}/console/market").status_code == 200
        assert first.post(f"{site.url}/console/logout").status_code == 303
        assert first.get(f"{site.url}/console/market").status_code == 401
