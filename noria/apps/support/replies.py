"""What the desk can do with a question, what each outcome costs, and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .knowledge.quotes import Quote

Action = Literal["answer", "confirm", "handover", "courtesy"]

PHRASES: dict[str, dict[str, str]] = {
    "zh": {
        "confirm": "您是想问：{choices}？请回复编号；都不是请回复“不是”，我帮您转人工。",
        "again": "请回复 1 到 {count} 之间的编号：{choices}。都不是请回复“不是”，我帮您转人工。",
        "handover": "这个问题我没有把握，已经为您转给人工，请稍候。",
        "person": "好的，已经为您转给人工，请稍候。",
        "greeting": "您好！请问有什么可以帮您？",
        "thanks": "不客气！还有问题随时问我。",
        "goodbye": "再见，祝您愉快！",
        "identity": "我是自动客服，不是真人。需要人工请回复“转人工”。",
        "about": "“{question}”",
        "part": "关于“{question}”：{text}",
        "unanswered": "这个问题我没有把握，已经为您转给人工。",
        "which": "您是想问：{choices}？",
        "number": "请回复编号；都不是请回复“不是”，我帮您转人工。",
        "abuse": "很抱歉让您不满意，已经为您转给人工，请稍候。",
        "repeated": "看来我的回答没有解决您的问题，已经为您转给人工，请稍候。",
        "correction": "抱歉，我理解错了。请再说一遍您的问题，或回复“转人工”。",
        "from": "{text}\n（出自：{place}）",
        "depends": "这要看情况，您属于哪一种：{choices}？请回复编号。",
        "otherwise": "另一份文件的说法不同：\n{text}",
    },
    "en": {
        "confirm": "Did you mean: {choices}? Reply with the number, or “no” for a person.",
        "again": "Please reply with a number from 1 to {count}: {choices}. Or “no” for a person.",
        "handover": "I am not sure about this one, so I have handed it over to a person. One moment, please.",
        "person": "I have handed this over to a person. One moment, please.",
        "greeting": "Hello! What can I do for you?",
        "thanks": "You are welcome! Just ask if there is more.",
        "goodbye": "Goodbye, and have a good day!",
        "identity": "I am an automatic assistant, not a person. Say “talk to a person” to get one.",
        "about": "“{question}” ",
        "part": "On “{question}”: {text}",
        "unanswered": "I am not sure about this one, so I have handed it over to a person.",
        "which": "Did you mean: {choices}?",
        "number": "Reply with the number, or “no” for a person.",
        "abuse": "I am sorry that this was no help. I have handed it over to a person. One moment, please.",
        "repeated": "My answer does not seem to have helped, so I have handed this over to a person. One moment, please.",
        "correction": "I am sorry, I misunderstood. Please put your question once more, or say “talk to a person”.",
        "from": "{text}\n(From: {place})",
        "depends": "That depends. Which is it: {choices}? Reply with the number.",
        "otherwise": "Another document says otherwise:\n{text}",
    },
}
"""What the desk itself says, in the languages it is written in."""


@dataclass(frozen=True)
class Costs:
    """What each outcome costs, in units of one question asked back. They decide when to answer, unless thresholds do."""

    wrong: float = 10.0
    """A wrong answer given."""
    person: float = 3.0
    """A person's time."""
    confirm: float = 1.0
    """The asker's time, asked back."""
    least: Mapping[str, float] = field(default_factory=dict)
    """Language -> the confidence from which an error budget allows an answer; then `wrong` decides nothing."""

    def action(self, confidence: float, offered: float | None = None, language: str = "") -> Action:
        """Return the cheapest action.

        Answering costs (1 - p) wrong; asking back costs confirm + (1 - q) person; handing over costs person.

        Args:
            confidence: p, the probability that the first match is meant.
            offered: q, that one of those is meant that asking back would offer; p where not given.
            language: of the asker, whose threshold counts where there is a budget.
        """
        missing = 1 - (confidence if offered is None else offered)
        costs: dict[Action, float] = {
            "answer": (1 - confidence) * self.wrong,
            "confirm": self.confirm + missing * self.person,
            "handover": self.person,
        }
        if self.least:
            enough = self.least.get(language, max(self.least.values()))
            costs["answer"] = -1.0 if confidence >= enough else float("inf")
        return min(costs, key=lambda action: costs[action])


@dataclass(frozen=True)
class Choice:
    """One entry offered to the asker."""

    entry: str
    question: str


@dataclass(frozen=True)
class Match:
    """What a stretch of a message asks for, as far as it can be told."""

    text: str
    language: str
    confidence: float
    """Calibrated probability that the first entry is meant."""
    offered: float
    """That one of those is meant that asking back would offer."""
    entries: tuple[str, ...]
    """Ids, likeliest first."""
    known: bool = False
    """Whether it was asked in so many words."""


@dataclass(frozen=True)
class Reply:
    """What the desk says."""

    action: Action
    language: str
    text: str
    """What to show the asker."""
    confidence: float
    """Calibrated probability that the first choice is what was meant; of several questions the least."""
    entry: str = ""
    """Id of the entry that was answered; empty else."""
    choices: tuple[Choice, ...] = ()
    """The entries it may have meant, likeliest first; those of several questions one after the other."""
    parts: tuple[Reply, ...] = ()
    """The replies to each of several questions in one message, in its order."""
    sources: tuple[Quote, ...] = ()
    """What documents were quoted, with where it stands; where they contradict each other, both."""
    others: tuple[str, ...] = ()
    """Entries that came next to the one that was answered."""
    written: bool = False
    """Whether a model wrote the text from what was quoted; each sentence of it was checked."""
    asked: str = ""
    """What it replies to, where that is one of several questions in a message."""
    flow: str = ""
    """Name of the action that it belongs to; empty else."""


def listed(choices: Sequence[Choice], start: int = 1) -> str:
    """Return choices with their numbers, on one line."""
    return "  ".join(f"{number}. {choice.question}" for number, choice in enumerate(choices, start))


def tidy(text: str) -> str:
    """Return a text without two question marks in a row, as where the last choice brings its own."""
    return re.sub(r"([？?])[？?]", r"\1", text)
