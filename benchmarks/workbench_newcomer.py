"""A newcomer in a real browser: brings a table, trains, compares, deploys, asks, answers a customer who was handed over, adds a source.

Each is done on the pages, by what stands on them, on a server with a small model that answers already; the models are tiny, for what is timed is
the way and not the learning. On the way things are done wrong, as people do them: what the page says must name what is wrong, and the same
place must take what is right. A source cannot be added on a page: there the command is typed that the page names, and mended by its errors.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx

from noria.core.messages import message

from .line import Line, single
from .served import Server, make_classifier, make_embedder, served
from .workbench_browser import browser, settle, signed_in
from .workbench_jobs import rows
from .workbench_materials import WANTED_MINUTES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from noria.console.words import Words

NAME = "workbench"
Language = Literal["en", "zh"]
LOCALES: dict[Language, str] = {"en": "en-US", "zh": "zh-CN"}
PERSON = {"en": "I want to talk to a person", "zh": "我要转人工"}
TOLD_MS = 15_000.0
"""Milliseconds within which a page says what is wrong."""
MINUTES_MS = 180_000.0
"""Milliseconds that a training or a judgement of some steps is waited for."""


@dataclass
class Day:
    """What a newcomer did."""

    language: Language
    seconds: dict[str, float] = field(default_factory=dict)
    """Task that was done -> how long it took."""
    failed: dict[str, str] = field(default_factory=dict)
    """Task that was not -> what was waited for in vain."""
    beyond: list[str] = field(default_factory=list)
    """Tasks for which a page was not enough."""
    mended: list[bool] = field(default_factory=list)
    """Of each thing done wrong: whether what was said named it, and the same place then took what was right."""


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick is a day in English, else one in each language."""
    languages: tuple[Language, ...] = ("en",) if quick else ("en", "zh")
    with browser() as chromium:
        days = [day(chromium, language) for language in languages]
    return lines_of(days)


def lines_of(days: list[Day]) -> list[Line]:
    """Return the lines of some days."""
    done = [task for one in days for task in one.seconds]
    count = len(done) + sum(len(one.failed) for one in days)
    alone = len(done) - sum(task in one.seconds for one in days for task in one.beyond)
    minutes = max(sum(one.seconds.values()) for one in days) / 60
    mended = [one for day in days for one in day.mended]
    here = f"a newcomer's day in a browser, {' and '.join(one.language for one in days)}"
    return [
        single(NAME, f"{here}: tasks done", len(done) / count, 1.0, "wanted: all", "share", count),
        single(NAME, f"{here}: tasks done on the pages alone", alone / count, 1.0, "wanted: all", "share", count),
        single(
            NAME,
            f"{here}: all that was done",
            minutes,
            WANTED_MINUTES,
            "wanted for one of them, at most",
            "minutes",
            len(days),
            higher_is_better=False,
        ),
        single(
            NAME, "errors mended by what they say", sum(mended) / len(mended), 1.0, "wanted: all", "share", len(mended)
        ),
    ]


