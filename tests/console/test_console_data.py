"""Data in a real browser: a file is dropped, read, labelled by keys, checked and taken away; a desk and a phone, both languages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from noria.console.mount import mount
from noria.console.words import Words
from tests.console.test_console_browser import browser, expect, opened, pytestmark
from tests.console.test_console_inbox import check
from tests.server.data_work import inside

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from noria.server.http.run import Running
    from tests.console.test_console_browser import Watched

__all__ = ["browser", "inside", "pytestmark"]

ROWS = {
    "zh": (
        "内容,意图,来源",
        "怎么退货,退货,电话",
        "想换一个颜色,换货,网页",
        "快递到哪了,,网页",
        "发票什么时候开,,电话",
        ",退货,电话",
        "怎么退货！,退货,网页",
    ),
    "en": (
        "Message,Intent,Source",
        "How do I return it?,return,phone",
        "Another colour please,exchange,web",
        "Where is it?,,web",
        "<b>When</b> is it here?,,phone",
        ",return,phone",
        "How do I return it,return,web",
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("data")
    settings = ServerSettings(port=0, lake=root / "lake", threads=1)
    with serving(settings, [], [], prepare=lambda app: mount(app, app.state.noria, root)) as running:
        yield running


def tab(page: Page, name: str) -> None:
    page.locator(f"[data-tab={name}]").click()
    page.locator(f"[data-tab={name}].here").wait_for()


@pytest.mark.parametrize(("size", "language"), [("desk", "en"), ("phone", "zh")])
def test_from_a_file_to_rows_that_training_takes(
    site: Running, browser: Browser, size: str, language: str, tmp_path: Path, inside: None
) -> None:
    watched: Watched = opened(site, browser, size, "zh-CN" if language == "zh" else "en-US")
    page = watched.page
    page.emulate_media(color_scheme="dark" if size == "phone" else "light")
    page.goto(f"{site.url}/console/data")
    watched.settle("data")
    drop = page.locator("[data-upload] input[type=file]")
    drop.set_input_files({"name": "run\u202evsc.exe", "mimeType": "text/csv", "buffer": b"\x7fELF" + bytes(99)})
    refused = page.locator("[data-told] [role=alert]")
    refused.wait_for()
    expect(refused).to_contain_text("runvsc.exe", use_inner_text=True)
    watched.faults[:] = [
        fault for fault in watched.faults if "400" not in fault
    ]  # the browser's own word for a refusal
    page.reload()
    watched.settle("data")
    file = {"name": f"客服 {language}.csv", "mimeType": "text/csv", "buffer": "\n".join(ROWS[language]).encode()}
    drop.set_input_files(file)
    page.wait_for_url(re.compile(r"/data\?set="))
    watched.settle("data")
    expect(page.locator("[data-taken]")).to_have_text("5", use_inner_text=True)
    expect(page.locator("[data-refused]")).to_have_text("1", use_inner_text=True)
    check(watched, language)

    tab(page, "label")
    page.locator("[data-one] .data-text").wait_for()
    expect(page.locator("[data-one] b")).to_have_count(0)  # shown as it was typed
    texts = [line.split(",")[0] for line in ROWS[language][3:5]]
    shown = page.locator("[data-one] .data-text")
    expect(shown).to_have_text(texts[0], use_inner_text=True)
    page.keyboard.press("1")
    page.wait_for_function("text => document.querySelector('[data-one] .data-text').innerText === text", arg=texts[1])
    page.keyboard.press("u")
    page.wait_for_function("text => document.querySelector('[data-one] .data-text').innerText === text", arg=texts[0])
    page.keyboard.press("1")
    page.wait_for_function("text => document.querySelector('[data-one] .data-text').innerText === text", arg=texts[1])
    page.locator("[data-new]").fill("新标签" if language == "zh" else "other")
    page.locator("[data-new]").press("Enter")
    page.locator("[data-done]").wait_for()
    check(watched, language)
    page.locator("[data-deed=keep]").click()
    page.wait_for_function("/[0-9a-f]{12}/.test(document.querySelector('[data-told]').innerText)")
    (name,) = [one.name for one in site.state.data.list() if language in one.name]
    assert site.state.data.get(name).current.labelled == 5

    tab(page, "check")
    page.locator("[data-look]").click()
    page.locator("[data-reason=again]").wait_for()
    expect(page.locator("[data-reason=again]")).to_have_text("1", use_inner_text=True)
    check(watched, language)
    page.locator("[data-deed=see_repeats]").click()
    page.locator("[data-rows] .data-row").nth(1).wait_for()
    page.locator("[data-tab=check]").click()
    page.locator("[data-deed=remove_repeats]").click()
    page.locator("[data-version]").nth(2).wait_for()
    check(watched, language)

    tab(page, "columns")
    expect(page.locator("[data-column]")).to_have_count(3)
    page.locator("[data-column] input[maxlength='100']").nth(2).fill("channel")
    check(watched, language)
    page.locator("button[data-columns]").click()
    page.locator("[data-taken]").wait_for()
    tab(page, "rows")
    page.locator("[data-search]").fill("channel" if language == "en" else "颜色")
    page.locator("[data-rows]").wait_for()
    page.wait_for_function("document.querySelectorAll('[data-rows] .data-row').length < 4")
    check(watched, language)

    tab(page, "versions")
    page.locator("[data-split]").click()
    page.locator("[data-download=train]").wait_for()
    with page.expect_download() as taken:
        page.locator("[data-download='']").click()
    rows = [json.loads(line) for line in Path(taken.value.path()).read_text(encoding="utf-8").splitlines()]
    assert [len(rows), {*rows[0]} >= {"id", "text", "label", "channel"}] == [4, True]
    check(watched, language)
    page.locator("[data-deed=back]").first.click()
    page.locator("[data-version]").nth(4).wait_for()
    check(watched, language)
    page.context.close()


TAGGED = {"en": ("Ann works in Leeds.", ("person", "place")), "zh": ("张三在北京工作。", ("人名", "地名"))}


def choose(page: Page, start: int, end: int) -> None:
    """Choose characters as the handles of a phone's selection do."""
    page.evaluate(
        """([start, end]) => {
            const node = document.querySelector("[data-spans]").firstChild;
            getSelection().setBaseAndExtent(node, start, node, end);
        }""",
        [start, end],
    )


