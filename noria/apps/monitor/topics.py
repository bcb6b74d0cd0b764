"""What a text is about, by lists of words that anyone can read and change: the topic with most words in the text.

Transparent on purpose: a wrong topic can be traced to a word and mended in `topics.json`. Chinese words are looked for
anywhere, words in Latin letters as whole words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noria.core.errors import InputError
from noria.core.messages import message
from noria.text.encoding import decoded
from noria.text.sources import Source

BUNDLED = Path(__file__).parent / "topics.json"
OTHER = "other"


@dataclass(frozen=True)
class Topics:
    """Topics by name, each with its titles and the pattern of its words."""

    titles: Mapping[str, Mapping[str, str]]
    """Topic -> language -> title."""
    patterns: Mapping[str, re.Pattern[str]]

    def of(self, text: str) -> str:
        """Return the topic with most words in the text, the first of equals; `other` where there is none.

        >>> read_topics().of("房间很大，早餐丰富"), read_topics().of("The screen is dim"), read_topics().of("还行")
        ('hotel', 'computer', 'other')
        """
        counts = {name: len(pattern.findall(text)) for name, pattern in self.patterns.items()}
        best = max(counts, key=lambda name: counts[name])
        return best if counts[best] else OTHER

    @property
    def names(self) -> tuple[str, ...]:
        """Return all topics, `other` last."""
        return (*self.patterns, OTHER)


def read_topics(path: str | Path = BUNDLED) -> Topics:
    """Return the topics of a JSON file: {name: {"title": {language: title}, "words": [...]}}.

    Raises:
        InputError: the file is missing, is not such JSON, or lists no words for a topic.
    """
    try:
        raw = json.loads(decoded(Source(str(path)).read(), path))
        words = {name: [str(word) for word in topic["words"]] for name, topic in raw.items()}
        titles = {name: dict(topic["title"]) for name, topic in raw.items()}
    except InputError as error:
        raise InputError(error.what, found=error.found, allowed=message("apps.json_name")) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            message("apps.holds_topics", path=path), found=str(error), allowed="{name: {title, words}}"
        ) from None
    if not words or OTHER in words or not all(words.values()):
        raise InputError(message("apps.every_topic", path=path, other=OTHER), found=sorted(words))
    return Topics(titles | {OTHER: {"en": "other", "zh": "其他"}}, {name: pattern_of(words[name]) for name in words})


def pattern_of(words: Sequence[str]) -> re.Pattern[str]:
    """Return the pattern of any of some words: Chinese ones anywhere, those in letters as whole words, also with an s."""
    # Longest first, so that a word is not counted through a shorter one inside it. The borders are those of ASCII, for
    # \b sees none between a Chinese character and a Latin letter.
    ordered = sorted(words, key=len, reverse=True)
    parts = [
        rf"(?<![a-z0-9]){re.escape(word)}s?(?![a-z0-9])" if word.isascii() else re.escape(word) for word in ordered
    ]
    return re.compile("|".join(parts), re.IGNORECASE)
