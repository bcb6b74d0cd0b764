"""What the desk itself says, in the languages it is written in."""

from __future__ import annotations

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
    },
}