@pytest.mark.parametrize(("size", "language"), [("desk", "en"), ("phone", "zh")])
def test_names_are_labelled_in_their_text(
    site: Running, browser: Browser, size: str, language: str, inside: None
) -> None:
    text, labels = TAGGED[language]
    name, words = f"names-{language}", Words(language)
    with site.state.data.part() as part:
        (part / "a.jsonl").write_text(
            "".join(json.dumps({"text": one}) + "\n" for one in (text, "…")), encoding="utf-8"
        )
        site.state.data.take(name, part / "a.jsonl", by="ann", task="tag")
    watched: Watched = opened(site, browser, size, "zh-CN" if language == "zh" else "en-US")
    page = watched.page
    page.goto(f"{site.url}/console/data?set={name}&tab=label")
    watched.settle("data")
    box, marks = page.locator("[data-spans]"), page.locator("[data-spans] mark")
    expect(box).to_have_text(text, use_inner_text=True)
    first, second = (text.index(one) for one in (("Ann", "Leeds") if language == "en" else ("张三", "北京")))
    long, wide = (3, 5) if language == "en" else (2, 2)
    if size == "desk":  # by keys alone: three characters, a label of one's own, then by words to the other name
        expect(box).to_be_focused()
        for _ in range(long):
            page.keyboard.press("Shift+ArrowRight")
    else:
        choose(page, first, first + long)
    page.locator("[data-new]").fill(labels[0])
    page.locator("[data-new]").press("Enter")
    expect(marks).to_have_attribute("data-kind", labels[0])
    expect(marks).to_have_text(text[first : first + long])
    page.locator("[data-new]").fill(labels[1])
    page.locator("[data-new]").press("Enter")
    page.locator("[data-choose]").wait_for()  # nothing was chosen
    expect(page.locator("[data-label]")).to_have_count(2)
    if size == "desk":
        for key in ("End", "Control+ArrowLeft"):
            box.press(key)
        expect(page.locator("[data-held-part]")).to_have_count(1)
        page.keyboard.press("2")
    else:
        page.evaluate(
            """([start, end]) => {
                const node = document.querySelector("[data-spans]").lastChild;
                getSelection().setBaseAndExtent(node, start, node, end);
            }""",
            [second - first - long, second - first - long + wide],
        )
        page.locator('[data-label="1"]').click()
    expect(marks).to_have_count(2)
    expect(marks.nth(1)).to_have_text(text[second : second + wide])
    expect(marks.nth(1)).to_have_attribute("data-kind", labels[1])
    check(watched, language)
    page.locator('[data-held-part="1"]').click()
    expect(marks).to_have_count(1)
    page.locator("[data-deed=undo]").click()
    expect(marks).to_have_count(2)
    page.locator("[data-deed=done]").click()
    expect(box).to_have_text("…", use_inner_text=True)
    page.locator("[data-deed=undo]").click()  # it comes again as it was left
    expect(marks).to_have_count(2)
    page.locator("[data-deed=done]").click()
    expect(box).to_have_text("…", use_inner_text=True)
    page.locator("[data-deed=done]").click()  # nothing in it, which is an answer too
    page.locator("[data-done]").wait_for()
    page.locator("[data-deed=keep]").click()
    page.wait_for_function("/[0-9a-f]{12}/.test(document.querySelector('[data-told]').innerText)")
    rows = [json.loads(line) for line in site.state.data.path(name).read_text(encoding="utf-8").splitlines()]
    wanted = [
        {"start": at, "end": at + length, "label": label}
        for at, length, label in zip((first, second), (long, wide), labels, strict=True)
    ]
    assert [row["spans"] for row in rows] == [wanted, []]
    tab(page, "rows")
    expect(page.locator("[data-rows] mark")).to_have_count(2)
    expect(page.locator("[data-rows]")).to_contain_text(words("data.none_in_it"), use_inner_text=True)
    check(watched, language)
    page.context.close()


