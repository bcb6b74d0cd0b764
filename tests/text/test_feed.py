"""Feeds as servers really send them: every encoding, broken ids, dates and markup; and what is no feed."""

from __future__ import annotations

import json

import opencc
import pytest

from noria.core.errors import InputError
from noria.text.confined import parts_of
from noria.text.feed import parts

URL = "https://news.example.com/feeds/phones.xml"
RSS = """<rss version="2.0"><channel><title>手机新闻</title><link>https://news.example.com/</link>
<item><title>电池 &amp; 屏幕</title><link>/a/1</link><guid isPermaLink="false">g1</guid><pubDate>Mon, 30 Nov 2026 10:05:00 +0800</pubDate>
<description>&lt;p&gt;新手机&lt;b&gt;电池&lt;/b&gt;很差&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;</description><author>小明</author></item>
<item><title></title><description>没有标题的评论，没有时间</description></item>
</channel></rss>"""


def entries(image: bytes, content_type: str = "") -> list[dict[str, str]]:
    head, *found = parts(image, "a feed", url=URL, content_type=content_type)
    assert "feed" in head
    return found


@pytest.mark.parametrize(
    ("codec", "declared", "content_type"),
    [
        ("utf-8", "", ""),
        ("utf-8", "utf-8", "text/xml; charset=utf-8"),
        ("utf-8-sig", "utf-8", "application/rss+xml"),
        ("gb18030", "gb2312", "text/xml"),
        ("gb18030", "", "application/xml; charset=GBK"),
        ("gb18030", "", "text/xml"),  # nobody says so
        ("big5hkscs", "big5", "text/xml"),
        ("utf-16", "utf-16", "text/xml"),
    ],
)
def test_a_feed_reads_the_same_in_every_encoding(codec: str, declared: str, content_type: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    text = opencc.OpenCC("s2t").convert(RSS) if "big5" in codec else RSS
    first, second = entries((declaration + text).encode(codec, "ignore"), content_type)
    assert first["link"] == "https://news.example.com/a/1"
    assert first["id"] == "g1"
    assert first["time"].startswith("Mon, 30 Nov 2026")
    assert "很差" in first["text"]
    assert "<" not in first["text"] + first["title"]
    assert "x()" not in first["text"]
    assert "&" in first["title"]
    assert (second["title"], second["time"], second["link"]) == ("", "", "")
    assert second["text"]


def test_atom_and_json_feeds_give_the_same_fields() -> None:
    atom = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://a.example/"><title>t</title>
    <entry><id>tag:1</id><title type="html">One &amp;lt;b&amp;gt;</title><link href="p/1"/><updated>2026-11-30T10:05:00Z</updated>
    <author><name>Ann</name></author><summary>short</summary><content type="html">&lt;p&gt;the longer text&lt;/p&gt;</content></entry></feed>"""
    (one,) = entries(atom.encode())
    assert (one["id"], one["link"], one["author"], one["text"]) == (
        "tag:1",
        "https://a.example/p/1",
        "Ann",
        "the longer text",
    )
    assert one["time"] == "2026-11-30T10:05:00Z"
    value = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "t",
        "items": [{"id": 7, "url": "p/1", "content_html": "<p>the longer text</p>", "authors": [{"name": "Ann"}]}, 3],
    }
    (other,) = entries(json.dumps(value).encode())
    assert (other["id"], other["link"], other["author"], other["text"]) == (
        "7",
        "https://news.example.com/feeds/p/1",
        "Ann",
        "the longer text",
    )


@pytest.mark.parametrize("image", [b"<html><body>404</body></html>", b'{"error": 1}', b"hello", b"\x00\x01\x02" * 50])
def test_what_is_no_feed_is_said(image: bytes) -> None:
    with pytest.raises(InputError):
        list(parts(image, "a page", url=URL))


def test_entities_that_unfold_for_ever_cost_nothing() -> None:
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "ha">{lines}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    bomb += '<rss version="2.0"><channel><title>&l11;</title><item><title>&f;</title><description>fine text</description></item></channel></rss>'
    try:
        found = parts_of("feed", bomb.encode(), "a bomb", url=URL)
    except InputError:
        return
    assert all(len(str(one)) < 10_000 and "root:" not in str(one) for one in found)


def test_an_article_is_read_without_what_stands_round_it() -> None:
    teasers = "".join(
        f"<li><a href='/{n}'>Another headline number {n} about something else</a></li>" for n in range(20)
    )
    body = "".join(
        f"<p>The company said in its statement that battery number {n} would be replaced at no cost to buyers.</p>"
        for n in range(6)
    )
    page = f"<html><head><title>t</title></head><body><nav>{teasers}</nav><article><h1>Recall</h1>{body}</article><aside>{teasers}</aside></body></html>"
    text = "\n".join(
        str(one.get("text", "")) for one in parts_of("article", page.encode(), "a page", url="https://a.example/x")
    )
    assert "battery number 5" in text
    assert "Another headline" not in text
