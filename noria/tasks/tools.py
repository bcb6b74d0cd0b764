"""Tools in a chat: how a model's own template writes them and calls of them, and the grammar that holds it to that.

    form = call_form(template)                       # found out by rendering a call, whatever the family
    lark = grammar(form, tools, "required", specials)

A template that does not know tools is told of them in its system turn, in the form that most models were trained on (NousResearch,
Hermes function calling).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from noria.core.errors import InputError

from .template import Messages, Template

Json = dict[str, Any]
_NAME, _OTHER = "zqname", "zqother"
_KEY = "zqkey"
_ASKED: Json = {"role": "user", "content": "zqasked"}
_FREE = "(.|\\n)*"
ID = "\ufdd2"
"""Stands for the id of a call, which some templates write."""


@dataclass(frozen=True)
class CallForm:
    """What stands round the name and the arguments of a call, which are JSON."""

    opening: str = '<tool_call>\n{"name": "'
    middle: str = '", "arguments": '
    between: str | None = '}\n</tool_call>\n<tool_call>\n{"name": "'
    """From one call's arguments to the next call's name; None: the template writes one call a turn."""
    closing: str = "}\n</tool_call>"
    lists: bool = False
    """The template tells the model of its tools by itself."""
    hears: bool = False
    """It writes what a tool gave back."""
    calls: bool = False
    """It writes calls."""
    as_text: bool = False
    """It takes arguments as JSON in a text, not as values."""

    def as_dict(self) -> Json:
        """Return a JSON-able dict."""
        return asdict(self)


def call_form(template: Template) -> CallForm:
    """Return how a template writes tools and calls, found by rendering some with names that no text has."""
    tools = [described(_NAME, {"type": "object", "properties": {_KEY: {"type": "string"}}})]
    opened = _tried(template, [_ASKED], begins=True, tools=tools)
    lists = opened is not None and _NAME in opened
    known = tools if lists else None
    begun = (opened if lists else _tried(template, [_ASKED], begins=True)) or ""
    for as_text in (False, True):
        one = _tried(template, [_ASKED, _turn(as_text, _NAME)], tools=known)
        found = _parts(one, begun, _ending(template)) if one else None
        if found is None:
            continue
        opening, middle, closing = found
        closing = re.sub(r"zqcallid\d", ID, closing)
        between = _between(_tried(template, [_ASKED, _turn(as_text, _NAME, _OTHER)], tools=known))
        given = {"role": "tool", "name": _NAME, "tool_call_id": "zqcallid1", "content": "zqgiven"}
        heard = _tried(template, [_ASKED, _turn(as_text, _NAME), given], begins=True, tools=known)
        hears = heard is not None and "zqgiven" in heard
        return CallForm(opening, middle, between, closing, lists, hears, calls=True, as_text=as_text)
    return CallForm(lists=lists)


def described(name: str, parameters: Json, description: str = "A tool.") -> Json:
    """Return a tool as OpenAI's API and templates have it."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def as_written(form: CallForm, messages: Sequence[Json], tools: Sequence[Json]) -> list[Json]:
    """Return messages as a template can write them: what it does not know of tools becomes text."""
    found: list[Json] = []
    for turn in messages:
        if turn["role"] == "tool" and not form.hears:
            text = f"<tool_response>\n{turn.get('content') or ''}\n</tool_response>"
            if found and found[-1].get("tool_responses"):
                found[-1]["content"] += "\n" + text
            else:
                found.append({"role": "user", "content": text, "tool_responses": True})
        elif turn.get("tool_calls") and not form.calls:
            called = [_called(one, as_text=False)["function"] for one in turn["tool_calls"]]
            texts = [
                f"{form.opening}{one['name']}{form.middle}{json.dumps(one['arguments'], ensure_ascii=False)}{form.closing}"
                for one in called
            ]
            said = [turn["content"]] if turn.get("content") else []
            found.append({"role": "assistant", "content": "\n".join([*said, *texts])})
        elif turn.get("tool_calls"):
            found.append({**turn, "tool_calls": [_called(one, form.as_text) for one in turn["tool_calls"]]})
        else:
            found.append(dict(turn))
    for turn in found:
        turn.pop("tool_responses", None)
    if tools and not form.lists:
        system = found.pop(0)["content"] + "\n\n" if found and found[0]["role"] == "system" else ""
        found.insert(0, {"role": "system", "content": system + _listing(form, tools)})
    return found


def _called(call: Json, as_text: bool) -> Json:
    """Return a call with its arguments as a template takes them; those that are no JSON stay the text that they are."""
    given = call["function"]["arguments"]
    try:
        values = json.loads(given or "{}") if isinstance(given, str) else given
    except ValueError:
        values = given
    arguments = json.dumps(values, ensure_ascii=False) if as_text and not isinstance(values, str) else values
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _listing(form: CallForm, tools: Sequence[Json]) -> str:
    lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in tools)
    example = f"{form.opening}<function-name>{form.middle}<args-json-object>{form.closing}"
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function "
        f"signatures within <tools></tools> XML tags:\n<tools>\n{lines}\n</tools>\n\nFor each function call, return:\n{example}"
    )


