"""The report's sections on the stages before grow: what each said of itself, as figures with their proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.figure import Figure

if TYPE_CHECKING:
    from noria.grow.report.page import Section, Shown

STAGES: dict[str, tuple[str, str, str]] = {
    # stage -> wing, what it is in English and in Chinese, without the title it gives itself
    "corpus": (
        "build",
        "Raw text cleaned, without duplicates, masked and split so that nothing leaks.",
        "原始文本经清洗、去重、脱敏，并按组切分以防泄漏。",
    ),
    "pretrain": (
        "build",
        "A causal language model from scratch, beside an n-gram baseline.",
        "从零预训练的因果语言模型，与 n 元基线对照。",
    ),
    "base": (
        "build",
        "The bundled multilingual encoder, rebuilt and trimmed to the corpus.",
        "内置的多语言编码器：还原并按语料裁剪词表。",
    ),
    "sentiment": (
        "build",
        "Sentiment of reviews, fine-tuned, beside TF-IDF with logistic regression.",
        "评论情感分类的微调，与 TF-IDF 加逻辑回归对照。",
    ),
    "entities": (
        "build",
        "Persons, places and organisations in news, beside a dictionary.",
        "新闻中的人名、地名、机构名识别，与词典基线对照。",
    ),
    "compress": (
        "build",
        "int8 models that ship only with a certificate: same answers, faster, smaller.",
        "int8 模型须凭证书上线：答案一致、更快、更小。",
    ),
    "ship": (
        "ship",
        "The real server with its applications, asked over HTTP; every request an event.",
        "真实的服务与应用，经 HTTP 请求；每个请求都成为事件。",
    ),
}


def stage_sections(root: Path) -> list[Section]:
    """Return a section for every finished stage below `root` that gave figures."""
    from noria.grow.report.page import Section

    sections = []
    for name, (wing, english, chinese) in STAGES.items():
        record = _record(root / f"{name}.stage.json")
        figures = [_shown(entry) for entry in record.get("figures", [])]
        if figures:
            title = record.get("title") or {"en": name, "zh": name}
            sections.append(
                Section(
                    name, title, {"en": english, "zh": chinese}, figures, wing="ship" if wing == "ship" else "build"
                )
            )
    return sections


def _shown(entry: dict[str, Any]) -> Shown:
    from noria.console.words import Words
    from noria.grow.report.page import Shown

    figure = Figure(**entry)
    words = {language: Words(language) for language in ("en", "zh")}

    def both(text: str) -> dict[str, str]:
        return {language: word.phrase(text) for language, word in words.items()}

    note = both(figure.note)
    beside = figure.baseline is not None
    meaning = {
        "en": f"Measured by this run on {figure.n:,} observations"
        + ("; the baseline's value stands beside it." if beside else "."),
        "zh": f"本次运行在 {figure.n:,} 个观测上测得" + ("，基线值一并列出。" if beside else "。"),
    }
    if figure.note:
        meaning = {"en": f"{meaning['en']} Note: {note['en']}.", "zh": f"{meaning['zh']}注：{note['zh']}。"}
    return Shown(figure, both(figure.name), meaning, unit=both(figure.unit), source=both(figure.source))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) and "line" in record else {}
