"""The report's sections on the stages before grow: what each said of itself, as figures with their proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.figure import Figure

if TYPE_CHECKING:
    from noria.grow.report import Section, Shown

STAGES: dict[str, tuple[str, str, str]] = {
    # stage -> wing, what it is in English and in Chinese, without the title it gives itself
    "corpus": ("build", "Raw text cleaned, without duplicates, masked and split so that nothing leaks.",
               "原始文本经清洗、去重、脱敏，并按组切分以防泄漏。"),
    "pretrain": ("build", "A causal language model from scratch, beside an n-gram baseline.", "从零预训练的因果语言模型，与 n 元基线对照。"),
    "base": ("build", "The bundled multilingual encoder, rebuilt and trimmed to the corpus.", "内置的多语言编码器：还原并按语料裁剪词表。"),
    "sentiment": ("build", "Sentiment of reviews, fine-tuned, beside TF-IDF with logistic regression.", "评论情感分类的微调，与 TF-IDF 加逻辑回归对照。"),
    "entities": ("build", "Persons, places and organisations in news, beside a dictionary.", "新闻中的人名、地名、机构名识别，与词典基线对照。"),
    "compress": ("build", "int8 models that ship only with a certificate: same answers, faster, smaller.",
                 "int8 模型须凭证书上线：答案一致、更快、更小。"),
    "ship": ("ship", "The real server with its applications, asked over HTTP; every request an event.",
             "真实的服务与应用，经 HTTP 请求；每个请求都成为事件。"),
}  # fmt: skip

MEASURES: tuple[tuple[str, str, str], ...] = (
    # part of a figure's name -> its name in Chinese, what it means in Chinese; the first that fits holds
    ("accuracy", "准确率", "判断正确的比例"), ("macro", "宏平均 F1", "各类别 F1 的平均"), ("f1", "F1", "精确率与召回率的调和平均"),
    ("precision", "精确率", "判为正的结果中正确的比例"), ("recall", "召回率", "应找出的结果中被找出的比例"),
    ("bits", "每字节比特数", "压缩每字节文本所需的比特数，越低越好"), ("perplexity", "困惑度", "越低越好"),
    ("agreement", "一致率", "与训练所得模型答案相同的比例"), ("speed", "加速比", "相对训练所得模型的速度"),
    ("size", "大小", "模型占用的空间"), ("tokens/s", "每秒词元数", "处理速度"), ("cosine", "余弦相似度", "向量方向的接近程度"),
    ("parameters", "参数量", "模型的参数个数"), ("vocabulary", "词表大小", "词表中的词元数"), ("tokens", "词元数", "词元的数量"),
    ("duplicate", "重复", "被去除的重复"), ("dropped", "剔除", "被剔除的数量"), ("kept", "保留", "清洗后保留的数量"),
    ("train", "训练集", "训练集中的数量"), ("valid", "验证集", "验证集中的数量"), ("test", "测试集", "测试集中的数量"),
    ("latency", "延迟", "从请求到应答的时间"), ("request", "请求", "请求的数量"), ("event", "事件", "事件的数量"),
    ("alert", "告警", "告警的数量"), ("handover", "转人工", "转给人工的比例"), ("hit", "命中率", "推荐命中的比例"),
    ("loss", "损失", "越低越好"), ("leak", "泄漏", "跨越切分的重复"), ("reviews", "评论", "评论的数量"), ("news", "新闻", "新闻的数量"),
)  # fmt: skip


def stage_sections(root: Path) -> list[Section]:
    """Return a section for every finished stage below `root` that gave figures."""
    from noria.grow.report import Section

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
    from noria.grow.report import Shown

    figure = Figure(**entry)
    lower = figure.name.lower()
    fit = next(((zh, meaning) for part, zh, meaning in MEASURES if part in lower), None)
    note = f" {figure.note}." if figure.note else ""
    beside = " The baseline's value stands beside it." if figure.baseline is not None else ""
    return Shown(
        figure,
        {"en": figure.name, "zh": f"{fit[0]}（{figure.name}）" if fit else figure.name},
        {"en": f"Measured by this run on {figure.n:,} observations.{beside}{note}",
         "zh": f"本次运行在 {figure.n:,} 个观测上测得{'：' + fit[1] if fit else ''}。{'基线一并列出。' if beside else ''}{note}"},
    )  # fmt: skip


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) and "line" in record else {}
