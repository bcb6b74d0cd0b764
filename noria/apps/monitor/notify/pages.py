"""Pages: a brief as HTML in the style of the report and as Markdown, and the small page on which an alert is confirmed or dismissed.

Everything in them is escaped: what people wrote is shown as they wrote it, and never read as HTML or Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources

from noria.core.messages import Language, message

from .brief import Brief, Sentence

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of these pages: no script, no picture, nothing from elsewhere."""
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",  # a link to judge an alert is a secret
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}
_MARKS = re.compile(r"([\\`*_{}\[\]<>&|~#!])|(:)(?=//)|(?<=\bwww)(\.)")

_FIRST = re.compile(r"^(\d{1,9}(?=[.)])|(?=[-+=]))(.)")
"""What begins a list, or underlines a heading, at the start of a line."""


def brief_html(brief: Brief) -> str:
    """Return a brief as one page that needs no network and no second file."""
    sections = "".join(_section(heading, found) for heading, found in brief.parts())
    lead = "".join(f"<p>{escape(one)}</p>" for one in brief.remarks)
    title = escape(brief.title[brief.language])
    body = f'<header class="top"><div><h1>{title}</h1>{lead}</div></header><main>{sections}</main>'
    return _page(title, body, brief.language)


def _section(heading: str, sentences: Sequence[Sentence]) -> str:
    lines = "".join(f'<p>{escape(one.text)}</p><p class="source">{_cited(one)}</p>' for one in sentences)
    return f'<section class="ship"><h2>{escape(heading)}</h2>{lines}</section>'


def _cited(one: Sentence) -> str:
    where = f"n = {one.n:,}, {one.where}"
    return f'<a href="{escape(one.link)}" rel="noreferrer">{escape(where)}</a>' if one.link else escape(where)


def brief_markdown(brief: Brief) -> str:
    """Return a brief as Markdown."""
    blocks = [f"# {marked(brief.title[brief.language])}", *map(marked, brief.remarks)]
    for heading, found in brief.parts():
        lines = []
        for one in found:
            where = f"n = {one.n:,}, {marked(one.where)}"
            lines.append(f"- {marked(one.text)} ({f'[{where}](<{one.link}>)' if one.link else where})")
        blocks += [f"## {marked(heading)}", "\n".join(lines)]
    return "\n\n".join(blocks) + "\n"


def marked(text: str) -> str:
    """Return a text that Markdown shows as it is: no mark in it is one, no address becomes a link.

    >>> marked("[x](http://a.example) **now** <b>"), marked("www.a.example")
    ('\\\\[x\\\\](http\\\\://a.example) \\\\*\\\\*now\\\\*\\\\* \\\\<b\\\\>', 'www\\\\.a.example')
    """
    line = _MARKS.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))
    return _FIRST.sub(r"\1\\\2", line)


def verdict_page(title: str, language: Language, *, remark: str = "", ask: bool = False) -> str:
    """Return the page of one alert: what it was, and two buttons or what has become of it.

    Args:
        title: the alert in one sentence.
        language: of the page.
        remark: what there is to say.
        ask: with the buttons.
    """
    buttons = ""
    if ask:
        words = {verdict: escape(message(f"notify.page.{code}")[language]) for verdict, code in _CHOICES}
        buttons = "".join(
            f'<button class="language" name="verdict" value="{verdict}">{text}</button> '
            for verdict, text in words.items()
        )
        buttons = f'<p>{escape(message("notify.page.ask")[language])}</p><form method="post">{buttons}</form>'
    body = f'<main><section class="ship"><h2>{escape(title)}</h2><p>{escape(remark)}</p>{buttons}</section></main>'
    return _page(escape(title), body, language)


_CHOICES = (("confirmed", "confirm"), ("dismissed", "dismiss"))


def _page(title: str, body: str, language: Language) -> str:
    return f"""<!doctype html>
<html lang="{"zh-CN" if language == "zh" else "en"}" data-language="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="{POLICY.replace("; frame-ancestors 'none'", "")}">
<title>{title}</title>
<style>{_style()}</style>
</head>
<body>{body}</body>
</html>
"""


@cache
def _style() -> str:
    return (resources.files("noria.grow") / "report" / "assets" / "report.css").read_text(encoding="utf-8")
