"""Past dialogues: read in any form, mined into proposals that hold nobody's data, accepted by a person, and judged."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from noria.apps.support.certainty import PRIOR, Certainty, Seen
from noria.apps.support.dialogues import read_dialogues
from noria.apps.support.faq import read_faq
from noria.apps.support.judging import outcomes, read_asked, stated
from noria.apps.support.mining import exchanges, groups, mine
from noria.apps.support.replies import Choice, Costs, Reply
from noria.apps.support.review.proposals import beside
from noria.core.errors import InputError
from noria.text.personal_data import find

TALKS = [
    [("客户", "你好"), ("客服", "您好"), ("客户", "怎么退货？"), ("客服", "签收后七天内可以退货。"), ("客户", "谢谢")],
    [("客户", "请问怎么退货"), ("客服", "签收后七天内可以退货。"), ("客户", "我的电话是13800138000"), ("客服", "收到")],
    [("客户", "怎么退货呢？"), ("客服", "您的订单号是多少？"), ("客户", "保修多久？"), ("客服", "整机保修一年。")],
    [("客户", "保修多久"), ("客服", "整机保修一年。请联系 zhang.wei@163.com"), ("客户", "转人工")],
]


def written(folder: Path, form: str) -> Path:
    if form == "rows.csv":
        rows = [["会话ID", "角色", "内容"]]
        rows += [[str(at), who, text] for at, talk in enumerate(TALKS) for who, text in talk]
        text = "\n".join(",".join(row) for row in rows)
    elif form == "turns.jsonl":
        text = "\n".join(
            json.dumps({"turns": [{"speaker": who, "text": text} for who, text in talk]}, ensure_ascii=False)
            for talk in TALKS
        )
    elif form == "messages.json":
        roles = {"客户": "user", "客服": "assistant"}
        text = json.dumps(
            [{"messages": [{"role": roles[who], "content": text} for who, text in talk]} for talk in TALKS]
        )
    else:
        text = "\n".join(json.dumps({"chat": "\n".join(f"{who}：{text}" for who, text in talk)}) for talk in TALKS)
    file = folder / form
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("form", ["rows.csv", "turns.jsonl", "messages.json", "texts.jsonl"])
def test_dialogues_are_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    sides = {"客户": "customer", "客服": "desk"}
    found = [[(turn.speaker, turn.text) for turn in one] for one in read_dialogues(written(tmp_path, form))]
    assert found == [[(sides[who], text) for who, text in talk] for talk in TALKS]


def test_who_is_not_named_is_told_by_who_speaks_first(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    turns = [{"from": name, "text": text} for name, text in (("小王", "怎么退货"), ("小二", "七天内"), ("小王", "好"))]
    file.write_text(json.dumps({"turns": turns}), encoding="utf-8")
    assert [turn.speaker for turn in next(read_dialogues(file))] == ["customer", "desk", "customer"]


def test_proposals_are_counted_ranked_and_hold_nobodys_data(tmp_path: Path) -> None:
    read = list(read_dialogues(written(tmp_path, "turns.jsonl")))
    found = asyncio.run(mine(read, near=0.5))
    assert [(one.asked, one.answer) for one in found] == [(3, "签收后七天内可以退货。"), (2, "整机保修一年。")]
    assert [one.asked for one in found] == sorted((one.asked for one in found), reverse=True)
    assert not find(asyncio.run(beside(tmp_path / "none.csv", found)).csv().decode("utf-8-sig"))
    assert not any("13800138000" in text for pair in exchanges(read) for text in pair)


def test_only_what_a_person_accepted_is_known(tmp_path: Path) -> None:
    file = tmp_path / "proposals.csv"
    found = asyncio.run(mine(read_dialogues(written(tmp_path, "turns.jsonl")), near=0.5))
    file.write_bytes(asyncio.run(beside(file, found)).csv())
    with pytest.raises(InputError, match="holds no question"):
        read_faq(file)
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    rows[1][0] = "是"
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows(rows)
    faq = read_faq(file)
    assert [entry.answer("zh") for entry in faq.entries] == ["签收后七天内可以退货。"]
    assert not any("not used" in note for note in faq.notes)


def test_groups_part_all_rows_and_keep_what_is_near_together() -> None:
    random = np.random.default_rng(0)
    centres = np.eye(12)[:6]
    truth = random.integers(0, 6, 200)
    vectors = centres[truth] + 0.12 * random.normal(size=(200, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = groups(vectors, random.integers(1, 9, 200), 0.7)
    assert sorted(int(row) for group in found for row in group) == list(range(200))
    assert all(len(set(truth[group])) == 1 for group in found)
    assert len(found) <= 8


@pytest.mark.parametrize("text", ["", "{}", '{"turns": [3]}'])
def test_a_file_without_turns_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        list(read_dialogues(file))


# Judging and budgets


def test_rows_to_judge_by_name_an_entry_by_id_question_or_answer(tmp_path: Path) -> None:
    faq_file, file = tmp_path / "faq.csv", tmp_path / "rows.csv"
    faq_file.write_text("id,question,answer\nr,怎么退货,七天内\nw,保修多久,一年\n", encoding="utf-8")
    faq = read_faq(faq_file)
    file.write_text("question,entry\n退货呢,r\n能退吗,怎么退货？\n坏了,一年\n今天下雨吗,\n", encoding="utf-8")
    assert [entry for entry, _ in read_asked(file, faq)] == ["r", "r", "w", ""]
    file.write_text("question,entry\n退货呢,x\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2.*unknown entry"):
        read_asked(file, faq)


def test_outcomes_are_shares_of_all() -> None:
    answer = Reply("answer", "zh", "", 0.9, "a", (Choice("a", ""),))
    back = Reply("confirm", "zh", "", 0.5, "", (Choice("b", ""), Choice("a", "")))
    person = Reply("handover", "zh", "", 0.1)
    rows = [("a", answer), ("b", answer), ("a", back), ("b", person), ("", person), ("", answer), ("", back)]
    found = {figure.name: (figure.value, figure.n) for figure in outcomes(rows)}
    assert [found[name] for name in ("right", "wrong", "asked back", "handed over")] == [(0.25, 4)] * 4
    assert sum(value for name, (value, n) in found.items() if name.startswith("out of scope")) == pytest.approx(1)
    assert stated(rows) == [(0.9, True), (0.9, False), (0.5, False), (0.9, False), (0.5, False)]
    assert stated([("b", back), ("b", Reply("answer", "zh", "", 0.3, parts=(answer, back)))]) == [(0.5, True)]


@pytest.mark.parametrize("wrong", [0.01, 0.02, 0.05, 0.2])
def test_a_threshold_keeps_its_budget_on_what_it_saw_and_allows_no_more_for_less(wrong: float) -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(size=600)
    right = random.uniform(size=600) < chance
    inside = random.uniform(size=600) < 0.7
    right &= inside
    sure = Certainty(PRIOR, 1.0, Seen(chance, right, np.ones(600), (~inside).astype(int), np.ones(600, dtype=bool)))
    least, figure = sure.least(wrong)
    answered = chance >= least
    for rows in (inside, ~inside):
        assert (rows & answered & ~right).sum() / (rows.sum() + 15 * (rows is inside)) <= wrong
    assert sure.least(wrong / 2)[0] >= least
    assert figure.low is not None
    assert figure.low <= figure.value <= wrong
    assert Costs(least={"zh": least}).action(least, 1.0, "zh") == "answer"
    assert Costs(least={"zh": least}).action(least - 1e-9, 1.0, "zh") == "confirm"


def test_a_few_observations_allow_nothing_yet() -> None:
    yes = np.ones(10, dtype=bool)
    sure = Certainty(PRIOR, 1.0, Seen(np.ones(10), yes, np.ones(10), np.zeros(10), yes))
    assert sure.least(0.01)[0] > 1
    assert Costs(least={"zh": 1.01}).action(1.0, 1.0, "zh") == "confirm"
