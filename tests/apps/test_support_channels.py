"""Channels: what their documentation signs is taken, and nothing else; each message once; replies of desk and people arrive in their order."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from endpoints import Endpoint, Sent, answered, endpoint

from noria.apps.support.channels import outbox
from noria.apps.support.channels.encryption import decrypted
from noria.apps.support.channels.intake import adapter_of
from noria.apps.support.channels.settings import read_channels
from noria.apps.support.channels.wecom import parts_of, xml_texts
from noria.apps.support.knowledge.building import build
from noria.apps.support.routes import Support
from noria.core.errors import NoriaError, SettingError
from noria.lake import deliveries
from noria.lake.conversation import Turn
from noria.lake.erase import erase_user
from noria.server import webhook
from noria.server.errors import ApiError
from noria.server.http.routing import Raw
from noria.server.webhook import DeliveryError, signed, verified

if TYPE_CHECKING:
    from noria.server.http.run import Running

AES_KEY = base64.b64encode(bytes(range(32))).decode().rstrip("=")
SECRETS = {
    **{"HOOK": "a secret", "SLACK_SIGN": "8f742231b10e8888abcd99yyyzzz85a5", "SLACK_TOKEN": "xoxb-1"},
    **{"FEISHU_SECRET": "fs", "FEISHU_TOKEN": "v-token", "FEISHU_KEY": "kudryavka"},
    **{"DING_SECRET": "ding secret", "WECOM_SECRET": "ws", "WECOM_TOKEN": "QDG6eK", "WECOM_KEY": AES_KEY},
}
FILE = """
[shop]
kind = "webhook"
secret_env = "HOOK"
url = "URL/replies"
allow_private = true

[slack]
kind = "slack"
signing_secret_env = "SLACK_SIGN"
token_env = "SLACK_TOKEN"
url = "URL/api"
allow_private = true

[feishu]
kind = "feishu"
app_id = "cli_1"
app_secret_env = "FEISHU_SECRET"
token_env = "FEISHU_TOKEN"
encrypt_env = "FEISHU_KEY"
url = "URL"
allow_private = true

[ding]
kind = "dingtalk"
secret_env = "DING_SECRET"
url = "URL"
allow_private = true

