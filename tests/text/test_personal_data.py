"""Personal data is found, prices and dates are not, and a mask is final."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noria.text.personal_data import find, is_bank_card, is_identity_card, mask

MASKED = [
    ("手机：13341772746，谢谢", "手机：<PHONE>，谢谢"),
    ("１３８-００１３-８０００", "<PHONE>"),
    ("+86 138 0013 8000 找我", "<PHONE> 找我"),
    ("电话0791-2878108 锦昌", "电话<PHONE> 锦昌"),
    ("（０７１７）５４０１２２０", "<PHONE>"),
    ("热线电话：65091040。", "热线电话：<PHONE>。"),
    ("Call (415) 555-0134 or 415-555-0134", "Call <PHONE> or <PHONE>"),
    ("from abroad +44 20 7946 0958.", "from abroad <PHONE>."),
    ("EMAIL: jinli1986@gmail.com可以了解", "EMAIL: <EMAIL>可以了解"),
    ("身份证11010519491231002X。", "身份证<ID>。"),
    ("SSN 219-09-9999", "SSN <SSN>"),
    ("卡号6222 0212 3456 7894", "卡号<CARD>"),
    ("card 4111-1111-1111-1111 ok", "card <CARD> ok"),
    ("server at 8.8.8.8:53", "server at <IP>:53"),
    ("v6 2001:4860:4860::8888", "v6 <IP>"),
    ("git clone https://bob:secret@host.com/x.git", "git clone <URL>"),
    ("加QQ：710959285，谢谢", "加QQ：<QQ>，谢谢"),
    ("联系我呗qq42950063", "联系我呗qq<QQ>"),
    ("微信号：wang_xiao88", "微信号：<WECHAT>"),
    ("WeChat ID: lily_2020", "WeChat ID: <WECHAT>"),
]
LEFT = [
    "1998年1月1日至12月31日，总产值13500000000元，增长8.5%",
    "投资１３８００１３８０００元，同比增长１２％",
    "从1949-10-01到1999-10-01，共18262天",
    "价格3999.00元，运费12，共4011.00",
    "成交额 1,234,567,890.12 美元；股票代码600000",
    "ISBN 9787111054252，订单号1457306335",
    "用了QQ10元礼券以后，QQ空间不错",
    "WeChat message received; wechat payment works",
    "version 1.2.3.4 与 127.0.0.1、192.168.1.1",
    "客服热线800-820-6666、400-711-6699，call 800-555-0199",
    "write to someone@example.com",
    "888888888888888888888888",
    "In 2001-2002 the ratio was 415.555",
    "比分 3:2，时间 12:30:45，比例 1::2",
    "https://example.org/a?b=c@d",
]


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text)[0] == masked


@pytest.mark.parametrize("text", LEFT)
def test_ordinary_numbers_are_left(text: str) -> None:
    assert mask(text)[0] == text


def test_finds_are_in_characters_of_the_text() -> None:
    text = "联系 bob@corp.cn 或 13341772746"
    assert [(found.kind, text[found.start : found.end]) for found in find(text)] == [
        ("EMAIL", "bob@corp.cn"),
        ("PHONE", "13341772746"),
    ]


def test_checksums() -> None:
    assert is_identity_card("11010519491231002X")  # the example of GB 11643-1999
    assert not is_identity_card("110105194912310020")
    assert mask("号110105194912310020")[0] == "号110105194912310020"
    assert is_bank_card("4111111111111111")
    assert not is_bank_card("0000000000000000")


PIECES = st.sampled_from(
    [
        "13341772746",
        "1",
        "86",
        "+",
        "-",
        " ",
        ".",
        "@",
        "a",
        "qq",
        "QQ",
        "：",
        "8.8.8.8",
        "::",
        "f",
        "微信",
        "电话",
        "no",
        "010-",
        "65091040",
        "4111111111111111",
        "<PHONE>",
        "<",
        ">",
        "://",
        ":",
        "x_1",
        "元",
        "(",
        ")",
        "219-09-9999",
        "bob@corp.cn",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("13341772746@corp.cn微信x_1x_1x_1")
@settings(max_examples=500, deadline=None)
def test_masking_a_masked_text_changes_nothing(text: str) -> None:
    once, _ = mask(text)
    assert mask(once) == (once, [])


@pytest.mark.parametrize(
    "piece", ["1", "电话no.", "a.", "a@", "1-", "1 ", "qq", "ab:", "+1", "微信id ", "x://y:", "a:", "(2"]
)
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    def seconds(times: int) -> float:
        started = time.process_time()
        find("12345 电话" + piece * times)
        return time.process_time() - started

    seconds(100)
    assert seconds(40_000) < 40 * max(seconds(4_000), 0.005)  # linear is 10 times; quadratic is 100
