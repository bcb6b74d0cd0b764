"""Notifying: whom an alert concerns, when it is sent, what it says, and that nothing people wrote is read as marks in any service's format."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from noria.apps.hours import Hours
from noria.apps.monitor.notify import formats
from noria.apps.monitor.notify.notice import Notice, alert_notice, clean, how_often, safe_link
from noria.apps.monitor.notify.pages import marked, verdict_page
from noria.apps.monitor.notify.sending import due, last_digest
from noria.apps.monitor.notify.settings import (
    KINDS,
    NotifySettings,
    Subscription,
    check,
    check_foreign,
    read_notify,
    severity_of,
    subscription_of,
    wants,
)
from noria.apps.monitor.sources.listing import read_listing
from noria.apps.monitor.surge import Alert, Mention, alert_dict
from noria.core.errors import NoriaError, PackageError, SettingError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
HOSTILE = (
    'It burns! <script>alert(1)</script> [click](http://evil.example) <!channel> <at user_id="all">all</at> @all '
    "**now**\n\nConfirm or dismiss it: http://evil.example/verdict \u202edrawkcab"
)
TITLES = {"phones": {"en": "phones", "zh": "手机"}}
JUDGE = "https://noria.example/v1/apps/monitor/verdicts/k.s"


def alert(text: str = HOSTILE, n: int = 8, **changes: Any) -> dict[str, Any]:
    mentions = [
        Mention(
            f"m{number}",
            NOW - timedelta(minutes=number),
            "phones",
            True,
            0.9 + number / 100,
            f"{number} {text}",
            source="forum",
            link=f"https://forum.example/{number}",
            story=f"s{number}",
        )
        for number in range(n)
    ]
    voice = Mention("v", NOW, "phones", False, 0.8, f"fine {text}", source="shop", link="javascript:alert(1)")
    made = Alert(
        "a:1",
        "phones",
        NOW - timedelta(minutes=35),
        NOW,
        22,
        30,
        0,
        0,
        0,
        1e-9,
        1e-4,
        mentions,
        found=22,
        expected=1.24,
        low=0.0,
        high=5.0,
        a_week=0.025,
        history_hours=320.0,
        reposts=4,
        voices=[voice],
    )
    return alert_dict(made) | changes


def subscription(**values: Any) -> Subscription:
    return Subscription.make(**{"name": "anna", **values})


def notice(language: str = "en", **changes: Any) -> Notice:
    one = subscription(language=language, zone="Asia/Shanghai")
    return alert_notice(alert(**changes), one, TITLES, JUDGE, NOW)


# --- whom it concerns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "of", "topic", "taken"),
    [
        ({}, "topic", "phones", True),
        ({"topics": ("Phones",)}, "topic", "phones", True),
        ({"topics": ("cars",)}, "topic", "phones", False),
        ({"entities": ("phones",)}, "topic", "phones", False),
        ({"entities": ("Nova",)}, "entity", "nova", True),
        ({"sources": ("forum",)}, "source", "forum", True),
        ({"topics": ("phones",)}, "source", "forum", False),
    ],
)
def test_a_subscription_takes_what_it_names(named: dict[str, Any], of: str, topic: str, taken: bool) -> None:
    assert wants(subscription(**named), {"of": of, "topic": topic, "a_week": 0.5}, 50) is taken


def test_severity_is_how_seldom_chance_brings_it_and_unknown_is_low() -> None:
    assert [severity_of(a_week) for a_week in (None, 1.0, 0.2, 0.01)] == ["low", "low", "medium", "high"]
    for least, taken in (("low", [1, 1, 1]), ("medium", [0, 1, 1]), ("high", [0, 0, 1])):
        one = subscription(severity=least)
        assert [wants(one, alert(a_week=a_week), 50) for a_week in (1.0, 0.1, 0.01)] == [bool(each) for each in taken]


@given(st.floats(1e-6, 10), st.floats(0.01, 10), st.integers(1, 20), st.integers(1, 400), st.floats(0.25, 16))
def test_the_budget_counts_what_chance_brings_to_the_subscriber_s_own_share(
    a_week: float, budget: float, topics: int, more: int, strictness: float
) -> None:
    names = tuple(f"t{number}" for number in range(topics))
    one, watched = subscription(topics=names, false_alarms_a_week=budget), 2 * topics + more
    found = {"of": "topic", "topic": "t0", "a_week": a_week}
    share = a_week * 2 * topics / watched
    assume(abs(share * strictness - budget) > 1e-9)
    assert wants(one, found, watched, strictness) is (share * strictness < budget)
    assert wants(subscription(topics=names), found, watched, strictness)


# --- when it is sent --------------------------------------------------------------------------------------------------

CHANGES = [NOW, datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC)]
"""Among them the days on which New York and Lord Howe change their clocks."""


@given(
    st.sampled_from(CHANGES),
    st.integers(0, 2 * 1440),
    st.sampled_from(ZONES),
    st.integers(0, 1439),
    st.integers(0, 1439),
)
def test_what_is_raised_in_quiet_hours_is_sent_when_they_end_by_the_clock_of_the_place(
    day: datetime, minute: int, zone: str, start: int, end: int
) -> None:
    assume(start != end)
    span = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    one, now = subscription(quiet=(span,), zone=zone), day + timedelta(minutes=minute)
    here = now.astimezone(ZoneInfo(zone))
    shown = here.hour * 60 + here.minute
    quiet = start <= shown < end if start < end else shown >= start or shown < end
    sent = due(one, now).astimezone(UTC)
    if not quiet:
        assert sent == now
        return
    assert now < sent <= now + timedelta(hours=25)
    there = sent.astimezone(ZoneInfo(zone))
    reached = there.hour * 60 + there.minute
    # In the night in which clocks are put forward the end may be an hour that is not shown.
    assert reached == end or (reached - end) % 1440 <= 60


def test_quiet_hours_over_midnight_and_of_a_weekend() -> None:
    one = subscription(quiet=("22:00-08:00", "sat-sun 00:00-24:00"), zone="Asia/Shanghai")
    friday = datetime(2026, 12, 4, 15, tzinfo=UTC)  # 23:00 there
    assert due(one, friday).astimezone(UTC) == datetime(2026, 12, 7, 0, tzinfo=UTC)  # Monday, 08:00 there
    assert due(one, NOW) == NOW  # 20:00 there
    assert Hours("UTC", ["00:00-24:00"]).closes(NOW) is not None  # hours that never end hold nothing for ever


@given(st.sampled_from(CHANGES), st.integers(0, 9 * 1440), st.sampled_from(ZONES), st.integers(0, 1439), st.booleans())
def test_a_brief_is_due_once_a_day_or_a_week(day: datetime, minute: int, zone: str, at: int, weekly: bool) -> None:
    one = subscription(
        digest="weekly" if weekly else "daily", at=f"{at // 60:02}:{at % 60:02}", weekday="wed", zone=zone
    )
    now = day + timedelta(minutes=minute)
    moment = last_digest(one, now)
    assert moment <= now < moment + timedelta(days=7 if weekly else 1, hours=1)
    there = moment.astimezone(ZoneInfo(zone))
    assert (there.hour * 60 + there.minute - at) % 1440 in (0, 30, 60)
    assert not weekly or there.weekday() == 2 or at >= 1380
    assert last_digest(one, moment) == moment


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_message_proves_itself_in_both_languages() -> None:
    english, chinese = notice("en").plain(), notice("zh").plain()
    for told in (
        "phones: 22 negative texts since 2026-11-30 19:25, 1.24 expected",
        "When it was raised 22 were counted where 1.24 were expected, in 95 of 100 times between 0 and 5.",
        "once in 40 weeks over all that is watched (severity medium); watched for 320 hours",
        "So far 22 of 30 texts are negative; 4 reposts",
        "First texts",
        "Most telling texts",
        "The other side",
        "https://forum.example/0",
        JUDGE,
    ):
        assert told in english, told
    for told in (
        "手机：自 2026-11-30 19:25 起负面 22 条",
        "预期 1.24 条",
        "40 周一次（程度中）",
        "最早的文本",
        "另一方的声音",
        JUDGE,
    ):
        assert told in chinese, told
    assert "javascript:" not in english
    assert Notice.of(json.loads(json.dumps(notice("zh").as_dict()))) == notice("zh")


def test_without_a_link_it_says_how_else_one_judges_it_and_a_verdict_is_told() -> None:
    told = alert_notice(alert(verdict="dismissed", by="bo"), subscription(), TITLES, "", NOW).plain()
    assert "POST /v1/apps/monitor/alerts/a:1" in told
    assert "Dismissed by bo." in told
    silent = alert(kind="silence", of="source", topic="forum", found=360, expected=12.0)
    assert "forum is silent: nothing for 360 minutes" in alert_notice(silent, subscription(), TITLES, "", NOW).title
    assert how_often(1e-9)["zh"] == "1,000 周不到一次"


def test_of_a_name_it_says_which_label_counts_and_an_aspect_has_its_title() -> None:
    def told(**changes: Any) -> str:
        return alert_notice(alert(**changes), subscription(), {"price": {"en": "Price"}}, "", NOW).plain()

    assert "say of it itself." in told(of="entity", topic="Nova", label_of="itself")
    assert "no model judged" in told(of="entity", topic="Nova", label_of="text")
    assert told(of="aspect", topic="price", label_of="itself").startswith("Price: 22 negative texts")
    assert "itself" not in told()


def test_what_people_wrote_is_one_line_and_passes_for_no_other() -> None:
    lines = notice().plain().splitlines()
    assert sum(line.startswith("Confirm or dismiss it, which") for line in lines) == 1
    assert not any(line.strip().startswith("Confirm or dismiss it: http://evil") for line in lines)
    assert "\u202e" not in notice().plain()


@given(st.text(max_size=80), st.integers(1, 60))
def test_a_cleaned_text_is_one_visible_line_of_its_length(text: str, most: int) -> None:
    found = clean(text, most)
    assert len(found) <= most
    assert found == found.strip()
    assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029\u200b\u202e]", found)


@given(st.text(st.sampled_from("htps:/ja.vxelm<>\"' @#?&%\n"), max_size=40))
def test_a_link_leads_to_a_page_or_there_is_none(url: str) -> None:
    found = safe_link(url)
    assert found in ("", url)
    assert not found or (urlsplit(found).scheme in ("http", "https") and not re.search(r"[\s<>\"']", found))


# --- the formats of the services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("text", [HOSTILE, "手机充电时发烫，客服一直无人接听。" * 60, "x" * 5000])
def test_wecom_takes_it_as_text_of_2048_bytes_that_still_has_its_links(language: str, text: str) -> None:
    body = formats.wecom(notice(language, text=text))
    assert body.keys() == {"msgtype", "text"}
    assert (body["msgtype"], body["text"].keys()) == ("text", {"content"})  # nobody is called: no mentioned_list
    assert len(body["text"]["content"].encode()) <= 2_048
    assert JUDGE in body["text"]["content"]
    assert body["text"]["content"].startswith(("phones:", "手机："))


def test_dingtalk_takes_it_as_text_and_calls_nobody() -> None:
    body = formats.dingtalk(notice("zh"))
    assert (body["msgtype"], body["at"]) == ("text", {"isAtAll": False})
    assert "手机：" in body["text"]["content"]
    assert len(json.dumps(body, ensure_ascii=False).encode()) <= 20_000


def test_feishu_takes_it_as_nodes_of_text_and_links() -> None:
    body = formats.feishu(notice("zh"), "secret", 1_700_000_000)
    key = b"1700000000\nsecret"  # as its guide has it: the key is time and secret, and nothing is signed
    right = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
    assert (body["timestamp"], body["sign"], body["msg_type"]) == ("1700000000", right, "post")
    post = body["content"]["post"]["zh_cn"]
    nodes = [node for line in post["content"] for node in line]
    assert {node["tag"] for node in nodes} == {"text", "a"}
    assert all(node.keys() == ({"tag", "text"} if node["tag"] == "text" else {"tag", "text", "href"}) for node in nodes)
    assert any(node.get("href") == JUDGE for node in nodes)
    assert all(urlsplit(node["href"]).scheme == "https" for node in nodes if "href" in node)
    assert formats.feishu(notice(), "", 0).keys() == {"msg_type", "content"}
    assert len(json.dumps(formats.feishu(notice(text="长" * 3000, n=50), "", 0), ensure_ascii=False).encode()) <= 20_000


def test_slack_takes_it_as_blocks_in_which_nothing_is_read() -> None:
    body = formats.slack(notice())
    header, rich, actions = body["blocks"]
    assert header["text"]["type"] == "plain_text"
    assert len(header["text"]["text"]) <= 150
    elements = [element for section in rich["elements"] for element in section["elements"]]
    assert {section["type"] for section in rich["elements"]} == {"rich_text_section"}
    assert {element["type"] for element in elements} == {"text", "link"}
    assert all(
        urlsplit(element["url"]).hostname == "forum.example" for element in elements if element["type"] == "link"
    )
    assert actions["elements"][0]["url"] == JUDGE
    assert len(actions["elements"][0]["text"]["text"]) <= 75
    assert not any("mrkdwn" in json.dumps(block) for block in body["blocks"])
    hostile = formats.slack(alert_notice(alert(topic="<!channel> & co"), subscription(), {}, "", NOW))
    assert hostile["text"].startswith("&lt;!channel&gt; &amp; co")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_letter_has_one_line_headers_and_escaped_html(language: str) -> None:
    topic = "phones\nBcc: everybody@example.com"
    made = alert_notice(alert(topic=topic), subscription(language=language), {}, JUDGE, NOW)
    sent = formats.letter(made, "key-1", "noria@example.com", ["anna@example.com"]).as_bytes()
    read = message_from_bytes(sent, policy=policy.default)
    assert (read["Bcc"], read["To"], read["Message-ID"]) == (None, "anna@example.com", "<key-1@example.com>")
    assert read["Auto-Submitted"] == "auto-generated"
    html = read.get_body(("html",)).get_content()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert re.findall(r'href="([^"]+)"', html)[-1] == JUDGE
    assert not re.search(r'href="(?!https://)', html)
    assert JUDGE in read.get_body(("plain",)).get_content()


@given(st.text(st.sampled_from("ab 1.:/w[](){}<>*_`#|~!&\\-+=\n"), max_size=40))
def test_marked_text_holds_no_mark_of_markdown(text: str) -> None:
    found = marked(text)
    bare = re.sub(r"\\[\\`*_{}\[\]<>&|~#!:.\-+=)]", "", found)
    assert not re.search(r"[`*_\[\]<>&|~#!\\\n]", bare)
    assert not re.search(r"(?<!\\)://", found)
    assert not re.match(r"\d{1,9}[.)]|[-+=]", found)
    assert re.sub(r"\\(.)", r"\1", found) == " ".join(text.split())


def test_the_page_of_a_verdict_escapes_and_has_no_script() -> None:
    page = verdict_page('<img src=x onerror="alert(1)">', "zh", ask=True)
    assert "<img" not in page
    assert "<script" not in page
    assert page.count('name="verdict"') == 2
    assert "确为激增" in page


# --- what may be declared ---------------------------------------------------------------------------------------------

LISTED = """
[notify]
address = "https://noria.example/"
subscriptions = "more.toml"
[notify.mail]
host = "smtp.example.com"
sender = "noria@example.com"
user = "noria"
password_variable = "MAIL_PASSWORD"
[[subscription]]
name = "hook"
kind = "webhook"
url = "https://hooks.example/noria"
secret_env = "HOOK_SECRET"
topics = ["phones"]
"""
MORE = """
[[subscription]]
name = "组"
kind = "dingtalk"
url_env = "ROBOT"
secret_env = "HOOK_SECRET"
language = "zh"
quiet = ["22:00-08:00"]
zone = "Asia/Shanghai"
[[subscription]]
name = "mail"
kind = "email"
to = ["anna@example.com"]
digest = "daily"
"""
SECRETS = {"HOOK_SECRET": "s", "ROBOT": "https://oapi.dingtalk.com/robot/send?access_token=t", "MAIL_PASSWORD": "p"}


def written(folder: Path, listed: str = LISTED, more: str = MORE) -> Path:
    (folder / "more.toml").write_text(more, encoding="utf-8")
    (folder / "sources.toml").write_text(listed, encoding="utf-8")
    return folder / "sources.toml"


def test_a_list_names_its_subscriptions_and_a_file_of_more(tmp_path: Path) -> None:
    found = read_notify(written(tmp_path), SECRETS)
    assert [(one.name, one.kind) for one in found.subscriptions] == [
        ("hook", "webhook"),
        ("组", "dingtalk"),
        ("mail", "email"),
    ]
    assert found.settings.address == "https://noria.example"
    assert read_notify(written(tmp_path, "[[source]]\nname = 'a'\n"), {}).subscriptions == ()


@pytest.mark.parametrize("page", ["monitor-telling.md", "monitor-telling.zh-CN.md"])
def test_the_example_of_the_page_is_read_as_it_stands(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = written(tmp_path, block)
    secrets = dict.fromkeys(re.findall(r"\b([A-Z_]{8,})=", text), "https://robot.example/hook")
    found = read_notify(file, secrets)
    assert [one.kind for one in found.subscriptions] == ["webhook", "feishu", "email"]
    assert read_listing(file).source[0].kind == "rss"
    keys = {name for kind in KINDS.values() for name in kind.model_fields}
    assert all(f"`{name}`" in text for name in keys), "every key of a subscription stands in the page"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kind = "webhook"', 'kind = "fax"', "unknown kind"),
        ('name = "hook"', 'name = "mail"', "share a name"),
        ('topics = ["phones"]', "topic = 1", "subscription hook"),
        ('topics = ["phones"]', 'quiet = ["always"]', "hours"),
        ('topics = ["phones"]', 'zone = "Mars"', "subscription hook"),
        ('url = "https://hooks', 'url = "http://hooks', "no address that may be posted to"),
        ('secret_env = "HOOK_SECRET"', 'secret_env = "NO_SUCH"', "NO_SUCH"),
        ("[notify.mail]", "[notify.post]", "post"),
        ('user = "noria"', 'user = ""', "go together"),
        ("[[subscription]]", "[subscription]", "no table"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path: Path, before: str, after: str, words: str) -> None:
    assert before in LISTED
    with pytest.raises(NoriaError) as error:
        read_notify(written(tmp_path, LISTED.replace(before, after)), SECRETS)
    assert words in str(error.value)
    assert "\n" not in error.value.text("zh")


def test_a_letter_needs_a_mail_server_and_a_robot_s_address_is_never_shown() -> None:
    mail = subscription_of({"name": "m", "kind": "email", "to": ["a@example.com"]})
    with pytest.raises(SettingError, match="mail server"):
        check(mail, NotifySettings(), {})
    robot = subscription_of({"name": "r", "kind": "wecom", "url_env": "ROBOT"})
    with pytest.raises(SettingError) as error:
        check(robot, NotifySettings(), {"ROBOT": "http://robot.example/send?key=secret"})
    assert "secret" not in str(error.value)
    with pytest.raises(SettingError):
        subscription_of({"name": "m", "kind": "email", "to": ["a@example.com\nBcc: b@example.com"]})


def test_over_the_api_no_other_secret_is_named_and_no_own_network_reached() -> None:
    hook = {"name": "h", "kind": "webhook", "url": "https://a.example", "secret_env": "NORIA_NOTIFY_H"}
    check_foreign(subscription_of(hook))
    for changed in ({"secret_env": "AWS_SECRET"}, {"allow_private": True}):
        with pytest.raises(SettingError):
            check_foreign(subscription_of(hook | changed))


def test_apprise_is_told_of_in_one_line_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    one = subscription_of({"name": "t", "kind": "apprise", "url_env": "ROBOT"})
    with pytest.raises(PackageError, match=r"apprise is not installed.*pip install 'noria\[apprise\]'"):
        check(one, NotifySettings(), SECRETS)


def test_dingtalk_s_signature_is_that_of_its_guide() -> None:
    from noria.server.platforms import dingtalk_signature

    made = hmac.new(b"this is secret", b"1577262236757\nthis is secret", digestmod=hashlib.sha256).digest()
    assert dingtalk_signature("this is secret", "1577262236757") == base64.b64encode(made).decode()
