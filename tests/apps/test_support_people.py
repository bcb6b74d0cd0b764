"""Customer service over HTTP, its people too: nothing said is lost, one person at a time answers, and the customer reads it in place."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.apps.hours import DAYS, Hours
from noria.apps.settings import PeopleSettings
from noria.apps.support.conversation import START
from noria.apps.support.conversation import Conversation as Memory
from noria.apps.support.faq import BUNDLED
from noria.apps.support.messages import remembered
from noria.apps.support.routes import Support
from noria.core.errors import SettingError
from noria.lake.conversation import Turn
from noria.lake.erase import erase_user
from noria.lake.event import Event
from noria.lake.read import scan
from noria.lake.transcript import read_exchange
from noria.text.personal_data import mask

if TYPE_CHECKING:
    from noria.server.http.run import Running

ANSWERABLE, PERSON = "没有 GPU 能用吗", "我要转人工"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people") / "lake"


@pytest.fixture(scope="module")
def desk(embedder: Path, lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    names = ("gpu", "port", "bind", "key", "install")
    file = tmp_path_factory.mktemp("faq") / "faq.jsonl"
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line for line in lines if json.loads(line)["id"] in names), encoding="utf-8")
    apps = [Support(faq=file, people=PeopleSettings(unanswered_seconds=0.001))]
    with serving(ServerSettings(port=0, lake=lake, threads=1), [embedder], apps, mask=mask) as running:
        yield running


@pytest.fixture
def web(desk: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{desk.url}/v1/apps/support", headers=desk.headers, timeout=30) as made:
        yield made


def events(lake: Path) -> list[Event]:
    return [Event(**row) for batch in scan(lake) for row in batch.to_pylist()]


def say(web: httpx.Client, conversation: str, text: str, **more: Any) -> dict[str, Any]:
    answer = web.post("/messages", json={"conversation": conversation, "text": text, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def inbox_id(web: httpx.Client, conversation: str, state: str = "waiting") -> str:
    found = web.get("/inbox", params={"state": state}).json()["conversations"]
    return str(next(one["id"] for one in found if one["conversation"] == conversation))


def test_a_message_is_answered_with_its_source_and_sent_again_is_the_same(web: httpx.Client, lake: Path) -> None:
    first = say(web, "talk-1", ANSWERABLE, message_id="m1", user="anna")
    assert (first["action"], first["entry"], first["state"], first["object"]) == (
        "answer",
        "gpu",
        "open",
        "support.reply",
    )
    assert [one["entry"] for one in first["sources"]] == ["gpu"]
    assert say(web, "talk-1", ANSWERABLE, message_id="m1", user="anna") == first
    assert [one.user != "anna" for one in events(lake) if one.id == first["id"]] == [True]
    reused = web.post("/messages", json={"conversation": "talk-1", "text": "other", "message_id": "m1"})
    assert (reused.status_code, reused.json()["error"]["code"]) == (409, "message_id_reused")
    seen = web.get("/conversations/talk-1/messages").json()
    assert [(one["number"], one["role"], one["text"]) for one in seen["messages"]] == [
        (1, "user", ANSWERABLE),
        (2, "assistant", first["text"]),
    ]
    new = say(web, "", ANSWERABLE)
    assert web.get(f"/conversations/{new['conversation']}/messages").json()["after"] == 2


def test_from_the_customer_to_a_person_and_back_in_one_conversation(web: httpx.Client, lake: Path) -> None:
    asked = say(web, "talk-2", PERSON, user="ben", consent=True)
    assert (asked["action"], asked["state"]) == ("handover", "waiting")
    more = say(web, "talk-2", "我的电话是 13800138000", user="ben")
    assert (more["action"], more["text"]) == ("person", "")
    shown = web.get("/inbox").json()
    (waiting,) = [one for one in shown["conversations"] if one["conversation"] == "talk-2"]
    assert (waiting["unread"], waiting["last"], shown["opens"]) == (2, "我的电话是 13800138000", "")
    assert waiting["waiting_seconds"] >= 0
    place = f"/inbox/{waiting['id']}"
    claimed = [web.post(f"{place}/claim", json={"agent": name}) for name in ("王", "李")]
    assert [one.status_code for one in claimed] == [200, 409]
    assert claimed[1].json()["error"]["code"] == "claimed"
    assert "王" in claimed[1].json()["error"]["message"]
    suggested = web.get(f"{place}/suggestions").json()
    assert suggested["message"] == "我的电话是 13800138000"
    assert {"question", "answer", "entry"} <= set(suggested["suggestions"][0])

    waits: list[tuple[float, dict[str, Any]]] = []

    def wait() -> None:
        url = f"{web.base_url}conversations/talk-2/messages"
        answer = httpx.get(url, params={"after": 5, "wait": 20}, headers=web.headers, timeout=30)
        waits.append((time.monotonic(), answer.json()))

    customer = threading.Thread(target=wait)
    customer.start()
    time.sleep(0.3)
    sent = time.monotonic()
    writing = {"agent": "王", "text": "您好，请讲", "message_id": "r1"}
    replied = web.post(f"{place}/reply", json=writing).json()
    assert web.post(f"{place}/reply", json=writing).json() == replied
    customer.join()
    assert waits[0][0] - sent < 5
    assert [(one["role"], one["author"], one["text"]) for one in waits[0][1]["messages"]] == [
        ("person", "王", "您好，请讲")
    ]
    web.post(f"{place}/note", json={"agent": "李", "text": "同事备注"}).raise_for_status()
    assert web.post(f"{place}/transfer", json={"agent": "王", "to": "李"}).json()["agent"] == "李"
    assert web.post(f"{place}/resolve", json={"agent": "李"}).json()["state"] == "resolved"
    assert "同事备注" not in web.get("/conversations/talk-2/messages").text
    kinds = [one["kind"] for one in web.get(place).json()["turns"]]
    assert kinds == ["message", "reply", "handover", "message", "claim", "person", "note", "transfer", "resolve"]
    (reply,) = [one for one in events(lake) if one.kind == "reply"]
    assert (reply.subject, reply.app, reply.consent) == (asked["id"], "support", True)
    exchange = read_exchange(reply.text)
    assert exchange.input[0]["messages"][-1]["content"] == "我的电话是 <PHONE>"
    assert exchange.output == [{"text": "您好，请讲"}]
    assert say(web, "talk-2", ANSWERABLE)["action"] == "answer"


def test_a_handover_is_one_event_however_often_it_is_recorded(desk: Running, web: httpx.Client, lake: Path) -> None:
    asked = say(web, "talk-3", PERSON)
    support = next(app for app in desk.state.apps if isinstance(app, Support))
    (turn,) = [one for one in web.get(f"/inbox/{inbox_id(web, 'talk-3')}").json()["turns"] if one["kind"] == "handover"]

    def handed() -> list[Event]:
        return [one for one in events(lake) if one.kind == "handover" and one.subject == asked["id"]]

    assert [one.id for one in handed()] == [turn["id"]]
    again = Turn(inbox_id(web, "talk-3"), 3, turn["id"], datetime.fromisoformat(turn["time"]), "handover", about=1)
    in_loop(desk, support.people.record_handover(again))
    assert [one.id for one in handed()] == [turn["id"]]


def in_loop(desk: Running, work: Any) -> Any:
    """Do something on the server's event loop."""
    support = next(app for app in desk.state.apps if isinstance(app, Support))
    assert support.people.state is desk.state
    loop = desk.state.tasks[0].get_loop()
    return asyncio.run_coroutine_threadsafe(work, loop).result(30)


