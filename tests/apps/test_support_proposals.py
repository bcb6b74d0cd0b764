"""Proposals: a table of which people own the rows, what a desk knows of it, and a served desk that knows at once what is accepted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.support.faq import BUNDLED, Faq, read_faq, with_more
from noria.apps.support.mining import Proposal
from noria.apps.support.opening import what_is_known
from noria.apps.support.plain import plain
from noria.apps.support.review.table import State, Table, accepted, read_table
from noria.apps.support.routes import Support
from noria.core.errors import InputError

if TYPE_CHECKING:
    from noria.server.http.run import Running

QUESTIONS = ("可以刻字吗？", "How do I return, and when?", "怎么修灯", 'the "small" lamp?', "=1+1 是多少")
ANSWERS = ("可以，\n每字五元。", "Within 7 days; free.", "请寄回, 我们修", "")
proposals = st.lists(
    st.builds(
        Proposal,
        st.integers(1, 99),
        st.sampled_from(QUESTIONS),
        st.lists(st.sampled_from(["能刻字吗", "say it, again"]), max_size=2, unique=True).map(tuple),
        st.sampled_from(ANSWERS),
        st.just(("chats.csv",)),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda one: one.question,
)


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))


def written(folder: Path, new: list[Proposal]) -> Table:
    file = folder / "proposals.csv"
    file.write_bytes(Table(file, new=tuple(new)).csv())
    return read_table(file)


@given(proposals, st.data())
def test_one_row_changes_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, new: list[Proposal], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("table")
    table = written(folder, new)
    held = table.held()
    assert [(one.asked, one.question, one.similar, one.answer) for one in held] == [
        (one.asked, one.question, one.similar, one.answer) for one in new
    ]
    assert {one.state for one in held} == {"waiting"}
    at = data.draw(st.integers(0, len(held) - 1))
    state: State = data.draw(st.sampled_from(["waiting", "accepted", "dropped"]))
    answer = data.draw(st.sampled_from([None, "两行\n答案", 'with "marks", and commas']))
    changed = table.changed(held[at], state=state, answer=answer)
    table.file.write_bytes(changed.csv())
    again = read_table(table.file).held()
    assert again == changed.held()
    for place, (before, after) in enumerate(zip(held, again, strict=True)):
        if place != at:
            assert after == before  # and so still goes by the same name
    told = again[at]
    assert (told.state, told.answer) == (state, held[at].answer if answer is None else answer)
    if told != held[at]:
        assert told.id != held[at].id
        with pytest.raises(InputError, match="changed meanwhile"):
            changed.changed(held[at], state="dropped")


def test_a_table_in_other_columns_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "表.csv"
    file.write_text("备注,采纳,问题,相似问题,答案\n小王,,可以刻字吗,,可以。\n,否,怎么修灯,,\n", encoding="utf-8")
    table = read_table(file)
    assert [one.state for one in table.held()] == ["waiting", "dropped"]
    changed = table.changed(table.held()[0], state="accepted", similar=("能刻字吗", "刻字行吗"))
    before, after = rows_of(table.csv()), rows_of(changed.csv())
    assert after[1] == before[1]
    assert after[0] == {**before[0], "采纳": "yes", "相似问题": "能刻字吗\n刻字行吗"}
    file.write_bytes(changed.csv())
    (entry,) = accepted(file)
    assert [text for _, text in entry.known()] == ["可以刻字吗", "能刻字吗", "刻字行吗"]


def test_an_answer_in_several_languages_is_changed_in_the_table(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("accepted,question,answer_en,answer_de\n,Is it free?,Yes.,Ja.\n", encoding="utf-8")
    table = read_table(file)
    (one,) = table.held()
    with pytest.raises(InputError, match="several columns"):
        table.changed(one, answer="No.")
    assert table.changed(one, state="accepted").held()[0].state == "accepted"


def test_what_is_accepted_stands_beside_what_is_listed(tmp_path: Path) -> None:
    listed = tmp_path / "faq.csv"
    listed.write_text("question,answer\n怎么退货,七天内可退。\n几点开门,九点。\n", encoding="utf-8")
    file = tmp_path / "proposals.csv"
    file.write_text(
        "accepted,question,similar,answer\n"
        "yes,怎么退货,能退吗|退货咋办,七天内可退。\n"  # one question is listed: the others are ways to ask it
        "yes,可以刻字吗,,可以。\n"
        "no,怎么修灯,,寄回。\n"
        ",能开发票吗,,能。\n"
        "yes,今天北京天气怎么样,,看窗外。\n",  # among the bundled questions outside, and answered here
        encoding="utf-8",
    )
    faq = read_faq(listed)
    more, _ = what_is_known(listed, proposals=file)
    assert [entry.id for entry in more.entries[:2]] == [entry.id for entry in faq.entries]
    forms = [[text for _, text in entry.known()] for entry in more.entries]
    assert forms == [["怎么退货", "能退吗", "退货咋办"], ["几点开门"], ["可以刻字吗"], ["今天北京天气怎么样"]]
    assert "今天北京天气怎么样" not in {plain(row.text) for row in more.outside}
    moved = tmp_path / "moved.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    moved.write_text("\n".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    assert {one.id for one in what_is_known(listed, proposals=moved)[0].entries} == {one.id for one in more.entries}
    assert what_is_known(listed, proposals=tmp_path / "none.csv")[0] == faq
    alone = with_more(Faq((), ()), accepted(file), "p-")
    assert len(alone.entries) == 3
    assert alone.outside


@pytest.fixture(scope="module")
def desk(embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    root = tmp_path_factory.mktemp("desk")
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["id"] in ("gpu", "port", "key")]
    (root / "faq.jsonl").write_text("\n".join(kept), encoding="utf-8")
    settings = ServerSettings(port=0, lake=root / "lake", threads=1)
    with serving(settings, [embedder], [Support(faq=root / "faq.jsonl")]) as running:
        yield running


@pytest.fixture
def web(desk: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{desk.url}/v1/apps/support", headers=desk.headers, timeout=60) as made:
        yield made


def asked(web: httpx.Client, text: str) -> dict[str, Any]:
    answer = web.post("/messages", json={"text": text})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def waiting(web: httpx.Client, state: str = "waiting") -> list[dict[str, Any]]:
    return list(web.get("/proposals", params={"state": state}).json()["proposals"])


def change(web: httpx.Client, proposal: dict[str, Any], **told: Any) -> httpx.Response:
    return web.post(f"/proposals/{proposal['id']}", json=told)


def test_what_people_answered_is_found_edited_accepted_and_known_at_once(desk: Running, web: httpx.Client) -> None:
    for name in ("a", "b"):
        for text in ("转人工", "可以在台灯上刻字吗？"):
            web.post("/messages", json={"text": text, "conversation": name}).raise_for_status()
        queue = web.get("/inbox").json()["conversations"]
        (id,) = [one["id"] for one in queue if one["conversation"] == name]
        web.post(f"/inbox/{id}/reply", json={"agent": "小王", "text": "可以，每字五元。"}).raise_for_status()
    assert web.post("/proposals", json={}).json() == {"new": 1}
    assert web.post("/proposals", json={"weeks": 1}).json() == {"new": 0}  # it waits already
    (one,) = waiting(web)
    assert (one["asked"], one["answer"], one["state"]) == (2, "可以，每字五元。", "waiting")
    assert plain(one["question"]) == "可以在台灯上刻字吗"
    assert id in one["sources"]
    assert asked(web, "台灯能刻名字不").get("entry", "") in ("", "gpu", "port", "key")
    told = {"answer": "每个字五元，两天取。", "similar": ["台灯能刻名字不"]}
    made = change(web, one, state="accepted", **told)
    assert (made.status_code, made.json()["state"]) == (200, "accepted"), made.text
    for text in (one["question"], "台灯能刻名字不"):
        reply = asked(web, text)
        assert (reply["action"], reply["text"]) == ("answer", told["answer"])
    assert reply["sources"][0]["title"] == one["question"]
    stale = change(web, one, state="dropped")
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "no_such_proposal")
    now = made.json()
    assert change(web, now, answer="").status_code == 422
    refused = change(web, now, question="必须有显卡吗？")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cannot_be_used")
    assert waiting(web, "accepted") == [now]  # nothing was changed
    assert change(web, now, state="dropped").status_code == 200
    assert asked(web, one["question"]).get("entry", "") in ("", "gpu", "port", "key")
    assert web.post("/proposals", json={}).json() == {"new": 0}  # dropped is proposed no more
    counts = web.get("/proposals").json()["counts"]
    assert counts == {"dropped": 1}
    assert read_table(desk.state.lake / "apps" / "support" / "proposals.csv").held()[0].state == "dropped"


def test_what_has_no_answer_is_not_accepted_and_a_customer_s_key_sees_nothing(desk: Running, web: httpx.Client) -> None:
    file = desk.state.lake / "apps" / "support" / "proposals.csv"
    file.write_bytes(Table(file, new=(Proposal(3, "怎么修灯", (), ""),)).csv())
    (one,) = waiting(web)
    refused = change(web, one, state="accepted")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cannot_be_used")
    assert change(web, one, state="accepted", answer="请寄回。").status_code == 200
    assert asked(web, "怎么修灯")["text"] == "请寄回。"
    customer = {"authorization": f"Bearer {desk.state.keys.make('shop')}"}
    with httpx.Client(base_url=str(web.base_url), headers=customer) as other:
        assert other.get("/proposals").status_code == 403
        assert other.post("/proposals", json={}).status_code == 403
        assert change(other, one, state="dropped").status_code == 403
