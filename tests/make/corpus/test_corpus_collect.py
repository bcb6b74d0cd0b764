"""Collecting: feedback joins its request; only who consented, masked, once; every row says where it came from."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.core.errors import InputError
from noria.core.folder import read_manifest, sha256_file
from noria.lake.erase import erase_user
from noria.lake.event import Event, new_id
from noria.lake.outbox import Outbox
from noria.lake.read import sealed_files
from noria.lake.transcript import Correction, Exchange
from noria.make.corpus.collect import collect, thumbs_in
from noria.server.meter import Meter
from noria.tasks.task import read_rows, task_for
from noria.text.personal_data import mask

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Users:
    """Asks and judges as the server records it."""

    def __init__(self, lake: Path) -> None:
        self.outbox = Outbox(lake)
        self.time = NOON
        self.meter = Meter(self.outbox, b"secret", self._now, mask)

    def _now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def ask(
        self, task: str, asked: Any, answer: dict[str, Any], *, consent: bool = True, user: str = "ann", **facts: str
    ) -> str:
        many = asked if isinstance(asked, list) else [asked]
        exchange = Exchange(task, many, [answer] * len(many))
        event = self.meter.event(
            "request", exchange=exchange, consent=consent, user=user, **{"model": "m", "tenant": "t", **facts}
        )
        self.outbox.append([event])
        return event.id

    def judge(
        self, request: str, right: bool, better: Any = None, *, index: int = 0, consent: bool = True, tenant: str = "t"
    ) -> Event:
        event = self.meter.event(
            "feedback",
            subject=request,
            value=1.0 if right else -1.0,
            exchange=Correction(index, better),
            consent=consent,
            tenant=tenant,
        )
        self.outbox.append([event])
        return event


@pytest.fixture
def users(tmp_path: Path):
    made = Users(tmp_path / "lake")
    yield made
    made.outbox.close()


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_judged_answer_is_a_row_or_a_reason(users, tmp_path):
    ask, judge = users.ask, users.judge
    judge(ask("classify", "很好，打13800138000", {"label": "positive", "score": 0.9}), True)
    judge(ask("classify", "太差", {"label": "positive"}), False, "negative")
    judge(ask("classify", ["一般", "失望"], {"label": "positive"}), False, "negative", index=1)
    changed = ask("classify", "很慢", {"label": "positive"})
    judge(changed, True)
    judge(changed, False, "negative")  # the last word holds
    for _ in range(2):
        judge(ask("classify", "快递很快", {"label": "positive"}), True)
    judge(ask("classify", "没同意", {"label": "positive"}, consent=False), True)
    judge(ask("classify", "只说错", {"label": "positive"}), False)
    judge(ask("classify", ["两条", "三条"], {"label": "positive"}), True, consent=False)
    judge(ask("classify", "别家的", {"label": "positive"}), True, tenant="other")
    judge(ask("classify", "越界", {"label": "positive"}), True, index=3)
    judge(ask("classify", "空", {"label": "positive"}), False, "   ")
    judge(ask("tag", "找王芳", {"spans": []}), True)
    judge(new_id(), True)
    for label in ("positive", "negative"):
        judge(ask("classify", "一会好一会坏", {"label": label}), True)
    users.outbox.seal(before=NOON + timedelta(days=1))
    judge(ask("classify", "封存之后", {"label": "negative"}), True, consent=False)  # one text: there is no doubt which
    out = collect(tmp_path / "lake", "classify", tmp_path / "rows")
    assert [(row["text"], row["label"]) for row in rows_in(out)] == [
        ("很好，打<PHONE>", "positive"),
        ("太差", "negative"),
        ("失望", "negative"),
        ("很慢", "negative"),
        ("快递很快", "positive"),
        ("封存之后", "negative"),
    ]
    assert json.loads((out / "drops.json").read_text()) == {
        "told two truths": 2,
        "said before": 1,
        "without consent, or its text is no longer kept": 1,
        "wrong, and nothing better told": 1,
        "about one of several texts, told without consent": 1,
        "about another customer's request": 1,
        "about a text that was not there": 1,
        "no row of the task": 1,
        "about another task": 1,
        "about no request there is": 1,
    }


def test_rows_name_their_origin_by_hash(users, tmp_path):
    request = users.ask("classify", "很好", {"label": "positive"}, version="abc123")
    told = users.judge(request, True)
    users.outbox.seal(before=NOON + timedelta(days=1))
    out = collect(tmp_path / "lake", "classify", tmp_path / "rows")
    row = (out / "rows.jsonl").read_text(encoding="utf-8").rstrip("\n")
    provenance = json.loads((out / "provenance.jsonl").read_text())
    assert provenance["sha256"] == hashlib.sha256(row.encode()).hexdigest()
    assert (provenance["request"], provenance["feedback"], provenance["version"]) == (request, told.id, "abc123")
    manifest = read_manifest(out)
    (file,) = sealed_files(tmp_path / "lake")
    assert [source.sha256 for source in manifest.sources] == [sha256_file(file)]
    assert (manifest.kind, manifest.facts["rows"], manifest.facts["verdicts"]) == ("rows", 1, {"right": 1})
    assert len(read_rows(out / "rows.jsonl", task_for("classify"))) == 1


SPAN = {"start": 14, "end": 16, "label": "person"}


@pytest.mark.parametrize(
    ("task", "asked", "answer", "better", "row"),
    [
        (
            "classify",
            "又慢又贵",
            {"labels": ["slow"]},
            ["slow", "dear"],
            {"text": "又慢又贵", "labels": ["dear", "slow"]},
        ),
        ("classify", {"text": "a", "pair": "b"}, {"label": "same"}, None, {"text": "a", "pair": "b", "label": "same"}),
        ("numeric", {"features": [1.0, 2.0]}, {"label": "x"}, "y", {"features": [1.0, 2.0], "label": "y"}),
        (
            "tag",
            "13800138000 找王芳",
            {"spans": [{"start": 13, "end": 15, "label": "person"}]},
            None,
            {"text": "<PHONE> 找王芳", "spans": [{"start": 9, "end": 11, "label": "person"}]},
        ),
        (
            "tag",
            "13800138000 去找王芳",
            {"spans": []},
            [SPAN],
            {"text": "<PHONE> 去找王芳", "spans": [{"start": 10, "end": 12, "label": "person"}]},
        ),
        (
            "answer",
            {"context": "北京在北方", "question": "在哪"},
            {"text": "北方", "start": 3},
            None,
            {"context": "北京在北方", "question": "在哪", "answers": [{"text": "北方", "start": 3}]},
        ),
        (
            "answer",
            {"context": "北京在北方", "question": "在哪"},
            {"text": "北京"},
            "北方",
            {"context": "北京在北方", "question": "在哪", "answers": [{"text": "北方", "start": 3}]},
        ),
        ("translate", "你好", {"text": "bye"}, "hello", {"source": "你好", "target": "hello"}),
        (
            "chat",
            {"messages": [{"role": "user", "content": "在吗"}]},
            {"text": "在"},
            None,
            {"messages": [{"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在"}]},
        ),
        ("complete", "床前", {"text": "明月光"}, None, {"text": "床前明月光"}),
    ],
)
def test_every_task_gives_its_rows(users, tmp_path, task, asked, answer, better, row):
    users.judge(users.ask("causal" if task == "complete" else task, asked, answer), better is None, better)
    out = collect(tmp_path / "lake", task, tmp_path / "rows")
    assert rows_in(out) == [row]
    assert read_rows(out / "rows.jsonl", task_for(task))


def test_a_choice_among_offers_is_a_word_on_the_question(users, tmp_path):
    turns = {"messages": [{"role": "user", "content": "装不上"}]}
    request = users.ask("chat", turns, {"text": "您是想问：1. 怎么安装？"}, app="support")
    chosen = users.meter.event(
        "request",
        subject=request,
        exchange=Correction(0, "运行 pip install。"),
        consent=True,
        tenant="t",
        app="support",
    )
    users.outbox.append([chosen])
    (row,) = rows_in(collect(tmp_path / "lake", "chat", tmp_path / "rows"))
    assert row["messages"][-1] == {"role": "assistant", "content": "运行 pip install。"}


def test_labels_of_several_models_are_not_mixed(users, tmp_path):
    for model in ("sentiment", "topics"):
        users.judge(users.ask("classify", f"{model} 的话", {"label": "a"}, model=model), True)
    with pytest.raises(InputError, match=r"several models answered.*sentiment, topics.*--model"):
        collect(tmp_path / "lake", "classify", tmp_path / "rows")
    out = collect(tmp_path / "lake", "classify", tmp_path / "rows", model="topics")
    assert [row["text"] for row in rows_in(out)] == ["topics 的话"]


def test_an_erased_user_gives_no_row(users, tmp_path):
    for user in ("ann", "bob"):
        users.judge(users.ask("classify", f"{user} 说好", {"label": "positive"}, user=user), True)
    gone = users.meter.event("request", user="ann").user
    erase_user(tmp_path / "lake", gone)
    assert [row["text"] for row in rows_in(collect(tmp_path / "lake", "classify", tmp_path / "rows"))] == ["bob 说好"]


def test_nothing_to_collect_is_told_with_the_reasons(users, tmp_path):
    with pytest.raises(InputError, match=r"no classify row can be made: found 'no feedback'"):
        collect(tmp_path / "lake", "classify", tmp_path / "rows")
    users.judge(users.ask("classify", "没同意", {"label": "a"}, consent=False), True)
    with pytest.raises(InputError, match=r"1 without consent"):
        collect(tmp_path / "lake", "classify", tmp_path / "rows")
    with pytest.raises(InputError, match="cannot be collected: found 'embed'"):
        collect(tmp_path / "lake", "embed", tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_every_thumb_on_a_chat_is_a_row_and_a_better_answer_one_that_was_liked(users, tmp_path):
    def ask(text: str, **facts: Any) -> str:
        return users.ask(
            "chat", {"messages": [{"role": "user", "content": text}]}, {"text": "叫我13800138000"}, **facts
        )

    users.judge(ask("打给谁"), True)
    users.judge(ask("怎么退"), False)
    users.judge(ask("何时到"), False, "明天")
    users.judge(ask("不同意", consent=False), False)
    users.judge(users.ask("classify", "很好", {"label": "positive"}), True)
    with pytest.raises(InputError):
        thumbs_in(tmp_path)
    found = [(row["messages"][-1]["content"], row["completion"], row["label"]) for row in thumbs_in(tmp_path / "lake")]
    assert found == [
        ("打给谁", "叫我<PHONE>", True),
        ("怎么退", "叫我<PHONE>", False),
        ("何时到", "叫我<PHONE>", False),
        ("何时到", "明天", True),
    ]