def test_what_got_no_reply_goes_to_a_person_and_is_replied_to_then(desk: Running, web: httpx.Client) -> None:
    support = next(app for app in desk.state.apps if isinstance(app, Support))
    tenant = desk.key.split("_")[1]
    # As a kill between the message and its reply leaves it.
    in_loop(desk, support.people.kept.message(tenant, "cut-off", "什么时候发货", client="m1"))
    time.sleep(0.01)
    in_loop(desk, support.people.sweep())
    assert inbox_id(web, "cut-off")
    again = say(web, "cut-off", "什么时候发货", message_id="m1")
    assert (again["action"], again["text"]) == ("handover", "抱歉，处理超时，已为您转人工。")


def test_a_reply_streams_like_a_chat_completion_and_is_kept_first(web: httpx.Client) -> None:
    body = {"conversation": "stream", "text": ANSWERABLE, "message_id": "m1", "stream": True}
    with web.stream("POST", "/messages", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (chunks[0]["conversation"], chunks[0]["message"]) == ("stream", 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
    assert text == chunks[-1]["reply"]["text"]
    assert say(web, "stream", ANSWERABLE, message_id="m1") == chunks[-1]["reply"]


def test_whose_key_opens_what(desk: Running, web: httpx.Client) -> None:
    say(web, "secret", PERSON)
    place = f"/inbox/{inbox_id(web, 'secret')}"
    keys = desk.state.keys
    made = {"shop": keys.make("shop"), "app": keys.make("app", scopes=["apps/support"])}
    made["team"] = keys.make("team", scopes=["inbox"])
    paths = ("/inbox", place, f"{place}/suggestions", "/conversations/secret/messages")
    found = {
        name: [web.get(path, headers={"authorization": f"Bearer {key}"}).status_code for path in paths]
        for name, key in made.items()
    }
    # Another key's customers have conversations of their own: of this one they know nothing.
    assert found == {"shop": [403, 403, 403, 404], "app": [403, 403, 403, 404], "team": [200, 200, 200, 403]}
    told = web.get("/inbox", headers={"authorization": f"Bearer {made['shop']}"}).json()["error"]
    assert (told["code"], "--scopes inbox" in told["message"]) == ("permission_denied", True)
    team = {"authorization": f"Bearer {made['team']}"}
    assert web.post(f"{place}/claim", json={}, headers=team).json()["agent"] == "team"
    assert web.post("/messages", json={"text": "hi"}, headers=team).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/messages", {"text": ""}, 422, "text"),
        ("/messages", {"text": "x" * 50_000}, 422, "8000"),
        ("/messages", {"text": "x", "conversation": "a/b"}, 422, "conversation"),
        ("/messages", {"text": "x", "colour": 1}, 422, "colour: unknown field"),
        ("/inbox/nothing/claim", {"agent": "a"}, 404, "no such conversation"),
        ("/inbox/nothing/reply", {"agent": "a"}, 422, "text"),
        ("/inbox/nothing/resolve", {"agent": "x" * 81}, 422, "agent"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(
    web: httpx.Client, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    answer = web.post(path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert "\n" not in answer.json()["error"]["message"]


def test_a_forgotten_customer_s_conversation_is_gone(desk: Running, web: httpx.Client, lake: Path) -> None:
    say(web, "forgotten", PERSON, user="carla")
    receipt = erase_user(lake, desk.state.meter.pseudonym("carla"))
    assert receipt.turns == 3
    assert web.get("/conversations/forgotten/messages").status_code == 404
    assert say(web, "forgotten", ANSWERABLE, user="carla")["message"] == 1


def test_the_document_of_conversations_and_inbox_is_true(desk: Running, tmp_path: Path) -> None:
    from tests.server.test_server_document import CONFIGURATION

    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [str(Path(sys.executable).parent / "st"), "--config-file", "schemathesis.toml", "run"]
    command += [f"{desk.url}/openapi.json", "-H", f"Authorization: {desk.headers['authorization']}"]
    command += ["--include-path-regex", "/v1/apps/support/(messages|conversations|inbox)", "--max-examples", "4"]
    command += ["--phases", "examples,coverage", "--seed", "7", "--no-color", "--continue-on-failure"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())


def test_what_the_desk_remembers_outlives_the_server() -> None:
    memory = Memory("how?", "port", ("bind",), "en", offered=("port", "bind"), parts=True, repeats=1)
    kept = json.loads(json.dumps({"memory": memory.as_dict()}))  # as the file holds it
    turns = [Turn("c", number, "i", NOON, "reply", facts=facts) for number, facts in ((2, kept), (4, {}))]
    assert remembered(turns) == memory
    assert remembered([]) == START


SPANS = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1440))


@given(SPANS, st.integers(0, 14 * 1440), st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]))
def test_hours_open_when_they_say_and_only_then(span: tuple[int, int, int, int], minute: int, zone: str) -> None:
    first, last, start, end = span
    if start == end:
        return
    told = f"{DAYS[first]}-{DAYS[last]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    hours = Hours(zone, [told])
    now = NOON + timedelta(minutes=minute)
    opens = hours.opens(now)
    if opens is not None:
        assert now < opens <= now + timedelta(days=8)
        assert hours.opens(opens) is None
        assert hours.opens(opens - timedelta(minutes=1)) == opens
        assert (opens.hour, opens.minute) == divmod(start, 60)
        assert (opens.weekday() - first) % 7 <= (last - first) % 7
    here = now.astimezone(hours.zone)
    minutes = here.hour * 60 + here.minute
    if end > start and (here.weekday() - first) % 7 <= (last - first) % 7:
        assert (opens is None) == (start <= minutes < end)


def test_hours_know_holidays_and_say_when_a_person_is_back_in_both_languages() -> None:
    hours = Hours("Asia/Shanghai", ["mon-fri 09:00-18:00", "sat 10:00-14:00"], [date(2026, 3, 5), date(2026, 3, 6)])
    evening = datetime(2026, 3, 4, 11, 0, tzinfo=UTC)  # a Wednesday, 19:00 there; Thursday and Friday are holidays
    told = hours.back(evening)
    assert told is not None
    assert "Saturday, 2026-03-07, at 10:00 (Asia/Shanghai)" in told
    assert "2026-03-07（周六）10:00" in told["zh"]
    assert hours.back(evening - timedelta(hours=2)) is None
    assert Hours().back(evening) is None


@pytest.mark.parametrize(
    "span", ["", "9-5", "mon 25:00-26:00", "someday 09:00-10:00", "mon 09:00-09:00", "mon 09:75-10:00"]
)
def test_what_is_no_span_of_hours_is_told(span: str) -> None:
    with pytest.raises(SettingError, match="no hours of business"):
        Hours("UTC", [span])
