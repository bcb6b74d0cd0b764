"""One message -> the clauses that may each ask for something of their own; whether they do is the matcher's to say.

>>> [one.text for one in clauses("怎么退货？另外保修多久")], [one.text for one in clauses("How do I return it and how long is the warranty?")]
(['怎么退货？', '保修多久'], ['How do I return it', 'how long is the warranty?'])
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from noria.text.script import HAN

from .courtesies import courtesy

MOST = 6
"""Most clauses of one message that are looked at by themselves; a longer one keeps its strongest joints."""

_ASKS_ZH = (
    "怎么|怎样|如何|什么|啥|为什么|为何|哪|谁|几|多少|多久|多长|多大|多远|多高|吗|么|呢|是否|能不能|可不可以|能否|可否|有没有|会不会|是不是|要不要|需不需要|行不行|"
    "请问|咋|求|帮我|我想|我要|我需要|想问|问一下|可以.*?吗"
)
_STARTS_EN = (
    r"(?:how|what|what's|whats|where|where's|when|why|who|which|whose|can|could|do|does|did|is|are|am|was|will|would|should|may|shall|have|has|"
    r"i want|i need|i would like|i'd like|id like|i wish|please|tell me|show me|give me|help me|let me|need to|want to|any chance)"
)
_ASKS_EN = re.compile(rf"^(?:and |also |but |so |then |or |ok |well |by the way |btw )*{_STARTS_EN}\b", re.I)
# A joint that ends a sentence; one that adds another; one that only may.
_STRONG = re.compile(r"[?？]+[)）」”\"']*|[!！。；;\n]+|(?<=[a-z0-9)])\.(?=\s+[A-Za-z])")
_ADDS = re.compile(
    r"(?:[,，、\s]+|(?<=["
    + HAN
    + r"]))(?:另外|还有就是|还有|以及|并且|而且|同时|顺便|对了|再问一下|再就是|再有|此外|然后)(?:再|也|想|我|还)*(?:问一下|问问|请问|问下|问)?[,，、：:\s]*(?=\S)"
    r"|[,;\s]+(?:and also|and then|as well as|in addition|additionally|by the way|btw|another question|one more thing|plus|also|secondly|second question|next question|oh and|and by the way)\b[,:\s]*(?=\S)",
    re.I,
)
_MAY = re.compile(rf"[,，、]\s*(?=\S)|[,\s]+(?:and|but|then|or) (?=\S)|(?:和|与|跟|及|或者?)(?={_ASKS_ZH})", re.I)
# Nothing stands between two questions but the words that the second begins with.
_RUN = re.compile(
    rf"(?<=[{HAN}])(?=(?:怎么|如何|请问|什么时候|能不能|可不可以|有没有|为什么))"
    rf"|(?<=\w)\s+(?=(?:how|what|what's|where|when|why|who|which|can i|could i|do i|do you|is there|are there|may i|will i|should i)\b)",
    re.I,
)
_OPEN_END = re.compile(
    r"\b(?:how|what|where|when|why|who|which|know|tell|me|ask|see|understand|wondering|wonder|if|sure|about|and|or|but|then|to|that|say|explain|idea|of|for|on|is|check|out)$",
    re.I,
)
_LEAD = re.compile(
    r"^(?:(?:另外|还有就是|还有|以及|并且|而且|同时|顺便|对了|再就是|再有|此外|然后|再问一下|问一下)[,，、：: ]*)+(?=\S)"
    r"|^(?:(?:and also|and then|and|also|plus|but|then|oh|by the way|btw|in addition|additionally|secondly)[,: ]+)+(?=\S)",
    re.I,
)
_LETTER = re.compile(r"[^\W\d_]")
_EDGES = " \t\r\n,，、;；"
_LEAST_ZH, _LEAST_EN = 2, 2
"""Characters, and words, of the shortest clause that asks for anything."""
_RUN_ZH, _RUN_EN = 4, 3
"""The same beside a joint that no mark and no word shows."""


@dataclass(frozen=True)
class Clause:
    """A stretch of a message.

    Args:
        message: the whole of it.
        start: its first character.
        end: behind its last.
        joint: how it is set off from what stands before it: 0 it begins the message, 1 it may belong to it, 2 a word adds it, 3 a
            sentence ends there.
    """

    message: str
    start: int
    end: int
    joint: int

    @property
    def text(self) -> str:
        """Return its words."""
        words = self.message[self.start : self.end].strip(_EDGES)
        return _LEAD.sub("", words) or words

    @property
    def asks(self) -> bool:
        """Return whether it has the form of a question or a wish."""
        return bool(re.search(rf"{_ASKS_ZH}|[?？]", self.text) or _ASKS_EN.search(self.text))

    def with_next(self, other: Clause) -> Clause:
        """Return this clause and the one behind it as one, with what stands between them."""
        return Clause(self.message, self.start, other.end, self.joint)


def clauses(text: str) -> list[Clause]:
    """Return the clauses of a message, without those that only greet or thank; one of a message that is one."""
    cuts: dict[int, tuple[int, int]] = {}
    for strength, pattern in ((1, _RUN), (1, _MAY), (2, _ADDS), (3, _STRONG)):
        for found in pattern.finditer(text):
            start, end = found.span()
            if pattern is _RUN and not _runs_on(text[:start], text[end:]):
                continue
            if strength == 3:
                start = end  # the mark belongs to what it ends
            cuts = {at: cut for at, cut in cuts.items() if not start <= at < max(end, start + 1)}
            cuts[start] = (end, strength)
    parts: list[Clause] = []
    last, joint = 0, 0
    for start, (end, strength) in [*sorted(cuts.items()), (len(text), (len(text), 0))]:
        if start >= last:
            parts = _with(parts, Clause(text, last, start, joint))
            last, joint = end, strength
    while len(parts) > MOST:
        weakest = min(range(1, len(parts)), key=lambda at: (parts[at].joint, len(parts[at].text)))
        parts = joined(parts, weakest)
    return parts or [Clause(text, 0, len(text), 0)]


def joined(parts: list[Clause], at: int) -> list[Clause]:
    """Return clauses with the one at a place joined to the one before it."""
    return [*parts[: at - 1], parts[at - 1].with_next(parts[at]), *parts[at + 1 :]]


def _with(parts: list[Clause], clause: Clause) -> list[Clause]:
    if not _LETTER.search(clause.text):
        return parts
    if courtesy(clause.text) and (clause.joint != 1 or not parts):
        return parts
    if not parts:
        return [Clause(clause.message, clause.start, clause.end, 0)]
    return [*parts, clause] if _stands(clause.text, _LEAST_ZH, _LEAST_EN) else joined([*parts, clause], len(parts))


def _runs_on(before: str, behind: str) -> bool:
    """Return whether two questions may meet where nothing stands between them."""
    before = re.split(r"[,，。！？；;!?]", before)[-1].strip()
    if not _stands(before, _RUN_ZH, _RUN_EN) or not _stands(behind, _RUN_ZH, _RUN_EN):
        return False
    return not _OPEN_END.search(before) and not re.search(r"[我你想要知道问是该应说告诉一下请]$", before)


def _stands(text: str, chinese: int, words: int) -> bool:
    """Return whether a stretch has so many Chinese characters, or words where it has none."""
    form = unicodedata.normalize("NFKC", text).strip()
    found = len(re.findall(rf"[{HAN}]", form))
    return found >= chinese if found else len(form.split()) >= words
