"""Sending: planned once and kept through kills, signed, tried again under one key; robots and mail servers as they answer; briefs and verdicts."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from endpoints import Endpoint, answered, endpoint

from noria.apps.monitor.notify.brief import Brief, Material, brief_of
from noria.apps.monitor.notify.notice import alert_notice
from noria.apps.monitor.notify.outbox import Outbox, Planned
from noria.apps.monitor.notify.pages import brief_html, brief_markdown
from noria.apps.monitor.notify.phrasing import with_words
from noria.apps.monitor.notify.routes import Notifier
from noria.apps.monitor.notify.senders import Senders, send_by_apprise
from noria.apps.monitor.notify.sending import Sending
from noria.apps.monitor.notify.settings import AnySubscription, MailServer, NotifySettings, subscription_of
from noria.apps.monitor.stories import Stories
from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Mention
from noria.apps.monitor.topics import read_topics
from noria.apps.settings import WatchSettings
from noria.server.platforms import dingtalk_signature
from noria.server.webhook import DeliveryError, verified

if TYPE_CHECKING:
    from noria.server.http.run import Running

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECRET = "a secret of ours"
HOSTILE = "很差 <script>alert(1)</script> [x](http://evil.example) **差**"


ALERTS = [("topic", "computer"), ("topic", "hotel"), ("entity", "Nova")]
"""What `material` raises; the last two on the same texts."""
SENT = 2


class Clock:
    """The time of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """What is made of a day of hotel reviews, at whose end many complain at once."""
    topics = read_topics()
    stream = Stream(tmp_path, WatchSettings(), topics.names, bounded=False)
    begins = NOW - timedelta(hours=30)
    texts = [(begins + timedelta(minutes=20 * n), n % 9 == 0, f"酒店不错 {n}") for n in range(87)]
    texts += [(NOW - timedelta(minutes=50, seconds=-20 * n), True, f"酒店{HOSTILE} {n}") for n in range(40)]
    earlier = [
        Mention(
            f"c{n}", NOW - timedelta(hours=4, seconds=-20 * n), "computer", True, 0.9, f"电脑很差 {n}", source="forum"
        )
        for n in range(30)
    ]
    mentions = [
        Mention(
            f"m{n}", time, "hotel", bad, 0.9, text, ("Nova",) if bad else (), "forum", f"a{n}", f"https://f.example/{n}"
        )
        for n, (time, bad, text) in enumerate(texts)
    ]
    stories = Stories(tmp_path / "stories")
    stories.place(
        [
            Mention(
                "s1",
                NOW - timedelta(minutes=40),
                "hotel",
                True,
                0.9,
                f"{HOSTILE}，多名住客反映前台态度很差",
                source="报",
            )
        ],
        NOW,
    )
    stories.place(
        [
            Mention(
                "s2",
                NOW - timedelta(minutes=20),
                "hotel",
                True,
                0.9,
                f"{HOSTILE}，多名住客反映前台态度很差",
                source="网",
            )
        ],
        NOW,
    )
    stream.take([*earlier, *mentions], NOW, "r")
    stream.advance(NOW, "c")
    assert [(one["of"], one["topic"]) for one in stream.alerts.values()] == ALERTS
    judged: list[Any] = []

    async def judge(*given: Any) -> dict[str, Any] | None:
        judged.append(given)
        return stream.judge(*given)

    silent = {"forum": {"texts": 127, "last": NOW.isoformat()}, "报": {"texts": 3, "last": "2026-11-28T00:00:00+00:00"}}
    return Material(lambda: stream, lambda: stories, silent, topics, judge)


def hook(url: str, **values: Any) -> AnySubscription:
    given = {"name": "hook", "kind": "webhook", "url": url, "secret_env": "SECRET", "allow_private": True}
    return subscription_of(given | values)


def robot(kind: str, **values: Any) -> AnySubscription:
    given = {"name": kind, "kind": kind, "url_env": "URL", "allow_private": True}
    return subscription_of(given | values)


