"""Whether a written sentence is carried by what was quoted; what is not carried never leaves.

    carried("The warranty is 24 months.", ["The lamp has a warranty of 24 months."], "How long is the lamp's warranty?")      # 0

A sentence is carried by a quoted one when it says all of that, in its order: only words that tie others together may be added or left out, and
words that the question said may be left out. So each number, date, name, condition and negation stands as it stood. This is stricter than
entailment, and needs no model to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .script import HAN, normal, sentence_spans

GAP = " … "
"""What stands in a quotation for sentences that were left out."""
_TOKEN = re.compile(
    rf"(?<![\w.])[-−]?\.?\d+(?:[.,:/-]\d+)*(?![^\W_{HAN}])|[零一二两三四五六七八九十百千万亿半]+|[{HAN}]|[^\W_{HAN}]+(?:[.,:'/@+#&-]+[^\W_{HAN}]+)*[+#]*|[%‰°$€£¥<>=≥≤±~]"
)
_ADDED = frozenset(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "it",
        "its",
        "this",
        "that",
        "you",
        "your",
        "does",
        "do",
        "there",
        "的",
        "是",
        "您",
        "你",
        "这",
        "该",
        "就",
        "也",
        "呢",
        "吧",
        "啊",
    ]
)
"""What may be added, or left out: it ties words together."""
_LEFT_OUT = _ADDED | frozenset(["has", "have", "of", "for", "please", "also"])
_KEPT = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "without",
        "cannot",
        "can't",
        "don't",
        "doesn't",
        "isn't",
        "aren't",
        "won't",
        "shouldn't",
        "mustn't",
        "unless",
        "except",
        "only",
        "if",
        "until",
        "before",
        "after",
        "most",
        "least",
        "more",
        "less",
        "than",
        "over",
        "under",
        "up",
        "within",
        "between",
        "may",
        "might",
        "must",
        "should",
        "shall",
        "can",
        "could",
        "or",
        "but",
        "and",
        "all",
        "every",
        "any",
        "不",
        "没",
        "无",
        "未",
        "非",
        "别",
        "勿",
        "莫",
        "否",
        "免",
        "禁",
        "拒",
        "除",
        "仅",
        "只",
        "若",
        "如",
        "果",
        "限",
        "须",
        "需",
        "必",
        "前",
        "后",
        "内",
        "外",
        "以",
        "上",
        "下",
        "至",
        "多",
        "少",
        "超",
        "满",
        "或",
        "但",
        "和",
        "与",
        "及",
        "可",
        "能",
        "都",
        "全",
        "每",
    ]
)
"""What stays though the question said it: with it left out, the rest says something else."""
_MARKS = frozenset(".,;:!?…，。；：！？、“”‘’\"'()（）-–—")
"""Marks that a sentence may have without saying anything."""
_LEANS = re.compile(
    r"\s*(?:however|but|except|unless|otherwise|only|this|that|these|those|it|they|in (?:this|that) case|not\b|"
    r"但|不过|然而|除|否则|此|以上|上述|该|其中|仅|这|那|另外|如果|若)",
    re.I,
)


def checked(written: str, quotes: Sequence[str], question: str = "") -> str:
    """Return what of a written text is carried by what was quoted, in the order of the quotation; "" where that is not enough to stand alone.

    A quoted sentence that leans on the one before it (however, this, 但, 此 ...) is told with it or not at all; where it would limit what is told
    and is missing, nothing is.

    Args:
        written: by a model, whatever it may be.
        quotes: what was quoted.
        question: what was asked.
    """
    known = [sentence for quote in quotes for part in quote.split(GAP) for sentence in split(part)]
    told: dict[int, str] = {}
    for sentence in split(written):
        at = carried(sentence, known, question)
        if at is None or at <= max(told, default=-1) or (at and at - 1 not in told and _LEANS.match(known[at])):
            continue
        told[at] = sentence
    if any(at + 1 < len(known) and at + 1 not in told and _LEANS.match(known[at + 1]) for at in told):
        return ""
    return "".join(one if _ends_wide(one) else f"{one} " for one in told.values()).strip()


def carried(sentence: str, known: Sequence[str], question: str = "") -> int | None:
    """Return the place of the first of some sentences that carries one; None where none does."""
    said, asked = _tokens(sentence), normal(question)
    words = frozenset(_tokens(question))
    signs = {one for one in sentence if not (one.isalnum() or one.isspace() or one in _MARKS)}
    for at, one in enumerate(known):
        if _asks(one) == _asks(sentence) and signs <= set(one) and _carries(_tokens(one), said, asked, words):
            return at
    return None


def split(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [part for low, high in sentence_spans(text) if (part := text[low:high].strip())]


def _carries(quoted: Sequence[str], written: Sequence[str], asked: str, words: frozenset[str]) -> bool:
    """Return whether what is said is what was quoted, token for token, but for what may be added or left out."""
    left: list[str] = []
    runs: list[list[str]] = []  # tokens that were left out, those beside one another together
    at = matched = 0
    for token in quoted:
        while at < len(written) and written[at] != token and written[at] in _ADDED and token not in _ADDED:
            at += 1
        if at < len(written) and written[at] == token:
            at += 1
            matched += token not in _LEFT_OUT
            left = []
        elif token not in _LEFT_OUT:
            runs += [] if left else [left]
            left.append(token)
    if any(token not in _ADDED for token in written[at:]) or not matched:
        return False
    several = sum(_is_number(token) for token in quoted) > 1
    return not any(several or not _was_asked(run, asked, words) for run in runs)


def _was_asked(run: Sequence[str], asked: str, words: frozenset[str]) -> bool:
    """Return whether the question said all of a run, and nothing of it is a number or changes what the rest says."""
    if any(token in _KEPT or _is_number(token) for token in run):
        return False
    text = "".join(run)
    if re.search(rf"[{HAN}]", text):
        return len(text) > 1 and text in re.sub(r"\s", "", asked)
    return all(token in words for token in run)


def _asks(text: str) -> bool:
    return text.rstrip(" \"'”’」)）").endswith(("?", "？"))


def _is_number(token: str) -> bool:
    return bool(re.search(r"\d|^[零一二两三四五六七八九十百千万亿半]", token))


def _tokens(text: str) -> list[str]:
    """Return the words of a text, its Chinese characters, its numbers and the symbols that mean something."""
    plain = normal(text).replace("’", "'").replace("‘", "'")
    return [re.sub(r"'s$", "", token) for token in _TOKEN.findall(plain)]


def _ends_wide(text: str) -> bool:
    return bool(re.search(rf"[。！？；”）{HAN}]$", text))
