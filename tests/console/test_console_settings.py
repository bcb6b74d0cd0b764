"""The settings of a server in a real browser: a mistake is named and nothing lost, what is in order is written, kept and holds; one walk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import noria
from noria.console.mount import mount
from tests.console.test_console_browser import browser, expect, opened, pytestmark
from tests.console.test_console_inbox import check

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.fixture(scope="module")
def site(folder: Path, classifier: Path) -> Iterator[Any]:
    file = folder / "noria.toml"
    file.write_text(f"[serve]\nport = 0\nlake = 'lake'\nthreads = 1\nmodels = ['{classifier}']\n")
    with noria.serve(file=file, background=True, prepare=lambda app: mount(app, app.state.noria, folder)) as running:
        yield running


def notice(page: Page, done: str) -> str:
    """Press a button, and return what is said then."""
    page.evaluate("document.querySelector('[data-told]').innerHTML = ''")
    page.locator(f"[data-deed={done}]").click()
    page.wait_for_function("document.querySelector('[data-told]').innerText.trim()")
    return page.locator("[data-told]").inner_text()


@pytest.mark.parametrize(("size", "locale", "language"), [("desk", "en-US", "en"), ("phone", "zh-CN", "zh")])
def test_the_file_is_checked_written_kept_and_holds(
    site: Running, folder: Path, browser: Browser, size: str, locale: str, language: str
) -> None:
    file = folder / "noria.toml"
    watched = opened(site, browser, size, locale)
    page = watched.page
    page.goto(f"{site.url}/console/users")
    watched.settle("users")
    expect(page.locator(".empty code")).to_have_text(
        "noria grow users log.csv"
    )  # no demo, where a team's file is served
    check(watched, language)
    page.goto(f"{site.url}/console/settings")
    watched.settle("settings")
    text = page.locator("textarea[data-field=file]")
    before = file.read_text()
    assert text.input_value() == before
    wished = before + "max_rowz = 3\n"
    text.fill(wished)
    assert "max_rows" in notice(page, "write")
    assert text.input_value() == wished, "what was typed stays"
    assert file.read_text() == before
    most = 3 if language == "en" else 4
    wished = before.replace("threads = 1\n", f"threads = 1\nmax_rows = {most}\nqueue = {most}\n")
    text.fill(wished)
    told = notice(page, "check")
    assert "max_rows" in told
    assert "queue" in told
    assert file.read_text() == before
    check(watched, language)
    notice(page, "write")
    assert file.read_text() == wished
    assert before in [one.read_text() for one in (folder / ".noria.toml.versions").iterdir()]
    entry = next(one for one in site.state.audit.latest() if one.action == "settings.write")
    assert entry.subject == "noria.toml"
    body = {"input": ["很好"] * (most + 1)}
    assert httpx.post(f"{site.url}/v1/classify", json=body, headers=site.headers).status_code == 422
    file.write_text(before)  # somebody else, meanwhile
    text.fill(wished + "# more\n")
    notice(page, "write")
    assert file.read_text() == before, "what somebody else wrote is not overwritten"
    assert notice(page, "reload")
    page.locator("[data-keys] summary").filter(has_text="[serve.guard]").click()
    expect(page.locator("[data-keys]")).to_contain_text("on_words", use_inner_text=True)
    check(watched, language)
    assert watched.faults == []
    page.context.close()