@contextmanager
def sending(material: Material, folder: Path, clock: Clock, *subscriptions: AnySubscription) -> Iterator[Any]:
    """Give what sends to some subscriptions, and the outbox that it sends from."""
    outbox = Outbox(folder / "outbox")
    named = {one.name: one for one in subscriptions}
    made = Sending(outbox, material, lambda: named, Senders(NotifySettings(), {"SECRET": SECRET}), clock=clock)
    try:
        yield made, outbox
    finally:
        outbox.close()


def rounds(made: Sending, times: int = 1) -> None:
    async def go() -> None:
        for _ in range(times):
            await made.round()
            await made.settled()

    asyncio.run(go())


# --- the outbox -------------------------------------------------------------------------------------------------------


def test_an_alert_is_planned_once_and_what_was_raised_before_is_news_to_nobody(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, ["old"])
    assert [outbox.is_new(one) for one in ("old", "new")] == [False, True]
    for _ in range(2):
        outbox.plan({"new": [Planned("a", "new", NOW), Planned("b", "new", NOW + timedelta(hours=1))]}, NOW)
    outbox.close()
    again = Outbox(tmp_path, ["old", "later"])  # after a kill: what is raised meanwhile is news
    assert [again.is_new(one) for one in ("old", "new", "later")] == [False, False, True]
    (due,) = again.due(NOW, 9)
    assert (due.subscription, due.about, due.attempts) == ("a", "new", 0)
    assert len(again.due(NOW + timedelta(hours=1), 9)) == 2
    again.close()


def test_what_a_killed_process_was_sending_is_sent_again_in_the_same_words_under_the_same_key(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.plan({"x": [Planned("a", "x", NOW)]}, NOW)
    (kept,) = outbox.due(NOW, 9)
    assert outbox.begin(kept.key, "first words") == ("first words", 1)
    assert outbox.due(NOW, 9) == []  # it is on its way
    outbox.close()
    again = Outbox(tmp_path)
    (due,) = again.due(NOW, 9)
    assert (due.key, due.content) == (kept.key, "first words")
    assert again.begin(due.key, "other words") == ("first words", 2)
    again.end(due.key)
    ended = again.of_key(due.key)
    assert ended is not None
    assert (ended.state, ended.content) == ("sent", "")  # what people wrote is not kept longer than it is needed
    again.close()


@pytest.mark.parametrize("opened", [True, False])
def test_the_words_of_an_erased_author_leave_what_waits(material: Material, tmp_path: Path, opened: bool) -> None:
    outbox = Outbox(tmp_path / "apps" / "monitor")
    outbox.plan({"x": [Planned("a", "x", NOW)]}, NOW)
    (kept,) = outbox.due(NOW, 9)
    outbox.begin(kept.key, "what anna wrote")
    outbox.postpone(kept.key, NOW + timedelta(days=1), "away")
    outbox.close()

    async def go() -> None:
        notifier = Notifier()
        if not opened:  # erased while the server was down
            await notifier.forget()
        meter = SimpleNamespace(now=lambda: NOW)
        state = SimpleNamespace(lake=tmp_path, meter=meter, tasks=[])
        await notifier.start(state, material)  # type: ignore[arg-type]
        if opened:
            await notifier.forget()
        (task,) = state.tasks
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    files = b"".join(file.read_bytes() for file in (tmp_path / "apps" / "monitor").iterdir())
    assert kept.key.encode() in files
    assert b"what anna wrote" not in files


def test_killed_again_and_again_every_alert_arrives_once(tmp_path: Path) -> None:
    from benchmarks.monitor_sending import kill_run

    found = kill_run(tmp_path, kills=4, bursts=12)
    assert found.raised >= 10
    assert (found.kills, found.lost, found.doubled) == (4, 0, 0)


# --- sending ----------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_tried_again_in_the_same_words_under_one_key(
    material: Material, tmp_path: Path, clock: Clock
) -> None:
    away = [True]
    with (
        endpoint(lambda sent: (503 if away and away.pop() else 200, {}, b"{}")) as there,
        sending(material, tmp_path, clock, hook(there.url, attempts=1)) as (made, outbox),
    ):
        rounds(made)
        states = [(one.state, "503" in one.why) for one in outbox.of_subscription("hook")]
        assert sorted(states) == [("joined", False), ("sent", False), ("waiting", True)]
        rounds(made)  # not due yet
        assert len(there.requests) == SENT
        clock.now += timedelta(minutes=1)
        rounds(made)
        assert sorted(one.state for one in outbox.of_subscription("hook")) == ["joined", "sent", "sent"]
    by_key: dict[str, list[bytes]] = {}
    for sent in there.requests:
        key = verified(sent.headers, sent.body, SECRET, datetime.now(UTC).timestamp())
        assert key == sent.headers["idempotency-key"]
        by_key.setdefault(key, []).append(sent.body)
    assert sorted(map(len, by_key.values())) == [1, 2]
    assert all(len(set(bodies)) == 1 for bodies in by_key.values())
    data = json.loads(there.requests[0].body)["data"]
    assert data["alert"]["id"] in material.stream.alerts
    assert data["alert"]["mentions"]


