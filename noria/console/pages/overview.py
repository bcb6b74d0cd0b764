"""Overview: in three sentences what changed and what to do; then the wheel build -> ship -> grow with its headline figures, and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nicegui import ui

from noria.console import records
from noria.console.figures import figure_html, figure_line
from noria.console.records import StageRecord
from noria.console.shell import MENU, View, block, card, empty, foreign, link
from noria.console.wheel import wheel
from noria.core.errors import NoriaError
from noria.core.figure import Figure
from noria.core.messages import Message
from noria.grow.changes.finding import Finding

WINGS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    # wing -> (the stages whose figures it shows, the pages it leads to)
    "build": (("sentiment", "entities", "pretrain"), (("models", "/models"), ("playground", "/playground"))),
    "ship": (("compress", "ship"), (("support", "/support"), ("monitor", "/monitor"), ("recommend", "/recommend"))),
    "grow": (("grow",), (("users", "/users"), ("market", "/market"), ("promote", "/promote"))),
}
FIRST = (
    "sentiment: speed in batches",
    "events counted",
    "solved at once or after asking back",
    "users active in the last whole week",
    "acts forecast",
    "HHI",
)
"""Figures that stand for their stage before those it names first."""
MOST_TOLD = 3
SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_BETWEEN_FINDINGS = 15.0
_NAMES = ("text", "model", "measure")
"""Values of messages that are names of the data."""
PATHS = {name: path for pages in MENU.values() for name, path in pages}


async def show(view: View) -> None:
    """Draw the page, and draw it anew whenever a stage or a model of the run changes."""
    summary = view.console.summary
    place = block("", "findings-place").props('aria-live="polite"')
    drawn = ""

    async def find() -> None:
        nonlocal drawn
        try:
            made = findings_html(await summary.findings(), view)
        except NoriaError as error:  # the lake cannot be read: its own words
            made = f'<div class="note warn" role="alert" translate="no">{escape(str(error))}</div>'
        if made != drawn:
            drawn = made
            place.set_content(made)

    if summary.ready:
        await find()
    else:
        place.set_content(f'<p class="soft" data-waiting>{escape(view.words("app.working"))}</p>')
    _drawn(view)
    ui.timer(SECONDS_BETWEEN_FINDINGS, find)
    if not summary.ready:
        await ui.context.client.connected()
        await find()


def findings_html(found: Sequence[Finding], view: View) -> str:
    """Return the sentences as a list, each with its mark, what to do and what it rests on."""
    words = view.words
    items = []
    for one in found:
        mark = ""
        if one.simulated:
            mark = f' <span class="chip build" data-simulated>{escape(one.simulated[words.language])}</span>'
        evidence = f'<p class="finding-evidence">{_text_html(one.evidence, words.language)}</p>' if one.evidence else ""
        target = link(PATHS[one.place])
        items.append(
            f'<li class="finding {one.tone}" data-finding="{escape(one.key, quote=True)}">'
            f"<p>{_text_html(one.sentence, words.language)}{mark}</p>"
            f'<p class="finding-do"><a href="{target}">{_text_html(one.do, words.language)}</a></p>{evidence}</li>'
        )
    return f'<ol class="findings">{"".join(items)}</ol>'


def _text_html(text: Message, language: str) -> str:
    """Return a message as HTML, with names of the data in it marked as what no browser should translate."""
    return f'<span translate="no">{escape(text[language])}</span>' if _names(text) else escape(text[language])


def _names(text: Message) -> bool:
    """Return whether a message holds a name of the data, such as a model's, or a source."""
    return any(
        _names(value) if isinstance(value, Message) else name in _NAMES and not str(value).isdigit()
        for name, value in text.values.items()
    )


def _drawn(view: View) -> None:
    """Draw the cards, and draw them anew whenever a stage or a model of the run changes."""
    seen = records.signature(view.root)

    @ui.refreshable
    def content() -> None:
        _content(view)

    def look() -> None:
        nonlocal seen
        now = records.signature(view.root)
        if now != seen:
            seen = now
            content.refresh()

    content()
    ui.timer(SECONDS_BETWEEN_LOOKS, look)


def headline(stages: dict[str, StageRecord], names: tuple[str, ...], most: int = 3) -> list[Figure]:
    """Return the headline figures of a wing: one of every stage in turn, until there are enough."""
    rows = [_ranked(stages[name]) for name in names if name in stages]
    ordered = [figures[depth] for depth in range(most) for figures in rows if depth < len(figures)]
    return ordered[:most]


def _ranked(record: StageRecord) -> list[Figure]:
    return sorted(record.figures, key=lambda figure: FIRST.index(figure.name) if figure.name in FIRST else len(FIRST))


def _content(view: View) -> None:
    words = view.words
    stages = records.stages(view.root)
    names = {wing: words(f"wing.{wing}") for wing in WINGS}
    targets = {wing: link(pages[0][1]) for wing, (_, pages) in WINGS.items()}
    with ui.element("div").classes("turn"):
        block(wheel(names, targets, words("overview.picture")), "at-wheel")
        for wing, (members, pages) in WINGS.items():
            _wing(view, wing, headline(stages, members), pages)
    if not stages:
        empty(words, "overview.empty", "noria demo")
        return
    with card(words("overview.ledger")):
        ui.html("".join(_line(view, record) for record in stages.values()), sanitize=False, tag="ul").classes("ledger")


def _line(view: View, record: StageRecord) -> str:
    """Return one stage's line of the ledger, which opens on all its figures."""
    words = view.words
    figures = "".join(figure_html(figure, words, row=True) for figure in record.figures)
    more = ""
    if figures:
        told = escape(words("overview.figures", count=len(record.figures)))
        more = f'<details class="ledger-more"><summary class="small">{told}</summary><div class="ledger-figures">{figures}</div></details>'
    return (
        f"<li><b>{escape(words(f'stage.{record.name}'))}</b><span class='ledger-line'>{_highlights(view, record)}</span>"
        f'<span class="soft">{escape(words("overview.seconds", seconds=f"{record.seconds:,.0f}"))}</span>{more}</li>'
    )


def _highlights(view: View, record: StageRecord) -> str:
    """Return what a stage says of itself; one of an older version says so in English, so a Chinese page tells its first figures instead."""
    if record.line.code != "join.as_is":
        return escape(record.line[view.words.language])
    if view.words.language == "en" or not record.figures:
        return foreign(record.line)
    return escape("；".join(figure_line(figure, view.words) for figure in _ranked(record)[:MOST_TOLD]))


def _wing(view: View, wing: str, figures: list[Figure], pages: tuple[tuple[str, str], ...]) -> None:
    words = view.words
    body = "".join(figure_html(figure, words, row=True) for figure in figures)
    if not figures:
        body = f'<p class="soft">{escape(words("overview.nothing"))}</p>'
    links = "".join(f'<a href="{link(path)}">{escape(words(f"{name}.title"))}</a>' for name, path in pages)
    block(
        f'<h2>{escape(words(f"wing.{wing}"))}</h2><p class="soft small">{escape(words(f"wing.{wing}.lead"))}</p>'
        f'<div class="wing-figures">{body}</div><div class="wing-links">{links}</div>',
        f"card wing-card at-{wing}",
    )
