"""Training and work on models in a real browser: what is missing is told, a plan, a run that is followed, runs side by side, one judged beside another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from serving import until
from tiny_models import make_encoder

from noria.console import runs
from noria.console.mount import mount
from noria.core.folder import read_manifest
from noria.server.jobs import FINAL
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
    from playwright.sync_api import Browser, Page

    from noria.server.http.run import Running

__all__ = ["browser", "pytestmark"]
ROWS = "".join(f"第{number}间房 很好 great,好评\n第{number}次 太差 awful,差评\n" for number in range(30))


@pytest.fixture(scope="module")
def site(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("train")
    make_encoder(root / "base", "embed", [], 2, compiled=False)
    for seed in (0, 1):
        make_encoder(root / f"model-{seed}", "classify", ["好评", "差评"], 2, compiled=False, seed=seed)
    (root / "rows.csv").write_text("内容,标签\n" + ROWS, encoding="utf-8")
    settings = ServerSettings(port=0, lake=root / "lake", threads=1)
    served = [root / "model-0"]
    with serving(settings, served, prepare=lambda app: mount(app, app.state.noria, root)) as running:
        # A run of before, whose folder is there.
        made = {"kind": "finetune", "test": "rows.csv"}
        running.state.jobs.add(["completion", "bash"], "model-1", "somebody", root / "model-1", facts=made)
        yield running


def chosen(page: Page, place: str, field: str, option: str) -> None:
    page.locator(f"{place} [data-field={field}]").first.click()
    page.get_by_role("option", name=option, exact=True).click()


def whole(watched: Watched, language: str) -> None:
    """See that nothing is cut off, wider than the screen, or in another language."""
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(CUT) == []
    assert untranslated(page.evaluate(UNTRANSLATED), language) == []


def test_a_model_is_planned_trained_and_compared(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "desk", "zh-CN")
    page, root = watched.page, site.state.root
    page.goto(f"{site.url}/console/train")
    watched.settle("train")
    name = page.locator("[data-form] [data-field=name]")
    free = name.input_value() if name.evaluate("e => e.tagName") == "INPUT" else name.locator("input").input_value()
    assert free == "model-2"
    page.locator("[data-go=start]").click()  # the first rows and the first base are chosen already
    page.get_by_text("等待").or_(page.get_by_text("运行中")).first.wait_for()
    job = site.state.jobs.list()[-1]
    site.state.jobs.stop(job.id)
    until(lambda: site.state.jobs.get(job.id).state in FINAL)
    page.locator("[data-deed=resume]").wait_for()
    # What is missing is told beside the buttons.
    field = page.locator("[data-form] input[data-field=name], [data-form] [data-field=name] input").first
    field.fill("")
    page.locator("[data-go=start]").click()
    page.locator("[data-form] [role=alert]").get_by_text("缺少模型名称").wait_for()
    field.fill("base")
    page.locator("[data-go=start]").click()
    page.locator("[data-form] [role=alert]").get_by_text("请换一个名称").wait_for()
    # Of a few steps, with rows that judge; the plan runs beside it.
    field.fill("run-2")
    page.locator(".train-further summary").click()
    page.locator("[data-form] input[data-field=steps], [data-form] [data-field=steps] input").first.fill("40")
    chosen(page, "[data-form]", "test", "rows.csv")
    page.locator("[data-go=start]").click()
    page.locator("[data-go=plan]").click()
    page.locator("[data-plan] [data-figures] .figure").first.wait_for()
    assert re.search("内存最多约 .* GB", page.locator("[data-plan]").inner_text())
    page.locator("[data-run=run-2] [data-state=done]").wait_for()
    page.locator("[data-job] [data-figures] .figure").first.wait_for()
    page.locator("[data-job] [data-curve] canvas, [data-job] [data-curve] svg").first.wait_for()
    whole(watched, "zh")
    # Beside a run of before; their difference on the same rows.
    for run in ("run-2", "model-1"):
        page.locator(f"[data-run={run}] .q-checkbox").click()
    page.locator("[data-side=run-2] .figure").first.wait_for()
    expect(page.locator("[data-beside] table")).to_contain_text("seed", use_inner_text=True)
    page.locator("[data-paired]").click()
    page.locator("[data-beside] .figure").get_by_text("超出 model-1").wait_for()
    whole(watched, "zh")
    assert read_manifest(root / "run-2").settings["steps"] == 40
    entries = [entry.action for entry in site.state.audit.entries()]
    assert entries.count("job.start") == 4
    assert watched.faults == []
    page.context.close()


def test_a_ranker_is_planned_and_learns_from_what_people_did(site: Running, browser: Browser) -> None:
    root = site.state.root
    (root / "items.csv").write_text("id,title\n" + "".join(f"i{one},Lamp {one}\n" for one in range(8)))
    deeds = "".join(f"u{user},i{(user + turn) % 8},2026-01-{turn + 1:02d}\n" for user in range(40) for turn in range(6))
    (root / "clicks.csv").write_text("user,item,time\n" + deeds)
    watched = opened(site, browser, "phone", "en-US")
    page = watched.page
    page.goto(f"{site.url}/console/train")
    watched.settle("train")
    kind = page.locator("[data-form] [data-field=kind]").first
    for option in ("align: a chat model with what people prefer", "pretrain: a language model on a corpus"):
        kind.click()
        page.get_by_role("option", name=option, exact=True).click()
        page.locator("[data-form] [data-field=task]").first.wait_for(state="hidden")
        whole(watched, "en")
    page.get_by_text("No corpus lies below the folder").wait_for()
    kind.click()
    page.get_by_role("option", name="recommend: a ranker that learns from what people did", exact=True).click()
    page.locator("[data-go=plan]").click()
    page.locator("[data-form] [role=alert]").get_by_text("a file of rows is missing").wait_for()
    chosen(page, "[data-form]", "rows", "items.csv")
    chosen(page, "[data-form]", "behaviour", "clicks.csv")
    page.locator("[data-form] input[data-field=name], [data-form] [data-field=name] input").first.fill("shop")
    page.locator("[data-go=plan]").click()
    page.locator("[data-plan] .said-lines").get_by_text("clicks.csv, 240 rows").wait_for()
    assert not (root / "shop").exists()
    page.locator("[data-go=start]").click()
    page.locator("[data-run=shop] [data-state=done]").wait_for()
    page.locator("[data-job] [data-figures] .figure").first.wait_for()
    whole(watched, "en")
    assert (root / "shop").is_dir()
    assert watched.faults == []
    page.context.close()


def test_models_are_judged_side_by_side_and_put_to_work_on_a_phone(site: Running, browser: Browser) -> None:
    watched = opened(site, browser, "phone", "en-US")
    page = watched.page
    page.goto(f"{site.url}/console/models")
    watched.settle("models")
    work = "[data-work=evaluate]"
    for field, option in (("model", "model-0"), ("rows", "rows.csv"), ("beside", "model-1")):
        chosen(page, work, field, option)
    page.locator("[data-go=evaluate]").click()
    page.locator(f"{work} .figure").get_by_text("above model-1").wait_for()
    live = page.locator("[data-live=model-0]")
    before = site.state.models["model-0"].version
    live.locator("[data-action=swap]").click()
    live.locator("[role=alert]").wait_for()  # no folder is chosen
    chosen(page, "[data-live]", "folder", "model-1")
    live.locator("[data-action=swap]").click()
    live.get_by_text("live: model-1").wait_for()
    assert site.state.models["model-0"].version != before
    live.locator("[data-action=roll_back]").click()
    live.get_by_text("live: model-0").wait_for()
    assert site.state.models["model-0"].version == before
    # Tried beside what is live, then on every request; put aside, and made live.
    for mode, ended, told in (("shadow", "end", "live: model-0"), ("canary", "promote", "live: model-1")):
        chosen(page, "[data-live]", "folder", "model-1")
        live.locator("input[data-field=share], [data-field=share] input").first.fill("100")
        live.locator(f"[data-action={mode}]").click()
        live.locator("[data-trial]").wait_for()
        asked = httpx.post(f"{site.url}/v1/classify", json={"input": "很好 great"}, headers=site.headers)
        assert asked.status_code == 200
        whole(watched, "en")
        live.locator(f"[data-action={ended}]").click()
        live.locator("[data-trial]").wait_for(state="detached")
        live.get_by_text(told).first.wait_for()
    made = "[data-work=compress]"
    for field, option in (("model", "model-0"), ("rows", "rows.csv")):
        chosen(page, made, field, option)
    page.locator(f"{made} [data-go=compress]").click()
    page.locator(f"{made} [role=alert]").get_by_text("a name for the model is missing").wait_for()
    page.locator(f"{made} input[data-field=name]").fill("small")
    page.locator(f"{made} [data-go=compress]").click()
    page.locator(f"{made} [data-state=done], {made} [data-state=failed]").wait_for()
    expect(page.locator(f"{made} [data-tables] tbody tr").first).to_be_visible()  # what was tried, faster or not
    whole(watched, "en")
    assert watched.faults == []
    page.context.close()


def test_curves_figures_and_differences_are_read_from_what_jobs_said(tmp_path: Path) -> None:
    said = [{"event": "note", "line": "x", "to_beat": {"name": "accuracy", "value": 0.8, "n": 10}}]
    said += [
        {
            "event": "progress",
            "title": "run",
            "unit": "step",
            "done": step,
            "total": 4,
            "loss": 1 / step,
            "accuracy": score,
        }
        for step, score in ((1, 0.5), (2, 0.5), (4, 0.7), (3, 0.9))  # killed after the fourth
    ]
    curves = runs.curves_of(said)
    assert curves.loss == [[1, 1], [2, 0.5], [3, 1 / 3]]
    assert curves.scores == {"accuracy": [[1, 0.5], [3, 0.9]]}
    assert curves.to_beat
    assert curves.to_beat.value == 0.8
    assert runs.share_done(said) == 0.75
    assert runs.share_done([]) is None
    assert runs.differences([{"a": {"b": 1}, "c": 2}, {"a": {"b": 1}}]) == [("c", [2, None])]