def test_quiet_hours_hold_it_and_a_refusal_for_good_ends_it(material: Material, tmp_path: Path, clock: Clock) -> None:
    with (
        endpoint(lambda sent: (410, {}, b"")) as there,
        sending(material, tmp_path, clock, hook(there.url, quiet=("11:00-13:30",))) as (made, outbox),
    ):
        rounds(made)
        assert there.requests == []
        clock.now = NOW + timedelta(minutes=91)
        rounds(made)
        kept = outbox.of_subscription("hook")
        assert sorted(one.state for one in kept) == ["given up", "given up", "joined"]
        assert all("410" in one.why for one in kept if one.state != "joined")
        clock.now += timedelta(days=1)
        rounds(made)
        assert len(there.requests) == SENT


def test_of_the_same_texts_one_is_told_once(material: Material, tmp_path: Path, clock: Clock) -> None:
    """The name says more than the topic it falls under; who takes the topic alone is told of that."""
    with (
        endpoint() as there,
        sending(material, tmp_path, clock, hook(there.url), hook(there.url, name="topic", topics=("hotel",))) as (
            made,
            outbox,
        ),
    ):
        rounds(made)
        told = {
            (one["data"]["subscription"], one["data"]["alert"]["topic"]): one["data"]["text"] for one in there.bodies()
        }
        assert told.keys() == {("hook", "computer"), ("hook", "Nova"), ("topic", "hotel")}
        assert "The same texts raised an alert on: hotels." in told["hook", "Nova"]
        assert "The same texts" not in told["topic", "hotel"]
        (joined,) = [one for one in outbox.of_subscription("hook") if one.state == "joined"]
        assert material.stream.alerts[joined.why]["topic"] == "Nova"
        again = {**material.stream.alerts[joined.why], "id": "later", "of": "topic", "topic": "other"}
        material.stream.alerts["later"] = again  # what a later step raises on them
        rounds(made)
        assert len(there.requests) == len(told)


def test_an_address_of_one_s_own_network_is_refused(material: Material, tmp_path: Path, clock: Clock) -> None:
    with sending(material, tmp_path, clock, hook("https://localhost:1/x", allow_private=False)) as (made, outbox):
        rounds(made)
        assert {one.state for one in outbox.of_subscription("hook")} == {"given up", "joined"}
        assert "own network" in outbox.of_subscription("hook")[0].why


