"""Proposals in a real browser: edited, accepted and known at once, refused without an answer, dropped, looked for; a desk and a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from tiny_models import make_encoder

from noria.apps.support.mining import Proposal
from noria.apps.support.review.table import Table, read_table, table_of
from noria.console.mount import mount
from tests.console.test_console_browser import browser, opened, pytestmark
from tests.console.test_console_inbox import PERSON, check, say

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.apps.support.faq import BUNDLED
    from noria.apps.support.routes import Support
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("proposals")
    faq = root / "faq.jsonl"
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    faq.write_text("\n".join(line for line in lines if json.loads(line)["id"] in ("gpu", "key", "port")))
    model = make_encoder(root / "vectors", "embed", [], 2)
    settings = ServerSettings(port=0, lake=root / "lake", threads=1)
    with serving(
        settings, [model], [Support(faq=faq)], prepare=lambda app: mount(app, app.state.noria, root)
    ) as running:
        yield running


@pytest.mark.parametrize(("size", "locale", "language"), [("desk", "en-US", "en"), ("phone", "zh-CN", "zh")])
def test_a_person_accepts_and_drops(site: Running, browser: Browser, size: str, locale: str, language: str) -> None:
    file = table_of(site.state.lake)
    asked = f"{language} 可以刻字吗" if language == "zh" else "Do you engrave <b>lamps</b>?"
    talk = say(site, f"talk-{language}", PERSON[language])
    inbox = httpx.get(f"{site.url}/v1/apps/support/inbox", headers=site.headers).json()["conversations"]
    (id,) = [one["id"] for one in inbox if one["conversation"] == talk["conversation"]]
    new = (Proposal(7, asked, (), "", (id,)), Proposal(3, "x y z?", ("x y?",), "Z.", ("chats.csv",)))
    file.write_bytes(Table(file, new=new).csv())
    watched = opened(site, browser, size, locale)
    page = watched.page
    page.goto(f"{site.url}/console/proposals")
    watched.settle("proposals")
    first = page.locator("[data-proposal]").first
    assert first.locator("[data-field=question]").input_value() == asked
    first.locator("[data-deed=accept]").click()
    first.locator("[role=alert]").wait_for()  # it has no answer
    first.locator("textarea[data-field=similar]").fill("q q q")
    first.locator("textarea[data-field=answer]").fill("两行\n答案" if language == "zh" else "Two lines\nof it")
    check(watched, language)
    first.locator("[data-deed=accept]").click()
    page.wait_for_function("document.querySelectorAll('[data-proposal]').length === 1")
    for text in (asked, "q q q"):
        reply = say(site, f"{language}-{text[:1]}", text)
        assert (reply["action"], reply["text"].count("\n")) == ("answer", 1)
    page.locator("[data-deed=drop]").click()
    page.wait_for_function("document.querySelectorAll('[data-proposal]').length === 0")
    page.locator("[data-tab=accepted]").click()
    page.locator("[data-deed=save]").wait_for()
    assert [one.state for one in read_table(file).held()] == ["accepted", "dropped"]
    check(watched, language)
    page.locator("[data-look]").click()
    page.wait_for_function("/0/.test(document.querySelector('[data-told]').innerText)")
    page.locator("[data-tab=accepted]").click()
    page.locator("[data-proposal] a.chip").click()
    page.locator("[data-turn=message]").wait_for()  # the conversation in which it was asked
    assert watched.faults == []
    page.context.close()
