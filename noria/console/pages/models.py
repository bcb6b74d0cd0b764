"""Models: the card of every model: metrics beside the baseline, curves, certificate, lineage and licence."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

from nicegui import ui

from noria.console import charts, records
from noria.console.figures import figures
from noria.console.job_parts import learned
from noria.console.records import ModelRecord
from noria.console.shell import View, block, card, empty, facts, foreign, paragraph, problem
from noria.console.words import Words
from noria.core.caveats import certificate_texts
from noria.core.figure import Figure, number

from . import model_work

MOST_SAMPLES = 3
_DIGITS = 12
"""Digits of a hash that are shown: enough to compare by eye."""


async def show(view: View) -> None:
    """Draw the page: one tab a model, and what can be done with models below."""
    _cards(view)
    await model_work.show(view)


def _cards(view: View) -> None:
    # Those that were judged come first: the others are what they were made from.
    found = sorted(records.models(view.root), key=lambda model: not model.figures())
    if not found:
        empty(view.words, "models.empty", "noria demo")
        return
    with ui.tabs().props('align="left" no-caps outside-arrows mobile-arrows dense') as tabs:
        for model in found:
            ui.tab(model.name, label=model.name).props('translate="no"')
    with ui.tab_panels(tabs, value=found[0].name).props("animated=false"):
        for model in found:
            with ui.tab_panel(model.name), ui.element("div").classes("stack").style("padding-top: 16px"):
                _model(view.words, model)


def _model(words: Words, model: ModelRecord) -> None:
    if model.manifest is None:
        problem(model.damage)
        return
    metrics = _beside_baseline(model)
    if metrics:
        figures(metrics, words)
    with ui.element("div").classes("columns"):
        with ui.element("div").classes("stack"):
            with card(words("models.card")):
                facts(_card(words, model))
            _lineage(words, model)
            _sample(words, model)
        with ui.element("div").classes("stack"):
            _curves(words, model)
            _certificate(words, model)


def _beside_baseline(model: ModelRecord) -> list[Figure]:
    """Return the metrics, each with the baseline's value where the baseline was measured apart."""
    baseline = {figure.name: figure.value for figure in model.figures("baseline")}
    return [
        figure if figure.baseline is not None else replace(figure, baseline=baseline.get(figure.name))
        for figure in model.figures()
    ]


def _card(words: Words, model: ModelRecord) -> list[tuple[str, str]]:
    assert model.manifest is not None
    known = model.facts
    size = sum(entry["bytes"] for entry in model.manifest.files.values())
    pairs: list[tuple[str, Any]] = [
        ("models.task", words.phrase(str(known.get("task", "")))),
        ("models.labels", ", ".join(words.phrase(str(label)) for label in known.get("labels") or [])),
        ("models.base", _base(words, str(known.get("base") or ""))),
        ("models.licence", known.get("licence")),
        ("models.parameters", f"{known['parameters']:,}" if known.get("parameters") else None),
        ("models.max_length", f"{known['max_length']:,}" if known.get("max_length") else None),
        ("models.size", f"{size / 1e6:,.1f} MB"),
        (
            "models.speed",
            f"{number(known['tokens_per_second'])} {words.phrase('tokens/s')}"
            if known.get("tokens_per_second")
            else None,
        ),
        ("models.identity", model.manifest.identity()[:_DIGITS]),
        ("models.created", model.manifest.created.replace("T", " ").replace("+00:00", " UTC")),
    ]
    return [(words(key), foreign(value)) for key, value in pairs if value not in (None, "")]


def _base(words: Words, name: str) -> str:
    """Return the name of the model that this one began as; a name stays as it is."""
    return words.phrase(name) if name.startswith("none:") else name


def _curves(words: Words, model: ModelRecord) -> None:
    options = learned(words, model.facts)
    if options is not None:
        with card(words("models.curves")):
            charts.show(options, words("models.curves"))


def _sample(words: Words, model: ModelRecord) -> None:
    """Show some of what a model that completes text has written."""
    texts = (model.facts.get("sample") or {}).get("texts") or []
    if texts:
        with card(words("models.sample")):
            body = "".join(
                f'<li translate="no"><span class="soft">{escape(str(one.get("prompt", "")))}</span>{escape(str(one["text"]))}</li>'
                for one in texts[:MOST_SAMPLES]
                if one.get("text")
            )
            ui.html(body, sanitize=False, tag="ul").classes("texts")


def _certificate(words: Words, model: ModelRecord) -> None:
    certificate = model.certificate
    if certificate is None:
        return
    with card():
        granted = bool(certificate.get("passed"))
        chip = "chip grow" if granted else "chip warn"
        verdict = words("models.granted" if granted else "models.refused")
        block(
            f'<h2>{escape(words("models.certificate"))}</h2><span class="{chip}">{escape(verdict)}</span>', "card-head"
        )
        shown = [records.figure_of(entry) for entry in certificate.get("figures") or []]
        if shown:
            figures(shown, words, rows=True)
        for reason in certificate_texts(certificate):
            if reason:
                paragraph(words.phrase(reason), "small soft")


def _lineage(words: Words, model: ModelRecord) -> None:
    assert model.manifest is not None
    if not model.manifest.sources:
        return
    with card(words("models.lineage")):
        head = "".join(f"<th>{escape(words(key))}</th>" for key in ("models.source", "models.licence", "models.sha"))
        rows = "".join(
            f"<tr><td>{foreign(source.name)}<br><span class='small soft'>{foreign(source.origin)}</span></td>"
            f"<td>{foreign(source.licence or '–')}</td><td><code translate='no'>{escape(source.sha256[:_DIGITS])}</code></td></tr>"
            for source in model.manifest.sources
        )
        block(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>', "scroll-x")