ANSWERS: dict[str, tuple[Any, Any, bool]] = {
    "wecom": ({"errcode": 0, "errmsg": "ok"}, {"errcode": 93000, "errmsg": "invalid webhook url"}, False),
    "dingtalk": ({"errcode": 0, "errmsg": "ok"}, {"errcode": 310000, "errmsg": "sign not match"}, False),
    "feishu": ({"code": 0, "msg": "success", "data": {}}, {"code": 9499, "msg": "Bad Request"}, True),
    "slack": (b"ok", b"invalid_payload", True),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_robot_is_asked_as_its_guide_has_it_and_believed_where_it_refuses(kind: str, material: Material) -> None:
    good, bad, lasting = ANSWERS[kind]
    body = good if isinstance(good, bytes) else json.dumps(good).encode()
    refusal = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    one = robot(kind, **({"secret_env": "SECRET"} if kind in ("dingtalk", "feishu") else {}))
    found = next(iter(material.stream.alerts.values()))
    notice = alert_notice(found, one, material.topics.titles, "", NOW)
    with endpoint(lambda sent: (200, {}, body)) as there:
        made = Senders(NotifySettings(), {"URL": f"{there.url}/send?key=k", "SECRET": SECRET})
        asyncio.run(made.send(one, notice, "key", again=False))
        asyncio.run(made.send(one, notice, "key", again=True))
        there.answer = lambda sent: (200, {}, refusal)
        with pytest.raises(DeliveryError) as error:
            asyncio.run(made.send(one, notice, "key", again=False))
    assert error.value.lasting is lasting
    first, second = (sent.body.decode() for sent in there.requests[:2])
    assert "(key)" not in first
    assert "(key)" in second  # it knows no keys: its readers are told that it may have come before
    assert there.requests[0].headers["content-type"].startswith("application/json")
    if kind == "dingtalk":
        query = parse_qs(urlsplit(there.requests[0].path).query)
        assert query["sign"] == [dingtalk_signature(SECRET, query["timestamp"][0])]


class Post(socketserver.StreamRequestHandler):
    """A mail server of a few lines, for one letter a connection."""

    def handle(self) -> None:
        server: Any = self.server
        say: Callable[[str], Any] = lambda line: self.wfile.write(f"{line}\r\n".encode())  # noqa: E731
        say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line[:4].upper()
            if word == "DATA":
                say("354 go on")
                letter = b""
                while (row := self.rfile.readline()) != b".\r\n":
                    letter += row
                server.letters.append(letter)
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                return
            elif word == "RCPT" and "nobody@" in line:
                say("550 no such reader")
            else:
                say("250 fine")


@pytest.fixture
def post() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post) as server:
        server.letters = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_letter_is_handed_to_the_mail_server(post: Any, material: Material) -> None:
    server = MailServer.make(
        host="127.0.0.1", port=post.server_address[1], security="none", sender="noria@example.com", allow_private=True
    )
    found = next(iter(material.stream.alerts.values()))

    def send(*to: str, settings: MailServer = server) -> str:
        one = subscription_of({"name": "m", "kind": "email", "to": to, "language": "zh"})
        notice = alert_notice(found, one, material.topics.titles, "", NOW)
        return asyncio.run(Senders(NotifySettings(mail=settings), {}).send(one, notice, "k1", again=False))

    assert send("anna@example.com") == ""
    assert send("anna@example.com", "nobody@example.com") != ""  # one of two got it, and its sender knows
    with pytest.raises(DeliveryError) as error:
        send("nobody@example.com")
    assert error.value.lasting
    with pytest.raises(DeliveryError, match="own network"):
        send("anna@example.com", settings=server.replace(allow_private=False, security="starttls"))
    first, second = (message_from_bytes(one, policy=policy.default) for one in post.letters)
    assert first["Message-ID"] == second["Message-ID"] == "<k1@example.com>"
    one = subscription_of({"name": "m", "kind": "email", "to": ["anna@example.com"], "language": "zh"})
    assert first["Subject"] == alert_notice(found, one, material.topics.titles, "", NOW).title