def grammar(
    form: CallForm,
    tools: Sequence[Json],
    choice: str,
    specials: Mapping[str, int],
    *,
    parallel: bool = True,
    answer: str | None = None,
) -> str:
    """Return the grammar of llguidance, in its Lark, for what may be written where these tools are told.

    Args:
        form: of the model's template.
        tools: that may be called.
        choice: auto (text or calls), required (at least one call), or the name of the tool that is called once.
        specials: text of a special token -> its id: grammars name such a token by its number.
        parallel: several calls a turn may be made.
        answer: JSON schema of what is said where nothing is called; any text without it.
    """
    compact = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    chosen = [one["function"] for one in tools if choice in ("auto", "required", one["function"]["name"])]
    further = ""
    if parallel and form.between is not None and choice in ("auto", "required"):
        further = f" ({_text(form.between, specials)} one)*"
    rules = [f"tail: one{further} {_text(form.closing.rstrip(), specials)}"]
    rules += ["one: " + " | ".join(f"call_{place}" for place in range(len(chosen)))]
    for place, one in enumerate(chosen):
        # A function that is called with an argument it does not know fails.
        schema = {"type": "object", "properties": {}, "additionalProperties": False, **(one.get("parameters") or {})}
        given = json.dumps({**schema, "x-guidance": compact}, ensure_ascii=False)
        rules += [f"call_{place}: {_text(one['name'] + form.middle, specials)} arguments_{place}"]
        rules += [f"arguments_{place}: %json {given}"]
    opening = form.opening.lstrip()
    if choice != "auto":
        start = [f"start: {_text(opening, specials)} tail"]
    elif answer is not None:
        held = json.dumps({**json.loads(answer), "x-guidance": {"whitespace_flexible": False}}, ensure_ascii=False)
        start = [f"start: answer | {_text(opening, specials)} tail", f"answer: %json {held}"]
    else:
        start = _either(opening, specials)
    return "\n".join([*start, *rules])


def _either(opening: str, specials: Mapping[str, int]) -> list[str]:
    """Return the rules by which a turn is text, calls, or text and then calls."""
    free = f"FREE: /{_FREE}/"
    if _split(opening, specials)[0] in specials:
        return [f"start: FREE | FREE {_text(opening, specials)} tail", free]
    mark = opening.split("{")[0].strip()
    if not mark:  # a call is told from a text by its first character alone
        first = re.escape(opening[:1]).replace("/", "\\/")
        return [f"start: FREE | {_text(opening, specials)} tail", f"FREE: /([^{first}]{_FREE})?/"]
    # Text goes on until the words that open a call stand there: what follows them is then held to.
    rest = _text(opening[len(mark) :], specials)
    return [f"start: FREE | until {rest} tail", free, f"until[lazy]: FREE {json.dumps(mark)}"]


def _text(text: str, specials: Mapping[str, int]) -> str:
    """Return a text as a grammar writes it, special tokens by their numbers."""
    parts = [
        f"<[{specials[part]}]>" if part in specials else "/[a-zA-Z0-9]{9}/" if part == ID else json.dumps(part)
        for whole in _split(text, specials)
        for part in ([whole] if whole in specials else re.split(f"({ID})", whole))
        if part
    ]
    return " ".join(parts)


def _split(text: str, specials: Mapping[str, int]) -> list[str]:
    """Return the parts of a text, each a special token's name or without any; one at least."""
    names = sorted((name for name in specials if name and name in text), key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, names)) + ")", text) if names else [text]
    return [part for part in parts if part] or [""]


def _turn(as_text: bool, *names: str) -> Json:
    values = {_KEY: "zqvalue"}
    arguments: Any = json.dumps(values) if as_text else values
    calls = [
        {"id": f"zqcallid{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, name in enumerate(names, 1)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _tried(
    template: Template, messages: Messages, *, begins: bool = False, tools: Sequence[Json] | None = None
) -> str | None:
    try:
        return template.write(messages, begins=begins, tools=tools)
    except InputError:
        return None


def _ending(template: Template) -> str:
    """Return what a template writes behind an assistant's turn."""
    return (_tried(template, [_ASKED, {"role": "assistant", "content": "zqsaid"}]) or "").rpartition("zqsaid")[2]


def _parts(text: str, begun: str, ending: str) -> tuple[str, str, str] | None:
    """Return what stands before the name, before and behind the arguments of the call that ends a text; None for no call."""
    start = next((place for place, (a, b) in enumerate(zip(text, begun, strict=False)) if a != b), len(begun))
    name = text.rfind(_NAME)
    span = _arguments(text, name) if name >= start else None
    if span is None:
        return None
    rest = text[span[1] :]
    closing = rest.removesuffix(ending) if rest.endswith(ending) else re.match(r"[\s}\])]*", rest)[0]  # type: ignore[index]
    return text[start:name], text[name + len(_NAME) : span[0]], closing


def _between(text: str | None) -> str | None:
    """Return what stands between the first call's arguments and the second's name; None where two cannot be written."""
    second = text.rfind(_OTHER) if text else -1
    if text is None or second < 0:
        return None
    span = _arguments(text, text.rfind(_NAME, 0, second))
    return re.sub(r"zqcallid\d", ID, text[span[1] : second]) if span and span[1] < second else None


def _arguments(text: str, start: int) -> tuple[int, int] | None:
    """Return where the arguments behind a name stand, if they are JSON."""
    key = text.find(f'"{_KEY}"', max(start, 0))
    opened = text.rfind("{", 0, key) if key >= 0 else -1
    if opened < 0:
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, opened)
    except ValueError:
        return None
    return (opened, end) if value == {_KEY: "zqvalue"} else None