def day(chromium: Browser, language: Language) -> Day:
    """Return a day of a newcomer on a server of their own."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        root = Path(folder)
        models = make_classifier(root / "live"), make_embedder(root / "base")
        flags = ("--console", str(root), "--apps", "support", "--monitor.models", str(models[0]), "--threads", "1")
        with served(root / "lake", *models, flags=flags) as server:
            context = signed_in(chromium, server.url, server.key, locale=LOCALES[language])
            walked = _Walk(context.new_page(), server, root, Day(language))
            for task, work in walked.tasks():
                walked.do(task, work)
            context.close()
            return walked.day


class _Walk:
    """The pages as a newcomer goes through them."""

    def __init__(self, page: Page, server: Server, root: Path, day: Day) -> None:
        from noria.console.words import Words

        self.page, self.server, self.root, self.day = page, server, root, day
        self.words: Words = Words(day.language)
        self.rows = ""
        """Name of the data set that the table has become."""

    def tasks(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the tasks in their order."""
        yield "brings a table", self.bring
        yield "trains", self.train
        yield "compares", self.compare
        yield "deploys", self.deploy
        yield "asks", self.ask
        yield "answers a handover", self.answer
        yield "adds a source", self.add_source

    def do(self, task: str, work: Callable[[], None]) -> None:
        """Do a task, or note that it came to a dead end."""
        from playwright.sync_api import Error

        began = time.perf_counter()
        try:
            work()
        except (Error, RuntimeError, httpx.HTTPError) as error:
            self.day.failed[task] = str(error).splitlines()[0]
        else:
            self.day.seconds[task] = time.perf_counter() - began
        told = self.day.failed.get(task) or f"{self.day.seconds[task]:.1f} s"
        print(f"workbench, {self.day.language}: {task}: {told}", file=sys.stderr)

    def open(self, name: str) -> None:
        """Open a page."""
        self.page.goto(f"{self.server.url}/console/{name}")
        settle(self.page, name)

    def wrong(self, place: str, names: str) -> None:
        """Note whether what a place says of something done wrong names what it must."""
        from playwright.sync_api import TimeoutError

        try:
            self.page.locator(f"{place} [role=alert]", has_text=names).first.wait_for(timeout=TOLD_MS)
        except TimeoutError:
            self.day.mended.append(False)
        else:
            self.day.mended.append(True)

    def choose(self, place: str, name: str, option: str) -> None:
        """Choose in a field."""
        self.page.locator(f"{place} [data-field={name}]").first.click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def bring(self) -> None:
        """Drop a program, which is refused by its name, then the table."""
        self.open("data")
        drop = self.page.locator("[data-upload] input[type=file]")
        drop.set_input_files({"name": "rows.exe", "mimeType": "text/csv", "buffer": b"\x7fELF" + bytes(99)})
        self.wrong("[data-told]", "rows.exe")
        self.page.reload()
        settle(self.page, "data")
        drop.set_input_files({"name": "客服.csv", "mimeType": "text/csv", "buffer": table().encode("gb18030")})
        self.page.wait_for_url(re.compile(r"/data\?set="))
        settle(self.page, "data")
        if self.page.locator("[data-taken]").inner_text() != "600":
            raise RuntimeError("not every row was taken")
        self.rows = str(self._api().get("/data").json()["data"][0]["name"])

    def train(self) -> None:
        """Start without a name, and under one that is taken; then a training of some steps."""
        self.open("train")
        name = self.page.locator("[data-form] input[data-field=name], [data-form] [data-field=name] input").first
        self.page.locator(".train-further summary").click()
        steps = self.page.locator("[data-form] input[data-field=steps], [data-form] [data-field=steps] input").first
        steps.fill("60")
        name.fill("")
        self._start()
        self.wrong("[data-form]", message("jobs.field_name")[self.day.language])
        name.fill("live")
        self._start()
        self.wrong("[data-form]", "live")
        name.fill("mine")
        self._start()
        self.page.locator("[data-run=mine] [data-state=done]").wait_for(timeout=MINUTES_MS)

    def compare(self) -> None:
        """Judge the new model on the table's rows beside the one that answers."""
        self.open("models")
        for name, option in (("model", "mine"), ("rows", self.rows), ("beside", "live")):
            self.choose("[data-work=evaluate]", name, option)
        self.page.locator("[data-go=evaluate]").click()
        self.page.locator("[data-work=evaluate] .figure").first.wait_for(timeout=MINUTES_MS)

    def deploy(self) -> None:
        """Swap without a folder, which is refused; then let the new model answer."""
        self.open("models")
        live = self.page.locator("[data-live=live]")
        live.locator("[data-action=swap]").click()
        self.wrong("[data-live=live]", self.words("work.no_folder"))
        self.choose("[data-live=live]", "folder", "mine")
        live.locator("[data-action=swap]").click()
        told = self.words("work.live", folder="mine", version="\0").partition("\0")[0].strip()
        live.get_by_text(told).first.wait_for(timeout=MINUTES_MS)

    def ask(self) -> None:
        """Ask it in the playground."""
        self.open("playground")
        self.page.locator("[data-go=classify]").click()
        self.page.locator("[data-result=classify] .score").first.wait_for()

    def answer(self) -> None:
        """As a customer, ask for a person; as that person, take the conversation and answer."""
        self.open("support")
        self.page.locator(".ask input").fill(PERSON[self.day.language])
        self.page.locator("[data-send]").click()
        self.page.locator("[data-action=handover]").first.wait_for()
        self.open("inbox")
        self.page.locator("[data-row]").first.click()
        self.page.locator("[data-deed=claim]").click()
        self.page.locator("[data-deed=resolve]").wait_for()
        self.page.locator("[data-entry]").fill("OK")
        self.page.locator("[data-deed=send]").click()
        self.page.locator("[data-turn=person]").wait_for()

    def add_source(self) -> None:
        """Type the command that the page names; where it refuses, what it says is added."""
        self.day.beyond.append("adds a source")
        self.open("monitor")
        named = next(one for one in self.page.locator("code").all_inner_texts() if "ship watch" in one)
        told = "The Lumo gets hot while it charges.\nStill no refund.\n"
        (self.root / "posts.txt").write_text(told, encoding="utf-8")
        listed = '[[source]]\nname = "posts"\nkind = "file"\npath = "posts.txt"\n'
        (self.root / "sources.toml").write_text(listed, encoding="utf-8")
        words = [*named.split()[1:], "--once"]
        refused = self._typed(words)
        self.day.mended.append(refused.returncode == 2 and "--server" in refused.stderr)
        done = self._typed([*words, "--server", self.server.url, "--key", self.server.key])
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or "no words").splitlines()[-1])
        self.open("monitor")
        self.page.locator('[data-source="posts"]').wait_for()

    def _start(self) -> None:
        self.page.locator("[data-go=start]").click()

    def _typed(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "noria", *words]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def _api(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.server.url, headers={"authorization": f"Bearer {self.server.key}"}, timeout=60
        )


def table() -> str:
    """Return the table, as a team's own: columns in Chinese."""
    return (
        rows().replace("text,label", "客户消息,意图").replace(",good\n", ",positive\n").replace(",bad\n", ",negative\n")
    )