def test_a_text_gets_several_labels_by_keys(site: Running, browser: Browser, inside: None) -> None:
    with site.state.data.part() as part:
        (part / "a.csv").write_text("text\nIt came late and broken\nAll is well\nToo dear\n")
        site.state.data.take("several", part / "a.csv", by="ann")
    watched: Watched = opened(site, browser, "desk", "en-US")
    page = watched.page
    page.goto(f"{site.url}/console/data?set=several&tab=label")
    watched.settle("data")
    shown, held = page.locator("[data-one] .data-text"), page.locator("[data-held-part]")
    expect(shown).to_have_text("It came late and broken", use_inner_text=True)
    page.locator("[data-several]").click()
    for count, label in enumerate(("late", "broken", "dear"), 1):
        page.locator("[data-new]").fill(label)
        page.locator("[data-new]").press("Enter")
        expect(held).to_have_count(count)
    shown.click()  # out of the field, where digits are typed
    page.keyboard.press("3")
    expect(held).to_have_count(2)
    page.keyboard.press("Enter")
    expect(shown).to_have_text("All is well", use_inner_text=True)
    expect(page.locator("[data-several]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(shown).to_have_text("Too dear", use_inner_text=True)
    page.keyboard.press("3")
    expect(held).to_have_count(1)
    check(watched, "en")
    page.keyboard.press("Enter")
    page.locator("[data-done]").wait_for()
    page.locator("[data-deed=keep]").click()
    page.wait_for_function("/[0-9a-f]{12}/.test(document.querySelector('[data-told]').innerText)")
    rows = [json.loads(line) for line in site.state.data.path("several").read_text().splitlines()]
    assert [row["labels"] for row in rows] == [["broken", "late"], [], ["dear"]]
    page.context.close()
