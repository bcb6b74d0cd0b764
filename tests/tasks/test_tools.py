"""Tools in a chat: whatever form a template writes calls in is found, held to, and read back from any cut of the text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_templates import TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from benchmarks.writers import byte_tokenizer
from noria.tasks.calls import Argued, Begun, CallReader, Plain
from noria.tasks.chat import Chat
from noria.tasks.guided import Guides
from noria.tasks.template import Template
from noria.tasks.tools import CallForm, as_written, call_form, described, grammar

SPECIALS = (
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "[TOOL_CALLS]",
    "<|call|>",
    "<|calls|>",
    "<|sep|>",
    "<|endcall|>",
)
TOOLS = [
    described("weather", {"type": "object", "properties": {"city": {"enum": ["北京", "上海"]}}, "required": ["city"]}),
    described(
        "weather_at", {"type": "object", "properties": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}}}
    ),
    described("now", {}),
]
NAMES = [one["function"]["name"] for one in TOOLS]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    place = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer(place, ["weather 北京 上海 <tool_call>"], ("<|pad|>", "<|begin|>", "<|end|>"))
    made = Tokenizer.from_file(str(Path(place) / "tokenizer.json"))
    made.add_special_tokens([AddedToken(name, special=True) for name in SPECIALS])
    return made


def form_of(name: str) -> CallForm:
    return call_form(Template(TEMPLATES[name], "<s>", "</s>"))


def read(form: CallForm, pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """What is said and called, from a text in pieces."""
    reader = CallReader(form, NAMES, SPECIALS)
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.close()
    said = "".join(event.text for event in events if isinstance(event, Plain))
    calls = [[event.name, ""] for event in events if isinstance(event, Begun)]
    for event in events:
        if isinstance(event, Argued):
            calls[event.index][1] += event.text
    return said, [(name, arguments) for name, arguments in calls]


def drawn(tokenizer: Tokenizer, lark: str, seed: int, words: str = "") -> str:
    """Return what a model without any sense writes that is held to a grammar; it may begin with words of its own."""
    guide, choose = Guides(tokenizer, [2]).open(lark), random.Random(seed)
    ids = tokenizer.encode(words, add_special_tokens=False).ids
    for token in ids:
        guide.take(token)
    while not guide.whole and len(ids) < 400:
        allowed = np.flatnonzero(guide.allowed(tokenizer.get_vocab_size()))
        token = 2 if 2 in allowed and len(ids) > 60 else int(choose.choice(list(allowed)))
        if token == 2:
            break
        guide.take(token)
        ids.append(token)
    return str(tokenizer.decode(ids, skip_special_tokens=True))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_required_call_is_written_in_the_templates_form_and_read_back(name: str, tokenizer: Tokenizer):
    form, specials = form_of(name), {one: tokenizer.token_to_id(one) for one in SPECIALS}
    for seed in range(6):
        text = drawn(tokenizer, grammar(form, TOOLS, "required", specials), seed)
        said, calls = read(form, [text])
        assert said.strip() == ""
        assert calls
        for called, arguments in calls:
            given = json.loads(arguments)
            assert called in NAMES
            assert called != "weather" or given["city"] in ("北京", "上海")
        ((only, _),) = read(form, [drawn(tokenizer, grammar(form, TOOLS, "now", specials), seed)])[1]
        assert only == "now"
        alone = read(form, [drawn(tokenizer, grammar(form, TOOLS, "required", specials, parallel=False), seed)])[1]
        assert len(alone) == 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_where_a_call_is_free_words_stay_words_and_a_call_begun_is_held_to(name: str, tokenizer: Tokenizer):
    form, specials = form_of(name), {one: tokenizer.token_to_id(one) for one in SPECIALS}
    lark = grammar(form, TOOLS, "auto", specials)
    assert read(form, [drawn(tokenizer, lark, 1, "It is cold.")])[0].startswith("It is cold.")
    calls = read(form, [drawn(tokenizer, lark, 2, form.opening.lstrip() + "weather")])[1]
    assert calls
    assert calls[0][0].startswith("weather")
    json.loads(calls[0][1])


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_calls_are_read_from_any_pieces(name: str, data: st.DataObject):
    """The same events come of a text however it is cut; a template's own text is read as what went into it."""
    form = form_of(name)
    asked = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=1 if form.between is None else 3))
    values = st.dictionaries(
        st.text('ab{}"\\北 ', max_size=4), st.integers() | st.text('{}"x\\', max_size=5), max_size=3
    )
    wanted = [(one, json.dumps(data.draw(values), ensure_ascii=False)) for one in asked]
    before = "" if form.opening.lstrip()[:1] in "{[" else data.draw(st.sampled_from(["", "好。\n", "a < b {x} <tool "]))
    parts = [one for call in wanted for one in (form.between or "", call[0], form.middle, call[1])][1:]
    text = before + form.opening + "".join(parts) + form.closing
    for special in SPECIALS:
        text = text.replace(special, "")
    text = text.replace("\ufdd2", "a1b2c3d4e")  # where a template writes the id of a call
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said, calls = read(form, pieces)
    assert said.strip() == before.strip()
    assert calls == wanted


@pytest.mark.parametrize(
    "text", ["{", "<tool_call>", '<tool_call>\n{"name": "unknown", "arguments": {}}', "{}", "a\n\n", "<", "北京很冷。"]
)
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_no_call_of_a_known_tool_is_spoken_whole(name: str, text: str):
    assert read(form_of(name), list(text)) == (text, [])


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_told_of_tools_calls_and_what_came_back(name: str, tokenizer: Tokenizer):
    call: dict[str, Any] = {
        "id": "abcdefgh1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "北京"}'},
    }
    messages = [
        {"role": "user", "content": "冷吗？"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefgh1", "name": "weather", "content": "-3 度"},
    ]
    task = Chat(template=TEMPLATES[name], begin="<s>", end="</s>")
    text = task.features(tokenizer, {"messages": messages, "tools": TOOLS}, 10_000).meta["text"]
    for word in ("weather_at", '"city": "北京"', "-3 度", "冷吗？"):
        assert word in text
    assert text.count("weather_at") == 1
    form = form_of(name)
    if form.lists and form.hears and form.calls and not form.as_text:  # transformers would write the very same
        values = {**call, "function": {"name": "weather", "arguments": {"city": "北京"}}}
        plain = [messages[0], {**messages[1], "tool_calls": [values]}, messages[2]]
        assert text == Template(TEMPLATES[name], "<s>", "</s>").write(plain, begins=True, tools=TOOLS)
    assert as_written(form, messages[:1], []) == messages[:1]