[wecom]
kind = "wecom"
corp_id = "ww1"
agent_id = 1000002
secret_env = "WECOM_SECRET"
token_env = "WECOM_TOKEN"
aes_key_env = "WECOM_KEY"
url = "URL"
allow_private = true
"""


def encrypted(content: bytes, key: bytes, vector: bytes, size: int) -> bytes:
    padding = size - len(content) % size
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(content + bytes([padding]) * padding) + encryptor.finalize()


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


# Requests as the platforms' documentation has them: text, id, time -> Raw


def shop(text: str, id: str, now: int) -> Raw:
    body = encoded({"text": text, "user": "anna"})
    return Raw(signed(body, id, SECRETS["HOOK"], now), {}, body)


def slack_signed(body: Any, now: int) -> Raw:
    content = encoded(body)
    right = hmac.new(SECRETS["SLACK_SIGN"].encode(), b"v0:%d:%s" % (now, content), hashlib.sha256).hexdigest()
    return Raw({"x-slack-request-timestamp": str(now), "x-slack-signature": f"v0={right}"}, {}, content)


def slack(text: str, id: str, now: int) -> Raw:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    event = {
        "type": "message",
        "channel": "D024BE91L",
        "user": "U2147483697",
        "text": text,
        "ts": f"1355517523.{id}",
        "channel_type": "im",
    }
    return slack_signed(
        {"token": "x", "team_id": "T1", "type": "event_callback", "event_id": f"Ev{id}", "event": event}, now
    )


def feishu_signed(body: Any, now: int) -> Raw:
    key = hashlib.sha256(SECRETS["FEISHU_KEY"].encode()).digest()
    vector = bytes(range(16))
    whole = vector + encrypted(encoded(body), key, vector, 16)
    content = encoded({"encrypt": base64.b64encode(whole).decode()})
    right = hashlib.sha256(f"{now}n0nce{SECRETS['FEISHU_KEY']}".encode() + content).hexdigest()
    headers = {"x-lark-request-timestamp": str(now), "x-lark-request-nonce": "n0nce", "x-lark-signature": right}
    return Raw(headers, {}, content)


def feishu(text: str, id: str, now: int) -> Raw:
    return feishu_signed(
        {
            "schema": "2.0",
            "header": {
                "event_id": id,
                "event_type": "im.message.receive_v1",
                "create_time": "1608725989000",
                "token": "v-token",
                "app_id": "cli_1",
            },
            "event": {
                "sender": {"sender_id": {"open_id": "ou_84aad35d"}, "sender_type": "user", "tenant_key": "736"},
                "message": {
                    **{
                        "message_id": f"om_{id}",
                        "chat_id": "oc_5ce6d572",
                        "chat_type": "group",
                        "message_type": "text",
                    },
                    "content": json.dumps({"text": f"@_user_1 {text}"}),
                    "mentions": [{"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "bot"}],
                },
            },
        },
        now,
    )


def ding(text: str, id: str, now: int, url: str = "URL") -> Raw:
    timestamp, secret = str(now * 1000), SECRETS["DING_SECRET"]
    sign = base64.b64encode(hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), "sha256")).decode()
    body = {
        **{
            "msgId": f"msg{id}",
            "conversationId": "cid1",
            "conversationType": "2",
            "senderId": "$:LWCP",
            "senderStaffId": "staff1",
        },
        **{"sessionWebhook": f"{url}/robot/sendBySession?session=s1", "sessionWebhookExpiredTime": (now + 5400) * 1000},
        **{"msgtype": "text", "text": {"content": f" {text} "}},
    }
    return Raw({"timestamp": timestamp, "sign": sign}, {}, encoded(body))


def wecom_encrypted(content: bytes, now: int, name: str = "") -> tuple[dict[str, str], str]:
    key = base64.b64decode(f"{AES_KEY}=")
    whole = b"0123456789abcdef" + struct.pack(">I", len(content)) + content + b"ww1"
    told = base64.b64encode(encrypted(whole, key, key[:16], 32)).decode()
    right = hashlib.sha1("".join(sorted(("QDG6eK", str(now), "1597", told))).encode()).hexdigest()
    return {"msg_signature": right, "timestamp": str(now), "nonce": "1597", **({name: told} if name else {})}, told


def wecom(text: str, id: str, now: int) -> Raw:
    inside = (
        f"<xml><ToUserName><![CDATA[ww1]]></ToUserName><FromUserName><![CDATA[zhangsan]]></FromUserName><CreateTime>{now}</CreateTime>"
        f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content><MsgId>{id}</MsgId><AgentID>1000002</AgentID></xml>"
    )
    query, told = wecom_encrypted(inside.encode(), now)
    body = f"<xml><ToUserName><![CDATA[ww1]]></ToUserName><Encrypt><![CDATA[{told}]]></Encrypt><AgentID><![CDATA[1000002]]></AgentID></xml>"
    return Raw({}, query, body.encode())


MADE: dict[str, Callable[[str, str, int], Raw]] = {
    "shop": shop,
    "slack": slack,
    "feishu": feishu,
    "ding": ding,
    "wecom": wecom,
}
USERS = {
    **{
        "shop": "anna",
        "slack": "slack:U2147483697",
        "feishu": "feishu:ou_84aad35d",
        "ding": "ding:staff1",
        "wecom": "wecom:zhangsan",
    }
}


def platform(sent: Sent) -> tuple[int, dict[str, str], bytes]:
    """Answer as the platforms do."""
    path = urlsplit(sent.path).path
    if path == "/open-apis/auth/v3/tenant_access_token/internal":
        good = sent.json() == {"app_id": "cli_1", "app_secret": "fs"}
        return answered({"code": 0, "tenant_access_token": "t-1", "expire": 7200} if good else {"code": 10003})
    if path == "/cgi-bin/gettoken":
        good = parse_qs(urlsplit(sent.path).query) == {"corpid": ["ww1"], "corpsecret": ["ws"]}
        return answered({"errcode": 0, "access_token": "a-1", "expires_in": 7200} if good else {"errcode": 40001})
    return answered({"ok": True, "code": 0, "errcode": 0})


@pytest.fixture
def other() -> Iterator[Endpoint]:
    with endpoint(platform) as made:
        yield made


def channels(folder: Path, url: str) -> Path:
    file = folder / "channels.toml"
    file.write_text(FILE.replace("URL", url), encoding="utf-8")
    return file


def adapters(folder: Path, url: str) -> Mapping[str, Any]:
    return {name: adapter_of(name, one, SECRETS) for name, one in read_channels(channels(folder, url)).items()}


@pytest.mark.parametrize("name", MADE)
def test_what_is_signed_is_read_and_any_other_is_refused(name: str, tmp_path: Path, other: Endpoint) -> None:
    adapter, now = adapters(tmp_path, other.url)[name], int(time.time())
    raw = ding("你好 <b>", "1", now, other.url) if name == "ding" else MADE[name]("你好 <b>", "1", now)
    came = adapter.receive(raw).message
    assert (came.text, came.user) == ("你好 <b>", USERS[name])
    changed = [Raw(raw.headers, raw.query, raw.content + b" ")] if name not in ("ding", "wecom") else []
    if name not in ("ding",):  # whose signature does not cover the body
        places = range(0, len(raw.content), max(1, len(raw.content) // 40))
        changed += [
            Raw(raw.headers, raw.query, raw.content[:at] + bytes([raw.content[at] ^ 1]) + raw.content[at + 1 :])
            for at in places
        ]
    for part in ("headers", "query"):
        given = dict(getattr(raw, part))
        for key in [one for one in given if one != "idempotency-key"]:
            at = len(given[key]) - 2
            for value in ("", given[key][:at] + chr(ord(given[key][at]) ^ 1) + given[key][at + 1 :]):
                changed.append(
                    Raw(
                        **{
                            **{"headers": raw.headers, "query": raw.query, "content": raw.content},
                            part: {**given, key: value},
                        }
                    )
                )
    statuses, passed = set(), 0
    for one in changed:
        with suppress(ApiError):
            # Outside of what WeCom signs stand names that nobody reads.
            assert (name, adapter.receive(one).message) == ("wecom", came)
            passed += 1
            continue
        with pytest.raises(ApiError) as refused:
            adapter.receive(one)
        statuses.add(refused.value.status)
    assert statuses <= {400, 401}
    assert passed < len(changed) / 2
    assert len(changed) > 3
    for late in (-7200, 7200):
        with pytest.raises(ApiError) as refused:
            adapter.receive(MADE[name]("x", "1", now + late))
        assert refused.value.status == 401


def test_slack_s_documented_example_has_its_signature() -> None:
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    body = (
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&"
        "user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F"
        "T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    base = f"v0:1531420618:{body}".encode()
    found = hmac.new(SECRETS["SLACK_SIGN"].encode(), base, hashlib.sha256).hexdigest()
    assert found == "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_wecom_s_and_feishu_s_documented_examples_are_read(tmp_path: Path) -> None:
    # https://developer.work.weixin.qq.com/document/path/90930 and https://open.feishu.cn/document/server-docs/event-subscription-guide
    found = read_channels(channels(tmp_path, "http://127.0.0.1:1"))["wecom"].replace(corp_id="wx5823bf96d3bd56c7")
    secrets = {"WECOM_SECRET": "x", "WECOM_TOKEN": "QDG6eK", "WECOM_KEY": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"}
    adapter = adapter_of("wecom", found, secrets)
    adapter.clock = lambda: 1_409_659_589
    query = {
        "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
        "timestamp": "1409659589",
        "nonce": "263014780",
        "echostr": "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
    }
    assert adapter.prove(Raw({}, query, b"")).body == b"1616140317555161061"
    key = hashlib.sha256(b"test key").digest()
    assert decrypted("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=", key, None, 16) == b"hello world"


def test_platforms_see_that_the_address_is_ours(tmp_path: Path, other: Endpoint) -> None:
    made, now = adapters(tmp_path, other.url), int(time.time())
    given = made["slack"].receive(slack_signed({"type": "url_verification", "challenge": "3eZbrw1a"}, now)).response
    assert given.body == b"3eZbrw1a"
    body = {"type": "url_verification", "challenge": "ajls384k", "token": "v-token"}
    for raw in (feishu_signed(body, now), Raw({}, {}, feishu_signed(body, now).content)):
        assert json.loads(made["feishu"].receive(raw).response.body) == {"challenge": "ajls384k"}
    query, _ = wecom_encrypted(b"1616140317555161061", now, "echostr")
    assert made["wecom"].prove(Raw({}, query, b"")).body == b"1616140317555161061"
    wrong = [lambda: made["feishu"].receive(feishu_signed(body | {"token": "other"}, now))]
    wrong.append(
        lambda: made["feishu"].receive(Raw({}, {}, feishu("x", "1", now).content))
    )  # an event without its signature
    wrong.append(lambda: made["wecom"].prove(Raw({}, query | {"nonce": "1598"}, b"")))
    wrong.append(lambda: made["ding"].receive(ding("x", "1", now, "https://elsewhere.example")))
    wrong.append(lambda: made["ding"].receive(ding("x", "1", now, f"{other.url}.elsewhere.example")))
    for one in wrong:
        with pytest.raises(ApiError) as refused:
            one()
        assert refused.value.status == 401
    with pytest.raises(ApiError) as refused:
        made["slack"].prove(Raw({}, {}, b""))
    assert refused.value.status == 404


def test_what_no_customer_wrote_is_no_message(tmp_path: Path, other: Endpoint) -> None:
    made, now = adapters(tmp_path, other.url), int(time.time())
    own = {
        "type": "message",
        "channel": "D1",
        "user": "U1",
        "text": "x",
        "ts": "1.1",
        "channel_type": "im",
        "bot_id": "B1",
    }
    crowd = {"type": "message", "channel": "C1", "user": "U1", "text": "x", "ts": "1.1", "channel_type": "channel"}
    for event in (own, crowd, crowd | {"type": "reaction_added"}, {}, "x", None):
        assert made["slack"].receive(slack_signed({"type": "event_callback", "event": event}, now)).message is None
    called = (
        made["slack"].receive(slack_signed({"event": crowd | {"type": "app_mention", "text": "<@U0> hi"}}, now)).message
    )
    assert (called.text, called.to, called.conversation) == ("hi", {"channel": "C1", "thread": "1.1"}, "C1:1.1:U1")
    event = b"<xml><FromUserName>a</FromUserName><MsgType>event</MsgType><Event>enter_agent</Event></xml>"
    query, told = wecom_encrypted(event, now)
    assert made["wecom"].receive(Raw({}, query, f"<xml><Encrypt>{told}</Encrypt></xml>".encode())).message is None


@pytest.mark.parametrize(
    "content",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><xml><A>&b;</A></xml>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><xml/>',
        b"<xml><A>1</xml>",
        b"",
        b"not xml",
        '<!DOCTYPE x [<!ENTITY a "b">]><xml><A>&a;</A></xml>'.encode("utf-16"),
    ],
)
def test_xml_with_a_document_type_or_no_xml_is_refused(content: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        xml_texts(content)
    assert refused.value.status == 400


def test_long_texts_go_in_parts_that_are_the_whole() -> None:
    text = "\n".join(f"第 {number} 行：{'退货' * (number % 90)} and so on" for number in range(200))
    parts = list(parts_of(text, 2_048))
    assert max(len(one.encode()) for one in parts) <= 2_048
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert list(parts_of("货" * 3_000, 2_048)) == ["货" * 682] * 4 + ["货" * 272]


REPLY = Turn(
    "c", 2, "0199aaaa-0000-7000-8000-000000000001", datetime(2026, 3, 1, tzinfo=UTC), "person", "小王", "a & <b>"
)


@dataclass
class Case:
    path: str
    sent: Any
    to: dict[str, Any]


@pytest.mark.parametrize("name", [*MADE])
def test_a_reply_goes_out_as_the_platform_has_it(name: str, tmp_path: Path, other: Endpoint) -> None:
    cases = {
        "shop": Case("/replies", None, {"conversation": "chat", "user": "anna"}),
        "slack": Case(
            "/api/chat.postMessage",
            {"channel": "C1", "text": "a &amp; &lt;b&gt;", "thread_ts": "1.1"},
            {"channel": "C1", "thread": "1.1"},
        ),
        "feishu": Case(
            "/open-apis/im/v1/messages",
            {"receive_id": "oc", "msg_type": "text", "content": '{"text": "a & <b>"}', "uuid": REPLY.id},
            {"chat": "oc"},
        ),
        "ding": Case(
            "/robot/sendBySession",
            {"msgtype": "text", "text": {"content": "a & <b>"}},
            {"webhook": f"{other.url}/robot/sendBySession?session=s", "ends": 0},
        ),
        "wecom": Case(
            "/cgi-bin/message/send",
            {"touser": "z", "msgtype": "text", "agentid": 1000002, "text": {"content": "a & <b>"}},
            {"user": "z"},
        ),
    }
    case, adapter = cases[name], adapters(tmp_path, other.url)[name]
    for again in (False, True):
        asyncio.run(adapter.send(REPLY, case.to, again))
    sent = [one for one in other.requests if urlsplit(one.path).path == case.path]
    assert len(sent) == 2
    if name == "shop":
        assert verified(sent[0].headers, sent[0].body, SECRETS["HOOK"], time.time()) == REPLY.id
        assert {one.headers["idempotency-key"] for one in sent} == {REPLY.id}
        told = sent[0].json()
        assert (told["role"], told["author"], told["text"], told["user"]) == ("person", "小王", "a & <b>", "anna")
    else:
        assert case.sent.items() <= sent[0].json().items()
    if name == "wecom":
        assert ("enable_duplicate_check" in sent[0].json(), sent[1].json()["enable_duplicate_check"]) == (False, 1)
    keys = {"slack": "Bearer xoxb-1", "feishu": "Bearer t-1"}
    assert sent[0].headers.get("authorization") == keys.get(name)
    assert sum("oken" in one.path and one not in sent for one in other.requests) == (name in ("feishu", "wecom"))
    other.answer = lambda one: (
        platform(one)
        if "oken/" in one.path or "gettoken" in one.path
        else answered({"ok": False, "error": "x", "code": 9, "errcode": 9}, 409)
    )
    with pytest.raises(DeliveryError) as refused:
        asyncio.run(adapter.send(REPLY, case.to, True))
    assert not refused.value.lasting


def test_an_ended_session_of_dingtalk_is_told_and_not_tried(tmp_path: Path, other: Endpoint) -> None:
    to = {"webhook": f"{other.url}/robot/sendBySession", "ends": time.time() - 1}
    with pytest.raises(DeliveryError, match="ended") as refused:
        asyncio.run(adapters(tmp_path, other.url)["ding"].send(REPLY, to, False))
    assert refused.value.lasting
    assert other.requests == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kind = "slack"', 'kind = "slak"', "slack"),
        ("[shop]", "[Shop 1]", "TOML"),
        ("[shop]", '["Shop 1"]', "small letters"),
        ("agent_id = 1000002", "agent = 1", "agent_id"),
        ("allow_private = true", "", "no address"),
        ('secret_env = "HOOK"', 'secret_env = "not a name"', "secret_env"),
    ],
)
def test_a_file_of_channels_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, before: str, after: str, words: str
) -> None:
    file = channels(tmp_path, "http://127.0.0.1:1")
    file.write_text(file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(NoriaError) as refused:
        read_channels(file)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_of_wecom_that_is_none_is_told(tmp_path: Path) -> None:
    found = read_channels(channels(tmp_path, "http://127.0.0.1:1"))
    with pytest.raises(SettingError, match="EncodingAESKey"):
        adapter_of("wecom", found["wecom"], SECRETS | {"WECOM_KEY": "short"})
    with pytest.raises(SettingError, match="WECOM_KEY"):
        adapter_of("wecom", found["wecom"], {**SECRETS, "WECOM_KEY": ""})


# A server with channels


@contextmanager
def served(embedder: Path, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(deliveries, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(webhook, "FIRST_WAIT", 0.1)
    if not (folder / "kb").exists():
        (folder / "rules.csv").write_text(
            "words,answer\nopening hours,9 to 18 & <b>.\n发货,两天内发货。\n", encoding="utf-8"
        )
        (folder / "lamp.md").write_text("# Lamp\n\nThe lamp is bright.\n", encoding="utf-8")
        build([folder / "rules.csv", folder / "lamp.md"], folder / "kb")
    app = Support(kb=folder / "kb", channels=channels(folder, url))
    with serving(ServerSettings(port=0, lake=folder / "lake", threads=1), [embedder], [app]) as running:
        yield running


PLATFORM = httpx.Client(verify=False, timeout=30)


def post(server: Running, name: str, raw: Raw) -> httpx.Response:
    url = f"{server.url}/v1/apps/support/channels/{name}?{urlencode(dict(raw.query))}"
    return PLATFORM.post(url, headers=dict(raw.headers), content=raw.content)


def until(met: Callable[[], bool]) -> None:
    for _ in range(300):
        if met():
            return
        time.sleep(0.05)
    raise AssertionError("it took too long")


def replies(other: Endpoint) -> list[str]:
    """Return the texts that the platforms were sent, in their order."""
    texts = []
    for one in other.requests:
        body = {} if "oken" in one.path and "access_token=" not in one.path else one.json()
        content = body.get("text") or body.get("content")
        if content:
            content = content["content"] if isinstance(content, dict) else content
            texts.append(
                json.loads(content)["text"]
                if content.startswith('{"text"')
                else content.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
            )
    return texts


def test_a_conversation_on_every_channel_from_the_desk_to_a_person_and_through_a_restart(
    embedder: Path, tmp_path: Path, other: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())

    def made(name: str, text: str, id: str) -> Raw:
        return ding(text, id, now, other.url) if name == "ding" else MADE[name](text, id, now)

    def sent(count: int) -> bool:
        return len(replies(other)) >= count * len(MADE)

    with (
        served(embedder, tmp_path, other.url, monkeypatch) as server,
        httpx.Client(base_url=f"{server.url}/v1/apps/support", headers=server.headers, timeout=30) as web,
    ):
        for name in MADE:
            raw = made(name, "What are your opening hours?", "1")
            answers = [post(server, name, raw) for _ in range(3)]  # sent again and again
            assert [one.status_code for one in answers] == [200] * 3, answers[0].text
            forged = post(
                server,
                name,
                Raw(
                    {
                        **raw.headers,
                        "webhook-id": "2",
                        "x-slack-signature": "v0=0",
                        "x-lark-signature": "0",
                        "sign": "0",
                    },
                    {**raw.query, "nonce": "0"},
                    raw.content,
                ),
            )
            assert forged.status_code == 401
        until(lambda: sent(1))
        time.sleep(0.3)
        assert replies(other) == ["9 to 18 & <b>."] * len(MADE)
        for name in MADE:
            assert post(server, name, made(name, "转人工", "2")).status_code == 200
        until(lambda: sent(2))
        waiting = web.get("/inbox").json()["conversations"]
        assert len(waiting) == len(MADE)
        for one in waiting:
            for number in range(3):
                text = {"agent": "小王", "text": f"第 {number} 句"}
                web.post(f"/inbox/{one['id']}/reply", json=text).raise_for_status()
        until(lambda: sent(5))
        assert sorted(replies(other)[-3 * len(MADE) :]) == sorted(
            [f"第 {number} 句" for number in range(3)] * len(MADE)
        )
        by_hook = [one.json()["text"] for one in other.requests if one.path == "/replies"]
        assert by_hook[-3:] == ["第 0 句", "第 1 句", "第 2 句"]
        # The platforms are away; a person's reply waits, and the server stops.
        other.answer = lambda one: answered({}, 503)
        web.post(f"/inbox/{waiting[0]['id']}/reply", json={"agent": "小王", "text": "等一下再说"}).raise_for_status()
        time.sleep(0.2)
    other.answer = platform
    other.requests.clear()
    with served(embedder, tmp_path, other.url, monkeypatch) as server:
        until(lambda: "等一下再说" in replies(other))
        time.sleep(0.3)
        assert replies(other) == ["等一下再说"]
        for name in MADE:
            receipt = erase_user(tmp_path / "lake", server.state.meter.pseudonym(USERS[name]))
            assert receipt.turns >= 8, name
        kept = next(app for app in server.state.apps if isinstance(app, Support)).people.kept
        count = "SELECT (SELECT count(*) FROM conversations) + (SELECT count(*) FROM turns) + (SELECT count(*) FROM deliveries)"
        assert kept._reader.execute(count).fetchone() == (0,)
        assert post(server, "nothing", shop("x", "1", now)).status_code == 404


def test_what_is_never_taken_is_told_to_colleagues(
    embedder: Path, tmp_path: Path, other: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.answer = lambda one: answered({"ok": False, "error": "channel_not_found"})
    now = int(time.time())
    with (
        served(embedder, tmp_path, other.url, monkeypatch) as server,
        httpx.Client(base_url=f"{server.url}/v1/apps/support", headers=server.headers, timeout=30) as web,
    ):
        post(server, "slack", slack("转人工", "1", now))
        until(lambda: bool(web.get("/inbox").json()["conversations"]))
        (waiting,) = web.get("/inbox").json()["conversations"]
        until(lambda: any(one["kind"] == "note" for one in web.get(f"/inbox/{waiting['id']}").json()["turns"]))
        notes = [one for one in web.get(f"/inbox/{waiting['id']}").json()["turns"] if one["kind"] == "note"]
        assert "channel_not_found" in notes[0]["text"]
        assert len(other.requests) == 1
