"""The languages of a list and of who asks: any, by their codes; what the desk itself says is written in some of them.

A list's languages are those it names (`questions: {"de": ...}`, a column question_de, a column language) and else those of its
texts: by script where one language uses it, by a classifier over all of its other texts together, for one question is too short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from noria.text.language import language_of as by_script
from noria.text.script import has_han

ORIENTAL = ("zh", "ja", "ko")
"""Told by their script alone."""
_KANA = re.compile("[\u3040-\u30ff]")
_LETTER = re.compile(r"[^\W\d_]")
_CODE = re.compile(r"[a-z]{2,3}")
_CLEAR = 15.0
"""Nats by which a classifier must prefer another language to English: three or four words' worth."""
NAMES = {
    name: code
    for code, names in (
        ("zh", "cn chs cht chinese 中文 汉语 简体 繁体 繁體 简体中文 繁体中文"),
        ("en", "eng english 英文 英语"),
        ("ja", "jp japanese 日文 日语 日本語"),
        ("ko", "kr korean 韩文 韩语"),
        ("de", "german deutsch 德文 德语"),
        ("fr", "french français 法文 法语"),
        ("es", "spanish español 西班牙文 西班牙语"),
        ("it", "italian italiano"),
        ("pt", "portuguese português 葡萄牙语"),
        ("ru", "russian русский 俄文 俄语"),
        ("ar", "arabic 阿拉伯语"),
        ("th", "thai 泰语"),
        ("vi", "vietnamese 越南语"),
        ("id", "indonesian 印尼语"),
        ("nl", "dutch"),
        ("pl", "polish"),
        ("tr", "turkish"),
        ("hi", "hindi"),
    )
    for name in names.split()
}


def code_of(name: object) -> str:
    """Return the code of a language's name, code or locale; "" where it is none.

    >>> code_of("zh-Hant"), code_of("中文"), code_of("Deutsch"), code_of("pt_BR"), code_of("answer")
    ('zh', 'zh', 'de', 'pt', '')
    """
    key = str(name).strip().casefold()
    if key in NAMES:
        return NAMES[key]
    first = re.split(r"[-_]", key)[0]
    first = NAMES.get(first, first)
    return first if _CODE.fullmatch(first) else ""


def main_language(texts: Iterable[str]) -> str:
    """Return the language of a list's texts that are not told by their script: English unless another is clear.

    >>> main_language(["Wie kann ich die Ware zurückgeben?", "Wo ist meine Bestellung?"]), main_language(["OK", "怎么退货？"])
    ('de', 'en')
    """
    joined = "\n".join(text for text in texts if not has_han(text) and by_script(text) not in (*ORIENTAL, ""))[:8_000]
    if sum(map(str.isalpha, joined)) < 20:
        return "en"
    ranked = _ranked(joined)
    best = max(ranked, key=ranked.__getitem__)
    return best if best not in ORIENTAL and ranked[best] > ranked["en"] + _CLEAR else "en"


def language_among(text: str, known: Sequence[str]) -> str:
    """Return the language of what someone asks a list in such languages; a text without a letter has the list's first.

    >>> language_among("怎么退货", ["de"]), language_among("Wo ist meine Bestellung?", ["de"]), language_among("12 ?", ["zh", "en"])
    ('zh', 'de', 'zh')
    """
    if not _LETTER.search(text):
        return known[0] if known else "en"
    if _KANA.search(text):
        return "ja"
    if has_han(text):
        return "ja" if "ja" in known and "zh" not in known else "zh"
    if by_script(text) == "ko":
        return "ko"
    among = [one for one in known if one not in ORIENTAL]
    if not set(among) - {"en"}:
        return "en"
    ranked = _ranked(text)
    return max({*among, "en"}, key=lambda one: (ranked.get(one, float("-inf")), one == among[0]))


def phrase_language(asked: str, known: Sequence[str], written: Mapping[str, object]) -> str:
    """Return the language the desk speaks in: the asker's where its phrases are written in it, else the list's, else English."""
    return next((one for one in (asked, *known) if one in written), "en")


@lru_cache(maxsize=1 << 12)
def _ranked(text: str) -> dict[str, float]:
    """Return the log probability of each language the classifier knows."""
    import py3langid

    return dict(py3langid.rank(text))
