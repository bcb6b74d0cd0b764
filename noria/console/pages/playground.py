"""Playground: a text to a model: its label, its names highlighted, or the text that follows, as it is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from nicegui import ui

from noria.console.metered import metered
from noria.console.shell import View, block, card, empty, paragraph
from noria.console.words import Words
from noria.core.errors import NoriaError
from noria.tasks.complete import Sampling

# Sentences to begin with, the reader's own language first.
SAMPLES: dict[str, dict[str, tuple[str, ...]]] = {
    "classify": {
        "zh": ("物流很快，包装完好，书的内容也很充实。", "屏幕有坏点，客服一直不回复，非常失望。"),
        "en": ("Arrived in two days and works perfectly.", "It broke after a week and nobody answers."),
    },
    "tag": {
        "zh": ("李明昨天从上海飞往北京，参加清华大学的会议。", "外交部发言人在日内瓦会见了联合国代表。"),
        "en": ("Maria Lopez left Madrid for a meeting at the World Bank.",),
    },
    "complete": {"zh": ("今年的经济工作", "这本书的内容", "中国人民"), "en": ("The book",)},
}
TASKS = {"classify": ("classify",), "tag": ("tag",), "complete": ("causal", "complete")}
"""Kind of playground -> the tasks of models it can use."""


def show(view: View) -> None:
    """Draw the page: one tab for every kind of task that a served model has."""
    words = view.words
    served = {
        kind: [name for name, model in view.state.models.items() if model.task in tasks]
        for kind, tasks in TASKS.items()
    }
    kinds = [kind for kind, names in served.items() if names]
    if not kinds:
        empty(words, "playground.empty", "noria ship serve MODELS --console runs/demo")
        return
    with ui.tabs().props('align="left" no-caps') as tabs:
        for kind in kinds:
            ui.tab(kind, label=words(f"playground.{kind}"))
    with ui.tab_panels(tabs, value=kinds[0]).props("animated=false"):
        for kind in kinds:
            with ui.tab_panel(kind), ui.element("div").classes("columns").style("padding-top: 16px"):
                _bench(view, kind, served[kind])


def _bench(view: View, kind: str, names: list[str]) -> None:
    words = view.words
    with card(words("playground.text")), ui.element("div").classes("stack"):
        choice = ui.select(names, value=names[0], label=words("playground.model")).props(
            'outlined dense translate="no"'
        )
        choice.classes("field").mark(f"model-{kind}")
        first = SAMPLES[kind][words.language][0]
        entry = ui.textarea(value=first, label=words("playground.input")).props("outlined autogrow maxlength=4000")
        entry.classes("field").mark(f"text-{kind}")
        with ui.element("div").classes("samples"):
            for language in (words.language, "en" if words.language == "zh" else "zh"):
                for sample in SAMPLES[kind][language]:
                    button = ui.button(sample, on_click=lambda sample=sample: entry.set_value(sample), color=None)
                    button.classes("quiet").props('flat dense translate="no"')
        go = ui.button(words(f"playground.{kind}.go"), color=None).classes("primary").props(f'data-go="{kind}"')
    with card(words("playground.result")):
        result = ui.element("div").classes("stack").props(f'data-result="{kind}" aria-live="polite"')
        with result:
            paragraph(words("playground.waiting"), "soft")
    run = {"classify": _classify, "tag": _tag, "complete": _complete}[kind]
    go.on_click(_guarded(words, go, result, lambda: run(view, choice.value, (entry.value or "").strip(), result)))


def _guarded(
    words: Words, button: ui.button, result: ui.element, run: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    async def pressed() -> None:
        button.disable()
        try:
            await run()
        except NoriaError as error:
            result.clear()
            with result:
                block(f'<div class="note warn" role="alert" translate="no">{escape(str(error))}</div>')
        finally:
            button.enable()

    return pressed


async def _classify(view: View, model: str, text: str, result: ui.element) -> None:
    async with metered(view) as context:
        (answer,) = await context.ask(model, [text])
    result.clear()
    with result:
        block(
            f'<div class="figure"><div class="figure-value">{escape(view.words.phrase(str(answer["label"])))}'
            f"<small>{answer['score']:.1%}</small></div></div>{scores_html(answer['scores'], view.words)}"
        )
        paragraph(view.words("playground.calibrated"), "small soft")


async def _tag(view: View, model: str, text: str, result: ui.element) -> None:
    async with metered(view) as context:
        (answer,) = await context.ask(model, [text])
    result.clear()
    with result:
        block(highlighted(text, answer["spans"], view.words), "tagged").props('translate="no"')
        if not answer["spans"]:
            paragraph(view.words("playground.no_spans"), "soft")


async def _complete(view: View, model: str, text: str, result: ui.element) -> None:
    result.clear()
    with result:
        written = ui.html(f"<b>{escape(text)}</b>", sanitize=False).classes("written").props('translate="no"')
        status = paragraph(view.words("playground.writing"), "small soft")
    grown, tokens = "", 0
    async with metered(view) as context:
        async for piece in context.complete(model, text, Sampling(max_tokens=120, repetition_penalty=1.1)):
            grown += piece.text
            written.set_content(f"<b>{escape(text)}</b>{escape(grown)}")
            if piece.finish:
                tokens = piece.tokens
    status.set_content(escape(view.words("playground.written", tokens=tokens)))


def scores_html(scores: dict[str, float], words: Words) -> str:
    """Return every label with its probability as a bar."""
    ordered = sorted(scores.items(), key=lambda item: -item[1])
    return "".join(
        f'<div class="score"><span>{escape(words.phrase(label))}</span><i><b style="width:{100 * score:.1f}%"></b></i>'
        f"<span>{score:.1%}</span></div>"
        for label, score in ordered
    )


def highlighted(text: str, spans: list[dict[str, Any]], words: Words) -> str:
    """Return a text as HTML with its spans marked, each with its label."""
    kinds = {label: index for index, label in enumerate(sorted({span["label"] for span in spans}))}
    parts, at = [], 0
    for span in sorted(spans, key=lambda span: span["start"]):
        if span["start"] < at:
            continue
        parts.append(escape(text[at : span["start"]]))
        parts.append(
            f'<mark class="kind-{_KIND.get(span["label"], kinds[span["label"]] % 4)}">{escape(text[span["start"] : span["end"]])}'
            f"<sub>{escape(words.phrase(span['label']))}</sub></mark>"
        )
        at = span["end"]
    return "".join(parts) + escape(text[at:])


_KIND = {"person": 0, "place": 1, "organisation": 2}
