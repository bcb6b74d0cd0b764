"""Conversations that are looked at when two servers of one model are compared: what templates and tokenizers get wrong first."""

from __future__ import annotations

from typing import Any

from noria.tasks.tools import described

Json = dict[str, Any]
TOOLS: list[Json] = [
    described(
        "weather",
        {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "名称"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
        "The weather of a city.",
    ),
    described("now", {"type": "object", "properties": {}}, "The time."),
]


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Json:
    return {"role": "assistant", "content": text}


CONVERSATIONS: dict[str, list[Json]] = {
    "one turn": [_user("What is the capital of France?")],
    "system": [{"role": "system", "content": "Answer in one word."}, _user("What is the capital of France?")],
    "several turns": [
        _user("Hello"),
        _assistant("Hello! How can I help you?"),
        _user("Tell me a joke."),
        _assistant("Why did the chicken cross the road?"),
        _user("Why?"),
    ],
    "system and several turns": [
        {"role": "system", "content": "You are a pirate.\n\nYou say 'arr'."},
        _user("Who are you?"),
        _assistant("Arr, a pirate."),
        _user("And your ship?"),
    ],
    "Chinese": [
        {"role": "system", "content": "你是一名客服，请用中文回答。"},
        _user("我的快递三天没有更新了，怎么办？"),
        _assistant("很抱歉，请提供单号。"),
        _user("单号是 SF1234567890，地址：北京市海淀区。"),
    ],
    "emoji": [_user("👩‍🚀🚀 → 🌕? ¡Qué día! 🇨🇳❤️‍🔥"), _assistant("🌟"), _user("more 🙏🏽")],
    "code": [
        _user(
            "Fix this:\n\n```python\ndef f(x):\n\tif x:\n\t    return {'a': [1, 2.50e-3]}\n\n\n    # <b>&amp;</b> {{ x }} {% y %}\n```"
        ),
        _assistant("```python\ndef f(x):\n    return x\n```"),
        _user("Why `\\t`?"),
    ],
    "blanks": [_user("  two before, two behind  "), _assistant("ok"), _user("a\n\n\nb\t c")],
    "tools": [
        {"role": "system", "content": "Use tools."},
        _user("北京明天冷吗？"),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "a1b2c3d4e",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "北京", "days": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a1b2c3d4e", "name": "weather", "content": '{"low": -3}'},
    ],
}
WORDS: tuple[str, ...] = (
    "The capital of France is Paris, and the capital of Italy is Rome. The capital of Spain is Madrid.",
    "Once upon a time there was a small village by the sea. The people who lived there were fishermen, and every morning",
    "To make bread you need flour, water, salt and yeast. First mix the flour with the salt, then add the water slowly.",
    "The water cycle describes how water evaporates from the surface of the earth, rises into the atmosphere, cools and",
    "In 1969 two astronauts walked on the moon for the first time. They collected samples of rock and dust, and planted",
    "北京的冬天很冷，夏天很热，秋天是最好的季节。很多人在秋天去香山看红叶，也有人去长城。",
    "客服您好，我上周买的耳机左边没有声音，请问可以换货吗？订单号在下面，麻烦尽快处理，谢谢。",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n\nfor i in range(10):\n    print(",
    "SELECT name, COUNT(*) FROM orders WHERE created_at > '2024-01-01' GROUP BY name ORDER BY 2 DESC LIMIT 10;",
    '{"name": "Alice", "age": 30, "cities": ["Paris", "Berlin"], "active": true, "score": 0.75}',
    "Dear Sir or Madam, I am writing to complain about the service that I received in your restaurant last Friday evening.",
    "2 + 2 = 4, 3 + 5 = 8, 12 - 7 = 5, 6 * 7 = 42, 81 / 9 = 9. A triangle has three sides and a square has four.",
)
"""What prompts are cut from where none are given."""
