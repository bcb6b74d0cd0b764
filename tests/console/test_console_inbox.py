"""The inbox in a real browser: take, answer, note, hand on, resolve; by mouse and by keyboard; two people; a desk and a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tiny_models import make_encoder

from noria.console.mount import mount
from tests.console.test_console_browser import (
    CUT,
    UNTRANSLATED,
    Watched,
    browser,
    expect,
    opened,
    pytestmark,
    untranslated,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]
PERSON = {"zh": "我要转人工", "en": "I want to talk to a person"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.apps.support.faq import BUNDLED
    from noria.apps.support.routes import Support
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("inbox")
    faq = root / "faq.jsonl"
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    faq.write_text("\n".join(line for line in lines if json.loads(line)["id"] in ("gpu", "install", "key", "port")))
    model = make_encoder(root / "vectors", "embed", [], 2)
    settings = ServerSettings(port=0, lake=root / "lake", threads=1)
    with serving(
        settings, [model], [Support(faq=faq)], prepare=lambda app: mount(app, app.state.noria, root)
    ) as running:
        yield running


def say(site: Running, conversation: str, text: str, **more: Any) -> dict[str, Any]:
    body = {"conversation": conversation, "text": text, **more}
    answer = httpx.post(f"{site.url}/v1/apps/support/messages", json=body, headers=site.headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def read(site: Running, conversation: str) -> list[tuple[str, str]]:
    url = f"{site.url}/v1/apps/support/conversations/{conversation}/messages"
    return [(one["role"], one["text"]) for one in httpx.get(url, headers=site.headers).json()["messages"]]


def at_inbox(site: Running, browser: Browser, size: str, locale: str, name: str) -> Watched:
    watched = opened(site, browser, size, locale)
    watched.page.goto(f"{site.url}/console/inbox")
    watched.settle("inbox")
    watched.page.locator(".inbox-head input").fill(name)
    watched.page.locator(".inbox-head input").press("Enter")
    return watched


def check(watched: Watched, language: str) -> None:
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(CUT) == []
    assert untranslated(page.evaluate(UNTRANSLATED), language) == []
    assert watched.faults == []


def test_two_people_and_a_customer(site: Running, browser: Browser) -> None:
    say(site, "order-7", PERSON["en"], message_id="m1")
    say(site, "order-7", "<img src=x onerror=alert(1)> where is it?")
    ann, ben = (at_inbox(site, browser, "desk", "en-US", name) for name in ("Ann", "Ben"))
    for one in (ann, ben):
        row = one.page.locator("[data-row]").first
        expect(row.locator(".badge")).to_contain_text("2", use_inner_text=True)
        row.click()
        one.page.locator("[data-turn=message]").nth(1).wait_for()
        expect(one.page.locator("[data-said] img")).to_have_count(0)  # shown as it was typed
        check(one, "en")
    ann.page.locator("[data-suggestion]").first.wait_for()
    ann.page.locator("[data-deed=claim]").click()
    ann.page.locator("[data-deed=resolve]").wait_for()
    ben.page.get_by_text("Ann took the conversation").wait_for()
    ben.page.locator("[data-entry]").fill("I answer, too")
    ben.page.locator("[data-deed=send]").click()
    refused = ben.page.locator(".inbox-talk [role=alert]")
    refused.wait_for()
    expect(refused).to_contain_text("Ann", use_inner_text=True)
    assert ben.page.locator("[data-entry]").input_value() == "I answer, too"  # nothing written is lost
    ann.page.locator("[data-suggestion]").first.click()
    ann.page.wait_for_function("document.querySelector('[data-entry]').value !== ''")
    ann.page.locator("[data-entry]").fill("It left today.")
    ann.page.locator("[data-deed=send]").click()
    ann.page.locator("[data-turn=person]").wait_for()
    assert read(site, "order-7")[-1] == ("person", "It left today.")
    say(site, "order-7", "Thanks!")
    ann.page.locator("[data-turn=message]").nth(2).wait_for()
    ann.page.locator("[data-note]").click()
    ann.page.locator("[data-entry]").fill("a regular")
    ann.page.locator("[data-entry]").press("Enter")
    ann.page.locator("[data-turn=note]").wait_for()
    assert "a regular" not in str(read(site, "order-7"))
    ann.page.locator("[data-deed=transfer]").click()
    ann.page.locator("[data-whom]").fill("Ben")
    ann.page.locator("[data-hand-on]").click()
    ben.page.locator("[data-deed=resolve]").click()
    ben.page.get_by_text("Ben resolved it").wait_for()
    for one in (ann, ben):
        check(one, "en")
        one.page.context.close()
    assert say(site, "order-7", "没有 GPU 能用吗")["action"] == "answer"


def test_by_keyboard_alone(site: Running, browser: Browser) -> None:
    for number in (1, 2):
        say(site, f"keys-{number}", PERSON["zh"])
    watched = at_inbox(site, browser, "desk", "zh-CN", "小王")
    page = watched.page
    page.locator("[data-row]").nth(1).wait_for()
    page.locator(".inbox-head input").blur()
    for key in "jkj":  # the second, and around to the first
        page.keyboard.press(key)
    page.locator("[data-row].here").first.wait_for()
    page.keyboard.press("c")
    page.locator("[data-deed=resolve]").wait_for()
    written = "document.activeElement === document.querySelector('[data-entry]')"
    page.wait_for_function(written)
    page.locator("[data-entry]").blur()
    page.keyboard.press("r")
    page.wait_for_function(written)
    page.keyboard.type("您好")
    # An Enter that chooses among an input method's characters sends nothing.
    page.evaluate(
        "document.querySelector('[data-entry]').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("请讲")
    expect(page.locator("[data-turn=person]")).to_have_count(0)
    page.keyboard.press("Enter")
    page.locator("[data-turn=person]").wait_for()
    answered = [read(site, f"keys-{number}")[-1] for number in (1, 2)]
    assert ("person", "您好\n请讲") in answered
    page.locator("[data-entry]").blur()
    page.keyboard.press("e")
    page.get_by_text("小王 标为已解决").wait_for()
    check(watched, "zh")
    page.context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_phone(site: Running, browser: Browser, language: str) -> None:
    say(site, f"phone-{language}", PERSON[language])
    watched = at_inbox(
        site, browser, "phone", "zh-CN" if language == "zh" else "en-US", "Eve" if language == "en" else "小李"
    )
    page = watched.page
    page.locator("[data-row]").last.wait_for()
    check(watched, language)
    page.locator("[data-row]").last.click()
    page.locator("[data-turn=reply]").wait_for()
    assert not page.locator("[data-queue]").is_visible()
    page.locator("[data-entry]").fill("!")
    page.locator("[data-deed=send]").click()
    page.locator("[data-turn=person]").wait_for()
    check(watched, language)
    send = page.locator("[data-deed=send]").bounding_box()
    assert send is not None
    assert send["y"] + send["height"] <= 844  # without scrolling
    page.locator("[data-deed=back]").click()
    page.locator("[data-queue]").wait_for()
    assert watched.faults == []
    page.context.close()