def test_apprise_is_handed_plain_text(monkeypatch: pytest.MonkeyPatch, material: Material) -> None:
    import sys

    calls: list[dict[str, Any]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url.startswith("tgram://")

        def notify(self, **given: Any) -> bool:
            calls.append(given)
            return "fails" not in given["title"]

    package = SimpleNamespace(Apprise=Apprise, NotifyFormat=SimpleNamespace(TEXT="text"))
    monkeypatch.setitem(sys.modules, "apprise", package)
    one = subscription_of({"name": "t", "kind": "apprise", "url_env": "URL"})
    found = next(iter(material.stream.alerts.values()))
    notice = alert_notice(found, one, material.topics.titles, "", NOW)
    send_by_apprise("tgram://t/c", notice)
    assert (calls[0]["title"], calls[0]["body_format"]) == (notice.title, "text")
    with pytest.raises(DeliveryError) as error:
        send_by_apprise("nothing://", notice)
    assert error.value.lasting


def test_a_digest_is_sent_once_a_day_with_all_that_happened_since(
    material: Material, tmp_path: Path, clock: Clock
) -> None:
    with endpoint() as there:
        one = hook(there.url, digest="daily", at="11:30", language="zh", zone="UTC")
        clock.now = NOW - timedelta(hours=24)
        with sending(material, tmp_path, clock, one) as (made, _):
            rounds(made, 2)
            assert there.requests == []  # the first one tells from now on
            clock.now = NOW + timedelta(minutes=5)
            rounds(made, 3)
            (body,) = there.bodies()
            assert body["type"] == "monitor.brief"
            assert body["data"]["brief"]["until"].startswith("2026-11-30T11:30")
            assert "舆情简报" in body["data"]["title"]
            clock.now += timedelta(hours=20)
            rounds(made, 2)
            assert len(there.requests) == 1


def test_verdicts_of_one_s_own_set_one_s_threshold(material: Material, tmp_path: Path, clock: Clock) -> None:
    with endpoint() as there:
        one = hook(there.url, false_alarms_a_week=0.5)
        with sending(material, tmp_path, clock, one) as (made, outbox):
            assert made._strictness(one) == 1.0
            alerts = list(material.stream.alerts)
            outbox.plan({"x": [Planned("hook", alert, NOW) for alert in alerts]}, NOW)
            for kept in outbox.of_subscription("hook"):
                outbox.judge(kept.key, "dismissed")
            assert made._strictness(one) > 1.0


# --- the brief --------------------------------------------------------------------------------------------------------


def brief(material: Material, language: Any = "en", **values: Any) -> Brief:
    return brief_of(material, NOW - timedelta(hours=12), NOW, "Asia/Shanghai", language, **values)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_sentence_of_a_brief_has_n_and_a_source(material: Material, language: str) -> None:
    found = brief(material, language, base="https://noria.example")
    assert {one.part for one in found.sentences} == {"volume", "topics", "entities", "stories", "alerts", "sources"}
    assert all(one.link.startswith("https://") and one.where for one in found.sentences)
    windows = [
        one for one in material.stream.windows if datetime.fromisoformat(one["start"]) >= NOW - timedelta(hours=12)
    ]
    texts = sum(count["total"] for window in windows for count in window["counts"].values())
    assert found.sentences[0].n == texts
    assert f"{texts:,}" in found.sentences[0].text
    alerts = [one for one in found.sentences if one.part == "alerts"]
    assert len(alerts) == len(material.stream.alerts) + 1
    told = " ".join(one.text for one in found.sentences)
    for words in {"en": ("usual", "Nobody", "brought nothing since"), "zh": ("此前", "尚无人", "没有内容")}[language]:
        assert words in told
    assert any("报" in one.text for one in found.sentences if one.part == "stories")


def test_what_is_usual_is_what_came_before_in_as_long_a_time(material: Material) -> None:
    found = brief(material)
    # 30 hours were watched: twelve before these twelve, and not another twelve before those.
    (usual,) = [one for one in found.sentences if one.text.startswith("Usual by")]
    assert usual.n == 36


def test_the_pages_of_a_brief_read_nothing_as_marks(material: Material) -> None:
    found = brief(material, "zh")
    html, markdown = brief_html(found), brief_markdown(found)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'lang="zh-CN" data-language="zh"' in html
    assert "\\<script\\>" in markdown
    assert "[x](http" not in markdown
    assert "**差**" not in markdown
    told = brief(material, "zh", base="https://noria.example").notice(NOW)
    assert told.plain().startswith("舆情简报")
    assert "https://" not in told.plain()  # nothing but routes that need a key
    assert "https://noria.example/v1/apps/monitor/windows" in {line.link for part in told.parts for line in part.lines}


def test_a_brief_of_one_s_own_tells_of_what_one_takes(material: Material) -> None:
    one = hook("https://a.example", topics=("books",), allow_private=False)
    found = brief(material, only=one)
    assert not [each for each in found.sentences if each.part in ("topics", "entities", "stories")]
    assert [each.text for each in found.sentences if each.part == "alerts"] == ["No alert was raised."]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_of_a_model_s_words_only_those_stay_that_a_sentence_carries(material: Material, language: str) -> None:
    found = brief(material, language)
    first, alert = found.sentences[0], next(one for one in found.sentences if one.part == "alerts")
    more = "".join(str((int(one) + 1) % 10) if one.isdigit() else one for one in first.text)
    made_up = {"en": "Everybody is happy.", "zh": "大家都很满意。"}[language]
    said = with_words(found, f"- {first.text}\n{more}\n{made_up}\n{alert.text}\n{first.text}")
    assert [(one.text, one.n, one.link) for one in said.phrased] == [
        (one.text, one.n, one.link) for one in (first, alert)
    ]
    assert said.dropped is not None
    assert said.dropped >= 3
    assert made_up not in brief_markdown(said)
    assert with_words(found, "").phrased == ()


# --- the whole of it over HTTP ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def away() -> Iterator[Endpoint]:
    with endpoint(lambda sent: answered({})) as made:
        yield made


@pytest.fixture(scope="module")
def gloomy(plain_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier, to which everything is negative."""
    from tokenizers import Tokenizer
    from transformers import BertForSequenceClassification

    from noria.core.folder import new_folder, read_manifest

    model = BertForSequenceClassification.from_pretrained(plain_classifier).eval()
    model.classifier.bias.data[0] = 9.0
    target = tmp_path_factory.mktemp("gloomy") / "gloomy"
    with new_folder(target, kind="model") as folder:
        model.save_pretrained(folder.path)
        Tokenizer.from_file(str(plain_classifier / "tokenizer.json")).save(str(folder.path / "tokenizer.json"))
        folder.facts.update(read_manifest(plain_classifier).facts)
    return target


@pytest.fixture(scope="module")
def running(gloomy: Path, chatter: Path, tmp_path_factory: pytest.TempPathFactory, away: Endpoint) -> Iterator[Running]:
    from noria.apps.serving import Models, open_monitor
    from noria.apps.settings import OpinionSettings
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    folder = tmp_path_factory.mktemp("notified")
    listed = folder / "sources.toml"
    listed.write_text(
        f"[notify]\naddress = 'https://noria.example'\n[[subscription]]\nname = 'hook'\nkind = 'webhook'\nurl = '{away.url}'\n"
        "secret_env = 'NORIA_TEST_HOOK'\nallow_private = true\nlanguage = 'zh'\n"
        "[[source]]\nname = 'a'\nkind = 'push'\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_TEST_HOOK", SECRET)
        patch.setenv("NORIA_NOTIFY_TEST", SECRET)
        app = open_monitor(OpinionSettings(notify=listed), Models())
        settings = ServerSettings(port=0, lake=folder / "lake", threads=1)
        with serving(settings, [gloomy, chatter], [app]) as made:
            yield made


@pytest.fixture
def web(running: Running) -> Iterator[httpx.Client]:
    url = f"{running.url}/v1/apps/monitor"
    with httpx.Client(base_url=url, headers=running.headers, timeout=30) as made:
        yield made


def test_an_alert_reaches_its_subscriber_who_dismisses_it_by_its_link(web: httpx.Client, away: Endpoint) -> None:
    from serving import until

    now = datetime.now(UTC)
    burst = [
        {"text": f"{HOSTILE} 手机电脑 {n}", "time": (now - timedelta(minutes=12)).isoformat(), "source": "forum"}
        for n in range(60)
    ]
    web.post("/texts", json={"texts": burst}).raise_for_status()
    web.post("/clock", json={"time": now.isoformat()}).raise_for_status()
    raised = web.get("/alerts").json()
    assert raised
    until(lambda: bool(away.requests))
    data = json.loads(away.requests[0].body)["data"]
    verified(away.requests[0].headers, away.requests[0].body, SECRET, datetime.now(UTC).timestamp())
    assert data["alert"]["id"] in {one["id"] for one in raised}
    place = data["judge"].removeprefix("https://noria.example/v1/apps/monitor")
    for _ in range(2):  # whoever only looks says nothing
        page = httpx.get(f"{web.base_url}{place.lstrip('/')}")
        assert page.status_code == 200
        assert "script" not in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "误报" in page.text
        assert "<script" not in page.text
    alert = f"/alerts/{data['alert']['id']}"
    assert web.get(alert).json()["verdict"] == ""
    address = f"{web.base_url}{place.lstrip('/')}"
    assert httpx.post(address, data={"verdict": "perhaps"}).status_code == 422
    assert (
        httpx.post(address[:-1] + ("0" if address[-1] != "0" else "1"), data={"verdict": "dismissed"}).status_code
        == 404
    )
    assert "已记录" in httpx.post(address, data={"verdict": "dismissed"}).text
    assert "已有结论" in httpx.post(address, data={"verdict": "confirmed"}).text
    found = web.get(alert).json()
    assert (found["verdict"], found["by"]) == ("dismissed", "hook")


def test_the_brief_over_http_in_every_form_and_by_the_command(
    web: httpx.Client, running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.cli.applications import brief as command
    from noria.core.errors import InputError

    found = web.get("/brief", params={"language": "zh"}).json()
    assert found["language"] == "zh"
    assert all(one["where"] for one in found["sentences"])
    assert web.get("/brief", params={"form": "markdown"}).text.startswith("# Opinion brief")
    page = web.get("/brief", params={"form": "html", "language": "zh", "day": "2026-11-29", "zone": "Asia/Shanghai"})
    assert page.headers["content-type"].startswith("text/html")
    assert "2026-11-29 00:00" in page.text
    for wrong in ({"day": "2026-13-40"}, {"day": "0001-01-01"}, {"zone": "Mars"}, {"days": 0}, {"form": "pdf"}):
        assert web.get("/brief", params=wrong).status_code == 422, wrong
    said = web.get("/brief", params={"phrased": True}).json()
    texts = [one["text"] for one in said["sentences"]]
    assert said["dropped"] >= 0
    assert all(
        one["text"] in texts for one in said["phrased"]
    )  # a tiny model writes nothing that they carry but by chance
    assert command(server=running.url, key=running.key, language="zh") == 0
    assert capsys.readouterr().out.startswith("# 舆情简报")
    assert command(tmp_path / "brief.html", server=running.url, key=running.key, language="en") == 0
    assert "<h1>Opinion brief" in (tmp_path / "brief.html").read_text(encoding="utf-8")
    with pytest.raises(InputError):
        command(server=running.url, key="wrong")


def test_subscriptions_over_http_are_for_admins(web: httpx.Client, running: Running) -> None:
    new = {"name": "team", "kind": "webhook", "url": "https://a.example", "secret_env": "NORIA_NOTIFY_TEST"}
    assert web.post("/subscriptions", json=new).json()["made_by"] == "api"
    changed = web.post("/subscriptions", json=new | {"topics": ["phones"], "quiet": ["22:00-08:00"]}).json()
    assert (changed["topics"], changed["quiet"]) == (["phones"], ["22:00-08:00"])
    listed = {one["name"]: one for one in web.get("/subscriptions").json()}
    assert {name: one["made_by"] for name, one in listed.items()} == {"hook": "file", "team": "api"}
    assert SECRET not in json.dumps(listed)
    for wrong in (
        {"secret_env": "NORIA_TEST_HOOK"},
        {"name": "hook"},
        {"kind": "fax"},
        {"url": "http://a.example"},
        {"zone": "Mars"},
        {"secret_env": "NORIA_NOTIFY_NONE"},
    ):
        assert web.post("/subscriptions", json=new | wrong).status_code == 422, wrong
    key = running.state.keys.make("client")
    assert web.get("/subscriptions", headers={"authorization": f"Bearer {key}"}).status_code == 403
    assert web.delete("/subscriptions/hook").status_code == 422
    assert web.delete("/subscriptions/none").status_code == 404
    assert web.delete("/subscriptions/team").json()["removed"]
    assert [one["name"] for one in web.get("/subscriptions").json()] == ["hook"]


def test_a_subscription_is_tried_out_and_paused(web: httpx.Client, away: Endpoint) -> None:
    before = len(away.requests)
    tried = web.post("/subscriptions/hook/test", json={}).json()
    assert tried == {"name": "hook", "arrived": True, "why": ""}
    body = json.loads(away.requests[before].body)
    assert body["type"] == "monitor.test"
    assert "hook" in body["data"]["text"]
    assert web.post("/subscriptions/none/test", json={}).status_code == 404
    assert web.post("/subscriptions/none/pause", json={"paused": True}).status_code == 404
    assert web.post("/subscriptions/hook/pause", json={"paused": True}).json()["paused"]
    assert [one["paused"] for one in web.get("/subscriptions").json() if one["name"] == "hook"] == [True]
    assert not web.post("/subscriptions/hook/pause", json={"paused": False}).json()["paused"]


def test_to_who_is_paused_nothing_goes_and_a_brief_afterwards_tells_of_all_the_time(
    material: Material, tmp_path: Path, clock: Clock
) -> None:
    with endpoint() as there:
        outbox = Outbox(tmp_path / "outbox")
        some = {one.name: one for one in (hook(there.url), hook(there.url, name="brief", digest="daily", at="00:00"))}
        senders = Senders(NotifySettings(), {"SECRET": SECRET})
        made = Sending(outbox, material, lambda: some, senders, clock=clock, paused=outbox.paused)
        outbox.pause("hook", paused=True)
        rounds(made, 2)
        assert not there.requests
        outbox.pause("hook", paused=False)
        rounds(made, 2)
        assert not there.requests  # what was raised in the pause is not sent
        outbox.pause("brief", paused=True)
        began = outbox.digested("brief", clock())
        clock.now += timedelta(days=2)
        rounds(made)
        assert not there.requests
        outbox.pause("brief", paused=False)
        rounds(made)
        (sent,) = [json.loads(one.body) for one in there.requests]
        assert sent["data"]["brief"]["since"] == began.isoformat()
        outbox.close()
        again = Outbox(tmp_path / "outbox")
        assert again.paused() == frozenset()
        again.close()


def test_a_list_that_is_watched_once_sends_what_that_raises(
    gloomy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.cli.applications import watch
    from noria.server.http.settings import ServerSettings

    monkeypatch.setenv("NORIA_TEST_HOOK", SECRET)
    now = datetime.now(UTC)
    rows = [
        {"text": f"{HOSTILE} 手机 {n}", "time": (now - timedelta(minutes=50, seconds=-n)).isoformat()}
        for n in range(60)
    ]
    rows.append({"text": "手机很好", "time": now.isoformat()})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with endpoint() as there:
        listed = tmp_path / "sources.toml"
        listed.write_text(
            f"[monitor]\nmodels = ['{gloomy}']\n[[source]]\nname = 'file'\nkind = 'file'\npath = 'rows.jsonl'\n"
            f"[[subscription]]\nname = 'hook'\nkind = 'webhook'\nurl = '{there.url}'\nsecret_env = 'NORIA_TEST_HOOK'\n"
            "allow_private = true\nfalse_alarms_a_week = 3\n"
        )
        settings = ServerSettings(port=0, lake=tmp_path / "lake", threads=1)
        assert watch(listed, once=True, json=True, settings=settings) == 0
        sent = there.bodies()
    assert sent
    assert {one["data"]["subscription"] for one in sent} == {"hook"}
    told = capsys.readouterr().err
    assert "bears 3 false alarms a week" in told
    assert "without address" in told


def test_a_list_with_subscriptions_is_for_the_server_that_watches(tmp_path: Path) -> None:
    from noria.cli.applications import watch
    from noria.core.errors import SettingError

    listed = tmp_path / "sources.toml"
    listed.write_text("[[source]]\nname = 'a'\nkind = 'push'\n[notify]\naddress = 'https://noria.example'\n")
    with pytest.raises(SettingError, match="--notify"):
        watch(listed, server="http://localhost:1")
